//! Whether a site behaves as one register for each key: every read sees the newest write that was acknowledged before it began,
//! whichever node answers, while leaders are killed, paused and cut off.
//!
//! ```text
//! clients on every node ─► History: who called what from when to when, and the answer ─► judge ─► an order that explains all,
//!                                                                                                    or the calls that none can
//! ```
//! A write without an answer stays open: it may take effect at any later time, or never.

mod clients;
mod disturbance;
mod history;
mod judge;
mod measure;

pub use clients::{ReadMode, RegisterClients};
pub use disturbance::Disturbance;
pub use history::{Call, History, Operation};
pub use judge::{NotLinearizable, judge};
pub use measure::{LinearizabilityReport, measure, plan};
