//! A site of one node that holds many rows: how long it takes to start, and how long until another node has joined it.
//!
//! ```text
//!   load ─► stop, start ─► more rows, kill -9, start ─► a second node joins ─► …
//! ```
//! Rows come from a stock, under ever new keys, in batches as `kho import` sends them.

mod join;
mod site;
mod start;

use crate::{measure::Measure, observation::Observation, progress, workbench::Workbench};
use kho_ops::commands::print::grouped;
use site::RecoverySite;

/// Runs those of the two measurements that are wanted.
///
/// # Errors
/// When a node can't be started, rows were refused, or the second node never joined.
pub async fn measure_recovery(bench: &Workbench) -> anyhow::Result<Vec<Observation>> {
    let rows = bench.wanted.rows_held;
    progress::begin(format_args!("Kho: a site of one node with {} rows", grouped(rows)));
    let mut site = RecoverySite::start(bench).await?;
    site.load(rows).await?;
    let mut observations = Vec::new();
    if bench.wants(Measure::Start) {
        observations.push(start::measure_start(&mut site).await?);
    }
    if bench.wants(Measure::Join) {
        observations.push(join::measure_join(&mut site).await?);
    }
    site.stop()?;
    Ok(observations)
}
