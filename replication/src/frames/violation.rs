//! How a peer can break the protocol between tiers: what the alarm of one side and the goodbye to the other say.
//!
//! Invariant: what a peer says about a violation stays short and without control characters, for it goes into alarms and logs
//! (test `a_detail_from_a_peer_is_bounded`).

use std::fmt;

use kho_storage::{
    ids::{NodeId, OriginId, SiteId},
    level::Level,
};
use serde::{Deserialize, Serialize};

use super::values::{Cursor, FrameId, FrameKind};

/// The longest detail of a violation, in characters.
pub const VIOLATION_DETAIL_CHARS_MAX: usize = 200;

/// What a peer did that the protocol does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ProtocolViolation {
    #[error("it calls itself node {claimed_node} of site {claimed_site}, but its certificate names node {node} of site {site}")]
    IdentityMismatch { claimed_site: SiteId, claimed_node: NodeId, site: SiteId, node: NodeId },
    #[error("it welcomes as site {site} at level {level}")]
    WelcomeMismatch { site: SiteId, level: Level },
    #[error("it sent {frame} out of turn")]
    FrameOutOfTurn { frame: FrameKind },
    #[error("it sent {frame}, which does not exist at level {level}, at which both ends work")]
    FrameAboveLevel { frame: FrameKind, level: Level },
    #[error("it sent bytes that are not a frame: {detail}")]
    FrameUnreadable { detail: ViolationDetail },
    #[error("it broke the rules of the transport: {detail}")]
    TransportMisused { detail: ViolationDetail },
    #[error("it requests the cursors of more than {streams_max} streams at once")]
    TooManyStreams { streams_max: u32 },
    #[error("it sent frame {id} after {last}")]
    FrameIdNotRising { id: FrameId, last: FrameId },
    #[error("it sent a frame of origin {origin}, whose cursor it never requested")]
    CursorNotRequested { origin: OriginId },
    #[error("it acknowledges {acknowledged} of origin {origin}, this site holds {held}")]
    OtherHistoryAcknowledged { origin: OriginId, acknowledged: Cursor, held: Cursor },
    #[error("it answers {id} of origin {origin} with another origin")]
    AnswerOfOtherOrigin { id: FrameId, origin: OriginId },
    #[error("it answers {id}, which awaits no answer")]
    AnswerNotAwaited { id: FrameId },
}

impl ProtocolViolation {
    /// The stable code of the violation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::IdentityMismatch { .. } => "identity_mismatch",
            Self::WelcomeMismatch { .. } => "welcome_mismatch",
            Self::FrameOutOfTurn { .. } => "frame_out_of_turn",
            Self::FrameAboveLevel { .. } => "frame_above_level",
            Self::FrameUnreadable { .. } => "frame_unreadable",
            Self::TransportMisused { .. } => "transport_misused",
            Self::TooManyStreams { .. } => "too_many_streams",
            Self::FrameIdNotRising { .. } => "frame_id_not_rising",
            Self::CursorNotRequested { .. } => "cursor_not_requested",
            Self::OtherHistoryAcknowledged { .. } => "other_history_acknowledged",
            Self::AnswerOfOtherOrigin { .. } => "answer_of_other_origin",
            Self::AnswerNotAwaited { .. } => "answer_not_awaited",
        }
    }
}

/// A short text without control characters: what a decoder or the transport found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ViolationDetail(#[serde(deserialize_with = "shortened")] String);

impl ViolationDetail {
    /// The text as far as it is kept.
    pub fn new(text: &str) -> Self {
        let kept = text.chars().take(VIOLATION_DETAIL_CHARS_MAX);
        Self(kept.map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect())
    }
}

impl fmt::Display for ViolationDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn shortened<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| ViolationDetail::new(&text).0)
}

#[cfg(test)]
mod tests {
    use kho_storage::codec;

    use super::*;

    #[test]
    fn a_detail_from_a_peer_is_bounded() {
        let long = "\u{1b}[31m".to_owned() + &"x".repeat(10_000);
        let sent = codec::encode(&long).expect("a text");
        let received: ViolationDetail = codec::decode(&sent).expect("a text");
        assert_eq!(received.0.chars().count(), VIOLATION_DETAIL_CHARS_MAX);
        assert!(received.0.starts_with("\u{fffd}[31mx"), "{received}");
        let own = ViolationDetail::new("it ends in the middle");
        assert_eq!(codec::decode::<ViolationDetail>(&codec::encode(&own).expect("a text")), Ok(own));
    }
}
