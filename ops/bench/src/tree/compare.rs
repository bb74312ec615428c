//! One run of Kho and one of its peer through the same four tiers.

use std::time::Duration;

use kho_storage::ids::Tier;
use serde::Serialize;

use super::{
    kho::KhoTree,
    lag::{LagReport, measure_lag},
    rows::{RowsReport, measure_rows},
    supply::{Supply, TreeRows, bring_one_through},
    tiers::Tree,
};
use crate::{measure::Measure, postgres::PostgresTree, process_use::ProcessMemory, progress, workbench::Workbench};

const TIERS: [Tier; 4] = [Tier::Central, Tier::Region, Tier::Province, Tier::District];
/// How long a node idles before its memory is read, and before lag is measured.
const REST: Duration = Duration::from_secs(10);

/// Of a district that has nothing to do.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct IdleMemory {
    /// It never held a row.
    pub empty: ProcessMemory,
    /// It took the bulk and then rested.
    pub worked: ProcessMemory,
    /// It was started again with all that was entered.
    pub holding: ProcessMemory,
    pub rows_held: u64,
}

/// What Kho came to.
pub struct KhoRun {
    pub idle: Option<IdleMemory>,
    pub rows: RowsReport,
    /// Of the district after the bulk.
    pub loaded: ProcessMemory,
    /// Between the district and its province while the bulk travelled, in both directions.
    pub link_bytes: u64,
    /// At half the rate that came through.
    pub lag: Option<LagReport>,
    /// At half the rate of a peer that could not keep up.
    pub lag_at_peer_rate: Option<LagReport>,
    /// Stopped; started again where the lag has to be measured at another rate.
    tree: KhoTree,
    /// The first row of the supply that the tree does not hold.
    next_row: u64,
}

/// What the peer came to.
pub struct PeerRun {
    pub rows: RowsReport,
    pub lag: Option<LagReport>,
    /// Where half of Kho's rate was too much: the rate of its lag instead.
    pub kept_up_with: Option<f64>,
}

/// Runs Kho, and stops it.
///
/// # Errors
/// As [`super::measure_tree`].
pub async fn run_kho(bench: &Workbench, rows: &TreeRows) -> anyhow::Result<KhoRun> {
    progress::begin("Kho: district, province, region and centre, one node each");
    let mut tree = KhoTree::start(&bench.folder("kho-tree"), &TIERS).await?;
    let district = tree.district();
    let empty = if bench.wants(Measure::Memory) { Some(idle_memory(&mut tree).await?) } else { None };
    let mut supply = Supply::of(&rows.more);
    let (mut sight, link_before) = (bring_one_through(&tree, &mut supply).await?, tree.district_link_bytes().await?);
    let report = measure_rows(&tree, &mut sight, &rows.bulk).await?;
    let (loaded, link_bytes) = (tree.memory(district)?, tree.district_link_bytes().await? - link_before);
    let worked = if empty.is_some() { Some(idle_memory(&mut tree).await?) } else { None };
    if empty.is_some() || bench.wants(Measure::TreeLag) {
        restart_and_rest(bench, &mut tree).await?;
    }
    let holding = tree.memory(district)?;
    let idle = empty.zip(worked).map(|(empty, worked)| IdleMemory { empty, worked, holding, rows_held: supply.next + report.rows });
    let lag = measure_lag_if_wanted(bench, &tree, &mut supply, report.rows_per_second / 2.0).await?;
    tree.stop()?;
    Ok(KhoRun { idle, rows: report, loaded, link_bytes, lag, lag_at_peer_rate: None, tree, next_row: supply.next })
}

async fn idle_memory(tree: &mut KhoTree) -> anyhow::Result<ProcessMemory> {
    tokio::time::sleep(REST).await;
    tree.memory(tree.district())
}

/// After it nothing is left to be done about what was entered before.
async fn restart_and_rest<T: Tree>(bench: &Workbench, tree: &mut T) -> anyhow::Result<()> {
    tree.restart().await?;
    bench.settle().await?;
    tokio::time::sleep(REST).await;
    Ok(())
}

impl KhoRun {
    /// Starts the tree again and measures its lag at another rate.
    ///
    /// # Errors
    /// As [`super::measure_tree`].
    pub async fn measure_lag_again(&mut self, bench: &Workbench, rows: &TreeRows, rows_per_second: f64) -> anyhow::Result<()> {
        progress::begin("Kho again, at the rate that the peer keeps up with");
        restart_and_rest(bench, &mut self.tree).await?;
        let mut supply = Supply { stock: &rows.more, next: self.next_row };
        self.lag_at_peer_rate = measure_lag_if_wanted(bench, &self.tree, &mut supply, rows_per_second).await?;
        self.next_row = supply.next;
        self.tree.stop()
    }
}

/// Runs the peer, where there is one.
///
/// # Errors
/// As [`super::measure_tree`].
pub async fn run_peer(bench: &Workbench, rows: &TreeRows, kho_rows_per_second: f64) -> anyhow::Result<Option<PeerRun>> {
    let postgres = match &bench.postgres {
        Ok(postgres) => postgres,
        Err(why) => {
            progress::note(why);
            return Ok(None);
        }
    };
    progress::begin(format_args!("PostgreSQL {}: the same four tiers by logical replication", postgres.version));
    let mut tree = PostgresTree::start(postgres, &bench.folder("postgres")).await?;
    let mut supply = Supply::of(&rows.more);
    let mut sight = bring_one_through(&tree, &mut supply).await?;
    let report = measure_rows(&tree, &mut sight, &rows.bulk).await?;
    let (rows_per_second, kept_up_with) = lag_rate(kho_rows_per_second, report.rows_per_second);
    drop(sight);
    if bench.wants(Measure::TreeLag) {
        restart_and_rest(bench, &mut tree).await?;
    }
    let lag = measure_lag_if_wanted(bench, &tree, &mut supply, rows_per_second).await?;
    Ok(Some(PeerRun { rows: report, kept_up_with: kept_up_with.filter(|_| lag.is_some()), lag }))
}

/// The load under which the peer's lag is measured: half of what Kho brought through. Where the peer could not keep up with that, half
/// of what it did bring through, which is given again.
fn lag_rate(kho_rows_per_second: f64, peer_rows_per_second: f64) -> (f64, Option<f64>) {
    let (half_of_kho, half_of_peer) = (kho_rows_per_second / 2.0, peer_rows_per_second / 2.0);
    if peer_rows_per_second > half_of_kho { (half_of_kho, None) } else { (half_of_peer, Some(half_of_peer)) }
}

async fn measure_lag_if_wanted<T: Tree>(
    bench: &Workbench,
    tree: &T,
    supply: &mut Supply<'_>,
    rows_per_second: f64,
) -> anyhow::Result<Option<LagReport>> {
    if !bench.wants(Measure::TreeLag) {
        return Ok(None);
    }
    let mut sight = bring_one_through(tree, supply).await?;
    measure_lag(tree, &mut sight, supply.lag_load(rows_per_second, bench.wanted.length)).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_gets_the_same_load_as_long_as_it_can_keep_up_and_else_one_that_both_can() {
        assert_eq!(lag_rate(10_000.0, 6_000.0), (5_000.0, None));
        assert_eq!(lag_rate(10_000.0, 5_000.0), (2_500.0, Some(2_500.0)));
    }
}
