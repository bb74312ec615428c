//! Which members answer this node. Every node asks every other a small question all the time (`addresses.rs`), so that one that died
//! is noticed in a site where nothing is entered too, and so is a leader that reaches this node but can't be reached by it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use kho_storage::ids::NodeId;
use parking_lot::Mutex;

/// A member that has not answered for so long is reported.
pub const UNREACHABLE_AFTER: Duration = Duration::from_secs(8);

/// A member that does not answer this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreachableMember {
    pub seconds: u64,
    /// What became of the last question.
    pub why: String,
}

/// When each member answered last. In memory: a node that starts counts from its start.
#[derive(Debug, Default)]
pub struct Reachability {
    inner: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the members were named last.
    watched: Option<Instant>,
    members: BTreeMap<NodeId, LastAnswer>,
}

#[derive(Debug)]
struct LastAnswer {
    at: Instant,
    why: String,
}

impl Reachability {
    /// Names the members to watch; to be repeated before each round of questions. One that is new counts from now. So do all after a
    /// pause of this process: who did not ask knows nothing.
    pub fn watch(&self, members: impl IntoIterator<Item = NodeId>, now: Instant) {
        let mut state = self.inner.lock();
        let paused = state.watched.replace(now).is_some_and(|last| now.saturating_duration_since(last) >= UNREACHABLE_AFTER);
        let mut before = std::mem::take(&mut state.members);
        let new = || LastAnswer { at: now, why: String::new() };
        state.members = members.into_iter().map(|node| (node, before.remove(&node).filter(|_| !paused).unwrap_or_else(new))).collect();
    }

    /// A member did what it was asked.
    pub fn note_answer(&self, node: NodeId, now: Instant) {
        if let Some(answer) = self.inner.lock().members.get_mut(&node) {
            *answer = LastAnswer { at: now, why: String::new() };
        }
    }

    /// A member did not answer, or refused.
    pub fn note_failure(&self, node: NodeId, why: String) {
        if let Some(answer) = self.inner.lock().members.get_mut(&node) {
            answer.why = why;
        }
    }

    /// The members that have not answered for [`UNREACHABLE_AFTER`] or longer.
    pub fn unreachable(&self, now: Instant) -> BTreeMap<NodeId, UnreachableMember> {
        let state = self.inner.lock();
        let silent = state.members.iter().filter_map(|(node, answer)| {
            let age = now.saturating_duration_since(answer.at);
            (age >= UNREACHABLE_AFTER).then(|| (*node, UnreachableMember { seconds: age.as_secs(), why: answer.why.clone() }))
        });
        silent.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Duration = Duration::from_secs(2);

    #[test]
    fn promise_9_a_member_that_does_not_answer_is_named_with_how_long_and_why() {
        let (reachability, start) = (Reachability::default(), Instant::now());
        let mut now = start;
        for _ in 0..5 {
            reachability.watch([NodeId(2), NodeId(3)], now);
            reachability.note_answer(NodeId(2), now);
            reachability.note_failure(NodeId(3), "nobody is there".into());
            assert!(now.duration_since(start) >= UNREACHABLE_AFTER || reachability.unreachable(now).is_empty());
            now += ROUND;
        }
        let named = BTreeMap::from([(NodeId(3), UnreachableMember { seconds: 10, why: "nobody is there".into() })]);
        assert_eq!(reachability.unreachable(now), named);
        reachability.note_answer(NodeId(3), now);
        assert!(reachability.unreachable(now).is_empty());
    }

    #[test]
    fn a_member_that_is_gone_and_one_that_is_new_are_not_reported() {
        let (reachability, start) = (Reachability::default(), Instant::now());
        reachability.watch([NodeId(2)], start);
        reachability.watch([NodeId(2)], start + ROUND * 3);
        reachability.watch([NodeId(3)], start + ROUND * 4);
        assert!(reachability.unreachable(start + ROUND * 4).is_empty());
        reachability.note_answer(NodeId(9), start);
        assert!(
            reachability.unreachable(start + ROUND * 9).contains_key(&NodeId(3)) && reachability.unreachable(start + ROUND * 9).len() == 1
        );
    }

    #[test]
    fn a_node_that_was_paused_itself_blames_nobody() {
        let (reachability, start) = (Reachability::default(), Instant::now());
        reachability.watch([NodeId(2)], start);
        let woken = start + UNREACHABLE_AFTER * 2;
        reachability.watch([NodeId(2)], woken);
        assert!(reachability.unreachable(woken).is_empty());
    }
}
