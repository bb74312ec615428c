//! openraft's state machine, kept by the [`Warehouse`]: it decodes commands, hands them over with their mark, and makes and
//! installs log snapshots as checkpoints.
//!
//! Disk work runs on blocking threads; slight entries are applied by the caller while that is quick ([`LatencyEstimate`]).

use std::sync::Arc;

use kho_storage::{
    codec::{self, Blob, CodecError},
    command::{Command, DivergedPlace},
    error::StorageError,
    warehouse::{AppliedMark, Warehouse},
};
use openraft::{AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, storage::RaftStateMachine};

use super::{
    divergence::OwnDivergence,
    log::{InstallGate, LatencyEstimate, LogTail, SMALL_BYTES_MAX},
    snapshot::SnapshotStore,
    snapshot_dir::{SnapshotDir, link_copy, state_in},
    state_position::{OtherState, Position, check_state, position_of},
    summaries::Summaries,
    types::{
        Entry, EntryResponse, LogId, Membership, SiteRaft, Snapshot, SnapshotMeta, StoreError, StoreIoError, StoredMembership,
        command_bytes,
    },
};

/// The state machine as openraft uses it.
#[derive(Clone)]
pub(super) struct StateMachine {
    warehouse: Arc<Warehouse>,
    snapshot_store: Arc<SnapshotStore>,
    gate: InstallGate,
    tail: Arc<LogTail>,
    summaries: Arc<Summaries>,
    own_divergence: OwnDivergence,
    /// Of applying entries.
    latency: Arc<LatencyEstimate>,
}

/// What can go wrong below openraft; each stops the node.
#[derive(Debug, thiserror::Error)]
enum StateFault {
    #[error(transparent)]
    Warehouse(#[from] StorageError),
    #[error("an entry of the log can't be read or written: {0}; a newer Kho may have written it: upgrade this node")]
    Record(#[from] CodecError),
    #[error("a log snapshot could not be written: {0}; check the disk and its free space")]
    Snapshot(#[from] std::io::Error),
    #[error(transparent)]
    OtherState(#[from] OtherState),
    #[error("a log snapshot up to {held:?} would replace the state at {applied:?}, which is further on")]
    Backwards { held: Option<LogId>, applied: Option<LogId> },
    #[error("the state's task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl StateMachine {
    pub fn new(
        warehouse: Arc<Warehouse>,
        snapshot_store: Arc<SnapshotStore>,
        gate: InstallGate,
        tail: Arc<LogTail>,
        summaries: Arc<Summaries>,
        own_divergence: OwnDivergence,
    ) -> Self {
        Self { warehouse, snapshot_store, gate, tail, summaries, own_divergence, latency: Arc::new(LatencyEstimate::unknown()) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        named: impl FnOnce(AnyError) -> StoreIoError,
        work: impl FnOnce(&Self) -> Result<T, StateFault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let this = self.clone();
        let outcome = tokio::task::spawn_blocking(move || work(&this)).await.map_err(StateFault::from).and_then(|outcome| outcome);
        outcome.map_err(|fault| stopping(named, &fault))
    }

    fn position(&self) -> Result<Position, StateFault> {
        Ok(position_of(&self.warehouse.applied()?.unwrap_or_default())?)
    }

    /// Applies entries and notes how long it took, if they are `small` and slight: what a large import takes says nothing about
    /// others.
    fn apply_all(&self, entries: Vec<Decoded>, small: bool) -> Result<Vec<EntryResponse>, StateFault> {
        if small && entries.iter().all(Decoded::is_slight) {
            self.latency.timed(|| self.apply_each(entries))
        } else {
            self.apply_each(entries)
        }
    }

    fn apply_each(&self, entries: Vec<Decoded>) -> Result<Vec<EntryResponse>, StateFault> {
        let AppliedMark { applied, mut membership } = self.warehouse.applied()?.unwrap_or_default();
        let mut applied: Option<LogId> = if applied.is_empty() { None } else { codec::decode(&applied)? };
        let mut outcomes = Vec::with_capacity(entries.len());
        for Decoded { log_id, content, .. } in entries {
            assert!(applied.is_none_or(|applied| log_id.index > applied.index), "entry {log_id} is applied after {applied:?}");
            applied = Some(log_id);
            let command = match content {
                Content::Nothing => None,
                Content::Command(command) => Some(command),
                Content::Unreadable(error) => return Err(error.into()),
                Content::Members(members) => {
                    membership = Blob(codec::encode(&StoredMembership::new(Some(log_id), members))?);
                    None
                }
            };
            let mark = AppliedMark { applied: Blob(codec::encode(&Some(log_id))?), membership: membership.clone() };
            let outcome = self.warehouse.apply(&mark, command.as_ref()).inspect_err(|error| self.note_divergence(error))?;
            outcomes.push(EntryResponse(outcome));
            self.summarise_at(log_id);
        }
        Ok(outcomes)
    }

    /// Remembers, before the node stops, that its rows are not those of its site.
    fn note_divergence(&self, error: &StorageError) {
        if let StorageError::Diverged { origin, seq, .. } = error {
            self.own_divergence.note(DivergedPlace::Stream { origin: *origin, seq: *seq });
        }
    }

    /// Makes the summary that is due after this entry. A disk that can't be read makes none; it is reported where it was read.
    fn summarise_at(&self, position: LogId) {
        let Some(round) = self.summaries.round_at(position.index) else { return };
        match self.warehouse.summary(round) {
            Ok(summary) => self.summaries.note(position, summary),
            Err(error) => {
                tracing::error!(%error, %position, "the state could not be summarised; the other nodes compare theirs without it");
            }
        }
    }

    fn make_snapshot(&self) -> Result<Snapshot, StateFault> {
        let root = self.snapshot_store.fresh();
        std::fs::create_dir_all(&root)?;
        let (last_log_id, last_membership) = position_of(&self.warehouse.checkpoint(&state_in(&root))?)?;
        let index = last_log_id.map_or(0, |id| id.index);
        let meta = SnapshotMeta { last_log_id, last_membership, snapshot_id: format!("{index}-{:016x}", rand::random::<u64>()) };
        let dir = self.snapshot_store.put(&root, &meta)?;
        Ok(Snapshot { meta, snapshot: Box::new(dir) })
    }

    /// Links twice: one copy becomes the state, the other the current snapshot. The state comes first, because a current
    /// snapshot that is ahead of the state would be taken at the next start for log that may be purged.
    fn install(&self, meta: &SnapshotMeta, received: &SnapshotDir) -> Result<(), StateFault> {
        let (kept, taken) = (self.snapshot_store.fresh(), self.snapshot_store.fresh());
        link_copy(&received.state(), &state_in(&kept))?;
        link_copy(&received.state(), &taken)?;
        // BEFORE anything is replaced: the state that stands is given up for no other than was announced, and for none behind it.
        check_state(&taken, meta)?;
        let (held, applied) = (meta.last_log_id, self.position()?.0);
        if held < applied {
            return Err(StateFault::Backwards { held, applied });
        }
        self.warehouse.replace_with(&taken)?;
        self.snapshot_store.put(&kept, meta)?;
        Ok(())
    }
}

/// An entry whose command was read.
struct Decoded {
    log_id: LogId,
    content: Content,
}

enum Content {
    Nothing,
    Command(Command),
    /// What comes before it is applied first: a raised level says why this build can't read on.
    Unreadable(CodecError),
    Members(Membership),
}

impl Decoded {
    /// Whether it takes no longer than its size suggests: trimming, for one, is a few bytes that read thousands of batches.
    fn is_slight(&self) -> bool {
        match &self.content {
            Content::Nothing | Content::Members(_) | Content::Unreadable(_) => true,
            Content::Command(command) => {
                matches!(command, Command::Write { .. } | Command::CommitHead { .. } | Command::RecordParent { .. })
            }
        }
    }
}

fn decode_all(entries: Vec<Entry>) -> Vec<Decoded> {
    let decode = |entry: Entry| {
        let content = match entry.payload {
            EntryPayload::Blank => Content::Nothing,
            EntryPayload::Normal(command) => command.decode().map_or_else(Content::Unreadable, Content::Command),
            EntryPayload::Membership(members) => Content::Members(members),
        };
        Decoded { log_id: entry.log_id, content }
    };
    entries.into_iter().map(decode).collect()
}

/// A fault of the state stops the node; openraft gets it as its own error.
fn stopping(named: impl FnOnce(AnyError) -> StoreIoError, fault: &StateFault) -> StoreError {
    tracing::error!(error = %fault, "the state could not be kept; this node stops taking part");
    named(AnyError::new(fault)).into()
}

impl RaftStateMachine<SiteRaft> for StateMachine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<Position, StoreError> {
        self.blocking(StoreIoError::read_state_machine, Self::position).await
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<EntryResponse>, StoreError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        self.tail.until_written(entries.last().map(|entry| entry.log_id)).await.map_err(|e| StoreIoError::write_logs(AnyError::new(&e)))?;
        let makes_summary = entries.iter().any(|entry| self.summaries.round_at(entry.log_id.index).is_some());
        let small = !makes_summary && entries.iter().map(command_bytes).sum::<usize>() <= SMALL_BYTES_MAX;
        if !small || !self.latency.is_quick() {
            return self.blocking(StoreIoError::write_state_machine, move |this| this.apply_all(decode_all(entries), small)).await;
        }
        let entries = decode_all(entries);
        if entries.iter().all(Decoded::is_slight) {
            return self.apply_all(entries, small).map_err(|fault| stopping(StoreIoError::write_state_machine, &fault));
        }
        self.blocking(StoreIoError::write_state_machine, move |this| this.apply_all(entries, small)).await
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotDir>, StoreError> {
        self.blocking(|e| StoreIoError::write_snapshot(None, e), |this| Ok(Box::new(this.snapshot_store.empty()?))).await
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Box<SnapshotDir>) -> Result<(), StoreError> {
        let of = meta.clone();
        let installed =
            self.blocking(|e| StoreIoError::write_snapshot(Some(meta.signature()), e), move |this| this.install(&of, &snapshot)).await;
        match &installed {
            Ok(()) => self.gate.passed(),
            Err(error) => self.gate.failed(&error.to_string()),
        }
        installed
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.snapshot_store.current().map(|(meta, dir)| Snapshot { meta, snapshot: Box::new(dir) }))
    }
}

impl RaftSnapshotBuilder<SiteRaft> for StateMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StoreError> {
        self.blocking(|e| StoreIoError::write_snapshot(None, e), Self::make_snapshot).await
    }
}
