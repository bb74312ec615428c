//! Flushes log and state to disk once a node is idle, so that an idle node holds little in memory and has little to apply again after a
//! crash.

use std::sync::Arc;

use kho_storage::{log_db::LogDb, warehouse::Warehouse};

/// Less than this stays in memory: it would make many small files.
const FLUSH_BYTES_MIN: u64 = 4 << 20;
/// Heads and records of parents are written on an idle node too. More than this from one check to the next is work.
const TRICKLE_BYTES_MAX: u64 = 64 << 10;

/// Flushes log and state when they are idle.
pub struct IdleFlush {
    log: Arc<LogDb>,
    warehouse: Arc<Warehouse>,
    log_activity: WriteActivity,
    state_activity: WriteActivity,
}

impl IdleFlush {
    pub fn new(log: Arc<LogDb>, warehouse: Arc<Warehouse>) -> Self {
        Self { log, warehouse, log_activity: WriteActivity::default(), state_activity: WriteActivity::default() }
    }

    /// Flushes whichever of the two is idle. Blocks.
    ///
    /// A flush that fails is only logged: whoever writes next meets the same fault and stops the node.
    pub fn check(&mut self) {
        if self.state_activity.flush_is_due(self.warehouse.written_bytes())
            && let Err(error) = self.warehouse.flush()
        {
            tracing::warn!(%error, "the idle state could not be flushed; check the disk and its free space");
        }
        if self.log_activity.flush_is_due(self.log.written_bytes())
            && let Err(error) = self.log.flush()
        {
            tracing::warn!(%error, "the idle log could not be flushed; check the disk and its free space");
        }
    }
}

/// Bytes written since the start: up to the last check, and up to the last flush.
#[derive(Debug, Default)]
struct WriteActivity {
    checked: u64,
    flushed: u64,
}

impl WriteActivity {
    /// Whether enough for a flush was written since the last flush, and hardly any of it since the last check. The caller flushes then.
    fn flush_is_due(&mut self, written: u64) -> bool {
        assert!(written >= self.checked, "{written} bytes were written in all, but {} before", self.checked);
        let grown = written - std::mem::replace(&mut self.checked, written);
        let due = grown <= TRICKLE_BYTES_MAX && written - self.flushed >= FLUSH_BYTES_MIN;
        if due {
            self.flushed = written;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::db::DbLimits;

    use super::*;
    use crate::consensus::tests::empty_warehouse;

    #[test]
    fn a_flush_is_due_once_when_much_was_written_and_hardly_more_comes() {
        let mut activity = WriteActivity::default();
        assert!(!activity.flush_is_due(9 << 20), "it came since the last check");
        assert!(!activity.flush_is_due(12 << 20), "more came");
        assert!(activity.flush_is_due((12 << 20) + TRICKLE_BYTES_MAX), "a trickle counts as idle");
        assert!(!activity.flush_is_due((12 << 20) + TRICKLE_BYTES_MAX), "it was flushed");
        let after = (12 << 20) + TRICKLE_BYTES_MAX;
        assert!(
            !activity.flush_is_due(after + FLUSH_BYTES_MIN - 1) && !activity.flush_is_due(after + FLUSH_BYTES_MIN - 1),
            "this is little"
        );
        assert!(activity.flush_is_due(after + FLUSH_BYTES_MIN), "until a trickle makes it enough");
    }

    #[test]
    fn an_idle_log_goes_to_files_and_a_single_entry_does_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Arc::new(LogDb::open(&dir.path().join("log")).expect("empty"));
        let warehouse = empty_warehouse(&dir.path().join("state"), DbLimits { cache_bytes_max: 64 << 20, write_buffer_bytes_max: 1 << 30 });
        let files = |part: &str| {
            let entries = std::fs::read_dir(dir.path().join(part)).expect("a directory").filter_map(Result::ok);
            entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "sst")).count()
        };
        let mut idle_flush = IdleFlush::new(Arc::clone(&log), warehouse);
        log.append([(0, b"small")]).expect("writable");
        (0..3).for_each(|_| idle_flush.check());
        assert_eq!((files("log"), files("state/state-1")), (0, 0), "little is left in memory, however large its bounds are");
        log.append([(1, vec![7; 5 << 20])]).expect("writable");
        idle_flush.check();
        assert_eq!(files("log"), 0, "it has only just come");
        idle_flush.check();
        assert_eq!(files("log"), 1);
    }
}
