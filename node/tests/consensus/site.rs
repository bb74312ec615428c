//! A site for tests: real consensus on real disks over real QUIC on loopback.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use kho_node::consensus::{Consensus, ConsensusConfig, ConsensusLimits, FirstStart, GroupId, NodeAddress, StartError, first_start};
use kho_replication::{
    quic::{Endpoint, TransportLimits},
    tls::{Authority, CertificateClock, CertificateRequest, Credentials, NODE_VALIDITY_DAYS, VerifiedRequest},
};
use kho_storage::{
    codec::Blob,
    command::{Command, Outcome, WriteOutcome, WriteRequest},
    db::DbLimits,
    encryption::EncryptionKey,
    ids::{ColumnId, Hash32, NodeId, OriginId, SiteId, SiteTime, TableId, Tier},
    level::{LevelRange, SUPPORTED},
    register::{NodeEntry, OriginEntry, Register, SignedRegister, SiteEntry},
    row::RowBuilder,
    schema::{Value, population},
    signature::{SignatureAlgorithm, SigningKey},
    stream::{Change, Head, RowChange, SignedHead},
    warehouse::{OriginState, Warehouse, WarehouseConfig},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::link::Link;

pub const SITE: SiteId = SiteId(7);
pub const ORIGIN: OriginId = OriginId(7);
const TREE: &str = "test";
/// The time that every node believes, whatever its machine's clock shows.
pub const BELIEVED: SiteTime = SiteTime(1_600_000_000_000);
/// The node that signs heads in these tests.
const SIGNER: NodeId = NodeId(1);

/// What all nodes of the site share.
pub struct Site {
    root: Authority,
    centre: SigningKey,
    clock: Arc<CertificateClock>,
    pub limits: ConsensusLimits,
    /// What an operator wrote about where nodes are, into the configuration of every node that is started from now on.
    pub addresses: BTreeMap<NodeId, NodeAddress>,
}

/// One node; its disk outlives its runs.
pub struct TestNode {
    pub id: NodeId,
    dir: TempDir,
    credentials: Credentials,
    addr: Option<SocketAddr>,
    pub group: GroupId,
    /// Levels that its build supports, from its next start on.
    pub levels: LevelRange,
    running: Option<Running>,
}

struct Running {
    consensus: Arc<Consensus>,
    warehouse: Arc<Warehouse>,
    endpoint: Endpoint,
    accepting: JoinHandle<()>,
}

impl Site {
    pub fn new() -> Self {
        let clock = CertificateClock::system();
        let limits = ConsensusLimits { log_check_interval: Duration::from_millis(200), ..ConsensusLimits::default() };
        Self {
            root: Authority::create(TREE, clock.now()).expect("well formed"),
            centre: SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness"),
            clock,
            limits,
            addresses: BTreeMap::new(),
        }
    }

    /// A node with an empty disk, not yet running.
    pub fn node(&self, id: u64) -> TestNode {
        let request = CertificateRequest::for_node(TREE, SITE, NodeId(id), &[]).expect("well formed");
        let verified = VerifiedRequest::from_pem(&request.csr_pem).expect("own request");
        let issued = self.root.sign(&verified, self.clock.now(), NODE_VALIDITY_DAYS).expect("own tree");
        let credentials = Credentials::from_pem(self.root.certificate_pem(), &issued.certificate_pem, &request.key_pem).expect("they fit");
        let group = GroupId { tree: TREE.into(), site: SITE };
        let dir = empty_disk(&group, NodeId(id));
        TestNode { id: NodeId(id), dir, credentials, addr: None, group, levels: SUPPORTED, running: None }
    }

    /// `count` nodes that form a site with the test's register.
    pub async fn create(&self, count: u64) -> Vec<TestNode> {
        let nodes = self.started(count).await;
        let members = nodes.iter().map(|node| (node.id, node.address())).collect();
        self.initialize(nodes, members).await
    }

    /// The same, where each node is reached over a link of its own.
    pub async fn create_over_links(&self, count: u64) -> (Vec<TestNode>, Vec<Link>) {
        let nodes = self.started(count).await;
        let (mut links, mut members) = (vec![], BTreeMap::new());
        for node in &nodes {
            let link = Link::to(node.addr()).await;
            members.insert(node.id, NodeAddress { quic: link.addr().to_string(), ..node.address() });
            links.push(link);
        }
        (self.initialize(nodes, members).await, links)
    }

    async fn started(&self, count: u64) -> Vec<TestNode> {
        let mut nodes: Vec<TestNode> = (1..=count).map(|id| self.node(id)).collect();
        for node in &mut nodes {
            node.start(self).await.expect("starts");
        }
        nodes
    }

    async fn initialize(&self, nodes: Vec<TestNode>, members: BTreeMap<NodeId, NodeAddress>) -> Vec<TestNode> {
        nodes[0].consensus().initialize(&members).await.expect("all are fresh");
        let adopt = Command::AdoptRegister { site_time: self.clock.now(), pinned: self.centre.public_key(), signed: self.register() };
        assert!(matches!(nodes[0].consensus().propose(&adopt).await, Ok(Outcome::RegisterAdopted { .. })));
        nodes
    }

    /// Commits a head over everything that `node` holds: a site takes no further batch while too much stands without one.
    pub async fn commit_head(&self, node: &TestNode) {
        let signed = self.signed_head(node, |_| {});
        assert_eq!(node.consensus().propose(&Command::CommitHead { signed }).await, Ok(Outcome::HeadCommitted));
    }

    /// A head over everything that `node` holds, altered before it is signed.
    pub fn signed_head(&self, node: &TestNode, alter: impl FnOnce(&mut Head)) -> SignedHead {
        let state = node.origin().expect("something was written");
        let mut head = state.head(ORIGIN, state.batch_time);
        alter(&mut head);
        SignedHead::sign(head, SITE, SIGNER, &self.centre).expect("signs")
    }

    fn register(&self) -> SignedRegister {
        let signer = NodeEntry {
            node: SIGNER,
            signing_key: self.centre.public_key(),
            encryption_key: EncryptionKey::from_bytes([1; 32]),
            revoked: vec![],
        };
        let site = SiteEntry {
            site: SITE,
            name: "seven".into(),
            tier: Tier::Central,
            parents: vec![],
            areas: vec![],
            addresses: vec![],
            nodes: vec![signer],
        };
        let register = Register {
            tree: TREE.into(),
            version: 1,
            requires: vec![],
            roots: vec![],
            sites: vec![site],
            origins: vec![OriginEntry { origin: ORIGIN, author: SITE }],
            revoked_identities: vec![],
        };
        SignedRegister::issue(&register, &self.centre).expect("whole")
    }

    fn open_warehouse(&self, dir: PathBuf, levels: LevelRange) -> Result<Warehouse, StartError> {
        let config = WarehouseConfig {
            tree: TREE.into(),
            site: SITE,
            register_key: self.centre.public_key(),
            schema: Arc::new(population().clone()),
            limits: DbLimits { cache_bytes_max: 4 << 20, write_buffer_bytes_max: 8 << 20 },
            levels,
        };
        Ok(Warehouse::open(&dir, config)?)
    }
}

impl TestNode {
    /// Starts the node on its disk, at the address it had before, if any.
    pub async fn start(&mut self, site: &Site) -> Result<(), StartError> {
        let warehouse = Arc::new(site.open_warehouse(self.dir.path().join("warehouse"), self.levels)?);
        let clock: Arc<CertificateClock> = Arc::clone(&site.clock);
        let addr = self.addr.unwrap_or_else(|| "127.0.0.1:0".parse().expect("an address"));
        let endpoint = Endpoint::bind(addr, &self.credentials, clock, TransportLimits::default()).expect("binds");
        self.addr = Some(endpoint.local_addr().expect("bound"));
        let config = ConsensusConfig {
            group: self.group.clone(),
            node: self.id,
            dir: self.dir.path().join("consensus"),
            rank: None,
            addresses: site.addresses.clone(),
            limits: site.limits.clone(),
        };
        let consensus = Consensus::start(config, Arc::clone(&warehouse), endpoint.clone(), Arc::new(|| BELIEVED)).await?;
        let accepting = tokio::spawn({
            let (consensus, endpoint) = (Arc::clone(&consensus), endpoint.clone());
            async move {
                while let Some(connection) = endpoint.accept().await {
                    tokio::spawn(Arc::clone(&consensus).serve(connection));
                }
            }
        });
        self.running = Some(Running { consensus, warehouse, endpoint, accepting });
        Ok(())
    }

    /// Stops the node; its disk is free again on return.
    pub async fn stop(&mut self) {
        let Running { consensus, warehouse, endpoint, accepting } = self.running.take().expect("runs");
        accepting.abort();
        let _ = accepting.await;
        consensus.shutdown().await;
        drop(endpoint);
        drop(consensus);
        let alone = Arc::downgrade(&warehouse);
        drop(warehouse);
        until("the disk to be free", || alone.strong_count() == 0).await;
        // The port and the log go with their last tasks.
        let addr = self.addr();
        until("the port to be free", || std::net::UdpSocket::bind(addr).is_ok()).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    /// Gives the stopped node another port, as if its office had got another network.
    pub fn move_away(&mut self) {
        assert!(self.running.is_none());
        let free = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        self.addr = Some(free.expect("a free port"));
    }

    /// Clears the disk, as a replaced one would be.
    pub fn lose_disk(&mut self) {
        assert!(self.running.is_none());
        self.dir = empty_disk(&self.group, self.id);
    }

    /// A copy of the stopped node's disk, as a machine image is.
    pub fn image(&self) -> TempDir {
        assert!(self.running.is_none());
        copied(self.dir.path())
    }

    /// Puts such a copy in the place of the disk.
    pub fn set_back(&mut self, image: &TempDir) {
        assert!(self.running.is_none());
        self.dir = copied(image.path());
    }

    /// Loses the consensus' directory but not the state.
    pub fn lose_log(&mut self) {
        assert!(self.running.is_none());
        std::fs::remove_dir_all(self.dir.path().join("consensus")).expect("removable");
    }

    /// Whether files of a log snapshot are coming in.
    pub fn is_receiving(&self) -> bool {
        self.dir.path().join("consensus/snapshots/incoming").exists()
    }

    /// Bytes of all log snapshots on the node's disk.
    pub fn snapshot_bytes(&self) -> u64 {
        let snapshots = std::fs::read_dir(self.dir.path().join("consensus/snapshots")).expect("the store of snapshots");
        let states = snapshots.filter_map(|snapshot| std::fs::read_dir(snapshot.ok()?.path().join("state")).ok());
        states.flatten().filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub fn consensus(&self) -> &Arc<Consensus> {
        &self.running.as_ref().expect("runs").consensus
    }

    pub fn warehouse(&self) -> &Arc<Warehouse> {
        &self.running.as_ref().expect("runs").warehouse
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr.expect("was started")
    }

    pub fn address(&self) -> NodeAddress {
        NodeAddress { quic: self.addr().to_string(), https: "127.0.0.1:1".into() }
    }

    pub fn origin(&self) -> Option<OriginState> {
        self.warehouse().origin(ORIGIN).expect("a good disk")
    }
}

fn copied(from: &std::path::Path) -> TempDir {
    let to = tempfile::tempdir().expect("a directory");
    let copied = std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(to.path()).status().expect("cp runs");
    assert!(copied.success());
    to
}

/// An empty disk of which somebody said that the node's first start is on it.
fn empty_disk(group: &GroupId, node: NodeId) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(first_start(&dir.path().join("consensus"), group, node).expect("an empty folder"), FirstStart::Taken);
    dir
}

/// A write of `rows` households whose keys start with `key`.
pub fn write(key: &str, rows: usize) -> Command {
    let changes = (0..rows).map(|row| {
        let id = format!("{key}-{row}");
        let mut cells = RowBuilder::default();
        cells.push(ColumnId(1), &Value::Text(id.as_str().into()));
        cells.push(ColumnId(3), &Value::Code(0));
        // Text that does not compress, so that sizes are what they seem.
        cells.push(
            ColumnId(6),
            &Value::Text((0..8).map(|part| Hash32::of(format!("{id} {part}").as_bytes()).to_hex()).collect::<String>().into()),
        );
        cells.push(ColumnId(7), &Value::Area(10_001));
        cells.push(ColumnId(8), &Value::Code(0));
        Change { table: TableId(1), key: Blob(id.into_bytes()), row: RowChange::Whole(Blob(cells.finish())) }
    });
    let request = WriteRequest { key: key.into(), body_hash: Hash32::of(key.as_bytes()), changes: changes.collect(), needs: vec![] };
    Command::Write { site_time: SiteTime(1_800_000_000_000), origin: ORIGIN, requests: vec![request] }
}

pub fn is_committed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Written(outcomes) if matches!(outcomes[..], [WriteOutcome::Committed { .. }]))
}

/// The index of the leader among `nodes`, once one is ready.
pub async fn leader_of(nodes: &[TestNode]) -> usize {
    let found = || nodes.iter().position(|node| node.is_running() && node.consensus().leadership().borrow().ready);
    until("a leader", || found().is_some()).await;
    found().unwrap_or(0)
}

/// Waits until `nodes` that run hold the same.
pub async fn until_equal(nodes: &[TestNode]) {
    let states = || nodes.iter().filter(|node| node.is_running()).map(TestNode::origin).collect::<Vec<_>>();
    until("equal states", || states().windows(2).all(|pair| pair[0] == pair[1])).await;
}

pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited 30 s for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
