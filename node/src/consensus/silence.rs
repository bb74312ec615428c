//! When to stand for election beside openraft's own clock. Pure but for the clock it is given.
//!
//! openraft draws its election timeout once per process, so survivors could split their votes for ever. Two rules help:
//! a node without a leader for longer than a time drawn anew for every attempt stands; and a node that refused a candidate
//! because its own log is longer stands at once, as long as it has not heard of a leader for a while either.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Without a leader for a time out of this, a node stands for election. Longer than a vote takes, with its sync.
const LEADERLESS_MS: RangeInclusive<u64> = 150..=350;
/// A node whose log was found shorter than another's leaves the field to the others for this long.
const SHORTER_LOG_PAUSE: Duration = Duration::from_millis(800);
/// A node that heard of a leader this recently does not stand because of a candidate. Longer than any heartbeat is late.
const LEADER_HEARD: Duration = Duration::from_millis(600);

/// What a node has heard and not heard.
#[derive(Debug)]
pub(super) struct Silence {
    inner: Mutex<Heard>,
}

#[derive(Debug)]
struct Heard {
    leader_at: Option<Instant>,
    longer_log_at: Option<Instant>,
    leaderless_since: Option<(Instant, Duration)>,
}

impl Silence {
    pub fn new() -> Self {
        Self { inner: Mutex::new(Heard { leader_at: None, longer_log_at: None, leaderless_since: None }) }
    }

    /// A leader said something.
    pub fn note_leader(&self) {
        self.inner.lock().leader_at = Some(Instant::now());
    }

    /// A voter has entries this node lacks.
    pub fn note_longer_log(&self) {
        self.inner.lock().longer_log_at = Some(Instant::now());
    }

    /// Whether to stand at `now`. `draw` yields the patience for the next attempt out of a range of milliseconds.
    pub fn leaderless(&self, now: Instant, has_leader: bool, draw: impl FnOnce(RangeInclusive<u64>) -> u64) -> bool {
        let mut heard = self.inner.lock();
        if has_leader {
            heard.leaderless_since = None;
            return false;
        }
        let (since, patience) = match heard.leaderless_since {
            Some(started) => started,
            None => {
                heard.leaderless_since = Some((now, Duration::from_millis(draw(LEADERLESS_MS))));
                return false;
            }
        };
        let behind = heard.longer_log_at.is_some_and(|at| now.saturating_duration_since(at) < SHORTER_LOG_PAUSE);
        if behind || now.saturating_duration_since(since) < patience {
            return false;
        }
        heard.leaderless_since = None;
        true
    }

    /// Whether to stand at `now` because a candidate with a shorter log was refused.
    pub fn outlogs_candidate(&self, now: Instant) -> bool {
        self.inner.lock().leader_at.is_none_or(|at| now.saturating_duration_since(at) >= LEADER_HEARD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn each_attempt_without_a_leader_waits_for_a_newly_drawn_time() {
        let (silence, start) = (Silence::new(), Instant::now());
        assert!(!silence.leaderless(start, false, |_| 200));
        assert!(!silence.leaderless(at(start, 199), false, |_| 1));
        assert!(silence.leaderless(at(start, 200), false, |_| 1));
        assert!(!silence.leaderless(at(start, 201), false, |_| 300), "the next attempt draws anew");
        assert!(!silence.leaderless(at(start, 500), false, |_| 1));
        assert!(silence.leaderless(at(start, 501), false, |_| 1));
    }

    #[test]
    fn a_leader_ends_the_waiting_and_a_longer_log_elsewhere_prolongs_it() {
        let (silence, start) = (Silence::new(), Instant::now());
        assert!(!silence.leaderless(start, false, |_| 200));
        assert!(!silence.leaderless(at(start, 150), true, |_| 200));
        assert!(!silence.leaderless(at(start, 250), false, |_| 200));
        silence.note_longer_log();
        assert!(!silence.leaderless(at(start, 500), false, |_| 200));
        assert!(silence.leaderless(at(Instant::now(), 900), false, |_| 200));
    }

    #[test]
    fn a_node_that_hears_its_leader_is_not_provoked_by_a_candidate() {
        let silence = Silence::new();
        assert!(silence.outlogs_candidate(Instant::now()));
        silence.note_leader();
        assert!(!silence.outlogs_candidate(Instant::now()));
        assert!(silence.outlogs_candidate(at(Instant::now(), 700)));
    }
}
