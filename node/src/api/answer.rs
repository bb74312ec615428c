//! Answers to questions, and what they rest on.

use std::collections::BTreeMap;

use kho_messages::{Argument, Arguments, Reportable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Reason;

/// What an answer rests on (promise 9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Completeness {
    /// Sites of the register in the asked area's subtree whose streams are included.
    pub included: u32,
    /// Sites of the register that should be included.
    pub expected: u32,
    /// Every included site is complete up to this time (RFC 3339); absent when one has nothing yet.
    pub complete_up_to: Option<String>,
    /// The site whose newest signed head is oldest.
    pub oldest: Option<SiteAge>,
    /// Sites of which nothing is held, or whose stream is stopped or being rebuilt.
    pub missing: Vec<MissingSite>,
    /// How the answering node read: `linearizable` or `local`.
    pub read: String,
    /// Position of the site's log up to which the answering node had applied.
    pub applied: u64,
    pub answered_by: String,
}

/// How old a site's newest signed head is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteAge {
    pub site: u32,
    pub name: String,
    pub up_to: String,
    pub age_seconds: u64,
}

/// A site that an answer lacks, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingSite {
    pub site: u32,
    pub name: String,
    pub reason: MissingReason,
}

/// Why an answer lacks a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum MissingReason {
    /// Its first whole transfer is under way.
    FirstTransfer {
        origin: u32,
        rows: u64,
    },
    /// It is the answering site, and nothing was entered yet.
    NothingEntered {
        origin: u32,
    },
    /// Nothing of it has arrived yet.
    NothingArrived {
        origin: u32,
    },
    /// A signed head says that nothing was entered there.
    Empty {
        origin: u32,
        up_to: String,
    },
    Stopped {
        origin: u32,
        seq: u64,
        reason: Reason,
    },
    /// Batches are held, but no signed head vouches for them.
    NoHead {
        origin: u32,
    },
    /// The register gives it no origin.
    NoStream,
}

impl Reportable for MissingReason {
    fn subject(&self) -> &'static str {
        "missing"
    }

    fn code(&self) -> &'static str {
        match self {
            Self::FirstTransfer { .. } => "first_transfer",
            Self::NothingEntered { .. } => "nothing_entered",
            Self::NothingArrived { .. } => "nothing_arrived",
            Self::Empty { .. } => "empty",
            Self::Stopped { .. } => "stopped",
            Self::NoHead { .. } => "no_head",
            Self::NoStream => "no_stream",
        }
    }

    fn arguments(&self) -> Arguments {
        match self {
            Self::FirstTransfer { origin, rows } => vec![("origin", Argument::name(origin)), ("rows", (*rows).into())],
            Self::NothingEntered { origin } | Self::NothingArrived { origin } | Self::NoHead { origin } => {
                vec![("origin", Argument::name(origin))]
            }
            Self::Empty { origin, up_to } => vec![("origin", Argument::name(origin)), ("up_to", Argument::name(up_to))],
            Self::Stopped { origin, seq, reason } => {
                vec![("origin", Argument::name(origin)), ("seq", Argument::name(seq)), ("reason", reason.to_argument())]
            }
            Self::NoStream => vec![],
        }
    }
}

/// A table of numbers: the answer to an indicator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorAnswer {
    pub indicator: String,
    pub label: String,
    /// Names of the grouping columns, in order.
    pub by: Vec<String>,
    /// Names of the value columns, in order.
    pub values: Vec<String>,
    pub rows: Vec<IndicatorRow>,
    /// Reference date of ages, where ages matter.
    pub at: Option<String>,
    pub completeness: Completeness,
}

/// One line of an indicator's table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorRow {
    /// One text per grouping column.
    pub group: Vec<String>,
    /// One number per value column; absent where it can't be computed (a rate over nobody).
    pub values: Vec<Option<f64>>,
}

/// The answer to a look-up by key: every origin that holds the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowAnswer {
    pub table: String,
    pub key: String,
    pub found: Vec<FoundRow>,
    pub completeness: Completeness,
}

/// A row as one origin holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundRow {
    pub origin: u32,
    pub site_name: String,
    pub seq: u64,
    pub changed_at: String,
    /// Columns by name, as text; columns unknown to this schema by number.
    pub columns: BTreeMap<String, String>,
}
