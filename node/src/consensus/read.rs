//! Linearizable reads: a read index is confirmed by the leader and waited for by the node that reads.

use std::time::{Duration, Instant};

use openraft::error::{CheckIsLeaderError, RaftError};
use tokio::time::{sleep, timeout};

use super::{Consensus, ReadError, error::PeerError, peers::wire::Subject, types::LogId};

const RETRY_MS: u64 = 500;
/// Between two attempts to have a read index confirmed: a heartbeat or its response was late.
const CONFIRM_PAUSE: Duration = Duration::from_millis(20);

/// Why this node can't confirm a read index.
pub(super) enum NotConfirmed {
    NotLeader(Option<u64>),
    NoMajority(String),
    Fatal(String),
}

impl Consensus {
    /// Waits until this node has applied everything acknowledged before the call, anywhere in the site. Reads of the
    /// warehouse after it are linearizable. Returns the applied position waited for.
    ///
    /// # Errors
    /// [`ReadError`]; the warehouse may be behind then.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        let deadline = Instant::now() + self.limits.read_timeout;
        let mut why = String::from("there is none");
        let mut unreached = None;
        while Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, self.confirmed_position()).await {
                Ok(Ok(Some(position))) => return self.wait_applied(position, deadline).await,
                Ok(Ok(None)) => {}
                Ok(Err(ReadError::NoLeader { why: reason, .. })) => (why, unreached) = (reason, None),
                Ok(Err(ReadError::LeaderUnreachable { leader, why: reason, .. })) => (why, unreached) = (reason, Some(leader)),
                Ok(Err(fatal)) => return Err(fatal),
                Err(_) => break,
            }
            sleep(CONFIRM_PAUSE).await;
        }
        Err(match unreached.filter(|_| self.hears_leader()) {
            Some(leader) => ReadError::LeaderUnreachable { leader, why, retry_after_ms: RETRY_MS },
            None => ReadError::NoLeader { why, retry_after_ms: RETRY_MS },
        })
    }

    /// The position the leader confirms, or nothing while there is no leader.
    async fn confirmed_position(&self) -> Result<Option<u64>, ReadError> {
        let leadership = *self.leadership.borrow();
        if let Some(why) = self.failed.borrow().clone() {
            return Err(ReadError::Fatal { why });
        }
        let Some(leader) = leadership.leader else { return Ok(None) };
        let no_leader = |why: String| ReadError::NoLeader { why, retry_after_ms: RETRY_MS };
        if leader == self.node() {
            return match self.confirm_here().await {
                Ok(position) => Ok(Some(position.map_or(0, |id| id.index))),
                Err(NotConfirmed::NotLeader(_)) => Ok(None),
                Err(NotConfirmed::NoMajority(why)) => Err(no_leader(why)),
                Err(NotConfirmed::Fatal(why)) => Err(ReadError::Fatal { why }),
            };
        }
        let Some(target) = self.member(leader) else { return Ok(None) };
        let mut changes = self.leadership.clone();
        let reply = tokio::select! {
            reply = self.peers.call(&target, Subject::ReadIndex, &[]) => reply.map_err(|error| match error {
                PeerError::Unreachable(why) => ReadError::LeaderUnreachable { leader, why, retry_after_ms: RETRY_MS },
                other => no_leader(other.to_string()),
            })?,
            _ = changes.wait_for(|now| now.leader != Some(leader)) => return Ok(None),
        };
        let position: Option<LogId> = reply.read().map_err(|e| no_leader(e.to_string()))?;
        Ok(Some(position.map_or(0, |id| id.index)))
    }

    /// The position up to which a read has to see everything, confirmed by a majority. On the leader only.
    pub(super) async fn confirm_here(&self) -> Result<Option<LogId>, NotConfirmed> {
        // What it would be read from is damaged, or what it holds does not count any more.
        if self.peers.leading().has_diverged() || self.log_tail.check().is_err() {
            return Err(NotConfirmed::NotLeader(None));
        }
        match self.raft.get_read_log_id().await {
            Ok((position, _)) => Ok(position),
            Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward))) => Err(NotConfirmed::NotLeader(forward.leader_id)),
            Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(missing))) => Err(NotConfirmed::NoMajority(missing.to_string())),
            Err(RaftError::Fatal(fatal)) => Err(NotConfirmed::Fatal(fatal.to_string())),
        }
    }

    async fn wait_applied(&self, position: u64, deadline: Instant) -> Result<u64, ReadError> {
        let mut metrics = self.raft.metrics();
        let applied =
            metrics.wait_for(|metrics| metrics.running_state.is_err() || metrics.last_applied.is_some_and(|id| id.index >= position));
        match timeout(deadline.saturating_duration_since(Instant::now()), applied).await {
            Ok(Ok(metrics)) => match (&metrics.running_state, metrics.last_applied) {
                (Ok(()), Some(applied)) => Ok(applied.index),
                (Err(fatal), _) => Err(ReadError::Fatal { why: fatal.to_string() }),
                (Ok(()), None) => Ok(0),
            },
            Ok(Err(_)) => Err(ReadError::Fatal { why: "the consensus has ended".into() }),
            Err(_) => Err(ReadError::NoLeader { why: format!("entry {position} was not applied here in time"), retry_after_ms: RETRY_MS }),
        }
    }
}
