//! Kho's tree of sites in virtual time. This crate keeps one sentence true: *the same seed gives the same run, and whatever a run
//! does to seven honest sites, every promise holds.*
//!
//! ```text
//!  seed ─▶ Plan ─▶ World ◀──events── Agenda (virtual time)
//!                   │ real: Uplink, Intake, frames, signatures, Warehouse, register
//!                   │ simulated: network, order of a site's log, disks, clocks, clients
//!                   ├─▶ oracles: after every entry, and at the end      ─▶ Violation: what was broken, and the log up to there
//!                   └─▶ Counts: how often each fault, step and move happened
//! ```
//! Reading order: [`tree`] and [`plan`], then what there is ([`site`], [`disk`], [`line`], [`client`]), then what happens
//! ([`agenda`], [`world`]), then what is true ([`ledger`]) and what must hold ([`oracle`]), then [`run`].
//!
//! Not simulated: QUIC and TLS, openraft, RocksDB, the tasks of `khod`; `chaos-tests` runs those as real processes. Sites here are
//! honest: lies are the subject of `chaos-tests`' hostile province and of the protocol tests.

pub mod agenda;
pub mod client;
pub mod counts;
pub mod dice;
pub mod disk;
pub mod ledger;
pub mod line;
pub mod many;
pub mod moves;
pub mod oracle;
pub mod plan;
pub mod run;
pub mod site;
pub mod trace;
pub mod tree;
pub mod violation;
pub mod world;

pub use run::{Run, run};
