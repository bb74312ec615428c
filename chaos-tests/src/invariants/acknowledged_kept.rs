//! Promise 1: whatever was acknowledged is held, by every node of every tier, in the batch that was named.

use std::collections::{BTreeMap, BTreeSet};

use crate::recording::{EntryOutcome, HeldBatch, Recording};

/// An acknowledged request that a node lacks, or that it holds without one of its rows, or with other contents. A site that holds nothing of an origin
/// does not follow it; that one follows what it should is for [`super::digests_equal()`] to check.
pub fn acknowledged_kept(recording: &Recording) -> Vec<String> {
    let mut findings = Vec::new();
    for stream in &recording.held {
        let batches: BTreeMap<(&str, u64), &HeldBatch> =
            stream.batches.iter().map(|batch| ((batch.epoch.as_str(), batch.seq), batch)).collect();
        let rows: BTreeMap<u64, BTreeSet<&str>> =
            stream.batches.iter().map(|batch| (batch.seq, batch.rows.iter().map(String::as_str).collect())).collect();
        for entry in recording.acknowledged().filter(|entry| entry.origin == stream.origin) {
            let EntryOutcome::Acknowledged { epoch, seq } = &entry.outcome else { continue };
            let lost = match batches.get(&(epoch.as_str(), *seq)) {
                None => format!("batch {seq} of epoch {epoch} is not held"),
                Some(batch) if !batch.requests.contains(&entry.request_key) => format!("batch {seq} does not hold the request"),
                Some(_) => match entry.rows.iter().find(|row| !rows[seq].contains(row.as_str())) {
                    Some(row) => format!("batch {seq} does not hold its row {row}"),
                    None => continue,
                },
            };
            findings.push(format!(
                "request {} was acknowledged; site {} node {}, origin {}: {lost}",
                entry.request_key, stream.at.0, stream.at.1, stream.origin
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::sample::good, *};

    #[test]
    fn promise_1_an_acknowledged_request_that_a_node_lacks_is_found() {
        assert!(acknowledged_kept(&good()).is_empty());
        let mut recording = good();
        recording.held[1].batches.remove(1);
        assert_eq!(acknowledged_kept(&recording).len(), 1, "its batch");
        let mut recording = good();
        recording.held[0].batches[0].requests.remove(1);
        assert_eq!(acknowledged_kept(&recording).len(), 1, "its request");
        let mut recording = good();
        recording.held[0].batches[0].rows[0].push_str(" mangled");
        assert_eq!(acknowledged_kept(&recording).len(), 1, "what stands in a row");
        recording.held[0].batches[0].rows.clear();
        assert_eq!(acknowledged_kept(&recording).len(), 2, "rows of two requests");
        let mut recording = good();
        recording.held[0].batches[1].epoch = "2".into();
        assert_eq!(acknowledged_kept(&recording).len(), 1, "another epoch's batch is another batch");
    }

    #[test]
    fn a_request_of_unknown_outcome_may_be_held_or_not() {
        let mut recording = good();
        recording.held.iter_mut().for_each(|stream| drop(stream.batches.pop()));
        assert!(acknowledged_kept(&recording).is_empty());
    }
}
