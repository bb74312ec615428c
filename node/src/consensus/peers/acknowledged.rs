//! How far each follower acknowledged this leader's log, so that one whose disk was turned back is detected.
//!
//! openraft takes for granted that a follower never loses what it acknowledged; one that does (a restored machine image, a
//! disk that lies about its syncs) makes the leader's count of replicas wrong. So such a follower is left alone and reported.

use std::collections::BTreeMap;

use kho_storage::ids::NodeId;
use parking_lot::Mutex;

use crate::consensus::types::{AppendResponse, LogId, Vote};

/// By follower: the leader's vote, and the last entry acknowledged under it.
#[derive(Debug, Default)]
pub struct Acknowledged {
    by_follower: Mutex<BTreeMap<NodeId, (Vote, Option<LogId>)>>,
}

impl Acknowledged {
    /// Notes `response` to a request that started behind `previous` and reached to `last`. `false` when the follower denies
    /// what it had acknowledged to the same leader.
    pub fn is_consistent(
        &self,
        follower: NodeId,
        vote: Vote,
        previous: Option<LogId>,
        last: Option<LogId>,
        response: &AppendResponse,
    ) -> bool {
        let mut by_follower = self.by_follower.lock();
        let known = by_follower.entry(follower).or_insert((vote, None));
        if known.0 != vote {
            *known = (vote, None);
        }
        match response {
            AppendResponse::Success => known.1 = known.1.max(last.or(previous)),
            AppendResponse::PartialSuccess(matched) => known.1 = known.1.max(*matched),
            AppendResponse::Conflict => return previous > known.1,
            AppendResponse::HigherVote(_) => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> Option<LogId> {
        Some(LogId::new(openraft::CommittedLeaderId::new(1, 1), index))
    }

    #[test]
    fn a_follower_that_denies_what_it_acknowledged_is_detected() {
        let (acknowledged, vote) = (Acknowledged::default(), Vote::new_committed(1, 1));
        let consistent = |previous, last, response: AppendResponse| acknowledged.is_consistent(NodeId(2), vote, previous, last, &response);
        assert!(consistent(at(9), at(12), AppendResponse::Conflict), "the search for the common part");
        assert!(consistent(at(4), at(8), AppendResponse::Success));
        assert!(consistent(at(9), at(12), AppendResponse::Conflict));
        assert!(consistent(at(8), None, AppendResponse::Success), "a heartbeat");
        assert!(!consistent(at(8), None, AppendResponse::Conflict));
        assert!(!consistent(at(5), at(6), AppendResponse::Conflict));
    }

    #[test]
    fn another_leader_starts_without_assumptions() {
        let acknowledged = Acknowledged::default();
        assert!(acknowledged.is_consistent(NodeId(2), Vote::new_committed(1, 1), at(4), at(8), &AppendResponse::Success));
        assert!(acknowledged.is_consistent(NodeId(2), Vote::new_committed(2, 1), at(8), None, &AppendResponse::Conflict));
    }
}
