//! The world of one run: sites, links and clients in virtual time. It carries out what the machines decide, as the tasks of a
//! node do. It decides everything that the machines do not decide: when something happens, and whether it happens at all.
//!
//! ```text
//! agenda ──event──▶ World ──input──▶ Uplink, Intake (real) ──action──▶ World ──event, later──▶ agenda
//!                     └──committed entry──▶ Warehouse (real) ──outcome──▶ oracles, proposer
//! ```
//! Simulated: the network (`world/links.rs`), the order of a site's log (`world/propose.rs`), disks (`disk.rs`), clocks (`site.rs`).
//! Real: everything else.

mod clients;
mod commit;
mod confirmed_time;
mod crash;
mod damaged_disk;
mod damaged_leader;
mod describe;
mod fault_injection;
mod heal;
mod intake_driver;
mod levels;
mod links;
mod maintenance;
mod members;
mod moved_offices;
mod off_path;
mod other_epoch;
mod propose;
mod registers;
mod set_back;
mod uplink_driver;

use std::collections::BTreeMap;

use kho_replication::{
    link_time::LinkTime,
    uplink::{DialFailure, LinkFailure, Uplink, UplinkConfig, UplinkInput},
};
use kho_storage::{
    command::Command,
    ids::{NodeId, SiteId, SiteTime},
    register::{RegisterChain, SignedRegister},
};

pub use self::{commit::AppliedEntry, fault_injection::SKEW_MS};
use self::{confirmed_time::Operators, damaged_leader::Damages, levels::Upgrades};
use crate::{
    agenda::{Agenda, Event, LinkNo, Term},
    client::Clients,
    counts::Counts,
    dice::Dice,
    ledger::Ledger,
    link::Link,
    plan::{self, Plan},
    site::{Leader, Site},
    trace::Trace,
    tree::{self, Parents},
    violation::violated,
};

/// Between two ticks of a site's tasks.
const TICK_MS: u64 = 250;

pub struct World {
    pub dice: Dice,
    pub plan: Plan,
    pub now: LinkTime,
    agenda: Agenda,
    sites: Vec<Site>,
    links: BTreeMap<LinkNo, Link>,
    last_link: LinkNo,
    clients: Clients,
    pub ledger: Ledger,
    pub counts: Counts,
    pub trace: Trace,
    /// The newest register that the centre issued.
    parents: Parents,
    /// Every register that changed who signs registers, and the newest.
    issued: RegisterChain,
    /// No more faults, no new requests.
    healing: bool,
    /// Bytes of the longest segment that was loaded.
    longest_segment: usize,
    /// Proposals made so far.
    proposals: u64,
    upgrades: Upgrades,
    operators: Operators,
    damages: Damages,
}

impl World {
    pub fn new(seed: u64, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let mut plan = Plan::draw(&mut dice);
        // Drawn apart: what the other seeds draw stays the same.
        let replaces_nodes = Dice::new(!seed).chance(1, plan::REPLACED_ONE_IN);
        if replaces_nodes {
            plan = plan.with_nodes_replaced();
        }
        if seed % plan::MOVED_ONE_IN == plan::MOVED_REMAINDER {
            plan = plan.with_offices_moved();
        }
        let operators = Operators::new(seed);
        if operators.make_mistakes() {
            plan = plan.with_wrong_times_confirmed();
        }
        let damages = Damages::new(seed);
        let parents = Parents::first(if replaces_nodes || damages.are_due() { tree::NODE_IDS } else { tree::NODES });
        let mut world = Self {
            dice,
            plan,
            now: LinkTime(0),
            agenda: Agenda::default(),
            sites: tree::sites().map(Site::new).collect(),
            links: BTreeMap::new(),
            last_link: LinkNo(0),
            clients: Clients::default(),
            ledger: Ledger::default(),
            counts: Counts::default(),
            trace: Trace::new(traced),
            issued: RegisterChain::single(parents.version(), parents.register()),
            parents,
            healing: false,
            longest_segment: 0,
            proposals: 0,
            upgrades: Upgrades::new(seed),
            operators,
            damages,
        };
        world.create_sites();
        world
    }

    /// Every site receives its first register by hand and elects its first node.
    fn create_sites(&mut self) {
        for site in tree::sites() {
            self.apply_registers(site);
            self.site(site).disk.take_applied_events();
            self.elect(site, NodeId(1));
            let first_tick = self.dice.below(TICK_MS);
            self.after(first_tick, Event::Tick(site));
        }
        self.after(100, Event::Enter);
        self.begin_upgrades();
        self.begin_confirming();
        self.begin_damaging();
        let first_fault = self.dice.between(500, 3_000);
        self.after(first_fault, Event::InjectFault);
    }

    /// Runs through the time of faults, then heals the tree.
    pub fn live(&mut self) {
        self.run_until(LinkTime(self.plan.faulty_ms));
        self.heal();
    }

    fn run_until(&mut self, until: LinkTime) {
        while let Some((at, event)) = self.agenda.take(until) {
            self.now = at;
            self.happens(event);
        }
        self.now = until;
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Tick(site) => self.ticks(site),
            Event::Opens(link) => self.opens(link),
            Event::DialFails { site, term, link_id } => self.notify_uplink(
                site,
                term,
                UplinkInput::LinkLost { link: link_id, failure: LinkFailure::of_dials(&[(DialFailure::Unreachable, "no answer".into())]) },
            ),
            Event::Up(link) => self.arrives_up(link),
            Event::Down(link) => self.arrives_down(link),
            Event::ParentDetectsLoss(link) => self.parent_detects_loss(link),
            Event::ChildDetectsLoss(link) => self.child_detects_loss(link),
            Event::Load { site, term, action } => self.loads(site, term, action),
            Event::RegisterArrives { site, term, link, link_id, offer, is_silent } => {
                self.register_arrives(site, term, link, link_id, offer, is_silent);
            }
            Event::Probed { site, term, parent, is_there } => self.probed(site, term, parent, is_there),
            Event::Commits(proposal) => self.commits(proposal),
            Event::Decided { site, life, proposer, result } => self.decided(site, life, proposer, result),
            Event::CursorsRead { link, origins, authored } => self.cursors_read(link, &origins, &authored),
            Event::RegisterByHand(site) => self.register_by_hand(site),
            Event::CarryBundle(site) => self.carry_bundle(site),
            Event::NotifyApplied(site) => self.notify_applied(site),
            Event::SignHeads { site, term } => self.sign_heads(site, term),
            Event::Elects(site) => self.elects(site),
            Event::Stops { site, term } => {
                if self.site(site).term() == Some(term) {
                    self.kill_leader(site);
                }
            }
            Event::NodeReturns(site, node) => {
                self.site(site).down.remove(&node);
            }
            Event::DamagesLeader => self.damages_leader(),
            Event::DivergedStops(site, node) => self.diverged_stops(site, node),
            Event::Enter => self.enter(),
            Event::EnterAgain(request) => self.enter_again(request),
            Event::InjectFault => self.inject_fault(),
            Event::Upgrades => self.upgrades(),
            Event::Reachable(site) => self.site(site).cut_off = false,
            Event::HasSpace(site) => self.site(site).disk_full = false,
            Event::Readable(site) => self.site(site).reads_fail = false,
            Event::ClockSet(site) => self.set_right(site),
            Event::ConfirmsTime => self.confirms_time(),
            Event::TakesTimeBack(site) => self.takes_time_back(site),
        }
    }

    /// `node` leads its site from now on, once it has applied everything that its predecessors had committed.
    fn elect(&mut self, id: SiteId, node: NodeId) {
        self.apply_all(id);
        let (config, seed) = (self.plan.uplink, self.dice.below(u64::MAX));
        let site = self.site(id);
        let config = UplinkConfig { levels: site.disk.warehouse.level_offer(), ..config };
        site.last_term = Term(site.last_term.0 + 1);
        let term = site.last_term;
        let uplink = Uplink::new(config, id, node, seed);
        let status = uplink.status();
        site.leader = Some(Leader {
            node,
            term,
            stops: false,
            uplink,
            links: BTreeMap::new(),
            records: Default::default(),
            recording: false,
            has_recorded: false,
            status,
            welcomed_by: None,
            cut_mid_segment: Vec::new(),
        });
        self.note(|| format!("{}: node {node} leads", tree::name(id)));
        self.notify_register(id, term);
        let became_leader = self.became_leader(id);
        self.notify_uplink(id, term, became_leader);
    }

    fn site(&mut self, id: SiteId) -> &mut Site {
        &mut self.sites[id.0 as usize - 1]
    }

    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    pub fn parents(&self) -> &Parents {
        &self.parents
    }

    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    fn clock(&mut self, id: SiteId) -> SiteTime {
        let now = self.now;
        self.site(id).read_clock(now).time
    }

    /// Whoever issued the registers gives a site those that it lacks, in order.
    fn apply_registers(&mut self, id: SiteId) {
        let held = self.site(id).register_version();
        let lacking: Vec<SignedRegister> = self.issued.newer_than(held).cloned().collect();
        for signed in lacking {
            let command = self.register_command(id, signed);
            self.commit_now(id, &command);
        }
    }

    fn register_command(&mut self, id: SiteId, signed: SignedRegister) -> Command {
        Command::AdoptRegister { site_time: self.clock(id), pinned: tree::warehouse_config(id).register_key, signed }
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.agenda.add(self.now.after_ms(ms), event);
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        self.trace.note(self.now, line);
    }

    /// Ends the run: a promise was broken.
    fn violated(&mut self, what: String) -> ! {
        self.note(|| format!("VIOLATED {what}"));
        violated(what, std::mem::take(&mut self.trace))
    }

    /// Draws whether something happens that comes once in `one_in` times. It never happens when that is 0, and never while healing.
    fn comes_once_in(&mut self, one_in: u64) -> bool {
        !self.healing && one_in > 0 && self.dice.chance(1, one_in)
    }
}
