//! What entry promises: promise 10 over every kind of bad body, good bodies in all forms, and any bytes at all.

mod any_bytes;
mod bad_bodies;
mod bad_rows;
mod good_bodies;
mod named_columns;

use std::{io::Write, sync::Arc};

use kho_storage::{
    level::Level,
    register::AreaScope,
    schema::{Schema, population},
};

use super::{
    CheckedBatch, EntryEncoding, EntryFormat, EntryLimits, EntryReader, EntryRefusal, EntrySchema, EntryScope, EntryStatus, UnnamedColumns,
};

/// A row: column names and texts.
type Cells = Vec<(&'static str, String)>;

/// Where, in which column and with which word something is found: row, line, column, code.
type Finding = (Option<u64>, Option<u64>, Option<&'static str>, &'static str);

/// A reader and a body for it.
#[derive(Debug, Clone)]
struct Sent {
    schema: Arc<EntrySchema>,
    scope: EntryScope,
    format: EntryFormat,
    encoding: EntryEncoding,
    unnamed: UnnamedColumns,
    limits: EntryLimits,
    body: Vec<u8>,
}

/// A body that must be refused, and for what.
struct Bad {
    what: &'static str,
    sent: Sent,
    status: EntryStatus,
    findings: Vec<Finding>,
}

impl Sent {
    fn new(format: EntryFormat, body: impl Into<Vec<u8>>) -> Self {
        Self {
            schema: Arc::new(EntrySchema::compile(population(), Level::FOUNDING)),
            scope: scope(&["001", "075"]),
            format,
            encoding: EntryEncoding::Identity,
            unnamed: UnnamedColumns::Stay,
            limits: EntryLimits::default(),
            body: body.into(),
        }
    }

    fn ndjson(body: impl Into<Vec<u8>>) -> Self {
        Self::new(EntryFormat::Ndjson, body)
    }

    fn csv(table: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(EntryFormat::Csv { table: table.into() }, body)
    }

    fn gzip(mut self, body: Vec<u8>) -> Self {
        (self.encoding, self.body) = (EntryEncoding::Gzip, body);
        self
    }

    /// Columns that the body does not name are cleared.
    fn clearing(mut self) -> Self {
        self.unnamed = UnnamedColumns::Clear;
        self
    }

    fn scoped(mut self, codes: &[&str]) -> Self {
        self.scope = scope(codes);
        self
    }

    fn limited(mut self, limit: impl FnOnce(&mut EntryLimits)) -> Self {
        limit(&mut self.limits);
        self
    }

    fn with_schema(mut self, toml: &str) -> Self {
        self.schema = Arc::new(EntrySchema::compile(&Schema::from_toml(toml).expect("a whole schema"), Level::FOUNDING));
        self
    }

    /// Sent to a site that works at `level`.
    fn at(mut self, level: Level) -> Self {
        self.schema = Arc::new(EntrySchema::compile(population(), level));
        self
    }

    fn reader(&self) -> Result<EntryReader, EntryRefusal> {
        EntryReader::new(Arc::clone(&self.schema), self.scope.clone(), self.format.clone(), self.encoding, self.unnamed, self.limits)
    }

    /// Feeds the body in pieces of `piece` bytes.
    fn read_in(&self, piece: usize) -> Result<CheckedBatch, EntryRefusal> {
        let mut reader = self.reader()?;
        for chunk in self.body.chunks(piece.max(1)) {
            reader.feed(chunk)?;
        }
        reader.finish()
    }

    fn read(&self) -> Result<CheckedBatch, EntryRefusal> {
        self.read_in(self.body.len())
    }

    fn refused(self, what: &'static str, status: EntryStatus, findings: &[Finding]) -> Bad {
        Bad { what, sent: self, status, findings: findings.to_vec() }
    }
}

fn scope(codes: &[&str]) -> EntryScope {
    EntryScope { areas: codes.iter().map(|code| AreaScope { catalogue: "legacy-63".into(), code: (*code).into() }).collect() }
}

/// A whole person with some cells exchanged, or added.
fn person(changes: &[(&'static str, &str)]) -> Cells {
    with(
        &[
            ("person_id", "P1"),
            ("household_id", "H1"),
            ("seq", "1"),
            ("pin", "001090000001"),
            ("insurance_no", ""),
            ("full_name", "Nguyễn Văn An"),
            ("birth_date", "1990-01-02"),
            ("sex", "male"),
            ("relation", "head"),
            ("ethnicity", "kinh"),
            ("education", "university"),
            ("marital", "married"),
            ("residence_status", "permanent"),
            ("commune_code", "00001"),
            ("catalogue_version", "legacy-63"),
        ],
        changes,
    )
}

fn event(changes: &[(&'static str, &str)]) -> Cells {
    with(
        &[("event_id", "E1"), ("type", "death"), ("event_date", "2019-04"), ("commune_code", "00001"), ("catalogue_version", "legacy-63")],
        changes,
    )
}

fn with(cells: &[(&'static str, &str)], changes: &[(&'static str, &str)]) -> Cells {
    let mut cells: Cells = cells.iter().map(|(name, text)| (*name, (*text).into())).collect();
    for (name, text) in changes {
        match cells.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = (*text).into(),
            None => cells.push((*name, (*text).into())),
        }
    }
    cells
}

/// One line of NDJSON, with every value as text.
fn put(table: &str, cells: &Cells) -> String {
    let row: serde_json::Map<_, _> = cells.iter().map(|(name, text)| ((*name).into(), text.as_str().into())).collect();
    format!("{}\n", serde_json::json!({"table": table, "row": row}))
}

/// A CSV of rows that all have the first one's columns.
fn csv_of(rows: &[Cells]) -> String {
    let quoted = |text: &str| if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() };
    let header: Vec<_> = rows[0].iter().map(|(name, _)| *name).collect();
    let records = rows.iter().map(|row| row.iter().map(|(_, text)| quoted(text)).collect::<Vec<_>>().join(","));
    std::iter::once(header.join(",")).chain(records).map(|line| line + "\n").collect()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}
