//! What happened: the uplink's inputs.

use std::sync::Arc;

use kho_storage::{
    command::{ParentCursor, TransferPiece, TransferStart},
    ids::{Epoch, OriginId, SiteId, SiteTime, StreamSeq},
    level::Level,
    register::{SignedRegister, VerifiedRegister},
    stream::{Segment, SignedHead},
};

use super::failure::{LinkFailure, RegisterFetchFailure};
use crate::frames::{Cursor, FrameCodecError, ParentFrame, RegisterOffer, StreamHeld};

/// A connection that the uplink requested. Never reused, so that a late event of an old one is known as such.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// A read that the uplink requested. Never reused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadId(pub u64);

impl std::fmt::Display for LinkId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "link {}", self.0)
    }
}

impl std::fmt::Display for LoadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "load {}", self.0)
    }
}

/// A stream up to its newest committed head: nothing beyond it leaves the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPosition {
    pub origin: OriginId,
    /// The head's epoch.
    pub epoch: Epoch,
    /// First batch that the head does not cover.
    pub next: StreamSeq,
    /// First batch still kept; equals `next` when none is.
    pub oldest_kept: StreamSeq,
    /// The head's time.
    pub head_time: SiteTime,
}

impl StreamPosition {
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, next: self.next }
    }

    pub fn held(&self) -> StreamHeld {
        StreamHeld { origin: self.origin, epoch: self.epoch, next: self.next, oldest_kept: self.oldest_kept }
    }
}

/// Why this site could not load what was requested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadFailure {
    /// Trimmed meanwhile; the parent needs the whole origin.
    #[error("the batches are no longer kept; the oldest is {oldest_kept}")]
    NoLongerKept { oldest_kept: StreamSeq },
    /// The cursor lies in an epoch, or beyond a base, that this site does not have.
    #[error("the site has no such place in the stream")]
    NoSuchPlace,
    #[error("reading failed: {0}")]
    LocalStorage(String),
}

/// What happened.
#[derive(Debug, Clone)]
pub enum UplinkInput {
    /// This node leads its site, and its state is applied up to a read index. `recorded`: the cursors that each parent acknowledged last.
    BecameLeader {
        streams: Vec<StreamPosition>,
        recorded: Vec<(SiteId, Vec<ParentCursor>)>,
    },
    LostLeadership,
    RegisterChanged(Arc<VerifiedRegister>),
    /// This site works at this level now.
    LevelRaised(Level),
    /// A head of an own or adopted stream was committed, or batches were trimmed.
    StreamAdvanced(StreamPosition),
    /// An operator had the origin taken out of this site.
    StreamDiscarded(OriginId),
    LinkOpened {
        link: LinkId,
    },
    /// The connection ended, or never stood.
    LinkLost {
        link: LinkId,
        failure: LinkFailure,
    },
    FrameReceived {
        link: LinkId,
        frame: ParentFrame,
    },
    /// Bytes move over the connection, in either direction, although no frame may be whole yet: a long one, or a slow link.
    LinkMoves {
        link: LinkId,
    },
    /// The bytes are not a frame.
    FrameRefused {
        link: LinkId,
        error: FrameCodecError,
    },
    SegmentLoaded {
        load: LoadId,
        result: Result<Segment, LoadFailure>,
    },
    TransferStartLoaded {
        load: LoadId,
        result: Result<TransferStart, LoadFailure>,
    },
    PieceLoaded {
        load: LoadId,
        result: Result<TransferPiece, LoadFailure>,
    },
    /// This site did not take a record of cursors (no longer leader, or busy).
    RecordFailed {
        parent: SiteId,
        cursors: Vec<ParentCursor>,
    },
    /// The answer to [`super::UplinkAction::FetchRegister`]. Its signatures are not judged yet.
    RegisterFetched {
        link: LinkId,
        offer: RegisterOffer,
        result: Result<Arc<SignedRegister>, RegisterFetchFailure>,
    },
    /// This site did not take the register that was offered to it (no leader, or busy). It is offered again.
    RegisterFailed(Arc<SignedRegister>),
    /// This site took the register that was offered to it, has it already, or refused it. The next one is fetched.
    RegisterSettled(Arc<SignedRegister>),
    /// This site did not take note of a head that the parent showed (no leader, or busy), or could not compare it.
    HeadNotCompared {
        parent: SiteId,
        head: SignedHead,
    },
    /// Whether a parent answered a probe.
    ProbeAnswered {
        site: SiteId,
        reachable: bool,
    },
    Tick,
}
