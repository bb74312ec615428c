//! AppendEntries to one follower, over lines of any speed.
//!
//! openraft drops an AppendEntries after one heartbeat interval and sends it again. On a line where a large entry takes
//! longer it would never arrive, and while it is under way no heartbeat would either. So a question that carries entries
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
    error::PeerError,
    log_tail::LogTail,
    peers::{PeerTarget, Peers},
    types::{AppendRequest, AppendResponse, LogId, Vote, entry_bytes},
    wire::Subject,
};

/// Entries that have not arrived after this long are given up: 21 MiB at 1.5 Mbit/s.
const APPEND_TIMEOUT: Duration = Duration::from_secs(120);

/// More than what a question takes beside its entries.
const REQUEST_OVERHEAD_BYTES: usize = 128;

/// The entries under way to one follower.
#[derive(Debug)]
pub(super) struct AppendPipeline {
    peers: Arc<Peers>,
    tail: Arc<LogTail>,
    target: PeerTarget,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    vote: Vote,
    previous: Option<LogId>,
    last: Option<LogId>,
    answer: JoinHandle<Result<AppendResponse, PeerError>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

impl AppendPipeline {
    pub fn new(peers: Arc<Peers>, tail: Arc<LogTail>, target: PeerTarget) -> Self {
        Self { peers, tail, target, under_way: None }
    }

    /// Sends `request`, or joins the one under way when it starts at the same place.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn append(&mut self, request: AppendRequest) -> Result<AppendResponse, PeerError> {
        if request.entries.is_empty() {
            return ask(&self.peers, &self.tail, &self.target, &request).await;
        }
        let wanted = request.entries.last().map(|entry| entry.log_id);
        let same_start = |under_way: &UnderWay| (under_way.vote, under_way.previous) == (request.vote, request.prev_log_id);
        let sent = if let Some(under_way) = self.under_way.as_mut().filter(|under_way| same_start(under_way)) {
            let heartbeat = AppendRequest { entries: Vec::new(), ..request };
            let beat = async {
                // Whatever comes of the heartbeat: the entries under way decide.
                let _ = ask(&self.peers, &self.tail, &self.target, &heartbeat).await;
                std::future::pending::<Result<Result<AppendResponse, PeerError>, JoinError>>().await
            };
            tokio::select! {
                answer = &mut under_way.answer => answer,
                never = beat => never,
            }
        } else {
            let under_way = self.under_way.insert(self.send(request, wanted));
            (&mut under_way.answer).await
        };
        let held = self.under_way.take().and_then(|under_way| under_way.last);
        let response = sent.map_err(|e| PeerError::Lost(e.to_string()))??;
        Ok(fitted(response, held, wanted))
    }
}

impl AppendPipeline {
    fn send(&self, request: AppendRequest, last: Option<LogId>) -> UnderWay {
        let (peers, tail, target) = (Arc::clone(&self.peers), Arc::clone(&self.tail), self.target.clone());
        let (vote, previous) = (request.vote, request.prev_log_id);
        let answer = tokio::spawn(async move {
            let answered = timeout(APPEND_TIMEOUT, ask(&peers, &tail, &target, &request)).await;
            answered.unwrap_or_else(|_| Err(PeerError::Lost(format!("no answer within {APPEND_TIMEOUT:?}"))))
        });
        UnderWay { vote, previous, last, answer }
    }
}

/// Words the answer to the question that was sent up to `sent` as one to the question up to `wanted`.
fn fitted(response: AppendResponse, sent: Option<LogId>, wanted: Option<LogId>) -> AppendResponse {
    match response {
        AppendResponse::Success if sent < wanted => AppendResponse::PartialSuccess(sent),
        AppendResponse::PartialSuccess(matched) if matched >= wanted => AppendResponse::Success,
        other => other,
    }
}

/// Asks the follower. What it hears is committed, this node's own disk has: a site of one voter commits by its own log alone. What it
/// says to hold counts for openraft as held by this node too, so such an answer waits for the disk as well.
pub(super) async fn ask(peers: &Peers, tail: &LogTail, target: &PeerTarget, request: &AppendRequest) -> Result<AppendResponse, PeerError> {
    // Silent, so that the others elect one that can write.
    if let Some(stalled) = tail.hangs_for(Instant::now()) {
        return Err(PeerError::OwnDiskHangs { stalled });
    }
    tail.until_written(request.leader_commit).await?;
    let bytes = REQUEST_OVERHEAD_BYTES + request.entries.iter().map(entry_bytes).sum::<usize>();
    let answer = peers.ask(target, Subject::AppendEntries, &codec::encode_sized(request, bytes)?).await?;
    let response = codec::decode(&answer)?;
    tail.until_written(held_by(&response, end_of(request))).await?;
    Ok(response)
}

/// The last entry that a follower says to hold by its answer to a question that reached to `end`; nothing when it does not agree.
pub(super) fn held_by(response: &AppendResponse, end: Option<LogId>) -> Option<LogId> {
    match response {
        AppendResponse::Success => end,
        AppendResponse::PartialSuccess(matched) => *matched,
        AppendResponse::Conflict | AppendResponse::HigherVote(_) => None,
    }
}

/// The last entry that whoever agrees to `request` holds.
pub(super) fn end_of(request: &AppendRequest) -> Option<LogId> {
    request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_fewer_entries_vouches_for_no_more_than_those() {
        let at = |index| Some(LogId::new(openraft::CommittedLeaderId::new(1, 1), index));
        assert_eq!(fitted(AppendResponse::Success, at(5), at(9)), AppendResponse::PartialSuccess(at(5)));
        assert_eq!(fitted(AppendResponse::Success, at(9), at(9)), AppendResponse::Success);
        assert_eq!(fitted(AppendResponse::Success, at(9), at(5)), AppendResponse::Success);
        assert_eq!(fitted(AppendResponse::PartialSuccess(at(7)), at(9), at(5)), AppendResponse::Success);
        assert_eq!(fitted(AppendResponse::Conflict, at(9), at(9)), AppendResponse::Conflict);
    }
}
