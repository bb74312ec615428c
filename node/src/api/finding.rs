//! What stands in the data and calls for an operator.

use kho_messages::{Argument, Arguments, Reportable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Reason, Severity};

/// Something that stands in what the node holds and calls for an operator. It is read from the data each time, so it survives a restart,
/// and it ends only when what it rests on is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Finding {
    /// The site adopts this origin no more. Ends with `kho origin resume`.
    OriginStopped { origin: u32, seq: u64, reason: Reason },
    /// This site stood further with its own origin, or in another history of it: its disks came back older. Entry is closed. Ends when
    /// the stream has caught up with what was shown.
    SiteSetBack {
        origin: u32,
        shown_by: Reason,
        /// Last batch that was shown.
        shown_seq: u64,
        /// Last batch that stood here when the word came.
        seq: u64,
        /// First batch that a bundle should hold.
        wanted_from: u64,
    },
    /// A node of the site no longer holds entries that it had acknowledged: its disk came back older. No leader builds on it any more.
    /// Ends when the node is removed.
    NodeTurnedBack { node: u64 },
    /// The data on a node's disk are not those that a majority of the site computed. It has stopped. Ends when the node is removed.
    NodeDiverged { node: u64, place: Reason },
    /// A read found this node's disk damaged. Ends with `kho verify` at the node and `kho node damage-examined`.
    DamageFound { found_at: String, what: String },
    /// The rows on this node's disk did not agree with the digest or the cubes beside them. Ends with a proof that holds.
    ProofFailed { origin: u32, seq: u64, found_at: String, rows: u64, stored_rows: u64, cube_differences: u64 },
    /// Second histories, and rows that did not match their signed head, were refused and kept in the site's state, and no operator has
    /// reviewed them. Ends with `kho fork review`.
    EvidenceKept {
        origin: u32,
        pieces: u64,
        /// Batch of the head that came with the first of them.
        first_seq: u64,
    },
    /// Evidence is kept that an operator has reviewed with `kho fork review`. It stays; a newer piece is an `evidence_kept`.
    EvidenceReviewed { origin: u32, pieces: u64, by: String, reviewed_at: String },
    /// Bytes that nobody honest sends were refused and kept as files of this node. Ends when an operator takes the files away.
    RefusedBytesKept { folder: String, files: u64, bytes: u64 },
    /// The time up to which an origin is said to be complete has not come yet: a clock is behind, or one was ahead once. Ends when that
    /// time has come, or with `kho site confirm-time`.
    WatermarkAhead { origin: u32, up_to: String },
    /// Nothing newer comes from a child, not even an idle head. Ends with its next head.
    ChildStill {
        child: u32,
        /// The newest time up to which something of it is complete here, or at which it was heard.
        up_to: String,
        silent_seconds: u64,
    },
    /// The site has two voters, and stops when either is lost. Ends with a third, or when one is removed.
    TwoVoters { first: u64, second: u64 },
    /// The key that this node's configuration pins signs registers no more. What the site believes is not changed by it. Ends when the
    /// configuration names one that does.
    PinnedKeyRetired { pinned: String, trusted: String },
}

impl Finding {
    pub fn severity(&self) -> Severity {
        match self {
            Self::EvidenceReviewed { .. } => Severity::Notice,
            Self::EvidenceKept { .. }
            | Self::RefusedBytesKept { .. }
            | Self::WatermarkAhead { .. }
            | Self::ChildStill { .. }
            | Self::TwoVoters { .. }
            | Self::PinnedKeyRetired { .. } => Severity::Warning,
            Self::OriginStopped { .. }
            | Self::SiteSetBack { .. }
            | Self::NodeTurnedBack { .. }
            | Self::NodeDiverged { .. }
            | Self::DamageFound { .. }
            | Self::ProofFailed { .. } => Severity::Critical,
        }
    }
}

impl Reportable for Finding {
    fn subject(&self) -> &'static str {
        "finding"
    }

    fn code(&self) -> &'static str {
        match self {
            Self::OriginStopped { .. } => "origin_stopped",
            Self::SiteSetBack { .. } => "site_set_back",
            Self::NodeTurnedBack { .. } => "node_turned_back",
            Self::NodeDiverged { .. } => "node_diverged",
            Self::DamageFound { .. } => "damage_found",
            Self::ProofFailed { .. } => "proof_failed",
            Self::EvidenceKept { .. } => "evidence_kept",
            Self::EvidenceReviewed { .. } => "evidence_reviewed",
            Self::RefusedBytesKept { .. } => "refused_bytes_kept",
            Self::WatermarkAhead { .. } => "watermark_ahead",
            Self::ChildStill { .. } => "child_still",
            Self::TwoVoters { .. } => "two_voters",
            Self::PinnedKeyRetired { .. } => "pinned_key_retired",
        }
    }

    fn arguments(&self) -> Arguments {
        match self {
            Self::OriginStopped { origin, seq, reason } => {
                vec![("origin", Argument::name(origin)), ("seq", Argument::name(seq)), ("reason", reason.to_argument())]
            }
            Self::SiteSetBack { origin, shown_by, shown_seq, seq, wanted_from } => vec![
                ("origin", Argument::name(origin)),
                ("shown_by", shown_by.to_argument()),
                ("shown_seq", Argument::name(shown_seq)),
                ("seq", Argument::name(seq)),
                ("wanted_from", Argument::name(wanted_from)),
            ],
            Self::NodeTurnedBack { node } => vec![("node", Argument::name(node))],
            Self::NodeDiverged { node, place } => vec![("node", Argument::name(node)), ("place", place.to_argument())],
            Self::DamageFound { found_at, what } => vec![("found_at", Argument::name(found_at)), ("what", Argument::name(what))],
            Self::ProofFailed { origin, seq, found_at, rows, stored_rows, cube_differences } => vec![
                ("origin", Argument::name(origin)),
                ("seq", Argument::name(seq)),
                ("found_at", Argument::name(found_at)),
                ("rows", (*rows).into()),
                ("stored_rows", (*stored_rows).into()),
                ("cube_differences", (*cube_differences).into()),
            ],
            Self::EvidenceKept { origin, pieces, first_seq } => {
                vec![("origin", Argument::name(origin)), ("pieces", (*pieces).into()), ("first_seq", Argument::name(first_seq))]
            }
            Self::EvidenceReviewed { origin, pieces, by, reviewed_at } => vec![
                ("origin", Argument::name(origin)),
                ("pieces", (*pieces).into()),
                ("by", Argument::name(by)),
                ("reviewed_at", Argument::name(reviewed_at)),
            ],
            Self::RefusedBytesKept { folder, files, bytes } => {
                vec![("folder", Argument::name(folder)), ("files", (*files).into()), ("bytes", (*bytes).into())]
            }
            Self::PinnedKeyRetired { pinned, trusted } => vec![("pinned", Argument::name(pinned)), ("trusted", Argument::name(trusted))],
            Self::WatermarkAhead { origin, up_to } => vec![("origin", Argument::name(origin)), ("up_to", Argument::name(up_to))],
            Self::ChildStill { child, up_to, silent_seconds } => {
                vec![("child", Argument::name(child)), ("up_to", Argument::name(up_to)), ("minutes", silent_seconds.div_ceil(60).into())]
            }
            Self::TwoVoters { first, second } => vec![("first", Argument::name(first)), ("second", Argument::name(second))],
        }
    }
}
