//! What an import came to: counts by file, findings with the file's own rows and lines.

use std::{fmt::Write as _, time::Duration};

use kho_node::{
    api::{EmptiedFields, LeftOut, Problem, RowProblem},
    entry::UnnamedColumns,
};
use serde::Serialize;

use crate::commands::print::{self, grouped, number};

/// Findings beyond these are counted, not kept.
const FINDINGS_MAX: usize = 200;

/// What one file, or all of them, came to.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct Tally {
    /// Rows entered by this run.
    pub rows: u64,
    pub batches: u64,
    /// Rows that an earlier run had entered; nothing was done again.
    pub repeated_rows: u64,
    pub repeated_batches: u64,
    pub refused_rows: u64,
    pub refused_batches: u64,
    /// Bytes of accepted batches.
    pub bytes: u64,
    pub seconds: f64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.batches += other.batches;
        self.repeated_rows += other.repeated_rows;
        self.repeated_batches += other.repeated_batches;
        self.refused_rows += other.refused_rows;
        self.refused_batches += other.refused_batches;
        self.bytes += other.bytes;
        self.seconds += other.seconds;
    }

    pub fn rows_per_second(&self) -> f64 {
        if self.seconds > 0.0 { (self.rows as f64 / self.seconds).round() } else { 0.0 }
    }
}

/// How far a file got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileEnd {
    Complete,
    /// To the end, without its refused batches.
    Refused,
    /// Up to a refused batch.
    Stopped,
    /// Up to where the site could no longer be reached, or the user stopped it.
    Interrupted,
}

/// One file's outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileReport {
    pub file: String,
    pub end: FileEnd,
    /// The file was only checked: nothing of it was entered.
    pub dry_run: bool,
    /// Rows that an interrupted import had brought in; passed over here.
    pub resumed_after_rows: u64,
    /// What became of columns that the file does not name.
    pub unnamed: UnnamedColumns,
    /// Those columns, by table, in the rows that this run entered.
    pub left_out: Vec<LeftOut>,
    /// In a dry run: fields that hold something now and would be empty.
    pub emptied: Vec<EmptiedFields>,
    #[serde(flatten)]
    pub tally: Tally,
}

/// Adds what one batch left out to what a file left out so far.
pub fn add_left_out(sum: &mut Vec<LeftOut>, batch: &[LeftOut]) {
    for more in batch {
        match sum.iter_mut().find(|known| known.table == more.table) {
            Some(known) => {
                known.rows = known.rows.saturating_add(more.rows);
                let new = more.columns.iter().filter(|column| !known.columns.contains(column)).cloned().collect::<Vec<_>>();
                known.columns.extend(new);
            }
            None => sum.push(more.clone()),
        }
    }
}

/// Adds what one batch would empty to what a file would so far.
pub fn add_emptied(sum: &mut Vec<EmptiedFields>, batch: &[EmptiedFields]) {
    for more in batch {
        match sum.iter_mut().find(|known| (&known.table, &known.column) == (&more.table, &more.column)) {
            Some(known) => known.fields += more.fields,
            None => sum.push(more.clone()),
        }
    }
}

/// A refused batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RefusedBatch {
    pub file: String,
    pub first_row: u64,
    pub last_row: u64,
    /// Its findings bear the file's rows and lines.
    pub problem: Problem,
}

/// Everything that is said at the end.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct ImportSummary {
    pub files: Vec<FileReport>,
    pub total: Tally,
    pub rows_per_second: f64,
    pub refused: Vec<RefusedBatch>,
    /// Findings beyond those listed.
    pub findings_not_listed: u64,
    #[serde(skip)]
    findings: usize,
}

impl ImportSummary {
    pub fn add_file(&mut self, report: FileReport) {
        self.total.add(&report.tally);
        self.files.push(report);
    }

    /// The time of the whole run, in which files may have overlapped.
    pub fn took(&mut self, elapsed: Duration) {
        self.total.seconds = elapsed.as_secs_f64();
        self.rows_per_second = self.total.rows_per_second();
    }

    /// Keeps a refused batch, with as many of its findings as still fit.
    pub fn add_refused(&mut self, mut batch: RefusedBatch) {
        let room = FINDINGS_MAX.saturating_sub(self.findings);
        let left_out = batch.problem.errors.len().saturating_sub(room);
        batch.problem.errors.truncate(room);
        self.findings_not_listed += left_out as u64 + u64::from(batch.problem.more);
        self.findings += batch.problem.errors.len().max(1);
        if room > 0 {
            self.refused.push(batch);
        }
    }

    pub fn any_refused(&self) -> bool {
        self.total.refused_batches > 0
    }

    /// Findings and a table, for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for batch in &self.refused {
            // Writing to a String never fails.
            let _ = writeln!(text, "{}", refused_text(batch));
        }
        if self.findings_not_listed > 0 {
            let _ = writeln!(text, "… and {} more findings", grouped(self.findings_not_listed));
        }
        let mut table = print::table(&["file", "rows", "batches", "in before", "refused", "seconds", "rows/s", ""]);
        for report in &self.files {
            let resumed = if report.resumed_after_rows > 0 {
                format!(", resumed after row {}", grouped(report.resumed_after_rows))
            } else {
                String::new()
            };
            add_line(&mut table, &report.file, &report.tally, format!("{}{resumed}", end_word(report.end)));
        }
        if self.files.len() != 1 {
            add_line(&mut table, "total", &self.total, String::new());
        }
        let _ = write!(text, "{table}");
        for report in &self.files {
            for left_out in &report.left_out {
                let _ = write!(text, "\n{}", left_out_text(report, left_out));
            }
            if report.dry_run {
                let _ = write!(text, "\n{}", emptied_text(report));
            }
        }
        text
    }
}

fn add_line(table: &mut comfy_table::Table, name: &str, tally: &Tally, end: String) {
    table.add_row([
        name.into(),
        number(grouped(tally.rows)),
        number(grouped(tally.batches)),
        number(grouped(tally.repeated_rows)),
        number(grouped(tally.refused_rows)),
        number(format!("{:.1}", tally.seconds)),
        number(print::amount(Some(tally.rows_per_second()))),
        end.into(),
    ]);
}

fn end_word(end: FileEnd) -> &'static str {
    match end {
        FileEnd::Complete => "complete",
        FileEnd::Refused => "without refused batches",
        FileEnd::Stopped => "stopped at a refused batch",
        FileEnd::Interrupted => "interrupted",
    }
}

fn left_out_text(report: &FileReport, left_out: &LeftOut) -> String {
    let LeftOut { table, columns, rows } = left_out;
    let what = match report.unnamed {
        UnnamedColumns::Stay => "columns that the file does not name stay as they are",
        UnnamedColumns::Clear if report.dry_run => "columns that the file does not name would be empty",
        UnnamedColumns::Clear => "columns that the file does not name are empty now",
    };
    format!("{}, {} rows of {table}: {what}: {}", report.file, grouped((*rows).into()), columns.join(", "))
}

fn emptied_text(report: &FileReport) -> String {
    let fields: u64 = report.emptied.iter().map(|emptied| emptied.fields).sum();
    let columns = report.emptied.iter().map(|emptied| format!("{}.{} {}", emptied.table, emptied.column, grouped(emptied.fields)));
    let columns: Vec<String> = columns.collect();
    let listed = if columns.is_empty() { String::new() } else { format!(": {}", columns.join(", ")) };
    format!("{}, nothing was entered: {} fields that hold something now would be emptied{listed}", report.file, grouped(fields))
}

fn refused_text(batch: &RefusedBatch) -> String {
    let mut text = format!(
        "{}, rows {} to {}, none of them entered: {} ({})",
        batch.file, batch.first_row, batch.last_row, batch.problem.message, batch.problem.code
    );
    if batch.problem.errors.is_empty() && !batch.problem.hint.is_empty() {
        let _ = write!(text, "\n  hint: {}", batch.problem.hint);
    }
    for finding in &batch.problem.errors {
        let _ = write!(text, "\n  {}", finding_text(finding));
    }
    text
}

/// `line 7, row 5, column sex: … (code); hint`.
fn finding_text(finding: &RowProblem) -> String {
    let places = [
        ("line", finding.line.map(|line| line.to_string())),
        ("row", finding.row.map(|row| row.to_string())),
        ("column", finding.column.clone()),
    ];
    let place: Vec<String> = places.into_iter().filter_map(|(what, value)| value.map(|value| format!("{what} {value}"))).collect();
    let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join(", ")) };
    format!("{place}{} ({}); {}", finding.message, finding.code, finding.hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(findings: usize, more: u32) -> RefusedBatch {
        let finding = RowProblem {
            row: Some(5),
            line: Some(7),
            column: Some("sex".into()),
            code: "unknown_code".into(),
            message: "`x` is not a valid code".into(),
            hint: "use male or female".into(),
        };
        let problem = Problem {
            code: "bad_rows".into(),
            message: "refused".into(),
            hint: "correct the rows".into(),
            retry_after_ms: None,
            errors: vec![finding; findings],
            more,
        };
        RefusedBatch { file: "person.csv".into(), first_row: 1, last_row: 9, problem }
    }

    #[test]
    fn promise_10_a_refused_batch_is_reported_with_file_line_row_and_column() {
        let mut summary = ImportSummary::default();
        summary.add_refused(refused(1, 0));
        let text = summary.text();
        assert!(text.contains("person.csv, rows 1 to 9, none of them entered: refused (bad_rows)\n  line 7, row 5, column sex: `x` is not a valid code (unknown_code); use male or female"), "{text}");
    }

    #[test]
    fn columns_that_a_file_does_not_name_are_listed_with_what_became_of_them() {
        let left_out = |columns: &[&str], rows| LeftOut {
            table: "person".into(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows,
        };
        let told = |unnamed| {
            let mut report = FileReport {
                file: "person.csv".into(),
                end: FileEnd::Complete,
                dry_run: false,
                resumed_after_rows: 0,
                unnamed,
                left_out: vec![],
                emptied: vec![],
                tally: Tally::default(),
            };
            add_left_out(&mut report.left_out, &[left_out(&["pin", "birth_date"], 5_000)]);
            add_left_out(&mut report.left_out, &[left_out(&["pin", "marital"], 2)]);
            let mut summary = ImportSummary::default();
            summary.add_file(report);
            summary.text()
        };
        let (stay, clear) = (told(UnnamedColumns::Stay), told(UnnamedColumns::Clear));
        assert!(
            stay.contains(
                "person.csv, 5,002 rows of person: columns that the file does not name stay as they are: pin, birth_date, marital"
            ),
            "{stay}"
        );
        assert!(clear.contains("columns that the file does not name are empty now: pin, birth_date, marital"), "{clear}");
    }

    #[test]
    fn a_dry_run_says_how_many_fields_would_be_emptied() {
        let emptied = |column: &str, fields| EmptiedFields { table: "person".into(), column: column.into(), fields };
        let mut report = FileReport {
            file: "person.csv".into(),
            end: FileEnd::Complete,
            dry_run: true,
            resumed_after_rows: 0,
            unnamed: UnnamedColumns::Clear,
            left_out: vec![],
            emptied: vec![],
            tally: Tally::default(),
        };
        let told = |report: &FileReport| {
            let mut summary = ImportSummary::default();
            summary.add_file(report.clone());
            summary.text()
        };
        let nothing = told(&report);
        assert!(nothing.ends_with("person.csv, nothing was entered: 0 fields that hold something now would be emptied"), "{nothing}");
        add_emptied(&mut report.emptied, &[emptied("pin", 5_000), emptied("birth_date", 3)]);
        add_emptied(&mut report.emptied, &[emptied("pin", 2)]);
        let told = told(&report);
        assert!(told.ends_with("5,005 fields that hold something now would be emptied: person.pin 5,002, person.birth_date 3"), "{told}");
    }

    #[test]
    fn findings_beyond_the_bound_are_counted_and_not_kept() {
        let mut summary = ImportSummary::default();
        for _ in 0..5 {
            summary.add_refused(refused(100, 3));
        }
        assert_eq!(summary.refused.iter().map(|batch| batch.problem.errors.len()).sum::<usize>(), FINDINGS_MAX);
        assert_eq!(summary.findings_not_listed, 300 + 15);
        assert!(summary.text().contains("… and 315 more findings"));
    }
}
