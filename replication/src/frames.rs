//! What a child and a parent say to each other, and how it is encoded on the wire.
//!
//! ```text
//! frame on the wire := length (4 bytes, little endian) | body      written and read by the task that owns the connection
//! body              := format byte | bincode of ChildFrame or ParentFrame
//! ```
//! Segments and pieces travel as [`Compressed`], registers on streams of their own (`frames/register.rs`). Variants are only appended, so that an older peer refuses a newer frame
//! instead of misreading it. Each kind of frame exists from one level on; [`Hello`] and [`Welcome`] settle the level at which both ends
//! work, and no frame above it is sent.
//!
//! Invariants: any bytes decode or are refused, never panic (test `any_bytes_are_a_frame_or_refused_without_a_panic`); no frame takes
//! memory out of proportion to what an honest one holds (test `promise_4_a_frame_of_endless_lists_is_refused_before_it_fills_the_memory`).

mod compressed;
mod error;
mod goodbye;
mod refusal;
mod register;
mod values;
mod violation;

use kho_storage::{
    codec,
    command::{ParentCursor, Refusal, TransferPiece, TransferStart, TransferStatus},
    ids::{Epoch, Generation, Hash32, NodeId, OriginId, SiteId, SiteTime, StreamSeq},
    level::{Level, LevelOffer},
    stream::{SEGMENT_BYTES_MAX, Segment, SignedHead},
};
use serde::{Deserialize, Serialize};

pub use self::{
    compressed::Compressed,
    error::FrameCodecError,
    goodbye::Goodbye,
    refusal::{Fault, refusal_fault},
    register::{
        REGISTER_PLAIN_BYTES_MAX, REGISTER_REPLY_BYTES_MAX, REGISTER_REQUEST_BYTES_MAX, RegisterOffer, RegisterReply, RegisterRequest,
    },
    values::{Cursor, FrameId, FrameKind},
    violation::{ProtocolViolation, VIOLATION_DETAIL_CHARS_MAX, ViolationDetail},
};

/// The longest body of a frame from a child: a segment that did not compress at all.
pub const CHILD_FRAME_BYTES_MAX: usize = SEGMENT_PLAIN_BYTES_MAX + (256 << 10);
/// The longest body of a frame from a parent: a welcome with the cursors of [`STREAMS_MAX`] streams.
pub const PARENT_FRAME_BYTES_MAX: usize = 8 << 20;
/// An encoded segment: its batches and what encoding adds to them.
pub const SEGMENT_PLAIN_BYTES_MAX: usize = SEGMENT_BYTES_MAX + (1 << 20);
/// What a sender puts into one piece of a transfer, in bytes of rows.
pub const PIECE_BYTES_MAX: usize = 4 << 20;
/// An encoded piece: its rows and what encoding adds to them.
pub const PIECE_PLAIN_BYTES_MAX: usize = 2 * PIECE_BYTES_MAX;
/// What the lists of a frame take in memory at most, beside the bytes that the frame carries as they came.
const LISTS_MEMORY_BYTES_MAX: usize = 8 << 20;
/// The most streams that one Hello names; a tree has some 11,000 sites.
pub const STREAMS_MAX: usize = 65_536;
/// The most heads that a parent shows a child of the child's own origins; a site authors one, or a few that it inherited.
pub const HEADS_MAX: usize = 64;
/// The most registers that a parent offers at once: those that changed who signs registers, and the newest.
pub const REGISTER_OFFERS_MAX: usize = 64;
/// The most addresses that a redirection names.
pub const ADDRESSES_MAX: usize = 16;

/// A stream as a child holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHeld {
    pub origin: OriginId,
    pub epoch: Epoch,
    pub next: StreamSeq,
    /// First batch still kept; equals `next` when none is.
    pub oldest_kept: StreamSeq,
}

/// How a child opens a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub levels: LevelOffer,
    pub site: SiteId,
    pub node: NodeId,
    /// 0 when the child has no register yet.
    pub register_version: u64,
    /// The hash of that register's text; zero without one. A parent that holds another of the same version sends its own.
    pub register_hash: Hash32,
    pub streams: Vec<StreamHeld>,
}

/// What a child says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildFrame {
    Hello(Hello),
    /// Requests the parent's cursors of streams that the child holds only now, or requests again. Answered by [`ParentFrame::Cursors`].
    Streams(Vec<StreamHeld>),
    Segment {
        id: FrameId,
        origin: OriginId,
        segment: Compressed<Segment>,
    },
    TransferStart {
        id: FrameId,
        start: TransferStart,
    },
    Piece {
        id: FrameId,
        origin: OriginId,
        /// The parent's name for the transfer: what it builds, as its last answer said.
        generation: Generation,
        piece: Compressed<TransferPiece>,
    },
    Goodbye(Goodbye),
    /// What the child's machine's clock shows. For the task that owns the connection ([`crate::site_clock`]); the intake ignores it.
    Clock(SiteTime),
    /// Says nothing. It exists from [`Level::TEST`] on: by it tests see that no frame is sent above the level of a link.
    TestLevel,
}

/// What a parent says. Every frame of a child that bears an id gets exactly one of `Adopted`, `TransferWants`, `Refused`, `Busy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParentFrame {
    Welcome(Welcome),
    /// Another node of the site leads; it answers at these addresses. The connection ends.
    Redirect {
        addresses: Vec<String>,
    },
    /// Where the parent's site stands with streams whose cursors the child requested.
    Cursors {
        cursors: Vec<ParentCursor>,
        transfers: Vec<TransferStatus>,
        /// Its newest heads of those that the child itself authors.
        heads: Vec<SignedHead>,
    },
    /// Committed by the parent's site: the stream stands at this cursor.
    Adopted {
        id: FrameId,
        cursor: ParentCursor,
    },
    /// Committed by the parent's site: the transfer stands here.
    TransferWants {
        id: FrameId,
        status: TransferStatus,
    },
    /// Nothing changed but perhaps evidence. Without an id it concerns the stream as a whole.
    Refused {
        id: Option<FrameId>,
        origin: OriginId,
        refusal: Refusal,
    },
    /// The parent can't take the frame now; nothing is known of its outcome, and sending it again does no harm.
    Busy {
        id: FrameId,
        retry_after_ms: u32,
    },
    /// Newer registers, in the order in which they have to be adopted. The child fetches them by [`RegisterRequest`].
    Registers(Vec<RegisterOffer>),
    Goodbye(Goodbye),
    /// What the parent's machine's clock shows. For the task that owns the connection ([`crate::site_clock`]); the uplink ignores it.
    Clock(SiteTime),
}

/// How a parent answers a Hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub levels: LevelOffer,
    /// The level at which both ends work on this link.
    pub level: Level,
    pub site: SiteId,
    /// When the child's is older: those that it lacks, of those that changed who signs registers and the newest, in order. The welcome
    /// only names them, so that it is quick on any link. At most [`REGISTER_OFFERS_MAX`].
    pub registers: Vec<RegisterOffer>,
    /// Where the parent's site stands with each stream of the Hello that its register knows.
    pub cursors: Vec<ParentCursor>,
    /// Whole-origin transfers under way.
    pub transfers: Vec<TransferStatus>,
    /// The parent's newest heads of the origins that the child authors, whether the Hello named them or not: what a child whose disks
    /// came back older, or empty, has to know before anything else. At most [`HEADS_MAX`].
    pub heads: Vec<SignedHead>,
    /// Plain bytes that the child may have unanswered at a time.
    pub in_flight_bytes_max: u32,
}

impl ChildFrame {
    /// The frame's body.
    ///
    /// # Errors
    /// [`FrameCodecError`] when it is longer than [`CHILD_FRAME_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameCodecError> {
        bounded(codec::encode(self)?, CHILD_FRAME_BYTES_MAX)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`FrameCodecError`]; the child is at fault.
    pub fn decode(body: &[u8]) -> Result<Self, FrameCodecError> {
        check_length(body.len(), CHILD_FRAME_BYTES_MAX)?;
        let frame = codec::decode_within(body, body.len() + LISTS_MEMORY_BYTES_MAX)?;
        match &frame {
            Self::Hello(Hello { streams, .. }) | Self::Streams(streams) => check_number("streams", streams.len(), STREAMS_MAX)?,
            _ => {}
        }
        Ok(frame)
    }

    /// The level from which this kind of frame exists.
    pub fn level(&self) -> Level {
        match self {
            Self::Hello(_)
            | Self::Streams(_)
            | Self::Segment { .. }
            | Self::TransferStart { .. }
            | Self::Piece { .. }
            | Self::Goodbye(_)
            | Self::Clock(_) => Level::FOUNDING,
            Self::TestLevel => Level::TEST,
        }
    }

    /// The frame's kind, for traces and logs.
    pub fn kind(&self) -> FrameKind {
        match self {
            Self::Hello(_) => FrameKind::Hello,
            Self::Streams(_) => FrameKind::Streams,
            Self::Segment { .. } => FrameKind::Segment,
            Self::TransferStart { .. } => FrameKind::TransferStart,
            Self::Piece { .. } => FrameKind::Piece,
            Self::Goodbye(_) => FrameKind::Goodbye,
            Self::Clock(_) => FrameKind::Clock,
            Self::TestLevel => FrameKind::TestLevel,
        }
    }
}

impl ParentFrame {
    /// The frame's body.
    ///
    /// # Errors
    /// [`FrameCodecError`] when it is longer than [`PARENT_FRAME_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameCodecError> {
        bounded(codec::encode(self)?, PARENT_FRAME_BYTES_MAX)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`FrameCodecError`]; the parent is at fault.
    pub fn decode(body: &[u8]) -> Result<Self, FrameCodecError> {
        check_length(body.len(), PARENT_FRAME_BYTES_MAX)?;
        let frame = codec::decode_within(body, body.len() + LISTS_MEMORY_BYTES_MAX)?;
        match &frame {
            Self::Welcome(Welcome { cursors, transfers, heads, .. }) | Self::Cursors { cursors, transfers, heads } => {
                check_number("streams", cursors.len().max(transfers.len()), STREAMS_MAX)?;
                check_number("heads", heads.len(), HEADS_MAX)?;
            }
            Self::Redirect { addresses } => check_number("addresses", addresses.len(), ADDRESSES_MAX)?,
            _ => {}
        }
        if let Self::Welcome(Welcome { registers, .. }) | Self::Registers(registers) = &frame {
            check_number("registers", registers.len(), REGISTER_OFFERS_MAX)?;
        }
        Ok(frame)
    }

    /// The level from which this kind of frame exists.
    pub fn level(&self) -> Level {
        match self {
            Self::Welcome(_)
            | Self::Redirect { .. }
            | Self::Cursors { .. }
            | Self::Adopted { .. }
            | Self::TransferWants { .. }
            | Self::Refused { .. }
            | Self::Busy { .. }
            | Self::Registers(_)
            | Self::Goodbye(_)
            | Self::Clock(_) => Level::FOUNDING,
        }
    }

    /// The frame's kind, for traces and logs.
    pub fn kind(&self) -> FrameKind {
        match self {
            Self::Welcome(_) => FrameKind::Welcome,
            Self::Redirect { .. } => FrameKind::Redirect,
            Self::Cursors { .. } => FrameKind::Cursors,
            Self::Adopted { .. } => FrameKind::Adopted,
            Self::TransferWants { .. } => FrameKind::TransferWants,
            Self::Refused { .. } => FrameKind::Refused,
            Self::Busy { .. } => FrameKind::Busy,
            Self::Registers(_) => FrameKind::Registers,
            Self::Goodbye(_) => FrameKind::Goodbye,
            Self::Clock(_) => FrameKind::Clock,
        }
    }
}

fn check_length(bytes: usize, bytes_max: usize) -> Result<(), FrameCodecError> {
    if bytes > bytes_max { Err(FrameCodecError::TooLong { bytes, bytes_max }) } else { Ok(()) }
}

fn bounded(body: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, FrameCodecError> {
    check_length(body.len(), bytes_max).map(|()| body)
}

fn check_number(what: &'static str, given: usize, given_max: usize) -> Result<(), FrameCodecError> {
    if given > given_max { Err(FrameCodecError::TooMany { what, given, given_max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
