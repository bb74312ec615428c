//! The population schema, built in: households, persons, events, their code lists and cubes.

use std::sync::LazyLock;

use super::Schema;

/// The schema file, as it is also given to operators.
pub const POPULATION_TOML: &str = include_str!("population.toml");

static POPULATION: LazyLock<Schema> =
    LazyLock::new(|| Schema::from_toml(POPULATION_TOML).expect("the built-in schema is checked by a test"));

/// The built-in population schema.
pub fn population() -> &'static Schema {
    &POPULATION
}
