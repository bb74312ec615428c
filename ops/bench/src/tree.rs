//! Measurements in a tree with one node a tier: of Kho, then of PostgreSQL.
//!
//! ```text
//!   entry, 4 sessions ─► district ─► province ─► region ─► centre ◄─ sight: is this key there?
//! ```
//! Both systems get the same rows in the same batches, each batch committed as a whole, and both are queried in the same way whether a row
//! has arrived: a look-up by key at the centre over a connection that stays open, repeated after a short pause until it finds the
//! row. Before anything is timed, one row has gone all the way, so that all links are up.
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
mod supply;
pub mod tiers;

use std::sync::Arc;

pub use self::growth::measure_growth;
use self::{
    compare::{run_kho, run_peer},
    outcomes::outcomes,
    supply::TreeRows,
};
use crate::{measure::Measure, outcome::Outcome, persons::BATCH_ROWS, progress, stock::Stock, workbench::Workbench};

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
    Ok(outcomes(bench, &rows, &kho, peer.as_ref()))
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
