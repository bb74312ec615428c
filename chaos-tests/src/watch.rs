//! Watches the cursors of nodes all the time: none may ever go back.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::ensure;
use kho_node::api::{StatusReport, StreamReport};
use kho_ops::client::NodeClient;
use tokio::task::JoinHandle;

use crate::{
    invariants::cursors_forward,
    place::place,
    recording::{Recording, Sighting},
};

const WATCH_INTERVAL: Duration = Duration::from_millis(100);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A node that can't answer a linearizable read in this time counts as one that is not ready.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Polls the status of nodes all the time and records every stream that it shows.
#[derive(Debug)]
pub struct CursorWatch {
    seen: Arc<Mutex<Vec<Sighting>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl CursorWatch {
    /// Watches the nodes that these clients reach, one client for each node. A node that does not answer is skipped.
    pub fn start(nodes: Vec<NodeClient>) -> Self {
        let (seen, begun) = (Arc::default(), Instant::now());
        let tasks = nodes.into_iter().map(|client| tokio::spawn(poll_forever(client, begun, Arc::clone(&seen)))).collect();
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

async fn poll_forever(client: NodeClient, begun: Instant, seen: Arc<Mutex<Vec<Sighting>>>) {
    loop {
        let requested_at = begun.elapsed();
        // A node that is not ready is recorded too: what it shows has a digest.
        let ready = matches!(tokio::time::timeout(READY_TIMEOUT, client.ready()).await, Ok(Ok(())));
        if let Ok(Ok(status)) = tokio::time::timeout(ANSWER_TIMEOUT, client.status()).await {
            let answered_at = begun.elapsed();
            let sightings = status.streams.iter().map(|stream| sighting(&status, stream, ready, requested_at..answered_at));
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
        requested_at: times.start,
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
