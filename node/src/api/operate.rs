//! Orders of an operator, and what they came to.

use std::collections::BTreeMap;

use kho_storage::register::SignedRegister;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Reason;

/// The founding of a site: its first members, and its first register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteInit {
    pub nodes: Vec<NodePlace>,
    /// The signed register. The parents that it names are asked whether the site was founded before.
    #[schema(value_type = Object)]
    pub register: SignedRegister,
    /// Found the site although its parent holds what it wrote before: its own data are lost. Entry stays closed until it has them back.
    #[serde(default)]
    pub again: bool,
    /// Found the site although a parent does not answer, by an operator's word that it can't be asked.
    #[serde(default)]
    pub parent_unreachable: bool,
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

/// What evidence was reviewed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceReviewed {
    pub origin: u32,
    /// Pieces that are kept and count as reviewed from now on.
    pub pieces: u64,
    /// Those among them that nobody had reviewed.
    pub new_pieces: u64,
    /// Nothing was changed.
    pub dry_run: bool,
}

/// Damage on a node's disk that an operator has examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DamageExamined {
    pub node: u64,
    pub found_at: String,
    pub what: String,
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
