//! `kho import`: files of any size into a site, in batches that may be sent again without harm.
//!
//! ```text
//! FILE ─► sources (which files, which table) ─► batches (whole records, never parsed) ─► upload (several in flight)
//!                                                    │ request key = hash of table, place and bytes │
//!         FILE.kho-import ◄── journal ◄── ledger (acknowledged without a gap) ◄─────────────────────┘
//! ```
//! Invariants: a batch's bytes, place and key depend on the file and the settings alone, so an interrupted, repeated or
//! resumed import enters no row twice (test `promise_3_a_resumed_import_sends_the_same_batches_with_the_same_keys`); the
//! batches of a file hold its records, whole, in order (test `any_csv_is_cut_into_batches_that_hold_the_same_records`);
//! memory is bounded by batches in flight, whatever the file's size.
//!
//! It does not check values: the site does, and its findings are shown with the file's own row and line.

mod batches;
mod command;
mod journal;
mod ledger;
mod progress;
mod records;
mod sources;
mod summary;
#[cfg(test)]
mod tests;
mod upload;

pub use command::{ImportArgs, run};
