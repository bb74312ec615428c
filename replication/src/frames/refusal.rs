//! Whose fault a refusal is: that chooses the reaction.

use kho_storage::command::Refusal;

/// Who has to act before the same thing can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Bytes that nobody honest sends: keep evidence and raise an alarm.
    PeerMisbehaved,
    /// The sender stands at another place of the stream: start again from the right one.
    WrongPlace,
    /// Something at the refusing site stands in the way (register, clock, a stopped origin): try again later.
    Refuser,
}

/// Whose fault `refusal` is.
pub fn refusal_fault(refusal: &Refusal) -> Fault {
    match refusal {
        Refusal::BadSignature { .. }
        | Refusal::BadChain { .. }
        | Refusal::Forked { .. }
        | Refusal::DigestMismatch { .. }
        | Refusal::Malformed { .. } => Fault::PeerMisbehaved,
        Refusal::Gap { .. } | Refusal::OtherEpoch { .. } | Refusal::Transfer { .. } => Fault::WrongPlace,
        Refusal::UnknownOrigin(_)
        | Refusal::OffPath { .. }
        | Refusal::OnPath { .. }
        | Refusal::AboveLevel { .. }
        | Refusal::ColumnAboveLevel { .. }
        | Refusal::Stopped { .. }
        | Refusal::TransferTaken { .. }
        | Refusal::Register(_)
        | Refusal::RegisterDoubled { .. }
        | Refusal::NoRegister => Fault::Refuser,
    }
}
