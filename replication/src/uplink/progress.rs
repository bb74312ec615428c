//! How far a stream has come with the current parent: one variant for each state, with its own fields.

use kho_storage::{
    command::RowPlace,
    ids::{Generation, SiteTime},
};

use super::{input::StreamPosition, park::ParkReason};
use crate::{frames::Cursor, link_time::LinkTime};

/// The state of a stream towards the current parent. Its transitions stand in `stream.rs`.
#[derive(Debug)]
pub(super) enum Progress {
    /// Where the parent stands is not known and not requested yet.
    Unqueried,
    /// The request for the parent's cursor is under way.
    CursorRequested {
        until: LinkTime,
    },
    Sending(SendWindow),
    /// The parent was busy; afterwards things go on with `then`.
    Waiting {
        until: LinkTime,
        then: Box<Progress>,
    },
    Parked {
        reason: ParkReason,
        since: LinkTime,
        retry_at: LinkTime,
    },
    /// The parent holds more than this site. When it does so in the same epoch, it is shown this site's newest head: two histories
    /// must not stay undetected because one is shorter.
    Ahead {
        cursor: Cursor,
        comparable: bool,
    },
    Transferring(Step),
}

/// Segments are sent one after another, from the parent's cursor on.
#[derive(Debug)]
pub(super) struct SendWindow {
    /// First batch not sent yet.
    pub sent: Cursor,
    /// First batch that the parent has not acknowledged.
    pub acknowledged: Cursor,
    /// Segments of this placement without an answer.
    pub unanswered: usize,
    pub loading: bool,
    /// Newest head that the parent acknowledged on this link: where it stands, and its time. A head of the future that ended earlier
    /// batches says nothing of those that end later ones.
    head_acknowledged: Option<(Cursor, SiteTime)>,
    /// A time of the future that was taken back: what is acknowledged of it, while the newest head says less, is not of today.
    time_taken_back: Option<SiteTime>,
}

/// A whole-origin transfer's next step. While a read or an answer is awaited: under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Start,
    StartUnderWay,
    /// A piece of the generation that the parent builds.
    Piece {
        generation: Generation,
        from: RowPlace,
    },
    PieceUnderWay {
        generation: Generation,
        from: RowPlace,
    },
}

impl Progress {
    pub fn sending(sent: Cursor, acknowledged: Cursor) -> Self {
        Self::Sending(SendWindow { sent, acknowledged, unanswered: 0, loading: false, head_acknowledged: None, time_taken_back: None })
    }
}

impl SendWindow {
    pub fn wants(&self, held: &StreamPosition, in_flight_segments_max: usize) -> bool {
        let has_more = self.sent < held.cursor();
        // One idle head at a time, and only when nothing else speaks for the stream.
        let newest = Some((held.cursor(), held.head_time));
        let has_newer_time = self.sent == held.cursor() && self.unanswered == 0 && self.head_acknowledged < newest;
        !self.loading && self.unanswered < in_flight_segments_max && (has_more || has_newer_time)
    }

    /// The parent acknowledged a head of `time` that ends at `end`, and the newest is of `held`.
    pub fn head_acknowledged(&mut self, end: Cursor, time: SiteTime, held: SiteTime) {
        if time <= held || Some(time) > self.time_taken_back {
            self.head_acknowledged = self.head_acknowledged.max(Some((end, time)));
        }
    }

    /// An operator took back that the stream is complete up to `time`.
    pub fn time_taken_back(&mut self, time: SiteTime) {
        self.head_acknowledged = None;
        self.time_taken_back = self.time_taken_back.max(Some(time));
    }

    /// Whether the parent holds everything up to `held`.
    pub fn is_caught_up(&self, held: &StreamPosition) -> bool {
        self.acknowledged >= held.cursor()
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::{Epoch, OriginId, StreamSeq};

    use super::*;

    #[test]
    fn promise_9_a_head_of_the_future_that_ended_earlier_batches_holds_back_no_newer_one() {
        let epoch = Epoch::first("vn", OriginId(3));
        let at = |next| Cursor { epoch, next: StreamSeq(next) };
        let (now, future) = (SiteTime(1_000), SiteTime(9_000_000));
        let held = StreamPosition { origin: OriginId(3), epoch, next: StreamSeq(5), oldest_kept: StreamSeq(1), head_time: now };
        let Progress::Sending(mut window) = Progress::sending(at(5), at(5)) else { panic!("it sends") };
        window.head_acknowledged(at(3), future, now);
        assert!(window.wants(&held, 4), "the parent has not been told up to when the batches to the fourth are complete");
        window.head_acknowledged(at(5), now, now);
        assert!(!window.wants(&held, 4), "it has now");
        assert!(window.wants(&StreamPosition { head_time: SiteTime(2_000), ..held }, 4), "an idle head follows");
    }
}
