//! What stands around a node of a local tree, as tests put it there: how others reach it, and the environment of its process.

use std::{ffi::OsString, net::SocketAddr};

use kho_storage::ids::{NodeId, SiteId};

use crate::LocalTree;

/// Of one node. Without any, a node is reached at its own address and its process inherits this one's environment.
#[derive(Debug, Default, Clone)]
pub(super) struct NodeOverrides {
    /// Where its site and its children dial it instead of its own address.
    pub reached_at: Option<SocketAddr>,
    /// Set for its process, beside what is inherited.
    pub environment: Vec<(OsString, OsString)>,
}

impl LocalTree {
    /// Has a node's site and children dial it at `address`, where something must pass packets on to it. Before the site is
    /// founded.
    ///
    /// # Errors
    /// When the register can't be issued.
    pub fn reach_at(&mut self, site: SiteId, node: NodeId, address: SocketAddr) -> anyhow::Result<()> {
        let before = self.quic_address_for_others(site, node).to_string();
        self.node_overrides.entry((site, node)).or_default().reached_at = Some(address);
        self.change_register(|register| {
            let addresses = register.sites.iter_mut().filter(|entry| entry.site == site).flat_map(|entry| &mut entry.addresses);
            addresses.filter(|at| **at == before).for_each(|at| *at = address.to_string());
        })
    }

    /// Sets a variable in the environment of a node's process. It counts from the node's next start.
    pub fn set_variable(&mut self, site: SiteId, node: NodeId, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.node_overrides.entry((site, node)).or_default().environment.push((name.into(), value.into()));
    }

    /// Where others dial a node.
    pub(super) fn quic_address_for_others(&self, site: SiteId, node: NodeId) -> SocketAddr {
        let around = self.node_overrides.get(&(site, node)).and_then(|around| around.reached_at);
        around.unwrap_or_else(|| self.quic_address(site, node))
    }

    pub(super) fn environment(&self, site: SiteId, node: NodeId) -> &[(OsString, OsString)] {
        self.node_overrides.get(&(site, node)).map_or(&[], |around| &around.environment)
    }
}
