//! One stream on its way to the parent: where it stands, what it wants next.
//!
//! ```text
//! Unqueried ──Hello or Streams──▶ CursorRequested ──cursor──▶ Sending ⇄ Waiting (Busy)
//!    ▲                                 │ │
//!    │                                 │ └─before oldest─▶ Transferring ──all pieces there──▶ Sending
//!    │                                 └─beyond ours────▶ Ahead: shows its newest head, to be compared
//!    └──time, new head── Parked ◀──refused─── any
//! ```
//!
//! Invariant: `acknowledged` advances only when the parent says that its site committed
//! (test `promise_2_the_child_records_only_what_the_parent_committed`).

use std::collections::BTreeMap;

use kho_storage::{
    command::{Refusal, RowPlace, TransferStatus},
    ids::{Epoch, SiteId},
    planted::{Bug, planted},
    stream::KEY_BYTES_MAX,
};

use super::{
    config::UplinkConfig,
    input::{LoadFailure, StreamPosition},
    link::{Sent, Unanswered},
    park::{ParkReason, RestartCause},
    progress::{Progress, SendWindow, Step},
};
use crate::{
    frames::{Cursor, Fault, refusal_fault},
    link_time::LinkTime,
};

/// A stream that this site holds, and its way to the current parent.
#[derive(Debug)]
pub(super) struct Stream {
    pub held: StreamPosition,
    pub progress: Progress,
    /// Grows whenever sending starts at another cursor: answers to what was sent before no longer steer the stream.
    pub placement: u32,
    /// Whether the stream stands in the queue of those that may want something.
    pub queued: bool,
    /// How often sending started at another cursor since the parent last took something.
    fruitless_restarts: u32,
    /// What each parent is known to hold.
    known: BTreeMap<SiteId, Cursor>,
    /// The newest position shown on this link to a parent that is ahead.
    compared: Option<Cursor>,
    /// The last reason that raised an alarm, so that a retry without success does not raise it again.
    alarmed: Option<ParkReason>,
}

/// What a stream wants to happen next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    Cursor,
    Segment { from: Cursor },
    TransferStart,
    Piece { epoch: Epoch, from: RowPlace },
}

/// Where a parent's cursor stands relative to what the site holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CursorPosition {
    Within,
    Beyond,
    InOtherHistory,
}

impl Stream {
    pub fn new(held: StreamPosition) -> Self {
        Self {
            held,
            progress: Progress::Unqueried,
            placement: 0,
            queued: false,
            fruitless_restarts: 0,
            known: BTreeMap::new(),
            compared: None,
            alarmed: None,
        }
    }

    /// Where `cursor` stands relative to what the site holds.
    pub fn judge(&self, cursor: Cursor) -> CursorPosition {
        let held = self.held.cursor();
        match cursor {
            _ if cursor.forks_from(&held) => CursorPosition::InOtherHistory,
            _ if cursor > held || cursor.next > held.next => CursorPosition::Beyond,
            _ => CursorPosition::Within,
        }
    }

    /// Takes note of what `parent` holds and returns what it was known to hold before. Never more than the site itself holds.
    pub fn learn(&mut self, parent: SiteId, cursor: Cursor) -> Option<Cursor> {
        self.known.insert(parent, cursor.min(self.held.cursor()))
    }

    pub fn known_at(&self, parent: SiteId) -> Option<Cursor> {
        self.known.get(&parent).copied()
    }

    /// Whether the parent's cursor is awaited.
    pub fn awaits_cursor(&self) -> bool {
        matches!(self.progress, Progress::CursorRequested { .. })
    }

    pub fn parent_is_ahead(&self) -> bool {
        match &self.progress {
            Progress::Ahead { .. } => true,
            Progress::Waiting { then, .. } => matches!(**then, Progress::Ahead { .. }),
            _ => false,
        }
    }

    /// What the current parent acknowledged, as far as the stream's state knows.
    pub fn acknowledged(&self) -> Option<Cursor> {
        match &self.progress {
            Progress::Sending(window) => Some(window.acknowledged),
            Progress::Waiting { then, .. } => match &**then {
                Progress::Sending(window) => Some(window.acknowledged),
                _ => None,
            },
            _ => None,
        }
    }

    /// The link is gone: nothing is known of the next parent, and nothing is under way.
    pub fn forget_link(&mut self) {
        if planted(Bug::NotSentAgain) {
            return;
        }
        self.start_anew(Progress::Unqueried);
        self.fruitless_restarts = 0;
        self.compared = None;
    }

    /// A newer head, or batches trimmed.
    pub fn advance(&mut self, held: StreamPosition, now: LinkTime, config: &UplinkConfig) {
        let before = std::mem::replace(&mut self.held, held);
        if held.head_time < before.head_time
            && let Some(window) = self.window()
        {
            window.time_taken_back(before.head_time);
        }
        match &mut self.progress {
            Progress::Parked { retry_at, .. } if before.epoch != held.epoch => *retry_at = now,
            Progress::Parked { reason, retry_at, since } if before.next != held.next && !reason.is_fork() => {
                *retry_at = (*retry_at).min(since.after_ms(config.parked_retry_moved_ms).max(now));
            }
            Progress::Ahead { cursor, .. } if held.cursor() >= *cursor => {
                let cursor = *cursor;
                self.place(cursor);
            }
            _ => {}
        }
    }

    /// Goes on where the parent stands.
    pub fn place(&mut self, cursor: Cursor) {
        let progress = match self.judge(cursor) {
            CursorPosition::Within if cursor.next < self.held.oldest_kept => Progress::Transferring(Step::Start),
            CursorPosition::Within => Progress::sending(cursor, cursor),
            position @ (CursorPosition::Beyond | CursorPosition::InOtherHistory) => {
                Progress::Ahead { cursor, comparable: position == CursorPosition::Beyond }
            }
        };
        self.start_anew(progress);
    }

    /// Goes on with a transfer that the parent has under way.
    pub fn place_in_transfer(&mut self, status: &TransferStatus) {
        let progress = self.after_transfer_status(status);
        self.start_anew(progress);
    }

    pub fn want(&self, in_flight_segments_max: usize) -> Option<Want> {
        match &self.progress {
            Progress::Unqueried => Some(Want::Cursor),
            Progress::Sending(window) => window.wants(&self.held, in_flight_segments_max).then_some(Want::Segment { from: window.sent }),
            Progress::Ahead { comparable: true, .. } if self.compared != Some(self.held.cursor()) => {
                Some(Want::Segment { from: self.held.cursor() })
            }
            Progress::Transferring(Step::Start) => Some(Want::TransferStart),
            Progress::Transferring(Step::Piece { from, .. }) => Some(Want::Piece { epoch: self.held.epoch, from: from.clone() }),
            _ => None,
        }
    }

    /// What was wanted is on its way.
    pub fn under_way(&mut self, want: &Want, now: LinkTime, config: &UplinkConfig) {
        match (&mut self.progress, want) {
            (Progress::Unqueried, Want::Cursor) => {
                self.progress = Progress::CursorRequested { until: now.after_ms(config.idle_timeout_ms) }
            }
            (Progress::Sending(window), Want::Segment { .. }) => window.loading = true,
            (Progress::Ahead { .. }, Want::Segment { from }) => self.compared = Some(*from),
            (Progress::Transferring(step), Want::TransferStart) => *step = Step::StartUnderWay,
            (Progress::Transferring(step), Want::Piece { .. }) => {
                if let Step::Piece { generation, from } = step {
                    *step = Step::PieceUnderWay { generation: *generation, from: from.clone() };
                }
            }
            _ => {}
        }
    }

    /// A segment up to `end` goes out.
    pub fn segment_sent(&mut self, end: Cursor) {
        if let Progress::Sending(window) = &mut self.progress {
            window.loading = false;
            window.unanswered += 1;
            window.sent = end;
        }
    }

    /// The parent's site committed: it stands at `cursor`, which lies within what the site holds.
    pub fn adopted(&mut self, frame: &Unanswered, cursor: Cursor, now: LinkTime, config: &UplinkConfig) -> Option<ParkReason> {
        debug_assert_eq!(self.judge(cursor), CursorPosition::Within, "the caller places a cursor beyond what is held");
        self.fruitless_restarts = 0;
        self.alarmed = None;
        let (steers, newest) = (frame.placement == self.placement, self.held.head_time);
        let window = self.window()?;
        window.acknowledged = window.acknowledged.max(cursor);
        // Another path may have carried the parent further.
        window.sent = window.sent.max(cursor);
        if !steers {
            return None;
        }
        window.unanswered -= 1;
        match &frame.what {
            Sent::Segment { end, head_time, .. } if cursor >= *end => {
                // One that stands beyond is shown the newest head too, so that it compares.
                if cursor == *end {
                    window.head_acknowledged(*end, *head_time, newest);
                }
                None
            }
            _ => self.restart(RestartCause::TookLess, now, config),
        }
    }

    /// The parent's site committed a step of a transfer.
    pub fn transfer_wants(
        &mut self,
        frame: &Unanswered,
        status: &TransferStatus,
        now: LinkTime,
        config: &UplinkConfig,
    ) -> Option<ParkReason> {
        if frame.placement != self.placement {
            return None;
        }
        let moved_on = match (&frame.what, status) {
            (Sent::Piece { generation: sent_for, from: sent }, TransferStatus::WantsPiece { generation, from, .. }) => {
                generation == sent_for && from > sent
            }
            (Sent::Segment { end, .. }, TransferStatus::WantsBatches { next, .. }) => *next == end.next,
            (Sent::TransferStart, _) | (Sent::Piece { .. }, TransferStatus::WantsBatches { .. }) => true,
            (Sent::Segment { .. }, TransferStatus::WantsPiece { .. }) => false,
        };
        if let (true, Sent::Segment { end, head_time, .. }, Progress::Sending(window)) = (moved_on, &frame.what, &mut self.progress) {
            window.unanswered -= 1;
            window.head_acknowledged(*end, *head_time, self.held.head_time);
            self.fruitless_restarts = 0;
            return None;
        }
        // A start may come round again and again when the batches wanted are trimmed meanwhile, so it does not end the count.
        match (moved_on, &frame.what) {
            (true, Sent::TransferStart) => {}
            (true, _) => self.fruitless_restarts = 0,
            (false, _) => self.fruitless_restarts += 1,
        }
        if self.fruitless_restarts > config.fruitless_restarts_max {
            return self.park(ParkReason::NoCommonCursor(RestartCause::TransferStalled), now, config);
        }
        let progress = self.after_transfer_status(status);
        self.start_anew(progress);
        None
    }

    /// The parent can't take the frame before `until`.
    pub fn busy(&mut self, frame: &Unanswered, until: LinkTime) {
        if frame.placement != self.placement {
            return;
        }
        let then = match (&frame.what, &self.progress) {
            (Sent::Segment { .. }, Progress::Ahead { cursor, comparable }) => {
                self.compared = None;
                Progress::Ahead { cursor: *cursor, comparable: *comparable }
            }
            (Sent::Segment { from, .. }, _) => Progress::sending(*from, self.acknowledged().unwrap_or_default()),
            (Sent::TransferStart, _) => Progress::Transferring(Step::Start),
            (Sent::Piece { generation, from }, _) => Progress::Transferring(Step::Piece { generation: *generation, from: from.clone() }),
        };
        self.start_anew(Progress::Waiting { until, then: Box::new(then) });
    }

    /// The parent refused the frame, or (without one) the stream. Returns the reason when that calls for an alarm.
    pub fn refused(&mut self, frame: Option<&Unanswered>, refusal: Refusal, now: LinkTime, config: &UplinkConfig) -> Option<ParkReason> {
        match frame {
            Some(frame) if frame.placement != self.placement => None,
            Some(_) if refusal_fault(&refusal) == Fault::WrongPlace => self.restart(RestartCause::WrongPlace(refusal), now, config),
            _ => self.park(ParkReason::Refused(refusal), now, config),
        }
    }

    /// This site could not load what was wanted. Returns the reason when that calls for an alarm.
    pub fn load_failed(&mut self, failure: LoadFailure, now: LinkTime, config: &UplinkConfig) -> Option<ParkReason> {
        match failure {
            LoadFailure::NoLongerKept { oldest_kept } => {
                self.held.oldest_kept = self.held.oldest_kept.max(oldest_kept);
                let parked = self.restart(RestartCause::Trimmed, now, config);
                if matches!(self.progress, Progress::Unqueried) {
                    self.start_anew(Progress::Transferring(Step::Start));
                }
                parked
            }
            LoadFailure::NoSuchPlace => self.restart(RestartCause::NoSuchPlace, now, config),
            LoadFailure::LocalStorage(detail) => self.park(ParkReason::LocalStorage { detail }, now, config),
        }
    }

    /// Parks the stream. Returns the reason when it is another than last time.
    pub fn park(&mut self, reason: ParkReason, now: LinkTime, config: &UplinkConfig) -> Option<ParkReason> {
        let is_new = self.alarmed.as_ref() != Some(&reason);
        self.alarmed = Some(reason.clone());
        self.fruitless_restarts = 0;
        let retry_ms = if reason.is_fork() { config.forked_retry_ms } else { config.parked_retry_ms };
        self.start_anew(Progress::Parked { reason, since: now, retry_at: now.after_ms(retry_ms) });
        self.alarmed.clone().filter(|_| is_new)
    }

    /// When time alone moves the stream on.
    pub fn wake_at(&self) -> Option<LinkTime> {
        match &self.progress {
            Progress::CursorRequested { until } | Progress::Waiting { until, .. } => Some(*until),
            Progress::Parked { retry_at, .. } => Some(*retry_at),
            _ => None,
        }
    }

    /// Moves on what only waited for `now`.
    pub fn wake(&mut self, now: LinkTime) {
        if self.wake_at().is_some_and(|at| at <= now) {
            self.progress = match std::mem::replace(&mut self.progress, Progress::Unqueried) {
                Progress::Waiting { then, .. } => *then,
                _ => Progress::Unqueried,
            };
        }
    }

    /// Requests the parent's cursor again, or parks the stream when that happened too often without an acknowledgement.
    fn restart(&mut self, cause: RestartCause, now: LinkTime, config: &UplinkConfig) -> Option<ParkReason> {
        self.fruitless_restarts += 1;
        if self.fruitless_restarts > config.fruitless_restarts_max {
            return self.park(ParkReason::NoCommonCursor(cause), now, config);
        }
        self.start_anew(Progress::Unqueried);
        None
    }

    /// The window of a stream that is being sent, also while it waits for a busy parent.
    fn window(&mut self) -> Option<&mut SendWindow> {
        let progress = match &mut self.progress {
            Progress::Waiting { then, .. } => &mut **then,
            progress => progress,
        };
        if let Progress::Sending(window) = progress { Some(window) } else { None }
    }

    fn start_anew(&mut self, progress: Progress) {
        self.placement = self.placement.wrapping_add(1);
        self.progress = progress;
    }

    fn after_transfer_status(&self, status: &TransferStatus) -> Progress {
        match status {
            TransferStatus::WantsPiece { epoch, generation, from, .. } if *epoch == self.held.epoch && from.key.len() <= KEY_BYTES_MAX => {
                Progress::Transferring(Step::Piece { generation: *generation, from: from.clone() })
            }
            TransferStatus::WantsBatches { epoch, next, .. } if *epoch == self.held.epoch && *next > self.held.next => {
                // A replica that is being built has nothing to compare yet.
                Progress::Ahead { cursor: Cursor { epoch: *epoch, next: *next }, comparable: false }
            }
            TransferStatus::WantsBatches { epoch, next, .. } if *epoch == self.held.epoch && *next >= self.held.oldest_kept => {
                // The parent has acknowledged nothing: a transfer counts when its digest was right.
                Progress::sending(Cursor { epoch: *epoch, next: *next }, Cursor::default())
            }
            // A transfer of another epoch, or one whose batches are no longer kept here, starts over.
            _ => Progress::Transferring(Step::Start),
        }
    }
}
