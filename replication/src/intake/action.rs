//! What is to be done: the intake's actions, and the alarms among them.

use kho_storage::{
    codec::Blob,
    command::{Command, Refusal},
    ids::{Hash32, OriginId, SiteId},
};

use crate::frames::{Cursor, FrameId, Goodbye, ParentFrame, ProtocolViolation};

/// What is to be done, in order. Proposals of one origin must reach the site's log in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntakeAction {
    /// Apply a read index, then read the cursors of `origins`, and the newest heads of `authored`: origins that the child authors. One
    /// read is under way at a time.
    ReadCursors {
        origins: Vec<OriginId>,
        authored: Vec<OriginId>,
    },
    Propose {
        id: FrameId,
        command: Command,
    },
    SendFrame(ParentFrame),
    /// Close once everything sent is out.
    Close {
        reason: Goodbye,
    },
    KeepEvidence(RefusedBytes),
    RaiseAlarm(IntakeAlarm),
    /// The child, on this connection, has come to where this site stands with an origin of the child's own.
    ChildCaughtUp {
        origin: OriginId,
    },
}

/// Bytes that nobody honest sends, as they came: evidence against who sent or signed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedBytes {
    pub carrier: SiteId,
    pub origin: OriginId,
    pub refusal: Refusal,
    /// The segment or piece as it stood on the wire: zstd, of unknown content.
    pub zstd: Blob,
}

/// What an operator must know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeAlarm {
    #[error("site {carrier} broke the protocol ({violation}); its connection was closed. Check the site with `kho status`")]
    PeerMisbehaved { carrier: SiteId, violation: ProtocolViolation },
    #[error("a segment of origin {origin}, carried by site {carrier}, was refused: {refusal}")]
    StreamRefused { carrier: SiteId, origin: OriginId, refusal: Refusal },
    #[error("this site decided on frame {id} of site {carrier} with an outcome that does not belong to it; report this defect")]
    OutcomeOutOfPlace { carrier: SiteId, id: FrameId },
    #[error(
        "site {child} stands at {held} of its own origin {origin}, or in another history of it, and this site at {here}: that site was set back, or runs twice; nothing of it is taken until that is resolved there"
    )]
    ChildSetBack { child: SiteId, origin: OriginId, held: Cursor, here: Cursor },
    #[error("site {child} says that it holds another register of version {version}: of hash {held}, here {here}")]
    RegisterDiffers { child: SiteId, version: u64, held: Hash32, here: Hash32 },
}

impl IntakeAlarm {
    /// The stable code of the alarm's kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PeerMisbehaved { .. } => "child_misbehaved",
            Self::StreamRefused { .. } => "child_stream_refused",
            Self::OutcomeOutOfPlace { .. } => "outcome_out_of_place",
            Self::ChildSetBack { .. } => "child_set_back",
            Self::RegisterDiffers { .. } => "child_register_differs",
        }
    }
}
