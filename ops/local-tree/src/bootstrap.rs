//! Founding a local tree, and acting on it.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use kho_node::api::{NodePlace, SiteInit, StatusReport};
use kho_ops::{
    client::{ConnectionArgs, NodeClient},
    pki::{NodeRequest, init_root, request_node, request_person, sign_file},
};
use kho_replication::identity::Role;
use kho_storage::{
    ids::{NodeId, OriginId, SiteId, SiteTime},
    register::{NodeEntry, OriginEntry, Register, SignedRegister, SiteEntry},
    signature::{PublicKey, SignatureAlgorithm, SigningKey},
};
use serde::{Deserialize, Serialize};

use crate::{NodeProcess, PlannedSite, TreePlan, node_overrides::NodeOverrides};

const CERTIFICATE_DAYS: u32 = 365;
/// For a machine that many nodes share; the end of every configuration.
pub(super) const SMALL_LIMITS: &str = "\n[limits]\ncache_mib = 32\nwrite_buffer_mib = 64\nidle_head_seconds = 5\n";
/// How long a node may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a node answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Place {
    pub quic: SocketAddr,
    pub https: SocketAddr,
}

/// What a later run needs to find the tree again.
#[derive(Debug, Serialize, Deserialize)]
struct TreeFile {
    plan: TreePlan,
    places: Vec<(SiteId, NodeId, Place)>,
}

/// A tree on this machine.
pub struct LocalTree {
    dir: PathBuf,
    khod: PathBuf,
    plan: TreePlan,
    pub(super) places: BTreeMap<(SiteId, NodeId), Place>,
    pub(super) running: BTreeMap<(SiteId, NodeId), NodeProcess>,
    pub(super) node_overrides: BTreeMap<(SiteId, NodeId), NodeOverrides>,
}

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
            let signing_key = tree.prepare_node(site, node, &register_key.public_key())?;
            nodes.entry(site).or_default().push(NodeEntry { node, signing_key, revoked: vec![] });
        }
        tree.identity("operator", Role::Operator { site: None, name: "operator".into() })?;
        for site in tree.plan.sites.iter().map(|site| site.site).collect::<Vec<_>>() {
            tree.identity(&format!("client-{site}"), Role::Client { site, name: "entry".into() })?;
        }
        tree.issue_register(&register_key, nodes, 1)?;
        tree.write_tree_file()?;
        Ok(tree)
    }

    /// Writes down what a later run needs to find the tree again.
    pub(super) fn write_tree_file(&self) -> anyhow::Result<()> {
        let file = TreeFile {
            plan: self.plan.clone(),
            places: self.places.iter().map(|((site, node), place)| (*site, *node, place.clone())).collect(),
        };
        Ok(std::fs::write(self.dir.join("tree.json"), serde_json::to_string_pretty(&file)?)?)
    }

    /// Takes up a tree that was founded before.
    ///
    /// # Errors
    /// When `dir` holds none.
    pub fn open(dir: &Path, khod: &Path) -> anyhow::Result<Self> {
        let path = dir.join("tree.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("{} holds no tree", dir.display()))?;
        let file: TreeFile = serde_json::from_str(&text).with_context(|| format!("{} can't be read", path.display()))?;
        let places = file.places.into_iter().map(|(site, node, place)| ((site, node), place)).collect();
        Ok(Self {
            dir: dir.canonicalize()?,
            khod: khod.into(),
            plan: file.plan,
            places,
            running: BTreeMap::new(),
            node_overrides: BTreeMap::new(),
        })
    }

    pub fn plan(&self) -> &TreePlan {
        &self.plan
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn node_dir(&self, site: SiteId, node: NodeId) -> PathBuf {
        self.dir.join(format!("site-{site}")).join(format!("node-{node}"))
    }

    /// Folder of a person's key and certificate: `operator`, or `client-SITE`.
    pub fn identity_dir(&self, name: &str) -> PathBuf {
        self.dir.join("pki").join(name)
    }

    pub fn register_path(&self) -> PathBuf {
        self.dir.join("register.json")
    }

    /// Nodes of a site, in order.
    pub fn nodes(&self, site: SiteId) -> Vec<NodeId> {
        self.places.keys().filter(|(at, _)| *at == site).map(|(_, node)| *node).collect()
    }

    /// HTTPS address of a node.
    pub fn url(&self, site: SiteId, node: NodeId) -> String {
        format!("https://{}", self.places[&(site, node)].https)
    }

    /// HTTPS addresses of every node of a site.
    pub fn urls(&self, site: SiteId) -> Vec<String> {
        self.nodes(site).into_iter().map(|node| self.url(site, node)).collect()
    }

    /// UDP address of a node.
    pub fn quic_address(&self, site: SiteId, node: NodeId) -> SocketAddr {
        self.places[&(site, node)].quic
    }

    /// A node and where it answers, as its site is told.
    pub fn node_place(&self, site: SiteId, node: NodeId) -> NodePlace {
        let quic_address = self.quic_address_for_others(site, node).to_string();
        NodePlace { node: node.0, quic_address, https_address: self.places[&(site, node)].https.to_string() }
    }

    /// Starts a node's process, unless it runs.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_node(&mut self, site: SiteId, node: NodeId) -> anyhow::Result<()> {
        if self.running.get_mut(&(site, node)).is_some_and(NodeProcess::runs) {
            return Ok(());
        }
        let process = NodeProcess::start(&self.khod, &self.node_dir(site, node), self.environment(site, node))?;
        self.running.insert((site, node), process);
        Ok(())
    }

    /// The process of a node, if it was started here.
    pub fn process(&mut self, site: SiteId, node: NodeId) -> Option<&mut NodeProcess> {
        self.running.get_mut(&(site, node))
    }

    /// Starts every node, founds every site, and gives each the register.
    ///
    /// # Errors
    /// When a node does not answer in time; the message ends with its log.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        for (site, node) in self.places.keys().copied().collect::<Vec<_>>() {
            self.start_node(site, node)?;
        }
        for site in self.plan.sites.iter().map(|site| site.site).collect::<Vec<_>>() {
            self.bootstrap_site(site).await?;
        }
        Ok(())
    }

    /// Founds a site whose nodes run, and gives it the register. A site that was founded before is left as it is.
    ///
    /// # Errors
    /// When its nodes do not answer in time.
    pub async fn bootstrap_site(&mut self, site: SiteId) -> anyhow::Result<()> {
        for node in self.nodes(site) {
            self.wait_for_answer(site, node).await?;
        }
        let client = self.operator(site)?;
        let status = client.status().await?;
        if status.consensus.nodes.is_empty() {
            client.init_site(&SiteInit { nodes: self.nodes(site).into_iter().map(|node| self.node_place(site, node)).collect() }).await?;
        }
        if status.register_version == 0 {
            client.apply_register(&self.register()?).await?;
        }
        Ok(())
    }

    /// Waits until a node that was started answers.
    ///
    /// # Errors
    /// When it ends or does not answer in time; the message ends with its log.
    pub async fn wait_for_answer(&mut self, site: SiteId, node: NodeId) -> anyhow::Result<()> {
        let client = self.client(&[self.url(site, node)], "operator")?;
        let deadline = Instant::now() + START_TIMEOUT;
        while client.status().await.is_err() {
            let process = self.running.get_mut(&(site, node));
            if let Some(process) = process
                && (!process.runs() || Instant::now() > deadline)
            {
                bail!("node {node} of site {site} does not answer; the end of its log:\n{}", process.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The signed register as it was issued last.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn register(&self) -> anyhow::Result<SignedRegister> {
        Ok(serde_json::from_str(&std::fs::read_to_string(self.register_path())?)?)
    }

    /// A client of every node of a site, as the tree's operator.
    ///
    /// # Errors
    /// When the identity can't be loaded.
    pub fn operator(&self, site: SiteId) -> anyhow::Result<NodeClient> {
        self.client(&self.urls(site), "operator")
    }

    /// A client of the nodes at `urls` under the identity `name`.
    ///
    /// # Errors
    /// When the identity can't be loaded.
    pub fn client(&self, urls: &[String], name: &str) -> anyhow::Result<NodeClient> {
        let nodes = urls.iter().map(|url| url.parse().map_err(|e| anyhow::anyhow!("{url}: {e}"))).collect::<anyhow::Result<_>>()?;
        let connection = ConnectionArgs { nodes, identity: Some(self.identity_dir(name)), timeout: 60 };
        connection.open().map_err(|failure| anyhow::anyhow!("{failure:?}"))
    }

    /// The node that leads a site now.
    ///
    /// # Errors
    /// When none does for a while.
    pub async fn leader(&self, site: SiteId) -> anyhow::Result<NodeId> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            for node in self.nodes(site) {
                if let Ok(status) = self.status(site, node).await
                    && status.consensus.role == "leader"
                {
                    return Ok(node);
                }
            }
            if Instant::now() > deadline {
                bail!("site {site} has had no leader for {} s", START_TIMEOUT.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Status as one node tells it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self, site: SiteId, node: NodeId) -> anyhow::Result<StatusReport> {
        let client = self.client(&[self.url(site, node)], "operator")?;
        Ok(tokio::time::timeout(Duration::from_secs(5), client.status()).await??)
    }

    /// Stops every node in order.
    ///
    /// # Errors
    /// The first that did not stop by itself.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let mut result = Ok(());
        for (_, mut process) in std::mem::take(&mut self.running) {
            result = result.and(process.stop());
        }
        result
    }

    /// Lets every process run on; writes their ids to `DIR/running.json`.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn leave_running(&mut self) -> anyhow::Result<()> {
        let ids: Vec<u32> = std::mem::take(&mut self.running).into_values().filter_map(NodeProcess::leave).collect();
        std::fs::write(self.dir.join("running.json"), serde_json::to_string(&ids)?)?;
        Ok(())
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
        self.sign_register(&Register { tree: self.plan.tree.clone(), version, sites, origins }, key)
    }

    pub(super) fn sign_register(&self, register: &Register, key: &SigningKey) -> anyhow::Result<()> {
        let signed = SignedRegister::issue(register, key)?;
        std::fs::write(self.register_path(), serde_json::to_string(&signed)?)?;
        Ok(())
    }

    /// Keys, certificate and configuration of one node.
    pub(super) fn prepare_node(&self, site: SiteId, node: NodeId, register_key: &PublicKey) -> anyhow::Result<PublicKey> {
        let dir = self.node_dir(site, node);
        let request =
            NodeRequest { tree: self.plan.tree.clone(), site, node, reached_as: vec![], signing_algorithm: SignatureAlgorithm::default() };
        let card = request_node(&request, &dir)?;
        let root = self.dir.join("pki").join("root");
        sign_file(&root, &dir.join("tls.csr"), &dir.join("tls.crt"), CERTIFICATE_DAYS, now(), |_| Ok(()))?;
        std::fs::copy(root.join("root.crt"), dir.join("root.crt"))?;
        let place = &self.places[&(site, node)];
        let config = format!(
            "tree = \"{}\"\nsite = {site}\nnode = {node}\ndata_dir = \"data\"\n\n[listen]\nquic = \"{}\"\nhttps = \"{}\"\n\n[identity]\nroot_certificate = \"root.crt\"\ncertificate = \"tls.crt\"\ntls_key = \"tls.key\"\nsigning_key = \"signing.key\"\n\n[register]\nkey = \"{}\"\n{SMALL_LIMITS}",
            self.plan.tree,
            place.quic,
            place.https,
            register_key.to_hex()
        );
        std::fs::write(dir.join("khod.toml"), config)?;
        card.public_key()
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
    // Held until all are chosen, so that no port is given twice.
    let mut held = Vec::new();
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
                    held.push(sockets);
                    place
                }
            };
            places.insert((site.site, NodeId(node)), place);
        }
    }
    Ok(places)
}

/// Two ports that are free as long as the sockets live.
pub(super) fn free_place() -> anyhow::Result<(Place, (UdpSocket, TcpListener))> {
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let place = Place { quic: udp.local_addr()?, https: tcp.local_addr()? };
    Ok((place, (udp, tcp)))
}
