//! Why one side ends the connection, as it says so itself.

use kho_storage::{
    ids::SiteId,
    level::{Level, LevelOffer},
};
use serde::{Deserialize, Serialize};

use super::violation::ProtocolViolation;

/// Why one side ends the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Goodbye {
    #[error("the node stops")]
    Stopping,
    #[error("the node no longer leads its site")]
    NoLongerLeader,
    #[error("the site has no leader at the moment")]
    NoLeader,
    #[error("the site has too much to do; come back in {retry_after_ms} ms")]
    Busy { retry_after_ms: u32 },
    #[error(
        "no level in common: the site that refuses works at level {} and its build supports {}, the other at level {} and its build supports {}; install a newer Kho on the older side, see `kho upgrade status`",
        .here.level, .here.supported, .there.level, .there.supported
    )]
    NoCommonLevel { here: LevelOffer, there: LevelOffer },
    #[error(
        "by the register, version {register_version}, site {parent} is not a parent of site {child}; correct the register with `kho register issue`"
    )]
    NotParent { parent: SiteId, child: SiteId, register_version: u64 },
    #[error("the peer broke the protocol: {0}")]
    PeerMisbehaved(ProtocolViolation),
    #[error("the peer sent nothing within the timeout")]
    IdleTimeout,
    #[error("a parent that comes earlier in the register answers again")]
    PreferredParentBack,
    #[error("the child continues at another node")]
    Elsewhere,
    #[error("the site works at level {level} now; the link is opened again")]
    LevelRaised { level: Level },
}

impl Goodbye {
    /// The stable code of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::NoLongerLeader => "no_longer_leader",
            Self::NoLeader => "no_leader",
            Self::Busy { .. } => "busy",
            Self::NoCommonLevel { .. } => "no_common_level",
            Self::NotParent { .. } => "not_parent",
            Self::PeerMisbehaved(_) => "peer_misbehaved",
            Self::IdleTimeout => "idle_timeout",
            Self::PreferredParentBack => "preferred_parent_back",
            Self::Elsewhere => "continues_elsewhere",
            Self::LevelRaised { .. } => "level_raised",
        }
    }
}
