//! What happened: the intake's inputs.

use std::sync::Arc;

use kho_storage::{
    command::{Outcome, ParentCursor, TransferStatus},
    level::Level,
    register::{RegisterChain, VerifiedRegister},
    stream::SignedHead,
};

use crate::frames::{ChildFrame, FrameCodecError, FrameId};

/// Who leads this site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteLeader {
    /// This node.
    ThisNode,
    /// Another node; it answers at these addresses.
    OtherNode { addresses: Vec<String> },
    /// Nobody, for the moment.
    Unknown,
}

/// Where this site stands with the streams whose cursors were requested, after a read index. A stream it does not hold is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorsHeld {
    pub cursors: Vec<ParentCursor>,
    pub transfers: Vec<TransferStatus>,
    /// Newest heads of the origins that the child authors and of which there is one.
    pub heads: Vec<SignedHead>,
}

/// Why this site did not decide on a proposal or a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposeFailure {
    NotLeader {
        addresses: Vec<String>,
    },
    Busy {
        retry_after_ms: u32,
    },
    /// It may or may not have been committed.
    OutcomeUnknown,
    Stopping,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum IntakeInput {
    FrameReceived(ChildFrame),
    /// Bytes move over the connection, although no frame may be whole yet.
    LinkMoves,
    /// The bytes are not a frame.
    FrameRefused(FrameCodecError),
    /// The child's bytes do not even hold to the transport's rules, as a frame longer than the connection carries; says how.
    TransportMisused(String),
    /// The answer to [`super::IntakeAction::ReadCursors`].
    CursorsRead(Result<CursorsHeld, ProposeFailure>),
    /// The answer to [`super::IntakeAction::Propose`].
    Proposed {
        id: FrameId,
        result: Result<Outcome, ProposeFailure>,
    },
    RegisterChanged {
        register: Arc<VerifiedRegister>,
        chain: Arc<RegisterChain>,
    },
    LeaderChanged(SiteLeader),
    /// This site works at a higher level: the child greets it again.
    LevelRaised(Level),
    Tick,
}
