//! Puts a node together, runs it, and takes it down in order.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use kho_replication::{
    identity::Role,
    quic::{Alpn, CloseCode, Endpoint, TransportLimits},
    tls::{CertificateClock, CredentialFiles, Credentials},
};
use kho_storage::{
    db::DbLimits,
    encryption::DecryptionKey,
    error::StorageError,
    level::{LevelRange, SUPPORTED},
    schema::Schema,
    signature::{PublicKey, SigningKey},
    warehouse::{Warehouse, WarehouseConfig, WarehouseEvent},
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    alarms::Alarms,
    audit::AuditKey,
    clock::NodeClock,
    config::NodeConfig,
    consensus::{Consensus, ConsensusConfig, ConsensusLimits, FirstStart, GroupId, StartError, first_start, require_first_start},
    damage_found::{self, DamageFound},
    disk_room::DiskWatch,
    entry::EntrySchemas,
    failed_proofs::FailedProofs,
    heads::sign_heads,
    http,
    intake_driver::{PackedRegisters, serve_child},
    maintenance::run_maintenance,
    node::Node,
    register_watch::{take_effect, watch_register},
    schema_file::load_schema,
    task_watch::TaskWatch,
    uplink_driver::run_uplink,
    warehouse_events::WarehouseEvents,
    writer::Writer,
};

/// What a node's files say about it, checked before anything is started.
pub struct Checked {
    pub config: NodeConfig,
    pub credentials: Credentials,
    pub signing_key: SigningKey,
    pub decryption_key: DecryptionKey,
    pub schema: Arc<Schema>,
    /// Levels that the node supports: those of its build, unless a test had it offer more.
    pub levels: LevelRange,
    /// The task or job that panics as soon as it starts. For tests alone.
    pub panic_in: Option<Arc<str>>,
}

/// Reads every file that the configuration names and checks that they fit together.
///
/// # Errors
/// The first thing that does not fit, with the file's name.
pub fn check(config: NodeConfig) -> anyhow::Result<Checked> {
    let files = &config.identity;
    let credentials = Credentials::load(&CredentialFiles {
        root_ca: files.root_certificate.clone(),
        certificate_chain: files.certificate.clone(),
        key: files.tls_key.clone(),
    })?;
    let identity = credentials.identity();
    let expected = Role::Node { site: config.site, node: config.node };
    if identity.tree() != config.tree || *identity.role() != expected {
        bail!(
            "the certificate {} is of {identity}, but the configuration says tree {}, site {}, node {}; sign the right request with `kho pki sign`",
            files.certificate.display(),
            config.tree,
            config.site,
            config.node
        );
    }
    let pem = std::fs::read_to_string(&files.signing_key)
        .with_context(|| format!("the signing key {} can't be read; make one with `kho pki request`", files.signing_key.display()))?;
    let signing_key = SigningKey::from_pkcs8_pem(&zeroize::Zeroizing::new(pem))
        .with_context(|| format!("the signing key {} is of no use", files.signing_key.display()))?;
    let pem = std::fs::read_to_string(&files.encryption_key)
        .with_context(|| format!("the encryption key {} can't be read; make one with `kho pki request`", files.encryption_key.display()))?;
    let decryption_key = DecryptionKey::from_pkcs8_pem(&zeroize::Zeroizing::new(pem))
        .with_context(|| format!("the encryption key {} is of no use", files.encryption_key.display()))?;
    config.register_key().map_err(anyhow::Error::msg)?;
    let schema = Arc::new(load_schema(&config.schema)?);
    Ok(Checked { config, credentials, signing_key, decryption_key, schema, levels: SUPPORTED, panic_in: None })
}

/// Runs a node until `stop` resolves or the node fails.
///
/// # Errors
/// Why the node could not start, or why it stopped by itself.
pub async fn run(checked: Checked, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let stopping = CancellationToken::new();
    let tasks = TaskWatch::new(stopping.clone()).with_panic_in(checked.panic_in);
    let (decryption_key, signing_key) = (checked.decryption_key, checked.signing_key.public_key());
    let (node, events) = start(
        checked.config,
        checked.credentials,
        decryption_key,
        signing_key,
        (&checked.schema, checked.levels),
        stopping.clone(),
        &tasks,
    )
    .await?;
    let mut failed = node.consensus.failed();
    tasks.spawn("signs heads", sign_heads(Arc::clone(&node), checked.signing_key, events.own_batch));
    run_uplink(Arc::clone(&node), events.changes, &tasks);
    tasks.spawn("maintenance", run_maintenance(Arc::clone(&node)));
    tasks.spawn("watches the register", watch_register(Arc::clone(&node)));
    tasks.spawn("accepts connections", accept_connections(Arc::clone(&node)));
    let mut https = tokio::spawn(http::serve(Arc::clone(&node)));
    tracing::info!(site = %node.site(), node = %node.config.node, quic = %node.config.listen.quic, https = %node.config.listen.https, "running");
    let ended = tokio::select! {
        // In this order: what a part of the node says of itself is told before the end of its task.
        biased;
        () = stop => Ok(()),
        Ok(why) = failed.wait_for(Option::is_some) => Err(match node.warehouse.level_fault() {
            Some(fault) => fault.into(),
            None => anyhow::anyhow!("the node stopped taking part: {}", why.clone().unwrap_or_default()),
        }),
        served = &mut https => match served {
            Ok(Ok(())) => Err(anyhow::anyhow!("the HTTPS listener ended")),
            Ok(Err(error)) => Err(error).with_context(|| format!("HTTPS on {}", node.config.listen.https)),
            Err(error) => Err(error.into()),
        },
        end = tasks.first_ended() => Err(anyhow::anyhow!("{end}; read the log, then start the node again")),
        end = node.consensus.first_task_ended() => Err(anyhow::anyhow!("{end}; read the log, then start the node again")),
    };
    tracing::info!("stopping");
    stopping.cancel();
    tasks.join().await;
    // Requests under way get their answer BEFORE the consensus ends; the listener itself bounds the wait.
    if !https.is_finished() && https.await.is_err() {
        tracing::warn!("the HTTPS listener ended early");
    }
    node.consensus.shutdown().await;
    node.endpoint.close(CloseCode::SHUTDOWN, "the node stops");
    node.endpoint.wait_idle().await;
    ended
}

/// How tasks hear of what the warehouse applies.
struct Events {
    own_batch: Arc<Notify>,
    changes: Arc<WarehouseEvents>,
}

async fn start(
    config: NodeConfig,
    credentials: Credentials,
    decryption_key: DecryptionKey,
    signing_key: PublicKey,
    (schema, levels): (&Arc<Schema>, LevelRange),
    stopping: CancellationToken,
    tasks: &TaskWatch,
) -> anyhow::Result<(Arc<Node>, Events)> {
    // BEFORE anything is made in it: an empty folder may be a disk that is not mounted.
    refuse_state_without_log(&config)?;
    require_first_start(&consensus_dir(&config))?;
    std::fs::create_dir_all(&config.data_dir).with_context(|| format!("the data directory {} can't be made", config.data_dir.display()))?;
    let failed_proofs = FailedProofs::open(&config.data_dir).with_context(|| {
        format!(
            "failed-proofs.json in {} can't be read; take the file away and run `kho verify` to prove every origin again",
            config.data_dir.display()
        )
    })?;
    let damage_found = DamageFound::open(&config.data_dir)
        .with_context(|| format!("{} in {} can't be read", damage_found::FILE, config.data_dir.display()))?;
    let damage_found = Arc::new(damage_found);
    let audit_key =
        AuditKey::open(&config.data_dir).with_context(|| format!("audit.key in {} can't be read or made", config.data_dir.display()))?;
    let certificate_clock = CertificateClock::of_node(credentials.validity());
    let limits = TransportLimits { frame_bytes_max: FRAME_BYTES_MAX, ..TransportLimits::default() };
    let endpoint = Endpoint::bind(config.listen.quic, &credentials, certificate_clock.clone(), limits)?;
    let warehouse = Arc::new(open_warehouse(&config, schema, levels)?);
    let clock = Arc::new(NodeClock::new(credentials.validity()));
    let (damage, believed) = (Arc::clone(&damage_found), Arc::clone(&clock));
    warehouse.listen_for_damage(move |error| damage.note(error, believed.now()));
    // A machine that lost its clock must not take every certificate for one of the future: time has come at least so far.
    warehouse.committed_time()?.into_iter().for_each(|time| {
        certificate_clock.vouch(time);
        clock.has_committed(time);
    });
    let (register_changed, register_changes) = watch::channel(0);
    let (own_batch, changes) = (Arc::new(Notify::new()), Arc::new(WarehouseEvents::default()));
    let (wake, noted) = (Arc::clone(&own_batch), Arc::clone(&changes));
    warehouse.listen(move |applied| {
        match applied {
            WarehouseEvent::OwnBatchWritten(_) => wake.notify_one(),
            WarehouseEvent::RegisterChanged | WarehouseEvent::EverythingChanged => register_changed.send_modify(|count| *count += 1),
            WarehouseEvent::StreamMoved(_) | WarehouseEvent::OriginDiscarded(_) | WarehouseEvent::LevelRaised => {}
        }
        noted.note(applied);
    });
    let consensus_config = ConsensusConfig {
        group: group(&config),
        node: config.node,
        dir: consensus_dir(&config),
        rank: None,
        addresses: config.member_addresses().map_err(anyhow::Error::msg)?,
        limits: ConsensusLimits::default(),
    };
    let believed = Arc::clone(&clock);
    let consensus = Consensus::start(consensus_config, Arc::clone(&warehouse), endpoint.clone(), Arc::new(move || believed.now())).await?;
    // After a crash the newest watermarks stood in the log alone; what of it is known to be committed was just applied.
    warehouse.committed_time()?.into_iter().for_each(|time| clock.has_committed(time));
    certificate_clock.vouch(clock.read().vouched);
    let writer = Writer::start(Arc::clone(&consensus), Arc::clone(&warehouse), Arc::clone(&clock), config.limits.entry_requests_max, tasks);
    let node = Node {
        entry_schemas: EntrySchemas::compile(schema, warehouse.supported_levels()),
        warehouse,
        consensus,
        endpoint,
        credentials,
        decryption_key,
        clock,
        certificate_clock,
        alarms: Alarms::default(),
        disk: DiskWatch::default(),
        failed_proofs,
        damage_found,
        audit_key,
        writer,
        uplink: parking_lot::Mutex::default(),
        children: parking_lot::Mutex::default(),
        signing_key,
        offered_register: parking_lot::Mutex::default(),
        packed_registers: PackedRegisters::default(),
        register_changes,
        stopping,
        tasks: tasks.clone(),
        config,
    };
    // BEFORE the first election, and before a connection is served.
    take_effect(&node);
    Ok((Arc::new(node), Events { own_batch, changes }))
}

/// Whether the node did not start, or ended, because its build does not support the level of its site: starting it again is of no use.
pub fn is_level_fault(error: &anyhow::Error) -> bool {
    let fault = match error.downcast_ref::<StartError>() {
        Some(StartError::State(fault)) => Some(fault),
        _ => error.downcast_ref::<StorageError>(),
    };
    matches!(fault, Some(StorageError::LevelNotSupported { .. }))
}

/// Takes the empty data folder as this node's own. Somebody says by it that the node never ran before.
///
/// # Errors
/// When the folder holds something, or can't be used.
pub fn take_data_folder(config: &NodeConfig) -> anyhow::Result<FirstStart> {
    refuse_state_without_log(config)?;
    let dir = consensus_dir(config);
    std::fs::create_dir_all(&config.data_dir).with_context(|| format!("the data directory {} can't be made", config.data_dir.display()))?;
    Ok(first_start(&dir, &group(config), config.node)?)
}

fn refuse_state_without_log(config: &NodeConfig) -> anyhow::Result<()> {
    let state = config.data_dir.join("warehouse");
    if state.exists() && !consensus_dir(config).exists() {
        bail!(
            "{} holds a state without its log: this disk lost a part of its data. Remove the node with `kho node remove` and add it under a new id",
            state.display()
        );
    }
    Ok(())
}

fn group(config: &NodeConfig) -> GroupId {
    GroupId { tree: config.tree.clone(), site: config.site }
}

/// Folder of the log, log snapshots and the disk's mark.
fn consensus_dir(config: &NodeConfig) -> PathBuf {
    config.data_dir.join("consensus")
}

/// The longest frame between nodes: a register handed down, with room around it.
const FRAME_BYTES_MAX: u32 = 40 << 20;

fn open_warehouse(config: &NodeConfig, schema: &Arc<Schema>, levels: LevelRange) -> anyhow::Result<Warehouse> {
    let warehouse = WarehouseConfig {
        tree: config.tree.clone(),
        site: config.site,
        register_key: config.register_key().map_err(anyhow::Error::msg)?,
        schema: Arc::clone(schema),
        limits: DbLimits { cache_bytes_max: config.limits.cache_mib << 20, write_buffer_bytes_max: config.limits.write_buffer_mib << 20 },
        levels,
    };
    Ok(Warehouse::open(&config.data_dir.join("warehouse"), warehouse)?)
}

async fn accept_connections(node: Arc<Node>) {
    loop {
        let connection = tokio::select! {
            accepted = node.endpoint.accept() => match accepted {
                Some(connection) => connection,
                None => return,
            },
            () = node.stopping.cancelled() => return,
        };
        match connection.alpn() {
            Alpn::Site => drop(node.tasks.job("connection of a peer", Arc::clone(&node.consensus).serve(connection))),
            Alpn::Link => drop(node.tasks.job("connection of a child", serve_child(Arc::clone(&node), connection))),
        }
    }
}
