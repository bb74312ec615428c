//! openraft's log, kept by [`LogDb`].
//!
//! An entry can be read as soon as `append` returns and counts as held only once the [`Flusher`] has synced it. Disk work runs
//! on blocking threads, so that a slow disk does not stop the heartbeats.

use std::{
    fmt::Debug,
    ops::{Bound, Range, RangeBounds},
    sync::Arc,
};

use kho_storage::{
    codec::{self, CodecError},
    log_db::{LogDb, LogDbError, LogRecord, LogWord},
};
use openraft::{
    AnyError, LogState, OptionalSend, RaftLogReader,
    storage::{LogFlushed, RaftLogStorage},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    flusher::Flusher,
    install_gate::InstallGate,
    types::{Entry, LogId, SiteRaft, StoreError, StoreIoError, Vote},
};

/// The log as openraft uses it. Clones read and write the same log.
#[derive(Clone)]
pub(super) struct LogStore {
    log: Arc<LogDb>,
    flusher: Flusher,
    gate: InstallGate,
    append_bytes_max: usize,
}

impl LogStore {
    pub fn new(log: Arc<LogDb>, flusher: Flusher, gate: InstallGate, append_bytes_max: usize) -> Self {
        Self { log, flusher, gate, append_bytes_max }
    }

    async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let log = Arc::clone(&self.log);
        on_disk(StoreIoError::read_logs, move || log.read(range, bytes_max)?.iter().map(decode_entry).collect()).await
    }

    async fn word<T: DeserializeOwned + Send + 'static>(&self, word: LogWord) -> Result<Option<T>, StoreError> {
        let log = Arc::clone(&self.log);
        on_disk(StoreIoError::read_vote, move || Ok(log.word(word)?.map(|bytes| codec::decode(&bytes)).transpose()?)).await
    }

    async fn put_word<T: Serialize>(&self, word: LogWord, value: &T, durable: bool) -> Result<(), StoreError> {
        let bytes = codec::encode(value).map_err(|e| StoreIoError::write_vote(AnyError::new(&e)))?;
        let log = Arc::clone(&self.log);
        on_disk(StoreIoError::write_vote, move || Ok(log.put_word(word, &bytes, durable)?)).await
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
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(&mut self, range: RB) -> Result<Vec<Entry>, StoreError> {
        self.read(half_open(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StoreError> {
        self.read(start..end, self.append_bytes_max).await
    }
}

impl RaftLogStorage<SiteRaft> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<SiteRaft>, StoreError> {
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
        self.put_word(LogWord::Vote, vote, true).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StoreError> {
        self.word(LogWord::Vote).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StoreError> {
        self.put_word(LogWord::Committed, &committed, false).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StoreError> {
        Ok(self.word::<Option<LogId>>(LogWord::Committed).await?.flatten())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<SiteRaft>) -> Result<(), StoreError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded: Result<Vec<_>, CodecError> =
            entries.into_iter().map(|entry| codec::encode(&entry).map(|bytes| (entry.log_id.index, bytes))).collect();
        let encoded = encoded.map_err(|e| StoreIoError::write_logs(AnyError::new(&e)))?;
        let log = Arc::clone(&self.log);
        on_disk(StoreIoError::write_logs, move || Ok(log.append(encoded)?)).await?;
        self.flusher.call_back_when_durable(callback);
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StoreError> {
        let log = Arc::clone(&self.log);
        on_disk(StoreIoError::write_logs, move || Ok(log.truncate_from(log_id.index)?)).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StoreError> {
        self.gate.wait().await.map_err(|why| StoreIoError::write_logs(AnyError::error(why)))?;
        let log = Arc::clone(&self.log);
        on_disk(StoreIoError::write_logs, move || Ok(log.purge_to(log_id.index, &codec::encode(&log_id)?)?)).await
    }
}
