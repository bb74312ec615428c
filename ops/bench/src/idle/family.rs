//! The parent, its register, and its children.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use futures::FutureExt as _;
use kho_local_tree::{LocalTree, PlannedSite, TreePlan, khod_beside};
use kho_ops::{client::NodeClient, pki::load_root};
use kho_replication::{
    quic::{Endpoint, TransportLimits},
    tls::{Authority, CertificateClock, CertificateRequest, Credentials, NODE_VALIDITY_DAYS, VerifiedRequest},
};
use kho_storage::{
    encryption::EncryptionKey,
    ids::{NodeId, OriginId, SiteId, Tier},
    register::{NodeEntry, OriginEntry, SiteEntry, VerifiedRegister},
    signature::{PublicKey, SignatureAlgorithm, SigningKey},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use super::{
    child::{Child, ChildView, site_time},
    stream::IdleStream,
};
use crate::process_use::{ProcessMemory, processor_time};

const TREE: &str = "bench";
const PARENT: SiteId = SiteId(1);
const NODE: NodeId = NodeId(1);
const FIRST_CHILD: u32 = 1_001;
/// Children come in one after another: what a morning's rush costs is another question.
const ARRIVAL_INTERVAL: Duration = Duration::from_millis(10);
/// A child's socket needs little.
const SOCKET_BYTES: usize = 64 << 10;
/// Files beside a child's socket that this process has open.
const OTHER_FILES: u64 = 256;

/// A child before it starts: what it is known by.
struct Keys {
    site: SiteId,
    credentials: Credentials,
    signing_key: SigningKey,
}

/// See the module.
pub struct Family {
    tree: LocalTree,
    operator: NodeClient,
    keys: Vec<Keys>,
    register: Arc<VerifiedRegister>,
    views: Vec<Arc<ChildView>>,
    head_seconds: Arc<AtomicU64>,
    running: JoinSet<anyhow::Result<()>>,
}

impl Family {
    /// Makes all keys and the register, and starts the parent with the default limits.
    ///
    /// # Errors
    /// When the disk or a key fails, or the parent does not answer.
    pub async fn create(dir: &Path, children: u32) -> anyhow::Result<Self> {
        let site = PlannedSite::new(PARENT.0, "Trung ương", Tier::Central, &[], 1);
        let mut tree = LocalTree::create(dir, &khod_beside()?, TreePlan { tree: TREE.into(), sites: vec![site] }, None)?;
        tree.use_default_limits()?;
        let root = load_root(&tree.dir().join("pki").join("root"))?;
        let keys = (FIRST_CHILD..FIRST_CHILD + children).map(|site| Keys::make(&root, SiteId(site))).collect::<anyhow::Result<Vec<_>>>()?;
        tree.change_register(|register| {
            for key in &keys {
                register.sites.push(key.entry());
                register.origins.push(OriginEntry { origin: OriginId(key.site.0), author: key.site });
            }
        })?;
        tree.start().await?;
        tree.leader(PARENT).await?;
        let register = Arc::new(tree.register()?.verify(&register_key(&tree)?, TREE)?);
        let operator = tree.operator(PARENT)?;
        Ok(Self { tree, operator, keys, register, views: vec![], head_seconds: Arc::default(), running: JoinSet::new() })
    }

    /// Starts all children, each with a head every so many seconds.
    ///
    /// # Errors
    /// When this process may not have so many sockets.
    pub async fn start_children(&mut self, head_seconds: u64) -> anyhow::Result<()> {
        allow_files(self.keys.len() as u64 + OTHER_FILES)?;
        self.set_head_seconds(head_seconds);
        for Keys { site, credentials, signing_key } in std::mem::take(&mut self.keys) {
            let limits = TransportLimits { socket_buffer_bytes_wanted: SOCKET_BYTES, ..TransportLimits::default() };
            let endpoint = Endpoint::bind(([127, 0, 0, 1], 0).into(), &credentials, CertificateClock::system(), limits)?;
            let (view, stream) = (Arc::<ChildView>::default(), IdleStream::begin(TREE, site, NODE, signing_key, site_time())?);
            let child = Child {
                site,
                node: NODE,
                endpoint,
                stream,
                register: Arc::clone(&self.register),
                head_seconds: Arc::clone(&self.head_seconds),
                view: Arc::clone(&view),
            };
            self.views.push(view);
            self.running.spawn(child.run());
            tokio::time::sleep(ARRIVAL_INTERVAL).await;
        }
        Ok(())
    }

    /// Seconds between two heads of a child, from its next one on.
    pub fn set_head_seconds(&self, head_seconds: u64) {
        self.head_seconds.store(head_seconds, Ordering::Relaxed);
    }

    /// Whether the parent holds everything that any child does.
    pub fn is_caught_up(&self) -> bool {
        self.views.iter().all(|view| view.is_caught_up())
    }

    /// # Errors
    /// Why a child or the parent has ended.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        if let Some(ended) = self.running.join_next().now_or_never().flatten() {
            ended.context("a child failed")??;
        }
        let process = self.tree.process(PARENT, NODE).context("the parent was started")?;
        if !process.runs() {
            bail!("the parent has ended; the end of its log:\n{}", process.log_tail());
        }
        Ok(())
    }

    /// Bytes of all links so far: from the children, and to them.
    pub fn wire_bytes(&self) -> (u64, u64) {
        self.views.iter().map(|view| view.wire_bytes()).fold((0, 0), |(from, to), (sent, received)| (from + sent, to + received))
    }

    /// # Errors
    /// When the parent does not run.
    pub fn processor_time(&mut self) -> anyhow::Result<Duration> {
        processor_time(self.parent_process()?)
    }

    /// # Errors
    /// When the parent does not run.
    pub fn resident_bytes(&mut self) -> anyhow::Result<u64> {
        Ok(ProcessMemory::of(self.parent_process()?)?.resident_bytes)
    }

    /// Entries of the parent's log that it has applied.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn entries(&self) -> anyhow::Result<u64> {
        Ok(self.operator.status().await?.consensus.applied)
    }

    /// Ends the children, then the parent.
    ///
    /// # Errors
    /// When the parent did not stop by itself.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        self.running.shutdown().await;
        self.tree.stop()
    }

    fn parent_process(&mut self) -> anyhow::Result<u32> {
        self.tree.process(PARENT, NODE).and_then(|process| process.id()).context("the parent runs")
    }
}

impl Keys {
    fn make(root: &Authority, site: SiteId) -> anyhow::Result<Self> {
        let request = CertificateRequest::for_node(TREE, site, NODE, &[])?;
        let issued = root.sign(&VerifiedRequest::from_pem(&request.csr_pem)?, site_time(), NODE_VALIDITY_DAYS)?;
        let credentials = Credentials::from_pem(root.certificate_pem(), &issued.certificate_pem, &request.key_pem)?;
        Ok(Self { site, credentials, signing_key: SigningKey::generate(SignatureAlgorithm::default())? })
    }

    /// As the register has it.
    fn entry(&self) -> SiteEntry {
        let node = NodeEntry {
            node: NODE,
            signing_key: self.signing_key.public_key(),
            encryption_key: EncryptionKey::from_bytes([1; 32]),
            revoked: vec![],
        };
        SiteEntry {
            site: self.site,
            name: format!("Huyện {}", self.site),
            tier: Tier::District,
            parents: vec![PARENT],
            areas: vec![],
            addresses: vec![],
            nodes: vec![node],
        }
    }
}

fn register_key(tree: &LocalTree) -> anyhow::Result<PublicKey> {
    let pem = std::fs::read_to_string(tree.dir().join("pki").join("register.key"))?;
    Ok(SigningKey::from_pkcs8_pem(&pem)?.public_key())
}

/// Lets this process have so many files and sockets open.
fn allow_files(wanted: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
        .with_context(|| format!("this process may not have {wanted} sockets open; raise `ulimit -n`, or give fewer --children"))
}
