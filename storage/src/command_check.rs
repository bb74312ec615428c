//! What is checked of a command before it enters a site's log. What stands in the log is applied by every node of the site, now and after
//! every restart: a command that can't be read, or that would stop whoever applies it, would stop them all for ever.
//!
//! Invariant: what passes here is applied without a fault of the program, whoever made it; a refusal that depends on state is an
//! [`Outcome`](crate::command::Outcome) (test `a_command_that_would_stop_whoever_applies_it_is_refused_before_it_enters_the_log`).

use serde::{Deserialize, Serialize};

use crate::{
    checks,
    codec::{self, CodecError},
    command::{Command, EvidenceReview, WriteRequest},
    ids::StreamSeq,
    stream::{BATCH_BYTES_MAX, BATCH_CHANGES_MAX, REQUEST_KEY_BYTES_MAX, SEGMENT_BYTES_MAX, Segment},
    warehouse::EVIDENCE_MAX,
};

/// More than what a request's mark takes in a batch, beside the request's key.
const MARK_BYTES: usize = 40;

/// Why a command may not enter the log. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CommandFault {
    #[error("it can't be read: {0}; the nodes of the site may run versions of Kho that do not fit together")]
    Unreadable(String),
    #[error("only the leader itself notes this: it may not be proposed")]
    NotProposable,
    #[error("a node notes this of itself alone, not of another node")]
    OfAnotherNode,
    #[error("{what} takes {size}, at most {max} are taken")]
    TooLarge { what: String, size: usize, max: usize },
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// A head over what the leader does not hold, or holds otherwise.
    #[error("the head does not say what the leader itself computed at that place")]
    HeadDiffers,
}

impl From<CodecError> for CommandFault {
    fn from(error: CodecError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// The longest text of a review: 200 characters of any script.
const REVIEW_TEXT_BYTES_MAX: usize = 800;

/// What the lists of a command may take in memory beyond its bytes: changes are at most [`BATCH_CHANGES_MAX`].
const LISTS_MEMORY_BYTES_MAX: usize = 32 << 20;

/// Reads a command that came from elsewhere.
///
/// # Errors
/// [`CommandFault::Unreadable`].
pub fn read_command(bytes: &[u8]) -> Result<Command, CommandFault> {
    Ok(codec::decode_within(bytes, bytes.len() + LISTS_MEMORY_BYTES_MAX)?)
}

/// Checks the form of a command, without any state.
///
/// # Errors
/// [`CommandFault`]; whoever made the command is at fault.
pub fn check_form(command: &Command) -> Result<(), CommandFault> {
    match command {
        Command::Write { requests, .. } => check_write(requests),
        Command::AdoptSegment { segment, .. } => check_segment(segment),
        Command::AdoptPiece { piece, .. } => {
            check_seq(piece.read_at, "the state of the piece")?;
            checks::check_piece(piece).map_err(CommandFault::Malformed)
        }
        Command::BeginTransfer { start, .. } => check_seq(start.kept_after, "the start of the transfer"),
        Command::CommitHead { signed } | Command::NoteSetBack { signed, .. } => check_seq(signed.head.seq, "the head"),
        Command::RecordParent { cursors, .. } => cursors.iter().try_for_each(|cursor| check_seq(cursor.next, "a parent's cursor")),
        Command::ReviewEvidence { review, .. } => check_review(review),
        Command::AdoptRegister { .. }
        | Command::Trim { .. }
        | Command::AbandonTransfer { .. }
        | Command::ResumeOrigin { .. }
        | Command::DiscardOrigin { .. }
        | Command::ConfirmTime { .. }
        | Command::NoteTurnedBack { .. }
        | Command::NoteDiverged { .. }
        | Command::RaiseLevel { .. }
        | Command::NoteTest { .. } => Ok(()),
    }
}

/// The next batch's number must exist.
fn check_seq(seq: StreamSeq, what: &str) -> Result<(), CommandFault> {
    if seq.0 < u64::MAX { Ok(()) } else { Err(CommandFault::Malformed(format!("{what} lies behind every batch that can be"))) }
}

/// Reviews are kept for good, so each is short.
fn check_review(review: &EvidenceReview) -> Result<(), CommandFault> {
    let within = |what: &str, size: usize, max: usize| {
        if size <= max { Ok(()) } else { Err(CommandFault::TooLarge { what: what.into(), size, max }) }
    };
    within("the reviewer's identity", review.by.len(), REVIEW_TEXT_BYTES_MAX)?;
    within("the reason of a review", review.reason.len(), REVIEW_TEXT_BYTES_MAX)?;
    within("a review's number of pieces", review.pieces.len(), EVIDENCE_MAX)
}

fn check_write(requests: &[WriteRequest]) -> Result<(), CommandFault> {
    let within = |what: &str, size: usize, max: usize| {
        if size <= max { Ok(()) } else { Err(CommandFault::TooLarge { what: what.into(), size, max }) }
    };
    let changes = || requests.iter().flat_map(|request| &request.changes);
    within("a batch's number of changes", changes().count(), BATCH_CHANGES_MAX)?;
    let bytes = requests.iter().map(|request| MARK_BYTES + request.key.len()).chain(changes().map(|change| change.bytes())).sum();
    within("a batch", bytes, BATCH_BYTES_MAX)?;
    for request in requests {
        within("a request key", request.key.len(), REQUEST_KEY_BYTES_MAX)?;
        let ascending = request.needs.windows(2).all(|pair| pair[0].change < pair[1].change);
        let last = request.needs.last().map_or(0, |need| need.change as usize + 1);
        if !ascending || last > request.changes.len() {
            return Err(CommandFault::Malformed("what its changes ask of their rows does not fit the changes".into()));
        }
    }
    changes().try_for_each(|change| checks::check_change(change).map_err(|error| CommandFault::Malformed(error.to_string())))
}

fn check_segment(segment: &Segment) -> Result<(), CommandFault> {
    check_seq(segment.head.head.seq, "the head")?;
    let end = segment.first.0.checked_add(segment.batches.len() as u64);
    if segment.first.0 == 0 || end != Some(segment.head.head.seq.0 + 1) {
        return Err(CommandFault::Malformed("the batches of the segment do not end at its head".into()));
    }
    if segment.bytes() > SEGMENT_BYTES_MAX {
        return Err(CommandFault::TooLarge { what: "a segment".into(), size: segment.bytes(), max: SEGMENT_BYTES_MAX });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::Blob,
        command::{ParentCursor, RowNeed, TransferStart},
        ids::{ColumnId, Epoch, Hash32, NodeId, OriginId, SiteId, SiteTime, TableId},
        row::RowBuilder,
        schema::Value,
        signature::{SignatureAlgorithm, SigningKey},
        stream::{Change, Head, RowChange, SignedHead},
    };

    const ORIGIN: OriginId = OriginId(7);

    fn change(key: &[u8]) -> Change {
        let mut cells = RowBuilder::default();
        cells.push(ColumnId(3), &Value::Code(0));
        Change { table: TableId(1), key: Blob(key.to_vec()), row: RowChange::Whole(Blob(cells.finish())) }
    }

    fn write(changes: Vec<Change>) -> WriteRequest {
        WriteRequest { key: "one".into(), body_hash: Hash32::ZERO, changes, needs: vec![] }
    }

    fn command(request: WriteRequest) -> Command {
        Command::Write { site_time: SiteTime(1), origin: ORIGIN, requests: vec![request] }
    }

    fn head(seq: u64) -> SignedHead {
        let epoch = Epoch::first("vn", ORIGIN);
        let head =
            Head { origin: ORIGIN, epoch, seq: StreamSeq(seq), chain: Hash32::ZERO, digest: Hash32::ZERO, rows: 0, site_time: SiteTime(1) };
        let key = SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        SignedHead::sign(head, SiteId(7), NodeId(1), &key).expect("signs")
    }

    fn segment(first: u64, batches: usize, head_at: u64) -> Command {
        let segment = Segment { first: StreamSeq(first), batches: vec![Blob(vec![1]); batches], head: head(head_at) };
        Command::AdoptSegment { site_time: SiteTime(1), carrier: None, segment }
    }

    fn review(by: &str, reason: &str, pieces: usize) -> Command {
        let (by, reason, pieces) = (by.into(), reason.into(), vec![(StreamSeq(1), 7); pieces]);
        Command::ReviewEvidence { origin: ORIGIN, review: EvidenceReview { reviewed_at: SiteTime(1), by, reason, pieces } }
    }

    #[test]
    fn a_command_that_would_stop_whoever_applies_it_is_refused_before_it_enters_the_log() {
        for bytes in [&[][..], &[9, 1], &[1, 250, 250], &[1, 0]] {
            assert!(matches!(read_command(bytes), Err(CommandFault::Unreadable(_))), "{bytes:?}");
        }
        let good = command(write(vec![change(b"k")]));
        assert_eq!(read_command(&codec::encode(&good).expect("encodes")), Ok(good.clone()));

        let epoch = Epoch::first("vn", ORIGIN);
        let broken_cells = Change { row: RowChange::Whole(Blob(vec![0xff])), ..change(b"k") };
        let need = |change| RowNeed { change, required: vec![], excluded: vec![] };
        let start = TransferStart { origin: ORIGIN, epoch, kept_after: StreamSeq(u64::MAX), kept_after_chain: Hash32::ZERO };
        let refused = [
            command(write(vec![change(b"")])),
            command(write(vec![broken_cells])),
            command(write(vec![change(b"k"); BATCH_CHANGES_MAX + 1])),
            command(WriteRequest { key: "k".repeat(REQUEST_KEY_BYTES_MAX + 1), ..write(vec![]) }),
            command(WriteRequest { needs: vec![need(1)], ..write(vec![change(b"k")]) }),
            command(WriteRequest { needs: vec![need(1), need(0)], ..write(vec![change(b"k"), change(b"l")]) }),
            review("lan", &"x".repeat(REVIEW_TEXT_BYTES_MAX + 1), 1),
            review(&"x".repeat(REVIEW_TEXT_BYTES_MAX + 1), "a failed disk", 1),
            review("lan", "a failed disk", EVIDENCE_MAX + 1),
            segment(0, 1, 0),
            segment(3, 2, 7),
            segment(u64::MAX, 2, 0),
            Command::CommitHead { signed: head(u64::MAX) },
            Command::BeginTransfer { site_time: SiteTime(1), carrier: SiteId(7), silent_ms: 1, start },
            Command::RecordParent { parent: SiteId(1), cursors: vec![ParentCursor { origin: ORIGIN, epoch, next: StreamSeq(u64::MAX) }] },
        ];
        for command in refused {
            assert!(check_form(&command).is_err(), "{command:?}");
        }
        for taken in [
            good,
            review("lan", &"ạ".repeat(200), EVIDENCE_MAX),
            segment(3, 2, 4),
            segment(5, 0, 4),
            Command::CommitHead { signed: head(0) },
            Command::Trim { keep_bytes: 0 },
        ] {
            assert_eq!(check_form(&taken), Ok(()), "{taken:?}");
        }
    }
}
