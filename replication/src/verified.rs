//! From received to verified: the types carry the proof that nothing was taken on trust.
//!
//! ```text
//! ReceivedSegment ──verify(register)─────────▶ VerifiedSegment ──▶ Command::AdoptSegment ──apply──▶ chain, digest
//! ReceivedPiece   ──verify(register)─────────▶ VerifiedPiece   ──▶ Command::AdoptPiece
//! ```
//! What is checked here needs no state: author, the site's place above it and pinned key by the register, the head's signature, numbering,
//! sizes, the form of every row, and that no column lies above the level at which the bytes came. What is not: whether the chain goes on
//! from what the holder has, and the digest; apply does both. A piece bears no signature at all: the digest of the head that ends its
//! transfer decides.
//!
//! Invariant: whoever carried it, a segment is judged by its origin's author alone
//! (test `promise_4_the_carrier_is_nobody_and_the_author_is_everything`).

use kho_storage::{
    checks::{check_author, check_batch_level, check_change, check_path, check_piece, check_piece_level},
    command::{PieceRow, Refusal, TransferPiece},
    ids::{SiteId, StreamSeq},
    level::Level,
    register::VerifiedRegister,
    stream::{
        BATCH_BYTES_MAX, BATCH_CHANGES_MAX, Batch, BatchBody, Change, EpochBase, REQUEST_KEY_BYTES_MAX, RequestMark, SEGMENT_BYTES_MAX,
        Segment,
    },
};

use crate::frames::PIECE_PLAIN_BYTES_MAX;

/// No stream gets this far; whoever says so wants a sum to overflow.
pub const STREAM_SEQ_MAX: StreamSeq = StreamSeq(1 << 62);

/// A segment as it came, from a child or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedSegment(Segment);

/// A segment whose author, signature, numbering, sizes and rows were checked. Only [`ReceivedSegment::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSegment(Segment);

/// A piece of a transfer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPiece(TransferPiece);

/// A piece whose form was checked; its truth is decided by the digest of the head that ends the transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPiece(TransferPiece);

impl ReceivedSegment {
    pub fn new(segment: Segment) -> Self {
        Self(segment)
    }

    /// Checks everything that needs no state, for adoption at `site`. `level` is that of the link over which it came, or for a file that of
    /// the site.
    ///
    /// # Errors
    /// [`Refusal`] with the first thing that is wrong; [`crate::frames::refusal_fault`] says whose fault it is.
    pub fn verify(self, register: &VerifiedRegister, site: SiteId, level: Level) -> Result<VerifiedSegment, Refusal> {
        let segment = &self.0;
        check_path(segment.origin(), site, register)?;
        // BEFORE the signature: sizes and numbers are cheap to refuse, and later sums rely on them.
        check_numbers(segment)?;
        check_author(&segment.head, register)?;
        for (place, bytes) in (segment.first.0..).zip(&segment.batches) {
            check_batch(segment, StreamSeq(place), level, bytes)?;
        }
        Ok(VerifiedSegment(self.0))
    }
}

impl VerifiedSegment {
    pub fn segment(&self) -> &Segment {
        &self.0
    }

    pub fn into_segment(self) -> Segment {
        self.0
    }
}

impl ReceivedPiece {
    pub fn new(piece: TransferPiece) -> Self {
        Self(piece)
    }

    /// Checks that the register leads the origin through `site`, that rows are well formed, in order and inside the piece's range, and that
    /// no column lies above the `level` of the link.
    ///
    /// # Errors
    /// [`Refusal`] with the first thing that is wrong.
    pub fn verify(self, register: &VerifiedRegister, site: SiteId, level: Level) -> Result<VerifiedPiece, Refusal> {
        let piece = &self.0;
        check_path(piece.origin, site, register)?;
        let refused = |why: String| Refusal::Transfer { origin: piece.origin, why };
        let bytes: usize = piece.rows.iter().map(row_bytes).sum();
        if bytes > PIECE_PLAIN_BYTES_MAX {
            return Err(refused(format!("the piece has {bytes} bytes of rows, at most {PIECE_PLAIN_BYTES_MAX} are taken")));
        }
        if piece.read_at > STREAM_SEQ_MAX {
            return Err(refused(format!("the piece was read at {}, beyond any stream", piece.read_at)));
        }
        check_piece(piece).map_err(refused)?;
        check_piece_level(piece, level)?;
        Ok(VerifiedPiece(self.0))
    }
}

impl VerifiedPiece {
    pub fn into_piece(self) -> TransferPiece {
        self.0
    }
}

fn row_bytes(row: &PieceRow) -> usize {
    row.key.len() + row.cells.len()
}

fn check_numbers(segment: &Segment) -> Result<(), Refusal> {
    let head = &segment.head.head;
    let refused = |why: String| Err(Refusal::Malformed { origin: head.origin, seq: head.seq, why });
    if head.seq > STREAM_SEQ_MAX || segment.first.0 == 0 || segment.first > STREAM_SEQ_MAX {
        return refused(format!("a segment can't start at {} and end at {}", segment.first, head.seq));
    }
    if segment.first.0 + segment.batches.len() as u64 != head.seq.0 + 1 {
        return refused(format!("{} batches from {} on do not end at the head", segment.batches.len(), segment.first));
    }
    if segment.bytes() > SEGMENT_BYTES_MAX {
        return refused(format!("the segment has {} bytes, at most {SEGMENT_BYTES_MAX} are taken", segment.bytes()));
    }
    if let Some(batch) = segment.batches.iter().find(|batch| batch.len() > BATCH_BYTES_MAX) {
        return refused(format!("a batch has {} bytes, at most {BATCH_BYTES_MAX} are taken", batch.len()));
    }
    Ok(())
}

fn check_batch(segment: &Segment, seq: StreamSeq, level: Level, bytes: &[u8]) -> Result<(), Refusal> {
    let head = &segment.head.head;
    let refused = |why: String| Refusal::Malformed { origin: head.origin, seq, why };
    let batch = Batch::decode_received(bytes).map_err(|e| refused(e.to_string()))?;
    if (batch.origin, batch.epoch, batch.seq) != (head.origin, head.epoch, seq) {
        return Err(refused(format!("it calls itself batch {} of origin {} in epoch {}", batch.seq, batch.origin, batch.epoch)));
    }
    match &batch.body {
        BatchBody::Rows { requests, changes } => check_rows(requests, changes),
        BatchBody::EpochOpened { base } => check_base(&batch, base),
    }
    .map_err(refused)?;
    check_batch_level(&batch, level)
}

fn check_rows(requests: &[RequestMark], changes: &[Change]) -> Result<(), String> {
    if changes.len() > BATCH_CHANGES_MAX {
        return Err(format!("it has {} changes, at most {BATCH_CHANGES_MAX} are taken", changes.len()));
    }
    if let Some(mark) = requests.iter().find(|mark| mark.key.len() > REQUEST_KEY_BYTES_MAX) {
        return Err(format!("a request key has {} bytes, at most {REQUEST_KEY_BYTES_MAX} are taken", mark.key.len()));
    }
    for (index, change) in changes.iter().enumerate() {
        check_change(change).map_err(|e| format!("change {index}: {e}"))?;
    }
    Ok(())
}

fn check_base(batch: &Batch, base: &EpochBase) -> Result<(), String> {
    if base.seq >= STREAM_SEQ_MAX || base.seq.next() != batch.seq || base.epoch.number >= batch.epoch.number {
        return Err(format!("it opens epoch {} on batch {} of epoch {}", batch.epoch, base.seq, base.epoch));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
