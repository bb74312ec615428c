//! The rows that are written: synthetic persons of one province, as `kho synth` writes them, held in memory.
//!
//! Every system is given the same rows in the same pieces. They are made before anything is measured.

use std::{borrow::Cow, ops::Range, path::Path};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use kho_node::entry::UnnamedColumns;
use kho_ops::client::BatchUpload;
use kho_synth::{Catalogue, Layout, SynthPlan};

/// The province whose real units are used; the site that enters the rows authors all of it.
pub const PROVINCE: &str = "75";
/// The table that the rows are of.
pub const TABLE: &str = "person";
/// Rows of a batch, as `kho import` sends them by default.
pub const BATCH_ROWS: u64 = 5_000;
/// Batches on their way in at once, as with `kho import`.
pub const SESSIONS: usize = 4;
const SEED: u64 = 1;

/// Rows of CSV by number.
#[derive(Debug)]
pub struct Persons {
    text: Bytes,
    /// Where each row begins in the text, and last where the text ends.
    starts: Vec<usize>,
}

/// Some rows on their way in.
#[derive(Debug, Clone)]
pub struct PersonBatch {
    pub rows: u64,
    /// Key of the last row.
    pub last_key: String,
    request_key: String,
    /// Header and rows.
    body: Bytes,
    header_bytes: usize,
}

impl Persons {
    /// Makes `count` persons. `dir` is used on the way and left empty.
    ///
    /// # Errors
    /// When the disk fails, or the province can't have so many.
    pub fn synthesise(dir: &Path, count: u64) -> anyhow::Result<Self> {
        let plan = SynthPlan {
            catalogue: Catalogue::Legacy63,
            provinces: vec![PROVINCE.into()],
            persons: Some(count),
            seed: SEED,
            as_of: kho_synth::census_day(),
            event_months: 0,
        };
        kho_synth::write(&plan, dir, Layout::PerProvince, &mut |_, _| {})?;
        let path = dir.join(PROVINCE).join("person.csv");
        let text = std::fs::read(&path).with_context(|| format!("{} can't be read", path.display()))?;
        std::fs::remove_dir_all(dir)?;
        Self::of_csv(text.into())
    }

    /// From a header and rows, each ending with a line end.
    ///
    /// # Errors
    /// When the last line does not end.
    pub fn of_csv(text: Bytes) -> anyhow::Result<Self> {
        // No field of a person holds a line end, so lines are records; what is before the first row is the header.
        let starts: Vec<usize> = text.iter().zip(1..).filter(|(byte, _)| **byte == b'\n').map(|(_, next)| next).collect();
        ensure!(starts.last() == Some(&text.len()), "the synthetic persons do not end with a line end");
        Ok(Self { text, starts })
    }

    /// Bytes of these rows as CSV, without a header.
    pub fn csv_bytes(&self, rows: Range<u64>) -> u64 {
        self.bytes_of(&rows).len() as u64
    }

    /// These rows. They are at least one and exist: a wrong range is a defect of the caller.
    pub fn batch(&self, rows: Range<u64>) -> PersonBatch {
        let (header, text) = (self.header(), self.bytes_of(&rows));
        PersonBatch::new(&format!("bench-{}-{}", rows.start, rows.end), rows.end - rows.start, [header, text].concat().into(), header.len())
    }

    /// These rows in batches of at most `batch_rows`.
    pub fn batches(&self, rows: Range<u64>, batch_rows: u64) -> Vec<PersonBatch> {
        let starts = (rows.start..rows.end).step_by(usize::try_from(batch_rows).unwrap_or(usize::MAX));
        starts.map(|start| self.batch(start..rows.end.min(start + batch_rows))).collect()
    }

    pub fn count(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    /// One row with its line end.
    pub fn row(&self, row: u64) -> &[u8] {
        self.bytes_of(&(row..row + 1))
    }

    /// Names of the columns with the line end.
    pub fn header(&self) -> &[u8] {
        &self.text[..self.starts[0]]
    }

    fn bytes_of(&self, rows: &Range<u64>) -> &[u8] {
        // Numbers of rows held in memory fit.
        &self.text[self.starts[rows.start as usize]..self.starts[rows.end as usize]]
    }
}

impl PersonBatch {
    /// From header and rows as CSV; the key is the first field.
    pub fn new(request_key: &str, rows: u64, body: Bytes, header_bytes: usize) -> Self {
        let text = &body[..];
        let last_row = text.trim_ascii_end().iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        // A key is made of digits, so it bears no quotes.
        let last_key = text[last_row..].split(|byte| *byte == b',').next().unwrap_or_default();
        Self { rows, last_key: String::from_utf8_lossy(last_key).into_owned(), request_key: request_key.into(), body, header_bytes }
    }

    /// As a client of Kho sends it.
    pub fn upload(&self) -> BatchUpload {
        BatchUpload {
            request_key: self.request_key.clone(),
            table: Some(TABLE.into()),
            content_type: "text/csv",
            unnamed: UnnamedColumns::Stay,
            body: self.body.clone(),
        }
    }

    /// Names of the columns in the order of the rows' fields, between commas.
    pub fn columns(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.body[..self.header_bytes].trim_ascii_end())
    }

    /// The rows alone, each ending with CR and LF.
    pub fn csv_rows(&self) -> &[u8] {
        &self.body[self.header_bytes..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_the_rows_of_the_file_in_order_and_each_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let persons = Persons::synthesise(&dir.path().join("population"), 250).expect("made");
        assert_eq!(persons.starts.len(), 251);
        let batches = persons.batches(10..250, 100);
        assert_eq!(batches.iter().map(|batch| batch.rows).collect::<Vec<_>>(), [100, 100, 40]);
        let joined: Vec<u8> = batches.iter().flat_map(|batch| batch.csv_rows().to_vec()).collect();
        assert_eq!(joined, persons.bytes_of(&(10..250)));
        assert_eq!(joined.len() as u64, persons.csv_bytes(10..250));
        assert!(joined.ends_with(b"\r\n"));

        let (first, upload) = (persons.batch(0..1), persons.batch(3..4).upload());
        assert!(first.columns().starts_with("person_id,") && first.columns().ends_with(",catalogue_version"));
        let text = String::from_utf8(upload.body.to_vec()).expect("text");
        assert_eq!(text.lines().count(), 2, "a header and a row");
        assert!(text.lines().nth(1).expect("a row").starts_with(&persons.batch(3..4).last_key));
        assert_ne!(upload.request_key, persons.batch(4..5).upload().request_key);
    }
}
