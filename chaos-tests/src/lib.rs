//! Kho under faults: real processes are killed, links are cut, disks are lost; then every acknowledged row is there, once,
//! and all replicas are equal. This crate keeps one sentence true: *a test ends only the processes that it started, and
//! waits for nothing without a bound.*
//!
//! ```text
//! Stage ─► LocalTree (keys, register, khod processes)      play() runs one scene on a tree of its own
//!   ├── Link        a UDP proxy before a node: cut, resumed, delayed, lossy, out of order, slow
//!   ├── SmallDisk, LoopDisk, ShiftedClock   other faults: a full disk, a power cut, a clock that is set wrong
//!   ├── People      records to enter, by number: the same number is the same row
//!   ├── Import      a `kho import` process under way
//!   ├── SteadyEntry enters small requests all the time and records which were acknowledged
//!   ├── CursorWatch polls cursors all the time and detects one that went back
//!   └── Recorder    both, for a whole tree, and what all nodes hold in the end ─► Recording ─► invariants
//! ```
//! Beside it [`hostile`]: a province that attacks its parent, and the result that each attack must have.
//!
//! Reading order: [`place`], [`wait`], [`stage`], [`proxy`], [`people`], [`entry`], [`watch`], [`recording`], [`invariants`], [`recorder`], then the
//! [`scenes`], and [`failover`], which measures.
//!
//! Nothing here asserts how fast the machine is. A wait ends when its condition holds, or after a long timeout.

pub mod entry;
pub mod failover;
pub mod hostile;
pub mod invariants;
pub mod linearizability;
pub mod loop_disk;
pub mod mounting;
mod network_conditions;
pub mod people;
pub mod place;
pub mod preload;
pub mod proxy;
pub mod recorder;
pub mod recording;
pub mod scenes;
pub mod shifted_clock;
pub mod small_disk;
pub mod soak;
pub mod stage;
pub mod trees;
pub mod wait;
pub mod watch;

pub use entry::{Import, SteadyEntry};
pub use network_conditions::Quality;
pub use people::People;
pub use proxy::Link;
pub use recorder::{Recorder, Source};
pub use stage::{Stage, play};
pub use wait::{TIMEOUT, until};
pub use watch::CursorWatch;
