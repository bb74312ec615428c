//! What stands in requests and answers of a node's HTTP interface; shared by `khod`, which answers, and `kho`, which asks.
//!
//! States and alarms are enums. Programs decide on the variants, in JSON each has a stable `code`, and
//! [`kho_messages::report`] renders them for people.
//!
//! Reading order: [`StatusReport`] with [`Health`], [`Finding`] and [`Alarm`]; then entry, answers, proofs and the orders of an operator.

mod alarm;
mod answer;
mod entry;
mod finding;
mod health;
mod operate;
mod proof;
mod reason;
mod set_back;
mod state;
mod status;
mod upgrade;

pub use alarm::{Alarm, AlarmKind, AlarmSubject, Severity};
pub use answer::{Completeness, FoundRow, IndicatorAnswer, IndicatorRow, MissingReason, MissingSite, RowAnswer, SiteAge};
pub use entry::{BatchAccepted, BatchChecked, EmptiedFields, LeftOut, Problem, REQUEST_KEY_HEADER, RowProblem};
pub use finding::Finding;
pub use health::Health;
pub use operate::{BundleImported, DamageExamined, Done, EvidenceReviewed, NodePlace, OriginDiscarded, SiteInit};
pub use proof::{ComparedNode, ComparisonOrder, ComparisonTokens, EvidenceKept, ProofLine, Review, RowHash, RowNamed, StoodAt};
pub use reason::Reason;
pub use set_back::{BranchRow, BranchRows, SiteSetBack};
pub use state::{ParkedReason, ParkedStream, Role, StreamState, UplinkState};
pub use status::{ChildStatus, ConsensusReport, DiskStatus, NodeStatus, StatusReport, StreamReport, UplinkReport};
pub use upgrade::{ChildUpgrade, HeldBack, MemberUpgrade, ParentUpgrade, SupportedLevels, UpgradeReport};

#[cfg(test)]
mod tests;
