//! Promise 3: a request is applied once, however often it arrived; and nothing is held that nobody entered.

use std::collections::{BTreeMap, BTreeSet};

use crate::recording::{EntryRecord, HeldStream, Recording};

/// A request in two batches, one that nobody made, rows that its request did not bring, or another number of rows than the
/// batches put.
pub fn applied_once(recording: &Recording) -> Vec<String> {
    let entered: BTreeMap<(u32, &str), &EntryRecord> =
        recording.entries.iter().map(|entry| ((entry.origin, entry.request_key.as_str()), entry)).collect();
    recording
        .held
        .iter()
        .flat_map(|stream| {
            wrong_in(stream, &entered)
                .into_iter()
                .map(|what| format!("site {} node {}, origin {}: {what}", stream.at.0, stream.at.1, stream.origin))
        })
        .collect()
}

fn wrong_in(stream: &HeldStream, entered: &BTreeMap<(u32, &str), &EntryRecord>) -> Vec<String> {
    let mut findings = Vec::new();
    let mut applied: BTreeMap<&str, u64> = BTreeMap::new();
    for batch in &stream.batches {
        let mut expected: Vec<&str> = Vec::new();
        for request in &batch.requests {
            if let Some(before) = applied.insert(request, batch.seq) {
                findings.push(format!("request {request} was applied in batch {before} and again in batch {}", batch.seq));
            }
            match entered.get(&(stream.origin, request.as_str())) {
                Some(entry) => expected.extend(entry.rows.iter().map(String::as_str)),
                None => findings.push(format!("request {request} in batch {} was made by nobody", batch.seq)),
            }
        }
        let mut put: Vec<&str> = batch.rows.iter().map(String::as_str).collect();
        expected.sort_unstable();
        put.sort_unstable();
        if put != expected {
            findings.push(format!(
                "batch {} puts {} rows, its requests brought {}, and they are not the same",
                batch.seq,
                put.len(),
                expected.len()
            ));
        }
    }
    let rows: BTreeSet<&str> = stream.batches.iter().flat_map(|batch| &batch.rows).map(String::as_str).collect();
    if rows.len() as u64 != stream.rows {
        findings.push(format!("its batches put {} rows, and {} are held", rows.len(), stream.rows));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::sample::good, *};

    #[test]
    fn promise_3_a_request_that_is_applied_twice_or_was_made_by_nobody_is_found() {
        assert!(applied_once(&good()).is_empty());
        let mut recording = good();
        let again = recording.held[0].batches[0].clone();
        recording.held[0].batches[2] = again;
        assert!(applied_once(&recording).iter().any(|finding| finding.contains("again")), "{:?}", applied_once(&recording));
        let mut recording = good();
        recording.entries.retain(|entry| entry.request_key != "held");
        assert!(applied_once(&recording).iter().any(|finding| finding.contains("nobody")));
    }

    #[test]
    fn promise_3_rows_that_no_request_brought_are_found() {
        let mut recording = good();
        recording.held[0].batches[1].rows.push("invented".into());
        assert_eq!(applied_once(&recording).len(), 2, "in the batch, and in the count");
        let mut recording = good();
        recording.held[1].rows += 1;
        assert_eq!(applied_once(&recording).len(), 1);
    }
}
