//! Whether work on this node's disk is quick enough to be done by its caller.
//!
//! On a quick disk, handing a small write to another thread and being woken again costs more than the write. On a slow disk it is
//! necessary: the threads that reply to the other nodes must not wait for the disk. So the latency of recent work of the same kind decides.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Work up to this size is small.
pub const SMALL_BYTES_MAX: usize = 16 << 10;
/// Work that lately took longer is done on a thread of its own. Far below every election timeout, and above what a solid-state disk takes
/// for a sync: around the bound a node would change from one way to the other, and the slower one would set the latency.
const QUICK_MAX: Duration = Duration::from_millis(1);
/// Each time, the estimate decays by this part of itself: some twenty quick times make up for one of 10 ms.
const DECAY_PART: u64 = 8;

/// How long one kind of work lately took.
#[derive(Debug)]
pub struct LatencyEstimate {
    longest_us: AtomicU64,
}

impl LatencyEstimate {
    /// The estimate for work that was never done: it does not count as quick.
    pub fn unknown() -> Self {
        Self { longest_us: AtomicU64::new(2 * micros(QUICK_MAX)) }
    }

    /// Whether the caller may do the work itself.
    pub fn is_quick(&self) -> bool {
        self.longest_us.load(Ordering::Relaxed) <= micros(QUICK_MAX)
    }

    /// Does the work and notes how long it took.
    pub fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let outcome = work();
        self.note(begun.elapsed());
        outcome
    }

    fn note(&self, took: Duration) {
        let longest = self.longest_us.load(Ordering::Relaxed);
        self.longest_us.store(micros(took).max(longest - longest / DECAY_PART), Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_quick_once_it_was_seen_to_be_and_one_slow_time_counts_for_a_while() {
        let latency = LatencyEstimate::unknown();
        assert!(!latency.is_quick(), "nothing is known yet");
        let quick_times_until_quick = || {
            (1..1_000).find(|_| {
                latency.note(Duration::from_micros(100));
                latency.is_quick()
            })
        };
        assert!(quick_times_until_quick().is_some_and(|times| times < 10));
        latency.note(Duration::from_millis(10));
        assert!(!latency.is_quick());
        assert!(quick_times_until_quick().is_some_and(|times| (15..30).contains(&times)), "one slow time is remembered");
        for _ in 0..100 {
            latency.note(Duration::from_millis(8));
            assert!(!latency.is_quick(), "a slow disk never counts as quick");
        }
    }
}
