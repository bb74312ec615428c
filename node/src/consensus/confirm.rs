//! Asking the members that this node knows: whether a node that it does not know is one of them, and whether it is one itself.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::stream::{FuturesUnordered, StreamExt as _};
use kho_storage::{codec, ids::NodeId};
use openraft::ServerState;
use tokio::time::{sleep, timeout};

use super::{
    Consensus, MembersError,
    election::{ElectionTimer, is_majority_of_each},
    peers::{PeerTarget, Peers, newcomers::ConfirmReply, wire::Subject},
    status::HEARTBEAT_AGE_MAX,
    types::{Raft, StoredMembership},
};

/// A member that does not reply within this confirms nothing now.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two rounds in which a node that gets no heartbeats asks whether it is still a member.
const ASK_PAUSE: Duration = Duration::from_secs(2);

impl Consensus {
    /// Has the members confirm a node that this one does not know, unless they are being asked already. A request of the node that
    /// comes after that is admitted.
    pub(super) fn ask_about(self: &Arc<Self>, node: NodeId) {
        if !self.peers.newcomers().start_asking(node, Instant::now()) {
            return;
        }
        let this = Arc::clone(self);
        self.tasks.job("asks about a newcomer", async move {
            let membership = this.membership();
            let asking = this.stopping.run_until_cancelled(is_confirmed(&this.peers, &membership, node)).await;
            if asking == Some(true) {
                tracing::info!(%node, "the members confirmed a node that was added while this one was away");
                this.peers.newcomers().confirm(node);
            }
            this.peers.newcomers().end_asking();
        });
    }

    /// Takes an operator's word that `node` was added while this node was away and that too few of the members known here are left to
    /// say so. It holds until this node learns the membership, or starts again.
    ///
    /// # Errors
    /// [`MembersError::IdUsed`] for a node that this node knows as removed.
    pub fn confirm_node(&self, node: NodeId) -> Result<(), MembersError> {
        let membership = self.membership();
        let is_member = membership.nodes().any(|(id, _)| *id == node.0);
        if !is_member && membership.nodes().any(|(_, record)| record.retired_up_to >= node) {
            return Err(MembersError::IdUsed(node));
        }
        self.peers.newcomers().confirm(node);
        Ok(())
    }

    /// Whether `node` is a member by this node's log.
    pub(super) fn confirm_reply(&self, node: NodeId) -> ConfirmReply {
        let membership = self.membership();
        let is_member = membership.nodes().any(|(id, _)| *id == node.0);
        ConfirmReply { is_member, position: position_of(&membership) }
    }
}

/// Asks the members whether this node is one of them, while none of them sends it heartbeats. Nobody tells a node that was removed:
/// the leader has no more to send to it. A refusal is noted where it arrives, in [`Peers::call`]. Runs until the node stops.
pub(super) async fn watch_own_membership(raft: Raft, peers: Arc<Peers>, election_timer: Arc<ElectionTimer>) {
    loop {
        sleep(ASK_PAUSE).await;
        let (membership, leads) = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow();
            (Arc::clone(&metrics.membership_config), metrics.state == ServerState::Leader)
        };
        if leads || election_timer.heartbeat_age(Instant::now()) < HEARTBEAT_AGE_MAX {
            continue;
        }
        let own = peers.local().node;
        let Ok(body) = codec::encode(&own) else { continue };
        for (id, record) in membership.nodes().filter(|(id, _)| **id != own.0) {
            // Whatever it replies: only a refusal says something, and that is noted already.
            let _ = timeout(CONFIRM_TIMEOUT, peers.call(&PeerTarget::of_member(*id, record), Subject::Confirm, &body)).await;
        }
    }
}

/// The node by whose log this node, which holds `membership`, was removed: itself, or a peer with a newer membership.
pub(super) fn removed_by(membership: &StoredMembership, peers: &Peers) -> Option<NodeId> {
    let own = peers.local().node;
    let is_member = membership.nodes().any(|(id, _)| *id == own.0);
    let is_retired = membership.nodes().any(|(_, record)| record.retired_up_to >= own);
    if !is_member && is_retired { Some(own) } else { peers.newcomers().removed_by(membership) }
}

/// Whether a majority of the voters of `membership`, this node among them, takes `node` for a member. A voter whose log is behind
/// this node's has no say.
async fn is_confirmed(peers: &Peers, membership: &StoredMembership, node: NodeId) -> bool {
    let sets = membership.membership().get_joint_config();
    let own = peers.local().node;
    let Ok(body) = codec::encode(&node) else { return false };
    let body = &body;
    let voters: BTreeSet<u64> = sets.iter().flatten().copied().collect();
    let others = membership.nodes().filter(|(id, _)| voters.contains(*id) && **id != own.0 && **id != node.0);
    let mut replies: FuturesUnordered<_> = others
        .map(|(id, record)| {
            let target = PeerTarget::of_member(*id, record);
            async move { (*id, timeout(CONFIRM_TIMEOUT, peers.call(&target, Subject::Confirm, body)).await) }
        })
        .collect();
    let mut confirming = BTreeSet::from([own.0]);
    while let Some((voter, reply)) = replies.next().await {
        let Ok(Ok(reply)) = reply else { continue };
        if reply.read().is_ok_and(|reply: ConfirmReply| reply.is_member && reply.position >= position_of(membership)) {
            confirming.insert(voter);
            if is_majority_of_each(sets, &confirming) {
                return true;
            }
        }
    }
    false
}

/// Where a membership stands in the log.
fn position_of(membership: &StoredMembership) -> u64 {
    membership.log_id().map_or(0, |id| id.index)
}
