//! What a node has heard of a leader, and what follows from it for elections. Pure: the clock is passed in, chance too.
//!
//! Every rank has a window of its own for the first attempt after one silence, so survivors do not stand at once. If they do
//! collide, further attempts wait for a time drawn anew each time.

use std::{
    cmp::Ordering,
    ops::Range,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::config::{LEASE, election_timeout_window_ms};

/// Between two questions to the others while they still hear a leader.
const ASK_AGAIN_MS: Range<u64> = 60..140;
/// Between two candidacies: a vote is synced to disk at both ends, so this is longer than two slow syncs.
const STAND_AGAIN_MS: Range<u64> = 300..700;
/// Who said yes to another leaves it this long to win.
const YIELD: Duration = Duration::from_millis(300);

/// What a node has heard, and when it may stand next.
#[derive(Debug)]
pub(super) struct ElectionTimer {
    rank: u32,
    inner: Mutex<Heard>,
}

#[derive(Debug)]
struct Heard {
    /// When a leader last said something; at first, when the node started.
    leader_at: Instant,
    /// How long a silence makes this node ask the others.
    election_timeout: Duration,
    /// No question and no candidacy before this.
    not_before: Option<Instant>,
    /// The others are being asked.
    asking: bool,
}

/// What a node says to another that would stand for election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PreVoteReply {
    Yes,
    /// It leads, hears a leader, or asks on its own behalf and goes first.
    No,
    /// Its own log is longer: it stands itself.
    LongerLog,
}

impl ElectionTimer {
    /// A node that starts at `now`. `draw` yields a number out of a range.
    pub fn new(rank: u32, now: Instant, draw: impl FnOnce(Range<u64>) -> u64) -> Self {
        let election_timeout = Duration::from_millis(draw(election_timeout_window_ms(rank)));
        Self { rank, inner: Mutex::new(Heard { leader_at: now, election_timeout, not_before: None, asking: false }) }
    }

    /// A leader said something.
    pub fn note_leader(&self, now: Instant, draw: impl FnOnce(Range<u64>) -> u64) {
        let mut heard = self.inner.lock();
        heard.leader_at = now;
        heard.not_before = None;
        heard.election_timeout = Duration::from_millis(draw(election_timeout_window_ms(self.rank)));
    }

    /// How long no leader has been heard.
    pub fn lasts(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.inner.lock().leader_at)
    }

    /// Whether to ask the others now. If so, [`Self::finish_pre_vote`] must follow.
    pub fn start_pre_vote(&self, now: Instant) -> bool {
        let mut heard = self.inner.lock();
        let silent = now.saturating_duration_since(heard.leader_at) >= heard.election_timeout;
        heard.asking = silent && !heard.asking && heard.not_before.is_none_or(|at| now >= at);
        heard.asking
    }

    /// The others have answered; with `stands`, enough of them agreed, and this node stands now unless a leader spoke up or
    /// another got its yes meanwhile.
    pub fn finish_pre_vote(&self, now: Instant, agreed: bool, draw: impl FnOnce(Range<u64>) -> u64) -> bool {
        let mut heard = self.inner.lock();
        heard.asking = false;
        let still_silent = now.saturating_duration_since(heard.leader_at) >= LEASE;
        let stands = agreed && still_silent && heard.not_before.is_none_or(|at| now >= at);
        if heard.not_before.is_none_or(|at| now >= at) {
            heard.not_before = Some(now + Duration::from_millis(draw(if stands { STAND_AGAIN_MS } else { ASK_AGAIN_MS })));
        }
        stands
    }

    /// What to say to another node that would stand, by the length of the own log beside the other's. When both ask at once,
    /// the one with the longer log stands, of equals the one that `goes_first`.
    pub fn grant_pre_vote(&self, now: Instant, leads: bool, own_log: Ordering, goes_first: bool) -> PreVoteReply {
        let mut heard = self.inner.lock();
        if leads || now.saturating_duration_since(heard.leader_at) < LEASE {
            return PreVoteReply::No;
        }
        if own_log == Ordering::Greater {
            // The other can't win: no reason to wait any longer here.
            heard.election_timeout = Duration::ZERO;
            return PreVoteReply::LongerLog;
        }
        if heard.asking && goes_first && own_log == Ordering::Equal {
            return PreVoteReply::No;
        }
        heard.not_before = Some(heard.not_before.map_or(now + YIELD, |at| at.max(now + YIELD)));
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

    fn silent_since(start: Instant) -> ElectionTimer {
        ElectionTimer::new(0, start, |_| TIMEOUT_MS)
    }

    #[test]
    fn a_node_asks_only_after_its_patience_without_a_leader() {
        let start = Instant::now();
        let silence = silent_since(start);
        assert!(!silence.start_pre_vote(at(start, 699)));
        silence.note_leader(at(start, 650), |_| TIMEOUT_MS);
        assert!(!silence.start_pre_vote(at(start, 1_349)));
        assert!(silence.start_pre_vote(at(start, 1_350)));
        assert!(!silence.start_pre_vote(at(start, 1_351)), "it is asking");
    }

    #[test]
    fn without_the_others_consent_a_node_never_stands_and_asks_again_soon() {
        let start = Instant::now();
        let silence = silent_since(start);
        assert!(silence.start_pre_vote(at(start, 700)));
        assert!(!silence.finish_pre_vote(at(start, 710), false, |range| range.start));
        assert!(!silence.start_pre_vote(at(start, 769)));
        assert!(silence.start_pre_vote(at(start, 770)));
        assert!(silence.finish_pre_vote(at(start, 775), true, |range| range.start));
        assert!(!silence.start_pre_vote(at(start, 1_074)), "a vote takes its time");
        assert!(silence.start_pre_vote(at(start, 1_075)));
    }

    #[test]
    fn a_leader_that_speaks_up_while_the_others_are_asked_keeps_its_place() {
        let start = Instant::now();
        let silence = silent_since(start);
        assert!(silence.start_pre_vote(at(start, 700)));
        silence.note_leader(at(start, 705), |_| TIMEOUT_MS);
        assert!(!silence.finish_pre_vote(at(start, 710), true, |range| range.start));
    }

    #[test]
    fn a_leader_and_a_node_that_hears_one_consent_to_nobody() {
        let start = Instant::now();
        let silence = silent_since(start);
        assert_eq!(silence.grant_pre_vote(at(start, 599), false, Ordering::Equal, false), PreVoteReply::No);
        assert_eq!(silence.grant_pre_vote(at(start, 600), true, Ordering::Equal, false), PreVoteReply::No);
        assert_eq!(silence.grant_pre_vote(at(start, 600), false, Ordering::Equal, false), PreVoteReply::Yes);
    }

    #[test]
    fn who_said_yes_to_another_does_not_stand_against_it() {
        let start = Instant::now();
        let silence = silent_since(start);
        assert_eq!(silence.grant_pre_vote(at(start, 690), false, Ordering::Equal, false), PreVoteReply::Yes);
        assert!(!silence.start_pre_vote(at(start, 989)));
        assert!(silence.start_pre_vote(at(start, 990)), "the other did not win");
    }

    #[test]
    fn of_two_that_ask_at_once_one_stands() {
        let start = Instant::now();
        let (first, second) = (silent_since(start), silent_since(start));
        assert!(first.start_pre_vote(at(start, 700)) && second.start_pre_vote(at(start, 700)));
        let to_second = first.grant_pre_vote(at(start, 702), false, Ordering::Equal, true);
        let to_first = second.grant_pre_vote(at(start, 702), false, Ordering::Equal, false);
        assert_eq!((to_first, to_second), (PreVoteReply::Yes, PreVoteReply::No));
        assert!(first.finish_pre_vote(at(start, 704), true, |range| range.start));
        assert!(!second.finish_pre_vote(at(start, 704), false, |range| range.start));
        assert!(!second.start_pre_vote(at(start, 900)));
    }

    #[test]
    fn a_longer_log_stands_at_once_instead_of_the_one_that_asked() {
        let start = Instant::now();
        let silence = ElectionTimer::new(4, start, |range| range.start);
        assert_eq!(silence.grant_pre_vote(at(start, 650), false, Ordering::Greater, false), PreVoteReply::LongerLog);
        assert!(silence.start_pre_vote(at(start, 651)));
    }

    #[test]
    fn a_shorter_log_gives_way_even_if_its_node_goes_first() {
        let start = Instant::now();
        let (shorter, longer) = (silent_since(start), silent_since(start));
        assert!(shorter.start_pre_vote(at(start, 700)) && longer.start_pre_vote(at(start, 700)));
        assert_eq!(longer.grant_pre_vote(at(start, 702), false, Ordering::Greater, false), PreVoteReply::LongerLog);
        assert_eq!(shorter.grant_pre_vote(at(start, 702), false, Ordering::Less, true), PreVoteReply::Yes);
        assert!(longer.finish_pre_vote(at(start, 704), true, |range| range.start));
        assert!(!shorter.finish_pre_vote(at(start, 704), false, |range| range.start));
    }
}
