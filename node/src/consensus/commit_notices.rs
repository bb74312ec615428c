//! Telling a follower how far the log is committed, without a question of its own for every entry.
//!
//! openraft asks an empty AppendEntries whenever that position moves. While entries follow each other closely this makes half
//! of all questions, and each keeps the next entries from being sent until it is answered. So a follower that just answered is
//! not asked: entries or a heartbeat that are sent within [`NOTICE_PAUSE`] carry the position, or a notice does after it.
//!
//! Nothing depends on a notice's answer: it could only repeat what the follower said a moment ago. A linearizable read does
//! not wait for one, because confirming its read index carries the position too.

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
    append_pipeline::{ask, end_of, held_by},
    log_tail::LogTail,
    peers::{PeerTarget, Peers},
    types::{AppendRequest, AppendResponse, LogId, Vote},
};

/// How long a follower may learn later than the leader that an entry is committed.
pub(super) const NOTICE_PAUSE: Duration = Duration::from_millis(20);
/// A notice that was not answered by then is given up; a heartbeat carries the same.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(1);

/// What one follower knows and is still to be told.
#[derive(Debug, Default)]
pub(super) struct CommitNotices {
    heard: Option<Heard>,
    deferred: Arc<Mutex<Option<AppendRequest>>>,
    telling: Option<JoinHandle<()>>,
}

/// The follower's last agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    at: Instant,
    vote: Vote,
    matching: Option<LogId>,
    committed: Option<LogId>,
}

impl CommitNotices {
    /// Whether `request` tells nothing but a position, and that to a follower that agreed to everything else in it just now.
    pub fn may_wait(&self, request: &AppendRequest, now: Instant) -> bool {
        self.heard.is_some_and(|heard| {
            let agreed = request.entries.is_empty() && (heard.vote, heard.matching) == (request.vote, request.prev_log_id);
            agreed && request.leader_commit > heard.committed && now.duration_since(heard.at) < NOTICE_PAUSE
        })
    }

    /// Has `request` sent after a pause, unless another one goes before.
    pub fn defer(&mut self, request: AppendRequest, peers: &Arc<Peers>, tail: &Arc<LogTail>, target: &PeerTarget) {
        *self.deferred.lock() = Some(request);
        if self.telling.as_ref().is_some_and(|telling| !telling.is_finished()) {
            return;
        }
        let (deferred, peers, tail, target) = (Arc::clone(&self.deferred), Arc::clone(peers), Arc::clone(tail), target.clone());
        self.telling = Some(tokio::spawn(async move {
            sleep(NOTICE_PAUSE).await;
            let deferred = deferred.lock().take();
            if let Some(request) = deferred {
                // Whatever comes of it: the next heartbeat tells the same.
                let _ = timeout(NOTICE_TIMEOUT, ask(&peers, &tail, &target, &request)).await;
            }
        }));
    }

    /// A question goes out that carries whatever was deferred.
    pub fn sending(&self) {
        *self.deferred.lock() = None;
    }

    /// The follower answered a question that began as `asked`.
    pub fn heard(&mut self, asked: Asked, response: &AppendResponse, now: Instant) {
        let matching = held_by(response, asked.end);
        self.heard = matching.is_some().then_some(Heard { at: now, vote: asked.vote, matching, committed: asked.committed });
    }
}

impl Drop for CommitNotices {
    fn drop(&mut self) {
        if let Some(telling) = &self.telling {
            telling.abort();
        }
    }
}

/// What of a question its answer is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub vote: Vote,
    pub previous: Option<LogId>,
    /// The last entry that who agrees holds.
    pub end: Option<LogId>,
    pub committed: Option<LogId>,
}

impl Asked {
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
    fn only_a_position_is_told_later_and_only_to_a_follower_that_agreed_just_now() {
        let now = Instant::now();
        let mut notices = CommitNotices::default();
        assert!(!notices.may_wait(&request(1, 7, 7), now), "it was never heard");
        notices.heard(Asked::of(&request(1, 7, 6)), &AppendResponse::Success, now);
        assert!(notices.may_wait(&request(1, 7, 7), now));
        assert!(!notices.may_wait(&request(1, 7, 6), now), "a heartbeat that tells nothing new is one to be answered");
        assert!(!notices.may_wait(&request(2, 7, 7), now), "another leadership");
        assert!(!notices.may_wait(&request(1, 8, 7), now), "entries that it has not confirmed");
        assert!(!notices.may_wait(&request(1, 7, 7), now + NOTICE_PAUSE), "it was not heard for a while");
        let blank = openraft::Entry { log_id: at(8).expect("an id"), payload: openraft::EntryPayload::Blank };
        assert!(!notices.may_wait(&AppendRequest { entries: vec![blank], ..request(1, 7, 7) }, now), "entries never wait");
        notices.heard(Asked::of(&request(1, 7, 7)), &AppendResponse::Conflict, now);
        assert!(!notices.may_wait(&request(1, 7, 8), now));
    }
}
