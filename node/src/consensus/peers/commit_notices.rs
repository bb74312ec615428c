//! Sends a follower the commit index without a request of its own for every entry.
//!
//! openraft sends an empty AppendEntries whenever the commit index moves. While entries follow each other closely, these are half of
//! all requests, and each keeps the next entries from being sent until its response comes. So a follower that responded just now gets
//! no such request: the entries or the heartbeat that are sent within [`NOTICE_PAUSE`] carry the commit index, or else a notice does.
//!
//! Nothing depends on the response to a notice: it could only repeat what the follower confirmed a moment ago. A linearizable read does
//! not wait for a notice, because the confirmation of its read index carries the commit index too.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    append_pipeline::{call_append, end_of, held_by},
    connections::{PeerTarget, Peers},
};
use crate::{
    consensus::{
        log::LogTail,
        types::{AppendRequest, AppendResponse, LogId, Vote},
    },
    task_watch::TaskWatch,
};

/// How long a follower may learn later than the leader that an entry is committed.
pub const NOTICE_PAUSE: Duration = Duration::from_millis(20);
/// A notice without a response by then is given up; a heartbeat carries the same.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(1);

/// What one follower has confirmed, and the notice that it still has to get.
#[derive(Debug, Default)]
pub struct CommitNotices {
    confirmed: Option<Confirmed>,
    deferred: Arc<Mutex<Option<AppendRequest>>>,
    sending_task: Option<JoinHandle<()>>,
}

/// What the follower confirmed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Confirmed {
    at: Instant,
    vote: Vote,
    matching: Option<LogId>,
    committed: Option<LogId>,
}

impl CommitNotices {
    /// Whether `request` carries nothing but a new commit index, and the follower confirmed everything else in it just now.
    pub fn may_wait(&self, request: &AppendRequest, now: Instant) -> bool {
        self.confirmed.is_some_and(|confirmed| {
            let agreed = request.entries.is_empty() && (confirmed.vote, confirmed.matching) == (request.vote, request.prev_log_id);
            agreed && request.leader_commit > confirmed.committed && now.duration_since(confirmed.at) < NOTICE_PAUSE
        })
    }

    /// Sends `request` after a pause, unless another request goes before.
    pub fn defer(&mut self, request: AppendRequest, peers: &Arc<Peers>, tail: &Arc<LogTail>, target: &PeerTarget, tasks: &TaskWatch) {
        *self.deferred.lock() = Some(request);
        if self.sending_task.as_ref().is_some_and(|sending_task| !sending_task.is_finished()) {
            return;
        }
        let (deferred, peers, tail, target) = (Arc::clone(&self.deferred), Arc::clone(peers), Arc::clone(tail), target.clone());
        self.sending_task = Some(tasks.job("sends a commit index", async move {
            sleep(NOTICE_PAUSE).await;
            let deferred = deferred.lock().take();
            if let Some(request) = deferred {
                // Whatever comes of it: the next heartbeat carries the same.
                let _ = timeout(NOTICE_TIMEOUT, call_append(&peers, &tail, &target, &request)).await;
            }
        }));
    }

    /// A request goes out that carries whatever was deferred.
    pub fn clear_deferred(&self) {
        *self.deferred.lock() = None;
    }

    /// The follower responded to the request `sent`.
    pub fn note_response(&mut self, sent: SentRequest, response: &AppendResponse, now: Instant) {
        let matching = held_by(response, sent.end);
        self.confirmed = matching.is_some().then_some(Confirmed { at: now, vote: sent.vote, matching, committed: sent.committed });
    }
}

impl Drop for CommitNotices {
    fn drop(&mut self) {
        if let Some(sending_task) = &self.sending_task {
            sending_task.abort();
        }
    }
}

/// The parts of a request by which its response is judged.
#[derive(Debug, Clone, Copy)]
pub struct SentRequest {
    pub vote: Vote,
    pub previous: Option<LogId>,
    /// The last entry that a follower holds when it agrees.
    pub end: Option<LogId>,
    pub committed: Option<LogId>,
}

impl SentRequest {
    pub fn of(request: &AppendRequest) -> Self {
        Self { vote: request.vote, previous: request.prev_log_id, end: end_of(request), committed: request.leader_commit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> Option<LogId> {
        Some(LogId::new(openraft::CommittedLeaderId::new(1, 1), index))
    }

    fn request(term: u64, previous: u64, committed: u64) -> AppendRequest {
        AppendRequest { vote: Vote::new_committed(term, 1), prev_log_id: at(previous), entries: vec![], leader_commit: at(committed) }
    }

    #[test]
    fn only_a_commit_index_waits_and_only_for_a_follower_that_confirmed_just_now() {
        let now = Instant::now();
        let mut notices = CommitNotices::default();
        assert!(!notices.may_wait(&request(1, 7, 7), now), "it never responded");
        notices.note_response(SentRequest::of(&request(1, 7, 6)), &AppendResponse::Success, now);
        assert!(notices.may_wait(&request(1, 7, 7), now));
        assert!(!notices.may_wait(&request(1, 7, 6), now), "a heartbeat without a new commit index needs its response");
        assert!(!notices.may_wait(&request(2, 7, 7), now), "another term");
        assert!(!notices.may_wait(&request(1, 8, 7), now), "entries that it has not confirmed");
        assert!(!notices.may_wait(&request(1, 7, 7), now + NOTICE_PAUSE), "it has not responded for a while");
        let blank = openraft::Entry { log_id: at(8).expect("an id"), payload: openraft::EntryPayload::Blank };
        assert!(!notices.may_wait(&AppendRequest { entries: vec![blank], ..request(1, 7, 7) }, now), "entries never wait");
        notices.note_response(SentRequest::of(&request(1, 7, 7)), &AppendResponse::Conflict, now);
        assert!(!notices.may_wait(&request(1, 7, 8), now));
    }
}
