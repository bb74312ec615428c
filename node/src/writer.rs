//! Group commit: requests that arrive while others are being committed share the next entry of the site's log.
//!
//! ```text
//!  request ─┐                                  ┌─► outcome of each request
//!  request ─┼─► queue ─► one Command::Write ───┤
//!  request ─┘            (≤ BATCH_*_MAX)       └─► …
//! ```
//! Bounds: requests waiting and their bytes, bytes under way, and bytes since the newest head, so that every segment stays bounded.

use std::{sync::Arc, time::Duration};

use kho_storage::{
    command::{Command, Outcome, WriteOutcome, WriteRequest},
    ids::OriginId,
    stream::{BATCH_BYTES_MAX, BATCH_CHANGES_MAX, HEAD_DISTANCE_BYTES_MAX},
    warehouse::Warehouse,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{
    byte_budget::{ByteBudget, ByteShare},
    clock::NodeClock,
    consensus::{Consensus, ProposeError},
    task_watch::TaskWatch,
};

/// Groups under way at a time: one being synced, one on its way to the others, one being applied. While they are, more requests
/// arrive and share the next one, and with it its sync.
const GROUPS_UNDER_WAY_MAX: usize = 3;
/// Bytes of groups under way at a time; one group may pass it.
const UNDER_WAY_BYTES_MAX: u32 = 3 << 20;
/// Memory of all entry requests from their first byte to their answer: a dozen of the largest, hundreds of ordinary ones.
const ENTRY_BYTES_MAX: u32 = 128 << 20;
/// A group of requests closes here, so that its batch stays within its bound with what encoding adds.
const GROUP_BYTES_MAX: usize = BATCH_BYTES_MAX - (64 << 10);
/// How long a request waits for a head before the client must come back.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client should wait when the queue is full.
const QUEUE_RETRY_MS: u64 = 500;

type Reply = oneshot::Sender<Result<WriteOutcome, ProposeError>>;

struct Waiting {
    origin: OriginId,
    request: WriteRequest,
    bytes: usize,
    reply: Reply,
    /// Given back with the answer.
    share: ByteShare,
}

/// A request on its way through the site's log.
struct Answering {
    reply: Reply,
    _share: ByteShare,
}

impl Answering {
    fn answer(self, outcome: Result<WriteOutcome, ProposeError>) {
        // A client that went away asks again with its request key.
        let _ = self.reply.send(outcome);
    }
}

/// Where entry hands its requests in.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Waiting>,
    budget: ByteBudget,
}

impl Writer {
    /// Starts the task that commits; it ends when every `Writer` is gone, which is after the stop: requests under way get their answer.
    pub fn start(
        consensus: Arc<Consensus>,
        warehouse: Arc<Warehouse>,
        clock: Arc<NodeClock>,
        requests_max: usize,
        tasks: &TaskWatch,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(requests_max);
        tasks.watch("commits entries", tokio::spawn(commit_groups(waiting, consensus, warehouse, clock, tasks.clone())));
        Self { queue, budget: ByteBudget::new(ENTRY_BYTES_MAX) }
    }

    /// What entry requests may take in memory, those among them that are still being read.
    pub fn budget(&self) -> &ByteBudget {
        &self.budget
    }

    /// Commits one request, of whose memory `share` is the room; returns when it is on the disks of a majority, or refused.
    ///
    /// # Errors
    /// [`ProposeError`]: busy or without a leader means that nothing changed; unknown means try again with the same request key.
    pub async fn write(&self, origin: OriginId, request: WriteRequest, share: ByteShare) -> Result<WriteOutcome, ProposeError> {
        let bytes = request.bytes();
        let (reply, outcome) = oneshot::channel();
        self.queue
            .try_send(Waiting { origin, request, bytes, reply, share })
            .map_err(|_| ProposeError::Busy { retry_after_ms: QUEUE_RETRY_MS })?;
        outcome.await.unwrap_or_else(|_| Err(ProposeError::Unknown { why: "the node is stopping".into() }))
    }
}

async fn commit_groups(
    mut waiting: mpsc::Receiver<Waiting>,
    consensus: Arc<Consensus>,
    warehouse: Arc<Warehouse>,
    clock: Arc<NodeClock>,
    tasks: TaskWatch,
) {
    let (groups_under_way, bytes_under_way) = (Arc::new(Semaphore::new(GROUPS_UNDER_WAY_MAX)), ByteBudget::new(UNDER_WAY_BYTES_MAX));
    let mut held_back: Option<Waiting> = None;
    loop {
        let first = match held_back.take() {
            Some(first) => first,
            None => match waiting.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        // While this waits, more requests arrive and share the entry.
        let Ok(place) = Arc::clone(&groups_under_way).acquire_owned().await else { return };
        let mut group = vec![first];
        held_back = fill(&mut group, &mut waiting);
        let room = bytes_under_way.take(group.iter().map(|waiting| waiting.bytes).sum()).await;
        let (consensus, warehouse, clock) = (Arc::clone(&consensus), Arc::clone(&warehouse), Arc::clone(&clock));
        tasks.job("commits a group of entries", async move {
            commit(group, &consensus, &warehouse, &clock).await;
            drop((place, room));
        });
    }
}

/// Takes what waits and fits; returns the first that does not.
fn fill(group: &mut Vec<Waiting>, waiting: &mut mpsc::Receiver<Waiting>) -> Option<Waiting> {
    let mut bytes = group[0].bytes;
    let mut changes = group[0].request.changes.len();
    while let Ok(next) = waiting.try_recv() {
        bytes += next.bytes;
        changes += next.request.changes.len();
        if next.origin != group[0].origin || bytes > GROUP_BYTES_MAX || changes > BATCH_CHANGES_MAX {
            return Some(next);
        }
        group.push(next);
    }
    None
}

async fn commit(group: Vec<Waiting>, consensus: &Consensus, warehouse: &Warehouse, clock: &NodeClock) {
    let origin = group[0].origin;
    let (requests, replies): (Vec<_>, Vec<_>) =
        group.into_iter().map(|waiting| (waiting.request, Answering { reply: waiting.reply, _share: waiting.share })).unzip();
    let result = match head_is_near(warehouse, origin).await {
        Ok(()) => consensus.propose(&Command::Write { site_time: clock.now(), origin, requests }).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(Outcome::Written(outcomes)) if outcomes.len() == replies.len() => {
            for (answering, outcome) in replies.into_iter().zip(outcomes) {
                answering.answer(Ok(outcome));
            }
        }
        other => {
            let error = other.err().unwrap_or_else(|| ProposeError::Fatal { why: "a write came to something else".into() });
            for answering in replies {
                answering.answer(Err(error.clone()));
            }
        }
    }
}

/// Waits until the newest head is near enough that another batch keeps the segment within its bound.
async fn head_is_near(warehouse: &Warehouse, origin: OriginId) -> Result<(), ProposeError> {
    let deadline = tokio::time::Instant::now() + HEAD_TIMEOUT;
    loop {
        let distance =
            warehouse.origin(origin).map_err(|e| ProposeError::Fatal { why: e.to_string() })?.map_or(0, |state| state.bytes_since_head);
        if distance < HEAD_DISTANCE_BYTES_MAX as u64 {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(ProposeError::Busy { retry_after_ms: QUEUE_RETRY_MS });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
