//! What the warehouse has just applied, for the uplink.
//!
//! A set, not a queue: an origin that moved a thousand times while nobody asked stands in it once. So it never grows past the number of
//! origins, and the thread that applies never waits (test `events_that_nobody_took_are_merged`).

use std::collections::BTreeSet;

use kho_storage::{ids::OriginId, warehouse::WarehouseEvent};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What was applied since it was last taken.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Streams whose newest head, or what is kept of them, moved.
    pub moved: BTreeSet<OriginId>,
    /// Origins that were taken out; one that came in again since stands in `moved` too.
    pub discarded: BTreeSet<OriginId>,
    /// A newer register was adopted.
    pub register: bool,
    /// The site's level was raised.
    pub level: bool,
    /// Anything may have changed.
    pub everything: bool,
}

/// Between the thread that applies and the task that waits for changes.
#[derive(Debug, Default)]
pub struct WarehouseEvents {
    changes: Mutex<Changes>,
    changed: Notify,
}

impl WarehouseEvents {
    /// Never blocks.
    pub fn note(&self, event: WarehouseEvent) {
        let mut changes = self.changes.lock();
        match event {
            WarehouseEvent::StreamMoved(origin) => drop(changes.moved.insert(origin)),
            WarehouseEvent::OriginDiscarded(origin) => drop(changes.discarded.insert(origin)),
            WarehouseEvent::RegisterChanged => changes.register = true,
            WarehouseEvent::LevelRaised => changes.level = true,
            WarehouseEvent::EverythingChanged => changes.everything = true,
            // Nothing leaves the site before its head.
            WarehouseEvent::OwnBatchWritten(_) => return,
        }
        drop(changes);
        self.changed.notify_one();
    }

    /// Waits for changes and takes them all. Nothing is lost when the wait is given up.
    pub async fn take(&self) -> Changes {
        loop {
            let changes = std::mem::take(&mut *self.changes.lock());
            if changes != Changes::default() {
                return changes;
            }
            self.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn events_that_nobody_took_are_merged() {
        let events = WarehouseEvents::default();
        assert_eq!(events.take().now_or_never(), None);
        for _ in 0..1_000 {
            events.note(WarehouseEvent::StreamMoved(OriginId(3)));
            events.note(WarehouseEvent::StreamMoved(OriginId(1)));
            events.note(WarehouseEvent::OwnBatchWritten(OriginId(9)));
        }
        events.note(WarehouseEvent::RegisterChanged);
        events.note(WarehouseEvent::LevelRaised);
        events.note(WarehouseEvent::OriginDiscarded(OriginId(3)));
        let changes = events.take().now_or_never().expect("there are some");
        let (moved, discarded) = ([OriginId(1), OriginId(3)].into(), [OriginId(3)].into());
        assert_eq!(changes, Changes { moved, discarded, register: true, level: true, everything: false });
        assert_eq!(events.take().now_or_never(), None, "taken once");
        events.note(WarehouseEvent::OwnBatchWritten(OriginId(9)));
        assert_eq!(events.take().now_or_never(), None);
    }
}
