//! What can go wrong with the log on disk.

use std::path::PathBuf;

/// Why the log could not be read or written. The fault is this node's disk; the node must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogDbError {
    #[error("the log at {} could not be {verb}: {reason}; check the disk and its free space", .dir.display())]
    Io { dir: PathBuf, verb: &'static str, reason: String },
    #[error("{what} of the log at {} is damaged: {why}; remove this node with `kho node remove` and add a fresh one under a new id", .dir.display())]
    Damaged { dir: PathBuf, what: String, why: String },
    #[error("{what} of the log at {} has format {found}, and this build reads format {}: a newer Kho wrote it, or its first byte is damaged. Install the newest Kho that ran here; if that does not read it either, remove this node with `kho node remove` and add a fresh one under a new id", .dir.display(), super::frame::FORMAT)]
    OtherFormat { dir: PathBuf, what: String, found: u8 },
    #[error("the log at {} ends at write {found}, but {wanted} writes were synced to it: its newest file is damaged, and what this node had acknowledged is missing; remove this node with `kho node remove` and add a fresh one under a new id", .dir.display())]
    TailLost { dir: PathBuf, wanted: u64, found: u64 },
    #[error("entry {given} does not follow the log at {}, which ends before {wanted}; this is a defect of Kho", .dir.display())]
    NotConsecutive { dir: PathBuf, wanted: u64, given: u64 },
}
