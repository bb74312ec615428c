//! Promise 9: what a site stamps never lies before what it stamped earlier, wherever its clocks were set.

use crate::recording::{HeldStream, Recording};

/// A batch whose site time lies before that of the batch before it.
pub fn times_forward(recording: &Recording) -> Vec<String> {
    recording
        .held
        .iter()
        .flat_map(|stream| {
            backward(stream).map(|found| format!("site {} node {}, origin {}: {found}", stream.at.0, stream.at.1, stream.origin))
        })
        .collect()
}

fn backward(stream: &HeldStream) -> impl Iterator<Item = String> {
    let neighbours = stream.batches.iter().zip(stream.batches.iter().skip(1));
    neighbours.filter(|(before, after)| after.site_time < before.site_time).map(|(before, after)| {
        let ms = before.site_time.0 - after.site_time.0;
        format!("batch {} is stamped {ms} ms before batch {}", after.seq, before.seq)
    })
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::SiteTime;

    use super::{super::sample::good, *};

    #[test]
    fn promise_9_a_batch_that_is_stamped_before_its_predecessor_is_found() {
        assert!(times_forward(&good()).is_empty());
        let mut recording = good();
        recording.held[1].batches[1].site_time = SiteTime(0);
        assert_eq!(times_forward(&recording).len(), 1);
    }
}
