//! khod: one node of a Kho site, wired between its children and its parent. This crate keeps one sentence true: *what a node
//! acknowledges, to a client or to a child, its site has committed.*
//!
//! Reading order: [`config`], [`daemon`] (puts a node together), [`node`] (what is shared), then one record's way: [`http`] →
//! [`entry`] → [`writer`] → [`consensus`] → the warehouse → [`heads`] → [`uplink_driver`] → the parent's [`intake_driver`]; and back as
//! an answer: [`answer`]. Beside it [`health`] with [`findings`], [`alarms`] (reports,
//! never decided by), [`audit`] (who saw what), [`metering`], [`maintenance`] with [`disk_room`], [`byte_budget`] (bounds in bytes), and [`founding`] (asks before a site is
//! founded).

pub mod alarms;
pub mod answer;
pub mod api;
pub mod audit;
mod byte_budget;
mod clock;
mod comparison;
pub mod config;
mod connection_meter;
pub mod consensus;
pub mod daemon;
mod damage_found;
mod disk_room;
pub mod entry;
mod failed_proofs;
mod findings;
mod founding;
mod heads;
pub mod health;
pub mod http;
mod intake_driver;
mod kept_file;
mod link_movement;
mod maintenance;
pub mod metering;
mod node;
mod outgoing_frames;
mod reasons;
mod register_watch;
mod schema_file;
mod task_watch;
mod upgrade;
mod uplink_driver;
mod warehouse_events;
mod writer;
