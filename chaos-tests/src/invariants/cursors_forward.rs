//! Promises 2 and 7: what a site once showed as held, or as acknowledged by its parent, it never shows less of.
//!
//! A node that was just started has yet to apply what its log holds, and a follower may lag: what such a node shows is true of
//! some earlier moment and binds nobody. What a node shows that is ready binds: it had applied everything that its site ever
//! acknowledged, so nothing that *any* node of the site showed before its status was requested may be missing.

use std::{collections::BTreeMap, time::Duration};

use crate::recording::{Recording, Sighting};

/// Ready nodes that show less than their site had shown before their status was requested.
pub fn cursors_forward(recording: &Recording) -> Vec<String> {
    let mut by_stream: BTreeMap<(u32, u32), Vec<&Sighting>> = BTreeMap::new();
    for sighting in &recording.sightings {
        by_stream.entry((sighting.at.0.0, sighting.origin)).or_default().push(sighting);
    }
    let mut findings = Vec::new();
    for sightings in by_stream.values() {
        went_back(sightings, "holds batch", |sighting| Some(sighting.seq), &mut findings);
        went_back(sightings, "was acknowledged batch", |sighting| sighting.acknowledged, &mut findings);
    }
    findings
}

fn went_back(sightings: &[&Sighting], what: &str, of: impl Fn(&Sighting) -> Option<u64>, findings: &mut Vec<String>) {
    let mut by_answer: Vec<(Duration, u64)> = sightings.iter().filter_map(|sighting| Some((sighting.answered_at, of(sighting)?))).collect();
    by_answer.sort_unstable();
    // The furthest that was shown up to each answer.
    let mut furthest = 0;
    for (_, seen) in &mut by_answer {
        furthest = furthest.max(*seen);
        *seen = furthest;
    }
    for sighting in sightings.iter().filter(|sighting| sighting.ready) {
        let Some(now) = of(sighting) else { continue };
        let answered_before = by_answer.partition_point(|(answered_at, _)| *answered_at <= sighting.requested_at);
        let before = answered_before.checked_sub(1).map_or(0, |last| by_answer[last].1);
        if now < before {
            findings.push(format!(
                "site {}, origin {}: {what} {before} before second {:.3}, and node {} then {now}",
                sighting.at.0,
                sighting.origin,
                sighting.requested_at.as_secs_f64(),
                sighting.at.1
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::sample::{good, sighting},
        *,
    };
    use crate::place::place;

    #[test]
    fn promise_7_a_ready_node_that_shows_less_than_its_site_showed_is_found() {
        assert!(cursors_forward(&good()).is_empty());
        let mut recording = good();
        recording.sightings.push(sighting(1, 2, 9, 3));
        assert_eq!(cursors_forward(&recording).len(), 1, "held");
        let mut recording = good();
        recording.sightings.push(sighting(3, 3, 9, 2));
        assert_eq!(cursors_forward(&recording).len(), 1, "acknowledged");
        let mut recording = good();
        recording.sightings.push(Sighting { at: place(1, 2), ..sighting(1, 2, 9, 3) });
        assert_eq!(cursors_forward(&recording).len(), 1, "another node of the same site");
    }

    #[test]
    fn a_node_that_is_not_ready_and_an_answer_to_an_older_request_bind_nobody() {
        let mut recording = good();
        recording.sightings.push(Sighting { ready: false, ..sighting(1, 1, 9, 0) });
        recording.sightings.push(Sighting { requested_at: Duration::from_secs(4), ..sighting(1, 1, 9, 3) });
        assert!(cursors_forward(&recording).is_empty(), "{:?}", cursors_forward(&recording));
    }
}
