//! The states of a node, a stream and the link to the parent.

use kho_messages::{Argument, Arguments, Reportable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Reason;

/// What the answering node does inside its site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Leader,
    Follower,
    Candidate,
    /// It takes entries, but has no vote yet.
    Learner,
    /// It has left its site, or has failed.
    Stopped,
}

/// How a stream stands at this site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum StreamState {
    /// This site authors it.
    Own,
    /// It is adopted from a child, or from whoever brings it.
    Following,
    /// The whole origin is being transferred.
    Transferring,
    /// It is adopted no more until an operator looked at it.
    Stopped {
        /// The batch at which it stopped.
        seq: u64,
        reason: Reason,
    },
}

/// How the link to the parent stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum UplinkState {
    /// This site has no parent.
    Root,
    /// The leader of the site keeps the link, and this node does not lead.
    Follower,
    /// The node has just started.
    Starting,
    /// No attempt to reach a parent has failed since the link last stood.
    Connecting,
    Connected,
    /// The last attempt failed, or the last connection ended.
    Down {
        failure: Reason,
    },
}

/// A stream that does not go to the parent for now, while the others do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParkedStream {
    pub origin: u32,
    pub reason: ParkedReason,
}

/// Why a stream does not go to the parent for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ParkedReason {
    /// The parent refuses it, this site can't read it, or the two hold different histories.
    Parked { reason: Reason },
    /// The parent holds more of it than this site.
    ParentAhead { cursor: String },
}

impl StreamState {
    /// Whether the site adopts the stream no more.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped { .. })
    }

    pub fn is_transferring(&self) -> bool {
        *self == Self::Transferring
    }
}

impl UplinkState {
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down { .. })
    }
}

impl Reportable for Role {
    fn subject(&self) -> &'static str {
        "role"
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Stopped => "stopped",
        }
    }

    fn arguments(&self) -> Arguments {
        vec![]
    }
}

impl Reportable for StreamState {
    fn subject(&self) -> &'static str {
        "stream"
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Following => "following",
            Self::Transferring => "transferring",
            Self::Stopped { .. } => "stopped",
        }
    }

    fn arguments(&self) -> Arguments {
        match self {
            Self::Own | Self::Following | Self::Transferring => vec![],
            Self::Stopped { seq, reason } => vec![("seq", Argument::name(seq)), ("reason", reason.to_argument())],
        }
    }
}

impl Reportable for UplinkState {
    fn subject(&self) -> &'static str {
        "uplink"
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Follower => "follower",
            Self::Starting => "starting",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Down { .. } => "down",
        }
    }

    fn arguments(&self) -> Arguments {
        match self {
            Self::Root | Self::Follower | Self::Starting | Self::Connecting | Self::Connected => vec![],
            Self::Down { failure } => vec![("failure", failure.to_argument())],
        }
    }
}

impl Reportable for ParkedStream {
    fn subject(&self) -> &'static str {
        "parked"
    }

    fn code(&self) -> &'static str {
        match self.reason {
            ParkedReason::Parked { .. } => "parked",
            ParkedReason::ParentAhead { .. } => "parent_ahead",
        }
    }

    fn arguments(&self) -> Arguments {
        let origin = ("origin", Argument::name(self.origin));
        match &self.reason {
            ParkedReason::Parked { reason } => vec![origin, ("reason", reason.to_argument())],
            ParkedReason::ParentAhead { cursor } => vec![origin, ("cursor", Argument::name(cursor))],
        }
    }
}
