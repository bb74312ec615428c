//! The schema prepared for reading rows: names, codes and conditions resolved once, so that a row looks little up.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kho_messages::Ordinal;
use kho_storage::{
    catalogue::Catalogue,
    ids::TableId,
    level::{Level, LevelRange},
    schema::{Column, ColumnKind, Schema, Table, Value, ValueError},
};

use super::fault::RowFault;

/// A schema compiled for every level at which the site may work with this build.
#[derive(Debug)]
pub struct EntrySchemas(BTreeMap<Level, Arc<EntrySchema>>);

/// A schema compiled for entry at a site of one level. Made once, shared by all requests.
#[derive(Debug)]
pub struct EntrySchema {
    pub(super) schema: Schema,
    pub(super) tables: Vec<EntryTable>,
}

/// A table with its columns in ascending order of their numbers, as canonical cells want them.
#[derive(Debug)]
pub(super) struct EntryTable {
    pub id: TableId,
    pub name: String,
    pub columns: Vec<EntryColumn>,
    /// The level of the site, and columns that exist from a higher one on.
    level: Level,
    later: BTreeMap<String, Level>,
    /// Place of the key column.
    pub key: usize,
    pub areas: Vec<AreaColumn>,
    pub conditions: Vec<Condition>,
}

/// A column and the shortest way to its values.
#[derive(Debug)]
pub(super) struct EntryColumn {
    pub column: Column,
    shortcut: Shortcut,
}

/// Values read without the general parser. What a shortcut does not recognise goes to [`Value::parse`], which also words
/// the errors (test `a_shortcut_reads_what_the_general_parser_reads`).
#[derive(Debug)]
enum Shortcut {
    /// Printable ASCII of at most so many characters is text as it stands: NFC, no control character, one byte a character.
    Ascii {
        chars_max: usize,
    },
    /// Numbers of a list's codes.
    Codes(HashMap<String, u32>),
    None,
}

/// A column of units and the column of the same row that names their catalogue.
#[derive(Debug)]
pub(super) struct AreaColumn {
    pub column: usize,
    pub catalogue: usize,
    /// Catalogue for each number of the code list, where this build has it.
    catalogues: Vec<Option<&'static Catalogue>>,
}

/// `column` may be filled only where `by` holds one of `codes`.
#[derive(Debug)]
pub(super) struct Condition {
    pub column: usize,
    pub by: usize,
    pub codes: Vec<u32>,
}

impl EntrySchemas {
    /// Prepares `schema`, which was checked when it was read.
    pub fn compile(schema: &Schema, supported: LevelRange) -> Self {
        let levels = (supported.min.0..=supported.max.0).map(Level);
        Self(levels.map(|level| (level, Arc::new(EntrySchema::compile(schema, level)))).collect())
    }

    /// The schema for a site that works at `level`, which this build supports.
    pub fn at(&self, level: Level) -> &Arc<EntrySchema> {
        &self.0[&level]
    }
}

impl EntrySchema {
    /// Prepares `schema`, which was checked when it was read, with the columns that exist at `level`.
    pub fn compile(schema: &Schema, level: Level) -> Self {
        let tables = schema.tables.iter().map(|table| EntryTable::compile(schema, table, level)).collect();
        Self { schema: schema.clone(), tables }
    }

    pub(super) fn table_named(&self, name: &str) -> Option<&EntryTable> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The tables' names, for a hint.
    pub(super) fn table_names(&self) -> String {
        self.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl EntryTable {
    fn compile(schema: &Schema, table: &Table, level: Level) -> Self {
        let (exist, later): (Vec<_>, Vec<_>) = table.columns.iter().partition(|column| column.id.level() <= level);
        let later = later.into_iter().map(|column| (column.name.clone(), column.id.level())).collect();
        let mut columns: Vec<_> = exist.into_iter().map(|column| EntryColumn::compile(schema, column)).collect();
        columns.sort_by_key(|column| column.column.id);
        let place =
            |name: &str| columns.iter().position(|column| column.column.name == name).expect("a checked schema has the columns it names");
        let areas = columns.iter().enumerate().filter_map(|(at, column)| match &column.column.kind {
            ColumnKind::Area { catalogue } => Some(AreaColumn::compile(schema, &columns, at, place(catalogue))),
            _ => None,
        });
        let conditions = columns.iter().enumerate().filter_map(|(at, column)| {
            let only_for = column.column.only_for.as_ref()?;
            let by = place(&only_for.column);
            let list = columns[by].column.kind.list().and_then(|list| schema.code_list(list))?;
            Some(Condition { column: at, by, codes: only_for.codes.iter().filter_map(|code| list.number(code)).collect() })
        });
        let (areas, conditions) = (areas.collect(), conditions.collect());
        Self { id: table.id, name: table.name.clone(), key: place(&table.key), areas, conditions, columns, level, later }
    }

    pub fn key_column(&self) -> &EntryColumn {
        &self.columns[self.key]
    }

    /// Place of the column called `name`. Rows tend to keep the schema's order: the search starts at `from`.
    pub fn place_of(&self, name: &str, from: usize) -> Option<usize> {
        let (before, after) = self.columns.split_at(from.min(self.columns.len()));
        let found = |columns: &[EntryColumn]| columns.iter().position(|column| column.column.name == name);
        found(after).map(|at| at + before.len()).or_else(|| found(before))
    }

    /// Why a body can't name a column `name` that [`Self::place_of`] does not find; `given` is the name as it is shown, `columns` are
    /// those that it may name.
    pub fn no_column(&self, name: &str, given: String, columns: String) -> RowFault {
        match self.later.get(name) {
            Some(level) => {
                RowFault::ColumnAboveLevel { column: given, level: Ordinal(level.0.into()), site_level: Ordinal(self.level.0.into()) }
            }
            None => RowFault::UnknownColumn { table: self.name.clone(), given, columns },
        }
    }

    /// The columns' names, for a hint.
    pub fn column_names(&self) -> String {
        self.columns.iter().map(|column| column.column.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl EntryColumn {
    fn compile(schema: &Schema, column: &Column) -> Self {
        let shortcut = match &column.kind {
            ColumnKind::Text { chars_max, digits: None } => Shortcut::Ascii { chars_max: *chars_max },
            ColumnKind::Code { list } => {
                let codes = schema.code_list(list).map(|list| list.codes.as_slice()).unwrap_or_default();
                Shortcut::Codes(codes.iter().zip(0..).map(|(code, number)| (code.code.clone(), number)).collect())
            }
            _ => Shortcut::None,
        };
        Self { column: column.clone(), shortcut }
    }

    /// Reads `text`, which is not empty. Borrows it where it can.
    pub fn parse<'a>(&self, schema: &Schema, text: Cow<'a, str>) -> Result<Value<'a>, ValueError> {
        match (&self.shortcut, text) {
            (Shortcut::Ascii { chars_max }, text) if text.len() <= *chars_max && text.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
                Ok(Value::Text(text))
            }
            (Shortcut::Codes(codes), text) => match codes.get(text.as_ref()) {
                Some(number) => Ok(Value::Code(*number)),
                None => Value::parse(schema, &self.column, &text),
            },
            (_, text) => Value::parse(schema, &self.column, &text),
        }
    }
}

impl AreaColumn {
    fn compile(schema: &Schema, columns: &[EntryColumn], column: usize, catalogue: usize) -> Self {
        let list = columns[catalogue].column.kind.list().and_then(|list| schema.code_list(list));
        let catalogues = list.map(|list| list.codes.iter().map(|code| Catalogue::named(&code.code)).collect());
        Self { column, catalogue, catalogues: catalogues.unwrap_or_default() }
    }

    /// The catalogue that a cell names; `None` when this build does not have it.
    pub fn catalogue_of(&self, cell: &Value<'_>) -> Option<&'static Catalogue> {
        match cell {
            Value::Code(number) => *self.catalogues.get(usize::try_from(*number).ok()?)?,
            Value::Text(name) => Catalogue::named(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::schema::population;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_shortcut_reads_what_the_general_parser_reads(text in "([ -~]{1,40}|[a-zà-ỹ\u{300}-\u{330}\u{0}-\u{7f}]{1,20}|male|kinh|2025-34)") {
            for table in &EntrySchema::compile(population(), Level::TEST).tables {
                for column in &table.columns {
                    prop_assert_eq!(column.parse(population(), Cow::Borrowed(&text)), Value::parse(population(), &column.column, &text));
                }
            }
        }
    }
}
