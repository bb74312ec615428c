//! A site of three `khod` processes, and its clients: person rows as CSV over HTTPS, one request a write.

use std::{ops::Range, path::Path, sync::Arc};

use kho_storage::ids::{SiteId, Tier};

use super::{NODES, Site};
use crate::{
    bench::{
        load::Writer,
        persons::{PROVINCE, Persons},
    },
    client::NodeClient,
    local_tree::{LocalTree, PlannedSite, TreePlan, khod_beside},
};

const SITE: SiteId = SiteId(1);

/// A tree of one site.
pub struct KhoSite {
    tree: LocalTree,
    persons: Arc<Persons>,
}

impl KhoSite {
    /// Founds and starts it with the default limits; returns once a leader takes writes.
    ///
    /// # Errors
    /// When a node does not answer; the message ends with its log.
    pub async fn start(dir: &Path, persons: Arc<Persons>) -> anyhow::Result<Self> {
        let site = PlannedSite::new(SITE.0, "Tỉnh", Tier::Province, &[], NODES as u64).with_area(PROVINCE);
        let mut tree = LocalTree::found(dir, &khod_beside()?, TreePlan { tree: "bench".into(), sites: vec![site] }, None)?;
        tree.use_default_limits()?;
        tree.start().await?;
        tree.leader(SITE).await?;
        Ok(Self { tree, persons })
    }

    /// # Errors
    /// When a node did not stop by itself.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.tree.stop()
    }
}

/// A client of one node.
pub struct KhoWriter {
    client: NodeClient,
    persons: Arc<Persons>,
}

impl Site for KhoSite {
    type Writer = KhoWriter;

    async fn writer(&self, node: usize) -> anyhow::Result<KhoWriter> {
        let url = &self.tree.urls(SITE)[node];
        let client = self.tree.client(std::slice::from_ref(url), &format!("client-{SITE}"))?;
        Ok(KhoWriter { client, persons: Arc::clone(&self.persons) })
    }
}

impl Writer for KhoWriter {
    async fn write(&mut self, records: Range<u64>) -> anyhow::Result<()> {
        self.client.enter(self.persons.batch(records).upload()).await?;
        Ok(())
    }
}
