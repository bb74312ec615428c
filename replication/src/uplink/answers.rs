//! What the parent says, and what follows from it.

use kho_storage::{
    command::{ParentCursor, Refusal, TransferStatus},
    ids::OriginId,
    planted::{Bug, planted},
};

use super::{
    LinkId, ParkReason, Uplink, UplinkAction, UplinkAlarm,
    link::{LinkState, Sent, Unanswered},
    stream::CursorPosition,
};
use crate::{
    frames::{ChildFrame, Cursor, FrameId, ParentFrame, ProtocolViolation},
    link_time::LinkTime,
};

/// Bounds of a pause that a busy parent asks for, in milliseconds.
const BUSY_MS_MIN: u64 = 20;
const BUSY_MS_MAX: u64 = 300_000;

impl Uplink {
    pub(super) fn frame_received(&mut self, link: LinkId, frame: ParentFrame, now: LinkTime) {
        if self.link.id() != Some(link) && !planted(Bug::OldLinkAnswers) {
            return;
        }
        if let LinkState::Open(open) = &mut self.link {
            open.last_moved = now;
        }
        let open = matches!(self.link, LinkState::Open(_));
        match frame {
            ParentFrame::Goodbye(reason) => self.parent_left(&reason, now),
            ParentFrame::Redirect { addresses } => self.redirected(addresses, now),
            ParentFrame::Welcome(welcome) => self.welcomed(welcome, now),
            ParentFrame::Clock(_) => {}
            frame if !open => self.peer_misbehaved(ProtocolViolation::FrameOutOfTurn { frame: frame.kind() }, now),
            ParentFrame::Registers(offers) => self.registers_offered(offers),
            ParentFrame::Cursors { cursors, transfers, heads } => {
                self.cursor_request_answered();
                self.heads_shown(heads);
                self.cursors_received(&cursors, &transfers, now);
            }
            ParentFrame::Adopted { id, cursor } => self.adopted(id, cursor, now),
            ParentFrame::TransferWants { id, status } => self.transfer_wants(id, &status, now),
            ParentFrame::Refused { id, origin, refusal } => self.refused(id, origin, refusal, now),
            ParentFrame::Busy { id, retry_after_ms } => {
                let until = now.after_ms(u64::from(retry_after_ms).clamp(BUSY_MS_MIN, BUSY_MS_MAX));
                self.busy(id, until, now);
            }
        }
    }

    fn adopted(&mut self, id: FrameId, cursor: ParentCursor, now: LinkTime) {
        let Some(frame) = self.answered(id, Some(cursor.origin), now) else { return };
        let Some(stream) = self.streams.get_mut(&frame.origin) else { return };
        let LinkState::Open(open) = &self.link else { return };
        let parent = open.parent;
        let (cursor, held) = (Cursor::of(&cursor), stream.held.cursor());
        let (position, was_ahead) = (stream.judge(cursor), stream.parent_is_ahead());
        if position == CursorPosition::Beyond && frame.placement != stream.placement {
            // An answer to what was sent from another place: where the stream goes on was settled since.
            return self.link_proved();
        }
        if position == CursorPosition::InOtherHistory {
            let violation = ProtocolViolation::OtherHistoryAcknowledged { origin: frame.origin, acknowledged: cursor, held };
            return self.peer_misbehaved(violation, now);
        }
        // What this site alone writes another path may have brought there too: written before the site was set back.
        if position == CursorPosition::Beyond && !was_ahead && self.is_own(frame.origin) {
            let alarm = UplinkAlarm::SiteBehindParent { parent, origin: frame.origin, held, claimed: cursor };
            self.actions.push_back(UplinkAction::RaiseAlarm(alarm));
            self.ask_for_heads(frame.origin);
        }
        let Some(stream) = self.streams.get_mut(&frame.origin) else { return };
        let parked = if position == CursorPosition::Beyond
            || was_ahead
            || (frame.placement == stream.placement && !matches!(frame.what, Sent::Segment { .. }))
        {
            stream.place(cursor);
            None
        } else {
            stream.adopted(&frame, cursor, now, &self.config)
        };
        // A parent that stands at the segment's end has compared its history with this site's. One that stands beyond it may have
        // forgotten the batches that it would have to compare: its word is a number alone.
        if let Sent::Segment { end, .. } = frame.what
            && (cursor == end || (cursor > end && planted(Bug::BeyondTakenForCompared)))
        {
            let known = end.max(stream.known_at(parent).unwrap_or_default());
            if stream.learn(parent, known) != Some(known) {
                self.record(parent, frame.origin, known, now);
            }
        }
        self.link_proved();
        self.parked(frame.origin, parked);
        self.stream_moved(frame.origin);
    }

    fn transfer_wants(&mut self, id: FrameId, status: &TransferStatus, now: LinkTime) {
        let (TransferStatus::WantsPiece { origin, .. } | TransferStatus::WantsBatches { origin, .. }) = status;
        let Some(frame) = self.answered(id, Some(*origin), now) else { return };
        let Some(stream) = self.streams.get_mut(origin) else { return };
        let parked = stream.transfer_wants(&frame, status, now, &self.config);
        self.link_proved();
        self.parked(*origin, parked);
        self.stream_moved(*origin);
    }

    fn refused(&mut self, id: Option<FrameId>, origin: OriginId, refusal: Refusal, now: LinkTime) {
        let frame = match id {
            Some(id) => match self.answered(id, Some(origin), now) {
                Some(frame) => Some(frame),
                None => return,
            },
            None => {
                self.cursor_request_answered();
                None
            }
        };
        let Some(stream) = self.streams.get_mut(&origin) else { return };
        let is_contradicted = matches!(refusal, Refusal::Forked { .. } | Refusal::BadChain { .. });
        let parked = stream.refused(frame.as_ref(), refusal, now, &self.config);
        if is_contradicted && self.is_own(origin) {
            self.ask_for_heads(origin);
        }
        self.parked(origin, parked);
        self.stream_moved(origin);
    }

    fn busy(&mut self, id: FrameId, until: LinkTime, now: LinkTime) {
        let Some(frame) = self.answered(id, None, now) else { return };
        let Some(stream) = self.streams.get_mut(&frame.origin) else { return };
        stream.busy(&frame, until);
        self.stream_moved(frame.origin);
    }

    /// The parent has come to hold something else of this site's own than when it welcomed it: what it holds now is to be compared too.
    fn ask_for_heads(&mut self, origin: OriginId) {
        if let (LinkState::Open(open), Some(stream)) = (&self.link, self.streams.get(&origin)) {
            let frame = ChildFrame::Streams(vec![stream.held.held()]);
            self.actions.push_back(UplinkAction::SendFrame { link: open.link, frame });
        }
    }

    /// The parent answered a request for cursors. A stream whose own answer is missing is requested again.
    fn cursor_request_answered(&mut self) {
        if let LinkState::Open(open) = &mut self.link {
            open.cursors_requested = None;
        }
    }

    /// The frame that an answer belongs to. An answer to nothing, or about another origin, ends the link.
    fn answered(&mut self, id: FrameId, origin: Option<OriginId>, now: LinkTime) -> Option<Unanswered> {
        let LinkState::Open(open) = &mut self.link else { return None };
        let frame = open.answered(id);
        match frame {
            Some(frame) if origin.is_none_or(|origin| origin == frame.origin) => Some(frame),
            Some(frame) => {
                self.peer_misbehaved(ProtocolViolation::AnswerOfOtherOrigin { id, origin: frame.origin }, now);
                None
            }
            None => {
                self.peer_misbehaved(ProtocolViolation::AnswerNotAwaited { id }, now);
                None
            }
        }
    }

    /// Raises the alarm of a stream that is parked now for a reason that was not reported yet.
    pub(super) fn parked(&mut self, origin: OriginId, reason: Option<ParkReason>) {
        let Some(reason) = reason else { return };
        let Some(parent) = self.parents.current().map(|parent| parent.site) else { return };
        let alarm = match reason {
            ParkReason::Refused(refusal) => UplinkAlarm::StreamRefused { parent, origin, refusal },
            ParkReason::Forked { ours, theirs } => UplinkAlarm::Forked { parent, origin, ours, theirs },
            ParkReason::LocalStorage { detail } => UplinkAlarm::LocalStorage { origin, detail },
            ParkReason::NoCommonCursor(cause) => UplinkAlarm::NoCommonCursor { parent, origin, cause },
        };
        self.actions.push_back(UplinkAction::RaiseAlarm(alarm));
    }

    /// After a stream's state changed: it may want something now, or later.
    pub(super) fn stream_moved(&mut self, origin: OriginId) {
        self.set_timer(origin);
        self.enqueue(origin);
    }
}
