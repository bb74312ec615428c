//! What stands in requests and answers of a node's HTTP interface; shared by `khod`, which answers, and `kho`, which asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Header under which a client names its request, so that a retry is applied once. At most 64 bytes of printable ASCII.
pub const REQUEST_KEY_HEADER: &str = "kho-request-key";

/// A batch was committed: it is on the disks of a majority of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchAccepted {
    pub origin: u32,
    pub epoch: String,
    pub seq: u64,
    /// Rows put or taken away.
    pub rows: u32,
    /// The same request was committed before; nothing was applied again.
    pub repeated: bool,
    pub request_key: String,
}

/// Anything that went wrong, in one shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A stable word that programs may rely on.
    pub code: String,
    pub message: String,
    /// What to do about it.
    pub hint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Rows and columns at fault, for a refused batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RowProblem>,
    /// Errors found beyond those listed.
    #[serde(default)]
    pub more: u32,
}

/// One error of a refused batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowProblem {
    /// Number of the record, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Line of the body, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    pub code: String,
    pub message: String,
    pub hint: String,
}

/// What an answer rests on (promise 9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Completeness {
    /// Sites of the register in the asked area's subtree whose streams are included.
    pub included: u32,
    /// Sites of the register that should be included.
    pub expected: u32,
    /// Every included site is complete up to this time (RFC 3339); absent when one has nothing yet.
    pub complete_up_to: Option<String>,
    /// The site whose newest signed head is oldest.
    pub oldest: Option<SiteAge>,
    /// Sites of which nothing is held, or whose stream is stopped or being rebuilt.
    pub missing: Vec<MissingSite>,
    /// How the answering node read: `linearizable` or `local`.
    pub read: String,
    /// Position of the site's log up to which the answering node had applied.
    pub applied: u64,
    pub answered_by: String,
}

/// How old a site's newest signed head is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteAge {
    pub site: u32,
    pub name: String,
    pub up_to: String,
    pub age_seconds: u64,
}

/// A site that an answer lacks, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingSite {
    pub site: u32,
    pub name: String,
    pub why: String,
}

/// A table of numbers: the answer to an indicator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorAnswer {
    pub indicator: String,
    pub label: String,
    /// Names of the grouping columns, in order.
    pub by: Vec<String>,
    /// Names of the value columns, in order.
    pub values: Vec<String>,
    pub rows: Vec<IndicatorRow>,
    /// Reference date of ages, where ages matter.
    pub at: Option<String>,
    pub completeness: Completeness,
}

/// One line of an indicator's table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorRow {
    /// One text per grouping column.
    pub group: Vec<String>,
    /// One number per value column; absent where it can't be computed (a rate over nobody).
    pub values: Vec<Option<f64>>,
}

/// The answer to a look-up by key: every origin that holds the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowAnswer {
    pub table: String,
    pub key: String,
    pub found: Vec<FoundRow>,
    pub completeness: Completeness,
}

/// A row as one origin holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundRow {
    pub origin: u32,
    pub site_name: String,
    pub seq: u64,
    pub changed_at: String,
    /// Columns by name, as text; columns unknown to this schema by number.
    pub columns: BTreeMap<String, String>,
}

/// How a node and its site are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusReport {
    pub tree: String,
    pub site: u32,
    pub site_name: String,
    pub tier: String,
    pub node: u64,
    pub version: String,
    /// `healthy`, or the first thing that is wrong. Never healthy while a checkpoint does not move.
    pub health: String,
    pub alarms: Vec<Alarm>,
    pub now: String,
    pub register_version: u64,
    pub consensus: ConsensusStatus,
    pub streams: Vec<StreamStatus>,
    pub uplink: UplinkReport,
    pub children: Vec<ChildStatus>,
    pub disk: DiskStatus,
}

/// Something an operator has to know, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    pub code: String,
    pub message: String,
    pub since: String,
}

/// The inside of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsensusStatus {
    pub role: String,
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
    /// Entries behind the leader; known at the leader only.
    pub lag_entries: Option<u64>,
}

/// One stream as this site holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamStatus {
    pub origin: u32,
    pub author: u32,
    pub author_name: String,
    /// `own`, `following`, `transferring` or `stopped: …`.
    pub state: String,
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
    /// `root`, `follower`, `connected`, `connecting`, `down: …`.
    pub state: String,
    pub parent: Option<u32>,
    /// Whether the connected parent is a stand-in.
    pub stand_in: bool,
    pub parked: Vec<String>,
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

/// What stood after a batch, to compare replicas along the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoodAt {
    pub origin: u32,
    pub epoch: String,
    pub seq: u64,
    pub chain: String,
    pub digest: String,
    pub rows: u64,
}

/// One line of the stream that a recomputation answers with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProofLine {
    Progress {
        done: u64,
        total: u64,
    },
    /// Absent when the origin is not held.
    #[schema(value_type = Object)]
    Proof(Option<kho_storage::warehouse::OriginProof>),
    Failed(Problem),
}

/// A row's place and hash, to find the rows in which two sites differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct RowHash {
    /// By name, or `#` and its number where the answering node's schema does not know it.
    pub table: String,
    pub key: String,
    pub hash: String,
}

/// A second history, or rows that do not match their head: refused, and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceKept {
    pub origin: u32,
    /// Batch of the head that came with it.
    pub seq: u64,
    pub why: String,
    pub found_at: String,
    /// Site and node that signed the head.
    pub signed_by: String,
    pub batches: u64,
    pub bytes: u64,
    pub their_chain: String,
    pub our_chain: Option<String>,
}

/// Founds a site: the first membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteInit {
    pub nodes: Vec<NodePlace>,
}

/// A node and where it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodePlace {
    pub node: u64,
    pub quic_address: String,
    pub https_address: String,
}

/// What an imported bundle came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BundleImported {
    pub segments: u64,
    pub batches: u64,
    /// Cursor per origin afterwards.
    pub cursors: BTreeMap<u32, u64>,
    pub refused: Vec<String>,
}

/// A short answer to an order that has nothing else to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    pub done: String,
}
