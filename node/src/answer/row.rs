//! A row by key, as every origin holds it.

use std::collections::BTreeMap;

use kho_storage::{
    error::StorageError,
    ids::ColumnId,
    row::RowCells,
    schema::{Schema, Table, Value},
    stream::KEY_BYTES_MAX,
    warehouse::ReadView,
};
use unicode_normalization::UnicodeNormalization;

use super::{AnswerContext, BadQuestion, Basis, cut};
use crate::api::{FoundRow, RowAnswer};

/// Looks a row up in every origin held, also in stopped ones: what they hold was proven before they stopped, and the
/// completeness names them.
///
/// # Errors
/// [`StorageError`] when the disk fails; a [`BadQuestion`] for a question that can't be answered.
pub fn find_row(
    reading: &ReadView<'_>,
    schema: &Schema,
    table: &str,
    key: &str,
    context: &AnswerContext,
) -> Result<Result<RowAnswer, BadQuestion>, StorageError> {
    let Some(table) = schema.table_named(table) else {
        let names: Vec<_> = schema.tables.iter().map(|table| table.name.as_str()).collect();
        return Ok(Err(BadQuestion::UnknownTable { given: cut(table), tables: names.join(", ") }));
    };
    // Keys were brought to NFC when they were entered.
    let key: String = key.nfc().collect();
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        let (column, table, bytes) = (table.key.clone(), table.name.clone(), key.len());
        return Ok(Err(BadQuestion::WrongKey { bytes, column, table, bytes_max: KEY_BYTES_MAX }));
    }
    let mut found = Vec::new();
    for (origin, state) in reading.origins()? {
        if let Some(row) = reading.row(origin, &state, table.id, key.as_bytes())? {
            found.push(FoundRow {
                origin: origin.0,
                site_name: author_name(reading, origin),
                seq: row.seq.0,
                changed_at: row.time.to_rfc3339(),
                columns: columns(schema, table, &row.cells),
            });
        }
    }
    let completeness = Basis::of(reading, context.site, None)?.completeness(context);
    Ok(Ok(RowAnswer { table: table.name.clone(), key, found, completeness }))
}

fn author_name(reading: &ReadView<'_>, origin: kho_storage::ids::OriginId) -> String {
    let author = reading.register().and_then(|register| register.site(register.author(origin)?));
    author.map_or_else(|| format!("author of origin {origin}, which the register does not name"), |entry| entry.name.clone())
}

/// Columns by name as text; a column that this schema does not know by its number, as in `#17`.
pub(super) fn columns(schema: &Schema, table: &Table, cells: &[u8]) -> BTreeMap<String, String> {
    let text = |(id, value): (ColumnId, Value<'_>)| match table.column(id) {
        Some(column) => (column.name.clone(), value.to_text(schema, column)),
        None => (format!("#{id}"), bare_text(&value)),
    };
    RowCells::trusted(cells).iter().map(text).collect()
}

/// A value without the schema that would name its codes.
fn bare_text(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Date(date) => date.to_string(),
        Value::Code(number) => format!("#{number}"),
        Value::Flags(bits) => (0..64).filter(|bit| bits & (1 << bit) != 0).map(|bit| format!("#{bit}")).collect::<Vec<_>>().join("|"),
        Value::Area(code) => format!("{code:05}"),
    }
}
