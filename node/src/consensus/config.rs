//! How a node takes part in its site's consensus, and every bound of it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use kho_storage::ids::{NodeId, SiteTime};

use super::{
    error::StartError,
    types::{GroupId, NodeAddress},
};

/// Gives the time that the node believes. Whatever the consensus itself notes in the log is stamped by it.
pub type BelievedTime = Arc<dyn Fn() -> SiteTime + Send + Sync>;

/// What a node needs to take part.
#[derive(Debug, Clone)]
pub struct ConsensusConfig {
    pub group: GroupId,
    pub node: NodeId,
    /// Holds the log, log snapshots and the disk mark. On one file system with the state database: snapshots are hard-linked.
    pub dir: PathBuf,
    /// Place among the site's nodes, from 0; lower ones ask for votes earlier. By default that in the stored
    /// membership, or what the node id suggests.
    pub rank: Option<u32>,
    /// Where nodes of the site are by an operator's word, when the membership is out of date. What it says of this node is announced.
    pub addresses: BTreeMap<NodeId, NodeAddress>,
    pub limits: ConsensusLimits,
}

/// The consensus' bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsensusLimits {
    /// Commands proposed here and not yet applied, in bytes and in number.
    pub proposed_bytes_max: u32,
    pub proposed_commands_max: u32,
    /// A proposal without an outcome after this long is unknown.
    pub propose_timeout: Duration,
    /// How long a proposal waits for a leader.
    pub leader_timeout: Duration,
    /// A linearizable read gives up after this long.
    pub read_timeout: Duration,
    /// Log since the last log snapshot that makes a new one due.
    pub snapshot_log_bytes: u64,
    pub snapshot_log_entries: u64,
    /// Log below a log snapshot that is kept for followers a little behind: whichever is less.
    pub kept_log_entries: u64,
    pub kept_log_bytes: u64,
    /// A follower that lags by more than this gets a log snapshot, instead of holding back the purge.
    pub lagging_log_bytes_max: u64,
    /// How often the log's size is checked.
    pub log_check_interval: Duration,
    /// Requests of one peer that are worked on at once.
    pub calls_per_peer_max: usize,
    /// Bytes of large requests of all peers that are being received or worked on.
    pub received_bytes_max: u32,
    /// Entries of one AppendEntries in sum, but at least one entry.
    pub append_bytes_max: usize,
    /// After every so many entries the nodes compare what heads do not cover. The same at all nodes of a site.
    pub compared_entries: u64,
}

impl Default for ConsensusLimits {
    fn default() -> Self {
        const MIB: u32 = 1 << 20;
        Self {
            proposed_bytes_max: 96 * MIB,
            proposed_commands_max: 512,
            propose_timeout: Duration::from_secs(15),
            leader_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
            snapshot_log_bytes: 256 << 20,
            snapshot_log_entries: 20_000,
            kept_log_entries: 1_000,
            kept_log_bytes: 64 << 20,
            lagging_log_bytes_max: 1 << 30,
            log_check_interval: Duration::from_secs(2),
            calls_per_peer_max: 64,
            received_bytes_max: 128 * MIB,
            append_bytes_max: 4 << 20,
            compared_entries: 1_000,
        }
    }
}

/// A leader sends a heartbeat once per tick of openraft's clock, which is one and a half times this.
const HEARTBEAT_MS: u64 = 100;
/// The lease: a node that got a heartbeat this recently grants no vote. Four heartbeats may be lost or late.
pub(super) const LEASE: Duration = Duration::from_millis(600);
/// The election timeout of a node is drawn from `first + rank * step .. + width`. Windows do not touch, a vote fits
/// between them, and with one node of three lost one node starts a pre-vote at the latest after 0.85 s.
const ELECTION_TIMEOUT_FIRST_MS: u64 = 650;
const ELECTION_TIMEOUT_STEP_MS: u64 = 130;
const ELECTION_TIMEOUT_WIDTH_MS: u64 = 70;
/// Sites have at most five nodes; higher ranks share windows.
const RANKS: u32 = 5;
/// Sending a whole log snapshot may take hours; idle connections are detected by the transport.
const INSTALL_SNAPSHOT_TIMEOUT_MS: u64 = 6 * 3600 * 1000;
/// Upper bound in entries of what one AppendEntries asks the log for; bytes are bounded by the log itself.
const APPEND_ENTRIES_MAX: u64 = 1_000;

/// The window from which a node of `rank` draws its election timeout, in milliseconds.
pub(super) fn election_timeout_window_ms(rank: u32) -> std::ops::Range<u64> {
    let first = ELECTION_TIMEOUT_FIRST_MS + u64::from(rank % RANKS) * ELECTION_TIMEOUT_STEP_MS;
    first..first + ELECTION_TIMEOUT_WIDTH_MS
}

/// The rank of `node` among `voters`, or what its id suggests before it is one.
pub(super) fn rank_of(node: NodeId, voters: &[NodeId]) -> u32 {
    let place = voters.iter().position(|voter| *voter == node).map(|place| place as u64);
    let rank = place.unwrap_or_else(|| node.0.saturating_sub(1)) % u64::from(RANKS);
    u32::try_from(rank).unwrap_or(0)
}

/// openraft's own settings.
///
/// # Errors
/// [`StartError::Consensus`] when openraft finds them contradictory.
pub(super) fn raft_config(group: &GroupId) -> Result<openraft::Config, StartError> {
    let lease_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    let config = openraft::Config {
        cluster_name: group.to_string(),
        heartbeat_interval: HEARTBEAT_MS,
        // `election.rs` stands for election. Of these, openraft takes the longer one as the lease within which a follower of a
        // leader gives no vote, and the shorter one as the timeout for a vote's response.
        enable_elect: false,
        election_timeout_min: lease_ms - 1,
        election_timeout_max: lease_ms,
        install_snapshot_timeout: INSTALL_SNAPSHOT_TIMEOUT_MS,
        max_payload_entries: APPEND_ENTRIES_MAX,
        // The log keeper decides when a log snapshot is due and what is purged: openraft counts entries, not bytes, and
        // does not know what a node that is being sent a log snapshot needs next.
        snapshot_policy: openraft::SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        ..openraft::Config::default()
    };
    config.validate().map_err(|e| StartError::Consensus(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_a_site_ask_for_votes_one_after_the_other_within_one_timeout() {
        for rank in 1..RANKS {
            assert!(election_timeout_window_ms(rank).start >= election_timeout_window_ms(rank - 1).end + 50, "rank {rank}");
        }
        let lease_ms = u64::try_from(LEASE.as_millis()).expect("short");
        assert!(election_timeout_window_ms(0).start >= lease_ms + 50, "the others' lease has ended too when the first pre-vote starts");
        assert!(election_timeout_window_ms(1).end <= 850, "with one of three lost");
        assert!(raft_config(&GroupId { tree: "vn".into(), site: kho_storage::ids::SiteId(1) }).is_ok());
    }

    #[test]
    fn a_rank_is_the_place_among_the_voters_or_follows_the_id() {
        let voters = [NodeId(2), NodeId(5), NodeId(9)];
        assert_eq!(rank_of(NodeId(5), &voters), 1);
        assert_eq!(rank_of(NodeId(3), &voters), 2);
        assert_eq!(rank_of(NodeId(0), &[]), 0);
    }
}
