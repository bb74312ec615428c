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
//! Reading order: [`tree`] and [`plan`]; then the parts of the world ([`site`], [`members`], [`disk`], [`link`], [`client`]); then the events
//! ([`agenda`], [`world`]); then what really happened ([`ledger`]) and what must hold ([`oracle`]); then [`run()`].
//!
//! Not simulated: QUIC and TLS, openraft, RocksDB, the tasks of `khod`. `chaos-tests` runs those as real processes. Of the inside of a site,
//! who is admitted is real (`admit`), and whether a majority agrees to a head (`judge_agreement`). All sites here are honest. Attacks are
//! the subject of the hostile province in `chaos-tests` and of the protocol tests.

pub mod agenda;
pub mod client;
pub mod counts;
pub mod dice;
pub mod disk;
pub mod ledger;
pub mod link;
pub mod many;
pub mod members;
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
