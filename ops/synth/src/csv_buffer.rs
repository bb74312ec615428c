//! Rows of RFC 4180 CSV, written by hand into one byte buffer: a nation is a hundred million rows.

use jiff::civil::Date;

use crate::resident::DatePrecision;

/// Whole rows waiting to be written to a file.
#[derive(Debug, Default)]
pub(super) struct CsvBuffer {
    bytes: Vec<u8>,
    is_within_row: bool,
}

impl CsvBuffer {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    fn next_field(&mut self) {
        if self.is_within_row {
            self.bytes.push(b',');
        }
        self.is_within_row = true;
    }

    pub(super) fn empty(&mut self) {
        self.next_field();
    }

    /// A field that is known to need no quotes: codes, numbers, names from our own lists.
    pub(super) fn plain(&mut self, text: &str) {
        self.next_field();
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A field made of several pieces that need no quotes.
    pub(super) fn plain_parts(&mut self, parts: &[&[u8]]) {
        self.next_field();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Free text, quoted where needed.
    pub(super) fn text(&mut self, text: &str) {
        self.next_field();
        if !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
            return self.bytes.extend_from_slice(text.as_bytes());
        }
        self.bytes.push(b'"');
        for byte in text.bytes() {
            if byte == b'"' {
                self.bytes.push(b'"');
            }
            self.bytes.push(byte);
        }
        self.bytes.push(b'"');
    }

    pub(super) fn number(&mut self, number: u32) {
        let width = number.checked_ilog10().unwrap_or(0) as usize + 1;
        self.plain_parts(&[&digits::<10>(u64::from(number))[10 - width..]]);
    }

    pub(super) fn date(&mut self, date: Date, known: DatePrecision) {
        let year = digits::<4>(date.year().unsigned_abs().into());
        let month = digits::<2>(date.month().unsigned_abs().into());
        let day = digits::<2>(date.day().unsigned_abs().into());
        match known {
            DatePrecision::Day => self.plain_parts(&[&year, b"-", &month, b"-", &day]),
            DatePrecision::Month => self.plain_parts(&[&year, b"-", &month]),
            DatePrecision::Year => self.plain_parts(&[&year]),
        }
    }

    pub(super) fn end_row(&mut self) {
        self.bytes.extend_from_slice(b"\r\n");
        self.is_within_row = false;
    }
}

/// The last `N` decimal digits of a number, as ASCII.
pub(super) fn digits<const N: usize>(mut number: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let mut row = CsvBuffer::default();
        row.number(0);
        row.number(4_294_967_295);
        row.text("Số 5, \"hẻm\" 2");
        row.empty();
        row.date(Date::constant(2019, 4, 1), DatePrecision::Day);
        row.date(Date::constant(931, 4, 1), DatePrecision::Month);
        row.plain_parts(&[b"26734", &digits::<6>(12)]);
        row.end_row();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(row.as_bytes());
        let record = reader.records().next().expect("one row").expect("well formed");
        let fields: Vec<&str> = record.iter().collect();
        assert_eq!(fields, ["0", "4294967295", "Số 5, \"hẻm\" 2", "", "2019-04-01", "0931-04", "26734000012"]);
    }
}
