//! A whole tree on one machine: keys, register, configurations and processes, all real. The demonstration shows it and the
//! tests break it.
//!
//! ```text
//! DIR/pki/            root, register key, an operator, a client per site with areas
//! DIR/site-S/node-N/  khod.toml, its keys, data/, khod.log
//! DIR/register.json   signed
//! DIR/tree.json       who answers where, so that a later run finds the same tree
//! ```

mod found;
mod members;
mod plan;
mod process;
mod surroundings;

pub use found::LocalTree;
pub use plan::{PlannedSite, TreePlan};
pub use process::{NodeProcess, ask_to_stop, khod_beside};
