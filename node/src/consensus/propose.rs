//! Proposals: any node takes a command and passes it to the leader.

use std::time::{Duration, Instant};

use kho_storage::{
    command::{Command, Outcome},
    command_check::CommandFault,
    ids::NodeId,
    stream::SignedHead,
};
use openraft::{
    ServerState,
    error::{ClientWriteError, RaftError},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::SemaphorePermit, time::timeout};

use super::{
    Consensus, ProposeError,
    agreement::NotAgreed,
    command_gate::{may_enter_log, read_proposed},
    error::{PeerError, PeerRefusal},
    peers::{
        PeerTarget,
        wire::{COMMAND_BYTES_MAX, Subject},
    },
    status::HEARTBEAT_AGE_MAX,
    types::CommandBytes,
};
use crate::byte_budget::ByteShare;

/// The retry delay for a caller when too much is under way: about as long as a few entries take.
const BUSY_RETRY_MS: u64 = 200;
/// The retry delay for a caller without a leader: about an election.
const LEADERLESS_RETRY_MS: u64 = 1_000;
/// Between two polls for the leader, if nothing wakes the proposal.
const LEADER_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What became of a command at the leader, as the leader replies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum AtLeader {
    Outcome(Outcome),
    /// Surely not committed.
    NotLeader(Option<NodeId>),
    Failed(ProposeError),
}

/// What became of one attempt.
enum Attempt {
    Outcome(Outcome),
    /// Surely not committed; another attempt may find the leader. With the leader that could not be reached, and why, if that is so.
    Undelivered(Option<(NodeId, String)>),
    Failed(ProposeError),
}

impl Consensus {
    /// Has the site agree on `command`, and returns what it came to once this node's leader has applied it.
    ///
    /// Waits for a leader and passes the command on; a client's write, which bears request keys, is also sent again when an
    /// reply got lost. Dropping the future takes nothing back.
    ///
    /// # Errors
    /// [`ProposeError`]; all but `Unknown` and `Fatal` mean that nothing was changed.
    pub async fn propose(&self, command: &Command) -> Result<Outcome, ProposeError> {
        let bytes = encoded(command)?;
        may_enter_log(command, self.node()).map_err(ProposeError::Refused)?;
        let _room = self.room_for(bytes.as_bytes().len())?;
        let repeatable = matches!(command, Command::Write { .. });
        let (deadline, leader_deadline) = (Instant::now() + self.limits.propose_timeout, Instant::now() + self.limits.leader_timeout);
        let mut unknown = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let attempt = timeout(left, self.attempt(command, &bytes)).await;
            match attempt.unwrap_or_else(|_| Attempt::Failed(no_reply(self.limits.propose_timeout))) {
                Attempt::Outcome(outcome) => return Ok(outcome),
                Attempt::Failed(error @ ProposeError::Unknown { .. }) if repeatable && Instant::now() < deadline => unknown = Some(error),
                Attempt::Failed(error) => return Err(error),
                Attempt::Undelivered(_) if Instant::now() < leader_deadline => {}
                // An earlier attempt may have been committed.
                Attempt::Undelivered(unreached) => return Err(unknown.unwrap_or_else(|| self.undelivered(unreached))),
            }
            if let Some(why) = self.failed.borrow().clone() {
                return Err(unknown.unwrap_or(ProposeError::Fatal { why }));
            }
            let mut leadership = self.leadership.clone();
            // Whichever comes first: another leader, or the time for another poll.
            let _ = timeout(LEADER_POLL_INTERVAL, leadership.changed()).await;
        }
    }

    /// As [`Self::propose`], but as the leader or not at all. A record of what this leader saw must not be passed on to a later
    /// leader: it would arrive behind newer records and take their place.
    ///
    /// # Errors
    /// [`ProposeError`]; `NoLeader` when this node does not lead.
    pub async fn propose_as_leader(&self, command: &Command) -> Result<Outcome, ProposeError> {
        let bytes = encoded(command)?;
        may_enter_log(command, self.node()).map_err(ProposeError::Refused)?;
        let _room = self.room_for(bytes.as_bytes().len())?;
        match timeout(self.limits.propose_timeout, self.write(command, bytes)).await {
            Ok(AtLeader::Outcome(outcome)) => Ok(outcome),
            Ok(AtLeader::NotLeader(_)) => Err(ProposeError::NoLeader { retry_after_ms: LEADERLESS_RETRY_MS }),
            Ok(AtLeader::Failed(error)) => Err(error),
            Err(_) => Err(no_reply(self.limits.propose_timeout)),
        }
    }

    /// Room for a command among those under way, in bytes and in number; given back when dropped.
    fn room_for(&self, bytes: usize) -> Result<(ByteShare, SemaphorePermit<'_>), ProposeError> {
        let busy = ProposeError::Busy { retry_after_ms: BUSY_RETRY_MS };
        match (self.proposed_bytes.try_take(bytes), self.proposed_commands.try_acquire()) {
            (Some(bytes), Ok(place)) => Ok((bytes, place)),
            _ => Err(busy),
        }
    }

    async fn attempt(&self, command: &Command, bytes: &CommandBytes) -> Attempt {
        let leadership = *self.leadership.borrow();
        match leadership.leader {
            None => Attempt::Undelivered(None),
            Some(leader) if leader == self.node() => match self.write(command, bytes.clone()).await {
                AtLeader::Outcome(outcome) => Attempt::Outcome(outcome),
                AtLeader::NotLeader(_) => Attempt::Undelivered(None),
                AtLeader::Failed(error) => Attempt::Failed(error),
            },
            Some(leader) => match self.member(leader) {
                Some(target) => self.pass_on(&target, bytes).await,
                None => Attempt::Undelivered(None),
            },
        }
    }

    /// Why a command could not be brought to a leader within the time for it.
    fn undelivered(&self, unreached: Option<(NodeId, String)>) -> ProposeError {
        match unreached.filter(|_| self.hears_leader()) {
            Some((leader, why)) => ProposeError::LeaderUnreachable { leader, why, retry_after_ms: LEADERLESS_RETRY_MS },
            None => ProposeError::NoLeader { retry_after_ms: LEADERLESS_RETRY_MS },
        }
    }

    /// Whether a leader's heartbeats come: if it can't be reached all the same, that is no matter of an election.
    pub(super) fn hears_leader(&self) -> bool {
        self.election_timer.heartbeat_age(Instant::now()) < HEARTBEAT_AGE_MAX
    }

    /// A peer's command: taken if this node leads, has room, and the command may enter the log.
    pub(super) async fn write_for_peer(&self, peer: NodeId, bytes: CommandBytes) -> AtLeader {
        let _room = match self.room_for(bytes.as_bytes().len()) {
            Ok(room) => room,
            Err(busy) => return AtLeader::Failed(busy),
        };
        match read_proposed(bytes.clone(), peer).await {
            Ok(command) => self.write(&command, bytes).await,
            Err(fault) => {
                tracing::warn!(node = %peer, %fault, "what a node proposed was refused before it entered the log");
                AtLeader::Failed(ProposeError::Refused(fault))
            }
        }
    }

    /// Appends a command whose form and proposer were checked by [`may_enter_log`], if the site has come to its level.
    pub(super) async fn write(&self, command: &Command, bytes: CommandBytes) -> AtLeader {
        // After a failed write nothing is written any more: this leader can't hold what it appends.
        if !self.peers.leading().may_lead() || self.log_tail.check().is_err() {
            return AtLeader::NotLeader(None);
        }
        // A level only rises: one that was read too early refuses what the next attempt takes.
        let site = self.warehouse.level();
        if command.level() > site {
            return AtLeader::Failed(ProposeError::AboveLevel { command: command.level(), site });
        }
        if let Command::CommitHead { signed } = command
            && let Err(refused) = self.head_agreed(signed).await
        {
            return refused;
        }
        match self.raft.client_write(bytes).await {
            Ok(response) => match response.data.0 {
                Some(outcome) => AtLeader::Outcome(outcome),
                None => AtLeader::Failed(ProposeError::Unknown { why: "the entry was applied without an outcome".into() }),
            },
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => AtLeader::NotLeader(forward.leader_id.map(NodeId)),
            Err(RaftError::APIError(error @ ClientWriteError::ChangeMembershipError(_))) => {
                AtLeader::Failed(ProposeError::Unknown { why: error.to_string() })
            }
            // The node stops; what it had appended may still be committed by the others.
            Err(RaftError::Fatal(fatal)) => AtLeader::Failed(ProposeError::Unknown { why: format!("this node stopped: {fatal}") }),
        }
    }

    /// Has a majority agree on a head.
    async fn head_agreed(&self, signed: &SignedHead) -> Result<(), AtLeader> {
        let (state, leader) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            (metrics.state, metrics.current_leader)
        };
        if state != ServerState::Leader {
            return Err(AtLeader::NotLeader(leader.map(NodeId)));
        }
        self.agree_on_head(&signed.head).await.map_err(|why| match why {
            NotAgreed::HeadDiffers => AtLeader::Failed(ProposeError::Refused(CommandFault::HeadDiffers)),
            NotAgreed::NotLeader(leader) => AtLeader::NotLeader(leader),
            // The others have not come so far yet.
            NotAgreed::Open { differing } if differing.is_empty() => AtLeader::Failed(ProposeError::Busy { retry_after_ms: BUSY_RETRY_MS }),
            NotAgreed::Open { differing } => AtLeader::Failed(ProposeError::Disputed { differing }),
            NotAgreed::Storage(error) => AtLeader::Failed(ProposeError::Fatal { why: error.to_string() }),
        })
    }

    /// For tests alone: has the leader take bytes as a damaged node would propose them.
    #[doc(hidden)]
    pub async fn propose_unchecked(&self, bytes: Vec<u8>) -> Result<Outcome, ProposeError> {
        let leader = self.leadership.borrow().leader.and_then(|leader| self.member(leader));
        let Some(target) = leader else { return Err(ProposeError::NoLeader { retry_after_ms: LEADERLESS_RETRY_MS }) };
        match self.pass_on(&target, &CommandBytes::from_wire(bytes)).await {
            Attempt::Outcome(outcome) => Ok(outcome),
            Attempt::Undelivered(_) => Err(ProposeError::NoLeader { retry_after_ms: LEADERLESS_RETRY_MS }),
            Attempt::Failed(error) => Err(error),
        }
    }

    async fn pass_on(&self, target: &PeerTarget, bytes: &CommandBytes) -> Attempt {
        let mut leadership = self.leadership.clone();
        let reply = tokio::select! {
            reply = self.peers.call(target, Subject::Propose, bytes.as_bytes()) => reply,
            // A leader that was killed replys nothing any more; its successor is known long before the connection is closed.
            _ = leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != target.node)) => {
                return Attempt::Failed(ProposeError::Unknown { why: "the leader changed meanwhile".into() });
            }
        };
        let reply = match reply {
            Ok(reply) => reply.read::<AtLeader>().map_err(PeerError::from),
            Err(error) => Err(error),
        };
        match reply {
            Ok(AtLeader::Outcome(outcome)) => Attempt::Outcome(outcome),
            Ok(AtLeader::NotLeader(_)) => Attempt::Undelivered(None),
            // The leader's end is not this node's.
            Ok(AtLeader::Failed(ProposeError::Fatal { why })) => Attempt::Failed(ProposeError::Unknown { why }),
            Ok(AtLeader::Failed(error)) => Attempt::Failed(error),
            Err(PeerError::Refused(PeerRefusal::Busy)) => Attempt::Failed(ProposeError::Busy { retry_after_ms: BUSY_RETRY_MS }),
            Err(PeerError::Unreachable(why)) => Attempt::Undelivered(Some((target.node, why))),
            Err(PeerError::Refused(_) | PeerError::LocalDiskStalled { .. } | PeerError::HandsOver) => Attempt::Undelivered(None),
            Err(error @ (PeerError::Lost(_) | PeerError::Malformed(_) | PeerError::LocalLog(_))) => {
                Attempt::Failed(ProposeError::Unknown { why: error.to_string() })
            }
        }
    }

    /// Where a member is.
    pub(super) fn member(&self, node: NodeId) -> Option<PeerTarget> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics.membership_config.nodes().find(|(id, _)| **id == node.0).map(|(id, record)| PeerTarget::of_member(*id, record))
    }
}

fn encoded(command: &Command) -> Result<CommandBytes, ProposeError> {
    let bytes = CommandBytes::encode(command).map_err(|e| ProposeError::Fatal { why: e.to_string() })?;
    let size = bytes.as_bytes().len();
    if size > COMMAND_BYTES_MAX {
        return Err(ProposeError::TooLarge { bytes: size, bytes_max: COMMAND_BYTES_MAX });
    }
    Ok(bytes)
}

fn no_reply(after: Duration) -> ProposeError {
    ProposeError::Unknown { why: format!("no reply within {} ms", after.as_millis()) }
}
