//! The child's side at work: carries out what [`Uplink`] decides. It decides nothing itself.

mod compare_head;
mod fetch_register;
mod inputs;
mod offer_register;
mod parent_connection;

use std::{collections::HashMap, sync::Arc, time::Duration};

use kho_replication::{
    frames::{ChildFrame, Cursor, RegisterOffer},
    quic::CloseCode,
    site_clock::CLOCK_SENT_INTERVAL,
    uplink::{
        LinkFailure, LinkId, LinkStatus, LoadFailure, LoadId, RegisterFetchFailure, StreamPosition, StreamState, Uplink, UplinkAction,
        UplinkAlarm, UplinkConfig, UplinkInput, UplinkStatus,
    },
};
use kho_storage::{
    command::{Command, Outcome, ParentCursor, RowPlace, TransferPiece, TransferStart},
    ids::{Epoch, OriginId, SiteId},
    level::Level,
    register::SignedRegister,
    stream::Segment,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::parent_connection::dial;
use self::{
    compare_head::compare_head,
    inputs::{Arriving, Inputs},
    offer_register::offer_register,
    parent_connection::{DriverEnds, hold_connection},
};
use crate::{
    api::AlarmKind,
    clock::machine_time,
    node::Node,
    reasons,
    task_watch::TaskWatch,
    warehouse_events::{Changes, WarehouseEvents},
};

const TICK: Duration = Duration::from_millis(200);
/// Frames that wait for the connection; the uplink's own window keeps their number small.
const OUTGOING_FRAMES_MAX: usize = 1024;
/// Registers that wait to be fetched over a connection; the uplink wants one at a time, and may have given up one before.
const WANTED_REGISTERS_MAX: usize = 4;
/// Records of cursors that wait for the site. One more is given back as failed, and the uplink records again later.
const RECORDS_MAX: usize = 64;

type Records = mpsc::Sender<(SiteId, Vec<ParentCursor>)>;

/// A connection to a parent, also while it is being dialled.
struct ParentConnection {
    frames: mpsc::Sender<Vec<u8>>,
    registers: mpsc::Sender<RegisterOffer>,
    closing: CancellationToken,
}

/// Starts the uplink, which runs until the node stops. `events` brings what the warehouse has just applied.
pub fn run_uplink(node: Arc<Node>, events: Arc<WarehouseEvents>, tasks: &TaskWatch) {
    let (inputs, arriving) = Inputs::channel();
    let (records, to_record) = mpsc::channel(RECORDS_MAX);
    // Waiting for a record to be committed ends with the consensus, after the stop.
    tasks.watch("records the parent's cursors", tokio::spawn(record_in_order(Arc::clone(&node), to_record, inputs.clone())));
    tasks.spawn("uplink", drive(node, events, inputs, arriving, records));
}

async fn drive(node: Arc<Node>, events: Arc<WarehouseEvents>, inputs: Inputs, mut arriving: mpsc::Receiver<Arriving>, records: Records) {
    let mut uplink = Uplink::new(
        UplinkConfig { levels: node.warehouse.level_offer(), ..UplinkConfig::default() },
        node.site(),
        node.config.node,
        rand::random(),
    );
    let mut driver = Driver { node: Arc::clone(&node), inputs, connections: HashMap::new(), records };
    let mut leads = false;
    let mut tick = tokio::time::interval(TICK);
    let mut clock_due = tokio::time::interval(CLOCK_SENT_INTERVAL);
    notify_register(&node, &mut uplink);
    loop {
        tokio::select! {
            Some((input, _share)) = arriving.recv() => uplink.handle(input, node.clock.link_time()),
            changes = events.take() => {
                if leads {
                    notify_moved(&node, &mut uplink, &changes);
                }
                if changes.register || changes.everything {
                    notify_register(&node, &mut uplink);
                }
                if changes.level || changes.everything {
                    uplink.handle(UplinkInput::LevelRaised(node.warehouse.level()), node.clock.link_time());
                }
            }
            _ = tick.tick() => {
                let now_leads = node.leads();
                if now_leads != leads {
                    leads = now_leads;
                    uplink.handle(if leads { became_leader(&node) } else { UplinkInput::LostLeadership }, node.clock.link_time());
                }
                uplink.handle(UplinkInput::Tick, node.clock.link_time());
                let status = uplink.status();
                end_alarms(&node, &status);
                node.consensus.note_parent_level(parent_level(&status));
                *node.uplink.lock() = Some(status);
            }
            _ = clock_due.tick() => driver.send_clock(&uplink.status()),
            () = node.stopping.cancelled() => {
                driver.connections.values().for_each(|connection| connection.closing.cancel());
                return;
            }
        }
        while let Some(action) = uplink.poll_action() {
            if let Some(input) = driver.carry_out(action) {
                uplink.handle(input, node.clock.link_time());
            }
        }
    }
}

/// The level of the parent's site, while the link to it stands.
fn parent_level(status: &UplinkStatus) -> Option<Level> {
    if let LinkStatus::Open { parent_levels, .. } = status.link { Some(parent_levels.level) } else { None }
}

fn notify_register(node: &Node, uplink: &mut Uplink) {
    if let Some(register) = node.warehouse.register() {
        uplink.handle(UplinkInput::RegisterChanged(register), node.clock.link_time());
    }
}

fn notify_moved(node: &Node, uplink: &mut Uplink, changes: &Changes) {
    // BEFORE what moved: an origin that was taken out may have come in again.
    for origin in &changes.discarded {
        uplink.handle(UplinkInput::StreamDiscarded(*origin), node.clock.link_time());
    }
    let mut origins = changes.moved.clone();
    if changes.everything {
        origins.extend(held_origins(node));
    }
    for origin in origins {
        if let Some(position) = position(node, origin) {
            uplink.handle(UplinkInput::StreamAdvanced(position), node.clock.link_time());
        }
    }
}

fn held_origins(node: &Node) -> Vec<OriginId> {
    node.warehouse.origins().map_or_else(
        |error| {
            node.alarms.raise(AlarmKind::StorageFailed { error: error.to_string() }, node.clock.now());
            Vec::new()
        },
        |origins| origins.into_iter().map(|(origin, _)| origin).collect(),
    )
}

/// A stream up to its newest committed head.
fn position(node: &Node, origin: OriginId) -> Option<StreamPosition> {
    let (state, head) = node.newest_head(origin).ok().flatten()?;
    Some(StreamPosition {
        origin,
        epoch: head.head.epoch,
        next: head.head.seq.next(),
        oldest_kept: state.oldest_kept,
        head_time: head.head.site_time,
    })
}

fn became_leader(node: &Node) -> UplinkInput {
    let streams = held_origins(node).into_iter().filter_map(|origin| position(node, origin)).collect();
    let register = node.warehouse.register();
    let parents = register.and_then(|register| Some(register.site(node.site())?.parents.clone())).unwrap_or_default();
    let recorded = parents
        .into_iter()
        .map(|parent| (parent, node.warehouse.read(|reading| reading.parent_cursors(parent)).unwrap_or_default()))
        .collect();
    UplinkInput::BecameLeader { streams, recorded }
}

struct Driver {
    node: Arc<Node>,
    inputs: Inputs,
    connections: HashMap<LinkId, ParentConnection>,
    records: Records,
}

/// What is reported of an uplink's alarm. That no parent answers is no alarm: it is the state of the link, and health reads it there.
fn alarm_kind(alarm: &UplinkAlarm) -> Option<AlarmKind> {
    Some(match alarm {
        UplinkAlarm::NoParentAnswers { .. } => return None,
        UplinkAlarm::PeerMisbehaved { parent, violation } => {
            AlarmKind::ParentMisbehaved { parent: parent.0, reason: reasons::violation(violation) }
        }
        UplinkAlarm::NoCommonCursor { parent, origin, cause } => {
            AlarmKind::NoCommonCursor { origin: origin.0, parent: parent.0, reason: reasons::restart(cause) }
        }
        UplinkAlarm::StreamRefused { parent, origin, refusal } => {
            AlarmKind::StreamRefused { origin: origin.0, parent: parent.0, reason: reasons::refusal(refusal) }
        }
        UplinkAlarm::ParentWentBack { parent, origin, before, now } => {
            AlarmKind::ParentWentBack { origin: origin.0, parent: parent.0, before: before.to_string(), now: now.to_string() }
        }
        UplinkAlarm::SiteBehindParent { parent, origin, held, claimed } => {
            AlarmKind::SiteBehindParent { origin: origin.0, parent: parent.0, held: held.to_string(), claimed: claimed.to_string() }
        }
        UplinkAlarm::Forked { parent, origin, ours, theirs } => {
            AlarmKind::EpochsDiffer { origin: origin.0, parent: parent.0, ours: ours.to_string(), theirs: theirs.to_string() }
        }
        UplinkAlarm::LocalStorage { origin, detail } => AlarmKind::StreamUnreadable { origin: origin.0, error: detail.clone() },
    })
}

/// Whether an alarm is about a stream on its way up.
fn is_of_stream(kind: &AlarmKind, stream: OriginId) -> bool {
    match kind {
        AlarmKind::StreamRefused { origin, .. }
        | AlarmKind::NoCommonCursor { origin, .. }
        | AlarmKind::ParentWentBack { origin, .. }
        | AlarmKind::SiteBehindParent { origin, .. }
        | AlarmKind::EpochsDiffer { origin, .. }
        | AlarmKind::StreamUnreadable { origin, .. } => *origin == stream.0,
        _ => false,
    }
}

/// Ends the alarms about streams that have caught up.
fn end_alarms(node: &Node, status: &UplinkStatus) {
    if !matches!(status.link, LinkStatus::Open { .. }) {
        return;
    }
    let is_caught_up = |stream: &&kho_replication::uplink::UplinkStreamStatus| stream.state == StreamState::CaughtUp;
    node.alarms.end(|kind| status.streams.iter().filter(is_caught_up).any(|stream| is_of_stream(kind, stream.origin)));
}

/// Records one after another what parents acknowledged: a later word must not be overtaken by an earlier one. That holds across
/// leaders too: a leader that was cut off would otherwise have its successor record what the parent said long ago.
async fn record_in_order(node: Arc<Node>, mut records: mpsc::Receiver<(SiteId, Vec<ParentCursor>)>, inputs: Inputs) {
    while let Some((parent, cursors)) = records.recv().await {
        let command = Command::RecordParent { parent, cursors: cursors.clone() };
        if !matches!(node.consensus.propose_as_leader(&command).await, Ok(Outcome::Recorded)) {
            inputs.send(UplinkInput::RecordFailed { parent, cursors }).await;
        }
    }
}

impl Driver {
    /// Carries one action out. `Some`: what came of it at once.
    fn carry_out(&mut self, action: UplinkAction) -> Option<UplinkInput> {
        let (node, inputs) = (Arc::clone(&self.node), self.inputs.clone());
        match action {
            UplinkAction::Dial { link, site, addresses } => {
                let (frames, outgoing) = mpsc::channel(OUTGOING_FRAMES_MAX);
                let (registers, wanted) = mpsc::channel(WANTED_REGISTERS_MAX);
                let closing = CancellationToken::new();
                self.connections.retain(|_, connection| !connection.frames.is_closed());
                self.connections.insert(link, ParentConnection { frames, registers, closing: closing.clone() });
                let ends = DriverEnds { outgoing, wanted, closing };
                self.node.tasks.job("connection to the parent", hold_connection(node, link, site, addresses, ends, inputs));
            }
            UplinkAction::Disconnect { link, reason } => {
                tracing::info!(%link, %reason, "the link to the parent is ended");
                if let Some(connection) = self.connections.remove(&link) {
                    connection.closing.cancel();
                }
            }
            UplinkAction::SendFrame { link, frame } => match frame.encode() {
                Ok(bytes) => {
                    let sent = self.connections.get(&link).is_some_and(|connection| connection.frames.try_send(bytes).is_ok());
                    if !sent {
                        return Some(UplinkInput::LinkLost { link, failure: LinkFailure::SendStalled });
                    }
                }
                Err(error) => node.alarms.raise(AlarmKind::FrameNotSent { error: error.to_string() }, node.clock.now()),
            },
            UplinkAction::LoadSegment { load, origin, from, bytes_max } => {
                self.node.tasks.blocking_job("loads a segment", move || {
                    inputs.blocking_send(UplinkInput::SegmentLoaded { load, result: load_segment(&node, origin, from, bytes_max) });
                });
            }
            UplinkAction::LoadTransferStart { load, origin } => {
                self.node.tasks.blocking_job("loads the start of a transfer", move || {
                    inputs.blocking_send(UplinkInput::TransferStartLoaded { load, result: load_start(&node, origin) });
                });
            }
            UplinkAction::LoadPiece { load, origin, epoch, from, bytes_max } => self.load_piece(load, origin, epoch, from, bytes_max),
            UplinkAction::RecordParent { parent, cursors } => {
                if let Err(error) = self.records.try_send((parent, cursors)) {
                    let (parent, cursors) = error.into_inner();
                    return Some(UplinkInput::RecordFailed { parent, cursors });
                }
            }
            UplinkAction::FetchRegister { link, offer } => {
                let wanted = self.connections.get(&link).is_some_and(|connection| connection.registers.try_send(offer).is_ok());
                if !wanted {
                    let result = Err(RegisterFetchFailure::Interrupted("the connection is gone, or still busy with another".into()));
                    return Some(UplinkInput::RegisterFetched { link, offer, result });
                }
            }
            UplinkAction::AdoptRegister(signed) => self.adopt_register(signed),
            UplinkAction::CompareHead { parent, head } => {
                self.node.tasks.job("compares a head of the parent", compare_head(node, parent, head, inputs));
            }
            UplinkAction::Probe { site, addresses } => {
                self.node.tasks.job("probes a parent", async move {
                    let reachable = match dial(&node, site, &addresses).await {
                        Ok(connection) => {
                            connection.close(CloseCode::SHUTDOWN, "probe");
                            true
                        }
                        Err(_) => false,
                    };
                    inputs.send(UplinkInput::ProbeAnswered { site, reachable }).await;
                });
            }
            UplinkAction::RaiseAlarm(alarm) => match alarm_kind(&alarm) {
                Some(kind) => node.alarms.raise(kind, node.clock.now()),
                None => tracing::warn!("{alarm}"),
            },
        }
        None
    }

    /// What this machine's clock shows goes up over the link that is open, and over no other.
    fn send_clock(&self, status: &UplinkStatus) {
        if !matches!(status.link, LinkStatus::Open { .. }) {
            return;
        }
        if let Ok(bytes) = ChildFrame::Clock(machine_time()).encode() {
            // A connection that is full of frames gets the next one.
            self.connections.values().for_each(|connection| drop(connection.frames.try_send(bytes.clone())));
        }
    }

    fn load_piece(&self, load: LoadId, origin: OriginId, epoch: Epoch, from: RowPlace, bytes_max: usize) {
        let (node, inputs) = (Arc::clone(&self.node), self.inputs.clone());
        self.node.tasks.blocking_job("loads a piece of a transfer", move || {
            inputs.blocking_send(UplinkInput::PieceLoaded { load, result: load_piece(&node, origin, epoch, &from, bytes_max) });
        });
    }

    /// Judged BEFORE it is proposed: nothing unsigned takes a place in the site's log.
    fn adopt_register(&self, signed: Arc<SignedRegister>) {
        let (node, inputs) = (Arc::clone(&self.node), self.inputs.clone());
        self.node.tasks.job("offers a register to the site", async move {
            let input = match offer_register(&node, &signed).await {
                Ok(()) => UplinkInput::RegisterSettled(signed),
                Err(error) => {
                    tracing::warn!(%error, "a newer register was not adopted now; it is offered to the site again");
                    UplinkInput::RegisterFailed(signed)
                }
            };
            inputs.send(input).await;
        });
    }
}

fn local(error: kho_storage::error::StorageError) -> LoadFailure {
    LoadFailure::LocalStorage(error.to_string())
}

fn load_segment(node: &Node, origin: OriginId, from: Cursor, bytes_max: usize) -> Result<Segment, LoadFailure> {
    let state = node.warehouse.origin(origin).map_err(local)?.ok_or(LoadFailure::NoSuchPlace)?;
    if state.epoch != from.epoch {
        return Err(LoadFailure::NoSuchPlace);
    }
    match node.warehouse.segment(origin, from.next, bytes_max).map_err(local)? {
        Some(segment) => Ok(segment),
        None if from.next < state.oldest_kept => Err(LoadFailure::NoLongerKept { oldest_kept: state.oldest_kept }),
        None => Err(LoadFailure::NoSuchPlace),
    }
}

fn load_start(node: &Node, origin: OriginId) -> Result<TransferStart, LoadFailure> {
    node.warehouse.read(|reading| reading.transfer_start(origin)).map_err(local)?.ok_or(LoadFailure::NoSuchPlace)
}

fn load_piece(node: &Node, origin: OriginId, epoch: Epoch, from: &RowPlace, bytes_max: usize) -> Result<TransferPiece, LoadFailure> {
    let piece = node.warehouse.read(|reading| reading.piece(origin, from, bytes_max)).map_err(local)?;
    piece.filter(|piece| piece.epoch == epoch).ok_or(LoadFailure::NoSuchPlace)
}
