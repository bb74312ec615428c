//! Promise 5: at the same place of an origin's stream every node of every tier has the same digest, at any time; and in the end,
//! with all links whole, all stand at the same place.

use std::collections::BTreeMap;

use crate::{place::Place, recording::Recording};

/// A node, and its digest and number of rows.
type NodeState<'a> = (Place, (&'a str, u64));

/// Two nodes that differ at the same place, or that stand at different places in the end.
pub fn digests_equal(recording: &Recording) -> Vec<String> {
    let mut findings = Vec::new();
    let shown = recording
        .sightings
        .iter()
        .filter_map(|seen| Some((seen.at, (seen.origin, seen.epoch.as_str(), seen.seq), (seen.digest.as_deref()?, seen.rows))));
    let held = recording.held.iter().map(|held| (held.at, (held.origin, held.epoch.as_str(), held.seq), (held.digest.as_str(), held.rows)));
    let mut first: BTreeMap<(u32, &str, u64), NodeState<'_>> = BTreeMap::new();
    for (at, place, state) in shown.chain(held) {
        let (other, known) = *first.entry(place).or_insert((at, state));
        if known != state {
            let (origin, epoch, seq) = place;
            findings.push(format!(
                "origin {origin}, epoch {epoch}, batch {seq}: site {} node {} has {known:?}, site {} node {} has {state:?}",
                other.0, other.1, at.0, at.1
            ));
        }
    }
    let mut ends: BTreeMap<u32, (Place, (&str, u64))> = BTreeMap::new();
    for held in &recording.held {
        let end = (held.epoch.as_str(), held.seq);
        let (other, known) = *ends.entry(held.origin).or_insert((held.at, end));
        if known != end {
            findings.push(format!(
                "origin {}: in the end site {} node {} stands at {known:?}, site {} node {} at {end:?}",
                held.origin, other.0, other.1, held.at.0, held.at.1
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::sample::good, *};

    #[test]
    fn promise_5_nodes_that_differ_at_the_same_place_are_found_at_any_time() {
        assert!(digests_equal(&good()).is_empty());
        let mut recording = good();
        recording.sightings[1].digest = Some("other".into());
        assert_eq!(digests_equal(&recording).len(), 1, "while things broke");
        let mut recording = good();
        recording.sightings[1].rows += 1;
        assert_eq!(digests_equal(&recording).len(), 1, "another number of rows");
        let mut recording = good();
        recording.held[1].digest = "other".into();
        assert_eq!(digests_equal(&recording).len(), 1, "in the end");
    }

    #[test]
    fn promise_5_nodes_that_never_meet_are_found() {
        let mut recording = good();
        (recording.held[1].seq, recording.held[1].digest, recording.held[1].rows) = (2, "digest 2".into(), 3);
        assert_eq!(digests_equal(&recording).len(), 1);
    }

    #[test]
    fn a_place_that_is_being_transferred_stands_for_no_state() {
        let mut recording = good();
        (recording.sightings[1].digest, recording.sightings[1].rows) = (None, 77);
        assert!(digests_equal(&recording).is_empty());
    }
}
