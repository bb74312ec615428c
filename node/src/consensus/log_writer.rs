//! One thread that writes and syncs the log, in the order in which it was asked: whoever waits at that moment shares one write
//! and one sync.

use std::{
    io, iter, mem,
    sync::{Arc, mpsc},
    thread,
};

use kho_storage::log_db::{LogDb, LogDbError, LogWord};
use openraft::storage::LogFlushed;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{log_tail::LogTail, types::SiteRaft};

/// Jobs that share one write at most, so that none waits for ever.
const JOBS_TOGETHER_MAX: usize = 64;

/// The handle of the writing thread. The thread ends with its last handle, which waits for it: a process must not end while a
/// thread still holds a database.
#[derive(Clone)]
pub(super) struct LogWriter {
    thread: Arc<WriterThread>,
    committed: Arc<Mutex<Option<Vec<u8>>>>,
}

struct WriterThread {
    /// `None` only while the last handle is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    running: Option<thread::JoinHandle<()>>,
}

enum Job {
    Append { records: Vec<(u64, Vec<u8>)>, flushed: LogFlushed<SiteRaft> },
    /// Whatever else changes the log, in its place among the appends.
    Change { change: Change, done: oneshot::Sender<Result<(), LogDbError>> },
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
        let committed = Arc::new(Mutex::new(None));
        let writing = Writing { log, tail, committed: Arc::clone(&committed) };
        let running = thread::Builder::new().name("kho-log-write".into()).spawn(move || writing.run(&arrived))?;
        Ok(Self { thread: Arc::new(WriterThread { jobs: Some(jobs), running: Some(running) }), committed })
    }

    /// Appends consecutive entries and calls back once they are durable.
    pub fn append(&self, records: Vec<(u64, Vec<u8>)>, flushed: LogFlushed<SiteRaft>) {
        if let Err(Job::Append { flushed, .. }) = self.send(Job::Append { records, flushed }) {
            flushed.log_io_completed(Err(io::Error::other(ENDED)));
        }
    }

    /// Changes the log after everything asked for before.
    ///
    /// # Errors
    /// The change's own.
    pub async fn change(&self, change: impl FnOnce(&LogDb) -> Result<(), LogDbError> + Send + 'static) -> Result<(), WriteError> {
        let (done, changed) = oneshot::channel();
        self.send(Job::Change { change: Box::new(change), done }).map_err(|_| WriteError::Ended)?;
        Ok(changed.await.map_err(|_| WriteError::Ended)??)
    }

    /// Keeps how far the log is known to be committed, together with whatever is written next. A crash before that forgets it, which
    /// costs a restarted node only the time until a leader tells it again.
    pub fn note_committed(&self, committed: Vec<u8>) {
        *self.committed.lock() = Some(committed);
    }

    fn send(&self, job: Job) -> Result<(), Job> {
        match &self.thread.jobs {
            Some(jobs) => jobs.send(job).map_err(|mpsc::SendError(job)| job),
            None => Err(job),
        }
    }
}

const ENDED: &str = "the log's thread has ended";

/// Why a change of the log failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Log(#[from] LogDbError),
    #[error("{ENDED}")]
    Ended,
}

/// What the thread works with.
struct Writing {
    log: Arc<LogDb>,
    tail: Arc<LogTail>,
    committed: Arc<Mutex<Option<Vec<u8>>>>,
}

/// Appends that share one write.
#[derive(Default)]
struct Together {
    records: Vec<(u64, Vec<u8>)>,
    flushed: Vec<LogFlushed<SiteRaft>>,
}

impl Writing {
    fn run(&self, arrived: &mpsc::Receiver<Job>) {
        while let Ok(first) = arrived.recv() {
            let mut together = Together::default();
            for job in iter::once(first).chain(arrived.try_iter().take(JOBS_TOGETHER_MAX - 1)) {
                match job {
                    Job::Append { records, flushed } => {
                        together.records.extend(records);
                        together.flushed.push(flushed);
                    }
                    Job::Change { change, done } => {
                        self.write(&mut together);
                        // Whoever asked and went away learns of a failing disk by the next append.
                        let _ = done.send(self.write_committed().and_then(|()| change(&self.log)));
                    }
                }
            }
            self.write(&mut together);
        }
        if let Err(error) = self.write_committed() {
            tracing::warn!(%error, "how far the log is committed could not be kept at the end");
        }
    }

    fn write(&self, together: &mut Together) {
        let Together { records, flushed } = mem::take(together);
        let Some((last, _)) = records.last() else { return };
        let next = last + 1;
        let outcome = self.write_committed().and_then(|()| self.log.append(records)).and_then(|()| self.log.sync());
        if outcome.is_ok() {
            self.tail.written(next);
        }
        for callback in flushed {
            callback.log_io_completed(outcome.clone().map_err(io::Error::other));
        }
    }

    fn write_committed(&self) -> Result<(), LogDbError> {
        let noted = self.committed.lock().take();
        noted.map_or(Ok(()), |bytes| self.log.put_word(LogWord::Committed, &bytes, false))
    }
}
