//! Putting on disk what a node holds in memory once nothing more comes, so that a node at rest holds little and has little to
//! apply again after a crash.

use std::sync::Arc;

use kho_storage::{
    log_db::{LogDb, LogDbError},
    warehouse::Warehouse,
};

/// Less than this is left in memory: it would make many small files.
const WORTH_BYTES: u64 = 4 << 20;
/// Heads and what is said of parents come at rest too; more than this between two looks is work.
const TRICKLE_BYTES: u64 = 256 << 10;

/// What waits in memory, and how much of it there was when it was looked at last.
pub(super) struct Rest {
    log: Arc<LogDb>,
    warehouse: Arc<Warehouse>,
    log_held: Held,
    state_held: Held,
}

impl Rest {
    pub fn new(log: Arc<LogDb>, warehouse: Arc<Warehouse>) -> Self {
        Self { log, warehouse, log_held: Held::default(), state_held: Held::default() }
    }

    /// Looks, and flushes what rests. Blocks.
    ///
    /// # Errors
    /// [`LogDbError`] when the log can't be flushed. That the state can't is only told: whoever applies the next entry meets the same
    /// fault and stops the node.
    pub fn look(&mut self) -> Result<(), LogDbError> {
        if self.state_held.rests(self.warehouse.unflushed_bytes())
            && let Err(error) = self.warehouse.flush()
        {
            tracing::warn!(%error, "the state could not be flushed at rest");
        }
        if self.log_held.rests(self.log.unflushed_bytes()) { self.log.flush() } else { Ok(()) }
    }
}

/// Bytes in memory at the last look.
#[derive(Debug, Default)]
struct Held(u64);

impl Held {
    /// Whether so much is worth being flushed and has hardly grown since the last look.
    fn rests(&mut self, bytes: u64) -> bool {
        let before = std::mem::replace(&mut self.0, bytes);
        bytes >= WORTH_BYTES && bytes >= before && bytes - before <= TRICKLE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_much_that_does_not_grow_any_more_rests() {
        let mut held = Held::default();
        assert!(!held.rests(9 << 20), "it came since the last look");
        assert!(!held.rests(12 << 20), "more came");
        assert!(held.rests((12 << 20) + TRICKLE_BYTES), "a trickle is rest");
        assert!(!held.rests(5 << 20), "it was flushed meanwhile, and this came afterwards");
        assert!(held.rests(5 << 20));
        assert!(!held.rests(WORTH_BYTES - 1) && !held.rests(WORTH_BYTES - 1), "this is little");
    }
}
