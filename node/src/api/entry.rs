//! Entry: a batch that was taken, and a refusal of anything, in one shape.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Header under which a client names its request, so that a retry is applied once. At most 64 bytes of printable ASCII.
pub const REQUEST_KEY_HEADER: &str = "kho-request-key";

/// A batch was committed: it is on the disks of a majority of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchAccepted {
    pub origin: u32,
    pub epoch: String,
    pub seq: u64,
    /// Rows put or taken away.
    pub rows: u32,
    /// The same request was committed before; nothing was applied again.
    pub repeated: bool,
    pub request_key: String,
    /// Columns that the body did not name, by table; empty when every row named all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// What a body would do. Nothing was entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchChecked {
    /// Rows put or taken away.
    pub rows: u32,
    /// Fields of rows that stand which hold something and would be empty, by table and column.
    pub emptied: Vec<EmptiedFields>,
    /// Columns that the body did not name, by table; empty when every row named all of them.
    pub left_out: Vec<LeftOut>,
}

/// Fields of one column that would be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmptiedFields {
    pub table: String,
    pub column: String,
    pub fields: u64,
}

/// Columns of one table that rows of a body did not name. They stayed as they were, or were cleared where the request said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOut {
    pub table: String,
    /// Named by not every row, in the order of their numbers.
    pub columns: Vec<String>,
    /// Rows put that did not name all columns of the table.
    pub rows: u32,
}

/// Anything that went wrong, in one shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A stable word that programs may rely on.
    pub code: String,
    pub message: String,
    /// What to do about it.
    pub hint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Rows and columns at fault, for a refused batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RowProblem>,
    /// Errors found beyond those listed.
    #[serde(default)]
    pub more: u32,
}

/// One error of a refused batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowProblem {
    /// Number of the record, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Line of the body, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    pub code: String,
    pub message: String,
    pub hint: String,
}
