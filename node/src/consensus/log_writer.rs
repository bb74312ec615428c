//! WriterCore and syncing the log, in the order in which it was asked, by one thread: whoever waits at that moment shares one write and
//! one sync. A small append that nothing waits before is written where it is asked for while the disk is quick ([`LatencyEstimate`]); one that
//! nobody waits for there ([`Completion::BeforeSync`]) is written while the followers are being sent it.

use std::{
    io, iter, mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use kho_storage::log_db::{LogDb, LogDbError, LogMeta};
use openraft::storage::LogFlushed;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    latency_estimate::{LatencyEstimate, SMALL_BYTES_MAX},
    log_tail::{LogTail, LogWriteFailed},
    types::{LogId, SiteRaft},
};

/// Jobs that share one write at most, so that none waits for ever.
const JOBS_TOGETHER_MAX: usize = 64;
/// Once they have so many bytes, they are written without those that follow: while it writes, the disk tells nobody that it goes on
/// ([`LogTail::hangs_for`]).
const TOGETHER_BYTES_MAX: usize = 4 << 20;

/// The handle of the writing thread. The thread ends with its last handle, which waits for it: a process must not end while a
/// thread still holds a database.
#[derive(Clone)]
pub(super) struct LogWriter {
    thread: Arc<WriterThread>,
    writing: Arc<WriterCore>,
}

struct WriterThread {
    /// `None` only while the last handle is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    running: Option<thread::JoinHandle<()>>,
}

/// When an append counts as done for openraft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completion {
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
        if let Some(Err(_)) = self.running.take().map(thread::JoinHandle::join) {
            tracing::error!("the log's thread had panicked");
        }
    }
}

impl LogWriter {
    /// Starts the thread; it tells `tail` what the disk holds.
    ///
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start(log: Arc<LogDb>, tail: Arc<LogTail>) -> io::Result<Self> {
        let (jobs, arrived) = mpsc::channel();
        let writing = Arc::new(WriterCore {
            log,
            tail,
            committed: Mutex::default(),
            jobs_waiting: AtomicUsize::new(0),
            turn: Mutex::default(),
            latency: LatencyEstimate::unknown(),
        });
        let running = thread::Builder::new().name("kho-log-write".into()).spawn({
            let writing = Arc::clone(&writing);
            move || writing.run(&arrived)
        })?;
        Ok(Self { thread: Arc::new(WriterThread { jobs: Some(jobs), running: Some(running) }), writing })
    }

    /// Appends consecutive entries and calls back, perhaps before this returns.
    pub fn append(&self, records: Vec<(u64, Vec<u8>)>, completion: Completion, flushed: LogFlushed<SiteRaft>) {
        let flushed = match completion {
            Completion::BeforeSync => {
                flushed.log_io_completed(Ok(()));
                None
            }
            Completion::AfterSync => Some(flushed),
        };
        let here = completion == Completion::AfterSync
            && bytes_of(&records) <= SMALL_BYTES_MAX
            && self.writing.latency.is_quick()
            && self.writing.jobs_waiting.load(Ordering::Acquire) == 0;
        if here {
            return self.writing.write(&mut GroupedAppend::of(records, flushed));
        }
        if let Err(Job::Append { flushed, .. }) = self.send(Job::Append { records, flushed }) {
            self.writing.tail.write_failed(LogWriteFailed(ENDED.into()));
            if let Some(flushed) = flushed {
                flushed.log_io_completed(Err(io::Error::other(ENDED)));
            }
        }
    }

    /// Changes the log after everything asked for before.
    ///
    /// # Errors
    /// The change's own, or why nothing is written any more.
    pub async fn change(&self, change: impl FnOnce(&LogDb) -> Result<(), LogDbError> + Send + 'static) -> Result<(), WriteError> {
        let (done, changed) = oneshot::channel();
        self.send(Job::Change { change: Box::new(change), done }).map_err(|_| WriteError::Ended)?;
        changed.await.map_err(|_| WriteError::Ended)?
    }

    /// Keeps how far the log is known to be committed, as `bytes`, together with whatever is written once the disk has the log up to
    /// there. A crash before that forgets it, which costs a restarted node only the time until a leader tells it again.
    pub fn note_committed(&self, committed: Option<LogId>, bytes: Vec<u8>) {
        *self.writing.committed.lock() = Some((committed, bytes));
    }

    /// What tests hold the log up by; it keeps neither the thread nor the log.
    pub fn stall_injector(&self) -> StallInjector {
        StallInjector(Arc::downgrade(&self.writing))
    }

    fn send(&self, job: Job) -> Result<(), Job> {
        let Some(jobs) = &self.thread.jobs else { return Err(job) };
        // Counted BEFORE the thread may take it.
        self.writing.jobs_waiting.fetch_add(1, Ordering::AcqRel);
        jobs.send(job).map_err(|mpsc::SendError(job)| job)
    }
}

/// Keeps a log from being written, as a disk that hangs does.
pub(super) struct StallInjector(Weak<WriterCore>);

impl StallInjector {
    /// Does `meanwhile` while nothing is written. `None` when the log is closed.
    pub async fn during<T>(&self, meanwhile: impl Future<Output = T>) -> Option<T> {
        let writing = self.0.upgrade()?;
        #[expect(clippy::await_holding_lock, reason = "the writer is to wait for it")]
        let _turn = writing.turn.lock();
        Some(meanwhile.await)
    }
}

const ENDED: &str = "the log's thread has ended";

/// Why a change of the log failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
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
    /// How far the log is committed, not yet kept.
    committed: Mutex<Option<(Option<LogId>, Vec<u8>)>>,
    /// Jobs that the thread has not finished. Who finds one waits in line behind it.
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
    }
}

fn bytes_of(records: &[(u64, Vec<u8>)]) -> usize {
    records.iter().map(|(_, entry)| entry.len()).sum()
}

impl WriterCore {
    fn run(&self, arrived: &mpsc::Receiver<Job>) {
        while let Ok(first) = arrived.recv() {
            let mut together = GroupedAppend::default();
            let mut jobs = 0;
            for job in iter::once(first).chain(arrived.try_iter().take(JOBS_TOGETHER_MAX - 1)) {
                jobs += 1;
                match job {
                    Job::Append { records, flushed } => {
                        together.add(GroupedAppend::of(records, flushed));
                        if together.bytes >= TOGETHER_BYTES_MAX {
                            self.write(&mut together);
                        }
                    }
                    Job::Change { change, done } => {
                        self.write(&mut together);
                        // Whoever asked and went away learns of a failing disk by the next append.
                        let _ = done.send(self.change(change));
                    }
                }
            }
            self.write(&mut together);
            self.jobs_waiting.fetch_sub(jobs, Ordering::AcqRel);
        }
        if let Err(error) = self.change(Box::new(|_| Ok(()))) {
            tracing::warn!(%error, "how far the log is committed could not be kept at the end");
        }
    }

    fn change(&self, change: Change) -> Result<(), WriteError> {
        let _turn = self.turn.lock();
        self.tail.check()?;
        self.write_committed()?;
        change(&self.log)?;
        self.tail.went_on();
        Ok(())
    }

    fn write(&self, together: &mut GroupedAppend) {
        let GroupedAppend { records, flushed, .. } = mem::take(together);
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
