//! The moves of the machines from one state to another. An observer compares the states before and after each input, so several
//! steps that one input causes count as one move. Every move of this list must happen often, and no other move may happen.

use kho_replication::{
    intake::IntakePhase,
    uplink::{LinkStatus, StreamState},
};
use kho_storage::command::TransferStatus;

/// A machine's move from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    pub machine: &'static str,
    pub from: &'static str,
    pub to: &'static str,
}

/// The name of a link's state.
pub fn link(status: &LinkStatus) -> &'static str {
    match status {
        LinkStatus::Standby => "standby",
        LinkStatus::Waiting { .. } => "waiting",
        LinkStatus::Dialling => "dialling",
        LinkStatus::Greeting => "greeting",
        LinkStatus::Open { .. } => "open",
    }
}

/// The name of a stream's state.
pub fn stream(state: &StreamState) -> &'static str {
    match state {
        StreamState::Unknown => "unknown",
        StreamState::CaughtUp => "caught up",
        StreamState::Sending => "sending",
        StreamState::Waiting { .. } => "waiting",
        StreamState::Parked { .. } => "parked",
        StreamState::ParentAhead { .. } => "parent ahead",
        StreamState::Transferring { .. } => "transferring",
    }
}

/// The name of the state of an intake.
pub fn intake(phase: IntakePhase) -> &'static str {
    match phase {
        IntakePhase::AwaitingHello => "awaiting hello",
        IntakePhase::ReadingCursors => "reading cursors",
        IntakePhase::Open => "open",
        IntakePhase::Closed => "closed",
    }
}

/// The name of the state of a transfer at its receiver.
pub fn transfer(status: Option<&TransferStatus>) -> &'static str {
    match status {
        None => "none",
        Some(TransferStatus::WantsPiece { .. }) => "wants rows",
        Some(TransferStatus::WantsBatches { .. }) => "wants batches",
    }
}

const fn at(machine: &'static str, from: &'static str, to: &'static str) -> Move {
    Move { machine, from, to }
}

/// Every move that the diagrams of the machines allow.
pub const ALL: &[Move] = &[
    at("link", "standby", "dialling"),
    at("link", "waiting", "standby"),
    at("link", "waiting", "dialling"),
    at("link", "dialling", "standby"),
    at("link", "dialling", "waiting"),
    at("link", "dialling", "greeting"),
    at("link", "greeting", "standby"),
    at("link", "greeting", "waiting"),
    at("link", "greeting", "dialling"),
    at("link", "greeting", "open"),
    at("link", "open", "standby"),
    at("link", "open", "waiting"),
    at("link", "open", "dialling"),
    at("stream", "unknown", "sending"),
    at("stream", "unknown", "caught up"),
    at("stream", "unknown", "parent ahead"),
    at("stream", "unknown", "transferring"),
    at("stream", "unknown", "parked"),
    at("stream", "sending", "unknown"),
    at("stream", "sending", "caught up"),
    at("stream", "sending", "waiting"),
    at("stream", "sending", "parked"),
    at("stream", "sending", "parent ahead"),
    at("stream", "sending", "transferring"),
    at("stream", "caught up", "unknown"),
    at("stream", "caught up", "sending"),
    at("stream", "caught up", "waiting"),
    at("stream", "caught up", "parked"),
    at("stream", "caught up", "parent ahead"),
    at("stream", "caught up", "transferring"),
    at("stream", "waiting", "unknown"),
    at("stream", "waiting", "sending"),
    at("stream", "waiting", "caught up"),
    at("stream", "waiting", "parent ahead"),
    at("stream", "waiting", "transferring"),
    at("stream", "parked", "unknown"),
    at("stream", "parent ahead", "unknown"),
    at("stream", "parent ahead", "sending"),
    at("stream", "parent ahead", "caught up"),
    at("stream", "parent ahead", "waiting"),
    at("stream", "parent ahead", "parked"),
    at("stream", "parent ahead", "transferring"),
    at("stream", "transferring", "unknown"),
    at("stream", "transferring", "sending"),
    at("stream", "transferring", "waiting"),
    at("stream", "transferring", "parked"),
    at("stream", "transferring", "parent ahead"),
    at("intake", "awaiting hello", "reading cursors"),
    at("intake", "awaiting hello", "closed"),
    at("intake", "reading cursors", "open"),
    at("intake", "reading cursors", "closed"),
    at("intake", "open", "closed"),
    at("transfer", "none", "wants rows"),
    at("transfer", "wants rows", "wants batches"),
    at("transfer", "wants rows", "none"),
    at("transfer", "wants batches", "wants rows"),
    at("transfer", "wants batches", "none"),
];
