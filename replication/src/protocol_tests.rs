//! The protocol between tiers, both sides against each other: a child's uplink and its parents' intakes over a pipe in memory, with
//! real signatures, chains and digests, a model of the parent's store, and a clock that only the test moves.
//!
//! ```text
//! world.rs     one child, two parents, the pipe between them, and the log of what happens
//! author.rs    what the child holds           site.rs      what a parent holds
//! trace.rs     how actions are printed        compare.rs   what is looked at afterwards
//! ```

pub(crate) mod author;
mod compare;
mod converge;
mod levels;
mod limits;
mod promises;
mod registers;
mod repairs;
mod set_back;
mod site;
mod trace;
pub(crate) mod tree;
mod world;
