//! The snapshot wing: log snapshots on disk, and on their way from a leader to a follower that is far behind.
//!
//! Invariants:
//!
//! - Only the newest snapshot stays; one that is being sent stays until its last handle is dropped (`store.rs`).
//! - What is handed to openraft is byte for byte what the leader read, and it is durable (`receive.rs`).
//!
//! Reading order: `store.rs` → `wire.rs` → `send.rs` → `receive.rs`. The handle of one snapshot, [`SnapshotDir`], stands in
//! `snapshot_dir.rs` beside `types.rs`, because openraft's types name it.
//!
//! [`SnapshotDir`]: super::snapshot_dir::SnapshotDir

mod receive;
mod send;
mod store;
pub(super) mod wire;

pub(super) use receive::SnapshotReceiver;
pub(super) use send::send;
pub(super) use store::SnapshotStore;
