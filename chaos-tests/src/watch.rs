//! Waiting for what must come, and watching for what must never come.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use kho_node::api::{StatusReport, StreamReport};
use kho_ops::client::NodeClient;
use tokio::task::JoinHandle;

use crate::{
    invariants::cursors_forward,
    recording::{Recording, Sighting},
    stage::place,
};

/// How long anything may take that must come: far beyond what an idle machine needs.
pub const TIMEOUT: Duration = Duration::from_secs(150);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A node that can't answer a linearizable read in this time counts as one that is not ready.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Looks until `look` gives a value. A look that fails counts as one that did not see it.
///
/// # Errors
/// When [`TIMEOUT`] is over; the message tells what was waited for and what the last look met.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let met = match look().await {
            Ok(Some(seen)) => return Ok(seen),
            Ok(None) => "not yet".to_string(),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            bail!("waited {} s in vain until {what}; the last look: {met}", TIMEOUT.as_secs());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Looks at nodes' status all the time and notes every stream it sees.
#[derive(Debug)]
pub struct CursorWatch {
    seen: Arc<Mutex<Vec<Sighting>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl CursorWatch {
    /// Watches the nodes that these clients reach, one client a node. A node that does not answer is passed over.
    pub fn start(nodes: Vec<NodeClient>) -> Self {
        let (seen, begun) = (Arc::default(), Instant::now());
        let tasks = nodes.into_iter().map(|client| tokio::spawn(look_for_ever(client, begun, Arc::clone(&seen)))).collect();
        Self { seen, tasks }
    }

    /// Ends the watch and gives what was seen.
    pub fn end_with_sightings(self) -> Vec<Sighting> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the watch.
    ///
    /// # Errors
    /// When a cursor went back, or nothing was ever seen.
    pub fn end(self) -> anyhow::Result<()> {
        let recording = Recording { sightings: self.end_with_sightings(), ..Recording::default() };
        ensure!(!recording.sightings.is_empty(), "no cursor was seen at all");
        let findings = cursors_forward(&recording);
        ensure!(findings.is_empty(), "cursors went back:\n{}", findings.join("\n"));
        Ok(())
    }
}

impl Drop for CursorWatch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn look_for_ever(client: NodeClient, begun: Instant, seen: Arc<Mutex<Vec<Sighting>>>) {
    loop {
        let asked_at = begun.elapsed();
        // A node that can't say so is looked at all the same: what it shows has a digest.
        let ready = matches!(tokio::time::timeout(READY_TIMEOUT, client.ready()).await, Ok(Ok(())));
        if let Ok(Ok(status)) = tokio::time::timeout(ANSWER_TIMEOUT, client.status()).await {
            let answered_at = begun.elapsed();
            let sightings = status.streams.iter().map(|stream| sighting(&status, stream, ready, asked_at..answered_at));
            seen.lock().unwrap_or_else(PoisonError::into_inner).extend(sightings);
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

fn sighting(status: &StatusReport, stream: &StreamReport, ready: bool, times: Range<Duration>) -> Sighting {
    // Before the first batch, and while an origin is being rebuilt, it stands for no state.
    let stands = stream.seq > 0 && !stream.state.is_transferring();
    Sighting {
        at: place(status.site, status.node),
        asked_at: times.start,
        answered_at: times.end,
        ready,
        origin: stream.origin,
        epoch: stream.epoch.clone(),
        seq: stream.seq,
        rows: stream.rows,
        digest: stands.then(|| stream.digest.clone()),
        acknowledged: stream.lag_batches.map(|lag| stream.seq.saturating_sub(lag)),
    }
}
