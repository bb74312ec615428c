//! Nodes that this node can't find in its membership and still may have to listen to.
//!
//! A node that was away does not know who was added meanwhile, and it learns of it only from a leader that may be such a node. So it
//! asks the members that it knows. A majority of its voters, itself among them, confirms the newcomer, or an operator does when too few
//! of those voters are left (`kho node confirm`).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use kho_storage::ids::NodeId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::consensus::{error::PeerRefusal, types::StoredMembership};

/// Nodes that are remembered as confirmed, and members that a greeting may name: a site has at most 5 voters.
pub const NAMED_MAX: usize = 32;
/// A node that asked and was not confirmed is reported for so long after its last request.
const REPORTED_FOR: Duration = Duration::from_secs(30);

/// The body of a greeting: who the sender takes for members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    pub members: BTreeSet<NodeId>,
}

/// The reply to the question whether a node is a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmReply {
    pub is_member: bool,
    /// Where the membership stands in the log of who replies.
    pub position: u64,
}

/// What is known beyond the membership. It lives in memory: a node that starts again asks again.
#[derive(Debug, Default)]
pub struct Newcomers {
    inner: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    invitation: Option<BTreeSet<NodeId>>,
    confirmed: BTreeSet<NodeId>,
    /// Who asked last without being confirmed.
    waiting: Option<(NodeId, Instant)>,
    /// The members are being asked about a node.
    asking: bool,
    /// A peer that does not take this node for a member, and where its membership stands in the log.
    removed_by: Option<(NodeId, u64)>,
}

impl Newcomers {
    /// A node of the site greeted this one, which has no membership yet. The last greeting counts.
    ///
    /// # Errors
    /// [`PeerRefusal::Malformed`] when it names more than [`NAMED_MAX`].
    pub fn greeted(&self, greeting: Greeting) -> Result<(), PeerRefusal> {
        if greeting.members.len() > NAMED_MAX {
            return Err(PeerRefusal::Malformed(format!(
                "a greeting names {} members, at most {NAMED_MAX} are taken",
                greeting.members.len()
            )));
        }
        self.inner.lock().invitation = Some(greeting.members);
        Ok(())
    }

    /// Runs `judge` with the members that the greeting named and the confirmed nodes.
    pub fn with<T>(&self, judge: impl FnOnce(Option<&BTreeSet<NodeId>>, &BTreeSet<NodeId>) -> T) -> T {
        let state = self.inner.lock();
        judge(state.invitation.as_ref(), &state.confirmed)
    }

    /// Notes that `node` waits to be confirmed. Whether the members are to be asked now; if so, [`Self::end_asking`] must follow.
    pub fn start_asking(&self, node: NodeId, now: Instant) -> bool {
        let mut state = self.inner.lock();
        state.waiting = Some((node, now));
        !std::mem::replace(&mut state.asking, true)
    }

    /// The members were asked.
    pub fn end_asking(&self) {
        self.inner.lock().asking = false;
    }

    /// `node` counts as expected from now on, until the membership says more.
    pub fn confirm(&self, node: NodeId) {
        let mut state = self.inner.lock();
        state.waiting = state.waiting.filter(|(waiting, _)| *waiting != node);
        if state.confirmed.len() >= NAMED_MAX {
            // The one that was added first is the first to be a member by now, or to be removed.
            state.confirmed.pop_first();
        }
        state.confirmed.insert(node);
    }

    /// The node that asked last and was not confirmed, while it still asks.
    pub fn waiting(&self, now: Instant) -> Option<NodeId> {
        self.inner.lock().waiting.filter(|(_, asked)| now.saturating_duration_since(*asked) < REPORTED_FOR).map(|(node, _)| node)
    }

    /// `peer` refused this node as one that is not a member.
    pub fn note_refused(&self, peer: NodeId, position: u64) {
        let mut state = self.inner.lock();
        if state.removed_by.is_none_or(|(_, newest)| position >= newest) {
            state.removed_by = Some((peer, position));
        }
    }

    /// The peer by whose newer membership this node, which holds `membership`, was removed. A peer that is behind proves nothing.
    pub fn removed_by(&self, membership: &StoredMembership) -> Option<NodeId> {
        let own = membership.log_id().map_or(0, |id| id.index);
        self.inner.lock().removed_by.filter(|(_, position)| *position > own).map(|(peer, _)| peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::{LogId, Membership};

    #[test]
    fn one_node_is_asked_about_at_a_time_and_what_waits_is_reported_until_it_is_confirmed() {
        let (newcomers, now) = (Newcomers::default(), Instant::now());
        assert!(newcomers.start_asking(NodeId(4), now) && !newcomers.start_asking(NodeId(4), now));
        newcomers.end_asking();
        assert!(newcomers.start_asking(NodeId(4), now));
        assert_eq!(newcomers.waiting(now), Some(NodeId(4)));
        assert_eq!(newcomers.waiting(now + REPORTED_FOR), None, "it no longer asks");
        newcomers.confirm(NodeId(4));
        assert_eq!(newcomers.waiting(now), None);
        assert!(newcomers.with(|_, confirmed| confirmed.contains(&NodeId(4))));
    }

    #[test]
    fn a_refusal_by_an_older_membership_is_no_removal() {
        let newcomers = Newcomers::default();
        let own = |index| {
            let position = LogId::new(openraft::CommittedLeaderId::new(1, 1), index);
            let voters = BTreeSet::from([1, 2]);
            StoredMembership::new(Some(position), Membership::new(vec![voters.clone()], voters))
        };
        assert_eq!(newcomers.removed_by(&own(7)), None);
        newcomers.note_refused(NodeId(1), 7);
        assert_eq!(newcomers.removed_by(&own(7)), None, "that membership is the own one");
        newcomers.note_refused(NodeId(2), 9);
        newcomers.note_refused(NodeId(1), 8);
        assert_eq!(newcomers.removed_by(&own(7)), Some(NodeId(2)));
        assert_eq!(newcomers.removed_by(&own(9)), None, "it was added again or learnt of it");
    }

    #[test]
    fn a_greeting_that_names_too_many_is_refused() {
        let newcomers = Newcomers::default();
        let greeting = |count| Greeting { members: (1..=count).map(NodeId).collect() };
        assert!(newcomers.greeted(greeting(NAMED_MAX as u64 + 1)).is_err());
        assert_eq!(newcomers.greeted(greeting(3)), Ok(()));
        assert_eq!(newcomers.with(|invitation, _| invitation.map(BTreeSet::len)), Some(3));
    }
}
