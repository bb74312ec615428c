//! Persons without end: the same synthetic ones again and again, each time under keys of their own.
//!
//! A country's rows would not fit the memory of a client. What a row costs depends on its length, its values and its key, and of
//! these only the key may not come again. Rows are numbered; the keys of a later round sort behind those of an earlier one, as in an
//! initial load, commune by commune.

use std::{ops::Range, sync::Arc};

use crate::persons::{PersonBatch, Persons};

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stock {
    persons: Arc<Persons>,
}

impl Stock {
    /// Over at least one person.
    pub fn over(persons: Arc<Persons>) -> Self {
        Self { persons }
    }

    /// These rows, at least one.
    pub fn batch(&self, rows: Range<u64>) -> PersonBatch {
        let mut body = self.persons.header().to_vec();
        let header_bytes = body.len();
        for row in rows.clone() {
            self.add_row(row, &mut body);
        }
        PersonBatch::new(&format!("stock-{}-{}", rows.start, rows.end), rows.end - rows.start, body.into(), header_bytes)
    }

    /// These rows in batches of at most `batch_rows`.
    pub fn batches(&self, rows: Range<u64>, batch_rows: u64) -> Vec<PersonBatch> {
        let starts = (rows.start..rows.end).step_by(usize::try_from(batch_rows).unwrap_or(usize::MAX));
        starts.map(|start| self.batch(start..rows.end.min(start + batch_rows))).collect()
    }

    /// The person's own row with the number of its round before person and household, its first two fields.
    fn add_row(&self, row: u64, body: &mut Vec<u8>) {
        let (round, person) = (row / self.persons.count(), row % self.persons.count());
        let round = format!("{round:04}");
        let text = self.persons.row(person);
        let end_of_key = text.iter().position(|byte| *byte == b',').map_or(text.len(), |comma| comma + 1);
        let (key, rest) = text.split_at(end_of_key);
        for part in [round.as_bytes(), key, round.as_bytes(), rest] {
            body.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_person_comes_again_under_a_later_key_and_another_household_and_else_unchanged() {
        let dir = tempfile::tempdir().expect("a folder");
        let stock = Stock::over(Arc::new(Persons::synthesise(&dir.path().join("population"), 40).expect("made")));
        let batches = stock.batches(0..90, 35);
        assert_eq!(batches.iter().map(|batch| batch.rows).collect::<Vec<_>>(), [35, 35, 20]);
        let text: Vec<u8> = batches.iter().flat_map(|batch| batch.csv_rows().to_vec()).collect();
        let rows: Vec<Vec<&str>> = std::str::from_utf8(&text).expect("text").lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(rows.len(), 90);
        let keys: BTreeSet<&str> = rows.iter().map(|row| row[0]).collect();
        assert_eq!(keys.len(), 90, "no key comes twice");
        assert!(rows[..40].iter().all(|row| rows[40..].iter().all(|later| row[0] < later[0])));
        for (row, again) in rows.iter().zip(&rows[40..]) {
            assert_eq!(row[2..], again[2..]);
            for key in [0, 1] {
                assert_ne!(row[key], again[key]);
                assert_eq!(row[key][4..], again[key][4..]);
            }
        }
        assert_eq!(batches[2].last_key, rows[89][0]);
        assert!(batches[0].columns().starts_with("person_id,household_id,"));
    }
}
