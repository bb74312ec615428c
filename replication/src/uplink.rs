//! The child's side of replication between tiers: every stream this site holds, on its way to the parent.
//!
//! ```text
//!            inputs                                            actions
//!  BecameLeader, StreamAdvanced ─▶ ┌──────────────────────┐ ─▶ Dial, Disconnect, Probe
//!  LinkOpened, LinkLost ─────────▶ │ Uplink               │ ─▶ SendFrame
//!  FrameReceived ────────────────▶ │  link  ── connect.rs │ ─▶ LoadSegment, LoadPiece, …
//!  SegmentLoaded, PieceLoaded ───▶ │  stream ─ stream.rs  │ ─▶ RecordParent (this site)
//!  Tick ─────────────────────────▶ └──────────────────────┘ ─▶ RaiseAlarm
//! ```
//!
//! Pure: no clock, no I/O, no randomness but what is passed in. One task calls [`Uplink::handle`] for everything that happens and
//! then [`Uplink::poll_action`] until it is empty; a tick every quarter of a second is enough.
//!
//! Invariants:
//! - a cursor is recorded only after the parent's site committed it
//!   (test `promise_2_the_child_records_only_what_the_parent_committed`);
//! - a refused or stuck stream does not hold up another (test `promise_7_a_refused_stream_does_not_hold_up_the_other`);
//! - what is loaded or unanswered stays within `in_flight_bytes_max` and one segment
//!   (test `the_window_bounds_what_is_under_way_and_every_stream_gets_its_turn`).
//!
//! It does not decide what may be trimmed: storage does, from the recorded cursors.

mod ack_recorder;
mod action;
mod answers;
mod config;
mod connect;
mod failure;
mod feed;
mod input;
mod link;
mod parent_probe;
mod parents;
mod park;
mod progress;
mod registers;
mod status;
mod stream;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use kho_storage::{
    command::ParentCursor,
    ids::{NodeId, OriginId, SiteId},
    planted::{Bug, planted},
    register::{SignedRegister, VerifiedRegister},
    stream::SignedHead,
};

use self::{
    ack_recorder::{AckRecord, AckRecorder},
    link::LinkState,
    parent_probe::ParentProbe,
    parents::{Jitter, Parents},
    registers::{RegisterQueue, RegisterStep, is_of_use},
    stream::Stream,
};
pub use self::{
    action::{UplinkAction, UplinkAlarm},
    config::UplinkConfig,
    failure::{DialFailure, LinkFailure, LinkWait, RegisterFetchFailure},
    input::{LinkId, LoadFailure, LoadId, StreamPosition, UplinkInput},
    park::{ParkReason, RestartCause},
    status::{LinkStatus, StreamState, UplinkStatus, UplinkStreamStatus},
};
use crate::{
    frames::{Cursor, Goodbye, HEADS_MAX, ProtocolViolation, RegisterOffer, ViolationDetail},
    link_time::LinkTime,
};

/// Heads that wait to be compared again at most: one of each origin of this site's own, of which there are a few.
const HEAD_RETRIES_MAX: usize = HEADS_MAX;

/// The child's side. See the module.
#[derive(Debug)]
pub struct Uplink {
    config: UplinkConfig,
    site: SiteId,
    node: NodeId,
    leads: bool,
    register: Option<Arc<VerifiedRegister>>,
    parents: Parents,
    link: LinkState,
    streams: BTreeMap<OriginId, Stream>,
    /// Streams that may want something, in the order of their turns.
    ready: VecDeque<OriginId>,
    /// When time alone moves a stream on.
    timers: BTreeSet<(LinkTime, OriginId)>,
    recorder: AckRecorder,
    registers: RegisterQueue,
    /// Heads of this site's own that it could not compare with what it holds, and when it tries again.
    head_retries: VecDeque<(LinkTime, SiteId, SignedHead)>,
    probe: ParentProbe,
    /// Whether the alarm that no parent answers was raised since the last link that proved itself.
    unreachable_alarmed: bool,
    last_failure: Option<LinkFailure>,
    jitter: Jitter,
    last_link: LinkId,
    last_load: LoadId,
    actions: VecDeque<UplinkAction>,
}

impl Uplink {
    /// An uplink of `node` of `site`, at rest until the node leads and has a register. `seed` feeds the jitter of its pauses.
    pub fn new(config: UplinkConfig, site: SiteId, node: NodeId, seed: u64) -> Self {
        Self {
            config,
            site,
            node,
            leads: false,
            register: None,
            parents: Parents::default(),
            link: LinkState::Standby,
            streams: BTreeMap::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            recorder: AckRecorder::new(config.record_interval_ms),
            registers: RegisterQueue::default(),
            head_retries: VecDeque::new(),
            probe: ParentProbe::new(config.probe_interval_ms),
            unreachable_alarmed: false,
            last_failure: None,
            jitter: Jitter(seed),
            last_link: LinkId(0),
            last_load: LoadId(0),
            actions: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: UplinkInput, now: LinkTime) {
        match input {
            UplinkInput::BecameLeader { streams, recorded } => self.became_leader(&streams, &recorded, now),
            UplinkInput::LostLeadership => self.lost_leadership(),
            UplinkInput::RegisterChanged(register) => self.register_changed(register, now),
            UplinkInput::LevelRaised(level) => self.level_raised(level, now),
            UplinkInput::StreamAdvanced(held) => self.stream_advanced(held, now),
            // What is under way of it is answered, and the answer finds no stream.
            UplinkInput::StreamDiscarded(origin) => drop(self.streams.remove(&origin)),
            UplinkInput::LinkOpened { link } => self.link_opened(link, now),
            UplinkInput::LinkLost { link, failure } => self.link_lost(link, failure, now),
            UplinkInput::FrameReceived { link, frame } => self.frame_received(link, frame, now),
            UplinkInput::LinkMoves { link } => self.link_moves(link, now),
            UplinkInput::FrameRefused { link, error } => self.frame_refused(link, &error, now),
            UplinkInput::SegmentLoaded { load, result } => self.segment_loaded(load, result, now),
            UplinkInput::TransferStartLoaded { load, result } => self.transfer_start_loaded(load, result, now),
            UplinkInput::PieceLoaded { load, result } => self.piece_loaded(load, result, now),
            UplinkInput::RecordFailed { parent, cursors } => self.record_failed(parent, &cursors, now),
            UplinkInput::RegisterFailed(_) if planted(Bug::RegisterNotOfferedAgain) => {}
            UplinkInput::RegisterFailed(register) => self.registers.failed(&register, now.after_ms(self.config.register_retry_ms)),
            UplinkInput::RegisterSettled(register) => self.registers.settled(&register),
            UplinkInput::RegisterFetched { link, offer, result } => self.register_fetched(link, &offer, result, now),
            UplinkInput::HeadNotCompared { parent, head } => self.head_not_compared(parent, head, now),
            UplinkInput::ProbeAnswered { site, reachable } => self.probe_answered(site, reachable, now),
            UplinkInput::Tick => self.ticked(now),
        }
        self.wake_streams(now);
        self.schedule(now);
        self.move_registers(now);
    }

    /// The next thing to be done, in order.
    pub fn poll_action(&mut self) -> Option<UplinkAction> {
        self.actions.pop_front()
    }

    fn became_leader(&mut self, streams: &[StreamPosition], recorded: &[(SiteId, Vec<ParentCursor>)], now: LinkTime) {
        if self.leads {
            self.lost_leadership();
        }
        self.leads = true;
        self.streams = streams.iter().map(|held| (held.origin, Stream::new(*held))).collect();
        for (parent, cursors) in recorded {
            for cursor in cursors {
                if let Some(stream) = self.streams.get_mut(&cursor.origin) {
                    stream.learn(*parent, Cursor::of(cursor));
                }
            }
        }
        self.settle(now);
    }

    fn lost_leadership(&mut self) {
        self.disconnect(Goodbye::NoLongerLeader);
        self.leads = false;
        self.link = LinkState::Standby;
        self.forget_link();
        self.recorder.clear();
        self.registers.clear();
        self.head_retries.clear();
        self.streams.clear();
    }

    fn register_changed(&mut self, register: Arc<VerifiedRegister>, now: LinkTime) {
        let before = self.parents.current().map(|parent| parent.site);
        self.parents.replace(&register, self.site);
        self.registers.held(register.version(), register.hash());
        self.register = Some(register);
        let current = self.parents.current().map(|parent| parent.site);
        if before.is_some() && before != current {
            self.disconnect(Goodbye::Elsewhere);
            self.link = LinkState::Standby;
            self.flush_records(now);
            self.forget_link();
        }
        for origin in self.streams.keys().copied().collect::<Vec<_>>() {
            self.enqueue(origin);
        }
        self.settle(now);
    }

    fn stream_advanced(&mut self, held: StreamPosition, now: LinkTime) {
        if !self.leads {
            return;
        }
        let stream = self.streams.entry(held.origin).or_insert_with(|| Stream::new(held));
        stream.advance(held, now, &self.config);
        self.enqueue(held.origin);
    }

    fn ticked(&mut self, now: LinkTime) {
        self.check_link(now);
        let due = self.recorder.poll(now);
        self.propose_record(due);
        while self.head_retries.front().is_some_and(|(at, _, _)| *at <= now) {
            if let Some((_, parent, head)) = self.head_retries.pop_front() {
                self.actions.push_back(UplinkAction::CompareHead { parent, head });
            }
        }
    }

    /// Compares it again before long: that the site was set back must not be forgotten because the site was busy.
    fn head_not_compared(&mut self, parent: SiteId, head: SignedHead, now: LinkTime) {
        if !self.leads {
            return;
        }
        if self.head_retries.len() >= HEAD_RETRIES_MAX {
            self.head_retries.pop_front();
        }
        self.head_retries.push_back((now.after_ms(self.config.register_retry_ms), parent, head));
    }

    /// The parent has registers that this site may lack.
    fn registers_offered(&mut self, offers: Vec<RegisterOffer>) {
        let held = self.register.as_ref().map(|register| (register.version(), register.hash()));
        for offer in offers {
            if held.is_none_or(|(version, hash)| is_of_use(&offer, version, hash)) {
                self.registers.received(offer);
            }
        }
    }

    fn register_fetched(
        &mut self,
        link: LinkId,
        offer: &RegisterOffer,
        result: Result<Arc<SignedRegister>, RegisterFetchFailure>,
        now: LinkTime,
    ) {
        if self.link.id() != Some(link) {
            return;
        }
        match result {
            Ok(signed) => self.registers.fetched(offer, signed, now),
            Err(RegisterFetchFailure::NotHeld) => self.registers.withdrawn(offer),
            Err(RegisterFetchFailure::Interrupted(_)) => {
                self.registers.interrupted(offer, now.after_ms(self.config.register_retry_ms));
            }
            Err(RegisterFetchFailure::Unreadable(error)) => {
                let detail = ViolationDetail::new(&error.to_string());
                self.peer_misbehaved(ProtocolViolation::FrameUnreadable { detail }, now);
            }
        }
    }

    /// Does what is due with the register that is next. Without a link there is none to fetch, but one may be here.
    fn move_registers(&mut self, now: LinkTime) {
        let action = match self.registers.due(now) {
            Some(RegisterStep::Fetch(offer)) => self.link.id().map(|link| UplinkAction::FetchRegister { link, offer }),
            Some(RegisterStep::Offer(signed)) => Some(UplinkAction::AdoptRegister(signed)),
            None => None,
        };
        self.actions.extend(action);
    }

    /// Notes what a parent acknowledged; it is recorded in this site before long.
    fn record(&mut self, parent: SiteId, origin: OriginId, cursor: Cursor, now: LinkTime) {
        let due = self.recorder.note(parent, origin, cursor, now);
        self.propose_record(due);
    }

    fn flush_records(&mut self, now: LinkTime) {
        let due = self.recorder.flush(now);
        self.propose_record(due);
    }

    fn propose_record(&mut self, record: Option<AckRecord>) {
        if let Some(AckRecord { parent, cursors }) = record {
            self.actions.push_back(UplinkAction::RecordParent { parent, cursors });
        }
    }

    /// Records again what this site did not take, unless something newer is known by now.
    fn record_failed(&mut self, parent: SiteId, cursors: &[ParentCursor], now: LinkTime) {
        for cursor in cursors {
            let known = self.streams.get(&cursor.origin).and_then(|stream| stream.known_at(parent));
            if let Some(known) = known
                && !self.recorder.has(parent, cursor.origin)
            {
                self.record(parent, cursor.origin, known, now);
            }
        }
    }

    /// Whether the register leads the stream through the parent in turn.
    fn is_led_up(&self, origin: OriginId) -> bool {
        let parent = self.parents.current().map(|parent| parent.site);
        self.register.as_ref().zip(parent).is_some_and(|(register, parent)| register.leads_through(origin, parent))
    }

    fn is_own(&self, origin: OriginId) -> bool {
        self.register.as_ref().is_some_and(|register| register.author(origin) == Some(self.site))
    }
}
