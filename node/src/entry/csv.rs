//! CSV: the header chooses columns once, records become rows.

use std::{borrow::Cow, sync::Arc};

use kho_messages::Ordinal;

use super::{
    batch::BatchDraft,
    fault::RowFault,
    records::{FieldSpan, FrameStop, Record, Records},
    refusal::{Place, RowLog, Stopped, cut},
    schema::{EntrySchema, EntryTable},
    unnamed::UnnamedColumns,
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
                let bytes_max = self.records.line_bytes_max();
                let fault = if quoted { RowFault::QuotedRecordTooLong { bytes_max } } else { RowFault::RecordTooLong { bytes_max } };
                Err(batch.log.stop(place, column, fault))
            }
            Err(FrameStop::Unterminated) => Err(batch.log.stop(place, column, RowFault::CsvUnterminatedQuote {})),
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
            batch.log.add(place, name_at(at), RowFault::NulByte { byte: Ordinal(record.offset + at as u64) });
            return None;
        }
        let text = match std::str::from_utf8(record.bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                batch.log.add(place, name_at(at), RowFault::InvalidUtf8 { byte: Ordinal(record.offset + at as u64) });
                return None;
            }
        };
        if let Some(field) = record.bad_quote {
            batch.log.add(place, self.field_name(field), RowFault::CsvQuote { field: Ordinal(field as u64 + 1) });
            return None;
        }
        let wanted = self.targets.len();
        if wanted != 0 && record.fields.len() != wanted {
            batch.log.add(place, None, RowFault::CsvRagged { fields: record.fields.len(), wanted });
            return None;
        }
        Some(text)
    }

    /// Resolves the header. What is wrong with it makes all records unreadable, so it ends the reading.
    fn take_header(&mut self, text: &str, record: &Record<'_>, batch: &mut BatchDraft) -> Result<(), Stopped> {
        let place = Place { row: None, line: Some(record.line) };
        let (table, unnamed) = (&self.schema.tables[self.table], batch.unnamed);
        let mut log = RowLog::new(&mut batch.log, place);
        let mut targets = Vec::with_capacity(record.fields.len());
        for field in record.fields {
            let name = field_text(text, field);
            let target = if name == OP_COLUMN { Some(Target::Op) } else { table.place_of(&name, targets.len()).map(Target::Column) };
            match target {
                None => log.add(Some(&name), unknown_header(table, &name)),
                Some(target) if targets.contains(&target) => {
                    log.add(Some(&name), RowFault::DuplicateHeader { column: cut(&name) });
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
                    log.add(Some(name), RowFault::KeyColumnMissing { column: name.clone() });
                } else if column.column.required && unnamed == UnnamedColumns::Clear && op_field.is_none() {
                    // A body that may be all deletes needs no other column; then each row that is put is checked.
                    log.add(Some(name), RowFault::ColumnMissing { column: name.clone() });
                }
            }
            let names = |at: usize| targets.contains(&Target::Column(at));
            for area in table.areas.iter().filter(|_| unnamed == UnnamedColumns::Stay && op_field.is_none()) {
                let name = |at: usize| table.columns[at].column.name.clone();
                let (column, by) = match (names(area.column), names(area.catalogue)) {
                    (true, false) => (name(area.column), name(area.catalogue)),
                    (false, true) => (name(area.catalogue), name(area.column)),
                    _ => continue,
                };
                log.add(Some(&column.clone()), RowFault::NamedWithout { column, by });
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
                batch.log.add(place, Some(OP_COLUMN), RowFault::UnknownOperation { given: cut(other) });
                Ok(())
            }
        }
    }
}

/// The header names `name`, which is no column of `table`.
fn unknown_header(table: &EntryTable, name: &str) -> RowFault {
    let given = cut(name);
    if name.contains([';', '\t']) {
        return RowFault::OtherSeparator { table: table.name.clone(), given };
    }
    table.no_column(name, given, format!("{}, {OP_COLUMN}", table.column_names()))
}

/// The field's text: borrowed, unless it holds doubled quotes.
fn field_text<'r>(text: &'r str, field: &FieldSpan) -> Cow<'r, str> {
    // Spans end at quotes, commas and line ends, so they always lie on character boundaries of text that is UTF-8.
    let text = text.get(field.start..field.end).unwrap_or_default();
    if field.doubled { Cow::Owned(text.replace("\"\"", "\"")) } else { Cow::Borrowed(text) }
}
