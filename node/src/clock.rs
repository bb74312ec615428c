//! The one place that reads the machine's clocks; everything else is told the time.

use std::time::{Instant, SystemTime};

use kho_replication::{
    link_time::LinkTime,
    site_clock::{ClockReading, Neighbour, SiteClock},
    tls::Validity,
};
use kho_storage::ids::SiteTime;
use parking_lot::Mutex;

/// This node's clocks, and which time it believes.
#[derive(Debug)]
pub struct NodeClock {
    started: Instant,
    believed: Mutex<SiteClock>,
}

impl NodeClock {
    /// `own` is the validity of the node's certificate.
    pub fn new(own: Validity) -> Self {
        Self { started: Instant::now(), believed: Mutex::new(SiteClock::new(own, None, LinkTime(0))) }
    }

    /// The site had committed `committed` before the node started.
    pub fn has_committed(&self, committed: SiteTime) {
        self.believed.lock().has_committed(committed, self.link_time());
    }

    /// The time to go by: the machine's, as far as it is vouched for. It may go back when a clock is set; applying a command makes the
    /// time of a stream monotonic.
    pub fn now(&self) -> SiteTime {
        self.read().time
    }

    /// The time to go by, and what is to be thought of the machine's clock.
    pub fn read(&self) -> ClockReading {
        self.believed.lock().read(machine_time(), self.link_time())
    }

    /// A neighbour says what its machine's clock shows.
    pub fn hear(&self, neighbour: Neighbour, theirs: SiteTime) {
        self.believed.lock().hear(neighbour, theirs, machine_time(), self.link_time());
    }

    /// An operator says that the machine's clock is right.
    pub fn confirm(&self) {
        self.believed.lock().confirm(machine_time(), self.link_time());
    }

    /// The site has its register.
    pub fn settle(&self, is_root: bool) {
        self.believed.lock().settle(is_root, machine_time(), self.link_time());
    }

    /// Milliseconds since the node started, by a clock that nobody sets.
    pub fn link_time(&self) -> LinkTime {
        LinkTime(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// What the machine's clock shows, right or wrong.
pub fn machine_time() -> SiteTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SiteTime(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
