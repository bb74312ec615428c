//! Kho under faults: real processes are killed, lines are cut, disks are lost; then every acknowledged row is there, once,
//! and all replicas are equal. This crate keeps one sentence true: *a test ends only the processes that it started, and
//! waits for nothing without a bound.*
//!
//! ```text
//! Stage ─► LocalTree (keys, register, khod processes)      play() runs one scene on a tree of its own
//!   ├── Line        a UDP proxy between a child and its parent: cut, resumed, delayed
//!   ├── People      records to enter, by number: the same number is the same row
//!   ├── Import      a `kho import` process under way
//!   ├── SteadyEntry single rows entered all the time; knows which were acknowledged
//!   └── CursorWatch looks at cursors all the time; knows whether one went back
//! ```
//! Reading order: [`stage`], [`proxy`], [`people`], [`entry`], [`watch`], then [`failover`], which measures.
//!
//! Nothing here asserts on how fast the machine is: waits end when what is waited for is seen, or after a long bound.

pub mod entry;
pub mod failover;
pub mod people;
pub mod proxy;
pub mod stage;
pub mod watch;

pub use entry::{Import, SteadyEntry};
pub use people::People;
pub use proxy::Line;
pub use stage::{Stage, play};
pub use watch::{CursorWatch, PATIENCE, until};
