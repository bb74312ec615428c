//! Measurements in a tree of four tiers with one node each: of Kho, then of PostgreSQL.
//!
//! ```text
//!   entry, 4 sessions ─► district ─► province ─► region ─► centre ◄─ sight: is this key there?
//! ```
//! Both systems get the same rows in the same batches, each batch committed as a whole, and both are asked the same way whether a row
//! has arrived: a look-up by key at the centre over a connection that stays open, repeated after a short pause until it finds the
//! row. Before anything is timed, one row has gone all the way, so that all lines stand.

mod arrival;
mod kho;
mod lag;
mod outcomes;
mod rows;

use std::{sync::Arc, time::Duration};

use self::{
    arrival::wait_until_held,
    kho::KhoTree,
    lag::{LagLoad, LagReport, PROBES_PER_SECOND, measure_lag},
    rows::{RowsReport, measure_rows},
};
use super::{
    measure::Measure,
    outcome::Outcome,
    persons::{PersonBatch, Persons},
    postgres::PostgresTree,
    process_memory::ProcessMemory,
    progress,
    workbench::Workbench,
};

/// Rows of a batch, as `kho import` sends them by default.
const BATCH_ROWS: u64 = 5_000;
/// Batches on their way in at once, as with `kho import`.
const SESSIONS: usize = 4;
/// How long a node idles before its memory is read.
const IDLE: Duration = Duration::from_secs(10);
/// So many rows a second are made in advance for `tree-lag`. A tree that is faster is measured for a shorter time.
const LAG_ROWS_PER_SECOND_MAX: u64 = 60_000;
/// Rows made in advance for `tree-lag`; they are held in memory.
const LAG_ROWS_MAX: u64 = 1_500_000;

/// Four tiers, through which rows travel.
pub trait Tree {
    type Entry: Entry;
    type Sight: Sight;

    /// A session at the district.
    async fn entry(&self) -> anyhow::Result<Self::Entry>;

    /// A session at the centre.
    async fn sight(&self) -> anyhow::Result<Self::Sight>;
}

/// Where rows go in.
pub trait Entry: Send + 'static {
    /// Enters a batch as a whole; returns once the district has committed it.
    fn enter(&mut self, batch: &PersonBatch) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Where rows have to arrive.
pub trait Sight {
    /// Whether the person with this key is there.
    async fn holds(&mut self, key: &str) -> anyhow::Result<bool>;

    /// All persons that are there.
    async fn rows(&mut self) -> anyhow::Result<u64>;
}

/// The rows of one run.
struct TreeRows {
    trial: PersonBatch,
    bulk: Arc<Vec<PersonBatch>>,
    /// Of `bulk`, as CSV without a header.
    bulk_csv_bytes: u64,
    lag_load: Arc<Vec<PersonBatch>>,
    probes: Vec<PersonBatch>,
}

/// What Kho came to.
struct KhoRun {
    idle: Option<ProcessMemory>,
    rows: RowsReport,
    /// Of the district after the bulk.
    loaded: ProcessMemory,
    /// From the district to its province while the bulk travelled.
    sent_bytes: u64,
    lag: Option<LagReport>,
}

/// What the peer came to.
struct PeerRun {
    rows: RowsReport,
    lag: Option<LagReport>,
}

/// Runs those of the measurements that are wanted.
///
/// # Errors
/// When a node can't be started, rows were refused, or they never arrived.
pub async fn measure_tree(bench: &Workbench) -> anyhow::Result<Vec<Outcome>> {
    if !bench.measures.iter().any(|measure| measure.is_of_tree()) {
        return Ok(vec![]);
    }
    let rows = make_rows(bench).await?;
    progress::begin("Kho: district, province, region and centre, one node each");
    let kho = run_kho(bench, &rows).await?;
    let peer = if bench.wants(Measure::TreeRows) || bench.wants(Measure::TreeLag) { run_postgres(bench, &rows, &kho).await? } else { None };
    Ok(outcomes::outcomes(bench, &rows, &kho, peer.as_ref()))
}

async fn make_rows(bench: &Workbench) -> anyhow::Result<TreeRows> {
    let lag_seconds = if bench.wants(Measure::TreeLag) { bench.length.as_secs() } else { 0 };
    let (lag_rows, probes) = ((LAG_ROWS_PER_SECOND_MAX * lag_seconds).min(LAG_ROWS_MAX), PROBES_PER_SECOND * lag_seconds);
    let bulk = 1..1 + bench.persons;
    let lag_load = bulk.end..bulk.end + lag_rows;
    let probes = lag_load.end..lag_load.end + probes;
    progress::begin(format_args!("Making {} synthetic persons", probes.end));
    let persons: Persons = bench.persons(probes.end).await?;
    Ok(TreeRows {
        trial: persons.batch(0..1),
        bulk_csv_bytes: persons.csv_bytes(bulk.clone()),
        bulk: Arc::new(persons.batches(bulk, BATCH_ROWS)),
        lag_load: Arc::new(persons.batches(lag_load, BATCH_ROWS)),
        probes: persons.batches(probes, 1),
    })
}

async fn run_kho(bench: &Workbench, rows: &TreeRows) -> anyhow::Result<KhoRun> {
    let mut tree = KhoTree::start(&bench.folder("kho-tree")).await?;
    let idle = if bench.wants(Measure::Memory) {
        tokio::time::sleep(IDLE).await;
        Some(tree.district_memory()?)
    } else {
        None
    };
    let (mut sight, sent_before) = (bring_one_through(&tree, rows).await?, tree.district_sent_bytes().await?);
    let report = measure_rows(&tree, &mut sight, &rows.bulk).await?;
    let (loaded, sent_bytes) = (tree.district_memory()?, tree.district_sent_bytes().await? - sent_before);
    let lag = match bench.wants(Measure::TreeLag) {
        true => Some(measure_lag(&tree, &mut sight, lag_load(rows, bench, report.rows_per_second / 2.0)).await?),
        false => None,
    };
    tree.stop()?;
    Ok(KhoRun { idle, rows: report, loaded, sent_bytes, lag })
}

async fn run_postgres(bench: &Workbench, rows: &TreeRows, kho: &KhoRun) -> anyhow::Result<Option<PeerRun>> {
    let postgres = match &bench.postgres {
        Ok(postgres) => postgres,
        Err(why) => {
            progress::note(why);
            return Ok(None);
        }
    };
    progress::begin(format_args!("PostgreSQL {}: the same four tiers by logical replication", postgres.version));
    let tree = PostgresTree::start(postgres, &bench.folder("postgres")).await?;
    let mut sight = bring_one_through(&tree, rows).await?;
    let report = measure_rows(&tree, &mut sight, &rows.bulk).await?;
    let lag = match bench.wants(Measure::TreeLag) {
        true => Some(measure_lag(&tree, &mut sight, lag_load(rows, bench, peer_rate(kho.rows.rows_per_second, report.rows_per_second))).await?),
        false => None,
    };
    Ok(Some(PeerRun { rows: report, lag }))
}

/// The load under which the peer's lag is measured: half of what Kho brought through, or of what the peer did where it could
/// not keep up with that.
fn peer_rate(kho_rows_per_second: f64, peer_rows_per_second: f64) -> f64 {
    let half = kho_rows_per_second / 2.0;
    if peer_rows_per_second > half { half } else { peer_rows_per_second / 2.0 }
}

fn lag_load(rows: &TreeRows, bench: &Workbench, rows_per_second: f64) -> LagLoad {
    LagLoad { rows_per_second, batches: Arc::clone(&rows.lag_load), probes: rows.probes.clone(), length: bench.length }
}

/// Waits until one row has gone all the way.
async fn bring_one_through<T: Tree>(tree: &T, rows: &TreeRows) -> anyhow::Result<T::Sight> {
    let mut sight = tree.sight().await?;
    tree.entry().await?.enter(&rows.trial).await?;
    wait_until_held(&mut sight, &rows.trial.last_key).await?;
    Ok(sight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_gets_the_same_load_as_long_as_it_can_keep_up() {
        assert_eq!(peer_rate(10_000.0, 6_000.0), 5_000.0);
        assert_eq!(peer_rate(10_000.0, 5_000.0), 2_500.0);
    }
}
