//! The small values of which frames consist: numbers, kinds, and places in a stream.

use std::fmt;

use kho_storage::{
    command::ParentCursor,
    ids::{Epoch, OriginId, StreamSeq},
};
use serde::{Deserialize, Serialize};

/// The number under which a child's frame is answered. Counts up from 1 within a connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FrameId(pub u64);

impl fmt::Display for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A place in a stream: the first batch not yet held. Ordered by epoch, then sequence.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor {
    pub epoch: Epoch,
    pub next: StreamSeq,
}

impl Cursor {
    pub fn of(parent: &ParentCursor) -> Self {
        Self { epoch: parent.epoch, next: parent.next }
    }

    /// The cursor with its origin, as it travels and is recorded.
    pub fn for_origin(self, origin: OriginId) -> ParentCursor {
        ParentCursor { origin, epoch: self.epoch, next: self.next }
    }

    /// Whether both name the same epoch number but different epochs: two histories of one origin.
    pub fn forks_from(&self, other: &Cursor) -> bool {
        self.epoch.number == other.epoch.number && self.epoch.id != other.epoch.id
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch.number, self.next)
    }
}

/// The kind of a frame, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameKind {
    Hello,
    Streams,
    Segment,
    TransferStart,
    Piece,
    Welcome,
    Redirect,
    Cursors,
    Adopted,
    TransferWants,
    Refused,
    Busy,
    Registers,
    Goodbye,
    Clock,
    TestLevel,
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants' names are the protocol's names.
        fmt::Debug::fmt(self, f)
    }
}
