//! A site: its disks, its nodes, its clock, and the machines that live only as long as their leader.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kho_replication::{
    intake::SiteLeader,
    link_time::LinkTime,
    uplink::{LinkId, StreamPosition, Uplink, UplinkStatus},
};
use kho_storage::{
    command::ParentCursor,
    ids::{NodeId, OriginId, SiteId, SiteTime},
};

use crate::{
    agenda::{LinkNo, Term},
    disk::Disk,
    tree,
};

/// Where site time starts: 2023-11-14.
const CLOCK_START_MS: i64 = 1_700_000_000_000;

pub struct Site {
    pub id: SiteId,
    pub disk: Disk,
    /// Grows when the disks come back older: what was proposed before that is gone.
    pub life: u64,
    pub leader: Option<Leader>,
    pub last_term: Term,
    /// Nodes that are down.
    pub down: BTreeSet<NodeId>,
    pub clock: Clock,
    pub disk_full: bool,
    /// Reads for the uplink fail with an error of the disk.
    pub reads_fail: bool,
    /// Answers nobody and reaches nobody.
    pub cut_off: bool,
    /// When the last proposal of each source is committed: those of one source keep their order.
    pub order: BTreeMap<Source, LinkTime>,
    /// The place of the last committed proposal of each stream among all that were made.
    pub committed: BTreeMap<OriginId, u64>,
    pub trim_at: LinkTime,
    /// Children that carried each origin to this site, over the links that are open now.
    pub carriers: BTreeMap<OriginId, BTreeSet<SiteId>>,
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
    /// The uplink's status when it was last observed.
    pub status: UplinkStatus,
    /// The parent that sent the last welcome.
    pub welcomed_by: Option<SiteId>,
    /// Streams of which something was unanswered when the last link ended.
    pub cut_mid_segment: Vec<OriginId>,
}

/// A site's clock: set by people, never going back within the life of a process.
#[derive(Debug, Default)]
pub struct Clock {
    pub skew_ms: i64,
    /// The latest time that it showed.
    latest: SiteTime,
}

impl Clock {
    /// The time that the clock shows; never earlier than what it showed before in the same process.
    pub fn read(&mut self, now: LinkTime) -> SiteTime {
        let time = SiteTime(CLOCK_START_MS + i64::try_from(now.0).unwrap_or(i64::MAX / 2) + self.skew_ms);
        self.latest = self.latest.max(time);
        self.latest
    }

    pub fn process_ended(&mut self) {
        self.latest = SiteTime::default();
    }
}

impl Site {
    pub fn new(id: SiteId) -> Self {
        Self {
            id,
            disk: Disk::new(id),
            life: 0,
            leader: None,
            last_term: Term(0),
            down: BTreeSet::new(),
            clock: Clock::default(),
            disk_full: false,
            reads_fail: false,
            cut_off: false,
            order: BTreeMap::new(),
            committed: BTreeMap::new(),
            trim_at: LinkTime(0),
            carriers: BTreeMap::new(),
        }
    }

    /// The leader, if it is the one of that term.
    pub fn leader_in(&mut self, term: Term) -> Option<&mut Leader> {
        self.leader.as_mut().filter(|leader| leader.term == term)
    }

    pub fn term(&self) -> Option<Term> {
        self.leader.as_ref().map(|leader| leader.term)
    }

    /// Who leads, as `node` knows it.
    pub fn leader_as_seen_by(&self, node: NodeId) -> SiteLeader {
        match &self.leader {
            Some(leader) if leader.node == node => SiteLeader::ThisNode,
            Some(leader) => SiteLeader::OtherNode { addresses: vec![tree::address(self.id, leader.node)] },
            None => SiteLeader::Unknown,
        }
    }

    /// A stream up to its newest committed head, as `node/src/uplink_driver.rs` gives it to the uplink.
    pub fn position(&self, origin: OriginId) -> Option<StreamPosition> {
        let found = self.disk.warehouse.read(|reading| {
            let Some(state) = reading.origin(origin)? else { return Ok(None) };
            Ok(reading.newest_head(origin, &state)?.map(|head| (state.oldest_kept, head.head)))
        });
        let (oldest_kept, head) = found.expect("a memory does not fail")?;
        Some(StreamPosition { origin, epoch: head.epoch, next: head.seq.next(), oldest_kept, head_time: head.site_time })
    }

    pub fn origins(&self) -> Vec<OriginId> {
        self.disk.warehouse.origins().expect("a memory does not fail").into_iter().map(|(origin, _)| origin).collect()
    }

    /// The register that the site has adopted.
    pub fn register_version(&self) -> u64 {
        self.disk.warehouse.register().map_or(0, |register| register.version())
    }
}
