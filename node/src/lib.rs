//! khod: one node of a Kho site, wired between its children and its parent. This crate keeps one sentence true: *what a node
//! acknowledges, to a client or to a child, its site has committed.*
//!
//! Reading order: [`config`], [`daemon`] (puts a node together), [`node`] (what is shared), then one record's way: [`http`] →
//! [`entry`] → [`writer`] → [`consensus`] → the warehouse → [`heads`] → [`uplink_driver`] → the parent's [`intake_driver`]; and back as
//! an answer: [`answer`]. Beside it [`health`], [`metering`], [`alarms`], [`maintenance`].

pub mod alarms;
pub mod answer;
pub mod api;
mod clock;
pub mod config;
pub mod consensus;
pub mod daemon;
pub mod entry;
mod heads;
pub mod health;
pub mod http;
mod intake_driver;
mod line_meter;
mod maintenance;
pub mod metering;
mod node;
mod schema_file;
mod uplink_driver;
mod writer;
