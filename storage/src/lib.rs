//! What a site holds. This crate keeps one sentence true: *rows, cubes, digest and cursor of a batch change in one atomic
//! write, or not at all.*
//!
//! Reading order: [`ids`], [`codec`], [`level`] and [`build`]; what is stored ([`schema`], [`row`], [`stream`], [`digest`], [`register`],
//! [`catalogue`]); how it changes ([`command`], [`checks`], [`warehouse`]); where it is stored ([`keys`], [`db`]). Beside them stand
//! the site's log ([`log_db`]) and what prints any stored entry ([`inspect`]).
//!
//! No network and no consensus here: commands come in, outcomes go out.

pub mod build;
pub mod catalogue;
pub mod checks;
pub mod codec;
pub mod command;
pub mod command_check;
pub mod db;
pub mod digest;
mod direct_writes;
pub mod encryption;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod inspect;
pub mod keys;
pub mod level;
pub mod log_db;
pub mod planted;
pub mod register;
pub mod row;
pub mod schema;
pub mod signature;
pub mod stream;
pub mod warehouse;
