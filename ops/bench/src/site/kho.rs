//! A site of three `khod` processes, and its clients: rows as CSV over HTTPS, one request a write.

use std::{ops::Range, path::Path, sync::Arc};

use kho_local_tree::{LocalTree, PlannedSite, TreePlan, khod_beside};
use kho_ops::client::{BatchUpload, NodeClient};
use kho_storage::ids::{SiteId, Tier};

use super::nodes::{NODES, Site};
use crate::{
    folder_bytes::folder_bytes,
    load::Writer,
    persons::{PROVINCE, Persons},
    records::{self, RECORDS_TOML},
};

const SITE: SiteId = SiteId(1);

/// What is written, by number.
#[derive(Debug, Clone)]
pub enum Rows {
    /// Under the population schema, with its cubes.
    Persons(Arc<Persons>),
    /// Of 256 bytes, under a schema without cubes.
    Records,
}

impl Rows {
    fn upload(&self, numbers: Range<u64>) -> BatchUpload {
        match self {
            Self::Persons(persons) => persons.batch(numbers).upload(),
            Self::Records => records::upload(numbers),
        }
    }
}

/// A tree of one site.
pub struct KhoSite {
    tree: LocalTree,
    rows: Rows,
}

impl KhoSite {
    /// Creates and starts it with the default limits; returns once a leader takes writes.
    ///
    /// # Errors
    /// When a node does not answer; the message ends with its log.
    pub async fn start(dir: &Path, rows: Rows) -> anyhow::Result<Self> {
        let site = PlannedSite::new(SITE.0, "Tỉnh", Tier::Province, &[], NODES as u64).with_area(PROVINCE);
        let mut tree = LocalTree::create(dir, &khod_beside()?, TreePlan { tree: "bench".into(), sites: vec![site] }, None)?;
        tree.use_default_limits()?;
        if let Rows::Records = rows {
            tree.use_schema(RECORDS_TOML)?;
        }
        tree.start().await?;
        tree.leader(SITE).await?;
        Ok(Self { tree, rows })
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
    rows: Rows,
}

impl Site for KhoSite {
    type Writer = KhoWriter;

    async fn writer(&self, node: usize) -> anyhow::Result<KhoWriter> {
        let url = &self.tree.urls(SITE)[node];
        let client = self.tree.client(std::slice::from_ref(url), &format!("client-{SITE}"))?;
        Ok(KhoWriter { client, rows: self.rows.clone() })
    }

    fn disk_bytes(&self) -> anyhow::Result<u64> {
        Ok(folder_bytes(self.tree.dir())?)
    }
}

impl Writer for KhoWriter {
    async fn write(&mut self, records: Range<u64>) -> anyhow::Result<()> {
        self.client.enter(self.rows.upload(records)).await?;
        Ok(())
    }
}
