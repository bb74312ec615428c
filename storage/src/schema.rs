//! The schema as data: tables, columns, code lists and cubes, versioned, and only ever growing.
//!
//! Numbers (of tables, columns, codes and cubes) are what stands in rows; names are what people and files use.
//! Invariant: a number is never reused and a code list is only appended to, so a row written under an older schema
//! reads the same under a newer one (test `a_schema_that_changes_a_number_is_refused_as_successor`).
//!
//! A column exists from one level on, which its number says ([`ColumnId::level`]). It rests on no column of a higher level.

mod cube;
mod fingerprint;
mod population;
mod value;

pub(crate) use cube::CompiledCube;
pub use cube::{AreaDimension, Cube, CubeFilter, Dimension, DimensionSource, Measure};
pub use population::{POPULATION_TOML, population};
pub use value::{PartialDate, Value, ValueError};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ColumnId, CubeId, TableId},
    level::Level,
};

/// A whole schema: what rows may hold and what is counted about them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    pub version: u32,
    #[serde(default, rename = "code_list")]
    pub code_lists: Vec<CodeList>,
    #[serde(rename = "table")]
    pub tables: Vec<Table>,
    #[serde(default, rename = "cube")]
    pub cubes: Vec<Cube>,
}

/// A list of codes. A code's number is its place in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeList {
    pub name: String,
    pub codes: Vec<Code>,
}

/// One code: its stable English name and the Vietnamese label shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    pub code: String,
    pub label: String,
}

/// A table. Its key is the text of one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub id: TableId,
    pub name: String,
    pub label: String,
    /// Name of the column that identifies a row; a required text column.
    pub key: String,
    #[serde(rename = "column")]
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub id: ColumnId,
    pub name: String,
    pub label: String,
    #[serde(flatten)]
    pub kind: ColumnKind,
    #[serde(default)]
    pub required: bool,
    /// Filled only in rows whose `column` holds one of `codes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_for: Option<OnlyFor>,
    /// How the law treats the column; decides masks.
    #[serde(default)]
    pub privacy: Privacy,
}

/// The condition under which a column may be filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlyFor {
    pub column: String,
    pub codes: Vec<String>,
}

/// Law 91/2025/QH15: basic and sensitive personal data.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    #[default]
    None,
    Basic,
    Sensitive,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ColumnKind {
    /// NFC text of at most `chars_max` characters. `digits` asks for exactly that many ASCII digits.
    Text {
        chars_max: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digits: Option<usize>,
    },
    /// A whole number in `min ..= max`.
    Integer { min: i64, max: i64 },
    /// A date whose day, or month and day, may be unknown.
    Date,
    /// One code of `list`.
    Code { list: String },
    /// Any number of codes of `list` (at most 64 codes).
    Flags { list: String },
    /// A unit's code in the catalogue that the column `catalogue` of the same row names.
    Area { catalogue: String },
}

/// Why a schema was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("schema refused: {0}; correct the schema file and try again")]
pub struct SchemaError(String);

impl Schema {
    /// Reads a schema from TOML and checks that it is whole.
    ///
    /// # Errors
    /// [`SchemaError`] names the first thing that is wrong.
    pub fn from_toml(text: &str) -> Result<Self, SchemaError> {
        let schema: Self = toml::from_str(text).map_err(|e| SchemaError(e.to_string()))?;
        schema.check()?;
        Ok(schema)
    }

    pub fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.iter().find(|table| table.id == id)
    }

    pub fn table_named(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    pub fn cube(&self, id: CubeId) -> Option<&Cube> {
        self.cubes.iter().find(|cube| cube.id == id)
    }

    pub fn cube_named(&self, name: &str) -> Option<&Cube> {
        self.cubes.iter().find(|cube| cube.name == name)
    }

    pub fn code_list(&self, name: &str) -> Option<&CodeList> {
        self.code_lists.iter().find(|list| list.name == name)
    }

    /// Whether `successor` only adds to this schema.
    ///
    /// # Errors
    /// Names the first number, name, type or code that changed.
    pub fn check_successor(&self, successor: &Schema) -> Result<(), SchemaError> {
        let refused = |what: String| Err(SchemaError(format!("{what} changed; a schema only grows")));
        for list in &self.code_lists {
            let kept = successor.code_list(&list.name).is_some_and(|new| {
                new.codes.len() >= list.codes.len() && new.codes.iter().zip(&list.codes).all(|(new, old)| new.code == old.code)
            });
            if !kept {
                return refused(format!("code list `{}`", list.name));
            }
        }
        for table in &self.tables {
            let Some(new) = successor.table(table.id).filter(|new| new.name == table.name && new.key == table.key) else {
                return refused(format!("table `{}`", table.name));
            };
            for column in &table.columns {
                let kept = new.columns.iter().any(|c| c.id == column.id && c.name == column.name && c.kind.same_form(&column.kind));
                if !kept {
                    return refused(format!("column `{}.{}`", table.name, column.name));
                }
            }
        }
        for cube in &self.cubes {
            if successor.cube(cube.id) != Some(cube) {
                return refused(format!("cube `{}`", cube.name));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), SchemaError> {
        let names =
            self.code_lists.iter().map(|list| ("code list", &list.name)).chain(self.tables.iter().map(|table| ("table", &table.name)));
        check_names(names.chain(self.cubes.iter().map(|cube| ("cube", &cube.name))))?;
        let mut tables = BTreeSet::new();
        for table in &self.tables {
            if !tables.insert(table.id) {
                return Err(SchemaError(format!("table number {} stands twice", table.id)));
            }
            self.check_table(table)?;
        }
        let mut cubes = BTreeSet::new();
        for cube in &self.cubes {
            if !cubes.insert(cube.id) {
                return Err(SchemaError(format!("cube number {} stands twice", cube.id)));
            }
            cube.check(self).map_err(SchemaError)?;
        }
        Ok(())
    }

    fn check_table(&self, table: &Table) -> Result<(), SchemaError> {
        check_names(table.columns.iter().map(|column| ("column", &column.name)))?;
        let mut numbers = BTreeSet::new();
        for column in &table.columns {
            let place = format!("column `{}.{}`", table.name, column.name);
            if !numbers.insert(column.id) {
                return Err(SchemaError(format!("{place} has a number that stands twice")));
            }
            let (known, what) = match &column.kind {
                ColumnKind::Code { list } => (self.code_list(list).is_some(), format!("code list `{list}`")),
                ColumnKind::Flags { list } => {
                    (self.code_list(list).is_some_and(|l| l.codes.len() <= 64), format!("code list `{list}` of at most 64 codes"))
                }
                ColumnKind::Area { catalogue } => {
                    (exists_for(table, catalogue, column.id.level()), format!("column `{catalogue}` at its own level"))
                }
                _ => (true, String::new()),
            };
            if !known {
                return Err(SchemaError(format!("{place} needs {what}, which is missing")));
            }
            if let Some(only_for) = &column.only_for {
                let list = table.column_named(&only_for.column).and_then(|c| c.kind.list()).and_then(|l| self.code_list(l));
                let exists = exists_for(table, &only_for.column, column.id.level());
                if !list.is_some_and(|list| exists && only_for.codes.iter().all(|code| list.number(code).is_some())) {
                    return Err(SchemaError(format!("{place} is only for codes that column `{}` lacks", only_for.column)));
                }
            }
        }
        let is_key = |c: &Column| c.required && matches!(c.kind, ColumnKind::Text { .. }) && c.id.level() == Level::FOUNDING;
        let keyed = table.column_named(&table.key).is_some_and(is_key);
        if keyed { Ok(()) } else { Err(SchemaError(format!("table `{}` needs a required text column as key, of level 1", table.name))) }
    }
}

/// Whether `table` has a column called `name` wherever one of `level` exists.
fn exists_for(table: &Table, name: &str, level: Level) -> bool {
    table.column_named(name).is_some_and(|column| column.id.level() <= level)
}

/// What is found by its name must have it alone.
fn check_names<'a>(named: impl Iterator<Item = (&'static str, &'a String)>) -> Result<(), SchemaError> {
    let mut seen = BTreeSet::new();
    for (what, name) in named {
        if !seen.insert((what, name)) {
            return Err(SchemaError(format!("{what} `{name}` stands twice")));
        }
    }
    Ok(())
}

impl Table {
    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    pub fn column_named(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column that identifies a row.
    pub fn key_column(&self) -> &Column {
        self.column_named(&self.key).expect("a checked schema has its key column")
    }
}

impl CodeList {
    /// The number of `code`, if it stands in the list.
    pub fn number(&self, code: &str) -> Option<u32> {
        self.codes.iter().position(|c| c.code == code).and_then(|place| u32::try_from(place).ok())
    }

    /// The code that bears `number`.
    pub fn code(&self, number: u32) -> Option<&Code> {
        self.codes.get(usize::try_from(number).ok()?)
    }
}

impl ColumnKind {
    /// The code list behind a column of codes or flags.
    pub fn list(&self) -> Option<&str> {
        match self {
            Self::Code { list } | Self::Flags { list } => Some(list),
            _ => None,
        }
    }

    /// Whether values of both kinds are stored alike, so that bounds may widen but a type never changes.
    fn same_form(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Code { list: a }, Self::Code { list: b }) | (Self::Flags { list: a }, Self::Flags { list: b }) => a == b,
            (Self::Area { catalogue: a }, Self::Area { catalogue: b }) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_population_schema_is_whole() {
        let schema = population();
        assert_eq!(schema.tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["household", "person", "event"]);
        assert_eq!(schema.code_list("ethnicity").map(|l| l.codes.len()), Some(55));
        assert_eq!(schema.cubes.len(), 3);
    }

    #[test]
    fn a_schema_that_changes_a_number_is_refused_as_successor() {
        let schema = population();
        assert_eq!(schema.check_successor(schema), Ok(()));

        let mut reordered = schema.clone();
        reordered.code_lists[0].codes.reverse();
        assert!(schema.check_successor(&reordered).is_err());

        let mut renumbered = schema.clone();
        renumbered.tables[1].columns[3].id = ColumnId(99);
        assert!(schema.check_successor(&renumbered).is_err());

        let mut grown = schema.clone();
        grown.code_lists[0].codes.push(Code { code: "new".into(), label: "mới".into() });
        assert_eq!(schema.check_successor(&grown), Ok(()));
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let twice: [fn(&mut Schema); 4] = [
            |schema| schema.tables[1].name = "household".into(),
            |schema| schema.tables[1].columns[1].name = "person_id".into(),
            |schema| schema.cubes[1].name = "population".into(),
            |schema| schema.code_lists[1].name = "catalogue_version".into(),
        ];
        for change in twice {
            let mut schema = population().clone();
            change(&mut schema);
            assert!(schema.check().is_err_and(|error| error.to_string().contains("stands twice")));
        }
    }

    #[test]
    fn no_column_rests_on_one_of_a_higher_level_and_no_key_comes_later() {
        let later: [fn(&mut Table); 3] = [
            |person| person.columns[14].id = ColumnId(1_030),
            |person| person.columns[0].id = ColumnId(1_030),
            |person| {
                person.columns[1].only_for = Some(OnlyFor { column: "sex".into(), codes: vec!["female".into()] });
                person.columns[7].id = ColumnId(1_030);
            },
        ];
        for change in later {
            let mut schema = population().clone();
            change(&mut schema.tables[1]);
            assert!(schema.check().is_err_and(|error| error.to_string().contains("needs") || error.to_string().contains("lacks")));
        }
        let mut schema = population().clone();
        schema.tables[1].columns[8].id = ColumnId(1_030);
        assert_eq!(schema.check(), Ok(()), "nothing rests on the relation to the head of the household");
    }

    #[test]
    fn the_built_in_schema_has_one_column_of_the_test_level_and_none_above() {
        let columns = population().tables.iter().flat_map(|table| &table.columns).filter(|column| column.id.level() > Level::FOUNDING);
        let later: Vec<_> = columns.map(|column| (column.name.as_str(), column.id.level())).collect();
        assert_eq!(later, [("test_note", Level::TEST)]);
    }

    #[test]
    fn a_column_of_an_unknown_code_list_is_refused() {
        let mut schema = population().clone();
        schema.code_lists.remove(0);
        assert!(schema.check().is_err());
    }
}
