//! What a child and a parent say to each other, and how it stands on the wire.
//!
//! ```text
//! frame on the wire := length (4 bytes, little endian) | body      written and read by the task that owns the connection
//! body              := format byte | bincode of ChildFrame or ParentFrame
//! ```
//! Segments and pieces travel as [`Compressed`]. Variants are only appended, so that an older peer refuses a newer frame
//! instead of misreading it; what both speak is settled by the version range in [`Hello`].
//!
//! Invariant: any bytes decode or are refused, never panic (test `any_bytes_are_a_frame_or_refused_without_a_panic`).

mod compressed;
mod refusal;

use kho_storage::{
    codec::{self, CodecError},
    command::{ParentCursor, Refusal, TransferPiece, TransferStart, TransferStatus},
    ids::{Epoch, NodeId, OriginId, SiteId, StreamSeq},
    register::{REGISTER_BYTES_MAX, SignedRegister},
    stream::{SEGMENT_BYTES_MAX, Segment},
};
use serde::{Deserialize, Serialize};

pub use self::{
    compressed::Compressed,
    refusal::{Fault, refusal_fault},
};

/// Versions of this protocol that the build speaks.
pub const PROTOCOL_VERSIONS: VersionRange = VersionRange { min: 1, max: 1 };
/// The longest body of a frame from a child: a segment that did not compress at all.
pub const CHILD_FRAME_BYTES_MAX: usize = SEGMENT_PLAIN_BYTES_MAX + (256 << 10);
/// The longest body of a frame from a parent: a register.
pub const PARENT_FRAME_BYTES_MAX: usize = REGISTER_BYTES_MAX + (1 << 20);
/// An encoded segment: its batches and what encoding adds to them.
pub const SEGMENT_PLAIN_BYTES_MAX: usize = SEGMENT_BYTES_MAX + (1 << 20);
/// What a sender puts into one piece of a transfer, in bytes of rows.
pub const PIECE_BYTES_MAX: usize = 4 << 20;
/// An encoded piece: its rows and what encoding adds to them.
pub const PIECE_PLAIN_BYTES_MAX: usize = 2 * PIECE_BYTES_MAX;
/// The most streams that one Hello names; a tree has some 11,000 sites.
pub const STREAMS_MAX: usize = 65_536;
/// The most addresses that a redirection names.
pub const ADDRESSES_MAX: usize = 16;

/// Why a frame was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the frame is {bytes} bytes long, at most {bytes_max} are read")]
    TooLong { bytes: usize, bytes_max: usize },
    #[error("the frame unfolds to {bytes} bytes, at most {bytes_max} are taken")]
    PlainTooLong { bytes: u64, bytes_max: usize },
    #[error("the frame declares {declared} plain bytes but holds {}", if *found_longer { "more" } else { "fewer" })]
    PlainLength { declared: u32, found_longer: bool },
    #[error("the frame's compressed part can't be read: {0}")]
    Compression(String),
    #[error("the frame names {given} {what}, at most {given_max} are read")]
    TooMany { what: &'static str, given: usize, given_max: usize },
    #[error("the frame can't be read: {0}")]
    Codec(#[from] CodecError),
}

/// The number under which a child's frame is answered. Counts up from 1 within a connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FrameId(pub u64);

impl std::fmt::Display for FrameId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Versions from `min` to `max`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    pub min: u16,
    pub max: u16,
}

impl VersionRange {
    /// The highest version that both speak.
    pub fn highest_shared(self, other: Self) -> Option<u16> {
        let version = self.max.min(other.max);
        (version >= self.min && version >= other.min).then_some(version)
    }
}

/// A place in a stream: the first batch not yet held. Ordered by epoch, then sequence.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor {
    pub epoch: Epoch,
    pub next: StreamSeq,
}

impl Cursor {
    pub fn of(parent: &ParentCursor) -> Self {
        Self { epoch: parent.epoch, next: parent.next }
    }

    /// The cursor with its origin, as it travels and is recorded.
    pub fn for_origin(self, origin: OriginId) -> ParentCursor {
        ParentCursor { origin, epoch: self.epoch, next: self.next }
    }

    /// Whether both name the same epoch number but different epochs: two histories of one origin.
    pub fn forks_from(&self, other: &Cursor) -> bool {
        self.epoch.number == other.epoch.number && self.epoch.id != other.epoch.id
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.epoch.number, self.next)
    }
}

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
    pub versions: VersionRange,
    pub site: SiteId,
    pub node: NodeId,
    /// 0 when the child has no register yet.
    pub register_version: u64,
    pub streams: Vec<StreamHeld>,
}

/// What a child says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildFrame {
    Hello(Hello),
    /// Streams that the child holds only now, or asks about again. Answered by [`ParentFrame::Cursors`].
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
        piece: Compressed<TransferPiece>,
    },
    Goodbye(Goodbye),
}

/// What a parent says. Every frame of a child that bears an id gets exactly one of `Adopted`, `TransferWants`, `Refused`, `Busy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParentFrame {
    Welcome(Welcome),
    /// Another node of the site leads; it answers at these addresses. The connection ends.
    Redirect {
        addresses: Vec<String>,
    },
    /// Where the parent's site stands with streams that the child asked about.
    Cursors {
        cursors: Vec<ParentCursor>,
        transfers: Vec<TransferStatus>,
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
    /// A newer register.
    Register(SignedRegister),
    Goodbye(Goodbye),
}

/// How a parent answers a Hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub version: u16,
    pub site: SiteId,
    /// Set when the child's is older.
    pub register: Option<SignedRegister>,
    /// Where the parent's site stands with each stream of the Hello that its register knows.
    pub cursors: Vec<ParentCursor>,
    /// Whole-origin transfers under way.
    pub transfers: Vec<TransferStatus>,
    /// Plain bytes that the child may have unanswered at a time.
    pub in_flight_bytes_max: u32,
}

/// Why one side ends the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Goodbye {
    #[error("the node stops")]
    Stopping,
    #[error("the node no longer leads its site")]
    NoLongerLeader,
    #[error("the site has no leader at the moment")]
    NoLeader,
    #[error("the site has too much to do; come back in {retry_after_ms} ms")]
    Busy { retry_after_ms: u32 },
    #[error("no common protocol version: here {min} to {max}; upgrade the older node", min = .0.min, max = .0.max)]
    Version(VersionRange),
    #[error(
        "by the register, version {register_version}, site {parent} is no parent of site {child}; correct the register with `kho register issue`"
    )]
    NotParent { parent: SiteId, child: SiteId, register_version: u64 },
    #[error("the peer broke the protocol: {0}")]
    PeerMisbehaved(String),
    #[error("nothing was heard for too long")]
    IdleTimeout,
    #[error("a parent that comes earlier in the register answers again")]
    PreferredParentBack,
    #[error("the child goes on at another node")]
    Elsewhere,
}

impl ChildFrame {
    /// The frame's body.
    ///
    /// # Errors
    /// [`FrameError`] when it is longer than [`CHILD_FRAME_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        bounded(codec::encode(self)?, CHILD_FRAME_BYTES_MAX)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`FrameError`]; the child is at fault.
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        check_length(body.len(), CHILD_FRAME_BYTES_MAX)?;
        let frame = codec::decode(body)?;
        match &frame {
            Self::Hello(Hello { streams, .. }) | Self::Streams(streams) => check_number("streams", streams.len(), STREAMS_MAX)?,
            _ => {}
        }
        Ok(frame)
    }

    /// The frame's name, for traces and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::Streams(_) => "Streams",
            Self::Segment { .. } => "Segment",
            Self::TransferStart { .. } => "TransferStart",
            Self::Piece { .. } => "Piece",
            Self::Goodbye(_) => "Goodbye",
        }
    }
}

impl ParentFrame {
    /// The frame's body.
    ///
    /// # Errors
    /// [`FrameError`] when it is longer than [`PARENT_FRAME_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        bounded(codec::encode(self)?, PARENT_FRAME_BYTES_MAX)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`FrameError`]; the parent is at fault.
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        check_length(body.len(), PARENT_FRAME_BYTES_MAX)?;
        let frame = codec::decode(body)?;
        match &frame {
            Self::Welcome(Welcome { cursors, transfers, .. }) | Self::Cursors { cursors, transfers } => {
                check_number("streams", cursors.len().max(transfers.len()), STREAMS_MAX)?;
            }
            Self::Redirect { addresses } => check_number("addresses", addresses.len(), ADDRESSES_MAX)?,
            _ => {}
        }
        Ok(frame)
    }

    /// The frame's name, for traces and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Welcome(_) => "Welcome",
            Self::Redirect { .. } => "Redirect",
            Self::Cursors { .. } => "Cursors",
            Self::Adopted { .. } => "Adopted",
            Self::TransferWants { .. } => "TransferWants",
            Self::Refused { .. } => "Refused",
            Self::Busy { .. } => "Busy",
            Self::Register(_) => "Register",
            Self::Goodbye(_) => "Goodbye",
        }
    }
}

fn check_length(bytes: usize, bytes_max: usize) -> Result<(), FrameError> {
    if bytes > bytes_max { Err(FrameError::TooLong { bytes, bytes_max }) } else { Ok(()) }
}

fn bounded(body: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, FrameError> {
    check_length(body.len(), bytes_max).map(|()| body)
}

fn check_number(what: &'static str, given: usize, given_max: usize) -> Result<(), FrameError> {
    if given > given_max { Err(FrameError::TooMany { what, given, given_max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
