//! Whether, where and when a request is tried again. Pure: it takes the result of an attempt and decides what comes next.

use std::time::Duration;

/// What may happen when a request arrives twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// It changes nothing.
    Read,
    /// It bears a key or is settled by its content: the second arrival changes nothing.
    Idempotent,
    /// A second arrival may do it again: it must not be sent twice.
    NonIdempotent,
}

/// How long a request is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryBudget {
    /// One attempt: the caller repeats the request by itself.
    None,
    /// Somebody waits for the answer.
    Short,
    /// Through a change of leader or a restart of a node: some minutes.
    Long,
}

/// What came of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    Answered {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// The leader of the site reaches this node, but the node does not reach the leader.
    LeaderUnreachable {
        retry_after: Option<Duration>,
    },
    /// The connection did not come about: nothing was sent.
    NotConnected,
    /// The request was sent, at least in part, and no answer came.
    Lost,
    /// One side's certificate was refused.
    Untrusted,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Take,
    /// The answer is a refusal, and final.
    Refuse,
    Again {
        wait: Duration,
        other_node: bool,
    },
    GiveUp(GiveUp),
}

/// Why it is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// No attempt can have changed anything.
    Unreachable,
    /// One attempt may have.
    Unknown,
    Untrusted,
}

const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// The longest pause that a node may demand.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// How often every node is asked while they can't reach the leader: an operator has to correct addresses, so it does not pass by itself.
const LEADER_UNREACHABLE_ROUNDS_MAX: u32 = 3;

/// The attempts of one request so far.
#[derive(Debug)]
pub struct Retry {
    idempotency: Idempotency,
    nodes: u32,
    tries: u32,
    /// Attempts that a node could not pass on to the leader.
    leader_unreachable: u32,
    tries_max: u32,
    may_have_arrived: bool,
}

impl Retry {
    pub fn new(idempotency: Idempotency, retry_budget: RetryBudget, nodes: usize) -> Self {
        let rounds_max = match retry_budget {
            RetryBudget::None => 1,
            RetryBudget::Short => 3,
            RetryBudget::Long => 40,
        };
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX).clamp(1, 64);
        Self { idempotency, nodes, tries: 0, leader_unreachable: 0, tries_max: rounds_max * nodes, may_have_arrived: false }
    }

    /// Decides after an attempt.
    pub fn after(&mut self, attempt: Attempt) -> Next {
        self.tries += 1;
        let spent = self.tries >= self.tries_max;
        match attempt {
            Attempt::Answered { status: 200..=299, .. } => Next::Take,
            Attempt::Answered { status: 429, retry_after } if !spent => self.again_after(retry_after, false),
            Attempt::Answered { status: 503, retry_after } if !spent => self.again_after(retry_after, true),
            Attempt::LeaderUnreachable { retry_after } => {
                self.leader_unreachable += 1;
                let may_pass = self.leader_unreachable < LEADER_UNREACHABLE_ROUNDS_MAX * self.nodes;
                if may_pass && !spent { self.again_after(retry_after, true) } else { Next::Refuse }
            }
            Attempt::Answered { status: 504, .. } => self.lost(spent),
            Attempt::Answered { status: 500 | 502, .. } if !spent && self.idempotency != Idempotency::NonIdempotent => {
                self.again_after(None, true)
            }
            Attempt::Answered { .. } => Next::Refuse,
            Attempt::NotConnected if spent => self.give_up(),
            // The other nodes are tried at once; only after all of them failed is there a pause.
            Attempt::NotConnected if !self.tries.is_multiple_of(self.nodes) => Next::Again { wait: Duration::ZERO, other_node: true },
            Attempt::NotConnected => Next::Again { wait: self.pause(), other_node: true },
            Attempt::Lost => self.lost(spent),
            Attempt::Untrusted => Next::GiveUp(GiveUp::Untrusted),
        }
    }

    fn lost(&mut self, spent: bool) -> Next {
        self.may_have_arrived |= self.idempotency != Idempotency::Read;
        if spent || self.idempotency == Idempotency::NonIdempotent {
            self.give_up()
        } else {
            Next::Again { wait: self.pause(), other_node: true }
        }
    }

    fn again_after(&self, retry_after: Option<Duration>, other_node: bool) -> Next {
        let wait = retry_after.unwrap_or_else(|| self.pause()).min(RETRY_AFTER_MAX);
        Next::Again { wait: wait.max(WAIT_FIRST), other_node }
    }

    /// Doubles with every round over the nodes.
    fn pause(&self) -> Duration {
        let round = (self.tries - 1) / self.nodes;
        WAIT_FIRST.saturating_mul(1 << round.min(10)).min(WAIT_MAX)
    }

    fn give_up(&self) -> Next {
        Next::GiveUp(if self.may_have_arrived { GiveUp::Unknown } else { GiveUp::Unreachable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Attempt {
        Attempt::Answered { status, retry_after: None }
    }

    #[test]
    fn a_non_idempotent_request_is_not_repeated_after_it_may_have_arrived() {
        assert_eq!(Retry::new(Idempotency::NonIdempotent, RetryBudget::Long, 3).after(Attempt::Lost), Next::GiveUp(GiveUp::Unknown));
        assert_eq!(Retry::new(Idempotency::NonIdempotent, RetryBudget::Long, 3).after(answered(504)), Next::GiveUp(GiveUp::Unknown));
        assert_eq!(Retry::new(Idempotency::NonIdempotent, RetryBudget::Long, 3).after(answered(500)), Next::Refuse);
        let before_it_was_sent = Retry::new(Idempotency::NonIdempotent, RetryBudget::Long, 3).after(Attempt::NotConnected);
        assert_eq!(before_it_was_sent, Next::Again { wait: Duration::ZERO, other_node: true });
    }

    #[test]
    fn a_keyed_request_goes_on_at_another_node_and_stays_unknown_when_none_answers() {
        let mut retry = Retry::new(Idempotency::Idempotent, RetryBudget::Short, 2);
        assert!(matches!(retry.after(Attempt::Lost), Next::Again { other_node: true, .. }));
        let last = (0..10).map(|_| retry.after(Attempt::NotConnected)).find(|next| matches!(next, Next::GiveUp(_)));
        assert_eq!(last, Some(Next::GiveUp(GiveUp::Unknown)));
    }

    #[test]
    fn a_lost_read_changed_nothing_so_it_ends_as_unreachable() {
        let mut retry = Retry::new(Idempotency::Read, RetryBudget::Short, 1);
        let ends: Vec<_> = (0..3).map(|_| retry.after(Attempt::Lost)).collect();
        assert_eq!(ends[2], Next::GiveUp(GiveUp::Unreachable));
    }

    #[test]
    fn a_busy_node_is_tried_again_after_the_time_it_names_within_bounds() {
        let busy = |status, seconds| Attempt::Answered { status, retry_after: Some(Duration::from_secs(seconds)) };
        let mut retry = Retry::new(Idempotency::NonIdempotent, RetryBudget::Long, 2);
        assert_eq!(retry.after(busy(429, 2)), Next::Again { wait: Duration::from_secs(2), other_node: false });
        assert_eq!(retry.after(busy(503, 0)), Next::Again { wait: WAIT_FIRST, other_node: true });
        assert_eq!(retry.after(busy(503, 9_999)), Next::Again { wait: RETRY_AFTER_MAX, other_node: true });
    }

    #[test]
    fn tries_are_bounded_and_end_in_the_node_s_own_words() {
        let mut retry = Retry::new(Idempotency::Idempotent, RetryBudget::Short, 1);
        let nexts: Vec<_> = (0..3).map(|_| retry.after(answered(503))).collect();
        assert_eq!(nexts[2], Next::Refuse);
        assert_eq!(Retry::new(Idempotency::Read, RetryBudget::None, 1).after(answered(503)), Next::Refuse);
        assert_eq!(Retry::new(Idempotency::Read, RetryBudget::None, 1).after(Attempt::NotConnected), Next::GiveUp(GiveUp::Unreachable));
        assert_eq!(Retry::new(Idempotency::Idempotent, RetryBudget::Long, 3).after(answered(422)), Next::Refuse);
    }

    #[test]
    fn pauses_grow_with_rounds_over_all_nodes_up_to_a_bound() {
        let mut retry = Retry::new(Idempotency::Read, RetryBudget::Long, 2);
        let waits: Vec<_> = (0..16)
            .map(|_| match retry.after(Attempt::NotConnected) {
                Next::Again { wait, .. } => wait,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(waits[..6], [0, 200, 0, 400, 0, 800].map(Duration::from_millis));
        assert_eq!(waits[15], WAIT_MAX);
    }

    #[test]
    fn a_refused_certificate_ends_it_at_once() {
        assert_eq!(Retry::new(Idempotency::Read, RetryBudget::Long, 3).after(Attempt::Untrusted), Next::GiveUp(GiveUp::Untrusted));
    }

    #[test]
    fn a_leader_that_the_nodes_can_not_reach_is_reported_after_a_few_rounds_whatever_the_budget() {
        let mut retry = Retry::new(Idempotency::Idempotent, RetryBudget::Long, 2);
        let unreachable = Attempt::LeaderUnreachable { retry_after: Some(Duration::from_secs(1)) };
        let nexts: Vec<_> = (0..6).map(|_| retry.after(unreachable)).collect();
        assert!(nexts[..5].iter().all(|next| matches!(next, Next::Again { other_node: true, .. })), "{nexts:?}");
        assert_eq!(nexts[5], Next::Refuse);
        assert_eq!(Retry::new(Idempotency::Read, RetryBudget::None, 1).after(unreachable), Next::Refuse);
    }
}
