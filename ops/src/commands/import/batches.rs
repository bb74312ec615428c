//! Groups a file's records into batches: whole records, each batch with the CSV header in front.

use std::io::{self, Read};

use blake3::Hasher;
use bytes::Bytes;
use kho_node::{api::RowProblem, entry::UnnamedColumns};
use kho_storage::ids::Hash32;
use serde::{Deserialize, Serialize};

use super::records::{RecordCutter, RecordEnd, RecordForm, is_blank};

/// A batch is closed when its body reaches this: half of what a batch of a stream may hold, so that rows which take more
/// room as changes than as text still fit.
const BODY_BYTES_MAX: usize = 2 << 20;
/// A record that has not ended after so many bytes is not a record: a quote was not closed.
const RECORD_BYTES_MAX: usize = 1 << 20;
/// Read from the file at once.
const READ_BYTES: usize = 256 << 10;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A place between two records of a file, after decompression.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub bytes: u64,
    /// Records before it, without header and empty lines.
    pub rows: u64,
    pub lines: u64,
}

/// A place and the hash of everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashedMark {
    #[serde(flatten)]
    pub mark: Mark,
    pub hash: Hash32,
}

/// Whole records of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Counts from 0 in this run.
    pub number: u64,
    pub first: Mark,
    pub end: HashedMark,
    pub body: Bytes,
    /// Lines of the header at the body's start, and empty lines before it in the file.
    header_lines: u64,
    lines_before_header: u64,
    form: RecordForm,
}

/// Why a file can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("reading failed after line {line}: {source}")]
    Io { line: u64, source: io::Error },
    #[error("the record at line {line} is longer than {RECORD_BYTES_MAX} bytes; a quoted field may lack its closing quote")]
    RecordTooLong { line: u64 },
    #[error("the file is not the one that was partly imported: its first {bytes} bytes differ")]
    Changed { bytes: u64 },
}

impl Batch {
    pub fn rows(&self) -> u64 {
        self.end.mark.rows - self.first.rows
    }

    /// The request key: the same for the same records at the same place of the same table that mean the same, whatever the file is
    /// called. `again` sets a deliberate second import apart.
    pub fn request_key(&self, table: Option<&str>, unnamed: UnnamedColumns, again: &str) -> String {
        let mut hasher = Hasher::new();
        for part in ["kho import 2", self.form.word(), table.unwrap_or_default(), unnamed.word(), again] {
            hasher.update(part.as_bytes()).update(b"\0");
        }
        hasher.update(&self.first.rows.to_le_bytes()).update(&self.body);
        let hex = hasher.finalize().to_hex();
        format!("import-{}", &hex[..48])
    }

    /// A finding about the body, with the file's rows and lines.
    pub fn place_in_file(&self, mut problem: RowProblem) -> RowProblem {
        let line = |line: u64| match line.checked_sub(self.header_lines) {
            Some(behind) if behind > 0 => behind + self.first.lines,
            _ => line + self.lines_before_header,
        };
        problem.line = problem.line.map(line);
        problem.row = match self.form {
            RecordForm::Csv => problem.row.map(|row| row + self.first.rows),
            // A node numbers the records of NDJSON by their lines.
            RecordForm::Ndjson => problem.line,
        };
        problem
    }
}

/// Reads a file batch by batch. Holds one batch and one record.
pub struct Batches<R> {
    reader: R,
    form: RecordForm,
    rows_max: u64,
    cutter: RecordCutter,
    buffer: Vec<u8>,
    /// Where in the buffer the record under way starts.
    start: usize,
    /// Where in the buffer the cutter goes on.
    seen: usize,
    ended: bool,
    header: Vec<u8>,
    header_lines: u64,
    lines_before_header: u64,
    at: Mark,
    hasher: Hasher,
    number: u64,
}

impl<R: Read> Batches<R> {
    /// Reads the header, then passes over what `resume` says was imported, if it is still the same.
    ///
    /// # Errors
    /// [`SourceError`]; `Changed` when the part that was imported is another now.
    pub fn open(reader: R, form: RecordForm, rows_max: u64, resume: Option<&HashedMark>) -> Result<Self, SourceError> {
        let mut batches = Self {
            reader,
            form,
            rows_max: rows_max.max(1),
            cutter: RecordCutter::new(form),
            buffer: Vec::with_capacity(2 * READ_BYTES),
            start: 0,
            seen: 0,
            ended: false,
            header: Vec::new(),
            header_lines: 0,
            lines_before_header: 0,
            at: Mark::default(),
            hasher: Hasher::new(),
            number: 0,
        };
        batches.take_bom()?;
        if form == RecordForm::Csv {
            batches.take_header()?;
        }
        if let Some(resume) = resume {
            batches.pass_over(resume)?;
        }
        Ok(batches)
    }

    /// The next batch; `None` at the end.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, SourceError> {
        loop {
            let first = self.at;
            let mut body = Vec::with_capacity(READ_BYTES);
            body.extend_from_slice(&self.header);
            while self.at.rows - first.rows < self.rows_max && body.len() < BODY_BYTES_MAX {
                let Some(end) = self.next_record()? else { break };
                let record = &self.buffer[self.start..self.start + end.bytes];
                body.extend_from_slice(record);
                let blank = is_blank(self.form, record);
                self.consume(end, blank);
            }
            self.hasher.update(&body[self.header.len()..]);
            if self.at == first {
                return Ok(None);
            }
            // Empty lines alone make no batch; behind them there may be records.
            if self.at.rows > first.rows {
                let end = HashedMark { mark: self.at, hash: self.hash_so_far() };
                let number = self.number;
                self.number += 1;
                let (header_lines, lines_before_header) = (self.header_lines, self.lines_before_header);
                return Ok(Some(Batch { number, first, end, body: body.into(), header_lines, lines_before_header, form: self.form }));
            }
        }
    }

    fn hash_so_far(&self) -> Hash32 {
        Hash32(*self.hasher.finalize().as_bytes())
    }

    fn take_bom(&mut self) -> Result<(), SourceError> {
        while self.buffer.len() < BOM.len() && !self.ended {
            self.fill()?;
        }
        if self.buffer.starts_with(BOM) {
            self.hasher.update(BOM);
            (self.start, self.seen) = (BOM.len(), BOM.len());
            self.at.bytes += BOM.len() as u64;
        }
        Ok(())
    }

    fn take_header(&mut self) -> Result<(), SourceError> {
        while let Some(end) = self.next_record()? {
            let record = self.buffer[self.start..self.start + end.bytes].to_vec();
            self.hasher.update(&record);
            self.consume(end, true);
            if is_blank(self.form, &record) {
                self.lines_before_header += end.lines;
            } else {
                (self.header, self.header_lines) = (record, end.lines);
                return Ok(());
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, resume: &HashedMark) -> Result<(), SourceError> {
        let changed = || SourceError::Changed { bytes: resume.mark.bytes };
        let mut left = resume.mark.bytes.checked_sub(self.at.bytes).ok_or_else(changed)?;
        while left > 0 {
            if self.start == self.buffer.len() {
                self.fill()?;
            }
            let held = &self.buffer[self.start..];
            let part = held.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if part == 0 {
                return Err(changed());
            }
            self.hasher.update(&held[..part]);
            self.start += part;
            self.seen = self.start;
            left -= part as u64;
        }
        if self.hash_so_far() != resume.hash {
            return Err(changed());
        }
        self.at = resume.mark;
        Ok(())
    }

    /// The record at `start`.
    fn next_record(&mut self) -> Result<Option<RecordEnd>, SourceError> {
        loop {
            let seen_of_record = self.seen - self.start;
            if let Some(end) = self.cutter.next_end(&self.buffer[self.seen..]) {
                return Ok(Some(RecordEnd { bytes: seen_of_record + end.bytes, ..end }));
            }
            self.seen = self.buffer.len();
            let held = &self.buffer[self.start..];
            if self.ended {
                return Ok(self.cutter.finish(held));
            }
            if held.len() > RECORD_BYTES_MAX {
                return Err(SourceError::RecordTooLong { line: self.at.lines + 1 });
            }
            self.fill()?;
        }
    }

    fn consume(&mut self, end: RecordEnd, blank: bool) {
        self.start += end.bytes;
        self.seen = self.start;
        self.at.bytes += end.bytes as u64;
        self.at.lines += end.lines;
        self.at.rows += u64::from(!blank);
    }

    /// Reads on behind what is held, which moves to the buffer's front.
    fn fill(&mut self) -> Result<(), SourceError> {
        self.buffer.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + READ_BYTES, 0);
        let read = loop {
            match self.reader.read(&mut self.buffer[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(bytes) => self.ended = bytes == 0,
            Err(source) => return Err(SourceError::Io { line: self.at.lines, source }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open<'t>(text: &'t [u8], form: RecordForm, rows_max: u64, resume: Option<&HashedMark>) -> Batches<&'t [u8]> {
        Batches::open(text, form, rows_max, resume).expect("readable")
    }

    fn all(mut batches: Batches<&[u8]>) -> Vec<Batch> {
        std::iter::from_fn(|| batches.next_batch().expect("readable")).collect()
    }

    /// Header and records as the csv crate reads them.
    fn parsed(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
        reader.byte_records().map(|record| record.expect("reads").iter().map(<[u8]>::to_vec).collect()).collect()
    }

    fn any_csv() -> impl Strategy<Value = Vec<u8>> {
        let field = "[a-zđư\"',;\r\n ]{0,6}";
        proptest::collection::vec(proptest::collection::vec(field, 1..4), 1..20).prop_map(|records| {
            let mut writer = ::csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            for record in &records {
                // A record that would be an empty line is not a record to the site.
                let record = if record == &[String::new()] { &vec!["x".to_string()] } else { record };
                writer.write_record(record).expect("to memory");
            }
            writer.into_inner().expect("to memory")
        })
    }

    proptest! {
        #[test]
        fn any_csv_is_cut_into_batches_that_hold_the_same_records(text in any_csv(), rows_max in 1u64..6) {
            let whole = parsed(&text);
            let mut joined = vec![whole[0].clone()];
            let mut lines = 1 + whole[0].iter().flatten().filter(|byte| **byte == b'\n').count() as u64;
            for batch in all(open(&text, RecordForm::Csv, rows_max, None)) {
                let mut records = parsed(&batch.body);
                prop_assert_eq!(records.remove(0), whole[0].clone(), "every batch starts with the header");
                prop_assert_eq!(batch.rows(), records.len() as u64);
                prop_assert!(batch.rows() <= rows_max);
                prop_assert_eq!(batch.first.lines, lines);
                lines = batch.end.mark.lines;
                joined.extend(records);
            }
            prop_assert_eq!(joined, whole);
        }

        #[test]
        fn promise_3_a_resumed_import_sends_the_same_batches_with_the_same_keys(text in any_csv(), rows_max in 1u64..6, after in 0usize..20) {
            let whole = all(open(&text, RecordForm::Csv, rows_max, None));
            prop_assume!(!whole.is_empty());
            let after = after % whole.len();
            let resumed = all(open(&text, RecordForm::Csv, rows_max, Some(&whole[after].end)));
            prop_assert_eq!(resumed.len(), whole.len() - after - 1);
            for (again, before) in resumed.iter().zip(&whole[after + 1..]) {
                let key = |batch: &Batch| batch.request_key(Some("person"), UnnamedColumns::Stay, "");
                prop_assert_eq!(key(again), key(before));
                prop_assert_eq!((again.first, again.end, &again.body), (before.first, before.end, &before.body));
            }
        }

        #[test]
        fn any_bytes_are_cut_without_a_panic_and_nothing_is_lost(text in proptest::collection::vec(any::<u8>(), 0..400), rows_max in 1u64..5) {
            let joined: Vec<u8> = all(open(&text, RecordForm::Ndjson, rows_max, None)).iter().flat_map(|batch| batch.body.to_vec()).collect();
            let kept = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).map(<[u8]>::to_vec).collect::<Vec<_>>();
            let text = text.strip_prefix(BOM).unwrap_or(&text);
            prop_assert_eq!(kept(&joined), kept(text));
            let _ = all(open(text, RecordForm::Csv, rows_max, None));
        }
    }

    #[test]
    fn findings_bear_the_file_s_own_rows_and_lines() {
        let problem = |row, line| RowProblem { row, line, column: None, code: "c".into(), message: "m".into(), hint: "h".into() };
        let placed = |batch: &Batch, row, line| {
            let placed = batch.place_in_file(problem(row, Some(line)));
            (placed.row, placed.line)
        };
        let batches = all(open(b"\na,b\n1,\"x\ny\"\n\n2,z\n3,w\n", RecordForm::Csv, 2, None));
        assert_eq!(batches.len(), 2);
        assert_eq!(placed(&batches[0], None, 1), (None, Some(2)), "the header stands in line 2");
        assert_eq!(placed(&batches[0], Some(2), 5), (Some(2), Some(6)));
        assert_eq!(placed(&batches[1], Some(1), 2), (Some(3), Some(7)));
        let lines = all(open(b"{}\n\n{}\n{}\n", RecordForm::Ndjson, 1, None));
        assert_eq!(placed(&lines[1], Some(2), 2), (Some(3), Some(3)));
    }

    #[test]
    fn a_file_that_changed_in_its_imported_part_is_detected_and_one_that_grew_is_not_refused() {
        let text = b"a\n1\n2\n3\n";
        let first = &all(open(text, RecordForm::Csv, 1, None))[0];
        let again = |text: &'static [u8]| Batches::open(text, RecordForm::Csv, 1, Some(&first.end));
        assert!(again(b"a\n1\n2\n3\n4\n").is_ok());
        assert!(matches!(again(b"a\n9\n2\n3\n"), Err(SourceError::Changed { .. })));
        assert!(matches!(again(b"a\n"), Err(SourceError::Changed { .. })));
    }

    #[test]
    fn the_same_records_at_another_place_of_another_table_or_meaning_have_another_key() {
        let batches = all(open(b"a\n1\n1\n", RecordForm::Csv, 1, None));
        let keys = [
            batches[0].request_key(Some("person"), UnnamedColumns::Stay, ""),
            batches[1].request_key(Some("person"), UnnamedColumns::Stay, ""),
            batches[0].request_key(Some("event"), UnnamedColumns::Stay, ""),
            batches[0].request_key(Some("person"), UnnamedColumns::Clear, ""),
            batches[0].request_key(Some("person"), UnnamedColumns::Stay, "x"),
        ];
        assert!(keys.iter().all(|key| key.len() <= 64 && key.is_ascii()));
        assert!((1..keys.len()).all(|at| !keys[..at].contains(&keys[at])), "{keys:?}");
    }

    #[test]
    fn a_quote_that_is_never_closed_is_refused_with_its_line_and_never_held_whole() {
        let mut text = b"a\n1\n\"x".to_vec();
        text.resize(3 * RECORD_BYTES_MAX, b'y');
        let mut batches = open(&text, RecordForm::Csv, 10, None);
        assert!(matches!(batches.next_batch(), Err(SourceError::RecordTooLong { line: 3 })));
        assert!(batches.buffer.len() < 2 * RECORD_BYTES_MAX);
    }
}
