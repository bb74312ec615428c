//! `kho-demo`, which `kho demo` becomes: a whole local tree is created, records are entered, they travel, a leader is killed on the
//! way, every replica is proven equal, and the centre is queried.
//!
//! ```text
//!   centre 1 ── region 2 ── province 3 (three nodes) ── districts 4, 5, …
//! ```
//! Every step is what an operator would do: `kho synth`, `kho import`, `kho verify`, `kho query` run as processes of their own.
//!
//! Reading order: `command` (the arguments; a tree started and stopped), `plan` (the tree), `demonstration` (what is shown), `step` (how it is printed).

mod addresses;
mod command;
mod demonstration;
mod plan;
mod step;

use std::process::ExitCode;

use command::DemoCommand;
use kho_ops::program;

fn main() -> ExitCode {
    program::run(std::env::args_os(), |command: DemoCommand| program::connected(command::run(command)))
}
