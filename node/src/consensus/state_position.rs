//! How far a state has applied the log, as its mark says, and whether a received state is the one that was announced.

use std::path::Path;

use kho_storage::{
    codec::{self, CodecError},
    warehouse::{AppliedMark, Warehouse},
};

use super::types::{LogId, SnapshotMeta, StoredMembership};

/// Why a log snapshot is of no use. Nothing was replaced by it.
#[derive(Debug, thiserror::Error)]
pub(super) enum OtherState {
    #[error("a log snapshot holds the state at {held:?} instead of {announced:?}; its sender is at fault, see the leader's log")]
    Position { held: Option<LogId>, announced: Option<LogId> },
    #[error("a log snapshot holds other members than announced; its sender is at fault, see the leader's log")]
    Members,
    #[error("a log snapshot can't be read: {0}")]
    Unreadable(String),
}

/// Checks, before it is taken, that a received state is the one that was announced.
///
/// # Errors
/// [`OtherState`].
pub(super) fn check_state(place: &Path, announced: &SnapshotMeta) -> Result<(), OtherState> {
    let unreadable = |error: &dyn std::fmt::Display| OtherState::Unreadable(error.to_string());
    let mark = Warehouse::mark_at(place).map_err(|error| unreadable(&error))?;
    let (held, members) = position_of(&mark).map_err(|error| unreadable(&error))?;
    if held != announced.last_log_id {
        return Err(OtherState::Position { held, announced: announced.last_log_id });
    }
    if members != announced.last_membership { Err(OtherState::Members) } else { Ok(()) }
}

/// How far the log is applied, and the members at that point.
pub(super) type Position = (Option<LogId>, StoredMembership);

/// Reads a mark that this file wrote. An empty one stands for "nothing yet".
///
/// # Errors
/// [`CodecError`]; the disk's fault.
pub(super) fn position_of(mark: &AppliedMark) -> Result<Position, CodecError> {
    let applied = if mark.applied.is_empty() { None } else { codec::decode(&mark.applied)? };
    let membership = if mark.membership.is_empty() { StoredMembership::default() } else { codec::decode(&mark.membership)? };
    Ok((applied, membership))
}
