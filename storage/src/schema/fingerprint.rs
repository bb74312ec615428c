//! The fingerprint of a schema's cubes: what decides into which cell a row counts, and with what amount.
//!
//! Labels and names of cubes and dimensions do not stand in a cell's key, so they may change without touching a cell; numbers of
//! tables, columns and codes, bounds and the order of dimensions do.
//!
//! Invariant: the fingerprint of cubes never changes its meaning (test `golden_fingerprint_of_the_population_schema`).

use std::fmt::Write as _;

use super::{Cube, DimensionSource, Measure, Schema, Table};
use crate::ids::Hash32;

impl Schema {
    /// See the module.
    pub fn cubes_fingerprint(&self) -> Hash32 {
        let mut lines: Vec<(u16, String)> = self.cubes.iter().map(|cube| (cube.id.0, self.line_of(cube))).collect();
        lines.sort_unstable();
        let text = lines.into_iter().fold(String::from("kho cubes 1\n"), |text, (_, line)| text + &line);
        Hash32::of(text.as_bytes())
    }

    /// Everything that decides about a cube's cells, by numbers, in one line.
    fn line_of(&self, cube: &Cube) -> String {
        let table = self.table_named(&cube.table).expect("a checked schema has the tables it counts");
        let mut line = format!(
            "cube {} table {} area {} catalogue {}",
            cube.id,
            table.id,
            number(table, &cube.area.column),
            number(table, &cube.area.catalogue)
        );
        // Writing to a String never fails.
        if let Measure::Sum(column) = &cube.measure {
            let _ = write!(line, " sum {}", number(table, column));
        }
        if let Some(filter) = &cube.filter {
            let _ = write!(line, " only {} {:?}", number(table, &filter.column), self.codes_of(table, &filter.column, &filter.codes));
        }
        for dimension in &cube.dimensions {
            let _ = match &dimension.source {
                DimensionSource::Code { column } => write!(line, " code {}", number(table, column)),
                DimensionSource::Month { column } => write!(line, " month {}", number(table, column)),
                DimensionSource::Integer { column, max } => write!(line, " integer {} up to {max}", number(table, column)),
                DimensionSource::AgeGroup { birth, at } => write!(line, " age from {} at {}", number(table, birth), number(table, at)),
            };
        }
        line + "\n"
    }

    /// Numbers of these codes, ascending.
    fn codes_of(&self, table: &Table, column: &str, codes: &[String]) -> Vec<u32> {
        let list = table.column_named(column).and_then(|column| column.kind.list()).and_then(|list| self.code_list(list));
        let mut numbers: Vec<u32> = codes.iter().filter_map(|code| list?.number(code)).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// The column's number.
fn number(table: &Table, column: &str) -> u16 {
    table.column_named(column).expect("a checked schema has the columns it counts by").id.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::population;

    #[test]
    fn golden_fingerprint_of_the_population_schema() {
        let schema = population();
        assert_eq!(schema.line_of(&schema.cubes[0]), "cube 1 table 2 area 14 catalogue 15 code 8 month 7 code 12 code 13\n");
        assert_eq!(
            schema.line_of(&schema.cubes[2]),
            "cube 3 table 3 area 8 catalogue 9 code 2 month 5 code 10 integer 11 up to 15 age from 12 at 5\n"
        );
        assert_eq!(schema.cubes_fingerprint().to_hex(), "f733178a5a21547caa3cfef52dfc11491e6ad041d2fc0d7c9f17a75c51e0cdd7");
    }

    #[test]
    fn what_decides_about_cells_changes_the_fingerprint_and_words_for_people_do_not() {
        let changed = |change: fn(&mut Schema)| {
            let mut schema = population().clone();
            change(&mut schema);
            schema.cubes_fingerprint() != population().cubes_fingerprint()
        };
        assert!(changed(|schema| drop(schema.cubes.pop())));
        assert!(changed(|schema| schema.cubes[0].dimensions.reverse()));
        assert!(changed(|schema| schema.tables[1].columns[7].id = crate::ids::ColumnId(99)));
        assert!(changed(|schema| schema.cubes[2].measure = Measure::Sum("birth_order".into())));
        assert!(!changed(|schema| schema.cubes.reverse()));
        assert!(!changed(|schema| schema.cubes[0].label = "Số dân".into()));
        assert!(!changed(|schema| schema.cubes[0].dimensions[0].name = "gender".into()));
    }
}
