//! What a node knows of its site's consensus, as plain values.

use std::{collections::BTreeMap, time::Duration};

use kho_storage::ids::NodeId;
use openraft::{ServerState, error::Fatal};

use super::{
    peers::reachability::UnreachableMember,
    types::{DiskId, RaftMetrics, SiteNode},
};

/// A leader that no majority acknowledged for this long is not ready, nor healthy: it may have been replaced.
pub const QUORUM_ACK_AGE_MS_MAX: u64 = 5_000;
/// A leader without a heartbeat for so long is not named any more. openraft names the last one until there is another.
pub(super) const HEARTBEAT_AGE_MAX: Duration = Duration::from_secs(3);

/// Who leads the site, as this node sees it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    pub leader: Option<NodeId>,
    pub is_self: bool,
    pub term: u64,
    /// This node leads, has applied an entry of its own term, so it has all that was ever acknowledged, and a majority
    /// answers it. Only then it stamps time, signs heads or gives cursors.
    pub ready: bool,
}

/// What a node does in the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeRole {
    Leader,
    Follower,
    /// Stands for election.
    Candidate,
    /// Follows without a vote.
    Learner,
    Stopped,
}

/// A member of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub node: NodeId,
    pub quic_address: String,
    pub https_address: String,
    pub disk: DiskId,
    pub voter: bool,
}

/// The state of the consensus at one moment, for status and metrics. Positions are log indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftStatus {
    pub node: NodeId,
    pub role: NodeRole,
    pub term: u64,
    pub leader: Option<NodeId>,
    pub last_log: Option<u64>,
    pub applied: Option<u64>,
    /// Up to which the log was purged.
    pub purged: Option<u64>,
    /// Up to which the newest log snapshot reaches.
    pub snapshot: Option<u64>,
    pub members: Vec<Member>,
    /// On the leader: entries each other member still lacks; `None` for one that was not reached yet.
    pub lag_entries: BTreeMap<NodeId, Option<u64>>,
    /// On the leader: milliseconds since a majority answered.
    pub since_quorum_ms: Option<u64>,
    /// The node by whose log this one is no member any more: itself or a peer. Known only as far as somebody says so.
    pub removed_by: Option<NodeId>,
    /// A node that acts as a member, and that neither this node's log nor the members confirm.
    pub unconfirmed: Option<NodeId>,
    /// Whether this node may lead, see [`Consensus::permit_leading`](super::Consensus::permit_leading).
    pub may_lead: bool,
    /// Members that do not answer this node.
    pub unreachable: BTreeMap<NodeId, UnreachableMember>,
}

pub(super) fn leadership(metrics: &RaftMetrics) -> Leadership {
    let is_self = metrics.state == ServerState::Leader && metrics.running_state.is_ok();
    let own_term_applied = metrics
        .last_applied
        .is_some_and(|applied| applied.leader_id.term == metrics.current_term && applied.leader_id.node_id == metrics.id);
    let has_quorum = metrics.millis_since_quorum_ack.is_some_and(|age| age <= QUORUM_ACK_AGE_MS_MAX);
    Leadership {
        leader: metrics.current_leader.filter(|_| metrics.running_state.is_ok()).map(NodeId),
        is_self,
        term: metrics.current_term,
        ready: is_self && own_term_applied && has_quorum,
    }
}

/// Why the node no longer takes part, if it does not. A stop that was ordered is no failure.
pub(super) fn failure(metrics: &RaftMetrics) -> Option<String> {
    match &metrics.running_state {
        Ok(()) | Err(Fatal::Stopped) => None,
        Err(fatal) => Some(fatal.to_string()),
    }
}

pub(super) fn member(node: u64, record: &SiteNode, voter: bool) -> Member {
    Member {
        node: NodeId(node),
        quic_address: record.quic_address.clone(),
        https_address: record.https_address.clone(),
        disk: record.disk,
        voter,
    }
}

/// `heartbeat_age` is how long ago the last heartbeat of a leader came.
pub(super) fn status(metrics: &RaftMetrics, heartbeat_age: Duration) -> RaftStatus {
    let voters: Vec<u64> = metrics.membership_config.voter_ids().collect();
    let last_log = metrics.last_log_index;
    let lag = |matched: Option<u64>| matched.map(|matched| last_log.unwrap_or(0).saturating_sub(matched));
    let others = metrics.replication.iter().flatten().filter(|(node, _)| **node != metrics.id);
    RaftStatus {
        node: NodeId(metrics.id),
        role: match metrics.state {
            ServerState::Leader => NodeRole::Leader,
            ServerState::Follower => NodeRole::Follower,
            ServerState::Candidate => NodeRole::Candidate,
            ServerState::Learner => NodeRole::Learner,
            ServerState::Shutdown => NodeRole::Stopped,
        },
        term: metrics.current_term,
        leader: metrics.current_leader.filter(|leader| *leader == metrics.id || heartbeat_age < HEARTBEAT_AGE_MAX).map(NodeId),
        last_log,
        applied: metrics.last_applied.map(|id| id.index),
        purged: metrics.purged.map(|id| id.index),
        snapshot: metrics.snapshot.map(|id| id.index),
        members: metrics.membership_config.nodes().map(|(node, record)| member(*node, record, voters.contains(node))).collect(),
        lag_entries: others.map(|(node, matched)| (NodeId(*node), lag(matched.map(|id| id.index)))).collect(),
        since_quorum_ms: metrics.millis_since_quorum_ack,
        removed_by: None,
        unconfirmed: None,
        may_lead: true,
        unreachable: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::LogId;

    #[test]
    fn promise_9_a_leader_without_heartbeats_is_not_named_any_more() {
        let mut metrics = RaftMetrics::new_initial(3);
        metrics.state = ServerState::Follower;
        metrics.current_leader = Some(1);
        assert_eq!(status(&metrics, Duration::from_secs(1)).leader, Some(NodeId(1)));
        assert_eq!(status(&metrics, HEARTBEAT_AGE_MAX).leader, None);
        metrics.current_leader = Some(3);
        assert_eq!(status(&metrics, HEARTBEAT_AGE_MAX).leader, Some(NodeId(3)), "its own heartbeat it need not get");
    }

    #[test]
    fn a_leader_is_ready_only_after_an_entry_of_its_own_term_and_with_a_majority() {
        let mut metrics = RaftMetrics::new_initial(3);
        metrics.state = ServerState::Leader;
        metrics.current_leader = Some(3);
        metrics.current_term = 5;
        metrics.millis_since_quorum_ack = Some(10);
        let applied_in = |term| Some(LogId::new(openraft::CommittedLeaderId::new(term, 3), 9));
        metrics.last_applied = applied_in(4);
        assert_eq!(leadership(&metrics), Leadership { leader: Some(NodeId(3)), is_self: true, term: 5, ready: false });
        metrics.last_applied = applied_in(5);
        assert!(leadership(&metrics).ready);
        metrics.millis_since_quorum_ack = Some(QUORUM_ACK_AGE_MS_MAX + 1);
        assert!(!leadership(&metrics).ready);
        metrics.state = ServerState::Follower;
        assert!(!leadership(&metrics).ready && !leadership(&metrics).is_self);
    }
}
