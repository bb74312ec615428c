//! Standing for election, by this node's own clock instead of openraft's.
//!
//! openraft draws its election timeout once per process and stands without asking. Survivors could split their votes again and
//! again, and a node that was away for a while could depose a healthy leader by its higher term. So its elections are off;
//! a node that hears no leader asks the others first whether they would vote for it, and stands only if a majority hears
//! none either and has no longer log (Ongaro's pre-vote). Nothing is written or counted for the asking.

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
    Consensus,
    config::LEASE,
    election_timer::{ElectionTimer, PreVoteReply},
    network::target_of,
    peers::{PeerTarget, Peers},
    types::{LogId, Raft},
    wire::Subject,
};

/// How often a node looks whether its patience has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// Between two candidacies of a site's only voter.
const ALONE_PAUSE: Duration = Duration::from_millis(100);
/// Who does not answer within this does not agree.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(400);

/// Would you vote for me? The answer is a [`PreVoteReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PreVoteRequest {
    /// The last entry of the asker's log.
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
    pub silence: Arc<ElectionTimer>,
}

/// Who must agree: a majority of each of these sets, as while members are changed.
struct Electorate {
    sets: Vec<BTreeSet<u64>>,
    others: Vec<PeerTarget>,
}

impl Elections {
    /// Runs until the node stops.
    pub async fn run(self) {
        loop {
            sleep(POLL_INTERVAL).await;
            let Some(electorate) = self.electorate() else { continue };
            let stands = if electorate.others.is_empty() {
                // The only voter needs nobody's consent, only time for its own vote.
                sleep(ALONE_PAUSE).await;
                self.raft.metrics().borrow().state != ServerState::Leader
            } else {
                self.silence.start_pre_vote(Instant::now()) && {
                    let agreed = self.majority_agrees(&electorate).await;
                    self.silence.finish_pre_vote(Instant::now(), agreed, draw)
                }
            };
            if stands {
                tracing::info!("no leader is heard and a majority agrees: standing for election");
                if self.raft.trigger().elect().await.is_err() {
                    return;
                }
            }
        }
    }

    /// The voters, if this node is one and does not lead.
    fn electorate(&self) -> Option<Electorate> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let sets = metrics.membership_config.membership().get_joint_config().clone();
        if metrics.state == ServerState::Leader || !sets.iter().any(|set| set.contains(&metrics.id)) {
            return None;
        }
        let voters: BTreeSet<u64> = sets.iter().flatten().copied().filter(|voter| *voter != metrics.id).collect();
        let members: BTreeMap<u64, _> = metrics.membership_config.nodes().map(|(id, member)| (*id, member)).collect();
        let others = voters.iter().filter_map(|voter| Some(target_of(*voter, members.get(voter)?))).collect();
        Some(Electorate { sets, others })
    }

    async fn majority_agrees(&self, electorate: &Electorate) -> bool {
        let mut agreeing = BTreeSet::from([self.peers.local().node.0]);
        if electorate.agrees(&agreeing) {
            return true;
        }
        let question = PreVoteRequest { last_log: self.raft.data_metrics().borrow().last_log };
        let Ok(body) = codec::encode(&question) else { return false };
        let body = &body;
        let mut answers: FuturesUnordered<_> = electorate
            .others
            .iter()
            .map(|other| async move { (other.node.0, timeout(ANSWER_TIMEOUT, self.peers.ask(other, Subject::PreVoteRequest, body)).await) })
            .collect();
        while let Some((node, answer)) = answers.next().await {
            let Ok(Ok(answer)) = answer else { continue };
            match codec::decode(&answer) {
                Ok(PreVoteReply::Yes) => {
                    agreeing.insert(node);
                    if electorate.agrees(&agreeing) {
                        return true;
                    }
                }
                // That one stands now; waiting for those that are away would only keep this node from letting it.
                Ok(PreVoteReply::LongerLog) => return false,
                Ok(PreVoteReply::No) | Err(_) => {}
            }
        }
        false
    }
}

impl Electorate {
    fn agrees(&self, nodes: &BTreeSet<u64>) -> bool {
        self.sets.iter().all(|set| set.intersection(nodes).count() * 2 > set.len())
    }
}

impl Consensus {
    /// Whether this node would vote for `candidate`.
    pub(super) fn would_vote(&self, candidate: u64, question: PreVoteRequest) -> PreVoteReply {
        let own_log = self.raft.data_metrics().borrow().last_log.cmp(&question.last_log);
        let leads = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            let heard = metrics.millis_since_quorum_ack.is_some_and(|silence| u128::from(silence) < LEASE.as_millis());
            metrics.state == ServerState::Leader && heard
        };
        let goes_first = self.node().0 < candidate;
        self.silence.grant_pre_vote(Instant::now(), leads, own_log, goes_first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_members_change_a_majority_of_both_sets_must_agree() {
        let electorate = Electorate { sets: vec![[1, 2, 3].into(), [3, 4, 5].into()], others: vec![] };
        assert!(!electorate.agrees(&[1, 2, 3].into()));
        assert!(electorate.agrees(&[1, 3, 4].into()));
        assert!(!Electorate { sets: vec![[1, 2].into()], others: vec![] }.agrees(&[1].into()));
    }
}
