//! Waiting for what must come, and watching for what must never come.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::bail;
use kho_node::api::StatusReport;
use kho_ops::client::NodeClient;
use tokio::task::JoinHandle;

/// How long anything may take that must come: far beyond what an idle machine needs.
pub const PATIENCE: Duration = Duration::from_secs(150);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Findings beyond these say nothing more.
const FINDINGS_MAX: usize = 20;

/// Looks until `look` gives a value. A look that fails counts as one that did not see it.
///
/// # Errors
/// When [`PATIENCE`] is over; the message tells what was waited for and what the last look met.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let met = match look().await {
            Ok(Some(seen)) => return Ok(seen),
            Ok(None) => "not yet".to_string(),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            bail!("waited {} s in vain until {what}; the last look: {met}", PATIENCE.as_secs());
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

#[derive(Debug, Default)]
struct Seen {
    looks: u64,
    /// By node watched, kind and origin: the furthest so far.
    furthest: BTreeMap<(usize, &'static str, u32), u64>,
    went_back: Vec<String>,
}

/// Looks at nodes' status all the time: what a stream holds and what its parent acknowledged must never go back.
#[derive(Debug)]
pub struct CursorWatch {
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<JoinHandle<()>>,
}

impl CursorWatch {
    /// Watches the nodes that these clients reach, one client a node. A node that does not answer is passed over.
    pub fn start(nodes: Vec<NodeClient>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let watch = |(place, client): (usize, NodeClient)| {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                loop {
                    if let Ok(Ok(status)) = tokio::time::timeout(ANSWER_TIMEOUT, client.status()).await {
                        seen.lock().unwrap_or_else(PoisonError::into_inner).look(place, &status);
                    }
                    tokio::time::sleep(WATCH_INTERVAL).await;
                }
            })
        };
        let tasks = nodes.into_iter().enumerate().map(watch).collect();
        Self { seen, tasks }
    }

    /// Ends the watch.
    ///
    /// # Errors
    /// When a cursor went back, or nothing was ever seen.
    pub fn end(self) -> anyhow::Result<()> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.looks == 0 {
            bail!("no cursor was seen at all");
        }
        if !seen.went_back.is_empty() {
            bail!("cursors went back:\n{}", seen.went_back.join("\n"));
        }
        Ok(())
    }
}

impl Drop for CursorWatch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Seen {
    fn look(&mut self, place: usize, status: &StatusReport) {
        self.looks += 1;
        for stream in &status.streams {
            let acknowledged = stream.lag_batches.map(|lag| stream.seq.saturating_sub(lag));
            for (kind, now) in [("held", Some(stream.seq)), ("acknowledged", acknowledged)] {
                let Some(now) = now else { continue };
                let furthest = self.furthest.entry((place, kind, stream.origin)).or_default();
                if now < *furthest && self.went_back.len() < FINDINGS_MAX {
                    self.went_back.push(format!("site {} node {}, origin {}: {kind} {furthest} before, {now} at {}", status.site, status.node, stream.origin, status.now));
                }
                *furthest = now.max(*furthest);
            }
        }
    }
}
