//! The formats and encodings in which a body may come, and the names that choose them.

use super::{
    fault::RowFault,
    refusal::{EntryRefusal, cut},
};

/// How rows are written in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryFormat {
    /// One JSON object a line: `{"table":"person","row":{…}}` puts a row, `{"table":"person","delete":"KEY"}` takes one away. A row
    /// names the columns that it holds; `null` or an empty text clears one.
    Ndjson,
    /// RFC 4180 with commas; the header names columns in any order, and an empty field clears one. The optional column `_op` holds `put` (also when
    /// empty) or `delete`; of a delete only the key is read.
    Csv { table: String },
}

/// How the body is compressed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum EntryEncoding {
    #[default]
    Identity,
    /// RFC 1952, one or more members.
    Gzip,
}

impl EntryFormat {
    /// The format of a media type; parameters are ignored. `table` is needed for CSV only.
    ///
    /// # Errors
    /// `unsupported_format`, or `unknown_table` when CSV comes without a table.
    pub fn of_media_type(media_type: &str, table: Option<&str>) -> Result<Self, EntryRefusal> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match (essence.as_str(), table) {
            ("application/x-ndjson" | "application/ndjson" | "application/jsonl", _) => Ok(Self::Ndjson),
            ("text/csv", Some(table)) => Ok(Self::Csv { table: table.into() }),
            ("text/csv", None) => Err(EntryRefusal::whole(RowFault::TableNotNamed {})),
            _ => Err(EntryRefusal::whole(RowFault::UnsupportedFormat { given: cut(media_type) })),
        }
    }

    /// The name that goes into the body hash.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv { .. } => "csv",
        }
    }

    pub(super) fn table(&self) -> &str {
        match self {
            Self::Ndjson => "",
            Self::Csv { table } => table,
        }
    }
}

impl EntryEncoding {
    /// The encoding of a `Content-Encoding`; empty is identity.
    ///
    /// # Errors
    /// `unsupported_encoding`.
    pub fn of_content_encoding(encoding: &str) -> Result<Self, EntryRefusal> {
        match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            _ => Err(EntryRefusal::whole(RowFault::UnsupportedEncoding { given: cut(encoding) })),
        }
    }
}
