//! The attacks of a hostile province, and the result that each must have.

use clap::ValueEnum;
use kho_storage::command::Refusal;

use super::Answer;

/// One attack. `kho-hostile-province --help` shows these texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Attack {
    /// Changes a name in a batch that the parent lacks; the head stays the author's
    EditRow,
    /// Takes one change out of a batch
    CutRow,
    /// Adds a person to a batch
    AddRow,
    /// Sends a batch again that the parent holds, with a name changed: the author must not be taken for a forger
    EditHeldRow,
    /// The same in a segment that goes on beyond what the parent holds
    EditHeldRowAndGoOn,
    /// Sends two batches in each other's place
    ReorderBatches,
    /// The same, and numbers them anew
    RenumberBatches,
    /// Leaves a batch out of the middle
    LeaveOutBatch,
    /// Leaves the first batches out that the parent lacks
    SkipBatches,
    /// Serves the head that the parent holds, as if there were nothing newer
    WithholdNewest,
    /// Sends again, unchanged, what the parent already holds
    ReplayOld,
    /// Edits a row and signs the head anew with its own key, as if it were the author
    ResignAsAuthor,
    /// Edits a row and signs the head anew as itself
    ResignAsSelf,
    /// Adds a batch behind the newest and signs a head over it as if it were the author
    InventBatch,
    /// Names an origin that is in no register
    InventOrigin,
    /// Sends a segment of an origin whose cursor it never requested
    SendUnrequested,
    /// Calls the stream another epoch
    ClaimOtherEpoch,
    /// Claims to hold far more than there is
    ClaimCursors,
    /// Transfers the whole origin with a name changed
    TransferEditedRow,
    /// … with a row left out
    TransferMissingRow,
    /// … with a row more
    TransferExtraRow,
    /// … with a row changed that the parent holds: the author must not be taken for a forger
    TransferOtherHistory,
    /// … from a wrong chain hash on
    TransferWrongChain,
    /// … in another epoch
    TransferOtherEpoch,
    /// … that is not needed, because the kept batches continue what the parent holds
    TransferUnneeded,
    /// … with rows in the wrong order
    TransferOutOfOrder,
    /// Sends pieces into the transfer that another carrier began, for each generation that it may build
    ContinueOthersTransfer,
    /// Begins a transfer of its own, from an invented place, while another carrier's is under way
    ReplaceOthersTransfer,
    /// Begins a transfer of an origin and calls it empty, to stand in the way of the stream
    BlockByTransfer,
    /// Sends a segment that decompresses to more than a gigabyte and declares that it is small
    Bomb,
    /// Sends a segment that declares itself larger than any may be
    BombDeclared,
    /// Sends a segment of millions of batches that hold nothing: a few kilobytes, and far more in memory than on the wire
    BombOfNothing,
    /// Sends a frame longer than any may be
    LongFrame,
    /// Announces a frame longer than the transport allows
    EndlessFrame,
    /// Sends bytes that are no frame
    Garbage,
    /// Numbers its frames backwards
    FramesOutOfOrder,
    /// Sends a segment before its Hello
    SpeakBeforeHello,
    /// Claims to be the district itself
    ImpersonateAuthor,
    /// Sends a frame that does not exist at the level of the link
    FrameAboveLevel,
    /// Fills a column in a batch that does not exist at the level of the link
    ColumnAboveLevel,
}

/// How an attack must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Taken, and nothing was new in it.
    NothingNew,
    /// The batches do not lead to the signed head.
    BadChain,
    /// The head is not the author's.
    BadSignature,
    /// The bytes are no segment.
    Malformed,
    /// It starts behind what the parent holds.
    Gap,
    UnknownOrigin,
    OtherEpoch,
    /// The rows of a transfer are not those of the signed head.
    DigestMismatch,
    /// A transfer that does not fit.
    Transfer,
    ColumnAboveLevel,
    /// A transfer was begun; it stands beside the stream and must not hold it up.
    TransferBegun,
    /// Another carrier's transfer is under way: the parent says when to ask again.
    NotItsTurn,
    /// The parent ended the connection, for the protocol was broken.
    Misbehaved,
    /// Anything else. No attack may end so.
    Other,
}

impl Ending {
    /// The ending that the last answer to an attack means.
    pub fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Adopted { moved: false } | Answer::Welcomed => Self::NothingNew,
            Answer::Wants(_) => Self::TransferBegun,
            Answer::Misbehaved(_) => Self::Misbehaved,
            Answer::Busy => Self::NotItsTurn,
            Answer::Refused(refusal) => match refusal {
                Refusal::BadChain { .. } => Self::BadChain,
                Refusal::BadSignature { .. } => Self::BadSignature,
                Refusal::Malformed { .. } => Self::Malformed,
                Refusal::Gap { .. } => Self::Gap,
                Refusal::UnknownOrigin(_) => Self::UnknownOrigin,
                Refusal::OtherEpoch { .. } => Self::OtherEpoch,
                Refusal::DigestMismatch { .. } => Self::DigestMismatch,
                Refusal::Transfer { .. } => Self::Transfer,
                Refusal::ColumnAboveLevel { .. } => Self::ColumnAboveLevel,
                _ => Self::Other,
            },
            Answer::Adopted { moved: true } | Answer::Left(_) => Self::Other,
        }
    }
}

/// Where the parent keeps what it refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing forged was detected, or nothing worth keeping.
    Nowhere,
    /// In the site's state: `kho fork list` shows it.
    InState,
    /// As a file of the node that refused it, before it came to the site's log.
    AsFile,
}

/// Whom the parent's alarm names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarmed {
    Nobody,
    /// The origin; the message names the carrier.
    Origin,
    /// The carrier itself.
    Carrier,
}

impl Attack {
    /// What the parent must answer.
    pub fn ending(self) -> Ending {
        match self {
            Self::WithholdNewest | Self::ReplayOld | Self::ClaimCursors => Ending::NothingNew,
            Self::EditRow
            | Self::CutRow
            | Self::AddRow
            | Self::EditHeldRow
            | Self::EditHeldRowAndGoOn
            | Self::RenumberBatches
            | Self::TransferWrongChain => Ending::BadChain,
            Self::ResignAsAuthor | Self::ResignAsSelf | Self::InventBatch | Self::ClaimOtherEpoch => Ending::BadSignature,
            Self::ReorderBatches | Self::LeaveOutBatch | Self::Bomb | Self::BombDeclared | Self::BombOfNothing => Ending::Malformed,
            Self::SkipBatches => Ending::Gap,
            Self::InventOrigin => Ending::UnknownOrigin,
            Self::TransferOtherEpoch => Ending::OtherEpoch,
            Self::TransferEditedRow | Self::TransferMissingRow | Self::TransferExtraRow | Self::TransferOtherHistory => {
                Ending::DigestMismatch
            }
            Self::TransferUnneeded | Self::TransferOutOfOrder | Self::ContinueOthersTransfer => Ending::Transfer,
            Self::ReplaceOthersTransfer => Ending::NotItsTurn,
            Self::BlockByTransfer => Ending::TransferBegun,
            Self::ColumnAboveLevel => Ending::ColumnAboveLevel,
            Self::SendUnrequested
            | Self::LongFrame
            | Self::EndlessFrame
            | Self::Garbage
            | Self::FramesOutOfOrder
            | Self::SpeakBeforeHello
            | Self::ImpersonateAuthor
            | Self::FrameAboveLevel => Ending::Misbehaved,
        }
    }

    /// Where the parent must keep it.
    pub fn kept(self) -> Kept {
        match self.ending() {
            Ending::BadChain | Ending::DigestMismatch => Kept::InState,
            Ending::BadSignature | Ending::Malformed => Kept::AsFile,
            _ => Kept::Nowhere,
        }
    }

    /// Whom the parent must raise an alarm about.
    pub fn alarmed(self) -> Alarmed {
        match self.ending() {
            Ending::BadChain | Ending::DigestMismatch | Ending::BadSignature | Ending::Malformed | Ending::ColumnAboveLevel => {
                Alarmed::Origin
            }
            Ending::Misbehaved => Alarmed::Carrier,
            _ => Alarmed::Nobody,
        }
    }

    /// The name by which the command line knows it.
    pub fn name(self) -> String {
        self.to_possible_value().expect("no attack is hidden").get_name().to_owned()
    }
}
