//! Taking what a child sends: bounded, unpacked, placed, verified, proposed, in this order.

use kho_storage::{
    checks::check_path,
    codec::Blob,
    command::{Command, Refusal, TransferPiece, TransferStart},
    ids::{Generation, OriginId, SiteTime},
    level::Level,
    stream::Segment,
};

use super::{Intake, IntakeAction, Open, RefusedBytes, State, lane::Lane};
use crate::{
    frames::{Compressed, Cursor, Fault, FrameId, PIECE_PLAIN_BYTES_MAX, ProtocolViolation, SEGMENT_PLAIN_BYTES_MAX, refusal_fault},
    verified::{ReceivedPiece, ReceivedSegment, STREAM_SEQ_MAX, VerifiedPiece, VerifiedSegment},
};

impl Intake {
    pub(super) fn segment_received(&mut self, id: FrameId, origin: OriginId, packed: &Compressed<Segment>, clock: SiteTime) {
        let Some(lane) = self.admit(id, origin, packed.plain_bytes) else { return };
        match self.judge_segment(origin, lane, packed) {
            Err(refusal) => self.refuse_bytes(id, origin, refusal, &packed.zstd),
            Ok(verified) => {
                let head = &verified.segment().head.head;
                let end = Cursor { epoch: head.epoch, next: head.seq.next() };
                let bytes = verified.segment().bytes();
                if let Some(lane) = self.open().and_then(|open| open.lanes.get_mut(&origin)) {
                    lane.proposed_up_to(end);
                }
                let carrier = Some(self.child.site);
                let command = Command::AdoptSegment { site_time: clock, carrier, segment: verified.into_segment() };
                self.propose(id, origin, bytes, Some(end), command);
            }
        }
    }

    fn judge_segment(&self, origin: OriginId, lane: Lane, packed: &Compressed<Segment>) -> Result<VerifiedSegment, Refusal> {
        let malformed = |why: String| Refusal::Malformed { origin, seq: lane.expected().next, why };
        let segment = packed.unpack(SEGMENT_PLAIN_BYTES_MAX).map_err(|error| malformed(error.to_string()))?;
        if segment.origin() != origin {
            return Err(malformed(format!("it holds a segment of origin {}", segment.origin())));
        }
        // BEFORE verifying: what follows a refused segment is turned away cheaply.
        if segment.head.head.epoch == lane.expected().epoch && segment.first > lane.expected().next {
            return Err(Refusal::Gap { origin, wanted: lane.expected().next, given: segment.first });
        }
        ReceivedSegment::new(segment).verify(&self.register, self.site, self.level())
    }

    pub(super) fn transfer_start_received(&mut self, id: FrameId, start: TransferStart, clock: SiteTime) {
        let origin = start.origin;
        let Some(lane) = self.admit(id, origin, 0) else { return };
        let refused = |why: &str| Err(Refusal::Transfer { origin, why: why.into() });
        let (carrier, silent_ms) = (self.child.site, self.config.transfer_silent_ms);
        // A stream is judged by its author alone, but a transfer costs this site as much as the origin is large: who may carry it counts.
        let led = [self.site, carrier].into_iter().try_for_each(|site| check_path(origin, site, &self.register));
        let judged = match &start {
            _ if led.is_err() => led,
            _ if start.kept_after > STREAM_SEQ_MAX => refused("it starts beyond any stream"),
            _ if (Cursor { epoch: start.epoch, ..lane.adopted() }).forks_from(&lane.adopted()) => {
                Err(Refusal::OtherEpoch { origin, ours: lane.adopted().epoch, theirs: start.epoch })
            }
            // Nobody may start one without need.
            _ if lane.adopted().next > start.kept_after => refused("the batches that are kept go on from what this site holds"),
            _ => Ok(()),
        };
        match judged {
            Err(refusal) => self.refuse(id, origin, refusal),
            Ok(()) => self.propose(id, origin, 0, None, Command::BeginTransfer { site_time: clock, carrier, silent_ms, start }),
        }
    }

    pub(super) fn piece_received(
        &mut self,
        id: FrameId,
        origin: OriginId,
        generation: Generation,
        packed: &Compressed<TransferPiece>,
        clock: SiteTime,
    ) {
        if self.admit(id, origin, packed.plain_bytes).is_none() {
            return;
        }
        match self.judge_piece(origin, packed) {
            Err(refusal) => self.refuse_bytes(id, origin, refusal, &packed.zstd),
            Ok(verified) => {
                let bytes = usize::try_from(packed.plain_bytes).unwrap_or(PIECE_PLAIN_BYTES_MAX);
                let carrier = self.child.site;
                let command = Command::AdoptPiece { site_time: clock, carrier, generation, piece: verified.into_piece() };
                self.propose(id, origin, bytes, None, command);
            }
        }
    }

    fn judge_piece(&self, origin: OriginId, packed: &Compressed<TransferPiece>) -> Result<VerifiedPiece, Refusal> {
        let refused = |why: String| Refusal::Transfer { origin, why };
        let piece = packed.unpack(PIECE_PLAIN_BYTES_MAX).map_err(|error| refused(error.to_string()))?;
        if piece.origin != origin {
            return Err(refused(format!("it holds a piece of origin {}", piece.origin)));
        }
        ReceivedPiece::new(piece).verify(&self.register, self.site, self.level())
    }

    /// The level at which both ends of the link work.
    fn level(&self) -> Level {
        match &self.state {
            State::Open(open) => open.level,
            _ => Level::FOUNDING,
        }
    }

    /// Lets a frame in: its number is new, the cursor of its stream was requested, and there is room. Otherwise it is answered here.
    fn admit(&mut self, id: FrameId, origin: OriginId, plain_bytes: u32) -> Option<Lane> {
        let config = self.config;
        let open = self.open()?;
        let last_id = std::mem::replace(&mut open.last_id, id);
        let lane = open.lanes.get(&origin).copied();
        // BEFORE unpacking: a full queue must not cost memory.
        let plain_bytes = usize::try_from(plain_bytes).unwrap_or(usize::MAX);
        let full = !open.proposals.has_room(plain_bytes, &config);
        if id <= last_id {
            self.peer_misbehaved(ProtocolViolation::FrameIdNotRising { id, last: last_id });
            return None;
        }
        let Some(lane) = lane else {
            self.peer_misbehaved(ProtocolViolation::CursorNotRequested { origin });
            return None;
        };
        if full {
            self.busy(id, origin, config.busy_retry_ms);
            return None;
        }
        Some(lane)
    }

    fn propose(&mut self, id: FrameId, origin: OriginId, bytes: usize, end: Option<Cursor>, command: Command) {
        let Some(open) = self.open() else { return };
        open.proposals.insert(id, origin, bytes, end);
        self.actions.push_back(IntakeAction::Propose { id, command });
    }

    /// Refuses bytes, and keeps them when nobody honest sends such.
    fn refuse_bytes(&mut self, id: FrameId, origin: OriginId, refusal: Refusal, zstd: &Blob) {
        let dishonest = refusal_fault(&refusal) == Fault::PeerMisbehaved;
        if dishonest && self.evidence_kept < self.config.evidence_max && self.alarmed.get(&origin) != Some(&refusal) {
            self.evidence_kept += 1;
            let evidence = RefusedBytes { carrier: self.child.site, origin, refusal: refusal.clone(), zstd: zstd.clone() };
            self.actions.push_back(IntakeAction::KeepEvidence(evidence));
        }
        self.refuse(id, origin, refusal);
    }

    pub(super) fn open(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            _ => None,
        }
    }
}
