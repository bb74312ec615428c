//! The one place that reads the machine's clocks; everything else is told the time.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Instant, SystemTime},
};

use kho_replication::link_time::LinkTime;
use kho_storage::ids::SiteTime;

/// This node's clocks.
#[derive(Debug)]
pub struct NodeClock {
    started: Instant,
    latest_ms: AtomicI64,
}

impl Default for NodeClock {
    fn default() -> Self {
        Self { started: Instant::now(), latest_ms: AtomicI64::new(0) }
    }
}

impl NodeClock {
    /// The machine's time, but never earlier than one told before.
    pub fn now(&self) -> SiteTime {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        SiteTime(self.latest_ms.fetch_max(ms, Ordering::Relaxed).max(ms))
    }

    /// Milliseconds since the node started, by a clock that nobody sets.
    pub fn link_time(&self) -> LinkTime {
        LinkTime(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
