//! Promise 3: a stream is numbered from 1 on, without a gap, and ends where its holder says.

use crate::recording::{HeldStream, Recording};

/// A number that is left out, comes twice or out of order, or an end elsewhere than status says.
pub fn no_gap(recording: &Recording) -> Vec<String> {
    recording
        .held
        .iter()
        .filter_map(|stream| Some(format!("site {} node {}, origin {}: {}", stream.at.0, stream.at.1, stream.origin, gap(stream)?)))
        .collect()
}

fn gap(stream: &HeldStream) -> Option<String> {
    let mut next = 1;
    for batch in &stream.batches {
        if batch.seq != next {
            return Some(format!("batch {} comes where batch {next} was due", batch.seq));
        }
        next += 1;
    }
    (stream.seq + 1 != next).then(|| format!("status says that it ends at batch {}, and it ends before batch {next}", stream.seq))
}

#[cfg(test)]
mod tests {
    use super::{super::sample::good, *};

    #[test]
    fn promise_3_a_number_that_is_left_out_doubled_or_missing_at_the_end_is_found() {
        assert!(no_gap(&good()).is_empty());
        let break_it: [fn(&mut HeldStream); 5] = [
            |stream| drop(stream.batches.remove(0)),
            |stream| drop(stream.batches.remove(1)),
            |stream| stream.batches.insert(1, stream.batches[0].clone()),
            |stream| stream.batches.swap(0, 1),
            |stream| stream.seq += 1,
        ];
        for (case, break_it) in break_it.into_iter().enumerate() {
            let mut recording = good();
            break_it(&mut recording.held[1]);
            assert_eq!(no_gap(&recording).len(), 1, "case {case}");
        }
    }
}
