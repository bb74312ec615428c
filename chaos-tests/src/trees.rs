//! The trees that scenes play on. Districts and communes are real units of the legacy catalogue.

use kho_local_tree::{PlannedSite, TreePlan};
use kho_storage::ids::{SiteId, Tier};

use crate::{
    place::{Place, place},
    proxy::Link,
    stage::Stage,
};

/// A unit to enter records of.
pub struct District {
    pub code: &'static str,
    pub commune: &'static str,
}

pub const BIEN_HOA: District = District { code: "731", commune: "25993" };
pub const LONG_KHANH: District = District { code: "732", commune: "26077" };
pub const TAN_PHU: District = District { code: "734", commune: "26116" };

pub const CENTRE: u32 = 1;
pub const REGION: u32 = 2;
pub const DISTRICT: u32 = 3;

pub fn plan(sites: Vec<PlannedSite>) -> TreePlan {
    TreePlan { tree: "scene".into(), sites }
}

pub fn centre(nodes: u64) -> PlannedSite {
    PlannedSite::new(CENTRE, "Trung ương", Tier::Central, &[], nodes)
}

pub fn region() -> PlannedSite {
    PlannedSite::new(REGION, "Vùng", Tier::Region, &[CENTRE], 1)
}

pub fn district(site: u32, unit: &District, parents: &[u32], nodes: u64) -> PlannedSite {
    PlannedSite::new(site, &format!("Huyện {}", unit.code), Tier::District, parents, nodes).with_area(unit.code)
}

/// Nodes 1 … `nodes` of a site.
pub fn nodes(site: u32, nodes: u64) -> Vec<Place> {
    (1..=nodes).map(|node| place(site, node)).collect()
}

/// Puts a link before the only node of `parent`. Before the tree is started.
pub fn link_before(stage: &Stage, (site, node): Place) -> anyhow::Result<Link> {
    let link = Link::to(stage.tree.quic_address(site, node))?;
    stage.tree.change_register(|register| {
        for entry in register.sites.iter_mut().filter(|entry| entry.site == site) {
            entry.addresses = vec![link.address().to_string()];
        }
    })?;
    Ok(link)
}

/// The site's id as the tree knows it.
pub fn id(site: u32) -> SiteId {
    SiteId(site)
}
