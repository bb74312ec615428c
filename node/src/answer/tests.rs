//! Answers over real warehouses: cubes against counting by hand, roll-ups, completeness, bad questions, rows by key.

mod completeness;
mod figures;
pub(crate) mod people;
mod population;
mod questions;
mod rows;
pub(crate) mod world;
