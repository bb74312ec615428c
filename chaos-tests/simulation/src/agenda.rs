//! Future events, in the order of virtual time; what is due at the same moment comes in the order in which it was set.

use std::{cmp::Ordering, collections::BinaryHeap, sync::Arc};

use kho_replication::{
    frames::{FrameId, RegisterOffer},
    intake::ProposeFailure,
    link_time::LinkTime,
    uplink::{LinkId, UplinkAction},
};
use kho_storage::{
    command::{Outcome, ParentCursor},
    ids::{NodeId, OriginId, SiteId},
    register::SignedRegister,
    stream::SignedHead,
};

/// A connection, by the order of dialling. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkNo(pub u64);

/// The time during which one node leads, and with it the life of its machines. Never reused at a site.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Term(pub u64);

/// A client's request, by its place in [`crate::client::Clients`].
pub type RequestNo = usize;

/// Who proposed a command, and so receives its outcome.
#[derive(Debug, Clone)]
pub enum Proposer {
    Intake {
        link: LinkNo,
        id: FrameId,
    },
    Recorder {
        term: Term,
        parent: SiteId,
        cursors: Vec<ParentCursor>,
    },
    Register {
        term: Term,
        signed: Arc<SignedRegister>,
    },
    /// That the site was set back, as a parent's head of its own shows.
    SetBack {
        term: Term,
        parent: SiteId,
        head: SignedHead,
    },
    Clients {
        requests: Vec<RequestNo>,
    },
    /// Heads, trimming, and bundles that an operator carries. The outcome is not awaited: the next tick checks again what is due.
    Maintenance,
}

/// A command on its way into a site's log.
#[derive(Debug, Clone)]
pub struct Proposal {
    pub site: SiteId,
    pub proposer: Proposer,
    pub entry: Vec<u8>,
    /// The disks' life in which it was made: a rollback ends it.
    pub life: u64,
    /// Whether it waited for another leader.
    pub survived: bool,
    /// The stream that it bears on, and its place among all proposals, when a child sent it.
    pub stream: Option<(OriginId, u64)>,
}

#[derive(Debug)]
pub enum Event {
    Tick(SiteId),
    /// A dial comes through, or fails.
    Opens(LinkNo),
    DialFails {
        site: SiteId,
        term: Term,
        link_id: LinkId,
    },
    /// The next frame arrives at the parent, at the child.
    Up(LinkNo),
    Down(LinkNo),
    /// One end detects that the link has ended.
    ParentDetectsLoss(LinkNo),
    ChildDetectsLoss(LinkNo),
    Load {
        site: SiteId,
        term: Term,
        action: UplinkAction,
    },
    /// A register that an uplink fetches arrives, or its transfer goes silent.
    RegisterArrives {
        site: SiteId,
        term: Term,
        link: LinkNo,
        link_id: LinkId,
        offer: RegisterOffer,
        is_silent: bool,
    },
    Probed {
        site: SiteId,
        term: Term,
        parent: SiteId,
        is_there: bool,
    },
    Commits(Proposal),
    Decided {
        site: SiteId,
        life: u64,
        proposer: Proposer,
        result: Result<Outcome, ProposeFailure>,
    },
    CursorsRead {
        link: LinkNo,
        origins: Vec<OriginId>,
        authored: Vec<OriginId>,
    },
    /// An operator gives a site the newest register.
    RegisterByHand(SiteId),
    /// An operator carries a bundle from who showed it to a site that was set back.
    CarryBundle(SiteId),
    /// The site's tasks are notified of what was applied.
    NotifyApplied(SiteId),
    SignHeads {
        site: SiteId,
        term: Term,
    },
    Elects(SiteId),
    /// Somebody sets a clock right that was far off.
    ClockSet(SiteId),
    /// An operator says that a site's clock is right.
    ConfirmsTime,
    /// An operator looks after a site whose clock was confirmed when it was wrong.
    TakesTimeBack(SiteId),
    /// A leader whose disk failed stops.
    Stops {
        site: SiteId,
        term: Term,
    },
    NodeReturns(SiteId, NodeId),
    /// A disk is damaged, or an operator replaces a node whose disk was.
    DamagesLeader,
    /// A damaged node that can't apply what its site committed stops.
    DivergedStops(SiteId, NodeId),
    /// Clients enter something new.
    Enter,
    /// A client repeats a request.
    EnterAgain(RequestNo),
    InjectFault,
    /// Somebody installs a build, raises a level, or tries what a level brings.
    Upgrades,
    /// A site answers again, has space again, can read its disk again.
    Reachable(SiteId),
    HasSpace(SiteId),
    Readable(SiteId),
}

struct Entry {
    at: LinkTime,
    number: u64,
    event: Event,
}

#[derive(Default)]
pub struct Agenda {
    entries: BinaryHeap<Entry>,
    last: u64,
}

impl Agenda {
    pub fn add(&mut self, at: LinkTime, event: Event) {
        self.last += 1;
        self.entries.push(Entry { at, number: self.last, event });
    }

    /// The next event that is due not later than `until`.
    pub fn take(&mut self, until: LinkTime) -> Option<(LinkTime, Event)> {
        if self.entries.peek()?.at > until {
            return None;
        }
        self.entries.pop().map(|entry| (entry.at, entry.event))
    }
}

impl Ord for Entry {
    /// The heap's greatest is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}
