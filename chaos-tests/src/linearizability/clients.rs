//! Clients that use rows as registers. Each calls one node all the time and records when, what and the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::join_all;
use kho_node::entry::UnnamedColumns;
use kho_ops::client::{BatchUpload, NodeClient};
use kho_storage::ids::SiteId;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::history::{Call, History, Operation};
use crate::stage::Stage;

/// Of each node.
pub(super) const CLIENTS_PER_NODE: usize = 3;
/// Few enough that they meet, and so many that no key's part grows out of hand.
const KEYS: usize = 6;
/// No answer is awaited longer: a write stays open then, and a read is dropped.
const TIMEOUT: Duration = Duration::from_millis(1_500);
/// Between two calls of a client that has made enough of them and waits for the end of a fault.
const PAUSE: Duration = Duration::from_millis(25);
/// Of a hundred calls so many write.
const WRITES_PERCENT: u32 = 40;

/// How rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// The default: through a read index, at any node.
    Linearizable,
    /// From what the node has applied. It promises no order, and the judge must find that out.
    Local,
}

/// Clients on every node of a site.
pub struct RegisterClients {
    clients: Vec<Arc<NodeClient>>,
    commune: &'static str,
    read: ReadMode,
}

impl RegisterClients {
    /// # Errors
    /// When an identity can't be loaded.
    pub fn of_site(stage: &Stage, site: SiteId, commune: &'static str, read: ReadMode) -> anyhow::Result<Self> {
        let mut clients = Vec::new();
        for url in stage.tree.urls(site) {
            for _ in 0..CLIENTS_PER_NODE {
                clients.push(Arc::new(stage.tree.client(std::slice::from_ref(&url), &format!("client-{site}"))?));
            }
        }
        Ok(Self { clients, commune, read })
    }

    /// Lets all clients call beside each other on keys that belong to this history alone: each at least so many times, and then slower
    /// until `over` is set. Times count from `begun`.
    pub async fn history(&self, name: &str, calls_per_client: usize, seed: u64, begun: Instant, over: &Arc<AtomicBool>) -> History {
        let clients = self.clients.iter().enumerate().map(|(number, client)| {
            let client = Client { number, node: Arc::clone(client), name: name.into(), commune: self.commune, read: self.read, begun };
            tokio::spawn(client.call_on(calls_per_client, Arc::clone(over), ChaCha8Rng::seed_from_u64(seed ^ (number as u64) << 48)))
        });
        let calls = join_all(clients).await;
        // A client that panicked is a defect of this program, and its calls are missing: say so.
        History { calls: calls.into_iter().flat_map(|calls| calls.expect("a client notes what it meets and never panics")).collect() }
    }
}

struct Client {
    number: usize,
    node: Arc<NodeClient>,
    name: String,
    commune: &'static str,
    read: ReadMode,
    begun: Instant,
}

impl Client {
    async fn call_on(self, calls: usize, over: Arc<AtomicBool>, mut chance: ChaCha8Rng) -> Vec<Call> {
        let mut noted = Vec::new();
        while noted.len() < calls || !over.load(Ordering::Relaxed) {
            if noted.len() >= calls {
                tokio::time::sleep(PAUSE).await;
            }
            let key = format!("{}-{}", self.name, chance.random_range(0..KEYS));
            let writes = chance.random_ratio(WRITES_PERCENT, 100);
            let call = if writes { Some(self.write(key, noted.len()).await) } else { self.read(key).await };
            match call {
                Some(call) => noted.push(call),
                // Its node does not answer: a moment later it may.
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        noted
    }

    async fn write(&self, key: String, number: usize) -> Call {
        let value = format!("{}-{}-{number}", self.name, self.number);
        let begun = self.begun.elapsed();
        let answer = tokio::time::timeout(TIMEOUT, self.node.enter(self.row(&key, &value))).await;
        // Whatever else was answered, an earlier attempt of the same request may have arrived.
        let ended = matches!(answer, Ok(Ok(_))).then(|| self.begun.elapsed());
        Call { client: self.number, key, operation: Operation::Write { value }, begun, ended }
    }

    async fn read(&self, key: String) -> Option<Call> {
        let mode = (self.read == ReadMode::Local).then_some("local");
        let begun = self.begun.elapsed();
        let answer = tokio::time::timeout(TIMEOUT, self.node.row("person", &key, mode)).await;
        let Ok(Ok(answer)) = answer else { return None };
        let value = answer.found.first().and_then(|row| row.columns.get("full_name").cloned());
        Some(Call { client: self.number, key, operation: Operation::Read { value }, begun, ended: Some(self.begun.elapsed()) })
    }

    /// A person whose name is the register's value.
    fn row(&self, key: &str, value: &str) -> BatchUpload {
        let row = serde_json::json!({
            "person_id": key, "household_id": "H1", "seq": 1, "full_name": value, "birth_date": "1980-01-01", "sex": "female",
            "marital": "single", "residence_status": "permanent", "commune_code": self.commune, "catalogue_version": "legacy-63",
        });
        let body = serde_json::json!({ "table": "person", "row": row }).to_string();
        BatchUpload {
            request_key: format!("w-{value}"),
            table: None,
            content_type: "application/x-ndjson",
            unnamed: UnnamedColumns::Stay,
            body: Bytes::from(body),
        }
    }
}
