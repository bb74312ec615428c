//! Measurements in a tree with one node a tier: of Kho, then of PostgreSQL.
//!
//! ```text
//!   entry, 4 sessions ─► district ─► province ─► region ─► centre ◄─ sight: is this key there?
//! ```
//! Both systems get the same rows in the same batches, each batch committed as a whole, and both are asked the same way whether a row
//! has arrived: a look-up by key at the centre over a connection that stays open, repeated after a short pause until it finds the
//! row. Before anything is timed, one row has gone all the way, so that all lines stand.
//!
//! Before lag is measured, either system is shut down and started again, the disk takes what is still to be written, and the system
//! rests: what it had to do about the rows before is over then, for the one as for the other.
//!
//! Lag is measured at half the rate that Kho brought through. Where the peer can't keep up with that, the lag of both is measured at
//! half the peer's rate too, and that is compared (`compare`).

mod arrival;
mod compare;
mod growth;
mod kho;
mod lag;
mod outcomes;
mod rows;

use std::sync::Arc;

pub use self::{
    arrival::wait_until_held,
    growth::measure_growth,
    kho::{SENT_BYTES, SENT_BYTES_AGE, metric},
    rows::SESSIONS,
};
use self::{
    compare::{run_kho, run_peer},
    lag::{LagLoad, PROBES_PER_SECOND},
};
use crate::{measure::Measure, outcome::Outcome, persons::PersonBatch, progress, stock::Stock, workbench::Workbench};

/// Rows of a batch, as `kho import` sends them by default.
pub const BATCH_ROWS: u64 = 5_000;
/// Rows of one load of `lag`; they are held in memory. A tree that is faster is measured for a shorter time.
const LAG_ROWS_MAX: u64 = 1_500_000;

/// Tiers through which rows travel.
pub trait Tree {
    type Entry: Entry;
    type Sight: Sight;

    /// Shuts every node down in good order and starts it again.
    async fn restart(&mut self) -> anyhow::Result<()>;

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

/// The rows of one run; every system gets them from the beginning.
struct TreeRows {
    bulk: Arc<Vec<PersonBatch>>,
    /// Of `bulk`, as CSV without a header.
    bulk_csv_bytes: u64,
    /// What comes before and behind.
    more: Stock,
}

/// Rows of a stock that were not entered yet.
struct Supply<'a> {
    stock: &'a Stock,
    next: u64,
}

impl<'a> Supply<'a> {
    fn of(stock: &'a Stock) -> Self {
        Self { stock, next: 0 }
    }

    /// The next `count` rows, at least one, in batches.
    fn take(&mut self, count: u64, batch_rows: u64) -> Vec<PersonBatch> {
        let start = self.next;
        self.next += count.max(1);
        self.stock.batches(start..self.next, batch_rows)
    }

    /// What `lag` needs at this rate.
    fn lag_load(&mut self, rows_per_second: f64, length: std::time::Duration) -> LagLoad {
        // One batch more than is due within the time, so that the rows never end it.
        let rows = (rows_per_second * length.as_secs_f64()) as u64 + BATCH_ROWS;
        let probes = PROBES_PER_SECOND * length.as_secs().max(1);
        LagLoad { rows_per_second, batches: Arc::new(self.take(rows.min(LAG_ROWS_MAX), BATCH_ROWS)), probes: self.take(probes, 1), length }
    }
}

/// Runs those of the measurements with a goal that are wanted.
///
/// # Errors
/// When a node can't be started, rows were refused, or they never arrived.
pub async fn measure_tree(bench: &Workbench) -> anyhow::Result<Vec<Outcome>> {
    if !bench.wanted.measures.iter().any(|measure| measure.is_of_tree()) {
        return Ok(vec![]);
    }
    let rows = make_rows(bench).await?;
    let mut kho = run_kho(bench, &rows).await?;
    bench.settle().await?;
    let with_peer = bench.wants(Measure::TreeRows) || bench.wants(Measure::TreeLag);
    let peer = if with_peer { run_peer(bench, &rows, kho.rows.rows_per_second).await? } else { None };
    if let Some(rows_per_second) = peer.as_ref().and_then(|peer| peer.kept_up_with) {
        kho.measure_lag_again(bench, &rows, rows_per_second).await?;
    }
    Ok(outcomes::outcomes(bench, &rows, &kho, peer.as_ref()))
}

async fn make_rows(bench: &Workbench) -> anyhow::Result<TreeRows> {
    let count = bench.wanted.persons;
    progress::begin(format_args!("Making {count} synthetic persons"));
    let persons = Arc::new(bench.persons(count).await?);
    Ok(TreeRows {
        bulk_csv_bytes: persons.csv_bytes(0..count),
        bulk: Arc::new(persons.batches(0..count, BATCH_ROWS)),
        more: Stock::over(persons),
    })
}

/// Waits until one row has gone all the way.
async fn bring_one_through<T: Tree>(tree: &T, supply: &mut Supply<'_>) -> anyhow::Result<T::Sight> {
    let mut sight = tree.sight().await?;
    for trial in supply.take(1, 1) {
        tree.entry().await?.enter(&trial).await?;
        wait_until_held(&mut sight, &trial.last_key).await?;
    }
    Ok(sight)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;
    use crate::persons::Persons;

    #[test]
    fn no_row_of_a_supply_is_taken_twice_and_a_lag_load_outlasts_its_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let stock = Stock::over(Arc::new(Persons::synthesise(&dir.path().join("population"), 100).expect("made")));
        let mut supply = Supply::of(&stock);
        let first = supply.take(3, 2);
        let load = supply.lag_load(2_000.0, Duration::from_secs(3));
        assert_eq!(load.batches.iter().map(|batch| batch.rows).sum::<u64>(), 2_000 * 3 + BATCH_ROWS);
        assert_eq!(load.probes.len() as u64, 3 * PROBES_PER_SECOND);
        let last = supply.take(1, 1);
        let text = first
            .iter()
            .chain(load.batches.iter())
            .chain(&load.probes)
            .chain(&last)
            .map(|batch| String::from_utf8_lossy(batch.csv_rows()))
            .collect::<String>();
        let keys: BTreeSet<&str> = text.lines().filter_map(|row| row.split(',').next()).collect();
        assert_eq!((keys.len() as u64, text.lines().count() as u64), (supply.next, supply.next));
    }
}
