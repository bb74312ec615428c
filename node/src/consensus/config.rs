//! How a node takes part in its site's consensus, and every bound of it.

use std::{path::PathBuf, time::Duration};

use kho_storage::ids::NodeId;

use super::{error::StartError, types::GroupId};

/// What a node must be told to take part.
#[derive(Debug, Clone)]
pub struct ConsensusConfig {
    pub group: GroupId,
    pub node: NodeId,
    /// Holds the log, log snapshots and the disk's mark. On one file system with the state database: snapshots are hard-linked.
    pub dir: PathBuf,
    /// Place among the site's nodes, from 0; lower ones stand for election earlier. By default that in the stored
    /// membership, or what the node id suggests.
    pub rank: Option<u32>,
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
    /// How long a proposal looks for a leader.
    pub leader_patience: Duration,
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
    /// How often the log's size is looked at.
    pub log_check_interval: Duration,
    /// Questions of one peer that are worked on at once.
    pub calls_per_peer_max: usize,
    /// Bytes of large questions of all peers that are being received or worked on.
    pub received_bytes_max: u32,
    /// Entries of one AppendEntries in sum, but at least one entry.
    pub append_bytes_max: usize,
}

impl Default for ConsensusLimits {
    fn default() -> Self {
        const MIB: u32 = 1 << 20;
        Self {
            proposed_bytes_max: 96 * MIB,
            proposed_commands_max: 512,
            propose_timeout: Duration::from_secs(15),
            leader_patience: Duration::from_secs(5),
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
        }
    }
}

/// A leader says that it lives this often; openraft's clock ticks at one and a half times this.
pub const HEARTBEAT_MS: u64 = 100;
/// A follower stands for election after `lease + timeout` of silence, where `timeout` is drawn once per process from
/// `first + rank * step .. + width` and `lease` is the window's end. So windows of different ranks are at least 250 ms
/// apart, more than a tick and a vote, and with one node lost someone stands at the latest after 1.35 s.
const ELECTION_FIRST_MS: u64 = 400;
const ELECTION_STEP_MS: u64 = 125;
const ELECTION_WIDTH_MS: u64 = 75;
/// Sites have at most five nodes; higher ranks share windows.
const RANKS: u32 = 5;
/// Sending a whole log snapshot may take hours; idle links are noticed by the transport.
const INSTALL_SNAPSHOT_TIMEOUT_MS: u64 = 6 * 3600 * 1000;
/// Upper bound in entries of what one AppendEntries asks the log for; bytes are bounded by the log itself.
const APPEND_ENTRIES_MAX: u64 = 1_000;

/// The window from which a node of `rank` draws its election timeout, in milliseconds.
pub fn election_window_ms(rank: u32) -> std::ops::Range<u64> {
    let first = ELECTION_FIRST_MS + u64::from(rank % RANKS) * ELECTION_STEP_MS;
    first..first + ELECTION_WIDTH_MS
}

/// The rank of `node` among `voters`, or what its id suggests before it is one.
pub fn rank_of(node: NodeId, voters: &[NodeId]) -> u32 {
    let place = voters.iter().position(|voter| *voter == node).map(|place| place as u64);
    let rank = place.unwrap_or_else(|| node.0.saturating_sub(1)) % u64::from(RANKS);
    u32::try_from(rank).unwrap_or(0)
}

/// openraft's own settings.
///
/// # Errors
/// [`StartError::Consensus`] when openraft finds them contradictory.
pub(super) fn raft_config(group: &GroupId, rank: u32) -> Result<openraft::Config, StartError> {
    let window = election_window_ms(rank);
    let config = openraft::Config {
        cluster_name: group.to_string(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: window.start,
        election_timeout_max: window.end,
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

    /// openraft's tick: elections are only considered so often.
    const TICK_MS: u64 = HEARTBEAT_MS * 3 / 2;

    #[test]
    fn nodes_of_a_site_never_stand_for_election_at_once_after_one_silence() {
        let stands_after = |rank: u32| {
            let window = election_window_ms(rank);
            let lease = window.end;
            (lease + window.start, lease + window.end + TICK_MS)
        };
        for rank in 1..RANKS {
            let (earliest, _) = stands_after(rank);
            assert!(earliest >= stands_after(rank - 1).1 + 10, "rank {rank}");
            assert!(earliest - TICK_MS > election_window_ms(rank - 1).end, "the lease of the one before has ended");
        }
        let (_, second_of_three) = stands_after(1);
        assert!(second_of_three <= 1_400, "{second_of_three}");
    }

    #[test]
    fn a_rank_is_the_place_among_the_voters_or_follows_the_id() {
        let voters = [NodeId(2), NodeId(5), NodeId(9)];
        assert_eq!(rank_of(NodeId(5), &voters), 1);
        assert_eq!(rank_of(NodeId(3), &voters), 2);
        assert_eq!(rank_of(NodeId(0), &[]), 0);
    }
}
