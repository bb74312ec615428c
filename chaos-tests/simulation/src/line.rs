//! A connection between a child and a parent. Frames arrive in order and whole, or not at all: what a broken line loses is
//! a suffix of what was under way.

use std::collections::VecDeque;

use kho_replication::{intake::Intake, link_time::LinkTime, uplink::LinkId};
use kho_storage::{
    ids::{NodeId, OriginId, SiteId},
    stream::Segment,
};

use crate::agenda::Reign;

/// So long after it hung up, a node may still take a frame of the line from its queue.
const QUEUE_MS: u64 = 40;

pub struct Line {
    pub child: SiteId,
    pub caller: Caller,
    pub parent: SiteId,
    /// The parent's node that took the call.
    pub node: NodeId,
    /// The parent's end, from the moment that the connection stands until it is noticed to be gone.
    pub intake: Option<Intake>,
    /// Nothing that is sent from now on arrives.
    pub broken: bool,
    pub up: Way,
    pub down: Way,
    /// Added to every frame's time on its way.
    pub slow_ms: u64,
}

/// Who holds the child's end.
pub enum Caller {
    /// The uplink of the leader of that reign; `open` until it hangs up or is gone.
    /// The uplink's node hears what had arrived when it hung up, as a task's queue keeps it, until `heard_until`.
    Uplink { reign: Reign, link: LinkId, open: bool, heard_until: LinkTime },
    /// A node that still lives in another epoch, and what it sends.
    Stranger { origin: OriginId, segment: Box<Segment> },
}

/// Frames on their way in one direction.
#[derive(Default)]
pub struct Way {
    pub frames: VecDeque<Vec<u8>>,
    /// When the last of them arrives.
    pub last_at: LinkTime,
}

impl Line {
    /// Whether the child's end still listens.
    pub fn child_listens(&self) -> bool {
        match &self.caller {
            Caller::Uplink { open, .. } => *open,
            Caller::Stranger { .. } => true,
        }
    }

    /// The child's end is gone.
    pub fn child_left(&mut self, now: LinkTime) {
        if let Caller::Uplink { open: open @ true, heard_until, .. } = &mut self.caller {
            *open = false;
            *heard_until = now.after_ms(QUEUE_MS);
        }
    }
}
