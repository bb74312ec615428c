//! The log wing: openraft's log on `kho_storage::log_db`, and what decides when the disk must have an entry.
//!
//! ```text
//!  openraft ──► LogStore ──► LogTail (in memory, readable at once)
//!                  └───────► LogWriter (one thread: write and sync) ──► LogDb ──► LogTail::written
//! ```
//!
//! Invariants:
//!
//! - The entries of the tail are consecutive, and the tail holds every entry that the disk does not hold yet (asserted in
//!   `tail.rs`; test `what_the_disk_lacks_is_never_dropped`).
//! - No entry counts as held by this node before the disk has it: whoever depends on it waits by [`LogTail::until_written`] (table in
//!   `store.rs`).
//! - The log is not purged while a received log snapshot is being installed (`install_gate.rs`).
//!
//! Reading order: `tail.rs` → `latency_estimate.rs` → `writer.rs` → `install_gate.rs` → `store.rs`; `idle_flush.rs` stands apart.
//! Nothing here knows peers, elections or snapshots.

mod idle_flush;
mod install_gate;
mod latency_estimate;
mod store;
mod tail;
mod writer;

pub(super) use idle_flush::IdleFlush;
pub(super) use install_gate::InstallGate;
pub(super) use latency_estimate::{LatencyEstimate, SMALL_BYTES_MAX};
pub(super) use store::{LogStore, PersistedPosition};
pub(super) use tail::{LogTail, LogWriteFailed};
pub(super) use writer::StallInjector;
