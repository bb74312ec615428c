//! The start of a node: opens its disk, applies what is known to be committed, and starts its tasks.

use std::{path::Path, sync::Arc, time::Instant};

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
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Consensus,
    addresses::announce_addresses,
    agreement::COMPARISONS_MAX,
    config::{self, BelievedTime, ConsensusConfig, rank_of},
    confirm::watch_own_membership,
    disk_mark::{self, OwnDirectory},
    divergence::{self, OwnDivergence},
    election::{ElectionTimer, Elections, draw},
    error::StartError,
    founding::Founding,
    leadership_watch::LeadershipWatch,
    log::{InstallGate, LogStore, PersistedPosition},
    log_keeper::LogKeeper,
    network::Network,
    peers::{LocalNode, Peers, refusal_log::RefusalLog},
    snapshot::{SnapshotReceiver, SnapshotStore},
    state_machine::StateMachine,
    state_position::position_of,
    status::Leadership,
    summaries::{Summaries, compare_states},
    turned_back::{TurnedBack, note_reports},
    types::{Raft, StoreError, Vote},
};
use crate::{byte_budget::ByteBudget, task_watch::TaskWatch};

impl Consensus {
    /// Opens the log, applies what is known to be committed, and takes part.
    ///
    /// # Errors
    /// [`StartError`]; the operator has to fix it.
    pub async fn start(
        config: ConsensusConfig,
        warehouse: Arc<Warehouse>,
        endpoint: Endpoint,
        believed_time: BelievedTime,
    ) -> Result<Arc<Self>, StartError> {
        let parts = {
            let (config, warehouse) = (config.clone(), Arc::clone(&warehouse));
            let opened = tokio::task::spawn_blocking(move || Parts::open(&config, &warehouse));
            opened.await.map_err(|e| StartError::Consensus(e.to_string()))??
        };
        let founding = Arc::new(Founding::of_disk(config.dir.clone(), parts.own.incarnation));
        let local = LocalNode {
            group: config.group.clone(),
            founding,
            node: config.node,
            disk: parts.own.disk,
            levels: warehouse.supported_levels(),
        };
        let peers = Arc::new(Peers::new(endpoint, local, config.addresses.clone()));
        let election_timer = Arc::new(ElectionTimer::new(parts.rank, Instant::now(), draw));
        let mut log = parts.store;
        let (log_tail, log_stall_injector) = (log.tail(), log.stall_injector());
        let (summaries, own_divergence) = (Summaries::every(config.limits.compared_entries), OwnDivergence::default());
        let mut state = StateMachine::new(
            Arc::clone(&warehouse),
            Arc::clone(&parts.snapshot_store),
            parts.gate.clone(),
            Arc::clone(&log_tail),
            Arc::clone(&summaries),
            own_divergence.clone(),
        );
        // A level that this build does not support has a message of its own, and so has what this node computed otherwise than its site.
        let named = |error| {
            let diverged = own_divergence.place().map(|place| StartError::Diverged(divergence::told(config.node, place)));
            warehouse.level_fault().map(StartError::State).or(diverged).unwrap_or(error)
        };
        apply_committed(&mut log, &mut state).await.map_err(named)?;
        step_down_on_restart(&mut log, config.node).await?;

        let stopping = CancellationToken::new();
        let tasks = TaskWatch::new(stopping.clone());
        let (turned_back, reports) = TurnedBack::of(Arc::clone(&warehouse));
        let network = Network {
            peers: Arc::clone(&peers),
            log_tail: Arc::clone(&log_tail),
            snapshot_store: Arc::clone(&parts.snapshot_store),
            acknowledged: Arc::default(),
            turned_back: turned_back.clone(),
            tasks: tasks.clone(),
        };
        let settings = Arc::new(config::raft_config(&config.group)?);
        let raft = Raft::new(config.node.0, settings, network, log, state).await.map_err(|e| StartError::Consensus(e.to_string()))?;
        // Until openraft has told its state once, this node would take itself for a fresh one, which may be greeted and led by anybody.
        raft.is_initialized().await.map_err(|e| StartError::Consensus(e.to_string()))?;

        let parts_log = Arc::clone(&parts.log);
        let keeper = LogKeeper {
            raft: raft.clone(),
            log: parts.log,
            warehouse: Arc::clone(&warehouse),
            snapshot_store: Arc::clone(&parts.snapshot_store),
            limits: config.limits.clone(),
        };
        let elections = Elections { raft: raft.clone(), peers: Arc::clone(&peers), election_timer: Arc::clone(&election_timer) };
        let (leadership_sender, leadership) = watch::channel(Leadership::default());
        let (failure_sender, failed) = watch::channel(None);
        tasks.spawn("keeps the log short", keeper.run(stopping.clone()));
        let leadership_watch = LeadershipWatch {
            raft: raft.clone(),
            log_tail: Arc::clone(&log_tail),
            peers: Arc::clone(&peers),
            warehouse: Arc::clone(&warehouse),
            own_divergence: own_divergence.clone(),
            believed_time: Arc::clone(&believed_time),
            leadership: leadership_sender,
            failure: failure_sender,
        };
        tasks.spawn_until_stop("watches the leadership", leadership_watch.run());
        tasks.spawn_until_stop("elections", elections.run());
        let own_membership = watch_own_membership(raft.clone(), Arc::clone(&peers), Arc::clone(&election_timer));
        tasks.spawn_until_stop("watches its own membership", own_membership);
        tasks.spawn_until_stop("announces its addresses", announce_addresses(raft.clone(), Arc::clone(&peers)));
        tasks.spawn_until_stop(
            "notes nodes that were turned back",
            note_reports(raft.clone(), turned_back.clone(), reports, Arc::clone(&believed_time)),
        );
        let consensus = Arc::new(Self {
            snapshots: SnapshotReceiver {
                raft: raft.clone(),
                snapshot_store: parts.snapshot_store,
                gate: parts.gate,
                one_at_a_time: Arc::default(),
            },
            raft,
            peers,
            election_timer,
            log_tail,
            log_stall_injector,
            turned_back,
            refusal_log: RefusalLog::default(),
            contradicted: parking_lot::Mutex::new(None),
            agreed_heads: parking_lot::Mutex::default(),
            disputes: parking_lot::Mutex::default(),
            comparisons: Semaphore::new(COMPARISONS_MAX),
            summaries: Arc::clone(&summaries),
            own_divergence,
            believed_time,
            log: parts_log,
            warehouse,
            proposed_bytes: ByteBudget::new(config.limits.proposed_bytes_max),
            proposed_commands: Semaphore::new(config.limits.proposed_commands_max as usize),
            received_bytes: ByteBudget::new(config.limits.received_bytes_max),
            limits: config.limits,
            changing_members: tokio::sync::Mutex::new(()),
            parent_level: parking_lot::Mutex::new(None),
            leadership,
            failed,
            stopping,
            tasks,
        });
        consensus.tasks.spawn_until_stop("compares states", compare_states(Arc::downgrade(&consensus), summaries));
        Ok(consensus)
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
    fn open(config: &ConsensusConfig, warehouse: &Arc<Warehouse>) -> Result<Self, StartError> {
        let failed = |e: std::io::Error| StartError::Directory { path: config.dir.display().to_string(), reason: e.to_string() };
        let mark = warehouse.applied()?.unwrap_or_default();
        let (applied, membership) =
            position_of(&mark).map_err(|e| StartError::Consensus(format!("the state's mark can't be read: {e}")))?;
        let own = disk_mark::own_directory(&config.dir, &config.group, config.node).map_err(|error| match error {
            StartError::NeverStarted { path } if applied.is_some() => StartError::PartLost { path, found: "the state", missing: "its log" },
            other => other,
        })?;
        if let Some(place) = warehouse.divergence_of(config.node, own.disk.0)? {
            return Err(StartError::Diverged(divergence::told(config.node, place)));
        }
        let log = Arc::new(LogDb::open(&own.log_dir)?);
        check_log_fits(&config.dir, &log, applied.map(|id| id.index))?;
        let voters: Vec<NodeId> = membership.voter_ids().map(NodeId).collect();
        let gate = InstallGate::open();
        Ok(Self {
            own,
            store: LogStore::start(
                config.node,
                Arc::clone(&log),
                gate.clone(),
                persisted_position(warehouse),
                config.limits.append_bytes_max,
            )
            .map_err(failed)?,
            log,
            gate,
            snapshot_store: Arc::new(SnapshotStore::open(&config.dir.join("snapshots")).map_err(failed)?),
            rank: config.rank.unwrap_or_else(|| rank_of(config.node, &voters)),
        })
    }
}

/// A state that can't be read has nothing; whoever applies next meets the same fault.
fn persisted_position(warehouse: &Arc<Warehouse>) -> PersistedPosition {
    let warehouse = Arc::clone(warehouse);
    Arc::new(move || position_of(&warehouse.persisted_applied().ok()??).ok()?.0.map(|id| id.index))
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
    let failed = |e: StoreError| StartError::Consensus(e.to_string());
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
    let failed = |e: StoreError| StartError::Consensus(e.to_string());
    let Some(vote) = log.read_vote().await.map_err(failed)? else { return Ok(()) };
    if vote.committed && vote.leader_id.node_id == node.0 {
        log.save_vote(&Vote::new(vote.leader_id.term, node.0)).await.map_err(failed)?;
    }
    Ok(())
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
