//! What others in the node wait for: events that a warehouse gives to its listeners after a command was applied.

use crate::{
    command::{Command, Outcome},
    error::StorageError,
    ids::OriginId,
};

/// What has just changed. An event names the place, never the new value: listeners read the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarehouseEvent {
    /// A batch of this site's own origin was written. No head covers it yet.
    OwnBatchWritten(OriginId),
    /// A stream's newest head moved.
    StreamMoved(OriginId),
    /// An origin was taken out.
    OriginDiscarded(OriginId),
    /// A newer register was adopted.
    RegisterChanged,
    /// Anything may have changed: the state was replaced, streams were trimmed, or times taken back.
    EverythingChanged,
    /// The site works at a higher level now.
    LevelRaised,
}

pub(super) type Listener = Box<dyn Fn(WarehouseEvent) + Send + Sync>;
pub(super) type DamageListener = Box<dyn Fn(&StorageError) + Send + Sync>;

impl WarehouseEvent {
    /// The event of an applied command; `None` when nobody waits for it.
    pub(super) fn of(command: &Command, outcome: &Outcome) -> Option<Self> {
        match (command, outcome) {
            (Command::Write { origin, .. }, Outcome::Written(_)) => Some(Self::OwnBatchWritten(*origin)),
            (Command::CommitHead { signed }, Outcome::HeadCommitted) => Some(Self::StreamMoved(signed.head.origin)),
            (Command::AdoptSegment { segment, .. }, Outcome::Adopted(_)) => Some(Self::StreamMoved(segment.origin())),
            (Command::DiscardOrigin { origin }, Outcome::Recorded) => Some(Self::OriginDiscarded(*origin)),
            (Command::AdoptRegister { .. }, Outcome::RegisterAdopted { .. }) => Some(Self::RegisterChanged),
            (Command::ConfirmTime { .. }, Outcome::Recorded) => Some(Self::EverythingChanged),
            (Command::RaiseLevel { .. }, Outcome::LevelStands { .. }) => Some(Self::LevelRaised),
            (Command::Trim { .. }, Outcome::Trimmed { batches: 1.. }) => Some(Self::EverythingChanged),
            _ => None,
        }
    }
}
