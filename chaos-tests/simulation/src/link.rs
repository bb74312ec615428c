//! A simulated link between a child and a parent. Frames arrive in order and whole, or not at all. A broken link loses a suffix of
//! the frames that were in flight.

use std::collections::VecDeque;

use kho_replication::{intake::Intake, link_time::LinkTime, uplink::LinkId};
use kho_storage::{
    ids::{NodeId, OriginId, SiteId},
    stream::Segment,
};

use crate::agenda::Term;

/// A node that has disconnected may still take frames of the link from its queue for this long.
const QUEUE_MS: u64 = 40;

pub struct Link {
    pub child: SiteId,
    pub caller: Caller,
    pub parent: SiteId,
    /// The parent's node that accepted the connection.
    pub node: NodeId,
    /// The parent's end. It exists from the moment that the link is open until the parent detects that it is gone.
    pub intake: Option<Intake>,
    /// Set when nothing that is sent from now on arrives.
    pub broken: bool,
    pub up: Way,
    pub down: Way,
    /// Added to the latency of every frame.
    pub slow_ms: u64,
}

/// Who holds the child's end.
pub enum Caller {
    /// The uplink of the leader of that term. It is `open` until it disconnects or is gone. Until `queued_until` its node still
    /// receives what had arrived when it disconnected, as the queue of a task would keep it.
    Uplink { term: Term, link_id: LinkId, open: bool, queued_until: LinkTime },
    /// A node that still lives in another epoch of an origin, and the segment that it sends.
    OtherEpoch { origin: OriginId, segment: Box<Segment> },
}

/// Frames in flight in one direction.
#[derive(Default)]
pub struct Way {
    pub frames: VecDeque<Vec<u8>>,
    /// When the last of them arrives.
    pub last_at: LinkTime,
}

impl Link {
    /// Whether the child's end still receives.
    pub fn child_receives(&self) -> bool {
        match &self.caller {
            Caller::Uplink { open, .. } => *open,
            Caller::OtherEpoch { .. } => true,
        }
    }

    /// The child's end is gone.
    pub fn child_left(&mut self, now: LinkTime) {
        if let Caller::Uplink { open: open @ true, queued_until, .. } = &mut self.caller {
            *open = false;
            *queued_until = now.after_ms(QUEUE_MS);
        }
    }
}
