//! Changes of a local tree: its register, nodes that come later, nodes that leave, and what tests set for a node.

use std::{ffi::OsString, net::SocketAddr};

use anyhow::{Context as _, ensure};
use kho_storage::{
    ids::{NodeId, SiteId},
    register::Register,
    signature::SigningKey,
};

use crate::{
    bootstrap::{SMALL_LIMITS, free_place},
    tree::LocalTree,
};

impl LocalTree {
    /// Gives every node the limits of a configuration that names none, instead of small ones. They count from a node's next start.
    ///
    /// # Errors
    /// When a configuration can't be read or written, or its limits were changed.
    pub fn use_default_limits(&self) -> anyhow::Result<()> {
        for (site, node) in self.places.keys() {
            let path = self.node_dir(*site, *node).join("khod.toml");
            let text = std::fs::read_to_string(&path)?;
            let rest = text
                .strip_suffix(SMALL_LIMITS)
                .with_context(|| format!("{} does not end with the limits of a local tree", path.display()))?;
            std::fs::write(&path, rest)?;
        }
        Ok(())
    }

    /// Gives every node this schema instead of the one built in. It counts from a node's first start.
    ///
    /// # Errors
    /// When a file can't be read or written, or a configuration names a schema already.
    pub fn use_schema(&self, toml: &str) -> anyhow::Result<()> {
        let file = self.dir().join("schema.toml");
        std::fs::write(&file, toml)?;
        for (site, node) in self.places.keys() {
            let path = self.node_dir(*site, *node).join("khod.toml");
            let text = std::fs::read_to_string(&path)?;
            ensure!(!text.contains("[schema]"), "{} names a schema already", path.display());
            let (before, register) = text.split_once("[register]").with_context(|| format!("{} has no [register]", path.display()))?;
            std::fs::write(&path, format!("{before}[schema]\nfile = {:?}\n\n[register]{register}", file.display().to_string()))?;
        }
        Ok(())
    }

    /// Issues a changed register of the next version.
    ///
    /// # Errors
    /// When the register is not whole, or a file can't be read or written.
    pub fn change_register(&self, change: impl FnOnce(&mut Register)) -> anyhow::Result<()> {
        let pki = self.dir().join("pki");
        let key = SigningKey::from_pkcs8_pem(&std::fs::read_to_string(pki.join("register.key"))?)?;
        let mut register = self.register()?.verify(&key.public_key(), &self.plan().tree)?.register().clone();
        register.version += 1;
        change(&mut register);
        self.sign_register(&register, &key)
    }

    /// Makes ports, keys, certificate and configuration of one more node, and issues a register that pins its key. Nothing is
    /// started; the site learns of the register with `kho register apply`, and of the node with `kho node add`.
    ///
    /// # Errors
    /// When a file exists already or can't be written, or the register has the node already.
    pub fn add_node_files(&mut self, site: SiteId, node: NodeId) -> anyhow::Result<()> {
        // The sockets are closed at the end, as late as can be.
        let (place, _held) = free_place()?;
        let address = place.quic.to_string();
        self.places.insert((site, node), place);
        let register_key = SigningKey::from_pkcs8_pem(&std::fs::read_to_string(self.dir().join("pki").join("register.key"))?)?;
        let added = self.prepare_node(site, node, &register_key.public_key())?;
        self.change_register(|register| {
            if let Some(entry) = register.sites.iter_mut().find(|entry| entry.site == site) {
                entry.nodes.push(added);
                entry.addresses.push(address);
            }
        })?;
        self.write_tree_file()
    }

    /// Leaves out a node that was removed from its site: ends its process, if it runs, and issues a register without its address.
    /// Its key stays pinned, for it signed heads that are still travelling. Its folder stays.
    ///
    /// # Errors
    /// When the process can't be ended or a file not be written.
    pub fn leave_out_node(&mut self, site: SiteId, node: NodeId) -> anyhow::Result<()> {
        if let Some(mut process) = self.running.remove(&(site, node)) {
            process.kill()?;
        }
        let Some(place) = self.places.remove(&(site, node)) else { return Ok(()) };
        let address = place.quic.to_string();
        self.change_register(|register| {
            if let Some(entry) = register.sites.iter_mut().find(|entry| entry.site == site) {
                entry.addresses.retain(|at| *at != address);
            }
        })?;
        self.write_tree_file()
    }

    /// Has a node's site and children dial it at `address`, where something must pass packets on to it. Before the site
    /// is created.
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
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kho_node::config::{LimitsConfig, NodeConfig};
    use kho_storage::ids::Tier;

    use super::*;
    use crate::{PlannedSite, TreePlan};

    #[test]
    fn a_tree_has_small_limits_until_it_is_given_the_default_ones() {
        let dir = tempfile::tempdir().expect("a folder");
        let plan = TreePlan { tree: "t".into(), sites: vec![PlannedSite::new(1, "Huyện", Tier::District, &[], 1)] };
        let tree = LocalTree::create(&dir.path().join("tree"), Path::new("khod"), plan, None).expect("created");
        let limits = || NodeConfig::load(&tree.node_dir(SiteId(1), NodeId(1)).join("khod.toml")).expect("good").limits;
        assert!(limits().cache_mib < LimitsConfig::default().cache_mib);
        tree.use_default_limits().expect("written");
        assert_eq!(limits(), LimitsConfig::default());
    }

    #[test]
    fn a_tree_has_the_schema_built_in_until_it_is_given_another() {
        let dir = tempfile::tempdir().expect("a folder");
        let plan = TreePlan { tree: "t".into(), sites: vec![PlannedSite::new(1, "Huyện", Tier::District, &[], 1)] };
        let tree = LocalTree::create(&dir.path().join("tree"), Path::new("khod"), plan, None).expect("created");
        let file = || NodeConfig::load(&tree.node_dir(SiteId(1), NodeId(1)).join("khod.toml")).expect("good").schema.file;
        assert_eq!(file(), None);
        tree.use_schema("version = 1").expect("written");
        assert_eq!(file(), Some(tree.dir().join("schema.toml")));
        assert!(tree.use_schema("version = 2").is_err(), "a state counts the cubes of one schema");
    }
}
