//! When a node last got a heartbeat, and what follows from it for elections. Pure: the clock is passed in, randomness too.
//!
//! Every rank has a window of its own for the first attempt after its election timeout, so survivors do not stand at once. If they do
//! collide, further attempts wait for a time drawn anew each time.

use std::{
    cmp::Ordering,
    ops::Range,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::consensus::config::{LEASE, election_timeout_window_ms};

/// Between two pre-votes while the others still have a leader.
const PRE_VOTE_AGAIN_MS: Range<u64> = 60..140;
/// Between two candidacies: a vote is synced to disk at both ends, so this is longer than two slow syncs.
const STAND_AGAIN_MS: Range<u64> = 300..700;
/// A node that granted a pre-vote leaves the candidate this long to win.
const YIELD: Duration = Duration::from_millis(300);

/// The election timeout of a node, and when it may stand for election next.
#[derive(Debug)]
pub struct ElectionTimer {
    rank: u32,
    inner: Mutex<TimerState>,
}

#[derive(Debug)]
struct TimerState {
    /// When the last heartbeat of a leader came; at first, when the node started.
    heartbeat_at: Instant,
    /// A node without a heartbeat for this long starts a pre-vote.
    election_timeout: Duration,
    /// No pre-vote and no candidacy before this.
    not_before: Option<Instant>,
    /// A pre-vote is under way.
    in_pre_vote: bool,
}

/// The reply to a node that would stand for election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreVoteReply {
    Yes,
    /// It leads, has a leader, or is in a pre-vote itself and goes first.
    No,
    /// Its own log is longer: it stands itself.
    LongerLog,
}

impl ElectionTimer {
    /// A node that starts at `now`. `draw` yields a number out of a range.
    pub fn new(rank: u32, now: Instant, draw: impl FnOnce(Range<u64>) -> u64) -> Self {
        let election_timeout = Duration::from_millis(draw(election_timeout_window_ms(rank)));
        Self { rank, inner: Mutex::new(TimerState { heartbeat_at: now, election_timeout, not_before: None, in_pre_vote: false }) }
    }

    /// A leader sent a heartbeat or entries.
    pub fn note_heartbeat(&self, now: Instant, draw: impl FnOnce(Range<u64>) -> u64) {
        let mut timer = self.inner.lock();
        timer.heartbeat_at = now;
        timer.not_before = None;
        timer.election_timeout = Duration::from_millis(draw(election_timeout_window_ms(self.rank)));
    }

    /// How long ago the last heartbeat came.
    pub fn heartbeat_age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.inner.lock().heartbeat_at)
    }

    /// Whether to ask for pre-votes now. If so, [`Self::finish_pre_vote`] must follow.
    pub fn start_pre_vote(&self, now: Instant) -> bool {
        let mut timer = self.inner.lock();
        let timed_out = now.saturating_duration_since(timer.heartbeat_at) >= timer.election_timeout;
        timer.in_pre_vote = timed_out && !timer.in_pre_vote && timer.not_before.is_none_or(|at| now >= at);
        timer.in_pre_vote
    }

    /// The pre-vote is over, and with `granted` a majority granted it. Whether this node stands for election now: not if a heartbeat came
    /// or another node got its pre-vote meanwhile.
    pub fn finish_pre_vote(&self, now: Instant, granted: bool, draw: impl FnOnce(Range<u64>) -> u64) -> bool {
        let mut timer = self.inner.lock();
        timer.in_pre_vote = false;
        let lease_is_over = now.saturating_duration_since(timer.heartbeat_at) >= LEASE;
        let stands = granted && lease_is_over && timer.not_before.is_none_or(|at| now >= at);
        if timer.not_before.is_none_or(|at| now >= at) {
            timer.not_before = Some(now + Duration::from_millis(draw(if stands { STAND_AGAIN_MS } else { PRE_VOTE_AGAIN_MS })));
        }
        stands
    }

    /// The reply to another node's pre-vote, by comparing this node's log with the other's. When both start a pre-vote at once,
    /// the one with the longer log stands, of equals the one that `goes_first`.
    pub fn grant_pre_vote(&self, now: Instant, leads: bool, own_log: Ordering, goes_first: bool) -> PreVoteReply {
        let mut timer = self.inner.lock();
        if leads || now.saturating_duration_since(timer.heartbeat_at) < LEASE {
            return PreVoteReply::No;
        }
        if own_log == Ordering::Greater {
            // The other can't win: no reason to wait any longer here.
            timer.election_timeout = Duration::ZERO;
            return PreVoteReply::LongerLog;
        }
        if timer.in_pre_vote && goes_first && own_log == Ordering::Equal {
            return PreVoteReply::No;
        }
        timer.not_before = Some(timer.not_before.map_or(now + YIELD, |at| at.max(now + YIELD)));
        PreVoteReply::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT_MS: u64 = 700;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn started_at(start: Instant) -> ElectionTimer {
        ElectionTimer::new(0, start, |_| TIMEOUT_MS)
    }

    #[test]
    fn a_node_starts_a_pre_vote_only_after_its_election_timeout() {
        let start = Instant::now();
        let timer = started_at(start);
        assert!(!timer.start_pre_vote(at(start, 699)));
        timer.note_heartbeat(at(start, 650), |_| TIMEOUT_MS);
        assert!(!timer.start_pre_vote(at(start, 1_349)));
        assert!(timer.start_pre_vote(at(start, 1_350)));
        assert!(!timer.start_pre_vote(at(start, 1_351)), "a pre-vote is under way");
    }

    #[test]
    fn without_a_majority_of_pre_votes_a_node_never_stands_and_asks_again_soon() {
        let start = Instant::now();
        let timer = started_at(start);
        assert!(timer.start_pre_vote(at(start, 700)));
        assert!(!timer.finish_pre_vote(at(start, 710), false, |range| range.start));
        assert!(!timer.start_pre_vote(at(start, 769)));
        assert!(timer.start_pre_vote(at(start, 770)));
        assert!(timer.finish_pre_vote(at(start, 775), true, |range| range.start));
        assert!(!timer.start_pre_vote(at(start, 1_074)), "a vote takes its time");
        assert!(timer.start_pre_vote(at(start, 1_075)));
    }

    #[test]
    fn a_heartbeat_during_the_pre_vote_cancels_the_candidacy() {
        let start = Instant::now();
        let timer = started_at(start);
        assert!(timer.start_pre_vote(at(start, 700)));
        timer.note_heartbeat(at(start, 705), |_| TIMEOUT_MS);
        assert!(!timer.finish_pre_vote(at(start, 710), true, |range| range.start));
    }

    #[test]
    fn a_leader_and_a_node_that_has_one_grant_no_pre_vote() {
        let start = Instant::now();
        let timer = started_at(start);
        assert_eq!(timer.grant_pre_vote(at(start, 599), false, Ordering::Equal, false), PreVoteReply::No);
        assert_eq!(timer.grant_pre_vote(at(start, 600), true, Ordering::Equal, false), PreVoteReply::No);
        assert_eq!(timer.grant_pre_vote(at(start, 600), false, Ordering::Equal, false), PreVoteReply::Yes);
    }

    #[test]
    fn a_node_that_granted_a_pre_vote_does_not_stand_against_the_candidate() {
        let start = Instant::now();
        let timer = started_at(start);
        assert_eq!(timer.grant_pre_vote(at(start, 690), false, Ordering::Equal, false), PreVoteReply::Yes);
        assert!(!timer.start_pre_vote(at(start, 989)));
        assert!(timer.start_pre_vote(at(start, 990)), "the other did not win");
    }

    #[test]
    fn of_two_pre_votes_at_once_one_node_stands() {
        let start = Instant::now();
        let (first, second) = (started_at(start), started_at(start));
        assert!(first.start_pre_vote(at(start, 700)) && second.start_pre_vote(at(start, 700)));
        let to_second = first.grant_pre_vote(at(start, 702), false, Ordering::Equal, true);
        let to_first = second.grant_pre_vote(at(start, 702), false, Ordering::Equal, false);
        assert_eq!((to_first, to_second), (PreVoteReply::Yes, PreVoteReply::No));
        assert!(first.finish_pre_vote(at(start, 704), true, |range| range.start));
        assert!(!second.finish_pre_vote(at(start, 704), false, |range| range.start));
        assert!(!second.start_pre_vote(at(start, 900)));
    }

    #[test]
    fn a_node_with_a_longer_log_stands_at_once_instead_of_the_one_that_asked_for_its_pre_vote() {
        let start = Instant::now();
        let timer = ElectionTimer::new(4, start, |range| range.start);
        assert_eq!(timer.grant_pre_vote(at(start, 650), false, Ordering::Greater, false), PreVoteReply::LongerLog);
        assert!(timer.start_pre_vote(at(start, 651)));
    }

    #[test]
    fn a_shorter_log_gives_way_even_if_its_node_goes_first() {
        let start = Instant::now();
        let (shorter, longer) = (started_at(start), started_at(start));
        assert!(shorter.start_pre_vote(at(start, 700)) && longer.start_pre_vote(at(start, 700)));
        assert_eq!(longer.grant_pre_vote(at(start, 702), false, Ordering::Greater, false), PreVoteReply::LongerLog);
        assert_eq!(shorter.grant_pre_vote(at(start, 702), false, Ordering::Less, true), PreVoteReply::Yes);
        assert!(longer.finish_pre_vote(at(start, 704), true, |range| range.start));
        assert!(!shorter.finish_pre_vote(at(start, 704), false, |range| range.start));
    }
}
