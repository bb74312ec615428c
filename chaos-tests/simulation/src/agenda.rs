//! What will happen, in the order of virtual time; what is due at the same moment comes in the order in which it was set.

use std::{cmp::Ordering, collections::BinaryHeap};

use kho_replication::{
    frames::FrameId,
    intake::ProposeFailure,
    link_time::LinkTime,
    uplink::{LinkId, UplinkAction},
};
use kho_storage::{
    command::{Outcome, ParentCursor},
    ids::{NodeId, OriginId, SiteId},
    register::SignedRegister,
};

/// A connection, by the order of dialling. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineNo(pub u64);

/// One node's time as a leader, and with it the life of its machines. Never reused at a site.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Reign(pub u64);

/// A client's request, by its place in [`crate::client::Clients`].
pub type RequestNo = usize;

/// Who proposed, and so hears of the outcome.
#[derive(Debug, Clone)]
pub enum Asker {
    Intake {
        line: LineNo,
        id: FrameId,
    },
    Recorder {
        reign: Reign,
        parent: SiteId,
        cursors: Vec<ParentCursor>,
    },
    Register {
        reign: Reign,
        signed: SignedRegister,
    },
    Clients {
        requests: Vec<RequestNo>,
    },
    /// Heads and trimming: whoever asked looks again by itself.
    Maintenance,
}

/// A command on its way into a site's log.
#[derive(Debug, Clone)]
pub struct Proposal {
    pub site: SiteId,
    pub asker: Asker,
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
    Opens(LineNo),
    DialFails {
        site: SiteId,
        reign: Reign,
        link: LinkId,
    },
    /// The next frame arrives at the parent, at the child.
    Up(LineNo),
    Down(LineNo),
    /// One end notices that the line has ended.
    ParentNotices(LineNo),
    ChildNotices(LineNo),
    Load {
        site: SiteId,
        reign: Reign,
        action: UplinkAction,
    },
    Probed {
        site: SiteId,
        reign: Reign,
        parent: SiteId,
    },
    Commits(Proposal),
    Decided {
        site: SiteId,
        life: u64,
        asker: Asker,
        result: Result<Outcome, ProposeFailure>,
    },
    CursorsRead {
        line: LineNo,
        origins: Vec<OriginId>,
    },
    /// The site's tasks hear what was applied.
    News(SiteId),
    SignHeads {
        site: SiteId,
        reign: Reign,
    },
    Elects(SiteId),
    /// A leader whose disk failed stops.
    Stops {
        site: SiteId,
        reign: Reign,
    },
    NodeReturns(SiteId, NodeId),
    /// Clients enter something new.
    Enter,
    /// A client asks again.
    EnterAgain(RequestNo),
    Trouble,
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
