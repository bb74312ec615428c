//! What is loaded and sent next: every stream in its turn, within the window.
//!
//! Invariant: no column above the level of the link is sent. Its stream waits until the parent was raised, as if the parent had refused it
//! (test `a_column_above_the_level_of_the_link_is_not_sent_and_its_stream_goes_on_once_the_parent_was_raised`).

use kho_storage::{
    checks::{check_piece_level, check_segment_level},
    command::{Refusal, TransferPiece, TransferStart},
    ids::OriginId,
    level::Level,
    planted::{Bug, planted},
    stream::Segment,
};

use super::{
    LoadFailure, LoadId, StreamPosition, Uplink, UplinkAction,
    link::{LinkState, Load, Sent, Unanswered},
    progress::{Progress, Step},
    stream::{Stream, Want},
};
use crate::{
    frames::{ChildFrame, Compressed, Cursor, PIECE_PLAIN_BYTES_MAX, SEGMENT_PLAIN_BYTES_MAX, STREAMS_MAX},
    link_time::LinkTime,
};

impl Uplink {
    /// Lets the stream have its turn when it comes round. One that the register does not lead through the parent has none: it stays
    /// where it is, as in a site that was once on its way.
    pub(super) fn enqueue(&mut self, origin: OriginId) {
        if !self.is_led_up(origin) {
            return;
        }
        if let Some(stream) = self.streams.get_mut(&origin).filter(|stream| !stream.queued && matches!(self.link, LinkState::Open(_))) {
            stream.queued = true;
            self.ready.push_back(origin);
        }
    }

    pub(super) fn set_timer(&mut self, origin: OriginId) {
        if let Some(at) = self.streams.get(&origin).and_then(Stream::wake_at) {
            self.timers.insert((at, origin));
        }
    }

    /// Moves on streams that only waited for `now`. A timer whose reason is gone does nothing.
    pub(super) fn wake_streams(&mut self, now: LinkTime) {
        while let Some((at, origin)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, origin));
            if let Some(stream) = self.streams.get_mut(&origin) {
                stream.wake(now);
                self.enqueue(origin);
            }
        }
    }

    /// Starts what the window allows. A stream that had its turn goes to the end of the queue when it wants more.
    pub(super) fn schedule(&mut self, now: LinkTime) {
        let mut requested = Vec::new();
        while let Some(origin) = self.ready.front().copied() {
            let LinkState::Open(open) = &mut self.link else { break };
            let Some(stream) = self.streams.get_mut(&origin) else {
                self.ready.pop_front();
                continue;
            };
            let want = stream.want(self.config.in_flight_segments_max);
            let must_wait = match &want {
                Some(Want::Cursor) => requested.len() >= STREAMS_MAX,
                Some(_) => open.window_is_full(),
                None => false,
            };
            if must_wait {
                break;
            }
            self.ready.pop_front();
            stream.queued = false;
            let Some(want) = want else { continue };
            stream.under_way(&want, now, &self.config);
            let placement = stream.placement;
            match want {
                Want::Cursor => {
                    requested.push(stream.held.held());
                    self.set_timer(origin);
                }
                want => self.start_load(origin, placement, want),
            }
        }
        if let (LinkState::Open(open), false) = (&mut self.link, requested.is_empty()) {
            let leaves_by = open.leaves_by(0, &self.config, now);
            open.cursors_requested.get_or_insert((now, leaves_by));
            self.actions.push_back(UplinkAction::SendFrame { link: open.link, frame: ChildFrame::Streams(requested) });
        }
    }

    fn start_load(&mut self, origin: OriginId, placement: u32, want: Want) {
        let LinkState::Open(open) = &mut self.link else { return };
        self.last_load = LoadId(self.last_load.0 + 1);
        let load = self.last_load;
        let (action, from, bytes) = match want {
            Want::Cursor => return,
            Want::Segment { from } => {
                let bytes_max = self.config.segment_bytes_max;
                (UplinkAction::LoadSegment { load, origin, from, bytes_max }, from, bytes_max)
            }
            Want::TransferStart => (UplinkAction::LoadTransferStart { load, origin }, Cursor::default(), 0),
            Want::Piece { epoch, from } => {
                let bytes_max = self.config.piece_bytes_max;
                (UplinkAction::LoadPiece { load, origin, epoch, from, bytes_max }, Cursor::default(), bytes_max)
            }
        };
        open.load_started(load, Load { origin, placement, from, bytes });
        self.actions.push_back(action);
    }

    pub(super) fn segment_loaded(&mut self, load: LoadId, result: Result<Segment, LoadFailure>, now: LinkTime) {
        let level = self.level_to_keep();
        let Some((load, stream)) = self.load_ended(load) else { return };
        let segment = match result.and_then(|segment| check_loaded(segment, &load, stream)) {
            Ok(segment) => segment,
            Err(failure) => return self.load_failed(load.origin, failure, now),
        };
        if let Some(Err(refusal)) = level.map(|level| check_segment_level(&segment, level)) {
            return self.kept_back(load.origin, refusal, now);
        }
        let packed = Compressed::pack(&segment, SEGMENT_PLAIN_BYTES_MAX);
        let head = &segment.head.head;
        let end = Cursor { epoch: head.epoch, next: head.seq.next() };
        match packed {
            Err(error) => self.load_failed(load.origin, LoadFailure::LocalStorage(error.to_string()), now),
            Ok(packed) => {
                if end > stream.held.cursor() {
                    // Read from the site's own committed state, which had moved on: this much is held too.
                    let held = StreamPosition { epoch: end.epoch, next: end.next, head_time: head.site_time, ..stream.held };
                    stream.held = held;
                }
                stream.segment_sent(end);
                let what = Sent::Segment { from: load.from, end, head_time: head.site_time };
                let bytes = segment.bytes();
                self.send(&load, what, bytes, now, |id| ChildFrame::Segment { id, origin: load.origin, segment: packed });
                if let (true, LinkState::Open(open)) = (planted(Bug::RecordedBeforeCommitted), &self.link) {
                    self.record(open.parent, load.origin, end, now);
                }
            }
        }
        self.enqueue(load.origin);
    }

    pub(super) fn transfer_start_loaded(&mut self, load: LoadId, result: Result<TransferStart, LoadFailure>, now: LinkTime) {
        let Some((load, _)) = self.load_ended(load) else { return };
        match result {
            Ok(start) => self.send(&load, Sent::TransferStart, 0, now, |id| ChildFrame::TransferStart { id, start }),
            Err(failure) => self.load_failed(load.origin, failure, now),
        }
    }

    pub(super) fn piece_loaded(&mut self, load: LoadId, result: Result<TransferPiece, LoadFailure>, now: LinkTime) {
        let level = self.level_to_keep();
        let Some((load, stream)) = self.load_ended(load) else { return };
        let Progress::Transferring(Step::PieceUnderWay { generation, .. }) = stream.progress else { return };
        if let (Some(level), Ok(piece)) = (level, &result)
            && let Err(refusal) = check_piece_level(piece, level)
        {
            return self.kept_back(load.origin, refusal, now);
        }
        let packed = result.and_then(|piece| {
            let packed = Compressed::pack(&piece, PIECE_PLAIN_BYTES_MAX).map_err(|error| LoadFailure::LocalStorage(error.to_string()))?;
            Ok((piece.from, packed))
        });
        match packed {
            Ok((from, piece)) => {
                let bytes = usize::try_from(piece.plain_bytes).unwrap_or(PIECE_PLAIN_BYTES_MAX);
                let what = Sent::Piece { generation, from };
                self.send(&load, what, bytes, now, |id| ChildFrame::Piece { id, origin: load.origin, generation, piece });
            }
            Err(failure) => self.load_failed(load.origin, failure, now),
        }
    }

    /// The level of the link, where what is loaded may lie above it: this build supports more, and its site may have been raised since.
    fn level_to_keep(&self) -> Option<Level> {
        match &self.link {
            LinkState::Open(open) if open.level < self.config.levels.supported.max => Some(open.level),
            _ => None,
        }
    }

    /// The parent can't take yet what was loaded.
    fn kept_back(&mut self, origin: OriginId, refusal: Refusal, now: LinkTime) {
        let Some(stream) = self.streams.get_mut(&origin) else { return };
        let parked = stream.refused(None, refusal, now, &self.config);
        self.parked(origin, parked);
        self.stream_moved(origin);
    }

    /// The load and its stream; none when the link or the stream's place changed meanwhile.
    fn load_ended(&mut self, load: LoadId) -> Option<(Load, &mut Stream)> {
        let LinkState::Open(open) = &mut self.link else { return None };
        let load = open.load_ended(load)?;
        let stream = self.streams.get_mut(&load.origin).filter(|stream| stream.placement == load.placement)?;
        Some((load, stream))
    }

    fn load_failed(&mut self, origin: OriginId, failure: LoadFailure, now: LinkTime) {
        let Some(stream) = self.streams.get_mut(&origin) else { return };
        let parked = stream.load_failed(failure, now, &self.config);
        self.parked(origin, parked);
        self.stream_moved(origin);
    }

    fn send(&mut self, load: &Load, what: Sent, bytes: usize, now: LinkTime, frame: impl FnOnce(crate::frames::FrameId) -> ChildFrame) {
        let LinkState::Open(open) = &mut self.link else { return };
        let leaves_by = open.leaves_by(bytes, &self.config, now);
        let id = open.sent(Unanswered { origin: load.origin, placement: load.placement, what, bytes, sent_at: now, leaves_by });
        self.actions.push_back(UplinkAction::SendFrame { link: open.link, frame: frame(id) });
    }
}

/// Whether what was read is what was requested, so that a defect below does not become traffic without end.
fn check_loaded(segment: Segment, load: &Load, stream: &Stream) -> Result<Segment, LoadFailure> {
    let head = &segment.head.head;
    let end = Cursor { epoch: head.epoch, next: head.seq.next() };
    let starts_right = match end.epoch == load.from.epoch {
        true => segment.first <= load.from.next,
        false => segment.first == load.from.next,
    };
    if segment.origin() != load.origin || !starts_right {
        let why = format!("batches from {} on were requested, {}/{} came", load.from, head.epoch.number, segment.first);
        return Err(LoadFailure::LocalStorage(why));
    }
    // An idle head where batches are due would be sent for ever.
    if end < load.from || (end == load.from && load.from < stream.held.cursor()) {
        return Err(LoadFailure::NoSuchPlace);
    }
    Ok(segment)
}
