//! A tree of `khod` processes with the default limits: one site of one node on each of some tiers.

use std::path::Path;

use anyhow::Context as _;
use kho_local_tree::{LocalTree, PlannedSite, TreePlan, khod_beside};
use kho_ops::client::NodeClient;
use kho_storage::ids::{NodeId, SiteId, Tier};

use super::tiers::{Entry, Sight, Tree};
use crate::{
    folder_bytes::folder_bytes,
    metrics::{RECEIVED_BYTES, SENT_BYTES, SENT_BYTES_AGE, metric},
    persons::{PROVINCE, PersonBatch, TABLE},
    process_use::ProcessMemory,
};

pub const CENTRE: SiteId = SiteId(1);
const NODE: NodeId = NodeId(1);
/// See the module.
pub struct KhoTree {
    tree: LocalTree,
    /// The lowest site, where rows go in.
    district: SiteId,
}

impl KhoTree {
    /// Creates and starts a site on each of these tiers, from the centre down to the district.
    ///
    /// # Errors
    /// When a node does not answer; the message ends with its log.
    pub async fn start(dir: &Path, tiers: &[Tier]) -> anyhow::Result<Self> {
        let mut sites: Vec<PlannedSite> = Vec::new();
        for (tier, site) in tiers.iter().zip(CENTRE.0..) {
            let parents: Vec<u32> = sites.last().map(|above| above.site.0).into_iter().collect();
            sites.push(PlannedSite::new(site, &tier.to_string(), *tier, &parents, 1));
        }
        let lowest = sites.pop().context("a tree has a tier")?.with_area(PROVINCE);
        let district = lowest.site;
        sites.push(lowest);
        let tree = LocalTree::create(dir, &khod_beside()?, TreePlan { tree: "bench".into(), sites }, None)?;
        tree.use_default_limits()?;
        let mut tree = Self { tree, district };
        tree.start_again().await?;
        Ok(tree)
    }

    /// Starts every node that was stopped.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.tree.start().await
    }

    pub fn district(&self) -> SiteId {
        self.district
    }

    /// # Errors
    /// When the site does not run.
    pub fn memory(&mut self, site: SiteId) -> anyhow::Result<ProcessMemory> {
        let process = self.tree.process(site, NODE).with_context(|| format!("site {site} was started"))?;
        ProcessMemory::of(process.id().with_context(|| format!("site {site} runs"))?)
    }

    /// What a site takes on the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn disk_bytes(&self, site: SiteId) -> anyhow::Result<u64> {
        Ok(folder_bytes(&self.tree.node_dir(site, NODE))?)
    }

    /// Bytes that have passed between the district and its parent, in both directions, with the headers of IP and UDP.
    ///
    /// # Errors
    /// When the district does not answer.
    pub async fn district_link_bytes(&self) -> anyhow::Result<u64> {
        tokio::time::sleep(SENT_BYTES_AGE).await;
        let metrics = self.tree.operator(self.district)?.metrics().await?;
        let count = |name: &str| metric(&metrics, name).with_context(|| format!("the district's metrics lack {name}"));
        Ok(count(SENT_BYTES)? + count(RECEIVED_BYTES)?)
    }

    /// # Errors
    /// When a node did not stop by itself.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.tree.stop()
    }

    fn client_of(&self, site: SiteId) -> anyhow::Result<NodeClient> {
        self.tree.client(&self.tree.urls(site), &format!("client-{site}"))
    }
}

/// A client of the district.
pub struct KhoEntry(NodeClient);

/// A client of the centre and the tree's operator.
pub struct KhoSight {
    client: NodeClient,
    operator: NodeClient,
}

impl Tree for KhoTree {
    type Entry = KhoEntry;
    type Sight = KhoSight;

    async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        self.start_again().await
    }

    async fn entry(&self) -> anyhow::Result<KhoEntry> {
        Ok(KhoEntry(self.client_of(self.district)?))
    }

    async fn sight(&self) -> anyhow::Result<KhoSight> {
        Ok(KhoSight { client: self.client_of(CENTRE)?, operator: self.tree.operator(CENTRE)? })
    }
}

impl Entry for KhoEntry {
    async fn enter(&mut self, batch: &PersonBatch) -> anyhow::Result<()> {
        self.0.enter(batch.upload()).await?;
        Ok(())
    }
}

impl Sight for KhoSight {
    async fn holds(&mut self, key: &str) -> anyhow::Result<bool> {
        Ok(!self.client.row(TABLE, key, Some("local")).await?.found.is_empty())
    }

    async fn rows(&mut self) -> anyhow::Result<u64> {
        Ok(self.operator.status().await?.streams.iter().map(|stream| stream.rows).sum())
    }
}
