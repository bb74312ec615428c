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
    process::NodeProcess,
    tree::{LocalTree, Place},
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

    /// Gives a node that does not run other ports, as if its office had got another network. Its configuration follows, and so does the
    /// next register; what its site has recorded does not.
    ///
    /// # Errors
    /// When the node runs, no port is free, or a file can't be read or written.
    pub fn move_node(&mut self, site: SiteId, node: NodeId) -> anyhow::Result<()> {
        ensure!(!self.running.get_mut(&(site, node)).is_some_and(NodeProcess::runs), "node {node} of site {site} runs");
        let (place, _held) = free_place()?;
        let listen = |place: &Place| format!("[listen]\nquic = \"{}\"\nhttps = \"{}\"\n", place.quic, place.https);
        let (address, now) = (place.quic.to_string(), listen(&place));
        let before = self.places.insert((site, node), place).with_context(|| format!("site {site} has no node {node}"))?;
        let path = self.node_dir(site, node).join("khod.toml");
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.contains(&listen(&before)), "{} listens elsewhere", path.display());
        std::fs::write(&path, text.replace(&listen(&before), &now))?;
        let before = before.quic.to_string();
        self.change_register(|register| {
            let addresses = register.sites.iter_mut().filter(|entry| entry.site == site).flat_map(|entry| &mut entry.addresses);
            addresses.filter(|at| **at == before).for_each(|at| at.clone_from(&address));
        })?;
        self.write_tree_file()
    }

    /// Writes into a node's configuration where these nodes of its site are, in place of what stood there. It counts from the node's next
    /// start.
    ///
    /// # Errors
    /// When its configuration can't be read or written.
    pub fn name_addresses(&self, (site, node): (SiteId, NodeId), named: &[NodeId]) -> anyhow::Result<()> {
        let path = self.node_dir(site, node).join("khod.toml");
        let text = std::fs::read_to_string(&path)?;
        let (before, listen) = text.split_once("\n[listen]").with_context(|| format!("{} has no [listen]", path.display()))?;
        let before = before.split_once("\naddresses = [").map_or(before, |(before, _)| before);
        let entry = |named: &NodeId| {
            let place = self.node_place(site, *named);
            format!("  {{ node = {named}, quic = {:?}, https = {:?} }},\n", place.quic_address, place.https_address)
        };
        let entries: String = named.iter().map(entry).collect();
        Ok(std::fs::write(&path, format!("{before}\naddresses = [\n{entries}]\n\n[listen]{listen}"))?)
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

    #[test]
    fn a_node_that_moved_listens_elsewhere_and_its_configuration_says_where_the_others_are() {
        let dir = tempfile::tempdir().expect("a folder");
        let plan = TreePlan { tree: "t".into(), sites: vec![PlannedSite::new(1, "Huyện", Tier::District, &[], 3)] };
        let mut tree = LocalTree::create(&dir.path().join("tree"), Path::new("khod"), plan, None).expect("created");
        let (site, node) = (SiteId(1), NodeId(2));
        let before = tree.quic_address(site, node);
        tree.move_node(site, node).expect("it does not run");
        let place = tree.node_place(site, node);
        assert_ne!(place.quic_address, before.to_string());
        let config = |tree: &LocalTree| NodeConfig::load(&tree.node_dir(site, node).join("khod.toml")).expect("good");
        let listen = config(&tree).listen;
        assert_eq!((listen.quic.to_string(), listen.https.to_string()), (place.quic_address, place.https_address));
        assert!(config(&tree).addresses.is_empty());
        for named in [vec![NodeId(2), NodeId(3)], vec![NodeId(1)], vec![]] {
            tree.name_addresses((site, node), &named).expect("written");
            let said: Vec<NodeId> = config(&tree).addresses.iter().map(|address| address.node).collect();
            assert_eq!(said, named);
        }
    }
}
