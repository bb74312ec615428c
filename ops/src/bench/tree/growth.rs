//! How rate and lag change while rows grow: from a district to the centre, both of one node with the default limits.
//!
//! ```text
//!   load up to a point ──► rate of the last rows before it ──► lag at half of that ──► memory and disk ──► next point
//! ```
//! Rows come from a stock, under ever new keys. What `lag` enters counts to the rows held.

use std::sync::Arc;

use kho_storage::ids::Tier;

use super::{
    BATCH_ROWS, Supply, bring_one_through,
    kho::{CENTRE, KhoTree},
    lag::measure_lag,
    rows::measure_rows,
};
use crate::{
    bench::{
        figure::{Figure, Unit},
        measure::Measure,
        observation::{Observation, Point},
        progress,
        stock::Stock,
        workbench::Workbench,
    },
    commands::print::grouped,
};

const TIERS: [Tier; 2] = [Tier::Central, Tier::District];
/// Persons that come again and again.
const STOCK_PERSONS: u64 = 100_000;
/// Rows of one load; they are held in memory. The rate at a point is that of the last one before it.
const LOAD_ROWS_MAX: u64 = 500_000;
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
    let mut points = Vec::new();
    for target in POINTS.map(|hundredths| (rows_max as f64 * hundredths / 100.0).round() as u64) {
        let mut rows_per_second = None;
        while supply.next < target {
            let batches = Arc::new(supply.take((target - supply.next).min(LOAD_ROWS_MAX), BATCH_ROWS));
            rows_per_second = Some(measure_rows(&tree, &mut sight, &batches).await?.rows_per_second);
        }
        // Where the points lie near each other, the rows of a lag may have passed the next one.
        let Some(rows_per_second) = rows_per_second else { continue };
        let held = supply.next;
        let lag = measure_lag(&tree, &mut sight, supply.lag_load(rows_per_second / 2.0, bench.wanted.length)).await?.lag_seconds;
        let point = Point {
            at: format!("{} rows", grouped(held)),
            figures: vec![
                ("rows_held", Figure::new(held as f64, Unit::Rows)),
                ("rate", Figure::new(rows_per_second, Unit::RowsPerSecond)),
                ("lag_50", Figure::new(lag.p50, Unit::Seconds)),
                ("lag_99", Figure::new(lag.p99, Unit::Seconds)),
                ("resident_district", Figure::new(tree.memory(tree.district())?.resident_bytes as f64, Unit::Bytes)),
                ("resident_centre", Figure::new(tree.memory(CENTRE)?.resident_bytes as f64, Unit::Bytes)),
                ("disk_district", Figure::new(tree.disk_bytes(tree.district())? as f64, Unit::Bytes)),
                ("disk_centre", Figure::new(tree.disk_bytes(CENTRE)? as f64, Unit::Bytes)),
            ],
        };
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
