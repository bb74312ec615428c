//! `kho-bench`, which `kho bench` becomes: Kho and its peers, measured in turn on one machine, with the same rows under the same load; and what Kho takes where
//! there is nothing to compare it with.
//!
//! ```text
//!              site/  a site of three nodes        tree/  district ─► province ─► region ─► centre
//!   Kho        site/kho.rs                         tree/kho.rs
//!   peer       etcd/, three members                postgres/, four servers and logical replication
//!
//!   Kho alone  recovery/  a node of many rows starts, another joins     tree/growth.rs  rate and lag while rows grow
//!              backlog/   a link was down for a month                   idle/           hundreds of children with nothing new
//! ```
//! How a load is run and what is timed stands once, in `load`, `site` and `tree`; a system only says how a record gets in and
//! whether it has arrived. Reading order: `measure` (what there is and what it has to reach), `workbench` (what a run stands on), `run` (in which order), `site`,
//! `tree`, then the systems, then what has no peer.
//!
//! Invariants: all systems sync to the disk before they acknowledge, and speak TLS; no two run at the same time; everything that
//! is started is ended by its own process id, also after an error or Ctrl-C.

mod backlog;
mod certificates;
mod command;
mod etcd;
mod figure;
mod folder_bytes;
mod goal;
mod idle;
mod load;
mod loopback;
mod machine;
mod measure;
mod medians;
mod metrics;
mod observation;
mod outcome;
mod peers;
mod percentiles;
mod persons;
mod postgres;
mod process_use;
mod progress;
mod records;
mod recovery;
mod report;
mod run;
mod server;
mod site;
mod stock;
mod tree;
mod workbench;

use std::process::ExitCode;

use command::BenchArgs;
use kho_ops::program;

fn main() -> ExitCode {
    program::run(std::env::args_os(), |args: BenchArgs| program::connected(command::run(args)))
}
