//! A site: its disks, its nodes, its clock, and the machines that live only as long as their leader.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kho_replication::{
    intake::SiteLeader,
    link_time::LinkTime,
    site_clock::{CLOCK_TOLERANCE_MS, ClockReading, Neighbour, SiteClock},
    tls::Validity,
    uplink::{LinkId, StreamPosition, Uplink, UplinkStatus},
};
use kho_storage::{
    command::ParentCursor,
    ids::{NodeId, OriginId, SiteId, SiteTime},
    stream::SignedHead,
    warehouse::Warehouse,
};

use crate::{
    agenda::{LinkNo, Term},
    disk::Disk,
    members::Members,
    tree,
};

/// Where site time starts: 2023-11-14.
const CLOCK_START_MS: i64 = 1_700_000_000_000;
const DAY_MS: i64 = 86_400_000;
/// The validity of every node's certificate.
pub const OWN_CERTIFICATE: Validity =
    Validity { not_before: SiteTime(CLOCK_START_MS - 3_600_000), not_after: SiteTime(CLOCK_START_MS + 825 * DAY_MS) };

pub struct Site {
    pub id: SiteId,
    pub disk: Disk,
    /// Grows when the disks come back older: what was proposed before that is gone.
    pub life: u64,
    pub leader: Option<Leader>,
    pub last_term: Term,
    pub members: Members,
    /// Nodes that are down.
    pub down: BTreeSet<NodeId>,
    /// The node that computes something else than the others, if there is one.
    pub damaged: Option<DamagedNode>,
    /// Nodes that computed something else, as the site has noted: they take part no more.
    pub diverged: BTreeSet<NodeId>,
    pub clock: Clock,
    pub disk_full: bool,
    /// Reads for the uplink fail with an error of the disk.
    pub reads_fail: bool,
    /// Answers nobody and reaches nobody.
    pub cut_off: bool,
    /// How often its office has moved: only who dials the newest addresses reaches it.
    pub relocations: u32,
    /// When the last proposal of each source is committed: those of one source keep their order.
    pub order: BTreeMap<Source, LinkTime>,
    /// The place of the last committed proposal of each stream among all that were made.
    pub committed: BTreeMap<OriginId, u64>,
    pub trim_at: LinkTime,
    /// Children that carried each origin to this site, over the links that are open now.
    pub carriers: BTreeMap<OriginId, BTreeSet<SiteId>>,
}

/// A node of whose disk something is damaged.
pub struct DamagedNode {
    pub node: NodeId,
    /// What it holds, by the same entries.
    pub warehouse: Warehouse,
}

/// Where proposals come from, each in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Link(LinkNo),
    Recorder,
    Signer,
    Other(u64),
}

/// The node that leads, and what lives in its memory alone.
pub struct Leader {
    pub node: NodeId,
    pub term: Term,
    /// Its disk has failed: the node stops in a moment.
    pub stops: bool,
    pub uplink: Uplink,
    pub links: BTreeMap<LinkId, LinkNo>,
    /// Records that wait for the one under way.
    pub records: VecDeque<(SiteId, Vec<ParentCursor>)>,
    pub recording: bool,
    /// A record of this term stands in the log, or is on its way there.
    pub has_recorded: bool,
    /// The uplink's status when it was last observed.
    pub status: UplinkStatus,
    /// The parent that sent the last welcome.
    pub welcomed_by: Option<SiteId>,
    /// Streams of which something was unanswered when the last link ended.
    pub cut_mid_segment: Vec<OriginId>,
}

/// A site's clock: set by people, and believed as far as `SiteClock` says. All nodes of a site show the same time.
#[derive(Debug, Default)]
pub struct Clock {
    pub skew_ms: i64,
    /// What the processes that run now believe.
    believed: Option<SiteClock>,
}

impl Clock {
    /// What the machines show.
    pub fn machine(&self, now: LinkTime) -> SiteTime {
        SiteTime(right_time(now).0.saturating_add(self.skew_ms))
    }

    /// Whether it is so far off that nobody believes it.
    pub fn is_far_off(&self) -> bool {
        self.skew_ms.abs() > CLOCK_TOLERANCE_MS
    }

    pub fn process_ended(&mut self) {
        self.believed = None;
    }
}

/// The time by a clock that is right.
pub fn right_time(now: LinkTime) -> SiteTime {
    SiteTime(CLOCK_START_MS + i64::try_from(now.0).unwrap_or(i64::MAX / 2))
}

impl Site {
    pub fn new(id: SiteId) -> Self {
        Self {
            id,
            disk: Disk::new(id),
            life: 0,
            leader: None,
            last_term: Term(0),
            members: Members::default(),
            down: BTreeSet::new(),
            damaged: None,
            diverged: BTreeSet::new(),
            clock: Clock::default(),
            disk_full: false,
            reads_fail: false,
            cut_off: false,
            relocations: 0,
            order: BTreeMap::new(),
            committed: BTreeMap::new(),
            trim_at: LinkTime(0),
            carriers: BTreeMap::new(),
        }
    }

    /// Whether `node` is a member that runs.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.members.nodes().contains(&node) && !self.down.contains(&node) && !self.diverged.contains(&node)
    }

    /// The members that run.
    pub fn up(&self) -> Vec<NodeId> {
        self.members.nodes().iter().copied().filter(|node| self.is_up(*node)).collect()
    }

    /// What `node` computed from the site's log: the same as all others, unless its disk is damaged.
    pub fn computed_by(&self, node: NodeId) -> &Warehouse {
        self.damaged.as_ref().filter(|damaged| damaged.node == node).map_or(&self.disk.warehouse, |damaged| &damaged.warehouse)
    }

    /// The leader, if it is the one of that term.
    pub fn leader_in(&mut self, term: Term) -> Option<&mut Leader> {
        self.leader.as_mut().filter(|leader| leader.term == term)
    }

    pub fn term(&self) -> Option<Term> {
        self.leader.as_ref().map(|leader| leader.term)
    }

    /// The node that answers at `address`, whether it runs or not.
    pub fn node_at(&self, address: &str) -> Option<NodeId> {
        tree::node_at(address)
            .filter(|(site, _, relocations)| (*site, *relocations) == (self.id, self.relocations))
            .map(|(_, node, _)| node)
    }

    /// Who leads, as `node` knows it.
    pub fn leader_as_seen_by(&self, node: NodeId) -> SiteLeader {
        match &self.leader {
            Some(leader) if leader.node == node => SiteLeader::ThisNode,
            Some(leader) => SiteLeader::OtherNode { addresses: vec![tree::address(self.id, leader.node, self.relocations)] },
            None => SiteLeader::Unknown,
        }
    }

    /// Which time the site goes by, and what it thinks of its machines' clock.
    pub fn read_clock(&mut self, now: LinkTime) -> ClockReading {
        let machine = self.clock.machine(now);
        self.believed(now).read(machine, now)
    }

    /// An operator says that the machines' clock is right. What it shows.
    pub fn confirm_clock(&mut self, now: LinkTime) -> SiteTime {
        self.believed(now);
        let machine = self.clock.machine(now);
        self.believed(now).confirm(machine, now);
        machine
    }

    /// A neighbour says what its machines' clock shows.
    pub fn hear_clock(&mut self, neighbour: Neighbour, theirs: SiteTime, now: LinkTime) {
        let machine = self.clock.machine(now);
        self.believed(now).hear(neighbour, theirs, machine, now);
    }

    /// As `node/src/daemon.rs` and `node/src/node.rs` make it.
    fn believed(&mut self, now: LinkTime) -> &mut SiteClock {
        if self.clock.believed.is_none() {
            let committed = self.disk.warehouse.committed_time().expect("a memory does not fail");
            if committed.is_none() && self.clock.is_far_off() {
                // A known limit: nothing contradicts the first clock of a tree. Who starts a site for the first time sets its clock.
                self.clock.skew_ms = 0;
            }
            self.clock.believed = Some(SiteClock::new(OWN_CERTIFICATE, committed, now));
        }
        let machine = self.clock.machine(now);
        let register = self.disk.warehouse.register();
        let believed = self.clock.believed.as_mut().expect("it was made if there was none");
        if let Some(site) = register.as_ref().and_then(|register| register.site(self.id)) {
            believed.settle(site.parents.is_empty(), machine, now);
        }
        believed
    }

    /// A stream up to its newest committed head, as `node/src/uplink_driver.rs` gives it to the uplink.
    pub fn position(&self, origin: OriginId) -> Option<StreamPosition> {
        let oldest_kept = self.disk.origin(origin)?.oldest_kept;
        let head = self.newest_head(origin)?.head;
        Some(StreamPosition { origin, epoch: head.epoch, next: head.seq.next(), oldest_kept, head_time: head.site_time })
    }

    /// The newest committed head of an origin.
    pub fn newest_head(&self, origin: OriginId) -> Option<SignedHead> {
        let state = self.disk.origin(origin)?;
        self.disk.warehouse.read(|reading| reading.newest_head(origin, &state)).expect("a memory does not fail")
    }

    /// The head that the site shows to the author of `origin`.
    pub fn furthest_head(&self, origin: OriginId) -> Option<SignedHead> {
        let state = self.disk.origin(origin)?;
        self.disk.warehouse.read(|reading| reading.furthest_head(origin, &state)).expect("a memory does not fail")
    }

    pub fn origins(&self) -> Vec<OriginId> {
        self.disk.warehouse.origins().expect("a memory does not fail").into_iter().map(|(origin, _)| origin).collect()
    }

    /// The register that the site has adopted.
    pub fn register_version(&self) -> u64 {
        self.disk.warehouse.register().map_or(0, |register| register.version())
    }
}
