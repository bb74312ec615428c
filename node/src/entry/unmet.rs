//! What shows only when a batch is applied, because it depends on the rows that stand.

use kho_storage::{
    command::RowRefusal,
    ids::{ColumnId, TableId},
    row::ROW_BYTES_MAX,
    schema::Column,
};

use super::{
    batch::BodyPlace,
    fault::RowFault,
    refusal::{EntryRefusal, Place},
    schema::EntrySchema,
};

/// The refusal of a body whose row at `place` does not fit the row that stands.
pub fn unmet(schema: &EntrySchema, place: Option<&BodyPlace>, why: &RowRefusal) -> EntryRefusal {
    let name = |table: TableId, column: ColumnId| column_of(schema, table, column).map_or("", |column| column.name.as_str());
    let (column, fault) = match why {
        RowRefusal::Missing => (None, RowFault::RowMissing {}),
        RowRefusal::Incomplete { table, columns } => {
            let names: Vec<&str> = columns.iter().map(|column| name(*table, *column)).collect();
            let table = schema.schema.table(*table).map(|table| table.name.clone()).unwrap_or_default();
            (names.first().copied(), RowFault::RowIncomplete { table, columns: names.join(", ") })
        }
        RowRefusal::ColumnExcluded { table, column } => {
            let only_for = column_of(schema, *table, *column).and_then(|column| column.only_for.as_ref());
            let (by, allowed) = only_for.map(|only_for| (only_for.column.clone(), only_for.codes.join(" | "))).unwrap_or_default();
            let name = name(*table, *column);
            (Some(name), RowFault::StaysFilled { column: name.into(), by, allowed })
        }
        RowRefusal::TooLong { bytes } => {
            let bytes = usize::try_from(*bytes).unwrap_or(usize::MAX);
            (None, RowFault::RowTooLong { bytes, bytes_max: ROW_BYTES_MAX })
        }
    };
    let place = place.map_or(Place::BODY, |place| Place { row: Some(place.row.into()), line: Some(place.line.into()) });
    EntryRefusal::at(place, column, fault)
}

fn column_of(schema: &EntrySchema, table: TableId, column: ColumnId) -> Option<&Column> {
    schema.schema.table(table)?.column(column)
}
