//! Commands: what a site agrees on, one after another, and what each comes to.
//!
//! Applying a command is deterministic. A refusal that depends only on state is an [`Outcome`]; an error stops the node.

use serde::{Deserialize, Serialize};

use crate::{
    codec::Blob,
    ids::{ColumnId, Epoch, Generation, Hash32, NodeId, OriginId, SiteId, SiteTime, StreamSeq, TableId},
    level::Level,
    register::SignedRegister,
    row::RowCells,
    signature::PublicKey,
    stream::{Change, Segment, SignedHead},
};

/// One agreed command. Variants are only appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Clients' requests, committed as one batch of the site's own origin.
    Write { site_time: SiteTime, origin: OriginId, requests: Vec<WriteRequest> },
    /// A head over own applied state, signed by one of the site's nodes.
    CommitHead { signed: SignedHead },
    /// A verified segment to be adopted, from the child that carried it; from a file without one.
    AdoptSegment { site_time: SiteTime, carrier: Option<SiteId>, segment: Segment },
    /// A newer register. `pinned` is the key of the proposer's configuration: a site that has no register yet believes it.
    AdoptRegister { site_time: SiteTime, pinned: PublicKey, signed: SignedRegister },
    /// What a parent has acknowledged.
    RecordParent { parent: SiteId, cursors: Vec<ParentCursor> },
    /// Forget batches that the parent holds, save the newest `keep_bytes` of each stream.
    Trim { keep_bytes: u64 },
    /// Start a whole-origin transfer: build a new generation from what `carrier` sends. While another carrier's is under way it is
    /// refused, until that one took no step for `silent_ms` of site time.
    BeginTransfer { site_time: SiteTime, carrier: SiteId, silent_ms: u64, start: TransferStart },
    /// A key range of the origin's rows, for the `generation` that the transfer of `carrier` builds.
    AdoptPiece { site_time: SiteTime, carrier: SiteId, generation: Generation, piece: TransferPiece },
    /// Give up a transfer under way; its generation is removed.
    AbandonTransfer { origin: OriginId },
    /// Adopt an origin again that was stopped; an operator looked at the evidence, which stays.
    ResumeOrigin { origin: OriginId },
    /// Take out an origin that the register does not lead through this site; an operator ordered it.
    DiscardOrigin { origin: OriginId },
    /// An operator says that it is `site_time` now. What was stamped beyond it, by a clock that ran ahead, is taken back.
    ConfirmTime { site_time: SiteTime },
    /// A head that a node of this site signed stands further than this site's own stream, or in another history of it: the site's disks
    /// came back older. From here on nothing is entered, until the stream has caught up with that head.
    NoteSetBack { site_time: SiteTime, shown_by: ShownBy, signed: SignedHead },
    /// The disk `disk` of a node of this site no longer holds entries of the site's log that it had acknowledged. No leader builds on it
    /// any more.
    NoteTurnedBack { site_time: SiteTime, node: NodeId, disk: u64 },
    /// The site works at the level `to` from here on, and never below it again. Every member was asked whether it supports it.
    RaiseLevel { to: Level },
    /// A note without a meaning, which exists from [`Level::TEST`] on: by it tests see that levels are kept.
    NoteTest { note: String },
    /// The disk `disk` of a node of this site holds other data than a majority of the site's voters computed. It takes part no more.
    NoteDiverged { site_time: SiteTime, node: NodeId, disk: u64, place: DivergedPlace },
    /// An operator has reviewed the evidence that is kept of an origin. All of it stays; what the review does not name counts as new.
    ReviewEvidence { origin: OriginId, review: EvidenceReview },
}

/// An operator's review of the evidence that is kept of one origin. A later one takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceReview {
    pub reviewed_at: SiteTime,
    /// The identity in the operator's certificate.
    pub by: String,
    pub reason: String,
    /// The pieces that were reviewed: batch of the head, and hash.
    pub pieces: Vec<(StreamSeq, u64)>,
}

/// Where a node computed something else than a majority of its site's voters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DivergedPlace {
    /// Chain, digest or number of rows of an origin after a batch.
    Stream { origin: OriginId, seq: StreamSeq },
    /// What heads do not cover, after an entry of the site's log.
    State { position: u64 },
}

/// Who showed this site a head of its own. The head itself is signed; what the shower acknowledged of this history before is agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShownBy {
    /// A parent or another site.
    Site(SiteId),
    /// Another node of this site.
    Node(NodeId),
    /// A bundle.
    File,
}

impl Command {
    /// The level from which this kind of command, and every column that it brings, exists. A site below it never takes one. The batches
    /// of [`Self::AdoptSegment`] are bytes here: their columns are checked when they are opened to be applied.
    pub fn level(&self) -> Level {
        match self {
            Self::Write { requests, .. } => level_of(requests.iter().flat_map(|request| &request.changes).map(Change::highest_column)),
            Self::AdoptPiece { piece, .. } => level_of(piece.rows.iter().map(PieceRow::highest_column)),
            Self::CommitHead { .. }
            | Self::AdoptSegment { .. }
            | Self::AdoptRegister { .. }
            | Self::RecordParent { .. }
            | Self::Trim { .. }
            | Self::BeginTransfer { .. }
            | Self::AbandonTransfer { .. }
            | Self::ResumeOrigin { .. }
            | Self::DiscardOrigin { .. }
            | Self::ConfirmTime { .. }
            | Self::NoteSetBack { .. }
            | Self::NoteTurnedBack { .. }
            | Self::NoteDiverged { .. }
            | Self::ReviewEvidence { .. }
            | Self::RaiseLevel { .. } => Level::FOUNDING,
            Self::NoteTest { .. } => Level::TEST,
        }
    }

    /// Roughly what the command takes when it is encoded, in bytes; no less than that by much.
    pub fn bytes(&self) -> usize {
        const OTHER: usize = 128;
        let variable = match self {
            Self::Write { requests, .. } => requests.iter().map(WriteRequest::bytes).sum(),
            Self::AdoptSegment { segment, .. } => segment.batches.iter().map(|batch| batch.len() + 8).sum(),
            Self::AdoptPiece { piece, .. } => piece.rows.iter().map(|row| row.key.len() + row.cells.len() + 24).sum(),
            Self::NoteTest { note } => note.len(),
            Self::ReviewEvidence { review, .. } => review.by.len() + review.reason.len() + 20 * review.pieces.len(),
            _ => 0,
        };
        OTHER + variable
    }
}

/// The level of the highest of these columns.
fn level_of(columns: impl Iterator<Item = Option<ColumnId>>) -> Level {
    columns.max().flatten().map_or(Level::FOUNDING, ColumnId::level)
}

/// A client's whole request: taken whole or refused whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteRequest {
    pub key: String,
    pub body_hash: Hash32,
    /// No two of the same table and key.
    pub changes: Vec<Change>,
    /// What some of the changes ask of the rows that they meet; ascending by change.
    pub needs: Vec<RowNeed>,
}

impl WriteRequest {
    /// Roughly what the request takes in a command, in bytes; no less than it takes in a batch.
    pub fn bytes(&self) -> usize {
        const MARK: usize = 64;
        let changes: usize = self.changes.iter().map(Change::bytes).sum();
        let needs: usize = self.needs.iter().map(RowNeed::bytes).sum();
        MARK + self.key.len() + changes + needs
    }
}

/// What a change of some columns asks of the row that it meets, so that a whole row stands afterwards that does not contradict itself.
/// The schema's rules are applied where the request enters. What they come to is committed with it, so that every node decides alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowNeed {
    /// Place of the change in the request.
    pub change: u32,
    /// Columns that every row has and that the change does not name: unless there are none, a row must stand already.
    pub required: Vec<ColumnId>,
    /// Columns that the change does not name and that must be empty in the row that stands, since they do not fit what it sets.
    pub excluded: Vec<ColumnId>,
}

impl RowNeed {
    /// Roughly what the need takes in a command, in bytes.
    pub fn bytes(&self) -> usize {
        11 + 3 * (self.required.len() + self.excluded.len())
    }
}

/// The next batch that a parent wants of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentCursor {
    pub origin: OriginId,
    pub epoch: Epoch,
    pub next: StreamSeq,
}

/// How a transfer starts, as its sender says; the head that ends it decides whether it was true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferStart {
    pub origin: OriginId,
    pub epoch: Epoch,
    /// Batch before the oldest one the sender keeps, and the chain hash there.
    pub kept_after: StreamSeq,
    pub kept_after_chain: Hash32,
}

/// Rows of a key range, read at one state of the sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferPiece {
    pub origin: OriginId,
    pub epoch: Epoch,
    /// Where the range starts: first `(table, key)` it may hold.
    pub from: RowPlace,
    /// Where the next range starts; `None` after the last.
    pub next: Option<RowPlace>,
    /// Last batch applied when the rows were read.
    pub read_at: StreamSeq,
    pub rows: Vec<PieceRow>,
}

/// A place in the order of an origin's rows.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowPlace {
    pub table: TableId,
    pub key: Blob,
}

/// A row with the batch that wrote it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceRow {
    pub table: TableId,
    pub key: Blob,
    pub cells: Blob,
    pub seq: StreamSeq,
    pub time: SiteTime,
}

impl PieceRow {
    /// The column with the highest number that the row has.
    pub fn highest_column(&self) -> Option<ColumnId> {
        RowCells::trusted(&self.cells).highest_column()
    }
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// One per request of [`Command::Write`], in order.
    Written(Vec<WriteOutcome>),
    /// The head stands.
    HeadCommitted,
    /// The stream stands at this cursor now (also when everything was held before).
    Adopted(ParentCursor),
    /// Nothing changed, or only evidence was kept; says why.
    Refused(Refusal),
    RegisterAdopted {
        version: u64,
    },
    Recorded,
    Trimmed {
        batches: u64,
    },
    /// A transfer stands here now.
    Transfer(TransferStatus),
    /// The site works at this level now (also when it did before).
    LevelStands {
        level: Level,
    },
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteOutcome {
    /// Committed in this batch. `repeated`: an earlier request with the same key and body did it.
    Committed { epoch: Epoch, seq: StreamSeq, changes: u32, repeated: bool },
    /// The same request key came with another body before.
    RequestKeyReused { first_body_hash: Hash32, seq: StreamSeq },
    /// Change `index` does not fit the row that it meets; nothing of the request was taken.
    RowRefused { index: u32, why: RowRefusal },
    /// The site does not write this origin (now).
    NotAuthor,
    /// Too much stands without a head; nothing was changed, come back.
    Busy,
    /// The site was set back: what it would write now could not go up. Nothing was changed.
    SetBack,
}

/// Why a change does not fit the row that it meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowRefusal {
    /// It takes away a row that does not exist.
    Missing,
    /// There is no such row yet, and the change does not name these `columns`, which a new row needs.
    Incomplete { table: TableId, columns: Vec<ColumnId> },
    /// It leaves `column` filled as it stands, where it does not fit what the change sets.
    ColumnExcluded { table: TableId, column: ColumnId },
    /// With what it sets, the row would take so many `bytes`, more than any row may.
    TooLong { bytes: u32 },
}

/// Why a command changed nothing. All are decided by state alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("the register does not know origin {0}")]
    UnknownOrigin(OriginId),
    #[error("origin {origin} stands in epoch {ours}, the sender's is {theirs}")]
    OtherEpoch { origin: OriginId, ours: Epoch, theirs: Epoch },
    #[error("origin {origin} lacks batches {wanted} to {given}")]
    Gap { origin: OriginId, wanted: StreamSeq, given: StreamSeq },
    #[error("the head of origin {origin} at {seq} is not signed by a key that the register pins")]
    BadSignature { origin: OriginId, seq: StreamSeq },
    #[error("the batches of origin {origin} do not lead to the chain hash of the head at {seq}")]
    BadChain { origin: OriginId, seq: StreamSeq },
    #[error("two histories of origin {origin} differ at {seq}; the second is kept as evidence: see `kho fork list`")]
    Forked { origin: OriginId, seq: StreamSeq },
    #[error(
        "the rows of origin {origin} at {seq} do not have the digest that the head claims; none of them is taken and the evidence is kept: see `kho fork list` and run `kho verify`"
    )]
    DigestMismatch { origin: OriginId, seq: StreamSeq },
    #[error("origin {origin} was stopped at {seq} ({reason}); run `kho verify`, then `kho origin resume`")]
    Stopped { origin: OriginId, seq: StreamSeq, reason: StopReason },
    #[error("batch {seq} of origin {origin} is malformed: {why}")]
    Malformed { origin: OriginId, seq: StreamSeq, why: String },
    #[error("the register was refused: {0}")]
    Register(String),
    #[error("another register of version {version} stands: it has the hash {held}, the one given {given}")]
    RegisterDoubled { version: u64, held: Hash32, given: Hash32 },
    #[error("the transfer of origin {origin} does not fit: {why}")]
    Transfer { origin: OriginId, why: String },
    #[error("this site has no register yet; give it one with `kho register apply`")]
    NoRegister,
    #[error("the register does not lead the stream of origin {origin} through site {site}: only its author and the sites above it hold it")]
    OffPath { origin: OriginId, site: SiteId },
    #[error("the register leads the stream of origin {origin} through site {site}: it is not taken out there")]
    OnPath { origin: OriginId, site: SiteId },
    #[error(
        "the command, or a column that it names, exists from level {command} on and the site works at level {site}: see `kho upgrade status`, raise the level with `kho upgrade raise`"
    )]
    AboveLevel { command: Level, site: Level },
    #[error("site {carrier} transfers origin {origin} already; another carrier's turn comes when that has ended or fallen silent")]
    TransferTaken { origin: OriginId, carrier: SiteId },
    #[error(
        "batch {seq} of origin {origin} names column {column}, which exists from level {} on, and the site that is to take it works at level {level}: see `kho upgrade status` there, raise its level with `kho upgrade raise`",
        .column.level()
    )]
    ColumnAboveLevel { origin: OriginId, seq: StreamSeq, column: ColumnId, level: Level },
}

impl Refusal {
    /// The stable name of the refusal, for programs and message files.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownOrigin(_) => "unknown_origin",
            Self::OtherEpoch { .. } => "other_epoch",
            Self::Gap { .. } => "gap",
            Self::BadSignature { .. } => "bad_signature",
            Self::BadChain { .. } => "bad_chain",
            Self::Forked { .. } => "forked",
            Self::DigestMismatch { .. } => "digest_mismatch",
            Self::Stopped { .. } => "stopped",
            Self::Malformed { .. } => "malformed",
            Self::Register(_) => "register",
            Self::RegisterDoubled { .. } => "register_doubled",
            Self::Transfer { .. } => "transfer",
            Self::NoRegister => "no_register",
            Self::OffPath { .. } => "off_path",
            Self::OnPath { .. } => "on_path",
            Self::AboveLevel { .. } => "above_level",
            Self::TransferTaken { .. } => "transfer_taken",
            Self::ColumnAboveLevel { .. } => "column_above_level",
        }
    }
}

/// Why an origin is adopted no more. Variants are only appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum StopReason {
    /// The rows do not have the digest of a head that the author signed.
    #[error("digest mismatch")]
    DigestMismatch,
}

impl StopReason {
    pub const ALL: [Self; 1] = [Self::DigestMismatch];

    /// The stable name of the reason, for programs and message files.
    pub fn code(self) -> &'static str {
        match self {
            Self::DigestMismatch => "digest_mismatch",
        }
    }
}

/// Progress of a whole-origin transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferStatus {
    /// The next range wanted, for the generation that the transfer builds.
    WantsPiece { origin: OriginId, epoch: Epoch, generation: Generation, from: RowPlace },
    /// All ranges are here; batches from here on are wanted, up to a head not before `until`.
    WantsBatches { origin: OriginId, epoch: Epoch, next: StreamSeq, until: StreamSeq },
}
