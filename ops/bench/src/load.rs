//! Clients that write one after another for a while: each begins its next write when the last one is answered.
//!
//! ```text
//!   begin ──── warm-up ────► opens ──────── measured ────────► closes
//!                              └─ only writes answered in here count
//! ```
//! When the records run out before that, the time ends there.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::percentiles::Percentiles;

/// Who writes what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    pub clients: usize,
    /// Records of one write.
    pub write_records: u64,
    /// Records to write, by number; every system writes those of the same numbers.
    pub records: Range<u64>,
}

/// For how long.
#[derive(Debug, Clone, Copy)]
pub struct LoadTime {
    pub warm_up: Duration,
    pub measured: Duration,
}

/// One client's connection.
pub trait Writer: Send + 'static {
    /// Writes these records and waits until they are committed.
    fn write(&mut self, records: Range<u64>) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What a load came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LoadReport {
    pub clients: usize,
    pub write_records: u64,
    /// In the measured time.
    pub records: u64,
    pub writes: u64,
    /// Also before and after it.
    pub records_written: u64,
    pub seconds: f64,
    pub records_per_second: f64,
    pub write_seconds: Percentiles,
}

impl Load {
    /// Records of the write `number`, counted from 0; `None` when there are no more.
    fn write_of(&self, number: u64) -> Option<Range<u64>> {
        let start = self.records.start + number * self.write_records;
        let end = start + self.write_records;
        (end <= self.records.end).then_some(start..end)
    }
}

/// Lets every writer write until the time is over.
///
/// # Errors
/// The first write that failed, or records that ran out before anything was measured.
pub async fn run_load<W: Writer>(load: &Load, writers: Vec<W>, time: LoadTime) -> anyhow::Result<LoadReport> {
    let opens = Instant::now() + time.warm_up;
    let mut closes = opens + time.measured;
    let numbers = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for writer in writers {
        clients.spawn(write_until(closes, writer, load.clone(), Arc::clone(&numbers)));
    }
    let mut written = Vec::new();
    while let Some(client) = clients.join_next().await {
        let client = client.context("a client failed")??;
        written.extend(client.written);
        closes = client.ran_out.map_or(closes, |at| at.min(closes));
    }
    report(load, &written, opens, closes)
}

struct Written {
    answered: Instant,
    took: Duration,
}

#[derive(Default)]
struct Client {
    written: Vec<Written>,
    ran_out: Option<Instant>,
}

async fn write_until<W: Writer>(closes: Instant, mut writer: W, load: Load, numbers: Arc<AtomicU64>) -> anyhow::Result<Client> {
    let mut client = Client::default();
    while Instant::now() < closes {
        let Some(records) = load.write_of(numbers.fetch_add(1, Ordering::Relaxed)) else {
            client.ran_out = Some(Instant::now());
            break;
        };
        let begun = Instant::now();
        writer.write(records).await?;
        let answered = Instant::now();
        client.written.push(Written { answered, took: answered - begun });
    }
    Ok(client)
}

fn report(load: &Load, written: &[Written], opens: Instant, closes: Instant) -> anyhow::Result<LoadReport> {
    let counted: Vec<&Written> = written.iter().filter(|write| write.answered > opens && write.answered <= closes).collect();
    let seconds = closes.saturating_duration_since(opens).as_secs_f64();
    ensure!(seconds > 0.0, "all records were written before the measurement began; measure for longer with --seconds");
    let write_seconds = Percentiles::of(counted.iter().map(|write| write.took))
        .context("no write was answered in time; measure for longer with --seconds")?;
    let writes = counted.len() as u64;
    let records = writes * load.write_records;
    let records_written = written.len() as u64 * load.write_records;
    Ok(LoadReport {
        clients: load.clients,
        write_records: load.write_records,
        records,
        writes,
        records_written,
        seconds,
        records_per_second: records as f64 / seconds,
        write_seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(records: Range<u64>) -> Load {
        Load { clients: 2, write_records: 10, records }
    }

    #[test]
    fn only_whole_writes_of_the_given_records_are_written() {
        let load = load(100..125);
        assert_eq!([0, 1, 2].map(|number| load.write_of(number)), [Some(100..110), Some(110..120), None]);
    }

    #[test]
    fn only_writes_answered_while_it_is_measured_count() {
        let opens = Instant::now();
        let at = |ms| opens + Duration::from_millis(ms);
        let write = |ms| Written { answered: at(ms), took: Duration::from_millis(5) };
        let report =
            report(&load(0..1_000), &[write(0), write(1), write(500), write(2_000), write(2_001)], opens, at(2_000)).expect("measured");
        assert_eq!((report.writes, report.records, report.records_per_second, report.records_written), (3, 30, 15.0, 50));
        assert!(super::report(&load(0..1_000), &[], opens, at(1)).is_err(), "nothing was measured");
    }

    struct Quick;

    impl Writer for Quick {
        async fn write(&mut self, _: Range<u64>) -> anyhow::Result<()> {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_time_ends_when_the_records_run_out() {
        let time = LoadTime { warm_up: Duration::ZERO, measured: Duration::from_secs(60) };
        let report = run_load(&load(0..200), vec![Quick, Quick], time).await.expect("measured");
        assert!(report.records <= 200 && report.records > 100, "{report:?}");
        assert!(report.seconds < 30.0);
    }
}
