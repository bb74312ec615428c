//! `kho bench`: Kho and its peers, measured in turn on one machine, with the same rows under the same load.
//!
//! ```text
//!              site/  a site of three nodes        tree/  district ─► province ─► region ─► centre
//!   Kho        site/kho.rs                         tree/kho.rs
//!   peer       etcd/, three members                postgres/, four servers and logical replication
//! ```
//! How a load is run and what is timed stands once, in `load`, `site` and `tree`; a system only says how a record gets in and
//! whether it has arrived. Reading order: `measure` (what there is and what it has to reach), `site`, `tree`, then the systems.
//!
//! Invariants: all systems sync to the disk before they acknowledge, and speak TLS; no two run at the same time; everything that
//! is started is ended by its own process id, also after an error or Ctrl-C.
//!
//! What it does not measure: records of 256 bytes without cubes. Every table of the built-in schema has cubes, so that comparison
//! has to wait for a schema of one's own.

mod certificates;
mod command;
mod etcd;
mod figure;
mod goal;
mod load;
mod machine;
mod measure;
mod outcome;
mod peers;
mod percentiles;
mod persons;
mod postgres;
mod process_memory;
mod progress;
mod report;
mod server;
mod site;
mod tree;
mod workbench;

pub use command::{BenchArgs, run};
