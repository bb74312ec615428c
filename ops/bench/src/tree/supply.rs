//! The rows of one run, and how they are handed out: no row is entered twice.

use std::{sync::Arc, time::Duration};

use super::{
    arrival::wait_until_held,
    lag::{LagLoad, PROBES_PER_SECOND},
    tiers::{Entry as _, Tree},
};
use crate::{
    persons::{BATCH_ROWS, PersonBatch},
    stock::Stock,
};

/// Rows of one load of `lag`; they are held in memory. A tree that is faster is measured for a shorter time.
const LAG_ROWS_MAX: u64 = 1_500_000;

/// The rows of one run; every system gets them from the beginning.
pub struct TreeRows {
    pub bulk: Arc<Vec<PersonBatch>>,
    /// Of `bulk`, as CSV without a header.
    pub bulk_csv_bytes: u64,
    /// What comes before and behind.
    pub more: Stock,
}

/// Rows of a stock that were not entered yet.
pub struct Supply<'a> {
    pub stock: &'a Stock,
    pub next: u64,
}

impl<'a> Supply<'a> {
    pub fn of(stock: &'a Stock) -> Self {
        Self { stock, next: 0 }
    }

    /// The next `count` rows, at least one, in batches.
    pub fn take(&mut self, count: u64, batch_rows: u64) -> Vec<PersonBatch> {
        let start = self.next;
        self.next += count.max(1);
        self.stock.batches(start..self.next, batch_rows)
    }

    /// What `lag` needs at this rate.
    pub fn lag_load(&mut self, rows_per_second: f64, length: Duration) -> LagLoad {
        // One batch more than is due within the time, so that the rows never end it.
        let rows = (rows_per_second * length.as_secs_f64()) as u64 + BATCH_ROWS;
        let probes = PROBES_PER_SECOND * length.as_secs().max(1);
        LagLoad { rows_per_second, batches: Arc::new(self.take(rows.min(LAG_ROWS_MAX), BATCH_ROWS)), probes: self.take(probes, 1), length }
    }
}

/// Waits until one row has gone all the way.
///
/// # Errors
/// When the row is refused or does not arrive.
pub async fn bring_one_through<T: Tree>(tree: &T, supply: &mut Supply<'_>) -> anyhow::Result<T::Sight> {
    let mut sight = tree.sight().await?;
    for trial in supply.take(1, 1) {
        tree.entry().await?.enter(&trial).await?;
        wait_until_held(&mut sight, &trial.last_key).await?;
    }
    Ok(sight)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
