//! A tree on this machine: where its nodes answer, which of them run, and who leads.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use kho_node::api::{NodePlace, Role, SiteInit, StatusReport};
use kho_ops::client::{ConnectionArgs, NodeClient};
use kho_storage::{
    ids::{NodeId, SiteId},
    register::SignedRegister,
};
use serde::{Deserialize, Serialize};

use crate::{
    node_overrides::NodeOverrides,
    plan::TreePlan,
    process::{NodeProcess, first_start},
};

/// How long a node may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a node answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
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
    pub(crate) dir: PathBuf,
    pub(crate) khod: PathBuf,
    pub(crate) plan: TreePlan,
    pub(crate) places: BTreeMap<(SiteId, NodeId), Place>,
    pub(crate) running: BTreeMap<(SiteId, NodeId), NodeProcess>,
    pub(crate) node_overrides: BTreeMap<(SiteId, NodeId), NodeOverrides>,
}

impl LocalTree {
    /// Opens a tree that was created before.
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

    /// Writes down what a later run needs to find the tree again.
    pub(crate) fn write_tree_file(&self) -> anyhow::Result<()> {
        let file = TreeFile {
            plan: self.plan.clone(),
            places: self.places.iter().map(|((site, node), place)| (*site, *node, place.clone())).collect(),
        };
        Ok(std::fs::write(self.dir.join("tree.json"), serde_json::to_string_pretty(&file)?)?)
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

    /// Folder of a person's key and certificate: `operator`, or `client-SITE`, which enters and reads rows.
    pub fn identity_dir(&self, name: &str) -> PathBuf {
        self.dir.join("pki").join(name)
    }

    pub fn register_path(&self) -> PathBuf {
        self.dir.join("register.signed.toml")
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

    /// A node and where it answers, as the site needs to know.
    pub fn node_place(&self, site: SiteId, node: NodeId) -> NodePlace {
        let quic_address = self.quic_address_for_others(site, node).to_string();
        NodePlace { node: node.0, quic_address, https_address: self.places[&(site, node)].https.to_string() }
    }

    /// Has `khod --first-start` take a node's empty data folder. Creating the tree does as much; a test that mounts a disk there, or clears
    /// it, does it again.
    ///
    /// # Errors
    /// When the folder holds something else, or `khod` can't be started.
    pub fn take_data_folder(&self, site: SiteId, node: NodeId) -> anyhow::Result<()> {
        first_start(&self.khod, &self.node_dir(site, node))
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

    /// Starts every node, creates every site from the highest tier downward, and gives each the register.
    ///
    /// # Errors
    /// When a node does not answer in time; the message ends with its log.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        for (site, node) in self.places.keys().copied().collect::<Vec<_>>() {
            self.start_node(site, node)?;
        }
        let mut sites: Vec<_> = self.plan.sites.iter().map(|site| (Reverse(site.tier), site.site)).collect();
        sites.sort_unstable();
        for (_, site) in sites {
            self.bootstrap_site(site).await?;
        }
        Ok(())
    }

    /// Creates a site from its nodes, which run below parents that run too, and gives it the register. A site that was created before is left as it is.
    ///
    /// # Errors
    /// When its nodes or its parents do not answer in time.
    pub async fn bootstrap_site(&mut self, site: SiteId) -> anyhow::Result<()> {
        self.bootstrap(site, false).await
    }

    /// As [`Self::bootstrap_site`], of a site none of whose parents runs.
    ///
    /// # Errors
    /// When its nodes do not answer in time.
    pub async fn bootstrap_lone_site(&mut self, site: SiteId) -> anyhow::Result<()> {
        self.bootstrap(site, true).await
    }

    async fn bootstrap(&mut self, site: SiteId, parent_unreachable: bool) -> anyhow::Result<()> {
        for node in self.nodes(site) {
            self.wait_for_answer(site, node).await?;
        }
        let client = self.operator(site)?;
        let status = client.status().await?;
        if status.consensus.nodes.is_empty() {
            let nodes = self.nodes(site).into_iter().map(|node| self.node_place(site, node)).collect();
            client.init_site(&SiteInit { nodes, register: self.register()?, again: false, parent_unreachable }).await?;
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
        Ok(SignedRegister::from_file(&std::fs::read_to_string(self.register_path())?)?)
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
                    && status.consensus.role == Role::Leader
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

    /// The status that one node reports.
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

    /// Where others dial a node.
    pub(crate) fn quic_address_for_others(&self, site: SiteId, node: NodeId) -> SocketAddr {
        let overrides = self.node_overrides.get(&(site, node)).and_then(|overrides| overrides.reached_at);
        overrides.unwrap_or_else(|| self.quic_address(site, node))
    }

    /// What a node's process gets beside the inherited environment.
    pub(crate) fn environment(&self, site: SiteId, node: NodeId) -> &[(OsString, OsString)] {
        self.node_overrides.get(&(site, node)).map_or(&[], |overrides| &overrides.environment)
    }
}
