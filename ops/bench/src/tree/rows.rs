//! How fast many rows go through a tree: from the first entry until the centre holds the last row.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{
    arrival::wait_until_held,
    tiers::{Entry, Sight, Tree},
};
use crate::{
    figure::{Figure, Unit},
    persons::{PersonBatch, SESSIONS},
    progress,
};

/// What it came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RowsReport {
    pub rows: u64,
    pub batches: usize,
    pub sessions: usize,
    /// Until the district had committed the last batch.
    pub entered_seconds: f64,
    /// Until the centre held all rows.
    pub seconds: f64,
    pub rows_per_second: f64,
}

/// Enters all batches and waits until all have arrived.
///
/// # Errors
/// When a batch is refused or does not arrive, or the centre holds other rows in the end.
pub async fn measure_rows<T: Tree>(tree: &T, sight: &mut T::Sight, batches: &Arc<Vec<PersonBatch>>) -> anyhow::Result<RowsReport> {
    let before = sight.rows().await?;
    let mut entries = Vec::new();
    for _ in 0..SESSIONS {
        entries.push(tree.entry().await?);
    }
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut sessions = JoinSet::new();
    for entry in entries {
        sessions.spawn(enter_all(entry, Arc::clone(batches), Arc::clone(&next)));
    }
    let entered = async {
        while let Some(session) = sessions.join_next().await {
            session.context("a session failed")??;
        }
        anyhow::Ok(begun.elapsed().as_secs_f64())
    };
    let arrived = async {
        for batch in batches.iter() {
            wait_until_held(sight, &batch.last_key).await?;
        }
        anyhow::Ok(begun.elapsed().as_secs_f64())
    };
    let (entered_seconds, seconds) = tokio::try_join!(entered, arrived)?;
    let rows = batches.iter().map(|batch| batch.rows).sum();
    let held = sight.rows().await?;
    ensure!(held == before + rows, "the centre held {before} rows, {rows} were entered, and it holds {held} now");
    let report =
        RowsReport { rows, batches: batches.len(), sessions: SESSIONS, entered_seconds, seconds, rows_per_second: rows as f64 / seconds };
    progress::note(format_args!(
        "tree-rows: {}; {rows} rows in {seconds:.1} s, entered after {entered_seconds:.1} s",
        Figure::new(report.rows_per_second, Unit::RowsPerSecond)
    ));
    Ok(report)
}

/// Enters batches as long as there are any that no other session has taken.
async fn enter_all(mut entry: impl Entry, batches: Arc<Vec<PersonBatch>>, next: Arc<AtomicUsize>) -> anyhow::Result<()> {
    while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
        entry.enter(batch).await?;
    }
    Ok(())
}
