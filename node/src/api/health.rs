//! Whether a node is healthy, or the first thing that is wrong.

use kho_messages::{Argument, Arguments, Reportable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AlarmKind, Finding, Reason};

/// Whether a node is healthy, or the first thing that is wrong. Never healthy while a checkpoint does not move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Health {
    Healthy,
    /// The site has no register yet.
    NoRegister,
    /// This node is no member of its site any more, by the log of node `by`.
    Removed {
        by: u64,
    },
    /// This node has a vote, but its signing key is not in the register, or was revoked: it never leads.
    KeyNotInRegister,
    NoLeader,
    /// The leader reaches this node, but this node does not reach the leader at its address: nothing can be entered or read through it.
    LeaderUnreachable {
        leader: u64,
        address: String,
        silent_seconds: u64,
    },
    /// This node leads, but no majority has answered for so long.
    NoMajority {
        silent_ms: u64,
    },
    /// This site signs no newer head of an origin that it authors.
    HeadsStill {
        origin: u32,
        age_seconds: u64,
    },
    /// The parent acknowledges nothing more of a stream.
    ParentCursorStill {
        origin: u32,
        lag_batches: u64,
        lag_seconds: u64,
    },
    UplinkDown {
        failure: Reason,
    },
    /// What the data themselves say.
    FindingStands {
        finding: Finding,
    },
    /// The most severe alarm.
    AlarmRaised {
        alarm: AlarmKind,
    },
}

impl Health {
    pub fn is_healthy(&self) -> bool {
        *self == Self::Healthy
    }
}

impl Reportable for Health {
    fn subject(&self) -> &'static str {
        "health"
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::NoRegister => "no_register",
            Self::Removed { .. } => "removed",
            Self::KeyNotInRegister => "key_not_in_register",
            Self::NoLeader => "no_leader",
            Self::LeaderUnreachable { .. } => "leader_unreachable",
            Self::NoMajority { .. } => "no_majority",
            Self::HeadsStill { .. } => "heads_still",
            Self::ParentCursorStill { .. } => "parent_cursor_still",
            Self::UplinkDown { .. } => "uplink_down",
            Self::FindingStands { .. } => "finding_stands",
            Self::AlarmRaised { .. } => "alarm_raised",
        }
    }

    fn arguments(&self) -> Arguments {
        match self {
            Self::Healthy | Self::NoRegister | Self::KeyNotInRegister | Self::NoLeader => vec![],
            Self::Removed { by } => vec![("by", Argument::name(by))],
            Self::LeaderUnreachable { leader, address, silent_seconds } => {
                vec![("leader", Argument::name(leader)), ("address", Argument::name(address)), ("silent_seconds", (*silent_seconds).into())]
            }
            Self::NoMajority { silent_ms } => vec![("silent_seconds", (silent_ms / 1_000).into())],
            Self::HeadsStill { origin, age_seconds } => {
                vec![("origin", Argument::name(origin)), ("age_seconds", (*age_seconds).into())]
            }
            Self::ParentCursorStill { origin, lag_batches, lag_seconds } => {
                vec![("origin", Argument::name(origin)), ("lag_batches", (*lag_batches).into()), ("lag_seconds", (*lag_seconds).into())]
            }
            Self::UplinkDown { failure } => vec![("failure", failure.to_argument())],
            Self::FindingStands { finding } => vec![("finding", finding.to_message().into())],
            Self::AlarmRaised { alarm } => vec![("alarm", alarm.to_message().into())],
        }
    }
}
