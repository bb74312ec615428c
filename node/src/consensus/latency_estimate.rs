//! Whether work on this node's disk is quick enough to be done where it is asked for.
//!
//! Handing a small write to another thread and being woken again costs more than the write where the disk is quick, and is
//! indispensable where it is not: a thread that waits for a slow disk must be none that answers the other nodes. So what a kind of
//! work lately took decides.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Work up to this size is small.
pub(super) const SMALL_BYTES_MAX: usize = 16 << 10;
/// Work that lately took longer is done on a thread of its own. Far below the silence after which a peer is given up.
const QUICK_MAX: Duration = Duration::from_micros(500);
/// Each time, this part of the longest time that is remembered is forgotten: some twenty quick ones make up for one of 10 ms.
const FORGOTTEN_PART: u64 = 8;

/// How long one kind of work lately took.
#[derive(Debug)]
pub(super) struct LatencyEstimate {
    longest_us: AtomicU64,
}

impl LatencyEstimate {
    /// Of work that was never done: not known to be quick.
    pub fn unknown() -> Self {
        Self { longest_us: AtomicU64::new(2 * micros(QUICK_MAX)) }
    }

    /// Whether it may be done where it is asked for.
    pub fn is_quick(&self) -> bool {
        self.longest_us.load(Ordering::Relaxed) <= micros(QUICK_MAX)
    }

    /// Does the work and remembers how long it took.
    pub fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let outcome = work();
        self.note(begun.elapsed());
        outcome
    }

    fn note(&self, took: Duration) {
        let longest = self.longest_us.load(Ordering::Relaxed);
        self.longest_us.store(micros(took).max(longest - longest / FORGOTTEN_PART), Ordering::Relaxed);
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
