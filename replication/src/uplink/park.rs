//! Why a stream does not go on for now: reasons as the status shows them, with stable codes.

use kho_storage::{command::Refusal, ids::Epoch};

/// Why a stream is parked. Other streams go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParkReason {
    /// The parent refused the stream, or a frame of it.
    #[error("{0}")]
    Refused(Refusal),
    #[error("the parent holds epoch {theirs}, this site {ours}; see `kho fork list`")]
    Forked { ours: Epoch, theirs: Epoch },
    #[error("reading failed: {detail}; run `kho verify`")]
    LocalStorage { detail: String },
    #[error("this site and the parent find no cursor from which the stream can go on: {0}")]
    NoCommonCursor(RestartCause),
}

/// Why sending a stream had to start again at another cursor. Too many such restarts in a row park the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestartCause {
    #[error("the parent took less than it was sent")]
    TookLess,
    #[error("the transfer of the whole origin does not advance")]
    TransferStalled,
    #[error("batches were trimmed before the parent had them")]
    Trimmed,
    #[error("this site has no such place in the stream")]
    NoSuchPlace,
    #[error("{0}")]
    WrongPlace(Refusal),
}

impl ParkReason {
    /// Whether two histories met: no retry changes that, only an operator.
    pub(super) fn is_fork(&self) -> bool {
        matches!(self, Self::Refused(Refusal::Forked { .. }))
    }

    /// The stable code of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Forked { .. } => "forked",
            Self::LocalStorage { .. } => "local_storage",
            Self::NoCommonCursor(_) => "no_common_cursor",
        }
    }
}

impl RestartCause {
    /// The stable code of the cause.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TookLess => "took_less",
            Self::TransferStalled => "transfer_stalled",
            Self::Trimmed => "trimmed",
            Self::NoSuchPlace => "no_such_place",
            Self::WrongPlace(_) => "wrong_place",
        }
    }
}
