//! Records to enter: persons by number, so that the same number is the same row wherever it is entered or read.

use std::{
    fmt::Write as _,
    io::{BufWriter, Write as _},
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use kho_node::entry::UnnamedColumns;
use kho_ops::client::BatchUpload;

/// Columns of a person's row in CSV, the key first.
pub const COLUMNS: [&str; 10] = [
    "person_id",
    "household_id",
    "seq",
    "full_name",
    "birth_date",
    "sex",
    "marital",
    "residence_status",
    "commune_code",
    "catalogue_version",
];

fn header() -> String {
    format!("{}\n", COLUMNS.join(","))
}

/// Persons of one commune. They are invented: `name` sets the keys of one source apart from another's.
#[derive(Debug, Clone)]
pub struct People {
    name: String,
    commune: &'static str,
}

impl People {
    pub fn new(name: impl Into<String>, commune: &'static str) -> Self {
        Self { name: name.into(), commune }
    }

    /// Key of person `number`.
    pub fn key(&self, number: u64) -> String {
        format!("{}-{number:08}", self.name)
    }

    /// Full name of person `number`, as it is entered.
    pub fn full_name(&self, number: u64) -> String {
        format!("Nguyễn Văn Thử Nghiệm {number:08}")
    }

    /// CSV of these persons, with its header.
    pub fn csv(&self, numbers: Range<u64>) -> String {
        let mut text = header();
        for number in numbers {
            self.add_row(&mut text, number);
        }
        text
    }

    /// Writes `person.csv` into `dir`, in which nothing else is.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write_csv(&self, dir: &Path, numbers: Range<u64>) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("person.csv");
        let mut file = BufWriter::new(std::fs::File::create(&path)?);
        file.write_all(header().as_bytes())?;
        let mut row = String::new();
        for number in numbers {
            row.clear();
            self.add_row(&mut row, number);
            file.write_all(row.as_bytes())?;
        }
        file.flush()?;
        Ok(path)
    }

    /// The request key of [`Self::batch`].
    pub fn request_key(&self, numbers: &Range<u64>) -> String {
        format!("{}-{}-{}", self.name, numbers.start, numbers.end)
    }

    /// A batch of these persons. The request key follows from the numbers, so a retry is known as one.
    pub fn batch(&self, numbers: Range<u64>) -> BatchUpload {
        BatchUpload {
            request_key: self.request_key(&numbers),
            table: Some("person".into()),
            content_type: "text/csv",
            unnamed: UnnamedColumns::Stay,
            body: Bytes::from(self.csv(numbers)),
        }
    }

    /// The row of person `number`, as CSV without its end.
    pub fn row(&self, number: u64) -> String {
        let mut text = String::new();
        self.add_row(&mut text, number);
        text.trim_end().to_owned()
    }

    fn add_row(&self, text: &mut String, number: u64) {
        let sex = if number.is_multiple_of(2) { "female" } else { "male" };
        let (year, month, day) = (1930 + number % 89, 1 + number % 12, 1 + number % 28);
        let (key, full_name) = (self.key(number), self.full_name(number));
        // Writing to a String never fails.
        let _ = writeln!(
            text,
            "{key},H{},1,{full_name},{year}-{month:02}-{day:02},{sex},single,permanent,{},legacy-63",
            number / 4,
            self.commune
        );
    }
}
