//! Why a link to a parent ended, or never stood: as the status shows it, with a stable code.

use crate::frames::{FrameCodecError, Goodbye, ProtocolViolation};

/// Why a link ended, or never stood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkFailure {
    /// No connection came about.
    #[error("{kind}: {detail}")]
    DialFailed { kind: DialFailure, detail: String },
    #[error("the connection was lost: {detail}")]
    ConnectionLost { detail: String },
    /// Frames pile up that the connection does not take.
    #[error("the connection is gone or does not drain")]
    SendStalled,
    #[error("{waiting_for} did not come in time")]
    TimedOut { waiting_for: LinkWait },
    #[error("the parent ended the connection: {reason}")]
    EndedByParent { reason: Goodbye },
    #[error("the parent broke the protocol: {violation}")]
    ProtocolBroken { violation: ProtocolViolation },
    #[error("the parent's nodes redirect this site to each other")]
    RedirectLoop,
}

/// Why a register that the parent offered did not come. The link goes on, unless the parent is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterFetchFailure {
    /// It has a newer one by now.
    #[error("the parent does not hold it any more")]
    NotHeld,
    /// Nothing came for too long, or the parent ended the stream.
    #[error("{0}")]
    Interrupted(String),
    #[error("{0}")]
    Unreadable(FrameCodecError),
}

/// How dialling failed. Of several attempts the greatest is the one to report: it names what an operator can correct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DialFailure {
    /// Nobody answered.
    Unreachable,
    /// The parent's node answered and did not admit this node: mostly its certificate, or a clock at one end.
    Refused,
    /// Somebody answered who is not a node of the parent.
    WrongPeer,
}

/// What was awaited when time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkWait {
    Connection,
    Welcome,
    Answer,
}

impl LinkFailure {
    /// The failure of a dial, from how each address failed.
    pub fn of_dials(attempts: &[(DialFailure, String)]) -> Self {
        let kind = attempts.iter().map(|(kind, _)| *kind).max().unwrap_or(DialFailure::Unreachable);
        let details: Vec<&str> = attempts.iter().map(|(_, detail)| detail.as_str()).collect();
        Self::DialFailed { kind, detail: details.join("; ") }
    }

    /// The stable code of the failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DialFailed { kind: DialFailure::Unreachable, .. } => "unreachable",
            Self::DialFailed { kind: DialFailure::Refused, .. } => "dial_refused",
            Self::DialFailed { kind: DialFailure::WrongPeer, .. } => "wrong_peer",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::SendStalled => "send_stalled",
            Self::TimedOut { waiting_for: LinkWait::Connection } => "dial_timed_out",
            Self::TimedOut { waiting_for: LinkWait::Welcome } => "welcome_timed_out",
            Self::TimedOut { waiting_for: LinkWait::Answer } => "answer_timed_out",
            Self::EndedByParent { .. } => "ended_by_parent",
            Self::ProtocolBroken { .. } => "protocol_broken",
            Self::RedirectLoop => "redirect_loop",
        }
    }
}

impl std::fmt::Display for DialFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the parent can't be reached",
            Self::Refused => "the parent refused this node",
            Self::WrongPeer => "another than the parent answered",
        })
    }
}

impl std::fmt::Display for LinkWait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connection => "the connection to the parent",
            Self::Welcome => "the parent's welcome",
            Self::Answer => "an answer of the parent",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_dials_the_one_that_an_operator_can_correct_names_the_failure() {
        let attempts = [(DialFailure::Unreachable, "p2:1: no answer".to_owned()), (DialFailure::Refused, "p2:2: expired".to_owned())];
        let failure = LinkFailure::of_dials(&attempts);
        assert_eq!(failure.code(), "dial_refused");
        assert_eq!(failure.to_string(), "the parent refused this node: p2:1: no answer; p2:2: expired");
    }
}
