//! One site's consensus: its nodes agree on an order of commands, and each applies them to its warehouse.
//!
//! ```text
//!  propose ──► leader ──► log (synced) ──► followers' logs ──► committed ──► Warehouse::apply ──► outcome
//!  (any node passes it on)                                       └─ a follower far behind gets a log snapshot in pieces
//! ```
//!
//! This file and its folder are the only place that names openraft. Reading order, from what stands on its own to what uses it:
//!
//! | file | what it holds |
//! |---|---|
//! | `types.rs`, `snapshot_dir.rs` | the types that openraft is instantiated with |
//! | `error.rs`, `config.rs`, `status.rs` | errors, bounds and the state as plain values |
//! | `disk_mark.rs` | which disk this is: a node that lost its disk is another node |
//! | `founding.rs` | which founding of the site it belongs to |
//! | `log.rs`, `log/` | the log on `kho_storage::log_db`: `tail`, `latency_estimate`, `writer`, `install_gate`, `store`; `idle_flush` |
//! | `peers.rs`, `peers/` | messages between nodes: `wire`, `address_book`, `reachability`, `connections`, `append_pipeline`, `commit_notices`, `acknowledged`, `admission`, `newcomers` |
//! | `snapshot.rs`, `snapshot/` | log snapshots on disk and on their way: `store`, `wire`, `send`, `receive` |
//! | `leading.rs` | whether this node may lead |
//! | `election.rs`, `election/` | when a node stands for election, and which pre-votes it grants: `timer` |
//! | `state_position.rs` | how far a state is, and whether a received one is what was announced |
//! | `state_machine.rs` | the state, on `kho_storage::warehouse` |
//! | `log_keeper.rs` | when a log snapshot is due and what of the log may be purged |
//! | `contradiction.rs` | a leader that contradicts what is committed here: a majority was set back |
//! | `command_gate.rs` | what may enter the log |
//! | `agreement.rs`, `summaries.rs`, `divergence.rs` | whether a majority computed the same, and what becomes of a node that did not |
//! | `turned_back.rs` | nodes whose disks lost what they had acknowledged: noted in the state |
//! | `network.rs` | what openraft sends |
//! | `leadership_watch.rs` | reports who leads, and why this node can't go on |
//! | `start.rs` | opens a node's disk and starts its tasks |
//! | `propose.rs`, `read.rs`, `members.rs`, `addresses.rs`, `levels.rs`, `confirm.rs`, `peer_clocks.rs`, `serve.rs` | what callers and peers ask for |
//!
//! `tests.rs` is openraft's conformance suite; `fuzzing.rs` serves the fuzz targets alone.
//!
//! Not here: what a command means, when one is proposed, who may propose one.

mod addresses;
mod agreement;
mod command_gate;
mod config;
mod confirm;
mod contradiction;
mod disk_mark;
mod divergence;
mod election;
mod error;
mod founding;
#[doc(hidden)]
pub mod fuzzing;
mod leadership_watch;
mod leading;
mod levels;
mod log;
mod log_keeper;
mod members;
mod network;
mod peer_clocks;
mod peers;
mod propose;
mod read;
mod serve;
mod snapshot;
mod snapshot_dir;
mod start;
mod state_machine;
mod state_position;
mod status;
mod summaries;
#[cfg(test)]
mod tests;
mod turned_back;
mod types;

#[doc(hidden)]
pub use agreement::{Agreement, judge as judge_agreement};
pub use config::{BelievedTime, ConsensusConfig, ConsensusLimits};
pub use disk_mark::{FirstStart, first_start, require_first_start};
pub use error::{MembersError, PeerRefusal, ProposeError, ReadError, StartError};
pub use founding::Incarnation;
pub use levels::MemberLevels;
#[doc(hidden)]
pub use peers::{
    admission::{Admission, KnownMembers, admit},
    wire::Subject,
};
pub use peers::{reachability::UnreachableMember, wire::COMMAND_BYTES_MAX};
pub use status::{Leadership, Member, NodeRole, QUORUM_ACK_AGE_MS_MAX, RaftStatus};
pub use types::{DiskId, GroupId, NodeAddress};

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use kho_storage::{
    ids::{Epoch, Hash32, NodeId, OriginId, StreamSeq},
    level::Level,
    log_db::LogDb,
    warehouse::Warehouse,
};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use self::{
    agreement::Disputes,
    divergence::OwnDivergence,
    election::ElectionTimer,
    log::{LogTail, StallInjector},
    peers::{Peers, refusal_log::RefusalLog},
    snapshot::SnapshotReceiver,
    summaries::Summaries,
    turned_back::TurnedBack,
    types::Raft,
};
use crate::{
    byte_budget::ByteBudget,
    task_watch::{TaskEnded, TaskWatch},
};

/// This node's part in its site's consensus.
pub struct Consensus {
    raft: Raft,
    peers: Arc<Peers>,
    election_timer: Arc<ElectionTimer>,
    log_tail: Arc<LogTail>,
    log_stall_injector: StallInjector,
    snapshots: SnapshotReceiver,
    turned_back: TurnedBack,
    refusal_log: RefusalLog,
    contradicted: Mutex<Option<(NodeId, Instant)>>,
    /// The newest place of each own origin on which a majority agreed: idle heads repeat it.
    agreed_heads: Mutex<BTreeMap<OriginId, (Epoch, StreamSeq, Hash32)>>,
    disputes: Mutex<Disputes>,
    /// Comparisons that other nodes may have waiting here.
    comparisons: Semaphore,
    summaries: Arc<Summaries>,
    own_divergence: OwnDivergence,
    believed_time: BelievedTime,
    log: Arc<LogDb>,
    warehouse: Arc<Warehouse>,
    limits: ConsensusLimits,
    proposed_bytes: ByteBudget,
    proposed_commands: Semaphore,
    received_bytes: ByteBudget,
    changing_members: tokio::sync::Mutex<()>,
    parent_level: Mutex<Option<Level>>,
    leadership: watch::Receiver<Leadership>,
    failed: watch::Receiver<Option<String>>,
    stopping: CancellationToken,
    tasks: TaskWatch,
}

impl Consensus {
    pub fn node(&self) -> NodeId {
        self.peers.local().node
    }

    pub fn group(&self) -> &GroupId {
        &self.peers.local().group
    }

    /// The id of this node's disk, as the members know it.
    pub fn disk(&self) -> DiskId {
        self.peers.local().disk
    }

    /// The founding of the site that this node belongs to; none before it was founded, or before this node was added.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.peers.local().founding.incarnation()
    }

    /// Who leads, followed as it changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Why this node has stopped taking part; the process should end then. A storage error in apply ends up here.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failed.clone()
    }

    /// Resolves when a task of the consensus has ended although nobody stopped it; the process should end then.
    pub async fn first_task_ended(&self) -> TaskEnded {
        self.tasks.first_ended().await
    }

    /// The present state, for status and metrics.
    pub fn status(&self) -> RaftStatus {
        let now = Instant::now();
        let heartbeat_age = self.election_timer.heartbeat_age(now);
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let status = status::status(&metrics, heartbeat_age);
        // A member gets heartbeats, or leads; a node that does has learnt nothing false about itself.
        let stands_alone = status.leader.is_none();
        let removed_by = if stands_alone { confirm::removed_by(&metrics.membership_config, &self.peers) } else { None };
        RaftStatus {
            removed_by,
            unconfirmed: self.peers.newcomers().waiting(now),
            may_lead: self.peers.leading().is_permitted(),
            unreachable: self.peers.reachability().unreachable(now),
            ..status
        }
    }

    /// Says whether this node may lead. It may until told otherwise. A leader that may not takes no proposals and hands over.
    pub fn permit_leading(&self, may_lead: bool) {
        if self.peers.leading().set(may_lead) {
            tracing::warn!(may_lead, "whether this node may lead has changed");
        }
    }

    /// Makes a log snapshot now, whatever the log's size, unless one is being made. Returns when it was ordered.
    ///
    /// # Errors
    /// Why the node has stopped.
    pub async fn make_snapshot(&self) -> Result<(), StartError> {
        self.raft.trigger().snapshot().await.map_err(|e| StartError::Consensus(e.to_string()))
    }

    /// Runs `meanwhile` while this node's log is not written, as if its disk were stalled. For tests alone; `None` once the node has stopped.
    #[doc(hidden)]
    pub async fn while_log_stalls<T>(&self, meanwhile: impl Future<Output = T>) -> Option<T> {
        self.log_stall_injector.during(meanwhile).await
    }

    /// Has the next write of the log fail, as a broken disk does. For tests alone.
    #[doc(hidden)]
    pub fn fail_log(&self) {
        self.log_tail.write_failed(log::LogWriteFailed("a test broke it".into()));
    }

    /// Stops taking part and puts the state on disk. Proposals under way end as unknown.
    pub async fn shutdown(&self) {
        self.stopping.cancel();
        // An error means that the task is gone already.
        let _ = self.raft.shutdown().await;
        self.tasks.join().await;
        let warehouse = Arc::clone(&self.warehouse);
        match tokio::task::spawn_blocking(move || warehouse.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the state could not be flushed; the next start applies the log again"),
            Err(error) => tracing::warn!(%error, "the state could not be flushed; the next start applies the log again"),
        }
    }
}

impl Drop for Consensus {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}
