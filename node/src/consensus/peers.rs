//! Lines to the other nodes of the site: one connection each, dialled when needed, kept, and dialled again after a loss.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use kho_replication::{
    quic::{Alpn, CloseCode, Connection, Endpoint, FrameReceiver, FrameSender},
    tls::node_server_name,
};
use kho_storage::ids::NodeId;
use parking_lot::Mutex;

use super::{
    error::PeerError,
    types::{DiskId, GroupId},
    wire::{self, Envelope, Subject, Verdict, WireError},
};

/// Waits between attempts to dial a peer: short, because a site of three that lost one node needs the other at once.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(250);
/// A connection on which questions go unanswered while not one datagram comes is given up after this long: the next question
/// dials anew. QUIC itself would wait longer and longer before it tries the old connection again.
const MUTE_MAX: Duration = Duration::from_millis(600);
/// An attempt to dial ends after this long, so that a peer that comes up is tried anew soon, before the pauses between the
/// packets of one attempt grow.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a peer is, and the disk it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PeerTarget {
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
    pub disk: Option<DiskId>,
}

/// Who this node is to its peers.
#[derive(Debug, Clone)]
pub(super) struct LocalNode {
    pub group: GroupId,
    pub node: NodeId,
    pub disk: DiskId,
}

/// All lines of this node.
#[derive(Debug)]
pub(super) struct Peers {
    endpoint: Endpoint,
    local: LocalNode,
    lines: Mutex<BTreeMap<NodeId, Arc<Line>>>,
}

#[derive(Debug, Default)]
struct Line {
    dialling: tokio::sync::Mutex<Dialling>,
    unanswered: Mutex<Option<Unanswered>>,
}

/// Questions on the present connection go unanswered.
#[derive(Debug, Clone, Copy)]
struct Unanswered {
    since: Instant,
    /// Datagrams that had come by then.
    datagrams: u64,
}

#[derive(Debug, Default)]
struct Dialling {
    connection: Option<(String, Connection)>,
    failures: u32,
    next_attempt: Option<Instant>,
    last_error: String,
}

impl Peers {
    pub fn new(endpoint: Endpoint, local: LocalNode) -> Self {
        Self { endpoint, local, lines: Mutex::default() }
    }

    pub fn local(&self) -> &LocalNode {
        &self.local
    }

    /// Asks a peer one question. Dropping the future takes the question back, but the peer may have acted on it.
    ///
    /// # Errors
    /// [`PeerError`], sorted by whether the peer may have acted.
    pub async fn ask(&self, target: &PeerTarget, subject: Subject, body: &[u8]) -> Result<Vec<u8>, PeerError> {
        let body_bytes = wire::announced(body).map_err(|e| PeerError::Unreachable(e.to_string()))?;
        let (mut sender, mut receiver, mut patience) = self.open(target).await?;
        let envelope = self.envelope(target, subject, body_bytes);
        let answered = async {
            wire::send_message(&mut sender, &envelope, body).await?;
            let verdict: Verdict = wire::receive_head(&mut receiver).await?;
            match verdict.refused {
                Some(refusal) => Ok(Err(refusal)),
                None => wire::receive_body(&mut receiver, verdict.body_bytes).await.map(Ok),
            }
        };
        let answer: Result<_, WireError> = answered.await;
        match answer {
            Ok(answer) => {
                patience.answered();
                answer.map_err(PeerError::Refused)
            }
            Err(WireError::Codec(error)) => Err(PeerError::Malformed(error)),
            Err(error) => Err(PeerError::Lost(error.to_string())),
        }
    }

    /// Opens a stream for a longer talk and sends its envelope.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn begin(&self, target: &PeerTarget, subject: Subject) -> Result<(FrameSender, FrameReceiver), PeerError> {
        let (mut sender, receiver, mut patience) = self.open(target).await?;
        wire::send_head(&mut sender, &self.envelope(target, subject, 0)).await.map_err(|e| PeerError::Lost(e.to_string()))?;
        patience.answered();
        Ok((sender, receiver))
    }

    fn envelope(&self, target: &PeerTarget, subject: Subject, body_bytes: u32) -> Envelope {
        let LocalNode { group, node, disk } = self.local.clone();
        Envelope { group, from: node, from_disk: disk, to: target.node, to_disk: target.disk, subject, body_bytes }
    }

    async fn open(&self, target: &PeerTarget) -> Result<(FrameSender, FrameReceiver, Patience), PeerError> {
        let line = Arc::clone(self.lines.lock().entry(target.node).or_default());
        let connection = match line.present(target) {
            Some(connection) => connection,
            None => {
                // In a task of its own: who asks has less patience than a handshake may take, and the next one needs it too.
                let (line, endpoint, local, target) = (Arc::clone(&line), self.endpoint.clone(), self.local.clone(), target.clone());
                let dialled = tokio::spawn(async move { line.connect(&endpoint, &local, &target).await });
                dialled.await.map_err(|e| PeerError::Unreachable(e.to_string()))??
            }
        };
        let patience = Patience { line: Arc::clone(&line), connection: connection.clone(), answered: false };
        let (sender, receiver) = connection.open_bi().await.map_err(|e| PeerError::Unreachable(e.to_string()))?;
        Ok((sender, receiver, patience))
    }
}

impl Line {
    fn present(&self, target: &PeerTarget) -> Option<Connection> {
        let dialling = self.dialling.try_lock().ok()?;
        let (address, connection) = dialling.connection.as_ref()?;
        (*address == target.address && connection.lost().is_none()).then(|| connection.clone())
    }

    async fn connect(&self, endpoint: &Endpoint, local: &LocalNode, target: &PeerTarget) -> Result<Connection, PeerError> {
        let mut dialling = self.dialling.lock().await;
        if let Some((address, connection)) = &dialling.connection {
            if *address == target.address && connection.lost().is_none() {
                return Ok(connection.clone());
            }
            dialling.connection = None;
        }
        if dialling.next_attempt.is_some_and(|at| Instant::now() < at) {
            return Err(PeerError::Unreachable(dialling.last_error.clone()));
        }
        match dial(endpoint, local, target).await {
            Ok(connection) => {
                *self.unanswered.lock() = None;
                *dialling = Dialling { connection: Some((target.address.clone(), connection.clone())), ..Dialling::default() };
                Ok(connection)
            }
            Err(error) => {
                let backoff = BACKOFF_FIRST.saturating_mul(1 << dialling.failures.min(5)).min(BACKOFF_MAX);
                dialling.failures = dialling.failures.saturating_add(1);
                dialling.next_attempt = Some(Instant::now() + backoff);
                dialling.last_error.clone_from(&error);
                Err(PeerError::Unreachable(error))
            }
        }
    }
}

async fn dial(endpoint: &Endpoint, local: &LocalNode, target: &PeerTarget) -> Result<Connection, String> {
    let mut addresses =
        tokio::net::lookup_host(&target.address).await.map_err(|e| format!("`{}` names no address: {e}", target.address))?;
    let address = addresses.next().ok_or_else(|| format!("`{}` names no address", target.address))?;
    let site = local.group.site;
    let server_name = node_server_name(site, target.node);
    let connecting = tokio::time::timeout(DIAL_TIMEOUT, endpoint.connect(address, &server_name, Alpn::Site));
    let connection =
        connecting.await.map_err(|_| format!("{address} did not answer within {DIAL_TIMEOUT:?}"))?.map_err(|e| e.to_string())?;
    if connection.peer_node() == (site, target.node) {
        Ok(connection)
    } else {
        connection.close(CloseCode::NOT_ADMITTED, "another node was expected here");
        Err(format!("{address} is {} and not node {} of site {site}", connection.peer(), target.node))
    }
}

/// Watches over one question: dropped without an answer, it starts the clock after which a mute connection is given up.
struct Patience {
    line: Arc<Line>,
    connection: Connection,
    answered: bool,
}

impl Patience {
    fn answered(&mut self) {
        self.answered = true;
        *self.line.unanswered.lock() = None;
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        if self.answered || self.connection.lost().is_some() {
            return;
        }
        let now = Unanswered { since: Instant::now(), datagrams: self.connection.datagrams_received() };
        let mut unanswered = self.line.unanswered.lock();
        match *unanswered {
            Some(first) if first.datagrams == now.datagrams => {
                if first.since.elapsed() >= MUTE_MAX {
                    *unanswered = None;
                    self.connection.close(CloseCode::CANCELLED, "no answer");
                }
            }
            // Nothing was missed so far, or the peer lives and is busy.
            _ => *unanswered = Some(now),
        }
    }
}
