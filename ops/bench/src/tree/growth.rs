//! How rate and lag change while rows grow: from a district to the centre, both of one node with the default limits.
//!
//! ```text
//!   load up to a point ──► rate of the last rows before it ──► lag at half of that ──► memory and disk ──► next point
//! ```
//! Rows come from a stock, under ever new keys. What `lag` enters counts to the rows held.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use kho_ops::commands::print::grouped;
use kho_storage::ids::Tier;

use super::{
    kho::{CENTRE, KhoSight, KhoTree},
    lag::{LagReport, measure_lag},
    rows::measure_rows,
    supply::{Supply, bring_one_through},
    tiers::Sight as _,
};
use crate::{
    figure::{Figure, Unit},
    measure::Measure,
    observation::{NamedFigure, Observation, Point},
    persons::BATCH_ROWS,
    progress,
    stock::Stock,
    workbench::Workbench,
};

const TIERS: [Tier; 2] = [Tier::Central, Tier::District];
/// Persons that come again and again.
const STOCK_PERSONS: u64 = 100_000;
/// Rows of one load; they are held in memory. The rate at a point is that of the last one before it.
const LOAD_ROWS_MAX: u64 = 500_000;
/// How long the last rows of a load may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Where it is measured, in hundredths of all rows: with 30 million at 1, 2, 5, 10, 20 and 30.
const POINTS: [f64; 6] = [100.0 / 30.0, 200.0 / 30.0, 500.0 / 30.0, 1_000.0 / 30.0, 2_000.0 / 30.0, 100.0];

/// Measures at growing numbers of rows.
///
/// # Errors
/// When a node can't be started, rows were refused, or they never arrived.
pub async fn measure_growth(bench: &Workbench) -> anyhow::Result<Observation> {
    let rows_max = bench.wanted.rows_max;
    progress::begin(format_args!("Kho: a district and the centre, up to {} rows", grouped(rows_max)));
    let stock = Stock::over(Arc::new(bench.persons(STOCK_PERSONS.min(rows_max)).await?));
    let mut tree = KhoTree::start(&bench.folder("growth"), &TIERS).await?;
    let mut supply = Supply::of(&stock);
    let mut sight = bring_one_through(&tree, &mut supply).await?;
    // The row that went through.
    let mut held = 1;
    let mut points = Vec::new();
    for target in POINTS.map(|hundredths| (rows_max as f64 * hundredths / 100.0).round() as u64) {
        // Where points lie near each other, what `lag` entered at one may have passed the next.
        let Some(rows_per_second) = load_up_to(target, &mut held, &tree, &mut sight, &mut supply).await? else { continue };
        let held_at_point = held;
        let lag = measure_lag(&tree, &mut sight, supply.lag_load(rows_per_second / 2.0, bench.wanted.length)).await?;
        held += lag.rows;
        wait_for_rows(&mut sight, held).await?;
        let point =
            Point { at: format!("{} rows", grouped(held_at_point)), figures: figures(&mut tree, held_at_point, rows_per_second, &lag)? };
        progress::note(format_args!("growth: {}", point.at));
        points.push(point);
    }
    tree.stop()?;
    Ok(Observation {
        measure: Measure::Growth,
        what: format!("growth: person rows from a district to the centre, up to {}", grouped(rows_max)),
        points,
        notes: vec![format!("rate of the last {} rows at most before each point; lag at half of it", grouped(LOAD_ROWS_MAX))],
    })
}

/// Enters rows until the centre holds `target` of them; gives the rate of the last load, if there was one.
async fn load_up_to(
    target: u64,
    held: &mut u64,
    tree: &KhoTree,
    sight: &mut KhoSight,
    supply: &mut Supply<'_>,
) -> anyhow::Result<Option<f64>> {
    let mut rows_per_second = None;
    while *held < target {
        // Loads of the same length, so that the last one says as much as any.
        let missing = target - *held;
        let batches = Arc::new(supply.take(missing.div_ceil(missing.div_ceil(LOAD_ROWS_MAX)), BATCH_ROWS));
        let report = measure_rows(tree, sight, &batches).await?;
        *held += report.rows;
        rows_per_second = Some(report.rows_per_second);
    }
    Ok(rows_per_second)
}

/// Waits until the last rows of a load have arrived, which nobody queried one by one.
async fn wait_for_rows(sight: &mut KhoSight, rows: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let held = sight.rows().await?;
        if held == rows {
            return Ok(());
        }
        ensure!(held < rows && Instant::now() < deadline, "the centre holds {held} rows, and {rows} were entered");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn figures(tree: &mut KhoTree, held: u64, rows_per_second: f64, lag: &LagReport) -> anyhow::Result<Vec<NamedFigure>> {
    let district = tree.district();
    let bytes = |bytes: u64| Figure::new(bytes as f64, Unit::Bytes);
    Ok(vec![
        ("rows_held", Figure::new(held as f64, Unit::Rows)),
        ("rate", Figure::new(rows_per_second, Unit::RowsPerSecond)),
        ("lag_50", Figure::new(lag.lag_seconds.p50, Unit::Seconds)),
        ("lag_99", Figure::new(lag.lag_seconds.p99, Unit::Seconds)),
        ("resident_district", bytes(tree.memory(district)?.resident_bytes)),
        ("resident_centre", bytes(tree.memory(CENTRE)?.resident_bytes)),
        ("disk_district", bytes(tree.disk_bytes(district)?)),
        ("disk_centre", bytes(tree.disk_bytes(CENTRE)?)),
    ])
}
