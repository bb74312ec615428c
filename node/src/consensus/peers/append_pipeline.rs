//! AppendEntries to one follower, over links of any speed.
//!
//! openraft drops an AppendEntries after one heartbeat interval and sends it again. On a link where a large entry takes
//! longer it would never arrive, and while it is under way no heartbeat would either. So a request that carries entries
//! goes on in a task of its own; openraft's next attempt joins it instead of sending the entries again, and a heartbeat
//! goes beside it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kho_storage::codec;
use tokio::{
    task::{JoinError, JoinHandle},
    time::timeout,
};

use super::{
    connections::{PeerTarget, Peers},
    wire::Subject,
};
use crate::consensus::{
    error::PeerError,
    log::LogTail,
    types::{AppendRequest, AppendResponse, LogId, Vote, entry_bytes},
};

/// Entries that have not arrived after this long are given up: 21 MiB at 1.5 Mbit/s.
const APPEND_TIMEOUT: Duration = Duration::from_secs(120);

/// More than what a request takes beside its entries.
const REQUEST_OVERHEAD_BYTES: usize = 128;

/// The entries in flight to one follower.
#[derive(Debug)]
pub struct AppendPipeline {
    peers: Arc<Peers>,
    tail: Arc<LogTail>,
    target: PeerTarget,
    in_flight: Option<InFlight>,
}

#[derive(Debug)]
struct InFlight {
    vote: Vote,
    previous: Option<LogId>,
    last: Option<LogId>,
    response: JoinHandle<Result<AppendResponse, PeerError>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.response.abort();
    }
}

impl AppendPipeline {
    pub fn new(peers: Arc<Peers>, tail: Arc<LogTail>, target: PeerTarget) -> Self {
        Self { peers, tail, target, in_flight: None }
    }

    /// Sends `request`, or joins the one in flight when it starts at the same place.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn append(&mut self, request: AppendRequest) -> Result<AppendResponse, PeerError> {
        if request.entries.is_empty() {
            return call_append(&self.peers, &self.tail, &self.target, &request).await;
        }
        let wanted = request.entries.last().map(|entry| entry.log_id);
        let same_start = |in_flight: &InFlight| (in_flight.vote, in_flight.previous) == (request.vote, request.prev_log_id);
        let sent = if let Some(in_flight) = self.in_flight.as_mut().filter(|in_flight| same_start(in_flight)) {
            let heartbeat = AppendRequest { entries: Vec::new(), ..request };
            let beat = async {
                // Whatever comes of the heartbeat: the entries in flight decide.
                let _ = call_append(&self.peers, &self.tail, &self.target, &heartbeat).await;
                std::future::pending::<Result<Result<AppendResponse, PeerError>, JoinError>>().await
            };
            tokio::select! {
                response = &mut in_flight.response => response,
                never = beat => never,
            }
        } else {
            let in_flight = self.in_flight.insert(self.send(request, wanted));
            (&mut in_flight.response).await
        };
        let sent_up_to = self.in_flight.take().and_then(|in_flight| in_flight.last);
        let response = sent.map_err(|e| PeerError::Lost(e.to_string()))??;
        Ok(fitted(response, sent_up_to, wanted))
    }
}

impl AppendPipeline {
    fn send(&self, request: AppendRequest, last: Option<LogId>) -> InFlight {
        let (peers, tail, target) = (Arc::clone(&self.peers), Arc::clone(&self.tail), self.target.clone());
        let (vote, previous) = (request.vote, request.prev_log_id);
        let response = tokio::spawn(async move {
            let answered = timeout(APPEND_TIMEOUT, call_append(&peers, &tail, &target, &request)).await;
            answered.unwrap_or_else(|_| Err(PeerError::Lost(format!("no answer within {APPEND_TIMEOUT:?}"))))
        });
        assert!(last > previous, "a request that ends at {last:?} starts behind {previous:?}");
        InFlight { vote, previous, last, response }
    }
}

/// Turns the response to the request that was sent up to `sent` into one to the request up to `wanted`.
fn fitted(response: AppendResponse, sent: Option<LogId>, wanted: Option<LogId>) -> AppendResponse {
    match response {
        AppendResponse::Success if sent < wanted => AppendResponse::PartialSuccess(sent),
        AppendResponse::PartialSuccess(matched) if matched >= wanted => AppendResponse::Success,
        other => other,
    }
}

/// Sends the request to the follower. The commit index in it is one that this node's own disk has: a site of one voter commits by its own
/// log alone. What the follower confirms counts for openraft as held by this node too, so the response waits for this disk as well.
pub async fn call_append(peers: &Peers, tail: &LogTail, target: &PeerTarget, request: &AppendRequest) -> Result<AppendResponse, PeerError> {
    // Nothing is sent, so that the others elect one that can write.
    tail.check()?;
    if let Some(stalled) = tail.stalled_for(Instant::now()) {
        return Err(PeerError::LocalDiskStalled { stalled });
    }
    if peers.leading().hands_over() {
        return Err(PeerError::HandsOver);
    }
    tail.until_written(request.leader_commit).await?;
    let bytes = REQUEST_OVERHEAD_BYTES + request.entries.iter().map(entry_bytes).sum::<usize>();
    let reply = peers.call(target, Subject::AppendEntries, &codec::encode_sized(request, bytes)?).await?;
    let response = reply.read()?;
    tail.until_written(held_by(&response, end_of(request))).await?;
    Ok(response)
}

/// The last entry that a follower says to hold by its response to a request that reached to `end`; nothing when it does not agree.
pub fn held_by(response: &AppendResponse, end: Option<LogId>) -> Option<LogId> {
    match response {
        AppendResponse::Success => end,
        AppendResponse::PartialSuccess(matched) => *matched,
        AppendResponse::Conflict | AppendResponse::HigherVote(_) => None,
    }
}

/// The last entry that whoever agrees to `request` holds.
pub fn end_of(request: &AppendRequest) -> Option<LogId> {
    request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_to_fewer_entries_vouches_for_no_more_than_those() {
        let at = |index| Some(LogId::new(openraft::CommittedLeaderId::new(1, 1), index));
        assert_eq!(fitted(AppendResponse::Success, at(5), at(9)), AppendResponse::PartialSuccess(at(5)));
        assert_eq!(fitted(AppendResponse::Success, at(9), at(9)), AppendResponse::Success);
        assert_eq!(fitted(AppendResponse::Success, at(9), at(5)), AppendResponse::Success);
        assert_eq!(fitted(AppendResponse::PartialSuccess(at(7)), at(9), at(5)), AppendResponse::Success);
        assert_eq!(fitted(AppendResponse::Conflict, at(9), at(9)), AppendResponse::Conflict);
    }
}
