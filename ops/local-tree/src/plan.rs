//! What a local tree consists of.

use kho_storage::{
    ids::{SiteId, Tier},
    register::AreaScope,
};
use serde::{Deserialize, Serialize};

/// A tree to be created.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TreePlan {
    pub tree: String,
    pub sites: Vec<PlannedSite>,
}

/// One site of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlannedSite {
    pub site: SiteId,
    pub name: String,
    pub tier: Tier,
    /// The active parent, then stand-ins.
    pub parents: Vec<SiteId>,
    /// Units whose records the site authors; a site without any only adopts.
    pub areas: Vec<AreaScope>,
    /// 1, 3 or 5.
    pub nodes: u64,
}

impl PlannedSite {
    pub fn new(site: u32, name: &str, tier: Tier, parents: &[u32], nodes: u64) -> Self {
        Self { site: SiteId(site), name: name.into(), tier, parents: parents.iter().map(|p| SiteId(*p)).collect(), areas: vec![], nodes }
    }

    /// The same site with an area of the legacy catalogue to author.
    pub fn with_area(mut self, code: &str) -> Self {
        self.areas.push(AreaScope { catalogue: "legacy-63".into(), code: code.into() });
        self
    }
}
