//! Putting on disk what a node holds in memory once nothing more comes, so that a node at rest holds little and has little to
//! apply again after a crash.

use std::sync::Arc;

use kho_storage::{log_db::LogDb, warehouse::Warehouse};

/// Less than this is left in memory: it would make many small files.
const FLUSH_BYTES_MIN: u64 = 4 << 20;
/// Heads and what is said of parents come at rest too; more than this from one look to the next is work.
const TRICKLE_BYTES_MAX: u64 = 64 << 10;

/// Flushes log and state at rest.
pub(super) struct IdleFlush {
    log: Arc<LogDb>,
    warehouse: Arc<Warehouse>,
    log_flow: Flow,
    state_flow: Flow,
}

impl IdleFlush {
    pub fn new(log: Arc<LogDb>, warehouse: Arc<Warehouse>) -> Self {
        Self { log, warehouse, log_flow: Flow::default(), state_flow: Flow::default() }
    }

    /// Looks, and flushes what rests. Blocks.
    ///
    /// That one can't be flushed is only told: whoever writes next meets the same fault and stops the node.
    pub fn look(&mut self) {
        if self.state_flow.rests(self.warehouse.written_bytes())
            && let Err(error) = self.warehouse.flush()
        {
            tracing::warn!(%error, "the state could not be flushed at rest; check the disk and its free space");
        }
        if self.log_flow.rests(self.log.written_bytes())
            && let Err(error) = self.log.flush()
        {
            tracing::warn!(%error, "the log could not be flushed at rest; check the disk and its free space");
        }
    }
}

/// What was written since the start: up to the last look, and up to the last flush.
#[derive(Debug, Default)]
struct Flow {
    seen: u64,
    flushed: u64,
}

impl Flow {
    /// Whether enough for a flush came since the last one and hardly any of it since the last look. The caller flushes then.
    fn rests(&mut self, written: u64) -> bool {
        let grown = written - std::mem::replace(&mut self.seen, written);
        let rests = grown <= TRICKLE_BYTES_MAX && written - self.flushed >= FLUSH_BYTES_MIN;
        if rests {
            self.flushed = written;
        }
        rests
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::db::DbLimits;

    use super::{super::suite::empty_warehouse, *};

    #[test]
    fn only_much_that_does_not_grow_any_more_rests_and_that_once() {
        let mut flow = Flow::default();
        assert!(!flow.rests(9 << 20), "it came since the last look");
        assert!(!flow.rests(12 << 20), "more came");
        assert!(flow.rests((12 << 20) + TRICKLE_BYTES_MAX), "a trickle is rest");
        assert!(!flow.rests((12 << 20) + TRICKLE_BYTES_MAX), "it was flushed");
        let after = (12 << 20) + TRICKLE_BYTES_MAX;
        assert!(!flow.rests(after + FLUSH_BYTES_MIN - 1) && !flow.rests(after + FLUSH_BYTES_MIN - 1), "this is little");
        assert!(flow.rests(after + FLUSH_BYTES_MIN), "until a trickle makes it enough");
    }

    #[test]
    fn a_log_that_rests_goes_to_files_and_a_single_entry_does_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Arc::new(LogDb::open(&dir.path().join("log")).expect("empty"));
        let warehouse = empty_warehouse(&dir.path().join("state"), DbLimits { cache_bytes_max: 64 << 20, write_buffer_bytes_max: 1 << 30 });
        let files = |part: &str| {
            let entries = std::fs::read_dir(dir.path().join(part)).expect("a directory").filter_map(Result::ok);
            entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "sst")).count()
        };
        let mut rest = IdleFlush::new(Arc::clone(&log), warehouse);
        log.append([(0, b"small")]).expect("writable");
        (0..3).for_each(|_| rest.look());
        assert_eq!((files("log"), files("state/state-1")), (0, 0), "little is left in memory, however large its bounds are");
        log.append([(1, vec![7; 5 << 20])]).expect("writable");
        rest.look();
        assert_eq!(files("log"), 0, "it has only just come");
        rest.look();
        assert_eq!(files("log"), 1);
    }
}
