//! openraft's log, kept by [`LogDb`].
//!
//! An entry can be read from the [`LogTail`] as soon as `append` returns. An entry that a leader sent to this node counts as held once the
//! [`LogWriter`] has synced it. For an entry that this node proposes itself, openraft would wait for that sync before it sends the entry to
//! anyone, one sync after the other. So openraft is told at once that such an entry is held ([`Completion::BeforeSync`]), and what depends
//! on the entry waits for the disk instead:
//!
//! | what waits | where |
//! |---|---|
//! | a follower's response, by which an entry becomes committed | `peers/append_pipeline.rs` |
//! | sending the commit index to the others | `peers/append_pipeline.rs` |
//! | this node's response to a leader that it holds an entry | `serve.rs` |
//! | applying an entry, as a site of one node does without any response | `state_machine.rs` |
//!
//! Older entries are read from the disk on blocking threads, so that a slow disk does not stop the heartbeats.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, Range, RangeBounds},
    sync::Arc,
};

use kho_storage::{
    codec::{self, CodecError},
    ids::NodeId,
    log_db::{LogDb, LogDbError, LogMeta, LogRecord},
};
use openraft::{
    AnyError, LogState, OptionalSend, RaftLogReader,
    storage::{LogFlushed, RaftLogStorage},
};
use serde::de::DeserializeOwned;

use super::{
    install_gate::InstallGate,
    tail::{LogTail, SizedEntry, TailRead},
    writer::{Completion, LogWriter, StallInjector, WriteError},
};
use crate::consensus::types::{Entry, LogId, SiteRaft, StoreError, StoreIoError, Vote, entry_bytes};

/// The log as openraft uses it. Clones read and write the same log.
#[derive(Clone)]
pub struct LogStore {
    node: NodeId,
    log: Arc<LogDb>,
    tail: Arc<LogTail>,
    writer: LogWriter,
    gate: InstallGate,
    persisted: PersistedPosition,
    append_bytes_max: usize,
}

/// Up to which entry the state on disk has applied the log, as it would after a crash now.
pub type PersistedPosition = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

impl LogStore {
    /// Starts the thread that writes the log.
    ///
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start(
        node: NodeId,
        log: Arc<LogDb>,
        gate: InstallGate,
        persisted: PersistedPosition,
        append_bytes_max: usize,
    ) -> io::Result<Self> {
        let tail = Arc::new(LogTail::after(log.extent().next));
        let writer = LogWriter::start(Arc::clone(&log), Arc::clone(&tail))?;
        Ok(Self { node, log, tail, writer, gate, persisted, append_bytes_max })
    }

    /// The newest entries, and which of them the disk has.
    pub fn tail(&self) -> Arc<LogTail> {
        Arc::clone(&self.tail)
    }

    /// What tests stall the log with.
    pub fn stall_injector(&self) -> StallInjector {
        self.writer.stall_injector()
    }

    /// Entries of `range` that are there, in order, at most `bytes_max` of them in sum but at least one.
    async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let TailRead { on_disk: older, in_memory } = self.tail.read(range);
        let (mut entries, mut bytes_left) = (Vec::with_capacity(in_memory.len()), bytes_max);
        if !older.is_empty() {
            let log = Arc::clone(&self.log);
            let wanted = older.clone();
            let records = on_disk(StoreIoError::read_logs, move || Ok(log.read(wanted, bytes_max)?)).await?;
            // The disk's bound or its end was met before the tail.
            let ends_early = records.last().is_some_and(|last| last.index + 1 < older.end);
            for record in &records {
                bytes_left = bytes_left.saturating_sub(record.bytes.len());
                entries.push(decode_entry(record).map_err(|fault| StoreIoError::read_logs(AnyError::new(&fault)))?);
            }
            if ends_early {
                return Ok(entries);
            }
        }
        for SizedEntry { entry, bytes } in in_memory {
            if !entries.is_empty() && bytes > bytes_left {
                break;
            }
            bytes_left = bytes_left.saturating_sub(bytes);
            entries.push(entry);
        }
        Ok(entries)
    }

    async fn meta<T: DeserializeOwned + Send + 'static>(&self, meta: LogMeta) -> Result<Option<T>, StoreError> {
        self.after_all_written(StoreIoError::read_vote).await?;
        let log = Arc::clone(&self.log);
        on_disk(StoreIoError::read_vote, move || Ok(log.meta(meta)?.map(|bytes| codec::decode(&bytes)).transpose()?)).await
    }

    /// Waits until the disk holds everything that was handed to the writer before.
    async fn after_all_written(&self, named: impl FnOnce(AnyError) -> StoreIoError) -> Result<(), StoreError> {
        self.change(named, |_| Ok(())).await
    }

    async fn change(
        &self,
        named: impl FnOnce(AnyError) -> StoreIoError,
        change: impl FnOnce(&LogDb) -> Result<(), LogDbError> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.writer.change(change).await.map_err(|error: WriteError| named(AnyError::new(&error)).into())
    }
}

/// What can go wrong below openraft.
#[derive(Debug, thiserror::Error)]
enum LogFault {
    #[error(transparent)]
    Log(#[from] LogDbError),
    #[error("a record of the log can't be read or written: {0}")]
    Record(#[from] CodecError),
    #[error("the log's task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs `work` on a blocking thread; `named` says to openraft what was being done.
async fn on_disk<T: Send + 'static>(
    named: impl FnOnce(AnyError) -> StoreIoError,
    work: impl FnOnce() -> Result<T, LogFault> + Send + 'static,
) -> Result<T, StoreError> {
    let outcome = tokio::task::spawn_blocking(work).await.map_err(LogFault::from).and_then(|outcome| outcome);
    outcome.map_err(|fault| named(AnyError::new(&fault)).into())
}

fn decode_entry(record: &LogRecord) -> Result<Entry, LogFault> {
    Ok(codec::decode(&record.bytes)?)
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<SiteRaft> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StoreError> {
        self.read(half_open(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StoreError> {
        self.read(start..end, self.append_bytes_max).await
    }
}

impl RaftLogStorage<SiteRaft> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<SiteRaft>, StoreError> {
        self.after_all_written(StoreIoError::read_logs).await?;
        let log = Arc::clone(&self.log);
        on_disk(StoreIoError::read_logs, move || {
            let purged: Option<LogId> = log.purged()?.map(|bytes| codec::decode(&bytes)).transpose()?;
            let last = match log.extent().last() {
                Some(last) => log.read(last..last + 1, usize::MAX)?.first().map(decode_entry).transpose()?.map(|entry| entry.log_id),
                None => None,
            };
            Ok(LogState { last_purged_log_id: purged, last_log_id: last.or(purged) })
        })
        .await
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StoreError> {
        let bytes = codec::encode(vote).map_err(|e| StoreIoError::write_vote(AnyError::new(&e)))?;
        self.change(StoreIoError::write_vote, move |log| log.put_meta(LogMeta::Vote, &bytes, true)).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StoreError> {
        self.meta(LogMeta::Vote).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StoreError> {
        self.writer.note_committed(committed, codec::encode(&committed).map_err(|e| StoreIoError::write_logs(AnyError::new(&e)))?);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StoreError> {
        Ok(self.meta::<Option<LogId>>(LogMeta::Committed).await?.flatten())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<SiteRaft>) -> Result<(), StoreError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (mut appended, mut records) = (Vec::new(), Vec::new());
        let mut completion = Completion::BeforeSync;
        for entry in entries {
            if entry.log_id.leader_id.node_id != self.node.0 {
                completion = Completion::AfterSync;
            }
            let bytes = codec::encode_sized(&entry, entry_bytes(&entry)).map_err(|e| StoreIoError::write_logs(AnyError::new(&e)))?;
            records.push((entry.log_id.index, bytes));
            appended.push(entry);
        }
        // In the tail BEFORE the writer may note there that the disk holds them.
        self.tail.push(appended.into_iter().zip(&records).map(|(entry, (_, bytes))| SizedEntry { entry, bytes: bytes.len() }).collect());
        self.writer.append(records, completion, callback).await;
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StoreError> {
        // Appends that are still queued are written first, so that no write of a truncated entry is noted in the tail afterwards.
        self.after_all_written(StoreIoError::write_logs).await?;
        self.tail.truncate_from(log_id.index);
        self.change(StoreIoError::write_logs, move |log| log.truncate_from(log_id.index)).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StoreError> {
        let has_all = || (self.persisted)().is_some_and(|persisted| log_id.index <= persisted);
        self.gate.wait(has_all).await.map_err(|why| StoreIoError::write_logs(AnyError::error(why)))?;
        let mark = codec::encode(&log_id).map_err(|e| StoreIoError::write_logs(AnyError::new(&e)))?;
        self.tail.purge_to(log_id.index);
        self.change(StoreIoError::write_logs, move |log| log.purge_to(log_id.index, &mark)).await
    }
}
