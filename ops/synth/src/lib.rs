//! Writes synthetic populations: real units, census totals, the published age and sex structure, invented people.
//!
//! ```text
//! catalogue (real units) ─┐
//! region (census totals) ─┴→ plan: persons per commune            decided first, exact
//!                               ↓ per commune, nothing kept afterwards
//!            structure → couples → nuclei → households            who lives with whom
//!                               ↓
//!            attributes, names, pin → events → commune (rows) → writer (folders, summary)
//! ```
//!
//! Invariants, with the tests in `tests/` that hold them:
//! - The same plan writes the same bytes (`the_same_seed_writes_the_same_bytes`). A commune's rows depend on the seed,
//!   its code and its place in its province only (`a_province_alone_equals_its_part_of_a_larger_run`).
//! - Memory is bounded by the largest commune, never by the population.
//! - A PIN is given once in the whole country, without a table of those given out (see `pin.rs`).
//!
//! It doesn't speak to a site: `kho import` reads what it writes.

mod attributes;
mod calendar;
mod catalogue;
mod command;
mod commune;
mod couples;
mod csv_buffer;
mod draws;
mod error;
mod ethnicity;
mod event;
mod events;
mod households;
mod names;
mod nuclei;
mod pin;
mod plan;
mod region;
mod resident;
mod structure;
mod summary;
#[cfg(test)]
mod tests;
mod units;
mod writer;

pub use catalogue::Catalogue;
pub use command::{SynthArgs, run};
pub use error::SynthError;
pub use plan::{CommunePlan, Layout, SynthPlan, census_day, plan_communes, plan_communes_of};
pub use region::CensusRegion;
pub use summary::{AreaSummary, RegionSummary, SynthSummary};
pub use units::{Unit, Units};
pub use writer::{write, write_units};
