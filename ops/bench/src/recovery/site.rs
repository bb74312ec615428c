//! The site that holds many rows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use kho_local_tree::{LocalTree, PlannedSite, TreePlan, khod_beside};
use kho_node::api::{NodePlace, StatusReport};
use kho_ops::{client::NodeClient, commands::print::grouped};
use kho_storage::ids::{NodeId, SiteId, Tier};
use tokio::task::JoinSet;

use crate::{
    figure::{Figure, Unit},
    folder_bytes::folder_bytes,
    persons::{BATCH_ROWS, PROVINCE, SESSIONS},
    process_use::ProcessMemory,
    progress,
    stock::Stock,
    workbench::Workbench,
};

const SITE: SiteId = SiteId(1);
/// The node that holds the rows.
pub const FIRST: NodeId = NodeId(1);
/// The one that joins.
pub const SECOND: NodeId = NodeId(2);
/// Persons that come again and again.
const STOCK_PERSONS: u64 = 100_000;
/// A load reports how far it is after so many rows.
const REPORT_ROWS: u64 = 1_000_000;
/// How long a node may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(600);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// See the module.
pub struct RecoverySite {
    tree: LocalTree,
    stock: Stock,
    /// Rows that were entered.
    rows: u64,
}

impl RecoverySite {
    /// Creates and starts it with the default limits, without a row.
    ///
    /// # Errors
    /// When the node does not answer; the message ends with its log.
    pub async fn start(bench: &Workbench) -> anyhow::Result<Self> {
        let stock = Stock::over(Arc::new(bench.persons(STOCK_PERSONS.min(bench.wanted.rows_held)).await?));
        let site = PlannedSite::new(SITE.0, "Tỉnh", Tier::Province, &[], 1).with_area(PROVINCE);
        let mut tree =
            LocalTree::create(&bench.folder("site"), &khod_beside()?, TreePlan { tree: "bench".into(), sites: vec![site] }, None)?;
        tree.use_default_limits()?;
        tree.start().await?;
        tree.leader(SITE).await?;
        Ok(Self { tree, stock, rows: 0 })
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Enters so many more rows, as fast as the site takes them.
    ///
    /// # Errors
    /// When a batch is refused.
    pub async fn load(&mut self, rows: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        let (end, next) = (self.rows + rows, Arc::new(AtomicU64::new(self.rows)));
        let mut sessions = JoinSet::new();
        for _ in 0..SESSIONS {
            let client = self.tree.client(&[self.tree.url(SITE, FIRST)], &format!("client-{SITE}"))?;
            sessions.spawn(enter(client, self.stock.clone(), Arc::clone(&next), end));
        }
        while let Some(session) = sessions.join_next().await {
            session.context("a session failed")??;
        }
        self.rows = end;
        let seconds = begun.elapsed().as_secs_f64();
        progress::note(format_args!(
            "{} rows entered in {seconds:.1} s, {}",
            grouped(rows),
            Figure::new(rows as f64 / seconds, Unit::RowsPerSecond)
        ));
        Ok(())
    }

    /// # Errors
    /// When a node did not stop by itself.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.tree.stop()
    }

    /// kill -9.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.tree.process(SITE, FIRST).context("the node was started")?.kill()
    }

    /// Starts the first node and waits until it says that it is ready; gives the time that took.
    ///
    /// # Errors
    /// When it ends or is never ready; the message ends with its log.
    pub async fn time_start(&mut self) -> anyhow::Result<Duration> {
        let client = self.tree.client(&[self.tree.url(SITE, FIRST)], "operator")?;
        let begun = Instant::now();
        self.tree.start_node(SITE, FIRST)?;
        while client.ready().await.is_err() {
            let process = self.tree.process(SITE, FIRST).context("the node was started")?;
            ensure!(
                process.runs() && begun.elapsed() < READY_TIMEOUT,
                "the node did not become ready; the end of its log:\n{}",
                process.log_tail()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(begun.elapsed())
    }

    /// Makes the second node's keys, gives the site a register with them, and starts it. It takes part only after the site has added it.
    ///
    /// # Errors
    /// When a file can't be written or the node does not answer.
    pub async fn prepare_second(&mut self) -> anyhow::Result<NodePlace> {
        self.tree.add_node_files(SITE, SECOND)?;
        let path = self.tree.node_dir(SITE, SECOND).join("khod.toml");
        let first = std::fs::read_to_string(self.tree.node_dir(SITE, FIRST).join("khod.toml"))?;
        let text = std::fs::read_to_string(&path)?;
        // The first has the default limits, which it does not name.
        let (without_limits, _) = text
            .split_once("\n[limits]")
            .filter(|_| !first.contains("[limits]"))
            .context("a new node is configured with limits, and the first without")?;
        std::fs::write(&path, without_limits)?;
        self.operator()?.apply_register(&self.tree.register()?).await?;
        self.tree.start_node(SITE, SECOND)?;
        self.tree.wait_for_answer(SITE, SECOND).await?;
        Ok(self.tree.node_place(SITE, SECOND))
    }

    /// A client of the first node, as operator.
    ///
    /// # Errors
    /// When the identity can't be loaded.
    pub fn operator(&self) -> anyhow::Result<NodeClient> {
        self.tree.client(&[self.tree.url(SITE, FIRST)], "operator")
    }

    /// # Errors
    /// When the node does not answer.
    pub async fn status(&self, node: NodeId) -> anyhow::Result<StatusReport> {
        self.tree.status(SITE, node).await
    }

    /// # Errors
    /// When the node does not run.
    pub fn memory(&mut self, node: NodeId) -> anyhow::Result<ProcessMemory> {
        let process = self.tree.process(SITE, node).context("the node was started")?;
        ProcessMemory::of(process.id().context("the node runs")?)
    }

    /// What a node takes on the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn disk_bytes(&self, node: NodeId) -> anyhow::Result<u64> {
        Ok(folder_bytes(&self.tree.node_dir(SITE, node))?)
    }
}

/// Enters batches up to the row `end` as long as there are any that no other session has taken.
async fn enter(client: NodeClient, stock: Stock, next: Arc<AtomicU64>, end: u64) -> anyhow::Result<()> {
    loop {
        let start = next.fetch_add(BATCH_ROWS, Ordering::Relaxed);
        if start >= end {
            return Ok(());
        }
        client.enter(stock.batch(start..end.min(start + BATCH_ROWS)).upload()).await?;
        if start > 0 && start % REPORT_ROWS < BATCH_ROWS {
            progress::note(format_args!("{} of {} rows", grouped(start), grouped(end)));
        }
    }
}
