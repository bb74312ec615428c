//! The parent's side at work: one task per connection from a child carries out what [`Intake`] decides.

mod registers;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use kho_replication::{
    frames::{CHILD_FRAME_BYTES_MAX, ChildFrame, FrameId, Goodbye, ParentFrame},
    intake::{
        ChildIdentity, CursorsHeld, Intake, IntakeAction, IntakeAlarm, IntakeConfig, IntakeInput, IntakePhase, ProposeFailure, SiteLeader,
    },
    quic::{CloseCode, Connection, FrameIoError, FrameReceiver},
    site_clock::{CLOCK_SENT_INTERVAL, Neighbour},
};
use kho_storage::{
    command::{Command, Outcome, Refusal},
    ids::{OriginId, SiteId, SiteTime},
    level::LevelOffer,
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

pub use self::registers::PackedRegisters;
use self::registers::serve_registers;
use crate::{
    api::AlarmKind,
    byte_budget::{ByteBudget, ByteShare},
    clock::machine_time,
    consensus::{ProposeError, ReadError},
    findings::REFUSED_BYTES_FOLDER,
    link_movement::{LinkMovement, MOVEMENT_INTERVAL},
    node::{ChildSeen, Node},
    outgoing_frames::OutgoingFrames,
    reasons,
};

const TICK: Duration = Duration::from_millis(500);
/// Frames read ahead of the intake; small, so that the connection itself holds back a fast child.
const INCOMING_FRAMES_MAX: usize = 4;
/// Their bytes: one of the longest, or some ordinary ones. Each connection has its own, so that a child that reads no answers holds up no
/// other.
const INCOMING_BYTES_MAX: u32 = CHILD_FRAME_BYTES_MAX as u32;
/// A child for which so many frames or bytes wait is read no further until it takes some. Beyond them wait at most the answers to one frame,
/// the outcomes of what it has proposed, and newer registers.
const OUTGOING_FRAMES_MAX: usize = 64;
const OUTGOING_BYTES_MAX: usize = 8 << 20;
/// A child that takes no byte of what is sent to it for so long loses the connection. Its transport tells of a mebibyte at a time, which
/// takes two minutes at 64 kbit/s.
const SEND_SILENCE_MAX: Duration = Duration::from_secs(180);
/// Refused bytes kept beside the data, in sum; a hostile child must not fill the disk.
const EVIDENCE_BYTES_MAX: u64 = 256 << 20;
/// How long a connection stays open after the goodbye, so that the goodbye still reaches the child.
const CLOSE_GRACE: Duration = Duration::from_millis(300);

type Undecided = Pin<Box<dyn Future<Output = IntakeInput> + Send>>;

/// Serves one connection of a child until it ends.
pub async fn serve_child(node: Arc<Node>, connection: Connection) {
    let (site, child_node) = connection.peer_node();
    let Some((register, chain)) = register(&node) else {
        connection.close(CloseCode::NOT_ADMITTED, "this site has no register yet");
        return;
    };
    let Ok((sender, receiver)) = connection.accept_bi().await else { return };
    node.children
        .lock()
        .entry(site)
        .or_insert(ChildSeen { node: child_node, connections: 0, last_heard: node.clock.now(), levels: None })
        .connections += 1;
    note_child(&node, &connection);
    let child = ChildIdentity { site, node: child_node };
    let config = IntakeConfig { levels: node.warehouse.level_offer(), ..IntakeConfig::default() };
    let intake = Intake::new(config, node.site(), child, register, chain, leader(&node), node.clock.link_time());
    let outgoing = OutgoingFrames::new(sender, SEND_SILENCE_MAX);
    let reason =
        ChildConnection { node: Arc::clone(&node), connection: connection.clone(), intake, outgoing, undecided: FuturesUnordered::new() }
            .run(receiver)
            .await;
    tracing::info!(child = %site, child_node = %child_node, %reason, "the connection of a child ended");
    if let Some(seen) = node.children.lock().get_mut(&site) {
        seen.connections = seen.connections.saturating_sub(1);
    }
    connection.close(CloseCode::SHUTDOWN, &reason);
}

fn note_child(node: &Node, connection: &Connection) {
    let (site, child_node) = connection.peer_node();
    if let Some(seen) = node.children.lock().get_mut(&site) {
        (seen.node, seen.last_heard) = (child_node, node.clock.now());
    }
}

type Registers = (Arc<kho_storage::register::VerifiedRegister>, Arc<kho_storage::register::RegisterChain>);

fn register(node: &Node) -> Option<Registers> {
    Some((node.warehouse.register()?, node.warehouse.register_chain()?))
}

fn leader(node: &Node) -> SiteLeader {
    if node.leads() {
        return SiteLeader::ThisNode;
    }
    let own = node.config.node;
    match node.leader_addresses() {
        Some(addresses) if node.consensus.leadership().borrow().leader != Some(own) => SiteLeader::OtherNode { addresses },
        _ => SiteLeader::Unknown,
    }
}

/// An open connection of a child.
///
/// Invariant: nothing waits for the child alone. A frame that the child does not take is waited for beside everything else, so outcomes
/// go on giving back the room that their proposals took in the site (tests of `outgoing_frames.rs`).
struct ChildConnection {
    node: Arc<Node>,
    connection: Connection,
    intake: Intake,
    outgoing: OutgoingFrames,
    undecided: FuturesUnordered<Undecided>,
}

impl ChildConnection {
    async fn run(mut self, receiver: FrameReceiver) -> String {
        let (frames, mut incoming) = mpsc::channel(INCOMING_FRAMES_MAX);
        let reader = self.node.tasks.job("reads the frames of a child", read_frames(receiver, frames));
        let mut registers = self.node.register_changes.clone();
        let mut serves_registers: Option<AbortOnDropHandle<()>> = None;
        let mut tick = tokio::time::interval(TICK);
        let mut clock_due = tokio::time::interval(CLOCK_SENT_INTERVAL);
        let (mut movement, mut movement_due) = (LinkMovement::default(), tokio::time::interval(MOVEMENT_INTERVAL));
        let level = self.node.warehouse.level();
        let reason = loop {
            let input = tokio::select! {
                frame = incoming.recv(), if self.takes_frames() => match frame {
                    Some(Ok((IntakeInput::FrameReceived(ChildFrame::Clock(theirs)), _))) => {
                        self.heard_clock(theirs);
                        continue;
                    }
                    Some(Ok((input, _share))) => input,
                    Some(Err(why)) => break why,
                    None => break "the child closed the connection".into(),
                },
                Some(input) = self.undecided.next(), if !self.undecided.is_empty() => input,
                sent = self.outgoing.send(), if self.outgoing.frames_waiting() > 0 => match sent {
                    Ok(()) => continue,
                    Err(why) => break why,
                },
                _ = tick.tick() => {
                    let leader = leader(&self.node);
                    self.handle(IntakeInput::LeaderChanged(leader));
                    let now = self.node.warehouse.level();
                    if now > level { IntakeInput::LevelRaised(now) } else { IntakeInput::Tick }
                }
                _ = movement_due.tick() => {
                    if !movement.moved(&self.connection) {
                        continue;
                    }
                    // A child whose long frame is on its way is not silent.
                    note_child(&self.node, &self.connection);
                    IntakeInput::LinkMoves
                }
                _ = clock_due.tick() => {
                    self.send_clock();
                    continue;
                }
                Ok(()) = registers.changed() => match register(&self.node) {
                    Some((register, chain)) => IntakeInput::RegisterChanged { register, chain },
                    None => continue,
                },
                () = self.node.stopping.cancelled() => break "the node stops".into(),
            };
            if matches!(input, IntakeInput::FrameReceived(_)) {
                note_child(&self.node, &self.connection);
            }
            if let IntakeInput::FrameReceived(ChildFrame::Hello(hello)) = &input {
                self.note_levels(hello.levels);
            }
            self.handle(input);
            if self.intake.phase() == IntakePhase::Open && serves_registers.is_none() {
                let serving = serve_registers(Arc::clone(&self.node), self.connection.clone());
                serves_registers = Some(AbortOnDropHandle::new(self.node.tasks.job("serves registers to a child", serving)));
            }
            if let Some(goodbye) = self.carry_out() {
                // Nobody is told of what is still undecided, so it holds no room while the child reads the goodbye.
                self.undecided.clear();
                if let Ok(Ok(())) = tokio::time::timeout(CLOSE_GRACE, self.outgoing.send()).await {
                    self.outgoing.finish();
                    tokio::time::sleep(CLOSE_GRACE).await;
                }
                break goodbye.to_string();
            }
        };
        reader.abort();
        reason
    }

    fn takes_frames(&self) -> bool {
        self.outgoing.frames_waiting() < OUTGOING_FRAMES_MAX && self.outgoing.bytes_waiting() < OUTGOING_BYTES_MAX
    }

    /// Kept for an operator, who looks for what holds an upgrade back.
    fn note_levels(&self, levels: LevelOffer) {
        if let Some(seen) = self.node.children.lock().get_mut(&self.connection.peer_node().0) {
            seen.levels = Some(levels);
        }
    }

    /// A child whose Hello was taken says what its machine's clock shows.
    fn heard_clock(&self, theirs: SiteTime) {
        note_child(&self.node, &self.connection);
        if self.intake.phase() == IntakePhase::Open {
            self.node.clock.hear(Neighbour::Other, theirs);
        }
    }

    /// What the clock showed a while ago is of no use: a child that has not taken the last one gets no other.
    fn send_clock(&mut self) {
        if self.intake.phase() == IntakePhase::Open && self.outgoing.frames_waiting() == 0 {
            self.outgoing.push(&ParentFrame::Clock(machine_time()));
        }
    }

    fn handle(&mut self, input: IntakeInput) {
        self.intake.handle(input, self.node.clock.link_time(), self.node.clock.now());
    }

    /// Carries out all that is due, and waits for nothing. `Some`: the connection ends.
    fn carry_out(&mut self) -> Option<Goodbye> {
        while let Some(action) = self.intake.poll_action() {
            match action {
                IntakeAction::SendFrame(frame) => self.outgoing.push(&frame),
                IntakeAction::ReadCursors { origins, authored } => {
                    let child = self.connection.peer_node().0;
                    self.start(Box::pin(read_cursors(Arc::clone(&self.node), child, origins, authored)));
                }
                IntakeAction::Propose { id, command } => self.start(Box::pin(propose(Arc::clone(&self.node), id, command))),
                IntakeAction::Close { reason } => return Some(reason),
                IntakeAction::KeepEvidence(evidence) => keep_evidence(&self.node, &evidence),
                IntakeAction::RaiseAlarm(alarm) => {
                    if let Some(kind) = alarm_kind(&alarm) {
                        self.node.alarms.raise(kind, self.node.clock.now());
                    }
                }
                IntakeAction::ChildCaughtUp { origin } => {
                    self.node.alarms.end(|kind| matches!(kind, AlarmKind::ChildSetBack { origin: behind, .. } if *behind == origin.0));
                }
            }
        }
        None
    }

    /// Starts what is awaited later. It is polled once at once, so that proposals reach the site's log in their order.
    fn start(&mut self, mut undecided: Undecided) {
        match (&mut undecided).now_or_never() {
            Some(input) => self.undecided.push(Box::pin(std::future::ready(input))),
            None => self.undecided.push(undecided),
        }
    }
}

/// What is reported of an intake's alarm. A stopped origin is no alarm: it stands in the state, and status reads it there.
fn alarm_kind(alarm: &IntakeAlarm) -> Option<AlarmKind> {
    Some(match alarm {
        IntakeAlarm::StreamRefused { refusal: Refusal::Stopped { .. }, .. } => return None,
        IntakeAlarm::StreamRefused { carrier, origin, refusal } => {
            AlarmKind::SegmentRefused { origin: origin.0, carrier: carrier.0, reason: reasons::refusal(refusal) }
        }
        IntakeAlarm::PeerMisbehaved { carrier, violation } => {
            AlarmKind::ChildMisbehaved { child: carrier.0, reason: reasons::violation(violation) }
        }
        IntakeAlarm::ChildSetBack { child, origin, held, here } => {
            AlarmKind::ChildSetBack { child: child.0, origin: origin.0, held: held.to_string(), here: here.to_string() }
        }
        IntakeAlarm::RegisterDiffers { child, version, held, here } => {
            AlarmKind::ChildRegisterDiffers { child: child.0, version: *version, held: held.to_hex(), here: here.to_hex() }
        }
        IntakeAlarm::OutcomeOutOfPlace { carrier, id } => AlarmKind::OutcomeOutOfPlace { child: carrier.0, frame: id.to_string() },
    })
}

/// What was read of a child, and its room, until the intake has it.
type Incoming = (IntakeInput, Option<ByteShare>);

async fn read_frames(mut receiver: FrameReceiver, frames: mpsc::Sender<Result<Incoming, String>>) {
    let budget = ByteBudget::new(INCOMING_BYTES_MAX);
    loop {
        let item = match receiver.recv().await {
            Ok(Some(bytes)) => {
                let share = budget.take(bytes.len()).await;
                let input = ChildFrame::decode(&bytes).map_or_else(IntakeInput::FrameRefused, IntakeInput::FrameReceived);
                Ok((input, Some(share)))
            }
            Ok(None) => return,
            // The intake decides what follows: an alarm, and a goodbye with the reason.
            Err(FrameIoError::PeerMisbehaved(how)) => {
                let _ = frames.send(Ok((IntakeInput::TransportMisused(how.to_string()), None))).await;
                std::future::pending().await
            }
            Err(error) => Err(error.to_string()),
        };
        let ends = item.is_err();
        if frames.send(item).await.is_err() || ends {
            return;
        }
    }
}

/// Reads the cursors after a read index, so that nothing acknowledged is asked for again and nothing unsure is claimed.
async fn read_cursors(node: Arc<Node>, child: SiteId, origins: Vec<OriginId>, authored: Vec<OriginId>) -> IntakeInput {
    let failure = |error| match error {
        ReadError::NoLeader { retry_after_ms, .. } | ReadError::LeaderUnreachable { retry_after_ms, .. } => {
            ProposeFailure::Busy { retry_after_ms: u32::try_from(retry_after_ms).unwrap_or(u32::MAX) }
        }
        ReadError::Fatal { .. } => ProposeFailure::Stopping,
    };
    if let Err(error) = node.consensus.read_index().await {
        return IntakeInput::CursorsRead(Err(failure(error)));
    }
    let read = || {
        let mut cursors = Vec::with_capacity(origins.len());
        for origin in &origins {
            if let Some(state) = node.warehouse.origin(*origin)? {
                cursors.push(state.cursor(*origin));
            }
        }
        let transfers = node
            .warehouse
            .transfers()?
            .iter()
            .filter(|t| t.carrier == child && origins.contains(&t.start.origin))
            .map(kho_storage::warehouse::Transfer::status)
            .collect();
        let mut heads = Vec::with_capacity(authored.len());
        for origin in &authored {
            heads.extend(node.furthest_head(*origin)?);
        }
        Ok::<_, kho_storage::error::StorageError>(CursorsHeld { cursors, transfers, heads })
    };
    IntakeInput::CursorsRead(read().map_err(|error| {
        node.alarms.raise(AlarmKind::StorageFailed { error: error.to_string() }, node.clock.now());
        ProposeFailure::Stopping
    }))
}

async fn propose(node: Arc<Node>, id: FrameId, command: Command) -> IntakeInput {
    if !node.disk.room().takes_intake() {
        return IntakeInput::Proposed { id, result: Err(ProposeFailure::Busy { retry_after_ms: 30_000 }) };
    }
    let result = node.consensus.propose(&command).await.map_err(|error| match error {
        ProposeError::NoLeader { .. } | ProposeError::LeaderUnreachable { .. } => {
            ProposeFailure::NotLeader { addresses: node.leader_addresses().unwrap_or_default() }
        }
        ProposeError::Busy { retry_after_ms } => ProposeFailure::Busy { retry_after_ms: u32::try_from(retry_after_ms).unwrap_or(u32::MAX) },
        ProposeError::Unknown { .. }
        | ProposeError::TooLarge { .. }
        | ProposeError::AboveLevel { .. }
        | ProposeError::Refused(_)
        | ProposeError::Disputed { .. } => ProposeFailure::OutcomeUnknown,
        ProposeError::Fatal { .. } => ProposeFailure::Stopping,
    });
    // A refusal is reported by the intake, which knows the carrier. What was kept of it stands in the state and is not ended here.
    if let (Command::AdoptSegment { segment, .. }, Ok(Outcome::Adopted(_))) = (&command, &result) {
        let adopted = segment.origin();
        let author = node.warehouse.register().and_then(|register| register.author(adopted));
        node.alarms.end(|kind| reasons::ends_with_adoption(kind, adopted, author));
        node.watch_clock_of(&segment.head.head);
    }
    IntakeInput::Proposed { id, result }
}

/// What was refused before it came to the site's log is kept beside the data, named by its hash.
fn keep_evidence(node: &Node, evidence: &kho_replication::intake::RefusedBytes) {
    let dir = node.config.data_dir.join(REFUSED_BYTES_FOLDER);
    let folder = dir.display().to_string();
    if crate::maintenance::folder_bytes(&dir) >= EVIDENCE_BYTES_MAX {
        node.alarms.raise(AlarmKind::EvidenceFolderFull { folder }, node.clock.now());
        return;
    }
    let name =
        format!("origin-{}-from-{}-{:016x}.zst", evidence.origin, evidence.carrier, kho_storage::keys::evidence_hash(&evidence.zstd));
    let kept = std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(dir.join(name), &*evidence.zstd));
    if let Err(error) = kept {
        node.alarms.raise(AlarmKind::EvidenceNotKept { folder, error: error.to_string() }, node.clock.now());
    }
}
