//! Answers over real warehouses: cubes against counting by hand, roll-ups, completeness, bad questions, rows by key.

mod completeness;
mod figures;
mod people;
mod population;
mod questions;
mod rows;
mod world;
