//! One child, its two parents, and a pipe that loses everything in it when it is cut.

use std::collections::{BTreeMap, VecDeque};

use kho_storage::{
    command::{Command, Outcome, ParentCursor},
    ids::{OriginId, SiteId, SiteTime},
    register::SignedRegister,
    stream::SignedHead,
};

use super::{
    author::Author,
    site::ModelSite,
    trace,
    tree::{ADOPTED, COMMUNE, DISTRICT, NODE, OWN, PROVINCE, REGION, Tree},
};
use crate::{
    frames::{ChildFrame, Cursor, FrameId, ParentFrame, RegisterOffer},
    intake::{ChildIdentity, Intake, IntakeAction, IntakeConfig, IntakeInput, ProposeFailure, SiteLeader},
    link_time::LinkTime,
    uplink::{DialFailure, LinkFailure, LinkId, Uplink, UplinkAction, UplinkConfig, UplinkInput},
};

/// What can happen next when anything is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A dial comes through, or does not.
    Open,
    /// The child's disk answers.
    Load,
    /// A register that the child fetches arrives.
    Fetch,
    /// The oldest frame towards the parent arrives, or towards the child.
    Up,
    Down,
    /// A parent reads its cursors, or commits its oldest proposal.
    Read(SiteId),
    Commit(SiteId),
    Probe,
}

pub(super) struct Parent {
    pub store: ModelSite,
    pub leader: SiteLeader,
    pub reachable: bool,
    pub config: IntakeConfig,
    intake: Option<(LinkId, Intake)>,
    pub proposals: VecDeque<(LinkId, FrameId, Command)>,
    reads: VecDeque<(LinkId, Vec<OriginId>, Vec<OriginId>)>,
}

struct Wire {
    link: LinkId,
    site: SiteId,
    opened: bool,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    /// The parent closes once everything sent is out.
    closing: bool,
}

pub(super) struct World {
    pub tree: Tree,
    pub now: LinkTime,
    pub config: UplinkConfig,
    pub uplink: Uplink,
    /// What the child holds.
    pub held: BTreeMap<OriginId, Author>,
    /// What this site has recorded of each parent.
    pub recorded: BTreeMap<(SiteId, OriginId), Cursor>,
    pub parents: BTreeMap<SiteId, Parent>,
    /// The furthest that each parent ever committed: nothing beyond may be acknowledged.
    committed: BTreeMap<(SiteId, OriginId), Cursor>,
    pub log: Vec<String>,
    wire: Option<Wire>,
    loads: VecDeque<UplinkAction>,
    probes: VecDeque<SiteId>,
    pub rows_per_piece: usize,
    /// Heads of its own that the child was told to compare, by who showed them.
    pub shown: Vec<(SiteId, SignedHead)>,
    /// Registers that were offered to the child's site. A test says what became of each.
    pub offered: Vec<SignedRegister>,
    /// Registers that parents hand down.
    pub handed_down: Vec<SignedRegister>,
    /// What the child fetches. While they are held, [`Self::settle`] lets none arrive.
    pub fetches: VecDeque<(LinkId, RegisterOffer)>,
    pub hold_fetches: bool,
    /// Changes frames on their way, to play a misbehaving peer.
    pub alter_up: Option<fn(ChildFrame) -> ChildFrame>,
    pub alter_down: Option<fn(ParentFrame) -> ParentFrame>,
}

impl World {
    pub fn new(config: UplinkConfig) -> Self {
        let tree = Tree::new();
        let held = [Author::new(&tree, OWN, DISTRICT), Author::new(&tree, ADOPTED, COMMUNE)];
        let parent = || Parent {
            store: ModelSite::default(),
            leader: SiteLeader::ThisNode,
            reachable: true,
            config: IntakeConfig::default(),
            intake: None,
            proposals: VecDeque::new(),
            reads: VecDeque::new(),
        };
        Self {
            now: LinkTime(0),
            config,
            uplink: Uplink::new(config, DISTRICT, NODE, 1),
            held: held.into_iter().map(|author| (author.origin, author)).collect(),
            recorded: BTreeMap::new(),
            parents: BTreeMap::from([(PROVINCE, parent()), (REGION, parent())]),
            committed: BTreeMap::new(),
            log: vec![],
            wire: None,
            loads: VecDeque::new(),
            probes: VecDeque::new(),
            rows_per_piece: 3,
            shown: vec![],
            offered: vec![],
            handed_down: vec![],
            fetches: VecDeque::new(),
            hold_fetches: false,
            alter_up: None,
            alter_down: None,
            tree,
        }
    }

    pub fn author(&mut self, origin: OriginId) -> &mut Author {
        self.held.get_mut(&origin).expect("the child holds it")
    }

    pub fn parent(&mut self, site: SiteId) -> &mut Parent {
        self.parents.get_mut(&site).expect("one of two")
    }

    /// Site time: the same at all sites.
    pub fn clock(&self) -> SiteTime {
        SiteTime(1_000_000 + i64::try_from(self.now.0).expect("tests are short"))
    }

    /// The child's node starts (again) and leads its site.
    pub fn start_child(&mut self) {
        self.cut_wire();
        self.loads.clear();
        self.fetches.clear();
        self.probes.clear();
        self.uplink = Uplink::new(self.config, DISTRICT, NODE, self.now.0);
        self.notify_uplink(UplinkInput::RegisterChanged(self.tree.verified()));
        let streams = self.held.values().map(Author::position).collect();
        let mut recorded: BTreeMap<SiteId, Vec<ParentCursor>> = BTreeMap::new();
        for ((parent, origin), cursor) in &self.recorded {
            recorded.entry(*parent).or_default().push(cursor.for_origin(*origin));
        }
        self.notify_uplink(UplinkInput::BecameLeader { streams, recorded: recorded.into_iter().collect() });
    }

    /// The child enters (or adopts) batches and commits a head.
    pub fn grow(&mut self, origin: OriginId, batches: u32) {
        let clock = self.clock();
        self.author(origin).grow(batches, clock);
        self.stream_advanced(origin);
    }

    pub fn stream_advanced(&mut self, origin: OriginId) {
        let position = self.author(origin).position();
        self.notify_uplink(UplinkInput::StreamAdvanced(position));
    }

    /// The connection that stands, or is being dialled.
    pub fn link(&self) -> Option<LinkId> {
        self.wire.as_ref().map(|wire| wire.link)
    }

    pub fn note(&mut self, what: &str) {
        self.log.push(format!("-- {what}"));
    }

    /// Time passes, a tick a second at most.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.after_ms(ms);
        while self.now < until {
            self.now = self.now.after_ms(until.ms_since(self.now).min(1000));
            self.notify_uplink(UplinkInput::Tick);
            for site in [PROVINCE, REGION] {
                self.notify_intake(site, IntakeInput::Tick);
            }
        }
    }

    /// The link breaks: everything on it is lost, and both ends detect it.
    pub fn cut(&mut self) {
        if let Some(wire) = self.cut_wire() {
            self.notify_uplink(UplinkInput::LinkLost { link: wire, failure: lost("the link broke") });
        }
    }

    fn cut_wire(&mut self) -> Option<LinkId> {
        let wire = self.wire.take()?;
        // What was proposed may still be committed: only nobody is notified.
        self.parent(wire.site).intake = None;
        Some(wire.link)
    }

    /// A parent's nodes come back with an older state.
    pub fn restore(&mut self, site: SiteId, store: ModelSite) {
        if self.wire.as_ref().is_some_and(|wire| wire.site == site) {
            self.cut();
        }
        let parent = self.parent(site);
        parent.store = store;
        parent.proposals.clear();
        parent.reads.clear();
    }

    /// Steps that are possible now, in the order that [`Self::settle`] takes them.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = vec![];
        let mut add = |possible: bool, step| steps.extend(possible.then_some(step));
        add(!self.loads.is_empty(), Step::Load);
        add(!self.fetches.is_empty() && !self.hold_fetches, Step::Fetch);
        if let Some(wire) = &self.wire {
            add(!wire.opened, Step::Open);
            add(!wire.up.is_empty(), Step::Up);
        }
        for (site, parent) in &self.parents {
            add(!parent.reads.is_empty(), Step::Read(*site));
            add(!parent.proposals.is_empty(), Step::Commit(*site));
        }
        if let Some(wire) = &self.wire {
            add(!wire.down.is_empty() || wire.closing, Step::Down);
        }
        add(!self.probes.is_empty(), Step::Probe);
        steps
    }

    /// Takes steps until nothing is under way.
    pub fn settle(&mut self) {
        self.settle_but(|_| false);
    }

    /// As [`Self::settle`], leaving out some kinds of steps.
    pub fn settle_but(&mut self, left_out: impl Fn(Step) -> bool) {
        for _ in 0..100_000 {
            let Some(step) = self.steps().into_iter().find(|step| !left_out(*step)) else { return };
            self.take(step);
        }
        panic!("traffic without end:\n{}", self.log[self.log.len() - 40..].join("\n"));
    }

    pub fn take(&mut self, step: Step) {
        match step {
            Step::Open => self.open(),
            Step::Load => self.load(),
            Step::Fetch => self.fetch(None),
            Step::Up => self.deliver_up(),
            Step::Down => self.deliver_down(),
            Step::Read(site) => {
                let (link, origins, authored) = self.parent(site).reads.pop_front().expect("a step that is possible");
                let held = self.parent(site).store.held(&origins, &authored);
                self.answer_intake(site, link, IntakeInput::CursorsRead(Ok(held)));
            }
            Step::Commit(site) => {
                self.commit(site, None);
            }
            Step::Probe => {
                let site = self.probes.pop_front().expect("a step that is possible");
                let reachable = self.parent(site).reachable;
                self.notify_uplink(UplinkInput::ProbeAnswered { site, reachable });
            }
        }
    }

    /// Commits a parent's oldest proposal. With a failure, the intake receives that instead of the outcome.
    pub fn commit(&mut self, site: SiteId, failure: Option<ProposeFailure>) -> Option<Outcome> {
        let (link, id, command) = self.parent(site).proposals.pop_front()?;
        let is_absent = matches!(failure, Some(ProposeFailure::Busy { .. } | ProposeFailure::NotLeader { .. }));
        let outcome = (!is_absent).then(|| self.parent(site).store.apply(command));
        if let Some(Outcome::Adopted(cursor)) = &outcome {
            let furthest = self.committed.entry((site, cursor.origin)).or_default();
            *furthest = (*furthest).max(Cursor::of(cursor));
        }
        let result = match failure {
            Some(failure) => Err(failure),
            None => Ok(outcome.clone().expect("applied")),
        };
        self.log.push(format!("{site}: {id} {}", trace::outcome(&result)));
        self.answer_intake(site, link, IntakeInput::Proposed { id, result });
        outcome
    }

    fn open(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let (link, site) = (wire.link, wire.site);
        if !self.parents[&site].reachable {
            self.wire = None;
            self.log.push(format!("-- site {site} does not answer"));
            return self.notify_uplink(UplinkInput::LinkLost {
                link,
                failure: LinkFailure::of_dials(&[(DialFailure::Unreachable, "no answer".into())]),
            });
        }
        wire.opened = true;
        let (register, signed, now) = (self.tree.verified(), self.tree.chain(), self.now);
        self.handed_down.push(self.tree.signed());
        let parent = self.parent(site);
        let child = ChildIdentity { site: DISTRICT, node: NODE };
        let intake = Intake::new(parent.config, site, child, register, signed, parent.leader.clone(), now);
        parent.intake = Some((link, intake));
        self.notify_uplink(UplinkInput::LinkOpened { link });
    }

    fn load(&mut self) {
        let rows_per_piece = self.rows_per_piece;
        match self.loads.pop_front().expect("a step that is possible") {
            UplinkAction::LoadSegment { load, origin, from, bytes_max } => {
                let result = self.author(origin).load_segment(from, bytes_max);
                self.notify_uplink(UplinkInput::SegmentLoaded { load, result });
            }
            UplinkAction::LoadTransferStart { load, origin } => {
                let start = self.author(origin).load_transfer_start();
                self.notify_uplink(UplinkInput::TransferStartLoaded { load, result: Ok(start) });
            }
            UplinkAction::LoadPiece { load, origin, from, .. } => {
                let piece = self.author(origin).load_piece(&from, rows_per_piece);
                self.notify_uplink(UplinkInput::PieceLoaded { load, result: Ok(piece) });
            }
            other => panic!("no load: {other:?}"),
        }
    }

    fn deliver_up(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let Some(bytes) = wire.up.pop_front() else { return };
        let site = wire.site;
        let mut frame = ChildFrame::decode(&bytes).expect("the uplink's own frame");
        if let Some(alter) = self.alter_up {
            frame = alter(frame);
        }
        self.notify_intake(site, IntakeInput::FrameReceived(frame));
    }

    fn deliver_down(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let link = wire.link;
        match wire.down.pop_front() {
            Some(bytes) => {
                let mut frame = ParentFrame::decode(&bytes).expect("the intake's own frame");
                if let Some(alter) = self.alter_down {
                    frame = alter(frame);
                }
                self.notify_uplink(UplinkInput::FrameReceived { link, frame });
            }
            None => {
                self.cut_wire();
                self.notify_uplink(UplinkInput::LinkLost { link, failure: lost("closed by the parent") });
            }
        }
    }

    pub fn notify_uplink(&mut self, input: UplinkInput) {
        self.uplink.handle(input, self.now);
        while let Some(action) = self.uplink.poll_action() {
            // Every welcome shows the child its own heads: what is seen of that stands in `shown`.
            if !matches!(action, UplinkAction::CompareHead { .. }) {
                self.log.push(format!("{DISTRICT}: {}", trace::uplink_action(&action)));
            }
            self.perform(action);
        }
        let status = self.uplink.status();
        let window = self.config.in_flight_bytes_max + self.config.segment_bytes_max.max(self.config.piece_bytes_max);
        assert!(status.in_flight_bytes <= window, "{} bytes are under way, at most {window} may be", status.in_flight_bytes);
    }

    fn perform(&mut self, action: UplinkAction) {
        match action {
            UplinkAction::Dial { link, site, .. } => {
                self.wire = Some(Wire { link, site, opened: false, up: VecDeque::new(), down: VecDeque::new(), closing: false });
            }
            UplinkAction::Disconnect { link, .. } => {
                if self.wire.as_ref().is_some_and(|wire| wire.link == link) {
                    self.cut_wire();
                }
            }
            UplinkAction::SendFrame { link, frame } => {
                let bytes = frame.encode().expect("bounded");
                if let Some(wire) = self.wire.as_mut().filter(|wire| wire.link == link) {
                    wire.up.push_back(bytes);
                }
            }
            UplinkAction::RecordParent { parent, cursors } => {
                for cursor in cursors {
                    let furthest = self.committed.get(&(parent, cursor.origin)).copied().unwrap_or_default();
                    assert!(
                        cursor.next.0 == 1 || Cursor::of(&cursor) <= furthest,
                        "promise 2: {cursor:?} was never committed by site {parent}"
                    );
                    self.recorded.insert((parent, cursor.origin), Cursor::of(&cursor));
                }
            }
            UplinkAction::Probe { site, .. } => self.probes.push_back(site),
            load @ (UplinkAction::LoadSegment { .. } | UplinkAction::LoadTransferStart { .. } | UplinkAction::LoadPiece { .. }) => {
                self.loads.push_back(load);
            }
            UplinkAction::CompareHead { parent, head } => self.shown.push((parent, head)),
            UplinkAction::FetchRegister { link, offer } => self.fetches.push_back((link, offer)),
            UplinkAction::AdoptRegister(register) => self.offered.push((*register).clone()),
            UplinkAction::RaiseAlarm(_) => {}
        }
    }

    /// Answers a question of a connection; if that is gone, nothing happens.
    fn answer_intake(&mut self, site: SiteId, link: LinkId, input: IntakeInput) {
        if self.parents[&site].intake.as_ref().is_some_and(|(open, _)| *open == link) {
            self.notify_intake(site, input);
        }
    }

    pub fn notify_intake(&mut self, site: SiteId, input: IntakeInput) {
        let (now, clock) = (self.now, self.clock());
        let parent = self.parents.get_mut(&site).expect("one of two");
        let Some((link, intake)) = &mut parent.intake else { return };
        intake.handle(input, now, clock);
        assert!(intake.queued_bytes() <= parent.config.queued_bytes_max, "the queue is bounded");
        while let Some(action) = intake.poll_action() {
            self.log.push(format!("{site}: {}", trace::intake_action(&action)));
            let wire = self.wire.as_mut().filter(|wire| wire.link == *link);
            match (action, wire) {
                (IntakeAction::ReadCursors { origins, authored }, _) => parent.reads.push_back((*link, origins, authored)),
                (IntakeAction::Propose { id, command }, _) => parent.proposals.push_back((*link, id, command)),
                (IntakeAction::SendFrame(frame), Some(wire)) => wire.down.push_back(frame.encode().expect("bounded")),
                (IntakeAction::Close { .. }, Some(wire)) => wire.closing = true,
                _ => {}
            }
        }
    }
}

fn lost(detail: &str) -> LinkFailure {
    LinkFailure::ConnectionLost { detail: detail.into() }
}
