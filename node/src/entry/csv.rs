//! CSV: the header chooses columns once, records become rows.

use std::{borrow::Cow, sync::Arc};

use super::{
    batch::BatchDraft,
    records::{FieldSpan, FrameStop, Record, Records},
    refusal::{Place, RowLog, Stopped, shown},
    schema::{EntrySchema, EntryTable},
};

/// The extra column that says what happens to the row.
const OP_COLUMN: &str = "_op";

/// The reader of CSV.
pub(super) struct Csv {
    records: Records,
    rows: CsvRows,
}

/// What a field of each record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Place of a column in the table.
    Column(usize),
    Op,
}

/// Turns records into rows.
struct CsvRows {
    schema: Arc<EntrySchema>,
    /// Place of the table in the schema.
    table: usize,
    /// One a field; empty before the header was read.
    targets: Vec<Target>,
    key_field: usize,
    op_field: Option<usize>,
    /// Data records so far.
    count: u64,
}

impl Csv {
    pub fn new(schema: Arc<EntrySchema>, table: usize, line_bytes_max: usize) -> Self {
        Self {
            records: Records::new(line_bytes_max),
            rows: CsvRows { schema, table, targets: Vec::new(), key_field: 0, op_field: None, count: 0 },
        }
    }

    /// The body's first `bytes` bytes are no text (a byte order mark).
    pub fn skip(&mut self, bytes: u64) {
        self.records.skip(bytes);
    }

    pub fn feed(&mut self, chunk: &[u8], batch: &mut BatchDraft) -> Result<(), Stopped> {
        let Self { records, rows } = self;
        let fed = records.feed(chunk, |record| rows.take(record, batch));
        self.judge(fed, batch)
    }

    /// Reads the last record, which may lack its line end.
    pub fn finish(&mut self, batch: &mut BatchDraft) -> Result<(), Stopped> {
        let Self { records, rows } = self;
        let ended = records.finish(|record| rows.take(record, batch));
        self.judge(ended, batch)
    }

    fn judge(&self, outcome: Result<(), FrameStop<Stopped>>, batch: &mut BatchDraft) -> Result<(), Stopped> {
        let (place, column) = (self.rows.place_after(self.records.line()), self.rows.field_name(self.records.field_under_way()));
        match outcome {
            Ok(()) => Ok(()),
            Err(FrameStop::Sink(stopped)) => Err(stopped),
            Err(FrameStop::TooLong { quoted }) => {
                let hint = if quoted {
                    "a quoted field may lack its closing quote: check the quotes of this record"
                } else {
                    "write one record a line, each ended by a line feed"
                };
                let message = format!("the record is longer than {} bytes", self.records.line_bytes_max());
                Err(batch.log.stop(place, column, "line_too_long", message, hint))
            }
            Err(FrameStop::Unterminated) => {
                let message = "the body ends inside a quoted field".into();
                Err(batch.log.stop(place, column, "csv_unterminated_quote", message, "close the quote; write a quote inside a field twice"))
            }
        }
    }
}

impl CsvRows {
    fn table(&self) -> &EntryTable {
        &self.schema.tables[self.table]
    }

    /// The place of a record that starts at `line` and was not counted yet.
    fn place_after(&self, line: u64) -> Place {
        Place { row: (!self.targets.is_empty()).then_some(self.count + 1), line: Some(line) }
    }

    /// The header's name for a field.
    fn field_name(&self, field: usize) -> Option<&str> {
        match self.targets.get(field)? {
            Target::Column(at) => Some(&self.table().columns[*at].column.name),
            Target::Op => Some(OP_COLUMN),
        }
    }

    fn take(&mut self, record: &Record<'_>, batch: &mut BatchDraft) -> Result<(), Stopped> {
        let place = self.place_after(record.line);
        if self.targets.is_empty() {
            return match self.text_of(record, place, batch) {
                Some(text) => self.take_header(text, record, batch),
                None => Err(Stopped),
            };
        }
        self.count += 1;
        batch.begin_row(place)?;
        match self.text_of(record, place, batch) {
            Some(text) => self.take_row(text, record, place, batch),
            None => Ok(()),
        }
    }

    /// The record as text, unless its bytes, quotes or number of fields are wrong, which is noted.
    fn text_of<'r>(&self, record: &Record<'r>, place: Place, batch: &mut BatchDraft) -> Option<&'r str> {
        let name_at = |at: usize| self.field_name(record.fields.iter().take_while(|field| field.end < at).count());
        if let Some(at) = record.bytes.iter().position(|byte| *byte == 0) {
            batch.log.add(
                place,
                name_at(at),
                "nul_byte",
                format!("byte {} of the body is NUL", record.offset + at as u64),
                "save the file as UTF-8 text",
            );
            return None;
        }
        let text = match std::str::from_utf8(record.bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                let message = format!("byte {} of the body is no UTF-8", record.offset + at as u64);
                batch.log.add(place, name_at(at), "invalid_utf8", message, "save the file as UTF-8");
                return None;
            }
        };
        if let Some(field) = record.bad_quote {
            let message = format!("field {} holds a quote that neither opens nor closes it", field + 1);
            batch.log.add(place, self.field_name(field), "csv_quote", message, "quote the whole field and write the quote inside it twice");
            return None;
        }
        let wanted = self.targets.len();
        if wanted != 0 && record.fields.len() != wanted {
            let message = format!("the record has {} fields, the header {wanted}", record.fields.len());
            batch.log.add(
                place,
                None,
                "csv_ragged",
                message,
                "give every record as many fields as the header; quote fields that hold commas",
            );
            return None;
        }
        Some(text)
    }

    /// Resolves the header. What is wrong with it makes all records unreadable, so it ends the reading.
    fn take_header(&mut self, text: &str, record: &Record<'_>, batch: &mut BatchDraft) -> Result<(), Stopped> {
        let place = Place { row: None, line: Some(record.line) };
        let table = &self.schema.tables[self.table];
        let mut log = RowLog::new(&mut batch.log, place);
        let mut targets = Vec::with_capacity(record.fields.len());
        for field in record.fields {
            let name = field_text(text, field);
            let target = if name == OP_COLUMN { Some(Target::Op) } else { table.place_of(&name, targets.len()).map(Target::Column) };
            match target {
                None => log.add(
                    Some(&name),
                    "unknown_column",
                    format!("table `{}` has no column {}", table.name, shown(&name)),
                    header_hint(table, &name),
                ),
                Some(target) if targets.contains(&target) => {
                    log.add(Some(&name), "duplicate_column", format!("the header names {} twice", shown(&name)), "name each column once");
                }
                Some(target) => targets.push(target),
            }
        }
        let op_field = targets.iter().position(|target| *target == Target::Op);
        let key_field = targets.iter().position(|target| *target == Target::Column(table.key));
        if !log.failed() {
            for (at, column) in table.columns.iter().enumerate().filter(|(at, _)| !targets.contains(&Target::Column(*at))) {
                let name = &column.column.name;
                if at == table.key {
                    log.add(
                        Some(name),
                        "key_missing",
                        format!("the header lacks the key column `{name}`"),
                        format!("add `{name}`: it identifies the row"),
                    );
                } else if column.column.required && op_field.is_none() {
                    // A body that may be all deletes needs no other column; then each row that is put is checked.
                    log.add(Some(name), "missing", format!("the header lacks the required column `{name}`"), "add it");
                }
            }
        }
        match key_field {
            Some(key_field) if !log.failed() => {
                (self.targets, self.key_field, self.op_field) = (targets, key_field, op_field);
                Ok(())
            }
            _ => Err(Stopped),
        }
    }

    fn take_row(&self, text: &str, record: &Record<'_>, place: Place, batch: &mut BatchDraft) -> Result<(), Stopped> {
        let table = self.table();
        let op = self.op_field.map_or(Cow::Borrowed(""), |field| field_text(text, &record.fields[field]));
        match op.as_ref() {
            "" | "put" => batch.put(table, place, |draft, log| {
                for (target, field) in self.targets.iter().zip(record.fields) {
                    if let Target::Column(at) = target {
                        draft.fill(*at, field_text(text, field), log);
                    }
                }
            }),
            "delete" => batch.delete(table, field_text(text, &record.fields[self.key_field]), place),
            other => {
                batch.log.add(
                    place,
                    Some(OP_COLUMN),
                    "unknown_op",
                    format!("{} is no operation", shown(other)),
                    "write put or delete, or leave it empty",
                );
                Ok(())
            }
        }
    }
}

fn header_hint(table: &EntryTable, name: &str) -> String {
    if name.contains([';', '\t']) {
        return "separate columns by commas".into();
    }
    format!("use only: {}, {OP_COLUMN}", table.column_names())
}

/// The field's text: borrowed, unless it holds doubled quotes.
fn field_text<'r>(text: &'r str, field: &FieldSpan) -> Cow<'r, str> {
    // Spans end at quotes, commas and line ends, so they always lie on character boundaries of text that is UTF-8.
    let text = text.get(field.start..field.end).unwrap_or_default();
    if field.doubled { Cow::Owned(text.replace("\"\"", "\"")) } else { Cow::Borrowed(text) }
}
