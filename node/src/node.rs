//! One node, put together: what every task and every request handler shares.

use std::{collections::BTreeMap, sync::Arc};

use kho_replication::{
    quic::Endpoint,
    tls::{CertificateClock, Credentials},
    uplink::UplinkStatus,
};
use kho_storage::{
    encryption::DecryptionKey,
    error::StorageError,
    ids::{NodeId, OriginId, SiteId, SiteTime},
    level::LevelOffer,
    register::{RegisterError, SignedRegister, VerifiedRegister},
    signature::PublicKey,
    stream::{HEAD_AHEAD_MS_MAX, Head, SignedHead},
    warehouse::{JudgedRegister, OriginState, Warehouse},
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    alarms::Alarms,
    answer::{AnswerContext, ReadMode},
    api::AlarmKind,
    audit::AuditKey,
    clock::NodeClock,
    config::NodeConfig,
    consensus::Consensus,
    damage_found::DamageFound,
    disk_room::DiskWatch,
    entry::{EntrySchema, EntrySchemas},
    failed_proofs::FailedProofs,
    intake_driver::PackedRegisters,
    task_watch::TaskWatch,
    writer::Writer,
};

/// A child's node that is or was connected here.
#[derive(Debug, Clone)]
pub struct ChildSeen {
    pub node: NodeId,
    /// Connections that stand now; an old one may end after a newer one began.
    pub connections: u32,
    pub last_heard: SiteTime,
    /// What its newest Hello said of its level, also when that was refused.
    pub levels: Option<LevelOffer>,
}

/// One node of a site.
pub struct Node {
    pub config: NodeConfig,
    pub warehouse: Arc<Warehouse>,
    pub consensus: Arc<Consensus>,
    pub endpoint: Endpoint,
    pub credentials: Credentials,
    /// Opens what was encrypted to this node.
    pub decryption_key: DecryptionKey,
    pub clock: Arc<NodeClock>,
    pub certificate_clock: Arc<CertificateClock>,
    /// Reports for an operator; nothing is decided by them.
    pub alarms: Alarms,
    /// What entry and intake ask before they take anything.
    pub disk: DiskWatch,
    pub failed_proofs: FailedProofs,
    pub damage_found: Arc<DamageFound>,
    /// Names rows in the audit log.
    pub audit_key: AuditKey,
    pub writer: Writer,
    pub entry_schemas: EntrySchemas,
    pub uplink: Mutex<Option<UplinkStatus>>,
    pub children: Mutex<BTreeMap<SiteId, ChildSeen>>,
    /// The key that others believe this node's heads by.
    pub signing_key: PublicKey,
    /// The newest register that was given to this node, if its site has still to adopt it.
    pub offered_register: Mutex<Option<Arc<VerifiedRegister>>>,
    /// Registers as they travel down.
    pub packed_registers: PackedRegisters,
    /// Counts adoptions of registers.
    pub register_changes: watch::Receiver<u64>,
    pub stopping: CancellationToken,
    pub tasks: TaskWatch,
}

impl Node {
    pub fn site(&self) -> SiteId {
        self.config.site
    }

    /// What entry reads rows by at the level at which the site works now.
    pub fn entry_schema(&self) -> &Arc<EntrySchema> {
        self.entry_schemas.at(self.warehouse.level())
    }

    /// What adopting a register would come to, judged on a thread that may take its time: a long one takes some.
    ///
    /// # Errors
    /// Why it would be refused.
    pub async fn judge_register(&self, signed: Arc<SignedRegister>) -> Result<JudgedRegister, RegisterError> {
        let warehouse = Arc::clone(&self.warehouse);
        let judged = tokio::task::spawn_blocking(move || warehouse.judge_register(&signed)).await;
        judged.unwrap_or_else(|error| Err(RegisterError::Malformed(error.to_string())))
    }

    /// Whether this node leads its site and has applied everything that was ever acknowledged.
    pub fn leads(&self) -> bool {
        self.consensus.leadership().borrow().ready
    }

    /// An origin's state, also before its first batch; `None` for one that the register does not know.
    pub fn origin_or_empty(&self, origin: OriginId) -> Result<Option<OriginState>, StorageError> {
        if let Some(state) = self.warehouse.origin(origin)? {
            return Ok(Some(state));
        }
        let known = self.warehouse.register().filter(|register| register.author(origin).is_some());
        Ok(known.map(|register| OriginState::empty(origin, register.first_epoch(origin))))
    }

    /// The newest committed head of an origin.
    pub fn newest_head(&self, origin: OriginId) -> Result<Option<(OriginState, SignedHead)>, StorageError> {
        self.warehouse.read(|reading| {
            let Some(state) = reading.origin(origin)? else { return Ok(None) };
            Ok(reading.newest_head(origin, &state)?.map(|head| (state, head)))
        })
    }

    /// The furthest head of an origin that this site can show to its author.
    pub fn furthest_head(&self, origin: OriginId) -> Result<Option<SignedHead>, StorageError> {
        self.warehouse.read(|reading| match reading.origin(origin)? {
            Some(state) => reading.furthest_head(origin, &state),
            None => Ok(None),
        })
    }

    /// Raises an alarm when an adopted head lies in this node's future, and ends it when one of the same origin does not.
    pub fn watch_clock_of(&self, head: &Head) {
        let (origin, now) = (head.origin.0, self.clock.now());
        match head.ahead_of(now) {
            Some(_) => {
                let minutes_max = u64::try_from(HEAD_AHEAD_MS_MAX / 60_000).unwrap_or(0);
                self.alarms.raise(AlarmKind::ClockAhead { origin, minutes_max }, now);
            }
            None => self.alarms.end(|kind| matches!(kind, AlarmKind::ClockAhead { origin: ahead, .. } if *ahead == origin)),
        }
    }

    /// Notes whether the site is a root, as soon as it has a register.
    pub fn settle_clock(&self) {
        let register = self.warehouse.register();
        if let Some(site) = register.as_ref().and_then(|register| register.site(self.site())) {
            self.clock.settle(site.parents.is_empty());
        }
    }

    /// What an answer read now is read by.
    pub fn answer_context(&self, read: ReadMode) -> AnswerContext {
        let status = self.consensus.status();
        AnswerContext {
            site: self.site(),
            now: self.clock.now(),
            read,
            applied: status.applied.unwrap_or(0),
            answered_by: format!("node {} of site {}", self.config.node, self.config.site),
        }
    }

    /// QUIC addresses of the node that leads, if one does.
    pub fn leader_addresses(&self) -> Option<Vec<String>> {
        let status = self.consensus.status();
        let leader = status.leader?;
        let addresses: Vec<String> =
            status.members.iter().filter(|member| member.node == leader).map(|member| member.quic_address.clone()).collect();
        (!addresses.is_empty()).then_some(addresses)
    }
}
