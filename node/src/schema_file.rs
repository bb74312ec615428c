//! The schema that a node runs under: the one built in, or one of a file, read and checked before anything is started.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, bail, ensure};
use kho_storage::{
    catalogue::catalogues,
    schema::{Schema, population},
};

use crate::config::SchemaConfig;

/// The longest schema file; the population schema has a hundredth of it.
const SCHEMA_BYTES_MAX: u64 = 4 << 20;

/// Reads and checks the schema that the configuration names.
///
/// # Errors
/// Names the file and what is wrong in it.
pub fn load_schema(config: &SchemaConfig) -> anyhow::Result<Schema> {
    let Some(file) = &config.file else { return Ok(population().clone()) };
    let text = read(file).with_context(|| {
        format!("the schema {} can't be read; correct `[schema] file`, or leave it out for the population schema", file.display())
    })?;
    let schema = Schema::from_toml(&text).with_context(|| format!("the schema {}", file.display()))?;
    check_catalogues(&schema).with_context(|| format!("the schema {}", file.display()))?;
    Ok(schema)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let length = File::open(file)?.take(SCHEMA_BYTES_MAX + 1).read_to_string(&mut text)?;
    ensure!(length as u64 <= SCHEMA_BYTES_MAX, "it is longer than {SCHEMA_BYTES_MAX} bytes");
    Ok(text)
}

/// Areas are added up under the numbers that this build gives its catalogues; a list that numbers them otherwise would add up the
/// wrong areas.
fn check_catalogues(schema: &Schema) -> anyhow::Result<()> {
    for cube in &schema.cubes {
        let column = schema.table_named(&cube.table).and_then(|table| table.column_named(&cube.area.catalogue));
        let Some(list) = column.and_then(|column| column.kind.list()).and_then(|name| schema.code_list(name)) else { continue };
        for catalogue in catalogues() {
            if let Some(number) = list.number(&catalogue.version).filter(|number| *number != catalogue.number) {
                bail!(
                    "the list `{}` gives the catalogue `{}` place {number}, and it is number {} in this build; put it in its place",
                    list.name,
                    catalogue.version,
                    catalogue.number
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kho_storage::schema::POPULATION_TOML;

    use super::*;

    fn load(text: &str) -> Result<Schema, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("schema.toml");
        std::fs::write(&file, text).expect("writes");
        load_schema(&SchemaConfig { file: Some(file) }).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn without_a_file_the_population_schema_counts_and_a_file_is_read_by_the_same_rules() {
        assert_eq!(load_schema(&SchemaConfig::default()).expect("built in"), *population());
        assert_eq!(load(POPULATION_TOML).as_ref(), Ok(population()));
    }

    #[test]
    fn a_schema_that_is_missing_or_not_whole_is_refused_with_the_file_named() {
        let missing = load_schema(&SchemaConfig { file: Some("/nonexistent/schema.toml".into()) }).expect_err("nothing there");
        assert!(format!("{missing:#}").contains("/nonexistent/schema.toml"));
        let why = load(&POPULATION_TOML.replace("list = \"sex\"", "list = \"gender\"")).expect_err("an unknown list");
        assert!(why.contains("schema.toml") && why.contains("gender"), "{why}");
        assert!(load("version = 1").is_err(), "a schema names its tables");
    }

    #[test]
    fn a_schema_that_numbers_catalogues_otherwise_is_refused() {
        let mut lists = POPULATION_TOML.lines().collect::<Vec<_>>();
        let at = lists.iter().position(|line| line.contains("code = \"legacy-63\"")).expect("in the schema");
        lists.swap(at, at + 1);
        let why = load(&lists.join("\n")).expect_err("numbered otherwise");
        assert!(why.contains("legacy-63"), "{why}");
    }
}
