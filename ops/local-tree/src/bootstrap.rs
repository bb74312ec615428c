//! A tree is created: ports, keys, certificates, configurations and the first register.

use std::{
    collections::BTreeMap,
    net::{TcpListener, UdpSocket},
    path::Path,
};

use anyhow::Context as _;
use kho_node::{config::NodeConfig, daemon::take_data_folder};
use kho_ops::pki::{NodeRequest, init_root, request_node, request_person, sign_file};
use kho_replication::identity::{ClientRights, Role};
use kho_storage::{
    ids::{NodeId, OriginId, SiteId, SiteTime},
    register::{NodeEntry, OriginEntry, Register, SignedRegister, SiteEntry},
    signature::{PublicKey, SignatureAlgorithm, SigningKey},
};

use crate::{
    plan::{PlannedSite, TreePlan},
    tree::{LocalTree, Place},
};

const CERTIFICATE_DAYS: u32 = 365;
/// For a machine that many nodes share; the end of every configuration.
pub(crate) const SMALL_LIMITS: &str = "\n[limits]\ncache_mib = 32\nwrite_buffer_mib = 64\nidle_head_seconds = 5\n";

impl LocalTree {
    /// Makes keys, register and configurations of a new tree in `dir`. Nothing is started.
    ///
    /// # Errors
    /// When a file exists already or can't be written.
    pub fn create(dir: &Path, khod: &Path, plan: TreePlan, first_port: Option<u16>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        let now = now();
        let pki = dir.join("pki");
        init_root(&plan.tree, &pki.join("root"), now)?;
        let register_key = SigningKey::generate(SignatureAlgorithm::default())?;
        std::fs::write(pki.join("register.pub"), register_key.public_key().to_hex())?;
        write_private(&pki.join("register.key"), &register_key.to_pkcs8_pem())?;
        let places = choose_places(&plan, first_port)?;
        let tree = Self { dir, khod: khod.into(), plan, places, running: BTreeMap::new(), node_overrides: BTreeMap::new() };
        let mut nodes: BTreeMap<SiteId, Vec<NodeEntry>> = BTreeMap::new();
        for (site, node) in tree.places.keys().copied().collect::<Vec<_>>() {
            nodes.entry(site).or_default().push(tree.prepare_node(site, node, &register_key.public_key())?);
        }
        tree.identity("operator", Role::Operator { site: None, name: "operator".into() })?;
        for site in tree.plan.sites.iter().map(|site| site.site).collect::<Vec<_>>() {
            tree.identity(&format!("client-{site}"), Role::Client { site, name: "entry".into(), rights: ClientRights::EnterAndRead })?;
        }
        tree.issue_register(&register_key, nodes, 1)?;
        tree.write_tree_file()?;
        Ok(tree)
    }

    /// Issues a register over the planned sites with the given nodes.
    fn issue_register(&self, key: &SigningKey, mut nodes: BTreeMap<SiteId, Vec<NodeEntry>>, version: u64) -> anyhow::Result<()> {
        let entry = |site: &PlannedSite| SiteEntry {
            site: site.site,
            name: site.name.clone(),
            tier: site.tier,
            parents: site.parents.clone(),
            areas: site.areas.clone(),
            addresses: self.nodes(site.site).into_iter().map(|node| self.quic_address(site.site, node).to_string()).collect(),
            nodes: nodes.remove(&site.site).unwrap_or_default(),
        };
        let origins = self
            .plan
            .sites
            .iter()
            .filter(|site| !site.areas.is_empty())
            .map(|site| OriginEntry { origin: OriginId(site.site.0), author: site.site })
            .collect();
        let sites = self.plan.sites.iter().map(entry).collect();
        self.sign_register(
            &Register {
                tree: self.plan.tree.clone(),
                version,
                requires: vec![],
                roots: vec![],
                sites,
                origins,
                revoked_identities: vec![],
            },
            key,
        )
    }

    pub(crate) fn sign_register(&self, register: &Register, key: &SigningKey) -> anyhow::Result<()> {
        let signed = SignedRegister::issue(register, key)?;
        std::fs::write(self.register_path(), signed.to_file())?;
        Ok(())
    }

    /// Keys, certificate, configuration and data folder of one node; what the register says of it.
    pub(crate) fn prepare_node(&self, site: SiteId, node: NodeId, register_key: &PublicKey) -> anyhow::Result<NodeEntry> {
        let dir = self.node_dir(site, node);
        let request =
            NodeRequest { tree: self.plan.tree.clone(), site, node, reached_as: vec![], signing_algorithm: SignatureAlgorithm::default() };
        let card = request_node(&request, &dir)?;
        let root = self.dir.join("pki").join("root");
        sign_file(&root, &dir.join("tls.csr"), &dir.join("tls.crt"), CERTIFICATE_DAYS, now(), |_| Ok(()))?;
        std::fs::copy(root.join("root.crt"), dir.join("root.crt"))?;
        let place = &self.places[&(site, node)];
        let config = format!(
            "tree = \"{}\"\nsite = {site}\nnode = {node}\ndata_dir = \"data\"\n\n[listen]\nquic = \"{}\"\nhttps = \"{}\"\n\n[identity]\nroot_certificate = \"root.crt\"\ncertificate = \"tls.crt\"\ntls_key = \"tls.key\"\nsigning_key = \"signing.key\"\nencryption_key = \"encryption.key\"\n\n[register]\nkey = \"{}\"\n{SMALL_LIMITS}",
            self.plan.tree,
            place.quic,
            place.https,
            register_key.to_hex()
        );
        std::fs::write(dir.join("khod.toml"), config)?;
        take_data_folder(&NodeConfig::load(&dir.join("khod.toml"))?)?;
        card.to_entry()
    }

    fn identity(&self, name: &str, role: Role) -> anyhow::Result<()> {
        let dir = self.identity_dir(name);
        request_person(&self.plan.tree, role, &dir)?;
        let root = self.dir.join("pki").join("root");
        sign_file(&root, &dir.join("client.csr"), &dir.join("client.crt"), CERTIFICATE_DAYS, now(), |_| Ok(()))?;
        std::fs::copy(root.join("root.crt"), dir.join("root.crt"))?;
        Ok(())
    }
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

fn now() -> SiteTime {
    SiteTime(jiff::Timestamp::now().as_millisecond())
}

/// Ports from `first_port` on, or any that are free now.
fn choose_places(plan: &TreePlan, first_port: Option<u16>) -> anyhow::Result<BTreeMap<(SiteId, NodeId), Place>> {
    let mut places = BTreeMap::new();
    let mut next = first_port;
    // The sockets stay open until all are chosen, so that no port is given twice.
    let mut open_sockets = Vec::new();
    for site in &plan.sites {
        for node in 1..=site.nodes {
            let place = match &mut next {
                Some(port) => {
                    let (quic, https) = (*port, *port + 1);
                    *port = port.checked_add(2).context("the ports run out; give a lower first port")?;
                    Place { quic: ([127, 0, 0, 1], quic).into(), https: ([127, 0, 0, 1], https).into() }
                }
                None => {
                    let (place, sockets) = free_place()?;
                    open_sockets.push(sockets);
                    place
                }
            };
            places.insert((site.site, NodeId(node)), place);
        }
    }
    Ok(places)
}

/// Two ports that are free as long as the sockets live.
pub(crate) fn free_place() -> anyhow::Result<(Place, (UdpSocket, TcpListener))> {
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let place = Place { quic: udp.local_addr()?, https: tcp.local_addr()? };
    Ok((place, (udp, tcp)))
}
