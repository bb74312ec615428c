//! Where a node of a scene is: its site and its number.

use kho_storage::ids::{NodeId, SiteId};

/// A node by site and number.
pub type Place = (SiteId, NodeId);

/// A node of a scene.
pub fn place(site: u32, node: u64) -> Place {
    (SiteId(site), NodeId(node))
}
