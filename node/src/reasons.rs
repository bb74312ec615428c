//! Reasons of the warehouse and of the protocol between tiers, as status and alarms carry them.

use kho_messages::{Argument, Arguments};
use kho_replication::{
    frames::ProtocolViolation,
    uplink::{LinkFailure, ParkReason, RestartCause},
};
use kho_storage::{
    command::Refusal,
    ids::{OriginId, StreamSeq},
    warehouse::StoppedOrigin,
};

use crate::api::Reason;

fn at(origin: OriginId, seq: StreamSeq) -> Arguments {
    vec![("origin", Argument::name(origin)), ("seq", Argument::name(seq))]
}

/// Why a command was refused.
pub fn refusal(refusal: &Refusal) -> Reason {
    let of = |origin: &OriginId| vec![("origin", Argument::name(origin))];
    let (code, arguments) = match refusal {
        Refusal::UnknownOrigin(origin) => ("unknown_origin", of(origin)),
        Refusal::OtherEpoch { origin, .. } => ("other_epoch", of(origin)),
        Refusal::Gap { origin, wanted, given } => {
            ("gap", vec![("origin", Argument::name(origin)), ("wanted", Argument::name(wanted)), ("given", Argument::name(given))])
        }
        Refusal::BadSignature { origin, seq } => ("bad_signature", at(*origin, *seq)),
        Refusal::BadChain { origin, seq } => ("bad_chain", at(*origin, *seq)),
        Refusal::Forked { origin, seq } => ("forked", at(*origin, *seq)),
        Refusal::DigestMismatch { origin, seq } => ("digest_mismatch", at(*origin, *seq)),
        Refusal::Stopped { origin, seq, .. } => ("stopped", at(*origin, *seq)),
        Refusal::Malformed { origin, seq, .. } => ("malformed", at(*origin, *seq)),
        Refusal::Register(_) => ("register", vec![]),
        Refusal::Transfer { origin, .. } => ("transfer", of(origin)),
        Refusal::NoRegister => ("no_register", vec![]),
    };
    Reason::new("refusal", code, arguments, refusal)
}

/// Why an origin is adopted no more.
pub fn stopped(stopped: &StoppedOrigin) -> Reason {
    Reason::new("stop", stopped.reason.code(), vec![("seq", Argument::name(stopped.seq))], stopped.reason)
}

/// Why a stream does not go to the parent for now.
pub fn park(reason: &ParkReason) -> Reason {
    let arguments = match reason {
        ParkReason::Refused(refused) => return refusal(refused),
        ParkReason::Forked { ours, theirs } => vec![("ours", Argument::name(ours)), ("theirs", Argument::name(theirs))],
        ParkReason::LocalStorage { detail } => vec![("detail", Argument::name(detail))],
        ParkReason::NoCommonCursor(cause) => vec![("cause", restart(cause).to_argument())],
    };
    Reason::new("park", reason.code(), arguments, reason)
}

/// Why a stream had to start again at another cursor.
pub fn restart(cause: &RestartCause) -> Reason {
    match cause {
        RestartCause::WrongPlace(refused) => refusal(refused),
        other => Reason::new("restart", other.code(), vec![], other),
    }
}

/// Why the site refused what was proposed to it, where that is not a [`Refusal`].
pub fn outcome(outcome: &kho_storage::command::Outcome) -> Reason {
    match outcome {
        kho_storage::command::Outcome::Refused(refused) => refusal(refused),
        other => Reason::new("outcome", "other_outcome", vec![], format!("{other:?}")),
    }
}

/// How a peer broke the protocol.
pub fn violation(violation: &ProtocolViolation) -> Reason {
    Reason::new("violation", violation.code(), vec![("detail", Argument::name(violation))], violation)
}

/// Why the last link to the parent ended, or none came about.
pub fn link_failure(failure: &LinkFailure) -> Reason {
    let detail = match failure {
        LinkFailure::DialFailed { detail, .. } | LinkFailure::ConnectionLost { detail } => detail.clone(),
        LinkFailure::EndedByParent { reason } => reason.to_string(),
        LinkFailure::ProtocolBroken { violation } => violation.to_string(),
        LinkFailure::SendStalled | LinkFailure::TimedOut { .. } | LinkFailure::RedirectLoop => String::new(),
    };
    Reason::new("link", failure.code(), vec![("detail", detail.into())], failure)
}
