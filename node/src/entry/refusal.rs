//! Why a body was refused: findings with row, column and what is wrong there.

use kho_messages::{Lang, Reportable as _};

use self::EntryStatus::{Malformed, TooLarge, Unsupported, WrongRows};
use super::fault::RowFault;

/// Longest name from outside that is repeated in an answer, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// What kind of refusal it is; chooses the HTTP status. When findings of several kinds meet, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryStatus {
    /// The body can be read, but its rows are wrong: 422.
    WrongRows,
    /// The body can't be read: 400.
    Malformed,
    /// The body or a part of it is too long: 413.
    TooLarge,
    /// Another format or encoding than those known: 415.
    Unsupported,
}

impl EntryStatus {
    /// The HTTP status code.
    pub fn http(self) -> u16 {
        match self {
            Self::WrongRows => 422,
            Self::Malformed => 400,
            Self::TooLarge => 413,
            Self::Unsupported => 415,
        }
    }
}

/// A stable word for a kind of finding, and what it means: material for the API's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryCode {
    pub code: &'static str,
    pub status: EntryStatus,
    pub meaning: &'static str,
}

const fn word(code: &'static str, status: EntryStatus, meaning: &'static str) -> EntryCode {
    EntryCode { code, status, meaning }
}

/// Every code of a [`RowFault`]. Codes are only added.
pub const ENTRY_CODES: &[EntryCode] = &[
    word("unsupported_format", Unsupported, "the media type is neither NDJSON nor CSV"),
    word("unsupported_encoding", Unsupported, "the content encoding is neither identity nor gzip"),
    word("body_too_long", TooLarge, "the body, as sent or decompressed, passes its limit"),
    word("line_too_long", TooLarge, "an NDJSON line or a CSV record passes its limit"),
    word("too_many_rows", TooLarge, "the body has more rows than one batch may hold"),
    word("batch_too_long", TooLarge, "the changes together pass the limit of one batch"),
    word("not_gzip", Malformed, "the body is declared gzip, but does not begin like one"),
    word("gzip_corrupt", Malformed, "the compressed data are damaged"),
    word("gzip_truncated", Malformed, "the compressed data end too early"),
    word("gzip_trailing", Malformed, "something that is no gzip member follows the compressed data"),
    word("invalid_utf8", Malformed, "the bytes are no UTF-8 text"),
    word("nul_byte", Malformed, "the text holds a NUL byte"),
    word("empty_body", Malformed, "the body holds no row"),
    word("bad_json", Malformed, "the line is no JSON"),
    word("bad_shape", Malformed, "the line is JSON, but no put and no delete"),
    word("unknown_field", Malformed, "the line's object has a field besides table, row and delete"),
    word("duplicate_field", Malformed, "a field stands twice in the line's object"),
    word("csv_quote", Malformed, "a quote stands inside an unquoted field or text follows a closing quote"),
    word("csv_unterminated_quote", Malformed, "a quoted field is never closed"),
    word("csv_ragged", Malformed, "the record has more or fewer fields than the header"),
    word("unknown_table", WrongRows, "the schema has no such table"),
    word("unknown_column", WrongRows, "the table has no such column"),
    word("column_above_level", WrongRows, "the column exists from a higher level on than the one at which the site works"),
    word("duplicate_column", WrongRows, "a column stands twice in a row or a header"),
    word("unknown_op", WrongRows, "`_op` is neither put nor delete"),
    word("key_missing", WrongRows, "the row has no key"),
    word("key_too_long", WrongRows, "the key is longer than any key may be"),
    word("duplicate_key", WrongRows, "another row of the body has the same table and key"),
    word("row_too_long", WrongRows, "the row is longer than any row may be"),
    word("missing", WrongRows, "a required column is absent"),
    word("nested_value", WrongRows, "an object or a list stands where a value is wanted"),
    word("wrong_type", WrongRows, "the value is of another type than the column"),
    word("wrong_date", WrongRows, "the text is no date of the calendar"),
    word("wrong_form", WrongRows, "the text has not the digits that the column asks for"),
    word("out_of_range", WrongRows, "the number lies outside the column's bounds"),
    word("too_long", WrongRows, "the text has more characters than the column holds"),
    word("control_character", WrongRows, "the text holds a control character"),
    word("unknown_code", WrongRows, "the code does not stand in the column's list"),
    word("not_applicable", WrongRows, "the column is filled, or stays filled, in a row of a kind that does not have it"),
    word("named_without", WrongRows, "a column is named without another on which it depends"),
    word("catalogue_missing", WrongRows, "a unit is given without the catalogue that it belongs to"),
    word("unknown_catalogue", WrongRows, "this node has no such catalogue of units"),
    word("unknown_commune", WrongRows, "the catalogue has no such commune"),
    word("foreign_area", WrongRows, "the commune lies outside the areas whose records this site authors"),
    word("row_missing", WrongRows, "the row that is to be taken away does not exist"),
    word("row_incomplete", WrongRows, "the row does not exist yet, and a new row needs columns that the body does not name"),
];

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryError {
    /// NDJSON: the line. CSV: the data record, from 1; none for the header. None for the body as a whole.
    pub row: Option<u64>,
    /// Line of the decompressed body, from 1, at which the row starts.
    pub line: Option<u64>,
    pub column: Option<String>,
    pub fault: RowFault,
}

impl EntryError {
    /// One of [`ENTRY_CODES`].
    pub fn code(&self) -> &'static str {
        self.fault.code()
    }
}

/// The whole refusal: nothing of the body was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRefusal {
    pub status: EntryStatus,
    /// In the order of the body.
    pub errors: Vec<EntryError>,
    /// Findings beyond those listed.
    pub more: u32,
}

impl std::fmt::Display for EntryRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.errors.len() as u64 + u64::from(self.more);
        match self.errors.first() {
            Some(first) => write!(f, "batch refused with {count} findings, the first: {}", kho_messages::report(Lang::En, &first.fault)),
            None => f.write_str("batch refused"),
        }
    }
}

impl std::error::Error for EntryRefusal {}

impl EntryRefusal {
    /// A refusal with one finding about the request as a whole.
    pub(super) fn whole(fault: RowFault) -> Self {
        Self::at(Place::BODY, None, fault)
    }

    /// A refusal with one finding.
    pub(super) fn at(place: Place, column: Option<&str>, fault: RowFault) -> Self {
        let mut log = ErrorLog::new(1);
        log.add(place, column, fault);
        log.refusal()
    }
}

/// Reading can't go on; the reason is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

/// Where something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub row: Option<u64>,
    pub line: Option<u64>,
}

impl Place {
    /// The body as a whole.
    pub const BODY: Self = Self { row: None, line: None };
}

/// Findings so far.
#[derive(Debug)]
pub(super) struct ErrorLog {
    errors: Vec<EntryError>,
    more: u32,
    errors_max: usize,
    status: EntryStatus,
    found: bool,
}

impl ErrorLog {
    pub fn new(errors_max: usize) -> Self {
        Self { errors: Vec::new(), more: 0, errors_max, status: EntryStatus::WrongRows, found: false }
    }

    /// Notes a finding; reading goes on.
    pub fn add(&mut self, place: Place, column: Option<&str>, fault: RowFault) {
        self.note_kind(fault.code());
        if self.errors.len() < self.errors_max {
            self.push(place, column, fault);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Notes the finding that ends the reading. It is listed even when the list is full.
    pub fn stop(&mut self, place: Place, column: Option<&str>, fault: RowFault) -> Stopped {
        self.note_kind(fault.code());
        self.push(place, column, fault);
        Stopped
    }

    pub fn is_empty(&self) -> bool {
        !self.found
    }

    pub fn refusal(&self) -> EntryRefusal {
        EntryRefusal { status: self.status, errors: self.errors.clone(), more: self.more }
    }

    fn note_kind(&mut self, code: &'static str) {
        self.found = true;
        let kind = ENTRY_CODES.iter().find(|known| known.code == code).map_or(EntryStatus::WrongRows, |known| known.status);
        self.status = self.status.max(kind);
    }

    fn push(&mut self, place: Place, column: Option<&str>, fault: RowFault) {
        self.errors.push(EntryError { row: place.row, line: place.line, column: column.map(cut), fault });
    }
}

/// Findings about one row: adds its place and remembers whether there were any.
pub(super) struct RowLog<'l> {
    log: &'l mut ErrorLog,
    place: Place,
    failed: bool,
}

impl<'l> RowLog<'l> {
    pub fn new(log: &'l mut ErrorLog, place: Place) -> Self {
        Self { log, place, failed: false }
    }

    pub fn add(&mut self, column: Option<&str>, fault: RowFault) {
        self.failed = true;
        self.log.add(self.place, column, fault);
    }

    pub fn failed(&self) -> bool {
        self.failed
    }
}

/// What was given, cut to a length and safe to print.
pub(super) fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(printable).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

/// Escapes what could break a line of output; leaves letters of any script as they are.
fn printable(c: char) -> impl Iterator<Item = char> {
    let (escaped, plain) = if c.is_control() { (Some(c.escape_debug()), None) } else { (None, Some(c)) };
    escaped.into_iter().flatten().chain(plain)
}
