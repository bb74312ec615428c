//! Connections to the other nodes of the site: one each, dialled when needed, kept, and dialled again after a loss.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use kho_replication::{
    quic::{Alpn, CloseCode, Connection, Endpoint, FrameReceiver, FrameSender},
    tls::node_server_name,
};
use kho_storage::{ids::NodeId, level::LevelRange};
use parking_lot::Mutex;

use super::{
    address_book::{AddressBook, candidate},
    newcomers::Newcomers,
    reachability::Reachability,
    wire::{self, Envelope, Reply, Subject, Verdict, WireError},
};
use crate::consensus::{
    error::{PeerError, PeerRefusal},
    founding::Founding,
    leading::LeadingPermission,
    types::{DiskId, GroupId, NodeAddress, SiteNode},
};

/// Waits between attempts to dial a peer: short, because a site of three that lost one node needs the other at once.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(250);
/// A connection on which requests get no reply while not one datagram comes is closed after this long: the next request dials anew. QUIC itself would wait longer and longer before it tries the old connection again.
const STALL_TIMEOUT: Duration = Duration::from_millis(600);
/// An attempt to dial ends after this long, so that a peer that comes up is tried anew soon, before the pauses between the
/// packets of one attempt grow.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a peer is, and the disk it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerTarget {
    pub node: NodeId,
    /// `host:port`. A member, known by its disk, is looked for at the other addresses of the [`AddressBook`] too.
    pub address: String,
    pub disk: Option<DiskId>,
}

impl PeerTarget {
    /// The peer that a member's record names.
    pub fn of_member(node: u64, member: &SiteNode) -> Self {
        Self { node: NodeId(node), address: member.quic_address.clone(), disk: Some(member.disk) }
    }
}

/// Who this node is to its peers.
#[derive(Debug, Clone)]
pub struct LocalNode {
    pub group: GroupId,
    pub founding: Arc<Founding>,
    pub node: NodeId,
    pub disk: DiskId,
    /// Levels that it supports.
    pub levels: LevelRange,
}

/// The connections of this node to its peers.
#[derive(Debug)]
pub struct Peers {
    endpoint: Endpoint,
    local: LocalNode,
    connections: Mutex<BTreeMap<NodeId, Arc<PeerConnection>>>,
    newcomers: Newcomers,
    leading: LeadingPermission,
    addresses: AddressBook,
    reachability: Reachability,
}

#[derive(Debug, Default)]
struct PeerConnection {
    dialling: tokio::sync::Mutex<Dialling>,
    without_reply: Mutex<Option<WithoutReply>>,
}

/// Requests on the present connection get no reply.
#[derive(Debug, Clone, Copy)]
struct WithoutReply {
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
    /// `addresses` are those that an operator gave to this node.
    pub fn new(endpoint: Endpoint, local: LocalNode, addresses: BTreeMap<NodeId, NodeAddress>) -> Self {
        Self {
            endpoint,
            local,
            connections: Mutex::default(),
            newcomers: Newcomers::default(),
            leading: LeadingPermission::default(),
            addresses: AddressBook::new(addresses),
            reachability: Reachability::default(),
        }
    }

    pub fn local(&self) -> &LocalNode {
        &self.local
    }

    /// What is known of nodes beyond the membership.
    pub fn newcomers(&self) -> &Newcomers {
        &self.newcomers
    }

    /// Whether this node may lead.
    pub fn leading(&self) -> &LeadingPermission {
        &self.leading
    }

    /// What is known of where the peers are, beyond the membership.
    pub fn addresses(&self) -> &AddressBook {
        &self.addresses
    }

    /// Which peers answer.
    pub fn reachability(&self) -> &Reachability {
        &self.reachability
    }

    /// The address at which this node's connection to a peer stands, if one does and none is being dialled.
    pub fn reached_at(&self, node: NodeId) -> Option<String> {
        let peer = Arc::clone(self.connections.lock().get(&node)?);
        let dialling = peer.dialling.try_lock().ok()?;
        let (address, connection) = dialling.connection.as_ref()?;
        connection.lost().is_none().then(|| address.clone())
    }

    /// Sends a peer one request and waits for its reply. Dropping the future cancels the request, but the peer may have acted on it.
    ///
    /// # Errors
    /// [`PeerError`], sorted by whether the peer may have acted.
    pub async fn call(&self, target: &PeerTarget, subject: Subject, body: &[u8]) -> Result<Reply, PeerError> {
        let body_bytes = wire::announced(body).map_err(|e| PeerError::Unreachable(e.to_string()))?;
        let (mut sender, mut receiver, mut stall_detector) = self.open(target).await?;
        let envelope = self.envelope(target, subject, body_bytes);
        let exchange = async {
            let sent = wire::send_message(&mut sender, &envelope, body).await;
            // A peer that refuses does not wait for the body: what it says counts, though the rest could not be sent.
            let verdict: Verdict = match (wire::receive_head(&mut receiver).await, sent) {
                (Ok(verdict), _) => verdict,
                (Err(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
            };
            match verdict.refused {
                Some(refusal) => Ok(Err(refusal)),
                None => wire::receive_body(&mut receiver, verdict.body_bytes).await.map(|body| Ok(Reply::from(body))),
            }
        };
        let reply: Result<_, WireError> = exchange.await;
        match reply {
            Ok(reply) => {
                stall_detector.note_reply();
                if reply.is_ok() {
                    self.reachability.note_answer(target.node, Instant::now());
                }
                if let Err(PeerRefusal::NotAMember { node, position }) = &reply
                    && *node == self.local.node
                {
                    self.newcomers.note_refused(target.node, *position);
                }
                reply.map_err(PeerError::Refused)
            }
            Err(WireError::Codec(error)) => Err(PeerError::Malformed(error)),
            Err(error) => Err(PeerError::Lost(error.to_string())),
        }
    }

    /// Opens a stream for a longer exchange and sends its envelope.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn open_stream(&self, target: &PeerTarget, subject: Subject) -> Result<(FrameSender, FrameReceiver), PeerError> {
        let (mut sender, receiver, mut stall_detector) = self.open(target).await?;
        wire::send_head(&mut sender, &self.envelope(target, subject, 0)).await.map_err(|e| PeerError::Lost(e.to_string()))?;
        stall_detector.note_reply();
        Ok((sender, receiver))
    }

    fn envelope(&self, target: &PeerTarget, subject: Subject, body_bytes: u32) -> Envelope {
        let LocalNode { group, founding, node, disk, levels } = self.local.clone();
        Envelope {
            group,
            incarnation: founding.incarnation(),
            from: node,
            from_disk: disk,
            to: target.node,
            to_disk: target.disk,
            levels,
            subject,
            body_bytes,
        }
    }

    async fn open(&self, target: &PeerTarget) -> Result<(FrameSender, FrameReceiver, StallDetector), PeerError> {
        let peer = Arc::clone(self.connections.lock().entry(target.node).or_default());
        // A node that is only greeted is meant at the address that was given.
        let known = |_| self.addresses.candidates(target.node, &target.address);
        let addresses = target.disk.map_or_else(|| vec![target.address.clone()], known);
        let connection = match peer.present(&addresses) {
            Some(connection) => connection,
            None => {
                // In a task of its own: a handshake may take longer than the caller waits, and the next caller needs it too.
                let (peer, endpoint, local, node) = (Arc::clone(&peer), self.endpoint.clone(), self.local.clone(), target.node);
                let dialled = tokio::spawn(async move { peer.connect(&endpoint, &local, node, &addresses).await });
                dialled.await.map_err(|e| PeerError::Unreachable(e.to_string()))??
            }
        };
        let stall_detector = StallDetector { peer: Arc::clone(&peer), connection: connection.clone(), replied: false };
        let (sender, receiver) = connection.open_bi().await.map_err(|e| PeerError::Unreachable(e.to_string()))?;
        Ok((sender, receiver, stall_detector))
    }
}

impl PeerConnection {
    fn present(&self, addresses: &[String]) -> Option<Connection> {
        let dialling = self.dialling.try_lock().ok()?;
        let (address, connection) = dialling.connection.as_ref()?;
        (addresses.contains(address) && connection.lost().is_none()).then(|| connection.clone())
    }

    /// Dials `node` at the next of `addresses`, unless a connection to one of them stands.
    async fn connect(&self, endpoint: &Endpoint, local: &LocalNode, node: NodeId, addresses: &[String]) -> Result<Connection, PeerError> {
        let mut dialling = self.dialling.lock().await;
        if let Some((address, connection)) = &dialling.connection {
            if addresses.contains(address) && connection.lost().is_none() {
                return Ok(connection.clone());
            }
            dialling.connection = None;
        }
        if dialling.next_attempt.is_some_and(|at| Instant::now() < at) {
            return Err(PeerError::Unreachable(dialling.last_error.clone()));
        }
        let Some(address) = candidate(addresses, dialling.failures) else {
            return Err(PeerError::Unreachable("no address of it is known".into()));
        };
        match dial(endpoint, local, node, address).await {
            Ok(connection) => {
                *self.without_reply.lock() = None;
                *dialling = Dialling { connection: Some((address.clone(), connection.clone())), ..Dialling::default() };
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

async fn dial(endpoint: &Endpoint, local: &LocalNode, node: NodeId, address: &str) -> Result<Connection, String> {
    let mut addresses = tokio::net::lookup_host(address).await.map_err(|e| format!("`{address}` names no address: {e}"))?;
    let address = addresses.next().ok_or_else(|| format!("`{address}` names no address"))?;
    let site = local.group.site;
    let server_name = node_server_name(site, node);
    let connecting = tokio::time::timeout(DIAL_TIMEOUT, endpoint.connect(address, &server_name, Alpn::Site));
    let connection =
        connecting.await.map_err(|_| format!("{address} did not answer within {DIAL_TIMEOUT:?}"))?.map_err(|e| e.to_string())?;
    if connection.peer_node() == (site, node) {
        Ok(connection)
    } else {
        connection.close(CloseCode::NOT_ADMITTED, "another node was expected here");
        Err(format!("{address} is {} and not node {node} of site {site}", connection.peer()))
    }
}

/// Watches over one request: dropped without a reply, it starts the time after which a stalled connection is closed.
struct StallDetector {
    peer: Arc<PeerConnection>,
    connection: Connection,
    replied: bool,
}

impl StallDetector {
    fn note_reply(&mut self) {
        self.replied = true;
        *self.peer.without_reply.lock() = None;
    }
}

impl Drop for StallDetector {
    fn drop(&mut self) {
        if self.replied || self.connection.lost().is_some() {
            return;
        }
        let now = WithoutReply { since: Instant::now(), datagrams: self.connection.datagrams_received() };
        let mut without_reply = self.peer.without_reply.lock();
        match *without_reply {
            Some(first) if first.datagrams == now.datagrams => {
                if first.since.elapsed() >= STALL_TIMEOUT {
                    *without_reply = None;
                    self.connection.close(CloseCode::CANCELLED, "no reply");
                }
            }
            // Nothing was missed so far, or the peer lives and is busy.
            _ => *without_reply = Some(now),
        }
    }
}
