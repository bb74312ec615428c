//! Proofs and evidence.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Problem, Reason};

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

/// A row by hashes under the secret of one comparison, to find the rows in which two sites differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct RowHash {
    /// By name, or `#` and its number where the answering node's schema does not know it.
    pub table: String,
    pub key_hash: String,
    pub hash: String,
}

/// The nodes at which an origin is to be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComparisonOrder {
    pub nodes: Vec<ComparedNode>,
}

/// A node of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComparedNode {
    pub site: u32,
    pub node: u64,
}

/// The secret of a comparison, for each node in the order of the question; each node alone opens its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComparisonTokens {
    pub tokens: Vec<String>,
}

/// The row behind a hash of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowNamed {
    pub table: String,
    pub key: String,
}

/// A second history, or rows that do not match their head: refused, and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceKept {
    pub origin: u32,
    /// Batch of the head that came with it.
    pub seq: u64,
    pub why: Reason,
    pub found_at: String,
    /// Site and node that signed the head.
    pub signed_by: String,
    pub batches: u64,
    pub bytes: u64,
    pub their_chain: String,
    pub our_chain: Option<String>,
    /// The newest review that names it.
    pub review: Option<Review>,
}

/// An operator's review of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Review {
    pub by: String,
    pub reviewed_at: String,
    pub reason: String,
}
