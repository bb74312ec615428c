//! Orders of an operator, and what they came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Reason;

/// The first membership of a site.
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
    /// Why segments were refused, in their order.
    pub refused: Vec<Reason>,
}

/// What was taken out of a site, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OriginDiscarded {
    pub origin: u32,
    pub rows: u64,
    /// Batches that were kept.
    pub batches: u64,
    /// Pieces of evidence.
    pub evidence: u64,
    /// Nothing was changed.
    pub dry_run: bool,
}

/// A short answer to an order that has no other result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// A stable word that programs may rely on.
    pub code: String,
    /// The same as a sentence, in the language of the request.
    pub done: String,
}
