//! What may be wrong with a body or a row: one kind a text.
//!
//! Invariant: every kind has a text and a hint in every language (test `every_fault_has_a_text_and_a_hint_in_every_language`).

use kho_messages::{Argument, Message, Ordinal};
use kho_storage::schema::{Schema, ValueError};

/// Codes of a list that a hint names.
const CODES_SHOWN_MAX: usize = 8;

kho_messages::reportable! {
    /// What is wrong with a body or a row. Texts from outside are cut and safe to print (see [`super::refusal::cut`]).
    pub enum RowFault in "row" {
        UnsupportedFormat { given: String } = "unsupported_format",
        UnsupportedEncoding { given: String } = "unsupported_encoding",

        BodyTooLong { bytes_max: u64 } = "body_too_long",
        LineTooLong { bytes_max: usize } = "line_too_long",
        RecordTooLong { bytes_max: usize } = "line_too_long" as "record_too_long",
        /// A record that is too long because of a quote that may not be closed.
        QuotedRecordTooLong { bytes_max: usize } = "line_too_long" as "quoted_record_too_long",
        TooManyRows { rows_max: u64 } = "too_many_rows",
        BatchTooLong { bytes_max: usize } = "batch_too_long",

        NotGzip {} = "not_gzip",
        GzipCorrupt { bytes: u64 } = "gzip_corrupt",
        GzipTruncated { bytes: u64 } = "gzip_truncated",
        GzipTrailing {} = "gzip_trailing",
        InvalidUtf8 { byte: Ordinal } = "invalid_utf8",
        NulByte { byte: Ordinal } = "nul_byte",
        EmptyBody {} = "empty_body",

        BadJson { byte: Ordinal, detail: String } = "bad_json",
        LineNotAnObject { detail: String } = "bad_shape" as "line_not_an_object",
        LineWithoutTable {} = "bad_shape" as "line_without_table",
        RowNotAnObject {} = "bad_shape" as "row_not_an_object",
        NeitherRowNorDelete {} = "bad_shape" as "neither_row_nor_delete",
        BothRowAndDelete {} = "bad_shape" as "both_row_and_delete",
        UnknownField { given: String } = "unknown_field",
        DuplicateField { field: &'static str } = "duplicate_field",

        CsvQuote { field: Ordinal } = "csv_quote",
        CsvUnterminatedQuote {} = "csv_unterminated_quote",
        CsvRagged { fields: usize, wanted: usize } = "csv_ragged",

        UnknownTable { given: String, tables: String } = "unknown_table",
        TableNotNamed {} = "unknown_table" as "table_not_named",
        UnknownColumn { table: String, given: String, columns: String } = "unknown_column",
        ColumnAboveLevel { column: String, level: Ordinal, site_level: Ordinal } = "column_above_level",
        /// The header's columns seem to be separated by something else than commas.
        OtherSeparator { table: String, given: String } = "unknown_column" as "other_separator",
        DuplicateColumn { column: String } = "duplicate_column",
        DuplicateHeader { column: String } = "duplicate_column" as "duplicate_header",
        UnknownOperation { given: String } = "unknown_op" as "unknown_operation",

        KeyMissing { table: String, column: String } = "key_missing",
        KeyColumnMissing { column: String } = "key_missing" as "key_column_missing",
        KeyTooLong { bytes: usize, bytes_max: usize } = "key_too_long",
        DuplicateKey { first: Ordinal, again: Ordinal, given: String, table: String } = "duplicate_key",
        RowTooLong { bytes: usize, bytes_max: usize } = "row_too_long",
        Missing { column: String } = "missing",
        ColumnMissing { column: String } = "missing" as "column_missing",
        /// The row that is to be taken away does not exist. Found when the batch is applied.
        RowMissing {} = "row_missing",
        /// There is no such row yet, and the body does not name all columns of a new one. Found when the batch is applied.
        RowIncomplete { table: String, columns: String } = "row_incomplete",

        NestedValue { found: JsonKind } = "nested_value",
        KeyNotText { found: JsonKind } = "wrong_type" as "key_not_text",
        NotText { found: JsonKind } = "wrong_type" as "not_text",
        NumberNotWanted { number: String, wanted: &'static str } = "wrong_type" as "number_not_wanted",
        NotAWholeNumber { given: String } = "wrong_type" as "not_a_whole_number",
        NotAUnitCode { given: String } = "wrong_type" as "not_a_unit_code",
        NotADate { given: String } = "wrong_date",
        NotDigits { given: String, digits: usize } = "wrong_form",
        OutOfRange { number: i64, min: i64, max: i64 } = "out_of_range",
        TooLong { chars: usize, chars_max: usize } = "too_long",
        ControlCharacter { character: String } = "control_character",
        UnknownCode { given: String, list: String, codes: String } = "unknown_code",
        NotApplicable { column: String, by: String, given: String, allowed: String } = "not_applicable",
        NotApplicableWithout { column: String, by: String, allowed: String } = "not_applicable" as "not_applicable_without",
        /// The row that stands has the column filled, and the body does not name it. Found when the batch is applied.
        StaysFilled { column: String, by: String, allowed: String } = "not_applicable" as "stays_filled",
        NamedWithout { column: String, by: String } = "named_without",

        CatalogueMissing { unit: String, column: String } = "catalogue_missing",
        UnknownCatalogue { given: String } = "unknown_catalogue",
        UnknownCommune { unit: String, catalogue: String, column: String } = "unknown_commune",
        ForeignArea { unit: String, name: String, catalogue: String, areas: String } = "foreign_area",
        /// As [`RowFault::ForeignArea`], at a site that the register gives no area.
        NoArea { unit: String, name: String, catalogue: String } = "foreign_area" as "no_area",
    }
}

impl RowFault {
    /// What a value's reader found in a column of `schema`.
    pub(super) fn of_value(schema: &Schema, error: ValueError) -> Self {
        match error {
            ValueError::NotWholeNumber { given } => Self::NotAWholeNumber { given },
            ValueError::OutOfRange { number, min, max } => Self::OutOfRange { number, min, max },
            ValueError::NotADate { given } => Self::NotADate { given },
            ValueError::NotAUnitCode { given } => Self::NotAUnitCode { given },
            ValueError::ControlCharacter { character } => Self::ControlCharacter { character: format!("U+{:04X}", u32::from(character)) },
            ValueError::TooLong { chars, chars_max } => Self::TooLong { chars, chars_max },
            ValueError::NotDigits { given, digits } => Self::NotDigits { given, digits },
            ValueError::UnknownCode { given, list } => {
                let codes = schema.code_list(&list).map(|list| list.codes.as_slice()).unwrap_or_default();
                let mut names: Vec<&str> = codes.iter().take(CODES_SHOWN_MAX).map(|code| code.code.as_str()).collect();
                if codes.len() > CODES_SHOWN_MAX {
                    names.push("…");
                }
                Self::UnknownCode { given, codes: names.join(", "), list }
            }
        }
    }
}

/// What stands in the place of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonKind {
    Null,
    Text,
    Number,
    Fraction,
    Truth,
    Object,
    List,
}

impl JsonKind {
    #[cfg(test)]
    pub(super) const ALL: [Self; 7] = [Self::Null, Self::Text, Self::Number, Self::Fraction, Self::Truth, Self::Object, Self::List];

    /// The name of its text, behind `json-`.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text => "text",
            Self::Number => "number",
            Self::Fraction => "fraction",
            Self::Truth => "truth",
            Self::Object => "object",
            Self::List => "list",
        }
    }
}

impl From<JsonKind> for Argument {
    fn from(kind: JsonKind) -> Self {
        Message { id: format!("json-{}", kind.code()), arguments: vec![] }.into()
    }
}

#[cfg(test)]
mod tests {
    use kho_messages::coverage;

    use super::*;

    #[test]
    fn every_fault_has_a_text_and_a_hint_in_every_language() {
        assert_eq!(coverage::declared_gaps(RowFault::SUBJECT, RowFault::TEXTS, &["hint"]), Vec::<String>::new());
        for kind in JsonKind::ALL {
            assert!(coverage::has(&format!("json-{}", kind.code())), "{kind:?}");
        }
    }
}
