//! Summaries of the state at every so many entries of the log, and their comparison: what no head covers shows there.
//!
//! Each node computes them where it applies the entry, so all compute them over the same commands. The leader asks the members for theirs
//! ([`agreement`](super::agreement)). Who differs from a majority is noted and stops ([`divergence`](super::divergence)).
//!
//! Invariant: which entries are compared depends on their place in the log alone (test
//! `promise_5_a_node_whose_cubes_differ_is_named_although_every_head_agrees`).

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use kho_storage::{command::DivergedPlace, ids::Hash32};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    Consensus,
    agreement::{Agreement, Asking, ComparedPlace, Comparison},
    types::LogId,
};

/// Summaries kept: a member that is asked may be further on.
const KEPT_MAX: usize = 16;

/// The newest summaries of this node.
#[derive(Debug)]
pub(super) struct Summaries {
    every: u64,
    kept: Mutex<VecDeque<(LogId, Hash32)>>,
    newest: watch::Sender<Option<(LogId, Hash32)>>,
}

impl Summaries {
    /// Summaries at every `every`th entry.
    pub fn every(every: u64) -> Arc<Self> {
        Arc::new(Self { every: every.max(1), kept: Mutex::default(), newest: watch::Sender::new(None) })
    }

    /// The round in which the state is compared after this entry; `None` when it is not.
    pub fn round_at(&self, position: u64) -> Option<u64> {
        (position > 0 && position.is_multiple_of(self.every)).then_some(position / self.every)
    }

    pub fn note(&self, position: LogId, summary: Hash32) {
        let mut kept = self.kept.lock();
        kept.push_back((position, summary));
        if kept.len() > KEPT_MAX {
            kept.pop_front();
        }
        drop(kept);
        self.newest.send_replace(Some((position, summary)));
    }

    /// This node's summary after an entry, if it is still known.
    pub fn at(&self, position: LogId) -> Option<Hash32> {
        self.kept.lock().iter().find(|(at, _)| *at == position).map(|(_, summary)| *summary)
    }

    fn newest(&self) -> watch::Receiver<Option<(LogId, Hash32)>> {
        self.newest.subscribe()
    }
}

/// On the leader: compares every summary with those of the members, and those about which nodes disagree again each time, for the next one
/// is about another cube. When it begins to lead it compares all that are kept: what nodes disagreed about, the leader before it alone knew
/// (test `promise_5_a_dispute_about_the_state_outlasts_other_rounds_and_a_change_of_leader`).
pub(super) async fn compare_states(consensus: Weak<Consensus>, summaries: Arc<Summaries>) {
    let mut newest = summaries.newest();
    let Some(mut leadership) = consensus.upgrade().map(|consensus| consensus.leadership.clone()) else { return };
    let mut led = false;
    loop {
        let (is_new, changed) = tokio::select! {
            changed = newest.changed() => (true, changed),
            changed = leadership.changed() => (false, changed),
        };
        if changed.is_err() {
            return;
        }
        let leads = leadership.borrow_and_update().ready;
        let begins = leads && !led;
        led = leads;
        if !leads || !(is_new || begins) {
            continue;
        }
        newest.mark_unchanged();
        let Some(consensus) = consensus.upgrade() else { return };
        for (position, own) in due(&consensus, &summaries, begins) {
            let result = compare_state(&consensus, position, own).await;
            metrics::counter!("kho_state_comparisons_total", "result" => result).increment(1);
        }
    }
}

/// What is to be compared: the newest summary and those in dispute, or all that are kept. A dispute about one that is not is given up.
fn due(consensus: &Consensus, summaries: &Summaries, all: bool) -> Vec<(LogId, Hash32)> {
    let kept: Vec<(LogId, Hash32)> = summaries.kept.lock().iter().copied().collect();
    let newest = kept.last().map(|(at, _)| *at);
    let mut disputes = consensus.disputes.lock();
    disputes.state.retain(|(position, _)| kept.iter().any(|(at, _)| at == position));
    let is_due = |at: &LogId| all || Some(*at) == newest || disputes.state.iter().any(|(position, _)| position == at);
    kept.into_iter().filter(|(at, _)| is_due(at)).collect()
}

/// Compares one summary, and returns what that came to.
async fn compare_state(consensus: &Consensus, position: LogId, own: Hash32) -> &'static str {
    let comparison = Comparison { position, place: ComparedPlace::State };
    let place = DivergedPlace::State { position: position.index };
    let settle = || consensus.disputes.lock().state.retain(|(disputed, _)| *disputed != position);
    match consensus.compare(&comparison, own, Asking::All).await {
        Agreement::Agreed { differing } => {
            consensus.report_differing(&differing, place);
            settle();
            if differing.is_empty() { "agreed" } else { "a_member_differs" }
        }
        Agreement::Outvoted => {
            consensus.leave_as_diverged(place);
            "outvoted"
        }
        // Who differed before may differ still.
        Agreement::Open { differing } if differing.is_empty() => "unanswered",
        Agreement::Open { differing } => {
            settle();
            consensus.disputes.lock().state.push((position, differing));
            "disputed"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_made_at_fixed_entries_and_the_newest_are_known() {
        let summaries = Summaries::every(10);
        let at = |term, index| LogId::new(openraft::CommittedLeaderId::new(term, 1), index);
        let rounds: Vec<Option<u64>> = [0, 1, 9, 10, 11, 20].map(|position| summaries.round_at(position)).into();
        assert_eq!(rounds, [None, None, None, Some(1), None, Some(2)]);
        for round in 1..=KEPT_MAX as u64 + 1 {
            summaries.note(at(1, 10 * round), Hash32::of(&round.to_le_bytes()));
        }
        assert_eq!(summaries.at(at(1, 10)), None, "bounded");
        assert_eq!(summaries.at(at(1, 20)), Some(Hash32::of(&2_u64.to_le_bytes())));
        assert_eq!(summaries.at(at(2, 20)), None, "another log");
        assert_eq!(*summaries.newest().borrow(), Some((at(1, 170), Hash32::of(&17_u64.to_le_bytes()))));
    }
}
