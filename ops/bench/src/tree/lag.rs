//! How long one record takes from the district to the centre while many others travel.
//!
//! ```text
//!   load    batch ──── batch ──── batch ────      the same batches as in `rows`, at a given rate
//!   probes  │  │  │  │  │  │  │  │  │  │  │       single records at a fixed interval
//! ```
//! A record's lag runs from the moment when its entry begins until the centre is seen to hold it. Records arrive in the order in
//! which they were committed, so the centre is queried for the oldest that is missing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::{sync::mpsc, task::JoinSet, time::sleep_until};

use super::{
    arrival::wait_until_held,
    tiers::{Entry, Tree},
};
use crate::{
    figure::{Figure, Unit, seconds},
    percentiles::Percentiles,
    persons::{PersonBatch, SESSIONS},
    progress,
};

/// Single records entered a second.
pub const PROBES_PER_SECOND: u64 = 20;

/// What travels.
pub struct LagLoad {
    pub rows_per_second: f64,
    pub batches: Arc<Vec<PersonBatch>>,
    /// Single records.
    pub probes: Vec<PersonBatch>,
    pub length: Duration,
}

/// What it came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LagReport {
    /// The load that was wanted, and the one that came about.
    pub rows_per_second_wanted: f64,
    pub rows_per_second: f64,
    /// How long there was a load.
    pub seconds: f64,
    /// All that were entered, single ones too. The last of them may still be on their way.
    pub rows: u64,
    pub lag_seconds: Percentiles,
}

/// Enters load and probes, and waits until the probes have arrived.
///
/// # Errors
/// When a record is refused or does not arrive.
pub async fn measure_lag<T: Tree>(tree: &T, sight: &mut T::Sight, load: LagLoad) -> anyhow::Result<LagReport> {
    let length = lasting(&load);
    ensure!(load.rows_per_second > 0.0 && !length.is_zero(), "there are no rows to load the tree with");
    let mut entries = Vec::new();
    for _ in 0..SESSIONS {
        entries.push(tree.entry().await?);
    }
    let prober = tree.entry().await?;
    let (probed, mut to_see) = mpsc::channel::<(String, Instant)>(load.probes.len().max(1));
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut sessions = JoinSet::new();
    for entry in entries {
        sessions.spawn(enter_in_time(entry, Arc::clone(&load.batches), Arc::clone(&next), load.rows_per_second, begun, begun + length));
    }
    let loaded = async {
        let mut rows = 0;
        while let Some(session) = sessions.join_next().await {
            rows += session.context("a session failed")??;
        }
        anyhow::Ok((rows, begun.elapsed().as_secs_f64()))
    };
    let seen = async {
        let mut lags = Vec::new();
        while let Some((key, begun)) = to_see.recv().await {
            wait_until_held(sight, &key).await?;
            lags.push(Instant::now() - begun);
        }
        anyhow::Ok(lags)
    };
    let ((rows, seconds_loaded), (), lags) = tokio::try_join!(loaded, probe(prober, load.probes, probed, begun + length), seen)?;
    let lag_seconds = Percentiles::of(lags).context("no record was entered; measure for longer with --seconds")?;
    let report = LagReport {
        rows_per_second_wanted: load.rows_per_second,
        rows_per_second: rate(rows, seconds_loaded, load.rows_per_second),
        seconds: seconds_loaded,
        rows: rows + lag_seconds.count as u64,
        lag_seconds,
    };
    let rate = Figure::new(report.rows_per_second, Unit::RowsPerSecond);
    progress::note(format_args!("tree-lag: {} at 99 %, {} at 50 %, under {rate}", seconds(lag_seconds.p99), seconds(lag_seconds.p50)));
    Ok(report)
}

/// The load that came about. The last batch is due before its own share of the time is over, which makes no load higher than wanted.
fn rate(rows: u64, seconds: f64, wanted: f64) -> f64 {
    (rows as f64 / seconds).min(wanted)
}

/// As long as is wanted, or as the rows last.
fn lasting(load: &LagLoad) -> Duration {
    let rows: u64 = load.batches.iter().map(|batch| batch.rows).sum();
    let rows_last = Duration::try_from_secs_f64(rows as f64 / load.rows_per_second).unwrap_or(load.length);
    load.length.min(rows_last)
}

/// Enters batches when they are due, until the time is over; gives the rows that were entered. A batch is due when those before
/// it should have been entered.
async fn enter_in_time(
    mut entry: impl Entry,
    batches: Arc<Vec<PersonBatch>>,
    next: Arc<AtomicUsize>,
    rows_per_second: f64,
    begun: Instant,
    end: Instant,
) -> anyhow::Result<u64> {
    let mut rows = 0;
    loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        let Some(batch) = batches.get(place) else { return Ok(rows) };
        let rows_before: u64 = batches[..place].iter().map(|batch| batch.rows).sum();
        let due = begun + Duration::from_secs_f64(rows_before as f64 / rows_per_second);
        if due.max(Instant::now()) >= end {
            return Ok(rows);
        }
        sleep_until(due.into()).await;
        entry.enter(batch).await?;
        rows += batch.rows;
    }
}

/// Enters single records at a fixed interval, and reports for each when its entry begins.
async fn probe(
    mut entry: impl Entry,
    probes: Vec<PersonBatch>,
    probed: mpsc::Sender<(String, Instant)>,
    end: Instant,
) -> anyhow::Result<()> {
    let mut interval = tokio::time::interval(Duration::from_secs(1) / u32::try_from(PROBES_PER_SECOND)?);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for record in probes {
        interval.tick().await;
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        // The receiver is gone only when the measurement has failed.
        let _ = probed.send((record.last_key.clone(), begun)).await;
        entry.enter(&record).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persons::Persons;

    fn load(rows_per_second: f64) -> LagLoad {
        let dir = tempfile::tempdir().expect("a folder");
        let persons = Persons::synthesise(&dir.path().join("population"), 100).expect("made");
        LagLoad { rows_per_second, batches: Arc::new(persons.batches(0..100, 25)), probes: vec![], length: Duration::from_secs(10) }
    }

    #[test]
    fn a_load_lasts_no_longer_than_its_rows() {
        assert_eq!(lasting(&load(1.0)), Duration::from_secs(10));
        assert_eq!(lasting(&load(20.0)), Duration::from_secs(5));
    }

    #[test]
    fn a_load_that_kept_up_came_about_as_wanted_and_another_shows() {
        assert_eq!(rate(100, 4.0, 20.0), 20.0);
        assert_eq!(rate(100, 10.0, 20.0), 10.0);
    }

    struct Noted(mpsc::Sender<Instant>);

    impl Entry for Noted {
        async fn enter(&mut self, _: &PersonBatch) -> anyhow::Result<()> {
            self.0.send(Instant::now()).await?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn batches_are_entered_when_those_before_should_have_been() {
        let (noted, mut times) = mpsc::channel(8);
        let load = load(500.0);
        let begun = Instant::now();
        let rows =
            enter_in_time(Noted(noted), load.batches, Arc::default(), load.rows_per_second, begun, begun + Duration::from_millis(140))
                .await
                .expect("entered");
        assert_eq!(rows, 75, "the fourth batch is due after the end");
        for due_ms in [0, 50, 100] {
            assert!(times.recv().await.expect("entered") >= begun + Duration::from_millis(due_ms));
        }
    }
}
