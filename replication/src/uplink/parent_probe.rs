//! When the active parent is probed while a stand-in serves: at an interval that grows while nobody answers.

use crate::link_time::LinkTime;

/// How many times its first length the interval grows to.
const INTERVAL_GROWTH_MAX: u64 = 8;

/// The time of the next probe.
#[derive(Debug)]
pub(super) struct ParentProbe {
    interval_ms_min: u64,
    interval_ms: u64,
    due_at: LinkTime,
}

impl ParentProbe {
    pub fn new(interval_ms: u64) -> Self {
        Self { interval_ms_min: interval_ms, interval_ms, due_at: LinkTime(0) }
    }

    /// A link opened: the next probe is a whole interval away.
    pub fn link_opened(&mut self, now: LinkTime) {
        self.due_at = now.after_ms(self.interval_ms);
    }

    /// Whether it is time.
    pub fn is_due(&self, now: LinkTime) -> bool {
        now >= self.due_at
    }

    /// A probe goes out; the one after it comes later still.
    pub fn sent(&mut self, now: LinkTime) {
        self.due_at = now.after_ms(self.interval_ms);
        self.interval_ms = self.interval_ms.saturating_mul(2).min(self.interval_ms_min.saturating_mul(INTERVAL_GROWTH_MAX));
    }

    /// The active parent serves: the next time it fails, probing starts at the first interval.
    pub fn reset(&mut self) {
        self.interval_ms = self.interval_ms_min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_doubles_up_to_eight_times_and_starts_over_when_the_parent_serves() {
        let mut probe = ParentProbe::new(100);
        let mut now = LinkTime(1_000);
        probe.link_opened(now);
        let mut waits = vec![];
        for _ in 0..6 {
            let since = now;
            while !probe.is_due(now) {
                now = now.after_ms(1);
            }
            waits.push(now.ms_since(since));
            probe.sent(now);
        }
        assert_eq!(waits, [100, 100, 200, 400, 800, 800]);
        probe.reset();
        probe.link_opened(now);
        assert!(!probe.is_due(now.after_ms(99)) && probe.is_due(now.after_ms(100)));
    }
}
