//! Changes of the members. Any node takes one and passes it to the leader; each step is safe to repeat.
//!
//! A node comes in only as a learner, only with a disk that never took part, and only under an id that no node of the site
//! ever had: ids of removed nodes are noted in the membership itself before they go.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use kho_storage::{codec, ids::NodeId, level::Level};
use openraft::{
    ChangeMembers,
    error::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError},
};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::{
    Consensus, MembersError,
    error::{PeerError, PeerRefusal},
    founding::Incarnation,
    peers::{
        PeerTarget,
        newcomers::Greeting,
        wire::{HelloReply, Subject},
    },
    types::{NodeAddress, SiteNode, StoredMembership},
};

const RETRY_MS: u64 = 1_000;
/// How long a founding asks for other nodes of the site that run already.
const FOUNDED_TIMEOUT: Duration = Duration::from_secs(10);
/// A greeting, and a commit of a change, take at most this long.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a change waits for a leader that takes it.
const LEADER_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// A learner that makes no progress for this long is reported; it goes on by itself.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(120);
/// A learner this close to the end of the log has caught up.
const CAUGHT_UP_ENTRIES: u64 = 50;

/// A change, of the members or of what all of them have to support, as it travels to the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MembersChange {
    AddLearner {
        node: NodeId,
        address: NodeAddress,
    },
    SetVoters {
        voters: BTreeSet<NodeId>,
    },
    Remove {
        node: NodeId,
    },
    /// Raises the level of the site; with `dry_run` it is only checked whether that could be done.
    RaiseLevel {
        to: Level,
        dry_run: bool,
    },
}

/// What became of a change at the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ChangeReply {
    Done,
    NotLeader,
    Failed(MembersError),
}

impl Consensus {
    /// Creates the site with `members` as its voters, this node among them. All must be running and fresh.
    ///
    /// # Errors
    /// [`MembersError`]; nothing was changed then.
    pub async fn initialize(&self, members: &BTreeMap<NodeId, NodeAddress>) -> Result<(), MembersError> {
        if !members.contains_key(&self.node()) {
            return Err(MembersError::NotAMember(self.node()));
        }
        if !self.is_fresh() {
            return Err(MembersError::AlreadyInitialised);
        }
        let founding = &self.peers.local().founding;
        let mut records = BTreeMap::new();
        let named: BTreeSet<NodeId> = members.keys().copied().collect();
        let mut incarnation = founding.incarnation();
        for (node, address) in members {
            let disk = if *node == self.node() {
                self.disk()
            } else {
                let hello = self.greet_fresh(*node, address, named.clone()).await?;
                self.check_supports(*node, &hello)?;
                // An earlier attempt may have come so far; two that met in different nodes can't be made one.
                if incarnation.is_some() && hello.incarnation.is_some() && incarnation != hello.incarnation {
                    return Err(MembersError::NotFresh(*node));
                }
                incarnation = incarnation.or(hello.incarnation);
                hello.disk
            };
            let record = SiteNode { quic_address: address.quic.clone(), https_address: address.https.clone(), disk, ..SiteNode::default() };
            records.insert(node.0, record);
        }
        // On every disk BEFORE the first entry of the log: an attempt that breaks off is repeated with the same number.
        let incarnation = incarnation.unwrap_or_else(Incarnation::draw);
        for (node, address) in members.iter().filter(|(node, _)| **node != self.node()) {
            self.take_in(*node, address, incarnation).await?;
        }
        founding.join(incarnation).map_err(|error| MembersError::Fatal { why: error.to_string() })?;
        match self.raft.initialize(records).await {
            Ok(()) => {
                // What says that this node is no longer fresh follows a moment later; the founding itself stands.
                let wait = self.raft.wait(Some(HELLO_TIMEOUT));
                let _ = wait.metrics(|metrics| metrics.last_log_index.is_some(), "the founding entry").await;
                Ok(())
            }
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(MembersError::AlreadyInitialised),
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => Err(MembersError::NotAMember(self.node())),
            Err(RaftError::Fatal(fatal)) => Err(MembersError::Fatal { why: fatal.to_string() }),
        }
    }

    /// Adds a fresh node without a vote and waits until it has nearly caught up.
    ///
    /// # Errors
    /// [`MembersError`]; after `NotCaughtUp` the node is a member and goes on.
    pub async fn add_learner(&self, node: NodeId, address: NodeAddress) -> Result<(), MembersError> {
        self.change(MembersChange::AddLearner { node, address }).await
    }

    /// Makes exactly `voters`, all of them members, the site's voters; former ones go on as learners.
    ///
    /// # Errors
    /// [`MembersError`]; a repeated call completes what was begun.
    pub async fn change_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), MembersError> {
        self.change(MembersChange::SetVoters { voters }).await
    }

    /// Gives a learner a vote.
    ///
    /// # Errors
    /// [`MembersError`].
    pub async fn promote(&self, node: NodeId) -> Result<(), MembersError> {
        let mut voters = voters_of(&self.membership());
        voters.insert(node);
        self.change_voters(voters).await
    }

    /// Removes a node for good. Its id never returns. A removed leader hands over first.
    ///
    /// # Errors
    /// [`MembersError`]; a repeated call completes what was begun. `NotAMember` when there is nothing to remove.
    pub async fn remove(&self, node: NodeId) -> Result<(), MembersError> {
        self.change(MembersChange::Remove { node }).await
    }

    /// Passes a change to the leader, wherever it is.
    pub(super) async fn change(&self, change: MembersChange) -> Result<(), MembersError> {
        let deadline = Instant::now() + LEADER_TIMEOUT;
        let mut why = String::from("none is known");
        let removed = match change {
            MembersChange::Remove { node } if self.member(node).is_some() => Some(node),
            _ => None,
        };
        // An attempt of this call may have removed the node though its reply was lost, or the leader handed over in the middle of it.
        let mut is_under_way = false;
        loop {
            let leader = self.leadership.borrow().leader;
            let reply = match leader {
                Some(leader) if leader == self.node() => Ok(self.change_here(change.clone()).await),
                Some(leader) => self.send_change(leader, &change).await,
                None => Ok(ChangeReply::NotLeader),
            };
            match reply {
                Ok(ChangeReply::Done) => return Ok(()),
                Ok(ChangeReply::Failed(MembersError::NotAMember(gone))) if is_under_way && removed == Some(gone) => return Ok(()),
                Ok(ChangeReply::Failed(error)) => return Err(error),
                Ok(ChangeReply::NotLeader) => {}
                Err(PeerError::Refused(PeerRefusal::NotAMember { node, .. })) if is_under_way && removed == Some(node) => return Ok(()),
                Err(error) => why = error.to_string(),
            }
            is_under_way |= leader.is_some();
            if let Some(why) = self.failed.borrow().clone() {
                return Err(MembersError::Fatal { why });
            }
            if Instant::now() >= deadline {
                return Err(MembersError::NoLeader { why, retry_after_ms: RETRY_MS });
            }
            sleep(PAUSE).await;
        }
    }

    async fn send_change(&self, leader: NodeId, change: &MembersChange) -> Result<ChangeReply, PeerError> {
        let Some(target) = self.member(leader) else { return Ok(ChangeReply::NotLeader) };
        let mut leadership = self.leadership.clone();
        let body = codec::encode(change)?;
        tokio::select! {
            reply = self.peers.call(&target, Subject::ChangeMembers, &body) => Ok(reply?.read()?),
            _ = leadership.wait_for(|now| now.leader.is_some_and(|now| now != leader)) => Ok(ChangeReply::NotLeader),
        }
    }

    /// Makes a change on this node, if it leads.
    pub(super) async fn change_here(&self, change: MembersChange) -> ChangeReply {
        if !self.peers.leading().may_lead() {
            return ChangeReply::NotLeader;
        }
        let Ok(_one) = self.changing_members.try_lock() else { return ChangeReply::Failed(MembersError::InProgress) };
        let done = match change {
            MembersChange::AddLearner { node, address } => self.add_here(node, &address).await,
            MembersChange::SetVoters { voters } => self.set_voters_here(voters).await,
            MembersChange::Remove { node } => self.remove_here(node).await,
            MembersChange::RaiseLevel { to, dry_run } => self.raise_here(to, dry_run).await,
        };
        match done {
            Ok(()) => ChangeReply::Done,
            Err(NotDone::NotLeader) => ChangeReply::NotLeader,
            Err(NotDone::Failed(error)) => ChangeReply::Failed(error),
        }
    }

    async fn add_here(&self, node: NodeId, address: &NodeAddress) -> Result<(), NotDone> {
        let membership = self.membership();
        if membership.nodes().any(|(id, record)| *id == node.0 && record.quic_address == address.quic) {
            return self.wait_caught_up(node).await;
        }
        if membership.nodes().any(|(id, record)| *id == node.0 || record.retired_up_to >= node) {
            return Err(MembersError::IdUsed(node).into());
        }
        let named = membership.nodes().map(|(id, _)| NodeId(*id)).chain([node]).collect();
        let hello = self.greet_fresh(node, address, named).await?;
        self.check_supports(node, &hello)?;
        let own = self.peers.local().founding.incarnation();
        let Some(incarnation) = own.filter(|_| hello.incarnation.is_none() || hello.incarnation == own) else {
            return Err(MembersError::NotFresh(node).into());
        };
        self.take_in(node, address, incarnation).await?;
        let disk = hello.disk;
        let record = SiteNode { quic_address: address.quic.clone(), https_address: address.https.clone(), disk, ..SiteNode::default() };
        self.commit(ChangeMembers::AddNodes(BTreeMap::from([(node.0, record)]))).await?;
        self.wait_caught_up(node).await
    }

    async fn set_voters_here(&self, voters: BTreeSet<NodeId>) -> Result<(), NotDone> {
        let membership = self.membership();
        if voters.is_empty() {
            return Err(MembersError::NoVoterLeft.into());
        }
        if let Some(unknown) = voters.iter().find(|voter| !membership.nodes().any(|(id, _)| *id == voter.0)) {
            return Err(MembersError::NotAMember(*unknown).into());
        }
        self.commit(ChangeMembers::ReplaceAllVoters(voters.iter().map(|voter| voter.0).collect())).await
    }

    async fn remove_here(&self, node: NodeId) -> Result<(), NotDone> {
        let membership = self.membership();
        if !membership.nodes().any(|(id, _)| *id == node.0) {
            return Err(MembersError::NotAMember(node).into());
        }
        let mut voters = voters_of(&membership);
        if voters.remove(&node) {
            let Some(keeper) = voters.first().copied() else { return Err(MembersError::NoVoterLeft.into()) };
            self.note_retired(&membership, keeper, node).await?;
            self.set_voters_here(voters).await?;
            if node == self.node() {
                // The rest is the next leader's: this one steps down once the others have the change.
                return Err(NotDone::NotLeader);
            }
        } else if let Some(keeper) = voters.first().copied() {
            self.note_retired(&membership, keeper, node).await?;
        }
        self.commit(ChangeMembers::RemoveNodes(BTreeSet::from([node.0]))).await
    }

    /// Notes in a remaining member's record that the id is used up. BEFORE the removal: so it is never forgotten.
    async fn note_retired(&self, membership: &StoredMembership, keeper: NodeId, node: NodeId) -> Result<(), NotDone> {
        let Some((id, record)) = membership.nodes().find(|(id, _)| **id == keeper.0) else { return Ok(()) };
        let retired_up_to = membership.nodes().map(|(_, record)| record.retired_up_to).fold(node, NodeId::max);
        if record.retired_up_to == retired_up_to {
            return Ok(());
        }
        let noted = SiteNode { retired_up_to, ..record.clone() };
        self.commit(ChangeMembers::SetNodes(BTreeMap::from([(*id, noted)]))).await
    }

    pub(super) async fn commit(&self, change: ChangeMembers<u64, SiteNode>) -> Result<(), NotDone> {
        match self.raft.change_membership(change, true).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Err(NotDone::NotLeader),
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => Err(NotDone::Failed(match error {
                ChangeMembershipError::InProgress(_) => MembersError::InProgress,
                ChangeMembershipError::EmptyMembership(_) => MembersError::NoVoterLeft,
                ChangeMembershipError::LearnerNotFound(missing) => MembersError::NotAMember(NodeId(missing.node_id)),
            })),
            Err(RaftError::Fatal(fatal)) => Err(NotDone::Failed(MembersError::Fatal { why: fatal.to_string() })),
        }
    }

    /// Greets a node that is to become one of `named`. From then on it takes entries from these alone.
    async fn greet_fresh(&self, node: NodeId, address: &NodeAddress, named: BTreeSet<NodeId>) -> Result<HelloReply, MembersError> {
        let target = PeerTarget { node, address: address.quic.clone(), disk: None };
        let deadline = Instant::now() + HELLO_TIMEOUT;
        let unreachable = |why: String| MembersError::Unreachable { node, why };
        let greeting = codec::encode(&Some(Greeting { members: named })).map_err(|e| unreachable(e.to_string()))?;
        loop {
            let reply = timeout(HELLO_TIMEOUT, self.peers.call(&target, Subject::Hello, &greeting)).await;
            match reply {
                Ok(Ok(reply)) => {
                    let hello: HelloReply = reply.read().map_err(|e| unreachable(e.to_string()))?;
                    return if hello.fresh { Ok(hello) } else { Err(MembersError::NotFresh(node)) };
                }
                Ok(Err(error @ PeerError::Refused(_))) => return Err(unreachable(error.to_string())),
                Ok(Err(error)) if Instant::now() >= deadline => return Err(unreachable(error.to_string())),
                Err(_) => return Err(unreachable(format!("no reply within {HELLO_TIMEOUT:?}"))),
                Ok(Err(_)) => sleep(PAUSE).await,
            }
        }
    }

    /// Who could not apply what stands in the log is not taken in.
    fn check_supports(&self, node: NodeId, hello: &HelloReply) -> Result<(), MembersError> {
        let (level, supported) = (self.warehouse.level(), hello.levels);
        if supported.holds(level) { Ok(()) } else { Err(MembersError::LevelNotSupported { node, level, supported }) }
    }

    /// Has a fresh node write the site's founding onto its disk.
    async fn take_in(&self, node: NodeId, address: &NodeAddress, incarnation: Incarnation) -> Result<(), MembersError> {
        let target = PeerTarget { node, address: address.quic.clone(), disk: None };
        let unreachable = |why: String| MembersError::Unreachable { node, why };
        let body = codec::encode(&incarnation).map_err(|e| unreachable(e.to_string()))?;
        match timeout(HELLO_TIMEOUT, self.peers.call(&target, Subject::Join, &body)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(PeerError::Refused(PeerRefusal::OtherFounding(_)))) => Err(MembersError::NotFresh(node)),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("no reply within {HELLO_TIMEOUT:?}"))),
        }
    }

    /// A node of this site that runs and took part already, among those that answer at `addresses`. Those that do not answer are passed
    /// over: what they know is asked of the parent.
    pub async fn founded_member(&self, nodes: &[NodeId], addresses: &[String]) -> Option<NodeId> {
        // Without a greeting: a fresh node goes on waiting for those that its own greeting named.
        let nothing = codec::encode(&None::<Greeting>).ok()?;
        let ask = async {
            for address in addresses {
                for node in nodes.iter().filter(|node| **node != self.node()) {
                    let target = PeerTarget { node: *node, address: address.clone(), disk: None };
                    match self.peers.call(&target, Subject::Hello, &nothing).await {
                        Ok(reply) if reply.read::<HelloReply>().is_ok_and(|hello| !hello.fresh) => return Some(*node),
                        Ok(_) => {}
                        // A node that was dialled in vain is dialled again only after a pause.
                        Err(_) => sleep(3 * PAUSE).await,
                    }
                }
            }
            None
        };
        timeout(FOUNDED_TIMEOUT, ask).await.unwrap_or(None)
    }

    async fn wait_caught_up(&self, node: NodeId) -> Result<(), NotDone> {
        let mut best = (0, Instant::now());
        loop {
            let (matched, wanted, leads) = {
                let metrics = self.raft.metrics();
                let metrics = metrics.borrow();
                let matched = metrics.replication.as_ref().and_then(|all| all.get(&node.0).copied().flatten());
                (matched.map_or(0, |id| id.index), metrics.last_log_index.unwrap_or(0), metrics.replication.is_some())
            };
            if !leads {
                return Err(NotDone::NotLeader);
            }
            if matched > 0 && wanted.saturating_sub(matched) <= CAUGHT_UP_ENTRIES {
                return Ok(());
            }
            if matched > best.0 || self.snapshots.snapshot_store.oldest_sending().is_some() {
                best = (matched, Instant::now());
            }
            if best.1.elapsed() >= CATCH_UP_TIMEOUT {
                return Err(MembersError::NotCaughtUp { node, matched, wanted }.into());
            }
            sleep(PAUSE).await;
        }
    }

    pub(super) fn membership(&self) -> StoredMembership {
        StoredMembership::clone(&self.raft.metrics().borrow().membership_config)
    }
}

/// Why this node did not make a change.
pub(super) enum NotDone {
    NotLeader,
    Failed(MembersError),
}

impl From<MembersError> for NotDone {
    fn from(error: MembersError) -> Self {
        Self::Failed(error)
    }
}

pub(super) fn voters_of(membership: &StoredMembership) -> BTreeSet<NodeId> {
    membership.voter_ids().map(NodeId).collect()
}
