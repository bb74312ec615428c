//! One thread that syncs the log and tells openraft: all who wait at that moment share one sync.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use kho_storage::log_db::LogDb;
use openraft::storage::LogFlushed;

use super::types::SiteRaft;

/// The handle of the sync thread. The thread ends with its last handle.
#[derive(Debug, Clone)]
pub(super) struct Flusher {
    waiting: mpsc::Sender<LogFlushed<SiteRaft>>,
}

impl Flusher {
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start(log: Arc<LogDb>) -> io::Result<Self> {
        let (waiting, arrived) = mpsc::channel();
        thread::Builder::new().name("kho-log-sync".into()).spawn(move || sync_for_ever(&log, &arrived))?;
        Ok(Self { waiting })
    }

    /// Calls back once everything appended before this call is durable.
    pub fn call_back_when_durable(&self, callback: LogFlushed<SiteRaft>) {
        if let Err(mpsc::SendError(callback)) = self.waiting.send(callback) {
            callback.log_io_completed(Err(io::Error::other("the log's sync thread has ended")));
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
