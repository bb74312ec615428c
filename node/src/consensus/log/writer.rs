//! The writer of the log: one thread that writes and syncs, in the order of the jobs. All jobs that wait at one moment share one write
//! and one sync. A small append that finds no job waiting is written by its caller while the disk is quick ([`LatencyEstimate`]). An append
//! that openraft need not wait for ([`Completion::BeforeSync`]) is written while the followers are being sent it.
//!
//! Invariant: what is written is written in the order in which it was handed over, and nothing is written after a write that failed
//! ([`LogTail::check`]).

use std::{
    io, iter, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use kho_storage::log_db::{LogDb, LogDbError, LogMeta};
use openraft::storage::LogFlushed;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::{
    latency_estimate::{LatencyEstimate, SMALL_BYTES_MAX},
    tail::{LogTail, LogWriteFailed},
};
use crate::consensus::types::{LogId, SiteRaft};

/// Jobs that wait for the thread at most; whoever brings another one waits for a place. While the disk works there are never so many:
/// it bounds what gathers behind a stalled disk.
const JOBS_QUEUED_MAX: usize = 1_024;
/// Jobs that share one write at most, so that none waits for ever.
const JOBS_GROUPED_MAX: usize = 64;
/// Jobs of so many bytes are written without those that follow: during one write the disk shows no progress
/// ([`LogTail::stalled_for`]).
const GROUP_BYTES_MAX: usize = 4 << 20;

/// The handle of the writing thread. The thread ends with its last handle, which waits for it: a process must not end while a
/// thread still holds a database.
#[derive(Clone)]
pub struct LogWriter {
    thread: Arc<WriterThread>,
    core: Arc<WriterCore>,
}

struct WriterThread {
    /// `None` only while the last handle is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    running: Option<thread::JoinHandle<()>>,
}

/// When an append counts as done for openraft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// Once the disk has it.
    AfterSync,
    /// At once. Whatever depends on it waits for [`LogTail::until_written`].
    BeforeSync,
}

enum Job {
    /// Without a callback when that was called already.
    Append { records: Vec<(u64, Vec<u8>)>, flushed: Option<LogFlushed<SiteRaft>> },
    /// Whatever else changes the log, in its place among the appends.
    Change { change: Change, done: oneshot::Sender<Result<(), WriteError>> },
}

type Change = Box<dyn FnOnce(&LogDb) -> Result<(), LogDbError> + Send>;

impl Drop for WriterThread {
    fn drop(&mut self) {
        // The channel closes BEFORE the thread is waited for, or it would never end.
        drop(self.jobs.take());
        // What it said of a panic is in the log's tail.
        let _ = self.running.take().map(thread::JoinHandle::join);
    }
}

impl LogWriter {
    /// Starts the thread; it notes in `tail` what the disk holds.
    ///
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start(log: Arc<LogDb>, tail: Arc<LogTail>) -> io::Result<Self> {
        let (jobs, arrived) = mpsc::channel(JOBS_QUEUED_MAX);
        let core = Arc::new(WriterCore {
            log,
            tail,
            committed: Mutex::default(),
            jobs_waiting: AtomicUsize::new(0),
            turn: Mutex::default(),
            latency: LatencyEstimate::unknown(),
        });
        let running = thread::Builder::new().name("kho-log-write".into()).spawn({
            let core = Arc::clone(&core);
            move || {
                // Nobody may wait for a write that never comes: a node whose log can't be written ends.
                if catch_unwind(AssertUnwindSafe(|| core.run(arrived))).is_err() {
                    core.tail.write_failed(LogWriteFailed(PANICKED.into()));
                }
            }
        })?;
        Ok(Self { thread: Arc::new(WriterThread { jobs: Some(jobs), running: Some(running) }), core })
    }

    /// Appends consecutive entries and calls back, perhaps before this returns.
    pub async fn append(&self, records: Vec<(u64, Vec<u8>)>, completion: Completion, flushed: LogFlushed<SiteRaft>) {
        let flushed = match completion {
            Completion::BeforeSync => {
                flushed.log_io_completed(Ok(()));
                None
            }
            Completion::AfterSync => Some(flushed),
        };
        let here = completion == Completion::AfterSync
            && bytes_of(&records) <= SMALL_BYTES_MAX
            && self.core.latency.is_quick()
            && self.core.jobs_waiting.load(Ordering::Acquire) == 0;
        if here {
            return self.core.write(&mut GroupedAppend::of(records, flushed));
        }
        if let Err(Job::Append { flushed, .. }) = self.send(Job::Append { records, flushed }).await {
            self.core.tail.write_failed(LogWriteFailed(ENDED.into()));
            if let Some(flushed) = flushed {
                flushed.log_io_completed(Err(io::Error::other(ENDED)));
            }
        }
    }

    /// Changes the log after everything that was handed over before.
    ///
    /// # Errors
    /// The change's own, or why nothing is written any more.
    pub async fn change(&self, change: impl FnOnce(&LogDb) -> Result<(), LogDbError> + Send + 'static) -> Result<(), WriteError> {
        let (done, changed) = oneshot::channel();
        self.send(Job::Change { change: Box::new(change), done }).await.map_err(|_| WriteError::Ended)?;
        changed.await.map_err(|_| WriteError::Ended)?
    }

    /// Notes the commit index, as `bytes`. It is written with the next write after the disk has the log up to there. A crash before that
    /// loses it; a restarted node then learns it from the leader, which costs only time.
    pub fn note_committed(&self, committed: Option<LogId>, bytes: Vec<u8>) {
        *self.core.committed.lock() = Some((committed, bytes));
    }

    /// What tests stall the log with. It keeps neither the thread nor the log alive.
    pub fn stall_injector(&self) -> StallInjector {
        StallInjector(Arc::downgrade(&self.core))
    }

    /// Hands a job to the thread, once there is a place for it.
    async fn send(&self, job: Job) -> Result<(), Job> {
        let Some(jobs) = &self.thread.jobs else { return Err(job) };
        let Ok(place) = jobs.reserve().await else { return Err(job) };
        // Counted BEFORE the thread may take it.
        self.core.jobs_waiting.fetch_add(1, Ordering::AcqRel);
        place.send(job);
        Ok(())
    }
}

/// Keeps a log from being written, as a stalled disk does.
pub struct StallInjector(Weak<WriterCore>);

impl StallInjector {
    /// Runs `meanwhile` while nothing is written. `None` when the log is closed.
    #[expect(clippy::await_holding_lock, reason = "the writer is to wait for it")]
    pub async fn during<T>(&self, meanwhile: impl Future<Output = T>) -> Option<T> {
        let core = self.0.upgrade()?;
        let _turn = core.turn.lock();
        Some(meanwhile.await)
    }
}

const ENDED: &str = "the log's thread has ended";
const PANICKED: &str = "the log's thread panicked";

/// Why a change of the log failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Log(#[from] LogDbError),
    #[error(transparent)]
    FailedBefore(#[from] LogWriteFailed),
    #[error("{ENDED}")]
    Ended,
}

/// What the log is written with.
struct WriterCore {
    log: Arc<LogDb>,
    tail: Arc<LogTail>,
    /// The commit index, not yet written.
    committed: Mutex<Option<(Option<LogId>, Vec<u8>)>>,
    /// Jobs that the thread has not finished. An append that finds one is queued behind it.
    jobs_waiting: AtomicUsize,
    /// One write at a time.
    turn: Mutex<()>,
    /// Of an append with its sync.
    latency: LatencyEstimate,
}

/// Appends that share one write.
#[derive(Default)]
struct GroupedAppend {
    records: Vec<(u64, Vec<u8>)>,
    bytes: usize,
    flushed: Vec<LogFlushed<SiteRaft>>,
}

impl GroupedAppend {
    fn of(records: Vec<(u64, Vec<u8>)>, flushed: Option<LogFlushed<SiteRaft>>) -> Self {
        Self { bytes: bytes_of(&records), records, flushed: flushed.into_iter().collect() }
    }

    fn add(&mut self, other: Self) {
        self.records.extend(other.records);
        self.bytes += other.bytes;
        self.flushed.extend(other.flushed);
        debug_assert_eq!(self.bytes, bytes_of(&self.records), "the group's bytes are the sum of its records");
    }
}

fn bytes_of(records: &[(u64, Vec<u8>)]) -> usize {
    records.iter().map(|(_, entry)| entry.len()).sum()
}

impl WriterCore {
    fn run(&self, mut arrived: mpsc::Receiver<Job>) {
        while let Some(first) = arrived.blocking_recv() {
            let mut group = GroupedAppend::default();
            let mut jobs = 0;
            let waiting = iter::from_fn(|| arrived.try_recv().ok());
            for job in iter::once(first).chain(waiting.take(JOBS_GROUPED_MAX - 1)) {
                jobs += 1;
                match job {
                    Job::Append { records, flushed } => {
                        group.add(GroupedAppend::of(records, flushed));
                        if group.bytes >= GROUP_BYTES_MAX {
                            self.write(&mut group);
                        }
                    }
                    Job::Change { change, done } => {
                        self.write(&mut group);
                        // A caller that went away learns of a failing disk by the next append.
                        let _ = done.send(self.change(change));
                    }
                }
            }
            self.write(&mut group);
            let before = self.jobs_waiting.fetch_sub(jobs, Ordering::AcqRel);
            assert!(before >= jobs, "{jobs} jobs are finished, but only {before} were waiting");
        }
        if let Err(error) = self.change(Box::new(|_| Ok(()))) {
            tracing::warn!(%error, "the commit index could not be written at the end");
        }
    }

    fn change(&self, change: Change) -> Result<(), WriteError> {
        let _turn = self.turn.lock();
        self.tail.check()?;
        self.write_committed()?;
        change(&self.log)?;
        self.tail.note_progress();
        Ok(())
    }

    fn write(&self, group: &mut GroupedAppend) {
        let GroupedAppend { records, flushed, .. } = mem::take(group);
        let Some((last, _)) = records.last() else { return };
        let next = last + 1;
        let turn = self.turn.lock();
        let outcome = self.tail.check().and_then(|()| {
            let written = self.latency.timed(|| {
                self.write_committed()?;
                self.log.append(records)?;
                self.log.sync()
            });
            written.map_err(|error: LogDbError| LogWriteFailed(error.to_string()))
        });
        drop(turn);
        match &outcome {
            Ok(()) => self.tail.written(next),
            Err(failed) => self.tail.write_failed(failed.clone()),
        }
        for callback in flushed {
            callback.log_io_completed(outcome.clone().map_err(io::Error::other));
        }
    }

    fn write_committed(&self) -> Result<(), LogDbError> {
        let noted = self.committed.lock().take_if(|(committed, _)| self.tail.is_written(*committed));
        noted.map_or(Ok(()), |(_, bytes)| self.log.put_meta(LogMeta::Committed, &bytes, false))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_thread_that_writes_counts_as_a_failed_write() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Arc::new(LogDb::open(dir.path()).expect("fresh directory"));
        let tail = Arc::new(LogTail::after(log.extent().next));
        let writer = LogWriter::start(log, Arc::clone(&tail)).expect("a thread");
        let changed = writer.change(|_| panic!("a test had it panic")).await;
        assert!(matches!(changed, Err(WriteError::Ended)), "{changed:?}");
        // Nothing is appended: who waits for the disk learns of it all the same.
        let why = timeout(Duration::from_secs(10), tail.until_write_failed()).await.expect("it is told");
        assert_eq!(why, LogWriteFailed(PANICKED.into()));
    }
}
