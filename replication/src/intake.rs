//! The parent's side of replication between tiers: one connection from one node of a child.
//!
//! ```text
//! AwaitingHello ──Hello──▶ ReadingCursors ──read index──▶ Open ──▶ Closed
//!                                                          │
//!   Segment ─▶ bounds ─▶ unpack ─▶ place in its lane ─▶ verify ─▶ Propose ─▶ outcome ─▶ Adopted | Refused | Busy
//! ```
//! Each origin has a *lane*: where its next segment must start, counting what is proposed already. A refusal or a full
//! queue sets the lane back to what is committed; other lanes go on.
//!
//! Pure: no clock, no I/O. The task that owns the connection calls [`Intake::handle`] with what happened and then
//! [`Intake::poll_action`] until it is empty; it ticks about once a second and drops the intake when the connection ends.
//!
//! Invariants:
//! - `Adopted` goes out only for an outcome of this site (test `promise_2_the_parent_acknowledges_only_what_its_site_committed`);
//! - a stream is judged by the register and its author's signature, not by its carrier
//!   (test `promise_4_the_carrier_is_nobody_and_the_author_is_everything`);
//! - what is proposed and undecided stays within `queued_bytes_max` (test `a_full_queue_says_busy_and_nothing_is_lost`).

mod action;
mod child_set_back;
mod config;
mod hello;
mod input;
mod lane;
mod outcome;
mod proposals;
mod take;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use kho_storage::{
    command::Refusal,
    ids::{Hash32, NodeId, OriginId, SiteId, SiteTime},
    level::Level,
    register::{RegisterChain, VerifiedRegister},
};

pub use self::{
    action::{IntakeAction, IntakeAlarm, RefusedBytes},
    config::IntakeConfig,
    input::{CursorsHeld, IntakeInput, ProposeFailure, SiteLeader},
};
use self::{child_set_back::Behind, lane::Lane, proposals::Proposals};
use crate::{
    frames::{
        ChildFrame, Fault, FrameId, Goodbye, ParentFrame, ProtocolViolation, RegisterOffer, StreamHeld, ViolationDetail, refusal_fault,
    },
    link_time::LinkTime,
};

/// The node at the other end, as its certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildIdentity {
    pub site: SiteId,
    pub node: NodeId,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntakePhase {
    AwaitingHello,
    ReadingCursors,
    Open,
    Closed,
}

/// The parent's side of one connection. See the module.
#[derive(Debug)]
pub struct Intake {
    config: IntakeConfig,
    site: SiteId,
    child: ChildIdentity,
    register: Arc<VerifiedRegister>,
    registers: Arc<RegisterChain>,
    leader: SiteLeader,
    state: State,
    /// The last reason per origin that raised an alarm, so that a retry does not raise it again.
    alarmed: BTreeMap<OriginId, Refusal>,
    /// Origins of the child's own of which it holds less than this site, or another history.
    behind: BTreeMap<OriginId, Behind>,
    evidence_kept: usize,
    actions: VecDeque<IntakeAction>,
}

#[derive(Debug)]
enum State {
    AwaitingHello { until: LinkTime },
    ReadingCursors { level: Level, register: (u64, Hash32), streams: Vec<StreamHeld> },
    Open(Open),
    Closed,
}

/// The child was welcomed.
#[derive(Debug, Default)]
struct Open {
    /// The level at which both ends work.
    level: Level,
    /// The newest register that the child has, or was offered.
    register_version: u64,
    lanes: BTreeMap<OriginId, Lane>,
    /// Proposed and not decided.
    proposals: Proposals,
    last_id: FrameId,
    /// Streams whose cursors are being read, and those requested meanwhile.
    reading: Vec<OriginId>,
    requested: Vec<OriginId>,
    /// A read failed and is due again.
    read_again: bool,
}

impl Intake {
    /// The intake of a connection that has just opened to this node of `site`.
    pub fn new(
        config: IntakeConfig,
        site: SiteId,
        child: ChildIdentity,
        register: Arc<VerifiedRegister>,
        registers: Arc<RegisterChain>,
        leader: SiteLeader,
        now: LinkTime,
    ) -> Self {
        Self {
            config,
            site,
            child,
            register,
            registers,
            leader,
            state: State::AwaitingHello { until: now.after_ms(config.hello_timeout_ms) },
            alarmed: BTreeMap::new(),
            behind: BTreeMap::new(),
            evidence_kept: 0,
            actions: VecDeque::new(),
        }
    }

    /// Takes what happened. `clock` is this site's time: it is stamped into commands, and heads are judged by it.
    pub fn handle(&mut self, input: IntakeInput, now: LinkTime, clock: SiteTime) {
        if matches!(self.state, State::Closed) {
            return;
        }
        match input {
            IntakeInput::FrameReceived(frame) => self.frame_received(frame, clock),
            IntakeInput::FrameRefused(error) => {
                self.peer_misbehaved(ProtocolViolation::FrameUnreadable { detail: ViolationDetail::new(&error.to_string()) });
            }
            IntakeInput::LinkMoves => self.link_moves(now),
            IntakeInput::TransportMisused(how) => {
                self.peer_misbehaved(ProtocolViolation::TransportMisused { detail: ViolationDetail::new(&how) });
            }
            IntakeInput::CursorsRead(result) => self.cursors_read(result),
            IntakeInput::Proposed { id, result } => self.proposed(id, result),
            IntakeInput::RegisterChanged { register, chain } => self.register_changed(register, chain),
            IntakeInput::LeaderChanged(leader) => self.leader_changed(leader),
            IntakeInput::LevelRaised(level) => self.close(Goodbye::LevelRaised { level }),
            IntakeInput::Tick => self.ticked(now),
        }
    }

    /// The next thing to be done, in order.
    pub fn poll_action(&mut self) -> Option<IntakeAction> {
        self.actions.pop_front()
    }

    /// Whether the connection has come to its end.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub fn phase(&self) -> IntakePhase {
        match self.state {
            State::AwaitingHello { .. } => IntakePhase::AwaitingHello,
            State::ReadingCursors { .. } => IntakePhase::ReadingCursors,
            State::Open(_) => IntakePhase::Open,
            State::Closed => IntakePhase::Closed,
        }
    }

    /// Plain bytes proposed and not yet decided.
    pub fn queued_bytes(&self) -> usize {
        match &self.state {
            State::Open(open) => open.proposals.bytes(),
            _ => 0,
        }
    }

    fn frame_received(&mut self, frame: ChildFrame, clock: SiteTime) {
        if matches!(self.state, State::Open(_)) {
            self.note_answer();
        }
        match (&self.state, frame) {
            (State::Open(open), frame) if frame.level() > open.level => {
                let (frame, level) = (frame.kind(), open.level);
                self.peer_misbehaved(ProtocolViolation::FrameAboveLevel { frame, level });
            }
            (_, ChildFrame::Goodbye(_)) => self.state = State::Closed,
            (_, ChildFrame::Clock(_)) => {}
            (State::AwaitingHello { .. }, ChildFrame::Hello(hello)) => self.hello_received(hello),
            (State::Open(_), ChildFrame::TestLevel) => {}
            (State::Open(_), ChildFrame::Streams(streams)) => self.streams_received(&streams),
            (State::Open(_), ChildFrame::Segment { id, origin, segment }) => self.segment_received(id, origin, &segment, clock),
            (State::Open(_), ChildFrame::TransferStart { id, start }) => self.transfer_start_received(id, start, clock),
            (State::Open(_), ChildFrame::Piece { id, origin, generation, piece }) => {
                self.piece_received(id, origin, generation, &piece, clock);
            }
            (_, frame) => self.peer_misbehaved(ProtocolViolation::FrameOutOfTurn { frame: frame.kind() }),
        }
    }

    fn register_changed(&mut self, register: Arc<VerifiedRegister>, chain: Arc<RegisterChain>) {
        self.register = register;
        self.registers = chain;
        if !self.register.is_parent_of(self.site, self.child.site) {
            return self.close(self.not_parent());
        }
        if let State::Open(open) = &mut self.state
            && open.register_version < self.register.version()
        {
            let held = std::mem::replace(&mut open.register_version, self.register.version());
            let offers = self.offers_newer_than(held);
            self.actions.push_back(IntakeAction::SendFrame(ParentFrame::Registers(offers)));
        }
    }

    /// What a child lacks that has this version. Those that changed the roots come first.
    fn offers_newer_than(&self, version: u64) -> Vec<RegisterOffer> {
        self.registers.names_newer_than(version).map(|(version, hash)| RegisterOffer { version, hash }).collect()
    }

    fn leader_changed(&mut self, leader: SiteLeader) {
        self.leader = leader;
        if matches!(self.state, State::Open(_) | State::ReadingCursors { .. }) {
            self.pass_on_unless_leader();
        }
    }

    /// Sends the child to the leader. True when this node is not it.
    fn pass_on_unless_leader(&mut self) -> bool {
        match self.leader.clone() {
            SiteLeader::ThisNode => return false,
            SiteLeader::OtherNode { addresses } => self.redirect(addresses),
            SiteLeader::Unknown => self.close(Goodbye::NoLeader),
        }
        true
    }

    fn redirect(&mut self, mut addresses: Vec<String>) {
        addresses.truncate(crate::frames::ADDRESSES_MAX);
        if addresses.is_empty() {
            return self.close(Goodbye::NoLeader);
        }
        self.actions.push_back(IntakeAction::SendFrame(ParentFrame::Redirect { addresses }));
        self.state = State::Closed;
        self.actions.push_back(IntakeAction::Close { reason: Goodbye::NoLongerLeader });
    }

    fn ticked(&mut self, now: LinkTime) {
        match &mut self.state {
            State::AwaitingHello { until } if *until <= now => self.close(Goodbye::IdleTimeout),
            State::Open(open) if open.read_again => {
                open.read_again = false;
                let origins = open.reading.clone();
                self.read_cursors(origins);
            }
            _ => {}
        }
        self.report_set_backs(now);
    }

    /// A long Hello may still be on its way: the timeout counts silence.
    fn link_moves(&mut self, now: LinkTime) {
        if let State::AwaitingHello { until } = &mut self.state {
            *until = now.after_ms(self.config.hello_timeout_ms).max(*until);
        }
    }

    fn not_parent(&self) -> Goodbye {
        Goodbye::NotParent { parent: self.site, child: self.child.site, register_version: self.register.version() }
    }

    /// The child broke the protocol: an alarm, and the end of the connection.
    fn peer_misbehaved(&mut self, violation: ProtocolViolation) {
        let alarm = IntakeAlarm::PeerMisbehaved { carrier: self.child.site, violation: violation.clone() };
        self.actions.push_back(IntakeAction::RaiseAlarm(alarm));
        self.close(Goodbye::PeerMisbehaved(violation));
    }

    fn close(&mut self, reason: Goodbye) {
        self.state = State::Closed;
        self.actions.push_back(IntakeAction::SendFrame(ParentFrame::Goodbye(reason.clone())));
        self.actions.push_back(IntakeAction::Close { reason });
    }

    /// Refuses a frame of an origin and sets its lane back. Other origins go on.
    fn refuse(&mut self, id: FrameId, origin: OriginId, refusal: Refusal) {
        self.note_contradiction(origin, &refusal);
        self.set_back(origin);
        let is_new = self.alarmed.get(&origin) != Some(&refusal);
        // A register travels: a child that sends where it no longer leads may not have it yet.
        let is_honest = refusal_fault(&refusal) == Fault::WrongPlace || matches!(refusal, Refusal::OffPath { .. });
        if !is_honest && is_new {
            self.alarmed.insert(origin, refusal.clone());
            let alarm = IntakeAlarm::StreamRefused { carrier: self.child.site, origin, refusal: refusal.clone() };
            self.actions.push_back(IntakeAction::RaiseAlarm(alarm));
        }
        self.actions.push_back(IntakeAction::SendFrame(ParentFrame::Refused { id: Some(id), origin, refusal }));
    }

    fn busy(&mut self, id: FrameId, origin: OriginId, retry_after_ms: u32) {
        self.set_back(origin);
        self.actions.push_back(IntakeAction::SendFrame(ParentFrame::Busy { id, retry_after_ms }));
    }

    fn set_back(&mut self, origin: OriginId) {
        if let State::Open(open) = &mut self.state
            && let Some(lane) = open.lanes.get_mut(&origin)
        {
            lane.set_back();
        }
    }
}
