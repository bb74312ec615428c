//! One thread that syncs the log and tells openraft: all who wait at that moment share one sync.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use kho_storage::log_db::LogDb;
use openraft::storage::LogFlushed;

use super::types::SiteRaft;

/// The handle of the sync thread. The thread ends with its last handle, which waits for it: a process must not end while a
/// thread still holds a database.
#[derive(Debug, Clone)]
pub(super) struct Flusher {
    thread: Arc<SyncThread>,
}

#[derive(Debug)]
struct SyncThread {
    /// `None` only while the last handle is dropped.
    waiting: Option<mpsc::Sender<LogFlushed<SiteRaft>>>,
    running: Option<thread::JoinHandle<()>>,
}

impl Drop for SyncThread {
    fn drop(&mut self) {
        // The channel closes BEFORE the thread is waited for, or it would never end.
        drop(self.waiting.take());
        if let Some(Err(_)) = self.running.take().map(thread::JoinHandle::join) {
            tracing::error!("the log's sync thread had panicked");
        }
    }
}

impl Flusher {
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start(log: Arc<LogDb>) -> io::Result<Self> {
        let (waiting, arrived) = mpsc::channel();
        let running = thread::Builder::new().name("kho-log-sync".into()).spawn(move || sync_for_ever(&log, &arrived))?;
        Ok(Self { thread: Arc::new(SyncThread { waiting: Some(waiting), running: Some(running) }) })
    }

    /// Calls back once everything appended before this call is durable.
    pub fn call_back_when_durable(&self, callback: LogFlushed<SiteRaft>) {
        let ended = |callback: LogFlushed<SiteRaft>| callback.log_io_completed(Err(io::Error::other("the log's sync thread has ended")));
        match &self.thread.waiting {
            Some(waiting) => waiting.send(callback).unwrap_or_else(|mpsc::SendError(callback)| ended(callback)),
            None => ended(callback),
        }
    }
}

fn sync_for_ever(log: &LogDb, arrived: &mpsc::Receiver<LogFlushed<SiteRaft>>) {
    while let Ok(first) = arrived.recv() {
        // Taken BEFORE the sync: who comes during it may have appended too late to be covered by it.
        let others: Vec<_> = arrived.try_iter().collect();
        let outcome = log.sync();
        for callback in std::iter::once(first).chain(others) {
            callback.log_io_completed(outcome.clone().map_err(io::Error::other));
        }
    }
}
