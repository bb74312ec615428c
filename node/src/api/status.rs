//! The status report: how a node and its site are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Alarm, Finding, Health, ParkedStream, Role, StreamState, UplinkState};

/// How a node and its site are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusReport {
    pub tree: String,
    pub site: u32,
    pub site_name: String,
    pub tier: String,
    pub node: u64,
    pub version: String,
    /// Whether the node is healthy, or the first thing that is wrong.
    pub health: Health,
    /// What stands in the data and calls for an operator.
    pub findings: Vec<Finding>,
    /// What happened and is not over, the most severe first.
    pub alarms: Vec<Alarm>,
    pub now: String,
    pub register_version: u64,
    pub consensus: ConsensusReport,
    pub streams: Vec<StreamReport>,
    pub uplink: UplinkReport,
    pub children: Vec<ChildStatus>,
    pub disk: DiskStatus,
}

/// The inside of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsensusReport {
    pub role: Role,
    /// The leader that this node hears.
    pub leader: Option<u64>,
    pub term: u64,
    pub last_log: u64,
    pub applied: u64,
    pub snapshot: u64,
    /// Milliseconds since a majority answered; known at the leader only.
    pub since_quorum_ms: Option<u64>,
    pub nodes: Vec<NodeStatus>,
}

/// A node of the site, as the answering node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    pub node: u64,
    pub voter: bool,
    pub quic_address: String,
    pub https_address: String,
    /// Entries behind the leader; known at the leader only, and only of a node that answers.
    pub lag_entries: Option<u64>,
    /// Seconds since the node answered last, when it does not answer the answering node.
    pub silent_seconds: Option<u64>,
}

/// One stream as this site holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamReport {
    pub origin: u32,
    pub author: u32,
    pub author_name: String,
    pub state: StreamState,
    pub epoch: String,
    /// Last batch held.
    pub seq: u64,
    pub rows: u64,
    pub digest: String,
    /// Complete up to this time.
    pub watermark: String,
    pub watermark_age_seconds: u64,
    /// Batches held here that the active parent has not acknowledged; absent at the root.
    pub lag_batches: Option<u64>,
    /// Seconds since the newest head that the active parent acknowledged, when there are such batches.
    pub lag_seconds: Option<u64>,
    pub kept_batches: u64,
    pub kept_bytes: u64,
}

/// This site's link to its parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UplinkReport {
    pub state: UplinkState,
    pub parent: Option<u32>,
    /// Whether the connected parent is a stand-in.
    pub stand_in: bool,
    /// Streams that do not go up for now.
    pub parked: Vec<ParkedStream>,
}

/// A child that is or was connected to the answering node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChildStatus {
    pub site: u32,
    pub name: String,
    pub node: u64,
    pub connected: bool,
    pub last_heard: String,
}

/// Space of the answering node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskStatus {
    pub free_bytes: u64,
    pub total_bytes: u64,
    /// Bytes by key space, roughly.
    pub spaces: BTreeMap<String, u64>,
    pub log_bytes: u64,
}
