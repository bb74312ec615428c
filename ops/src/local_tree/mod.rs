//! A whole tree on one machine: keys, register, configurations and processes, all real. The demonstration shows it and the
//! tests break it.
//!
//! ```text
//! DIR/pki/            root, register key, an operator, a client per site with areas
//! DIR/site-S/node-N/  khod.toml, its keys, data/, khod.log
//! DIR/register.json   signed
//! DIR/tree.json       who answers where, so that a later run finds the same tree
//! ```

mod bootstrap;
mod members;
mod node_overrides;
mod plan;
mod process;

pub use bootstrap::LocalTree;
pub use plan::{PlannedSite, TreePlan};
pub use process::{NodeProcess, ask_to_stop, khod_beside};
