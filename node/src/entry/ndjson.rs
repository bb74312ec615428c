//! NDJSON: one object a line, cut into lines as it arrives and read without an intermediate tree.

use std::{borrow::Cow, sync::Arc};

use super::{
    batch::BatchDraft,
    json::{Cell, Fault, JsonLine, Row},
    refusal::{Place, RowLog, Stopped, shown},
    row::RowDraft,
    schema::{EntrySchema, EntryTable},
};

const SHAPE_HINT: &str = r#"write {"table":"T","row":{…}} or {"table":"T","delete":"KEY"}"#;

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
        let message = format!("the line is longer than {} bytes", self.line_bytes_max);
        Err(batch.log.stop(line_place(self.number), None, "line_too_long", message, "write one object a line, each ended by a line feed"))
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
        batch.log.add(place, None, "nul_byte", format!("byte {} of the body is NUL", offset + at as u64), "save the file as UTF-8 text");
        return Ok(());
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("byte {} of the body is no UTF-8", offset + error.valid_up_to() as u64);
            batch.log.add(place, None, "invalid_utf8", message, "save the file as UTF-8");
            return Ok(());
        }
    };
    match JsonLine::read(text) {
        Ok(line) => take_line(schema, line, place, batch),
        Err(error) if error.is_data() => {
            batch.log.add(place, None, "bad_shape", format!("the line is no object of entry: {}", without_place(&error)), SHAPE_HINT);
            Ok(())
        }
        Err(error) => {
            batch.log.add(
                place,
                None,
                "bad_json",
                format!("the line is no JSON at byte {}: {}", error.column(), without_place(&error)),
                SHAPE_HINT,
            );
            Ok(())
        }
    }
}

fn take_line(schema: &EntrySchema, line: JsonLine<'_>, place: Place, batch: &mut BatchDraft) -> Result<(), Stopped> {
    let mut log = RowLog::new(&mut batch.log, place);
    for fault in &line.faults {
        let (code, message) = match fault {
            Fault::Unknown(name) => ("unknown_field", format!("the line's object has the unknown field {}", shown(name))),
            Fault::Twice(name) => ("duplicate_field", format!("the line's object has the field `{name}` twice")),
        };
        log.add(None, code, message, SHAPE_HINT);
    }
    let table = match line.table {
        Some(Cell::Text(name)) => {
            let table = schema.table_named(&name);
            if table.is_none() {
                log.add(
                    None,
                    "unknown_table",
                    format!("the schema has no table {}", shown(&name)),
                    format!("use one of: {}", schema.table_names()),
                );
            }
            table
        }
        _ => {
            log.add(None, "bad_shape", "the line names no table".into(), SHAPE_HINT);
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
            log.add(Some(key), "wrong_type", format!("{} stands where the key is wanted", other.word()), "give the key as text in quotes");
            Ok(())
        }
        (row, delete) => {
            let why = match (row, delete) {
                (Some(Row::Other), None) => "`row` is no object",
                (None, None) => "the line has neither `row` nor `delete`",
                _ => "the line has both `row` and `delete`",
            };
            log.add(None, "bad_shape", why.into(), SHAPE_HINT);
            Ok(())
        }
    }
}

fn fill_row<'a>(table: &EntryTable, cells: Vec<(Cow<'a, str>, Cell<'a>)>, draft: &mut RowDraft<'_, 'a>, log: &mut RowLog<'_>) {
    let mut from = 0;
    for (name, cell) in cells {
        let Some(at) = table.place_of(&name, from) else {
            log.add(
                Some(&name),
                "unknown_column",
                format!("table `{}` has no column {}", table.name, shown(&name)),
                format!("use only: {}", table.column_names()),
            );
            continue;
        };
        from = at + 1;
        match cell {
            Cell::Null => draft.fill(at, Cow::Borrowed(""), log),
            Cell::Text(text) => draft.fill(at, text, log),
            Cell::Whole(number) => draft.fill_whole(at, number, log),
            Cell::Nested(what) => {
                draft.refuse(at, "nested_value", format!("{what} stands where one value is wanted"), "give one text or number", log);
            }
            other => draft.refuse(
                at,
                "wrong_type",
                format!("{} stands where text is wanted", other.word()),
                "give text in quotes, or a whole number",
                log,
            ),
        }
    }
}

/// serde_json's message without its line number, which is always 1 here.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.into())
}
