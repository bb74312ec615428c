//! Standing for election, by this node's own clock instead of openraft's.
//!
//! openraft draws its election timeout once per process and stands without asking. Survivors could split their votes again and
//! again, and a node that was away for a while could depose a healthy leader by its higher term. So its elections are off;
//! a node whose election timeout has passed without a heartbeat asks for pre-votes first, and stands for election only if a majority
//! of the voters has no leader either and no longer log (Ongaro's pre-vote). A pre-vote writes nothing and raises no term.
//!
//! Invariants: a node stands for election only with the pre-votes of a majority (test
//! `without_a_majority_of_pre_votes_a_node_never_stands_and_asks_again_soon`); a node that leads, or has a leader within the lease,
//! grants no pre-vote (test `a_leader_and_a_node_that_has_one_grant_no_pre_vote`).
//!
//! Reading order: `timer.rs` decides when, by the clock alone; this file sends the requests. The reply to another node's pre-vote is made in
//! `serve.rs`.

mod timer;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::stream::{FuturesUnordered, StreamExt as _};
use kho_storage::codec;
use openraft::ServerState;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::{
    peers::{PeerTarget, Peers, wire::Subject},
    types::{LogId, Raft},
};
pub(super) use timer::{ElectionTimer, PreVoteReply};

/// How often a node checks whether its election timeout has passed.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// Between two candidacies of a site's only voter.
const ALONE_PAUSE: Duration = Duration::from_millis(100);
/// A voter that does not reply within this grants nothing.
const PRE_VOTE_TIMEOUT: Duration = Duration::from_millis(400);

/// A pre-vote. The reply is a [`PreVoteReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PreVoteRequest {
    /// The last entry of the sender's log.
    pub last_log: Option<LogId>,
}

/// A number out of a range, by chance.
pub(super) fn draw(range: std::ops::Range<u64>) -> u64 {
    rand::rng().random_range(range)
}

/// Stands for election whenever that is due.
pub(super) struct Elections {
    pub raft: Raft,
    pub peers: Arc<Peers>,
    pub election_timer: Arc<ElectionTimer>,
}

/// Whose pre-votes are needed: a majority of each of these sets, as while members are changed.
struct Electorate {
    sets: Vec<BTreeSet<u64>>,
    others: Vec<PeerTarget>,
}

impl Elections {
    /// Runs until the node stops.
    pub async fn run(self) {
        loop {
            sleep(POLL_INTERVAL).await;
            self.peers.leading().decide(&self.raft.metrics().borrow());
            let Some(electorate) = self.electorate() else { continue };
            let stands = if electorate.others.is_empty() {
                // The only voter needs no pre-vote, only time for its own vote.
                sleep(ALONE_PAUSE).await;
                self.raft.metrics().borrow().state != ServerState::Leader
            } else {
                self.election_timer.start_pre_vote(Instant::now()) && {
                    let granted = self.majority_grants(&electorate).await;
                    self.election_timer.finish_pre_vote(Instant::now(), granted, draw)
                }
            };
            if stands {
                tracing::info!("the election timeout passed without a leader and a majority granted its pre-vote: standing for election");
                if self.raft.trigger().elect().await.is_err() {
                    return;
                }
            }
        }
    }

    /// The voters, if this node is one, may lead, and does not lead.
    fn electorate(&self) -> Option<Electorate> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let sets = metrics.membership_config.membership().get_joint_config().clone();
        if !self.peers.leading().may_lead() || metrics.state == ServerState::Leader || !sets.iter().any(|set| set.contains(&metrics.id)) {
            return None;
        }
        let voters: BTreeSet<u64> = sets.iter().flatten().copied().filter(|voter| *voter != metrics.id).collect();
        let members: BTreeMap<u64, _> = metrics.membership_config.nodes().map(|(id, member)| (*id, member)).collect();
        let others = voters.iter().filter_map(|voter| Some(PeerTarget::of_member(*voter, members.get(voter)?))).collect();
        Some(Electorate { sets, others })
    }

    async fn majority_grants(&self, electorate: &Electorate) -> bool {
        let mut granting = BTreeSet::from([self.peers.local().node.0]);
        if electorate.is_majority(&granting) {
            return true;
        }
        let request = PreVoteRequest { last_log: self.raft.data_metrics().borrow().last_log };
        let Ok(body) = codec::encode(&request) else { return false };
        let body = &body;
        let mut replies: FuturesUnordered<_> =
            electorate
                .others
                .iter()
                .map(|other| async move {
                    (other.node.0, timeout(PRE_VOTE_TIMEOUT, self.peers.call(other, Subject::PreVoteRequest, body)).await)
                })
                .collect();
        while let Some((node, reply)) = replies.next().await {
            let Ok(Ok(reply)) = reply else { continue };
            match reply.read() {
                Ok(PreVoteReply::Yes) => {
                    granting.insert(node);
                    if electorate.is_majority(&granting) {
                        return true;
                    }
                }
                // That one stands now; waiting for more replies would only delay its election.
                Ok(PreVoteReply::LongerLog) => return false,
                Ok(PreVoteReply::No) | Err(_) => {}
            }
        }
        false
    }
}

impl Electorate {
    fn is_majority(&self, nodes: &BTreeSet<u64>) -> bool {
        is_majority_of_each(&self.sets, nodes)
    }
}

/// Whether `nodes` hold a majority of each of the sets of voters.
pub(super) fn is_majority_of_each(sets: &[BTreeSet<u64>], nodes: &BTreeSet<u64>) -> bool {
    sets.iter().all(|set| set.intersection(nodes).count() * 2 > set.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_members_change_a_majority_of_both_sets_is_needed() {
        let electorate = Electorate { sets: vec![[1, 2, 3].into(), [3, 4, 5].into()], others: vec![] };
        assert!(!electorate.is_majority(&[1, 2, 3].into()));
        assert!(electorate.is_majority(&[1, 3, 4].into()));
        assert!(!Electorate { sets: vec![[1, 2].into()], others: vec![] }.is_majority(&[1].into()));
    }
}
