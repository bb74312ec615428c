//! A site that was set back: what was shown to it, and what it had acknowledged meanwhile.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Reason;

/// An own origin of the site that stood further, or elsewhere, before the site's disks came back older. Nothing is entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteSetBack {
    pub site: u32,
    pub origin: u32,
    pub noted_at: String,
    pub shown_by: Reason,
    /// The furthest head of this site's own that was shown: its batch, chain hash and site time.
    pub shown_seq: u64,
    pub shown_chain: String,
    pub shown_time: String,
    /// Last batch that stood here when the word came.
    pub seq: u64,
    /// Last batch that both histories surely have.
    pub agreed: u64,
    /// Batches that were acknowledged here before the word came, and that the shown history may lack: first and last, both included.
    /// Absent when there are none.
    pub acknowledged_from: Option<u64>,
    pub acknowledged_to: Option<u64>,
    /// Whether a segment of the shown history was compared: then the batches above surely differ.
    pub compared: bool,
}

/// Rows that batches changed, without what they say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BranchRows {
    pub rows: Vec<BranchRow>,
    /// The batch from which to ask on; absent after the last.
    pub next: Option<u64>,
}

/// One row that a batch changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BranchRow {
    pub batch: u64,
    pub time: String,
    /// By name, or `#` and its number where the answering node's schema does not know it.
    pub table: String,
    pub key: String,
    /// The row was taken away.
    pub removed: bool,
}
