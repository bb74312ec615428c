//! A whole tree on one machine. It keeps one sentence true: *keys, register, configurations and processes are the real ones, and
//! no process outlives the tree unless it was left running on purpose.* The demonstration shows such a tree, the benchmark
//! measures it, and the tests break it.
//!
//! ```text
//! DIR/pki/            root, register key, an operator, a client per site with areas
//! DIR/site-S/node-N/  khod.toml, its keys, data/, khod.log
//! DIR/register.signed.toml
//! DIR/tree.json       who answers where, so that a later run finds the same tree
//! ```
//! Reading order: `plan` (what a tree consists of), `tree` (its nodes, started, stopped and queried), `bootstrap` (how it is
//! created), `process` (one node), then `members` and `node_overrides` (what tests change).

mod bootstrap;
mod members;
mod node_overrides;
mod plan;
mod process;
mod tree;

pub use plan::{PlannedSite, TreePlan};
pub use process::{NodeProcess, ask_to_stop, khod_beside};
pub use tree::LocalTree;
