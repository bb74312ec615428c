//! Entry: the body of one client request becomes checked changes, or a refusal that names row and column. No HTTP here.
//!
//! ```text
//! chunk ─► gunzip ─► meter: length, hash ─► BOM ─► lines of NDJSON | records of CSV ─► row checks ─► batch ─► CheckedBatch
//!             │              │                              │                            │           │
//!             └──────────────┴───────── stops ──────────────┘          goes on           └───────────┘ ─► EntryRefusal
//! ```
//!
//! The parser is fed as bytes arrive and holds no more than one line, the changes made so far and one key a row.
//!
//! Invariant: a batch is taken whole or refused whole; a refusal names every finding up to a limit
//! (test `promise_10_every_kind_of_bad_body_is_refused_with_its_row_and_column`).
//! Invariant: any bytes in any pieces end in a batch or a refusal, never in a panic (test `promise_10_any_bytes_in_any_pieces_never_panic`).
//! Invariant: a line or a body that is too long is refused when the limit is passed, not when it ends
//! (test `promise_10_a_line_of_a_gigabyte_is_refused_at_the_limit_and_never_held`).
//!
//! A body names columns: CSV by its header, NDJSON by the fields of each row. What it does not name stays as it is, unless the request
//! says that it is cleared ([`UnnamedColumns`]). It names columns that exist at the level of the site (test
//! `a_column_of_a_later_level_is_refused_until_the_site_works_at_it`). What depends on the row that stands is found when the command is applied ([`unmet()`]).
//!
//! Invariant: no row that contradicts itself comes from a row that stands and a body that names a part of it
//! (test `promise_10_columns_that_depend_on_each_other_are_named_together_or_checked_where_the_row_stands`).
//!
//! Taking a row away is not checked against the site's areas: only the origin's own rows can be met, and the row that is
//! taken away is not in the request. Whether it exists is decided when the command is applied.

mod area;
mod batch;
mod csv;
mod fault;
mod format;
mod gunzip;
mod json;
mod limits;
mod ndjson;
mod reader;
mod records;
mod refusal;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod unmet;
mod unnamed;

pub use area::EntryScope;
pub use batch::{BodyPlace, CheckedBatch};
pub use fault::{JsonKind, RowFault};
pub use format::{EntryEncoding, EntryFormat};
pub use limits::EntryLimits;
pub use reader::EntryReader;
pub use refusal::{ENTRY_CODES, EntryCode, EntryError, EntryRefusal, EntryStatus};
pub use schema::{EntrySchema, EntrySchemas};
pub use unmet::unmet;
pub use unnamed::UnnamedColumns;
