//! How far a site and its children are with an upgrade.

use kho_messages::{Argument, Arguments, Reportable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Levels that a build supports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SupportedLevels {
    pub min: u16,
    pub max: u16,
}

/// How far a site, its parent and its children are with an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeReport {
    pub site: u32,
    pub site_name: String,
    /// The node that answers.
    pub node: u64,
    /// The level at which the site works.
    pub level: u16,
    /// The highest level that anybody who was asked supports: the one that all should come to.
    pub wanted: u16,
    /// `host:port` of the leader's HTTPS listener, when another node answers: parent and children are known to the leader alone.
    pub leader_https: Option<String>,
    pub members: Vec<MemberUpgrade>,
    /// Absent at a root, and while no link to the parent stands.
    pub parent: Option<ParentUpgrade>,
    pub children: Vec<ChildUpgrade>,
    /// Everything that stands between the site and its children and the level wanted.
    pub held_back: Vec<HeldBack>,
    /// The newest note of a test of levels.
    pub test_note: Option<String>,
}

/// A node of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberUpgrade {
    pub node: u64,
    pub voter: bool,
    /// Absent when the node did not answer.
    pub supported: Option<SupportedLevels>,
    /// Version, and commit where the build knows it: `0.1.0+1d210c1f`. Absent when the node did not say.
    pub build: Option<String>,
}

/// The parent's node at the other end of the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParentUpgrade {
    pub site: u32,
    pub level: u16,
    pub supported: SupportedLevels,
    pub build: String,
}

/// A child by the register, and what its newest greeting said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChildUpgrade {
    pub site: u32,
    pub name: String,
    /// Absent when the child has not greeted the answering node since that started.
    pub level: Option<u16>,
    /// Of the child's leader at its newest greeting.
    pub supported: Option<SupportedLevels>,
    pub build: Option<String>,
}

/// What stands between a site or its children and the level wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum HeldBack {
    /// A node of the site runs a build that does not support the level wanted.
    NodeOlder { node: u64, supported: String, wanted: u16 },
    /// A node of the site did not say what it supports.
    NodeSilent { node: u64, error: String },
    /// The site has to wait for its parent.
    ParentLower { parent: u32, level: u16, wanted: u16 },
    /// Nothing stands in the way but the order.
    SiteNotRaised { site: u32, level: u16, wanted: u16 },
    /// A child's leader runs a build that does not support the level wanted.
    ChildOlder { site: u32, name: String, supported: String, wanted: u16 },
    /// A child works at a lower level than this site, though its leader's build supports more.
    ChildNotRaised { site: u32, name: String, level: u16, wanted: u16 },
    /// A child has not said anything yet.
    ChildSilent { site: u32, name: String },
}

impl Reportable for HeldBack {
    fn subject(&self) -> &'static str {
        "held"
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NodeOlder { .. } => "node_older",
            Self::NodeSilent { .. } => "node_silent",
            Self::ParentLower { .. } => "parent_lower",
            Self::SiteNotRaised { .. } => "site_not_raised",
            Self::ChildOlder { .. } => "child_older",
            Self::ChildNotRaised { .. } => "child_not_raised",
            Self::ChildSilent { .. } => "child_silent",
        }
    }

    fn arguments(&self) -> Arguments {
        let name = |value: &dyn std::fmt::Display| Argument::name(value);
        match self {
            Self::NodeOlder { node, supported, wanted } => {
                vec![("node", name(node)), ("supported", name(supported)), ("wanted", name(wanted))]
            }
            Self::NodeSilent { node, error } => vec![("node", name(node)), ("error", name(error))],
            Self::ParentLower { parent, level, wanted } => {
                vec![("parent", name(parent)), ("level", name(level)), ("wanted", name(wanted))]
            }
            Self::SiteNotRaised { site, level, wanted } => vec![("site", name(site)), ("level", name(level)), ("wanted", name(wanted))],
            Self::ChildOlder { site, name: called, supported, wanted } => {
                vec![("site", name(site)), ("name", name(called)), ("supported", name(supported)), ("wanted", name(wanted))]
            }
            Self::ChildNotRaised { site, name: called, level, wanted } => {
                vec![("site", name(site)), ("name", name(called)), ("level", name(level)), ("wanted", name(wanted))]
            }
            Self::ChildSilent { site, name: called } => vec![("site", name(site)), ("name", name(called))],
        }
    }
}
