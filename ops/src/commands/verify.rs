//! `kho verify`: are replicas what their heads say, and are they equal along the tree?
//!
//! ```text
//! each --node ─► proof of every origin: digest from the rows on disk, cubes from the rows     proofs.rs
//!                                │
//!   all nodes ─► what stood after the newest batch that all of them hold: chain, digest, rows  compare.rs (pure)
//!                                │ a difference
//!                                ▼
//!                    buckets of keys ─► rows ─► the keys that differ                           drill.rs
//! ```
//! Invariant: a difference in chain, digest, rows or cubes at any node ends in exit code 1, and so does what could not be
//! compared (tests in `report.rs`).

mod command;
mod compare;
mod drill;
mod proofs;
mod report;

pub use command::{VerifyArgs, run};
