//! NDJSON: one object a line, cut into lines as it arrives and read without an intermediate tree.

use std::{borrow::Cow, sync::Arc};

use kho_messages::Ordinal;

use super::{
    batch::BatchDraft,
    fault::RowFault,
    json::{Cell, Fault, JsonLine, Row},
    refusal::{Place, RowLog, Stopped, cut},
    row::RowDraft,
    schema::{EntrySchema, EntryTable},
};

/// The reader of NDJSON.
pub(super) struct Ndjson {
    schema: Arc<EntrySchema>,
    lines: Lines,
}

/// Cuts bytes into lines and holds at most one.
struct Lines {
    /// The part of the line under way that came in earlier pieces.
    pending: Vec<u8>,
    line_bytes_max: usize,
    /// Number of the line under way.
    number: u64,
    /// Where it begins in the decompressed body.
    offset: u64,
}

impl Ndjson {
    pub fn new(schema: Arc<EntrySchema>, line_bytes_max: usize) -> Self {
        Self { schema, lines: Lines { pending: Vec::new(), line_bytes_max, number: 1, offset: 0 } }
    }

    /// The body's first `bytes` bytes are no text (a byte order mark).
    pub fn skip(&mut self, bytes: u64) {
        self.lines.offset += bytes;
    }

    pub fn feed(&mut self, mut chunk: &[u8], batch: &mut BatchDraft) -> Result<(), Stopped> {
        let Self { schema, lines } = self;
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (part, rest) = (&chunk[..end], &chunk[end + 1..]);
            lines.check_length(part, batch)?;
            let length = lines.pending.len() + end + 1;
            if lines.pending.is_empty() {
                read_line(schema, part, lines.number, lines.offset, batch)?;
            } else {
                lines.pending.extend_from_slice(part);
                read_line(schema, &lines.pending, lines.number, lines.offset, batch)?;
                lines.pending.clear();
            }
            lines.number += 1;
            lines.offset += length as u64;
            chunk = rest;
        }
        lines.check_length(chunk, batch)?;
        lines.pending.extend_from_slice(chunk);
        Ok(())
    }

    /// Reads the last line, which may lack its line end.
    pub fn finish(&mut self, batch: &mut BatchDraft) -> Result<(), Stopped> {
        read_line(&self.schema, &self.lines.pending, self.lines.number, self.lines.offset, batch)
    }
}

impl Lines {
    fn check_length(&self, part: &[u8], batch: &mut BatchDraft) -> Result<(), Stopped> {
        if self.pending.len() + part.len() <= self.line_bytes_max {
            return Ok(());
        }
        Err(batch.log.stop(line_place(self.number), None, RowFault::LineTooLong { bytes_max: self.line_bytes_max }))
    }
}

fn line_place(number: u64) -> Place {
    Place { row: Some(number), line: Some(number) }
}

fn read_line(schema: &EntrySchema, bytes: &[u8], number: u64, offset: u64, batch: &mut BatchDraft) -> Result<(), Stopped> {
    if bytes.trim_ascii().is_empty() {
        return Ok(());
    }
    let place = line_place(number);
    batch.begin_row(place)?;
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        batch.log.add(place, None, RowFault::NulByte { byte: Ordinal(offset + at as u64) });
        return Ok(());
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let byte = Ordinal(offset + error.valid_up_to() as u64);
            batch.log.add(place, None, RowFault::InvalidUtf8 { byte });
            return Ok(());
        }
    };
    match JsonLine::read(text) {
        Ok(line) => take_line(schema, line, place, batch),
        Err(error) if error.is_data() => {
            batch.log.add(place, None, RowFault::LineNotAnObject { detail: without_place(&error) });
            Ok(())
        }
        Err(error) => {
            batch.log.add(place, None, RowFault::BadJson { byte: Ordinal(error.column() as u64), detail: without_place(&error) });
            Ok(())
        }
    }
}

fn take_line(schema: &EntrySchema, line: JsonLine<'_>, place: Place, batch: &mut BatchDraft) -> Result<(), Stopped> {
    let mut log = RowLog::new(&mut batch.log, place);
    for fault in &line.faults {
        log.add(
            None,
            match fault {
                Fault::Unknown(name) => RowFault::UnknownField { given: cut(name) },
                Fault::Twice(field) => RowFault::DuplicateField { field },
            },
        );
    }
    let table = match line.table {
        Some(Cell::Text(name)) => {
            let table = schema.table_named(&name);
            if table.is_none() {
                log.add(None, RowFault::UnknownTable { given: cut(&name), tables: schema.table_names() });
            }
            table
        }
        _ => {
            log.add(None, RowFault::LineWithoutTable {});
            None
        }
    };
    let (Some(table), false) = (table, log.failed()) else { return Ok(()) };
    match (line.row, line.delete) {
        (Some(Row::Cells(cells)), None) => batch.put(table, place, |draft, log| fill_row(table, cells, draft, log)),
        (None, Some(Cell::Text(key))) => batch.delete(table, key, place),
        (None, Some(Cell::Null)) => batch.delete(table, Cow::Borrowed(""), place),
        (None, Some(other)) => {
            let key = &table.key_column().column.name;
            log.add(Some(key), RowFault::KeyNotText { found: other.kind() });
            Ok(())
        }
        (row, delete) => {
            log.add(
                None,
                match (row, delete) {
                    (Some(Row::Other), None) => RowFault::RowNotAnObject {},
                    (None, None) => RowFault::NeitherRowNorDelete {},
                    _ => RowFault::BothRowAndDelete {},
                },
            );
            Ok(())
        }
    }
}

fn fill_row<'a>(table: &EntryTable, cells: Vec<(Cow<'a, str>, Cell<'a>)>, draft: &mut RowDraft<'_, 'a>, log: &mut RowLog<'_>) {
    let mut from = 0;
    for (name, cell) in cells {
        let Some(at) = table.place_of(&name, from) else {
            log.add(Some(&name), table.no_column(&name, cut(&name), table.column_names()));
            continue;
        };
        from = at + 1;
        match cell {
            Cell::Null => draft.fill(at, Cow::Borrowed(""), log),
            Cell::Text(text) => draft.fill(at, text, log),
            Cell::Whole(number) => draft.fill_whole(at, number, log),
            Cell::Nested(found) => draft.refuse(at, RowFault::NestedValue { found }, log),
            other => draft.refuse(at, RowFault::NotText { found: other.kind() }, log),
        }
    }
}

/// serde_json's message without its line number, which is always 1 here.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.into())
}
