//! How long a node takes from its start until it says that it is ready: after it was stopped, and after it was killed.
//!
//! A node that was stopped has everything in its files. One that was killed applies again from its log what was not in them.

use super::site::{FIRST, RecoverySite};
use crate::{
    figure::{Figure, Unit},
    measure::Measure,
    observation::{Observation, Point},
    progress,
};
use kho_ops::commands::print::grouped;

/// Rows entered right before the node is killed.
const UNFLUSHED_ROWS_MAX: u64 = 500_000;

/// Stops, starts, kills and starts the first node; it runs at the end.
///
/// # Errors
/// When it does not become ready.
pub async fn measure_start(site: &mut RecoverySite) -> anyhow::Result<Observation> {
    let rows = site.rows();
    site.stop()?;
    let stopped = time(site, "after a clean stop").await?;
    let more = (rows / 10).clamp(1, UNFLUSHED_ROWS_MAX);
    site.load(more).await?;
    site.kill()?;
    let killed = time(site, "after kill -9").await?;
    Ok(Observation {
        measure: Measure::Start,
        what: format!("start: from the start of a node with {} rows until it is ready", grouped(rows)),
        points: vec![stopped, killed],
        notes: vec![format!("killed right after {} more rows were acknowledged; files were in the system's cache", grouped(more))],
    })
}

async fn time(site: &mut RecoverySite, at: &str) -> anyhow::Result<Point> {
    let ready = Figure::new(site.time_start().await?.as_secs_f64(), Unit::Seconds);
    progress::note(format_args!("start: ready {ready} {at}"));
    let resident = Figure::new(site.memory(FIRST)?.resident_bytes as f64, Unit::Bytes);
    Ok(Point { at: at.into(), figures: vec![("ready_after", ready), ("resident", resident)] })
}
