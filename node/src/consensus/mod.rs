//! One site's consensus: its nodes agree on an order of commands, and each applies them to its warehouse.
//!
//! ```text
//!  propose ──► leader ──► log (synced) ──► followers' logs ──► committed ──► Warehouse::apply ──► outcome
//!  (any node passes it on)                                       └─ a follower far behind gets a log snapshot in pieces
//! ```
//!
//! This folder is the only place that names openraft. Reading order:
//!
//! | file | what it holds |
//! |---|---|
//! | `types.rs`, `error.rs`, `config.rs`, `status.rs` | the words |
//! | `disk_mark.rs` | which disk this is: a node that lost its disk is another node |
//! | `log_store.rs`, `log_tail.rs`, `log_writer.rs`, `latency_estimate.rs` | the log, on `kho_storage::log_db` |
//! | `state_machine.rs`, `snapshot_store.rs`, `install_gate.rs` | the state, on `kho_storage::warehouse` |
//! | `log_keeper.rs` | when a log snapshot is due and what of the log may go |
//! | `wire.rs`, `peers.rs`, `append_pipeline.rs`, `commit_notices.rs`, `acknowledged.rs`, `network.rs`, `serve.rs` | what nodes say to each other |
//! | `snapshot_wire.rs`, `snapshot_send.rs`, `snapshot_receive.rs` | a log snapshot on its way |
//! | `election_timer.rs`, `election.rs` | when a node stands for election, and whom it lets |
//! | `propose.rs`, `read.rs`, `members.rs` | what callers ask for |
//!
//! Not here: what a command means, when one is proposed, who may ask.

mod acknowledged;
mod append_pipeline;
mod commit_notices;
mod config;
mod disk_mark;
mod election;
mod election_timer;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod idle_flush;
mod install_gate;
mod latency_estimate;
mod log_keeper;
mod log_store;
mod log_tail;
mod log_writer;
mod members;
mod network;
mod peers;
mod propose;
mod read;
mod serve;
mod snapshot_receive;
mod snapshot_send;
mod snapshot_store;
mod snapshot_wire;
mod state_machine;
mod status;
#[cfg(test)]
mod suite;
mod types;
mod wire;

pub use config::{ConsensusConfig, ConsensusLimits};
pub use error::{MembersError, PeerRefusal, ProposeError, ReadError, StartError};
pub use members::NodeAddress;
pub use status::{ConsensusStatus, Leadership, Member, NodeRole, QUORUM_SILENCE_MS_MAX};
pub use types::{DiskId, GroupId};
pub use wire::COMMAND_BYTES_MAX;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use kho_replication::quic::Endpoint;
use kho_storage::{
    ids::NodeId,
    log_db::{LogDb, LogMeta},
    warehouse::Warehouse,
};
use openraft::{
    RaftLogReader as _,
    storage::{RaftLogStorage as _, RaftStateMachine as _},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use config::rank_of;
use disk_mark::OwnDirectory;
use election::{Elections, draw};
use election_timer::ElectionTimer;
use install_gate::InstallGate;
use log_keeper::LogKeeper;
use log_store::LogStore;
use log_tail::LogTail;
use log_writer::StallInjector;
use network::Network;
use peers::{LocalNode, Peers};
use snapshot_receive::SnapshotReceiver;
use snapshot_store::SnapshotStore;
use state_machine::{StateMachine, position_of};
use types::Raft;

/// This node's part in its site's consensus.
pub struct Consensus {
    raft: Raft,
    peers: Arc<Peers>,
    silence: Arc<ElectionTimer>,
    log_tail: Arc<LogTail>,
    log_stall_injector: StallInjector,
    snapshots: SnapshotReceiver,
    warehouse: Arc<Warehouse>,
    limits: ConsensusLimits,
    proposed_bytes: Semaphore,
    proposed_commands: Semaphore,
    received_bytes: Semaphore,
    changing_members: tokio::sync::Mutex<()>,
    leadership: watch::Receiver<Leadership>,
    failed: watch::Receiver<Option<String>>,
    stopping: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Consensus {
    /// Opens the log, applies what is known to be committed, and takes part.
    ///
    /// # Errors
    /// [`StartError`], the operator's to mend.
    pub async fn start(config: ConsensusConfig, warehouse: Arc<Warehouse>, endpoint: Endpoint) -> Result<Arc<Self>, StartError> {
        let parts = {
            let (config, warehouse) = (config.clone(), Arc::clone(&warehouse));
            let opened = tokio::task::spawn_blocking(move || Parts::open(&config, &warehouse));
            opened.await.map_err(|e| StartError::Consensus(e.to_string()))??
        };
        let local = LocalNode { group: config.group.clone(), node: config.node, disk: parts.own.disk };
        let peers = Arc::new(Peers::new(endpoint, local));
        let silence = Arc::new(ElectionTimer::new(parts.rank, Instant::now(), draw));
        let mut log = parts.store;
        let (log_tail, log_stall_injector) = (log.tail(), log.stall_injector());
        let mut state =
            StateMachine::new(Arc::clone(&warehouse), Arc::clone(&parts.snapshot_store), parts.gate.clone(), Arc::clone(&log_tail));
        apply_committed(&mut log, &mut state).await?;
        step_down_on_restart(&mut log, config.node).await?;

        let network = Network {
            peers: Arc::clone(&peers),
            log_tail: Arc::clone(&log_tail),
            snapshot_store: Arc::clone(&parts.snapshot_store),
            acknowledged: Arc::default(),
        };
        let settings = Arc::new(config::raft_config(&config.group)?);
        let raft = Raft::new(config.node.0, settings, network, log, state).await.map_err(|e| StartError::Consensus(e.to_string()))?;

        let keeper = LogKeeper {
            raft: raft.clone(),
            log: parts.log,
            warehouse: Arc::clone(&warehouse),
            snapshot_store: Arc::clone(&parts.snapshot_store),
            limits: config.limits.clone(),
        };
        let elections = Elections { raft: raft.clone(), peers: Arc::clone(&peers), silence: Arc::clone(&silence) };
        let (leadership_sender, leadership) = watch::channel(Leadership::default());
        let (failure_sender, failed) = watch::channel(None);
        let stopping = CancellationToken::new();
        let until_stop = |task| tokio::spawn(run_until(stopping.clone(), task));
        let tasks = vec![
            tokio::spawn(keeper.run(stopping.clone())),
            until_stop(Box::pin(watch_raft(raft.clone(), Arc::clone(&log_tail), leadership_sender, failure_sender))),
            until_stop(Box::pin(elections.run())),
        ];
        Ok(Arc::new(Self {
            snapshots: SnapshotReceiver {
                raft: raft.clone(),
                snapshot_store: parts.snapshot_store,
                gate: parts.gate,
                one_at_a_time: tokio::sync::Mutex::new(()),
            },
            raft,
            peers,
            silence,
            log_tail,
            log_stall_injector,
            warehouse,
            proposed_bytes: Semaphore::new(config.limits.proposed_bytes_max as usize),
            proposed_commands: Semaphore::new(config.limits.proposed_commands_max as usize),
            received_bytes: Semaphore::new(config.limits.received_bytes_max as usize),
            limits: config.limits,
            changing_members: tokio::sync::Mutex::new(()),
            leadership,
            failed,
            stopping,
            tasks: Mutex::new(tasks),
        }))
    }

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

    /// Who leads, followed as it changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Why this node has stopped taking part; the process should end then. A storage error in apply ends up here.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failed.clone()
    }

    /// The present state, for status and metrics.
    pub fn status(&self) -> ConsensusStatus {
        status::status(&self.raft.metrics().borrow(), self.silence.lasts(Instant::now()))
    }

    /// Makes a log snapshot now, whatever the log's size, unless one is being made. Returns when it was ordered.
    ///
    /// # Errors
    /// Why the node has stopped.
    pub async fn make_snapshot(&self) -> Result<(), StartError> {
        self.raft.trigger().snapshot().await.map_err(|e| StartError::Consensus(e.to_string()))
    }

    /// Does `meanwhile` while this node's log is not written, as if its disk hung. For tests alone; `None` once the node has stopped.
    #[doc(hidden)]
    pub async fn while_log_hangs<T>(&self, meanwhile: impl Future<Output = T>) -> Option<T> {
        self.log_stall_injector.during(meanwhile).await
    }

    /// Stops taking part and puts the state on disk. Proposals under way end as unknown.
    pub async fn shutdown(&self) {
        self.stopping.cancel();
        // An error means that the task is gone already.
        let _ = self.raft.shutdown().await;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            let _ = task.await;
        }
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

/// What `start` opens on disk.
struct Parts {
    own: OwnDirectory,
    log: Arc<LogDb>,
    store: LogStore,
    gate: InstallGate,
    snapshot_store: Arc<SnapshotStore>,
    rank: u32,
}

impl Parts {
    fn open(config: &ConsensusConfig, warehouse: &Warehouse) -> Result<Self, StartError> {
        let failed = |e: std::io::Error| StartError::Directory { path: config.dir.display().to_string(), reason: e.to_string() };
        let own = disk_mark::own_directory(&config.dir, &config.group, config.node)?;
        let log = Arc::new(LogDb::open(&own.log_dir)?);
        let mark = warehouse.applied()?.unwrap_or_default();
        let (applied, membership) =
            position_of(&mark).map_err(|e| StartError::Consensus(format!("the state's mark can't be read: {e}")))?;
        check_log_fits(&config.dir, &log, applied.map(|id| id.index))?;
        let voters: Vec<NodeId> = membership.voter_ids().map(NodeId).collect();
        let gate = InstallGate::open();
        Ok(Self {
            own,
            store: LogStore::start(config.node, Arc::clone(&log), gate.clone(), config.limits.append_bytes_max).map_err(failed)?,
            log,
            gate,
            snapshot_store: Arc::new(SnapshotStore::open(&config.dir.join("snapshots")).map_err(failed)?),
            rank: config.rank.unwrap_or_else(|| rank_of(config.node, &voters)),
        })
    }
}

/// The log must go on where the state ends, or the disk lost one of them.
fn check_log_fits(dir: &Path, log: &LogDb, applied: Option<u64>) -> Result<(), StartError> {
    let lost = |found, missing| Err(StartError::PartLost { path: dir.display().to_string(), found, missing });
    let extent = log.extent();
    let used = log.meta(LogMeta::Vote)?.is_some() || log.purged()?.is_some() || !extent.is_empty();
    match applied {
        Some(_) if !used => lost("the state", "its log"),
        None if log.purged()?.is_some() => lost("a log", "the state before it"),
        Some(applied) if applied + 1 < extent.first => lost("a log", "the state before it"),
        _ => Ok(()),
    }
}

/// Applies what is known to be committed, in pieces bounded in bytes. openraft would do it too, but counts entries.
async fn apply_committed(log: &mut LogStore, state: &mut StateMachine) -> Result<(), StartError> {
    let failed = |e: types::StoreError| StartError::Consensus(e.to_string());
    let Some(committed) = log.read_committed().await.map_err(failed)? else { return Ok(()) };
    let (applied, _) = state.applied_state().await.map_err(failed)?;
    let mut next = applied.map_or(0, |id| id.index + 1);
    while next <= committed.index {
        let entries = log.limited_get_log_entries(next, committed.index + 1).await.map_err(failed)?;
        let Some(last) = entries.last().map(|entry| entry.log_id.index) else { return Ok(()) };
        state.apply(entries).await.map_err(failed)?;
        next = last + 1;
    }
    Ok(())
}

/// A node that led when it stopped starts as a follower, though openraft would have it lead on at once. What it acknowledged last
/// is in its log but perhaps not known here to be committed, so that it would give read indexes, cursors and heads that lie too
/// far back. An election settles what is committed first.
async fn step_down_on_restart(log: &mut LogStore, node: NodeId) -> Result<(), StartError> {
    let failed = |e: types::StoreError| StartError::Consensus(e.to_string());
    let Some(vote) = log.read_vote().await.map_err(failed)? else { return Ok(()) };
    if vote.committed && vote.leader_id.node_id == node.0 {
        log.save_vote(&types::Vote::new(vote.leader_id.term, node.0)).await.map_err(failed)?;
    }
    Ok(())
}

async fn run_until(stopping: CancellationToken, task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) {
    // An ended token or an ended task are equally good.
    let _ = stopping.run_until_cancelled(task).await;
}

/// How often a leader that is ready is asked whether it still hears a majority.
const READINESS_LOOK: Duration = Duration::from_millis(100);

/// Tells who leads, and why this node can't go on once that is so.
async fn watch_raft(
    raft: Raft,
    log_tail: Arc<LogTail>,
    leadership_sender: watch::Sender<Leadership>,
    failure_sender: watch::Sender<Option<String>>,
) {
    // All metrics change with every entry; those of the server only when a leader, a term or the members change.
    let (mut all, mut server) = (raft.metrics(), raft.server_metrics());
    let mut hangs = false;
    loop {
        server.mark_unchanged();
        hangs = report_stall(hangs, log_tail.hangs_for(Instant::now()));
        let (mut leadership, failure) = {
            let metrics = all.borrow_and_update();
            (status::leadership(&metrics), status::failure(&metrics))
        };
        // openraft waits for the disk too, and goes on calling itself the leader meanwhile.
        leadership.ready &= !hangs;
        leadership_sender.send_if_modified(|told| std::mem::replace(told, leadership) != leadership);
        if failure.is_some() {
            failure_sender.send_replace(failure);
            return;
        }
        let not_ready_yet = leadership.is_self && !leadership.ready;
        let lives = tokio::select! {
            changed = all.changed(), if not_ready_yet => changed.is_ok(),
            changed = server.changed() => changed.is_ok(),
            () = tokio::time::sleep(READINESS_LOOK) => true,
            failed = log_tail.until_write_failed() => {
                failure_sender.send_replace(Some(failed.to_string()));
                return;
            }
        };
        if !lives {
            // openraft has ended and said why.
            failure_sender.send_replace(status::failure(&raft.metrics().borrow()));
            return;
        }
    }
}

/// Tells the operator when the disk begins to hang and when that is over. Whether it hangs.
fn report_stall(hung_before: bool, hangs_for: Option<Duration>) -> bool {
    match (hung_before, hangs_for) {
        (false, Some(stalled)) => tracing::error!(
            ?stalled,
            "the disk takes no write to the log; this node leads and agrees to nothing until it does: check the disk"
        ),
        (true, None) => tracing::info!("the disk takes writes to the log again"),
        _ => {}
    }
    hangs_for.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_ends_before_a_purged_log_begins_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = LogDb::open(dir.path()).expect("fresh directory");
        log.append((0..10).map(|index| (index, b"entry"))).expect("consecutive");
        let fits = |applied| check_log_fits(dir.path(), &log, Some(applied)).is_ok();
        assert!(fits(3) && fits(9));
        log.purge_to(5, b"5").expect("writable");
        assert!(!fits(4) && fits(5), "the log goes on");
        log.purge_to(9, b"9").expect("writable");
        assert!(log.extent().is_empty());
        assert!(!fits(8) && fits(9), "the log is empty");
    }
}
