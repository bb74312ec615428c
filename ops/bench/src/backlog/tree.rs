//! A parent and its districts, each of one node with the default limits.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use kho_local_tree::{LocalTree, PlannedSite, TreePlan, khod_beside};
use kho_node::api::StreamReport;
use kho_ops::client::NodeClient;
use kho_storage::ids::{NodeId, SiteId, Tier};

use super::month::{District, Month};
use crate::{
    metrics::{SENT_BYTES, SENT_BYTES_AGE, metric},
    persons::BATCH_ROWS,
};

const PARENT: SiteId = SiteId(1);
const FIRST_DISTRICT: u32 = 11;
const NODE: NodeId = NodeId(1);

/// See the module.
pub struct BacklogTree {
    tree: LocalTree,
    districts: Vec<SiteId>,
    /// Queried again and again, so its connection stays open.
    parent: NodeClient,
}

/// Where a stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub seq: u64,
    pub rows: u64,
    pub digest: String,
}

impl BacklogTree {
    /// The sites of so many districts.
    pub fn sites_of(districts: usize) -> Vec<SiteId> {
        (FIRST_DISTRICT..).take(districts).map(SiteId).collect()
    }

    /// Creates and starts a parent and a district for each of these provinces, whose records it authors.
    ///
    /// # Errors
    /// When a node does not answer; the message ends with its log.
    pub async fn start(dir: &Path, provinces: &[&str]) -> anyhow::Result<Self> {
        let districts = Self::sites_of(provinces.len());
        let mut sites = vec![PlannedSite::new(PARENT.0, "Tỉnh", Tier::Province, &[], 1)];
        sites.extend(districts.iter().zip(provinces).map(|(site, province)| {
            PlannedSite::new(site.0, &format!("Huyện {site}"), Tier::District, &[PARENT.0], 1).with_area(province)
        }));
        let mut tree = LocalTree::create(dir, &khod_beside()?, TreePlan { tree: "bench".into(), sites }, None)?;
        tree.use_default_limits()?;
        tree.start().await?;
        let parent = tree.operator(PARENT)?;
        Ok(Self { tree, districts, parent })
    }

    pub fn districts(&self) -> Vec<SiteId> {
        self.districts.clone()
    }

    /// Enters the persons of every district, all districts side by side.
    ///
    /// # Errors
    /// When a batch is refused.
    pub async fn enter_persons(&self, districts: &BTreeMap<SiteId, District>) -> anyhow::Result<()> {
        let entered = districts.iter().map(|(site, district)| async move {
            let client = self.client_of(*site)?;
            for batch in district.persons.batches(0..district.persons.count(), BATCH_ROWS) {
                client.enter(batch.upload()).await?;
            }
            anyhow::Ok(())
        });
        try_join_all(entered).await.map(drop)
    }

    /// Enters a month's slips one after another.
    ///
    /// # Errors
    /// When a slip is refused.
    pub async fn enter_month(&self, site: SiteId, month: &Month) -> anyhow::Result<()> {
        let client = self.client_of(site)?;
        for slip in &month.slips {
            client.enter(slip.clone()).await?;
        }
        Ok(())
    }

    /// Starts those of these districts that do not run, and waits until they take writes.
    ///
    /// # Errors
    /// When one does not.
    pub async fn wait_for_districts(&mut self, districts: &[SiteId]) -> anyhow::Result<()> {
        self.start_districts(districts)?;
        for site in districts {
            self.tree.wait_for_answer(*site, NODE).await?;
            self.tree.leader(*site).await?;
        }
        Ok(())
    }

    /// # Errors
    /// When it did not stop by itself.
    pub fn stop_parent(&mut self) -> anyhow::Result<()> {
        self.stop_site(PARENT)
    }

    /// Stops every district, then starts the parent: no link is up yet.
    ///
    /// # Errors
    /// When a node did not stop, or the parent does not answer.
    pub async fn start_parent_alone(&mut self) -> anyhow::Result<()> {
        for site in self.districts() {
            self.stop_site(site)?;
        }
        self.tree.start_node(PARENT, NODE)?;
        self.tree.wait_for_answer(PARENT, NODE).await?;
        self.tree.leader(PARENT).await?;
        ensure!(!self.has_a_link().await?, "a district that was stopped has a link");
        Ok(())
    }

    /// # Errors
    /// When one can't be started.
    pub fn start_districts(&mut self, districts: &[SiteId]) -> anyhow::Result<()> {
        districts.iter().try_for_each(|site| self.tree.start_node(*site, NODE))
    }

    /// # Errors
    /// When the parent does not answer.
    pub async fn has_a_link(&self) -> anyhow::Result<bool> {
        Ok(self.parent.status().await?.children.iter().any(|child| child.connected))
    }

    /// Where a district stands in its own stream.
    ///
    /// # Errors
    /// When it does not answer or holds nothing.
    pub async fn position(&self, site: SiteId) -> anyhow::Result<Position> {
        let streams = self.tree.operator(site)?.status().await?.streams;
        streams
            .iter()
            .find(|stream| stream.origin == site.0)
            .map(Position::of)
            .with_context(|| format!("site {site} has no stream of its own"))
    }

    /// Where the parent stands in every stream.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn held(&self) -> anyhow::Result<BTreeMap<SiteId, Position>> {
        Ok(self.parent.status().await?.streams.iter().map(|stream| (SiteId(stream.origin), Position::of(stream))).collect())
    }

    /// Bytes that these districts have sent since they were started, with the headers of UDP and IP.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn sent_bytes(&self, districts: &[SiteId]) -> anyhow::Result<u64> {
        tokio::time::sleep(SENT_BYTES_AGE).await;
        let mut sum = 0;
        for site in districts {
            let metrics = self.tree.operator(*site)?.metrics().await?;
            sum += metric(&metrics, SENT_BYTES).with_context(|| format!("site {site} does not report {SENT_BYTES}"))?;
        }
        Ok(sum)
    }

    /// # Errors
    /// When a node did not stop by itself.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.tree.stop()
    }

    fn stop_site(&mut self, site: SiteId) -> anyhow::Result<()> {
        self.tree.process(site, NODE).with_context(|| format!("site {site} was started"))?.stop()
    }

    fn client_of(&self, site: SiteId) -> anyhow::Result<NodeClient> {
        self.tree.client(&self.tree.urls(site), &format!("client-{site}"))
    }
}

impl Position {
    fn of(stream: &StreamReport) -> Self {
        Self { seq: stream.seq, rows: stream.rows, digest: stream.digest.clone() }
    }
}
