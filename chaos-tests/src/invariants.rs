//! What must hold over a recording, whatever broke while it was made. One file each; pure functions, so that each can be shown
//! to fail on a recording that breaks it.
//!
//! | file | what it finds | promise |
//! |---|---|---|
//! | `acknowledged_kept.rs` | an acknowledged request, or a row of it with what stood in it, that a node lacks | 1 |
//! | `no_gap.rs` | a stream whose numbers leave one out, come twice or end elsewhere than the node says | 3 |
//! | `applied_once.rs` | a request in two batches, in another than was acknowledged, or that nobody made | 3 |
//! | `cursors_forward.rs` | a site that once showed more than it shows later | 2, 7 |
//! | `digests_equal.rs` | two nodes that differ at the same place, or that did not meet in the end | 5 |
//! | `times_forward.rs` | a batch stamped before the one before it | 9 |
//!
//! Histories inside a site have a judge of their own: [`crate::linearizability`].

mod acknowledged_kept;
mod applied_once;
mod cursors_forward;
mod digests_equal;
mod no_gap;
#[cfg(test)]
mod sample;
mod times_forward;

pub use acknowledged_kept::acknowledged_kept;
pub use applied_once::applied_once;
pub use cursors_forward::cursors_forward;
pub use digests_equal::digests_equal;
pub use no_gap::no_gap;
pub use times_forward::times_forward;

use std::collections::BTreeSet;

use anyhow::ensure;

use crate::recording::{Recording, Sighting};

/// More findings than these are only counted.
const FINDINGS_MAX: usize = 20;

type Invariant = fn(&Recording) -> Vec<String>;

/// All of them, by name.
const ALL: [(&str, Invariant); 6] = [
    ("no acknowledged record is lost", acknowledged_kept),
    ("no stream has a gap", no_gap),
    ("nothing is applied twice", applied_once),
    ("cursors never go back", cursors_forward),
    ("digests are equal", digests_equal),
    ("site time never goes back", times_forward),
];

/// Checks everything.
///
/// # Errors
/// Every invariant that is broken, with what was found; or that the recording shows nothing of what they ask for.
pub fn check_all(recording: &Recording) -> anyhow::Result<()> {
    ensure!(recording.acknowledged().next().is_some(), "nothing was acknowledged, so the recording shows nothing");
    ensure!(!recording.sightings.is_empty() && !recording.held.is_empty(), "no node was seen, so the recording shows nothing");
    let sites =
        |of: &dyn Fn(&&Sighting) -> bool| recording.sightings.iter().filter(of).map(|sighting| sighting.at.0).collect::<BTreeSet<_>>();
    let (seen, ready) = (sites(&|_| true), sites(&|sighting| sighting.ready));
    ensure!(seen == ready, "of the sites {seen:?} only {ready:?} had a ready node, and what others show binds nobody");
    ensure!(
        recording.sightings.iter().any(|sighting| sighting.ready && sighting.acknowledged > Some(0)),
        "no site was seen whose parent had acknowledged anything"
    );
    let broken: Vec<String> =
        ALL.iter().map(|(name, invariant)| (name, invariant(recording))).filter(|(_, findings)| !findings.is_empty()).map(report).collect();
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

fn report((name, findings): (&&str, Vec<String>)) -> String {
    let shown = findings.iter().take(FINDINGS_MAX).map(|finding| format!("  {finding}")).collect::<Vec<_>>().join("\n");
    let more = findings.len().saturating_sub(FINDINGS_MAX);
    format!("broken: {name}\n{shown}{}", if more > 0 { format!("\n  and {more} more") } else { String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_recording_passes_and_an_empty_one_does_not() {
        check_all(&sample::good()).expect("nothing is wrong with it");
        assert!(check_all(&Recording::default()).is_err());
        let unseen = Recording { sightings: vec![], ..sample::good() };
        assert!(check_all(&unseen).is_err());
        let mut unready = sample::good();
        unready.sightings.iter_mut().for_each(|sighting| sighting.ready = false);
        assert!(check_all(&unready).is_err());
        let mut unacknowledged = sample::good();
        unacknowledged.sightings.iter_mut().for_each(|sighting| sighting.acknowledged = None);
        assert!(check_all(&unacknowledged).is_err());
    }

    #[test]
    fn what_is_broken_is_named() {
        let mut recording = sample::good();
        recording.held[0].digest = "other".into();
        let report = check_all(&recording).expect_err("digests differ").to_string();
        assert!(report.contains("digests are equal"), "{report}");
    }
}
