//! What is to be done: the uplink's actions, and the alarms among them.

use std::sync::Arc;

use kho_storage::{
    command::{ParentCursor, Refusal, RowPlace},
    ids::{Epoch, OriginId, SiteId},
    register::SignedRegister,
    stream::SignedHead,
};

use super::{
    failure::LinkFailure,
    input::{LinkId, LoadId},
    park::RestartCause,
};
use crate::frames::{ChildFrame, Cursor, Goodbye, ProtocolViolation, RegisterOffer};

/// What is to be done. Actions are carried out in order; loads and records may run side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UplinkAction {
    /// Open a connection; the certificate at the other end must be of a node of `site`.
    Dial {
        link: LinkId,
        site: SiteId,
        addresses: Vec<String>,
    },
    /// Say goodbye and close. No [`super::UplinkInput::LinkLost`] needs to follow.
    Disconnect {
        link: LinkId,
        reason: Goodbye,
    },
    SendFrame {
        link: LinkId,
        frame: ChildFrame,
    },
    /// Read a segment that starts at (or before) `from` and ends in a head, with about `bytes_max` bytes of batches: the newest
    /// head that fits, else the first after `from`. At the end of the stream: the newest head without batches. When the
    /// epoch is closed and `from` is the base's next batch: from the next epoch.
    LoadSegment {
        load: LoadId,
        origin: OriginId,
        from: Cursor,
        bytes_max: usize,
    },
    LoadTransferStart {
        load: LoadId,
        origin: OriginId,
    },
    /// Read the origin's rows from `from` on, with about `bytes_max` bytes.
    LoadPiece {
        load: LoadId,
        origin: OriginId,
        epoch: Epoch,
        from: RowPlace,
        bytes_max: usize,
    },
    /// Propose to this site what the parent acknowledged. A cursor may be lower than one recorded before.
    RecordParent {
        parent: SiteId,
        cursors: Vec<ParentCursor>,
    },
    /// Fetch a register that the parent offered, on a stream of its own: however long it takes, as long as bytes arrive. One at a time.
    /// Answered by [`super::UplinkInput::RegisterFetched`].
    FetchRegister {
        link: LinkId,
        offer: RegisterOffer,
    },
    /// Judge the register and propose it to this site. The next one is fetched after [`super::UplinkInput::RegisterSettled`].
    AdoptRegister(Arc<SignedRegister>),
    /// Compare the head of this site's own that `parent` holds with what this site holds. When it stands further, or elsewhere, note in
    /// this site that it was set back.
    CompareHead {
        parent: SiteId,
        head: SignedHead,
    },
    /// Find out whether `site` answers, with a connection that carries nothing.
    Probe {
        site: SiteId,
        addresses: Vec<String>,
    },
    RaiseAlarm(UplinkAlarm),
}

/// What an operator must know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UplinkAlarm {
    #[error("parent {parent} broke the protocol ({violation}); the link was ended. Check the parent with `kho status`")]
    PeerMisbehaved { parent: SiteId, violation: ProtocolViolation },
    #[error("parent {parent} refuses origin {origin}: {refusal}")]
    StreamRefused { parent: SiteId, origin: OriginId, refusal: Refusal },
    #[error("parent {parent} and this site find no cursor from which origin {origin} can go on: {cause}")]
    NoCommonCursor { parent: SiteId, origin: OriginId, cause: RestartCause },
    #[error(
        "parent {parent} stands at {now} of origin {origin}, it acknowledged {before} before: it was restored to an older state; everything since is sent again"
    )]
    ParentWentBack { parent: SiteId, origin: OriginId, before: Cursor, now: Cursor },
    #[error(
        "parent {parent} stands at {claimed} of this site's own origin {origin}, but the site only at {held}: the site was set back: entry is closed; see `kho fork list` for what to do"
    )]
    SiteBehindParent { parent: SiteId, origin: OriginId, held: Cursor, claimed: Cursor },
    #[error("parent {parent} holds epoch {theirs} of origin {origin}, this site epoch {ours}; see `kho fork list`")]
    Forked { parent: SiteId, origin: OriginId, ours: Epoch, theirs: Epoch },
    #[error("no parent of this site answers ({tried} tried, last: {last}); check the link and run `kho status`")]
    NoParentAnswers { tried: usize, last: LinkFailure },
    #[error("origin {origin} can't be read for the parent: {detail}; run `kho verify`")]
    LocalStorage { origin: OriginId, detail: String },
}

impl UplinkAlarm {
    /// The stable code of the alarm's kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PeerMisbehaved { .. } => "parent_misbehaved",
            Self::StreamRefused { .. } => "parent_refused_stream",
            Self::NoCommonCursor { .. } => "no_common_cursor",
            Self::ParentWentBack { .. } => "parent_went_back",
            Self::SiteBehindParent { .. } => "site_behind_parent",
            Self::Forked { .. } => "parent_forked",
            Self::NoParentAnswers { .. } => "no_parent_answers",
            Self::LocalStorage { .. } => "stream_unreadable",
        }
    }
}
