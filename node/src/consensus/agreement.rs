//! Whether a majority of the voters computed the same at one place: the decision about damaged disks that no node can make alone.
//!
//! ```text
//! leader: own hash ──"at this place, once you have applied entry N?"──► every other member ──► its hash, or none
//!         judge: a majority computed mine  → go on; who differs is reported
//!                a majority computed other → this node is the damaged one: it stops leading (divergence.rs)
//!                neither                   → nothing is done, an operator is told
//! ```
//! Before a head enters the log, the leader asks so for the place that the head covers. A head that is committed is then one that a
//! majority vouches for, and who can't apply it is in the wrong. A majority is one of each set while members change.
//!
//! Invariant: one damaged node never decides against the majority (test `a_majority_decides_and_without_one_nobody_does`).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures::stream::{FuturesUnordered, StreamExt as _};
use kho_storage::{
    codec,
    command::DivergedPlace,
    error::StorageError,
    ids::{Epoch, Hash32, NodeId, OriginId, StreamSeq},
    planted::{Bug, planted},
    stream::Head,
    warehouse::place_hash,
};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::{
    Consensus,
    peers::{PeerTarget, wire::Subject},
    read::NotConfirmed,
    state_position::position_of,
    types::LogId,
};

/// A member that has not answered by then computed nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a member waits until it has applied what it is asked about. Less than what the asker waits.
const APPLY_TIMEOUT: Duration = Duration::from_millis(1_500);

/// A leader asks again about a head within this time. One that does not does not lead any more, or has nothing to ask.
const ASKED_AGAIN_WITHIN: Duration = Duration::from_secs(15);

/// While writes follow each other, the next one carries the commit index within this.
const NEXT_ENTRY_WITHIN: Duration = Duration::from_millis(5);

/// Comparisons that wait at a member at the same time; one more is answered with nothing.
pub(super) const COMPARISONS_MAX: usize = 4;

/// A place at which nodes compare what they computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Comparison {
    /// The entry that a node must have applied before it answers. A node whose log holds another one there, as after disks came back
    /// older, does not answer: its history is another, and that is no damage.
    pub position: LogId,
    pub place: ComparedPlace,
}

/// What is compared. Variants are only appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ComparedPlace {
    /// An origin after a batch.
    Stream { origin: OriginId, epoch: Epoch, seq: StreamSeq },
    /// What heads do not cover, after the entry at `position`.
    State,
}

/// What the answers come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// A majority computed what this node did; these did not.
    Agreed { differing: Vec<NodeId> },
    /// A majority computed something else.
    Outvoted,
    /// There is no majority; these computed something else than this node.
    Open { differing: Vec<NodeId> },
}

/// Judges what members `computed`, this node's `own` among them.
pub fn judge(computed: &BTreeMap<u64, Hash32>, own: Hash32, voter_sets: &[BTreeSet<u64>]) -> Agreement {
    let is_of_a_majority = |hash: Hash32| {
        let votes = |set: &BTreeSet<u64>| set.iter().filter(|voter| computed.get(voter) == Some(&hash)).count();
        !voter_sets.is_empty() && voter_sets.iter().all(|set| 2 * votes(set) > set.len())
    };
    let differing = || computed.iter().filter(|(_, hash)| **hash != own).map(|(node, _)| NodeId(*node)).collect();
    if is_of_a_majority(own) || planted(Bug::OutvotedTakenForAgreed) {
        Agreement::Agreed { differing: differing() }
    } else if computed.values().any(|hash| is_of_a_majority(*hash)) {
        Agreement::Outvoted
    } else {
        Agreement::Open { differing: differing() }
    }
}

/// Why a head may not enter the log. Nothing was changed.
#[derive(Debug)]
pub(super) enum NotAgreed {
    /// It says something else than this leader computed, or of a place that it does not hold.
    HeadDiffers,
    /// This node does not lead, or not any more.
    NotLeader(Option<NodeId>),
    /// No majority says what the head says; these members computed something else.
    Open {
        differing: Vec<NodeId>,
    },
    Storage(StorageError),
}

/// Members that computed something else, while no majority decides who is right.
#[derive(Debug, Default)]
pub(super) struct Disputes {
    /// By the origin whose head waits.
    pub heads: BTreeMap<OriginId, Vec<NodeId>>,
    /// By the entry after which their summaries differ; of those that are kept.
    pub state: Vec<(LogId, Vec<NodeId>)>,
    /// Heads that nobody contradicts and no majority answers for, by their origin: since when, and when the leader asked last.
    unanswered: BTreeMap<OriginId, (Instant, Instant)>,
}

impl Disputes {
    fn settled(&mut self, origin: OriginId) {
        self.heads.remove(&origin);
        self.unanswered.remove(&origin);
    }

    fn stands_open(&mut self, origin: OriginId, differing: &[NodeId], now: Instant) {
        if differing.is_empty() {
            let (since, asked) = self.unanswered.entry(origin).or_insert((now, now));
            if now.duration_since(*asked) > ASKED_AGAIN_WITHIN {
                *since = now;
            }
            *asked = now;
        } else {
            self.unanswered.remove(&origin);
            self.heads.insert(origin, differing.to_vec());
        }
    }

    fn unanswered_for(&self, at_least: Duration, now: Instant) -> Vec<(OriginId, Duration)> {
        let stands = |(since, asked): &(Instant, Instant)| {
            (now.duration_since(*asked) <= ASKED_AGAIN_WITHIN).then(|| now.duration_since(*since)).filter(|stands| *stands >= at_least)
        };
        self.unanswered.iter().filter_map(|(origin, times)| Some((*origin, stands(times)?))).collect()
    }
}

/// How long a comparison goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Until a majority has spoken.
    Majority,
    /// Until every member has, as far as it can be reached.
    All,
}

impl Consensus {
    /// Has a majority agree to what a head says, before the head enters the log.
    ///
    /// # Errors
    /// [`NotAgreed`].
    pub(super) async fn agree_on_head(&self, head: &Head) -> Result<(), NotAgreed> {
        let claimed = place_hash(head.chain, head.digest, head.rows);
        // A head that this leader can't vouch for, signed by the one before it or by a damaged node.
        if self.warehouse.digest_at(head.origin, head.epoch, head.seq).map_err(NotAgreed::Storage)? != Some(claimed) {
            return Err(NotAgreed::HeadDiffers);
        }
        let agreed = (head.epoch, head.seq, claimed);
        if self.agreed_heads.lock().get(&head.origin) == Some(&agreed) {
            return Ok(());
        }
        if self.is_majority_alone() {
            return Ok(());
        }
        // Nothing applied: then there is nothing to vouch for.
        let position = self.applied_here().map_err(NotAgreed::Storage)?.ok_or(NotAgreed::HeadDiffers)?;
        let place = ComparedPlace::Stream { origin: head.origin, epoch: head.epoch, seq: head.seq };
        let noted = DivergedPlace::Stream { origin: head.origin, seq: head.seq };
        let comparison = Comparison { position, place };
        let agreement = tokio::select! {
            agreement = self.compare(&comparison, claimed, Asking::Majority) => agreement,
            deposed = self.carry_commit_index() => return Err(deposed),
        };
        match agreement {
            Agreement::Agreed { differing } => {
                self.report_differing(&differing, noted);
                self.agreed_heads.lock().insert(head.origin, agreed);
                self.disputes.lock().settled(head.origin);
                Ok(())
            }
            Agreement::Outvoted => {
                self.leave_as_diverged(noted);
                Err(NotAgreed::NotLeader(None))
            }
            Agreement::Open { differing } => {
                self.disputes.lock().stands_open(head.origin, &differing, Instant::now());
                Err(NotAgreed::Open { differing })
            }
        }
    }

    /// Members answer once they know that what they are asked about is committed. The next entry tells them; where none follows soon, a
    /// confirmation of this node's leadership does. Returns only when this node does not lead.
    async fn carry_commit_index(&self) -> NotAgreed {
        sleep(NEXT_ENTRY_WITHIN).await;
        match self.confirm_here().await {
            // Who is slow to confirm may still answer: a majority is needed for that too.
            Ok(_) | Err(NotConfirmed::NoMajority(_)) => std::future::pending().await,
            Err(NotConfirmed::NotLeader(leader)) => NotAgreed::NotLeader(leader.map(NodeId)),
            Err(NotConfirmed::Fatal(_)) => NotAgreed::NotLeader(None),
        }
    }

    /// Whether this node is the only voter, whose own hash decides.
    fn is_majority_alone(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let own = Hash32::default();
        let computed = BTreeMap::from([(self.node().0, own)]);
        matches!(judge(&computed, own, metrics.membership_config.membership().get_joint_config()), Agreement::Agreed { .. })
    }

    /// Asks the other members what they computed, and judges it.
    pub(super) async fn compare(&self, comparison: &Comparison, own: Hash32, asking: Asking) -> Agreement {
        let (voter_sets, others) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            let others = metrics.membership_config.nodes().filter(|(id, _)| **id != self.node().0);
            let others: Vec<PeerTarget> = others.map(|(id, record)| PeerTarget::of_member(*id, record)).collect();
            (metrics.membership_config.membership().get_joint_config().clone(), others)
        };
        let mut computed = BTreeMap::from([(self.node().0, own)]);
        let mut agreement = judge(&computed, own, &voter_sets);
        let Ok(body) = codec::encode(comparison) else { return agreement };
        let body = &body;
        let mut answers: FuturesUnordered<_> = others
            .iter()
            .map(|other| async move {
                let answer = timeout(ANSWER_TIMEOUT, self.peers.call(other, Subject::Compare, body)).await.ok()?.ok()?;
                Some((other.node, answer.read::<Option<Hash32>>().ok()??))
            })
            .collect();
        while asking == Asking::All || matches!(agreement, Agreement::Open { .. }) {
            match answers.next().await {
                None => break,
                Some(None) => {}
                Some(Some((node, hash))) => {
                    computed.insert(node.0, hash);
                    agreement = judge(&computed, own, &voter_sets);
                }
            }
        }
        agreement
    }

    /// What this node computed at the place; nothing when it does not know, or has not come so far.
    pub(super) async fn computed_here(&self, comparison: &Comparison) -> Option<Hash32> {
        // Who waits here takes a place from entries and heartbeats.
        let _turn = self.comparisons.try_acquire().ok()?;
        let mut metrics = self.raft.metrics();
        let applied = metrics.wait_for(|metrics| metrics.last_applied.is_some_and(|id| id.index >= comparison.position.index));
        let applied = timeout(APPLY_TIMEOUT, applied).await.ok()?.ok()?.last_applied?;
        if self.log_id_at(comparison.position.index, applied).is_some_and(|ours| ours != comparison.position) {
            return None;
        }
        match comparison.place {
            ComparedPlace::Stream { origin, epoch, seq } => match self.warehouse.digest_at(origin, epoch, seq) {
                Ok(digest) => digest,
                Err(error) => {
                    tracing::error!(%error, "what another node asked about could not be read");
                    None
                }
            },
            ComparedPlace::State => self.summaries.at(comparison.position),
        }
    }

    /// On the leader: members that computed something else than this node, while no majority says who is right.
    pub fn disputed_with(&self) -> BTreeSet<NodeId> {
        if !self.leadership.borrow().is_self {
            return BTreeSet::new();
        }
        let disputes = self.disputes.lock();
        // Who was removed meanwhile is in nobody's way any more.
        let is_member = |node: &&NodeId| self.member(**node).is_some();
        disputes.heads.values().chain(disputes.state.iter().map(|(_, differing)| differing)).flatten().filter(is_member).copied().collect()
    }

    /// On the leader: origins whose newest head has waited for `at_least` so long because no majority says what it computed, with how long.
    pub fn unanswered_heads(&self, at_least: Duration) -> Vec<(OriginId, Duration)> {
        self.disputes.lock().unanswered_for(at_least, Instant::now())
    }

    /// How far this node has applied the log.
    fn applied_here(&self) -> Result<Option<LogId>, StorageError> {
        let mark = self.warehouse.applied()?.unwrap_or_default();
        Ok(position_of(&mark)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> Hash32 {
        Hash32::of(text.as_bytes())
    }

    fn judged(computed: &[(u64, &str)], sets: &[&[u64]]) -> Agreement {
        let computed = computed.iter().map(|(node, text)| (*node, hash(text))).collect();
        let sets: Vec<BTreeSet<u64>> = sets.iter().map(|set| set.iter().copied().collect()).collect();
        judge(&computed, hash("own"), &sets)
    }

    #[test]
    fn a_head_that_nobody_answers_for_is_named_with_how_long_it_waits() {
        let (origin, start) = (OriginId(3), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let minute = Duration::from_secs(60);
        let mut disputes = Disputes::default();
        for second in (0..60).step_by(5) {
            assert_eq!(disputes.unanswered_for(minute, at(second)), []);
            disputes.stands_open(origin, &[], at(second));
        }
        assert_eq!(disputes.unanswered_for(minute, at(61)), [(origin, Duration::from_secs(61))]);
        assert_eq!(disputes.unanswered_for(minute, at(80)), [], "this node asks no more: another one leads");
        disputes.stands_open(origin, &[], at(90));
        assert_eq!(disputes.unanswered_for(Duration::ZERO, at(91)), [(origin, Duration::from_secs(1))], "it leads again");
        disputes.settled(origin);
        assert_eq!(disputes.unanswered_for(Duration::ZERO, at(92)), []);
        disputes.stands_open(origin, &[], at(93));
        disputes.stands_open(origin, &[NodeId(2)], at(94));
        assert_eq!(disputes.unanswered_for(Duration::ZERO, at(94)), [], "somebody differs: that is a dispute");
        assert_eq!(disputes.heads, BTreeMap::from([(origin, vec![NodeId(2)])]));
    }

    #[test]
    fn a_majority_decides_and_without_one_nobody_does() {
        let agreed = |differing: &[u64]| Agreement::Agreed { differing: differing.iter().copied().map(NodeId).collect() };
        let open = |differing: &[u64]| Agreement::Open { differing: differing.iter().copied().map(NodeId).collect() };
        let three: &[&[u64]] = &[&[1, 2, 3]];
        assert_eq!(judged(&[(1, "own")], &[&[1]]), agreed(&[]));
        assert_eq!(judged(&[(1, "own")], three), open(&[]));
        assert_eq!(judged(&[(1, "own"), (3, "own")], three), agreed(&[]));
        assert_eq!(judged(&[(1, "own"), (2, "other"), (3, "own")], three), agreed(&[2]));
        assert_eq!(judged(&[(1, "own"), (2, "other"), (3, "other")], three), Agreement::Outvoted);
        assert_eq!(judged(&[(1, "own"), (2, "other")], three), open(&[2]), "one of the two is damaged, and nobody knows which");
        assert_eq!(judged(&[(1, "own"), (2, "other"), (3, "third")], three), open(&[2, 3]));
        assert_eq!(judged(&[(1, "own"), (2, "other")], &[&[1, 2]]), open(&[2]));
        assert_eq!(judged(&[(1, "own"), (4, "other")], &[&[1]]), agreed(&[4]), "a learner has no vote but may differ");
        // While members change, a majority of either set alone decides nothing.
        let joint: &[&[u64]] = &[&[1, 2, 3], &[3, 4, 5]];
        assert_eq!(judged(&[(1, "own"), (2, "own"), (3, "own")], joint), open(&[]));
        assert_eq!(judged(&[(1, "own"), (2, "own"), (3, "own"), (4, "own")], joint), agreed(&[]));
        assert_eq!(judged(&[(1, "own"), (2, "other"), (3, "other"), (5, "other")], joint), Agreement::Outvoted);
        assert_eq!(judged(&[(1, "own")], &[]), open(&[]), "nobody votes yet");
    }
}
