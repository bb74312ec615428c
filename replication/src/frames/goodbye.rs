//! Why one side ends the connection, as it says so itself.

use kho_storage::ids::SiteId;
use serde::{Deserialize, Serialize};

use super::{values::VersionRange, violation::ProtocolViolation};

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
    #[error("no common protocol version: here {min} to {max}; upgrade the older node", min = .0.min, max = .0.max)]
    Version(VersionRange),
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
}

impl Goodbye {
    /// The stable code of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::NoLongerLeader => "no_longer_leader",
            Self::NoLeader => "no_leader",
            Self::Busy { .. } => "busy",
            Self::Version(_) => "no_common_version",
            Self::NotParent { .. } => "not_parent",
            Self::PeerMisbehaved(_) => "peer_misbehaved",
            Self::IdleTimeout => "idle_timeout",
            Self::PreferredParentBack => "preferred_parent_back",
            Self::Elsewhere => "continues_elsewhere",
        }
    }
}
