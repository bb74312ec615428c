//! Alarms: reports of something that happened, for an operator.
//!
//! An alarm is a report. No part of the node decides by it; what is decided by stands in the state.

use kho_messages::{Argument, Arguments, Reportable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Reason;

/// Something that happened and that an operator has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    pub severity: Severity,
    pub subject: AlarmSubject,
    pub kind: AlarmKind,
    /// When it was first raised (RFC 3339).
    pub since: String,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is left to do: it is kept in sight, and does not make a node unhealthy.
    Notice,
    /// Something was refused or waits; nothing is lost and the rest goes on.
    Warning,
    /// The node can't do its work, or data may be in danger.
    Critical,
}

/// What an alarm is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum AlarmSubject {
    ThisNode,
    /// Another node of this site.
    Member {
        node: u64,
    },
    Origin {
        origin: u32,
    },
    Child {
        site: u32,
    },
    Parent {
        site: u32,
    },
}

/// What happened. There is one alarm of a kind and subject at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum AlarmKind {
    /// Segments of children are refused until there is room again.
    DiskLow {
        folder: String,
        free_mib: u64,
        reserve_mib: u64,
    },
    /// Entry is refused too.
    DiskFull {
        folder: String,
        free_mib: u64,
        reserve_mib: u64,
    },
    DiskUnreadable {
        folder: String,
        error: String,
    },
    /// This node's disk failed to give or take something.
    StorageFailed {
        error: String,
    },
    /// A node of the site takes no entries.
    MemberSilent {
        node: u64,
    },
    /// A node of the site does not answer this node.
    MemberUnreachable {
        node: u64,
        address: String,
        silent_seconds: u64,
        error: String,
    },
    /// A node acts as a member of the site, and this node can't find out whether it is one.
    NodeUnconfirmed {
        node: u64,
    },
    /// The site refuses the heads that this node signs.
    HeadsRefused {
        origin: u32,
        reason: Reason,
    },
    /// Adopted heads lie in this node's future.
    ClockAhead {
        origin: u32,
        minutes_max: u64,
    },
    /// This machine's clock shows more than what is vouched for; times are stamped by what is vouched for.
    MachineClockAhead {
        machine: String,
        expected: String,
    },
    /// This machine's clock shows less than what is vouched for, or than what the parent's says.
    MachineClockBehind {
        machine: String,
        expected: String,
    },
    /// A segment of a child's was refused.
    SegmentRefused {
        origin: u32,
        carrier: u32,
        reason: Reason,
    },
    ChildMisbehaved {
        child: u32,
        reason: Reason,
    },
    /// This site decided something else than was proposed: a defect.
    OutcomeOutOfPlace {
        child: u32,
        frame: String,
    },
    EvidenceFolderFull {
        folder: String,
    },
    /// Refused bytes were lost.
    EvidenceNotKept {
        folder: String,
        error: String,
    },
    ParentMisbehaved {
        parent: u32,
        reason: Reason,
    },
    /// The parent refuses a stream of this site's.
    StreamRefused {
        origin: u32,
        parent: u32,
        reason: Reason,
    },
    /// The parent and this site find no cursor from which a stream can go on.
    NoCommonCursor {
        origin: u32,
        parent: u32,
        reason: Reason,
    },
    /// The parent was set back; what it lacks is sent again.
    ParentWentBack {
        origin: u32,
        parent: u32,
        before: String,
        now: String,
    },
    /// This site was set back: its parent holds more of its own origin.
    SiteBehindParent {
        origin: u32,
        parent: u32,
        held: String,
        claimed: String,
    },
    /// The leader's log contradicts what was committed and stands here: the other nodes of the site were set back.
    MembersSetBack {
        leader: u64,
    },
    /// Nodes of this site computed something else than this leader, and no majority says who is right. Heads wait for one.
    NodesDisagree {
        nodes: String,
    },
    /// No majority of the site says what it computed at the newest head, and none contradicts it. The head waits, and nothing goes up.
    HeadUnanswered {
        origin: u32,
        seconds: u64,
    },
    /// A child holds less of its own origin than this site, or another history of it: it was set back, or runs twice.
    ChildSetBack {
        child: u32,
        origin: u32,
        held: String,
        here: String,
    },
    /// Parent and site hold different epochs.
    EpochsDiffer {
        origin: u32,
        parent: u32,
        ours: String,
        theirs: String,
    },
    /// This node can't read a stream for its parent.
    StreamUnreadable {
        origin: u32,
        error: String,
    },
    /// A frame for the parent is too long to be sent: a defect.
    FrameNotSent {
        error: String,
    },
    /// The parent handed down a register that does not verify.
    RegisterRefused {
        error: String,
    },
    /// Two registers were signed under one version: this site holds one, and was given the other.
    RegisterDoubled {
        version: u64,
        held: String,
        given: String,
    },
    /// A child holds another register of the version that stands here, as it says.
    ChildRegisterDiffers {
        child: u32,
        version: u64,
        held: String,
        here: String,
    },
}

impl AlarmKind {
    pub fn severity(&self) -> Severity {
        match self {
            Self::DiskFull { .. }
            | Self::DiskUnreadable { .. }
            | Self::StorageFailed { .. }
            | Self::HeadsRefused { .. }
            | Self::EvidenceFolderFull { .. }
            | Self::EvidenceNotKept { .. }
            | Self::SiteBehindParent { .. }
            | Self::ChildSetBack { .. }
            | Self::MembersSetBack { .. }
            | Self::NodesDisagree { .. }
            | Self::HeadUnanswered { .. }
            | Self::EpochsDiffer { .. }
            | Self::RegisterDoubled { .. }
            | Self::StreamUnreadable { .. } => Severity::Critical,
            Self::DiskLow { .. }
            | Self::MemberSilent { .. }
            | Self::MemberUnreachable { .. }
            | Self::NodeUnconfirmed { .. }
            | Self::ClockAhead { .. }
            | Self::MachineClockAhead { .. }
            | Self::MachineClockBehind { .. }
            | Self::SegmentRefused { .. }
            | Self::ChildMisbehaved { .. }
            | Self::OutcomeOutOfPlace { .. }
            | Self::ParentMisbehaved { .. }
            | Self::StreamRefused { .. }
            | Self::NoCommonCursor { .. }
            | Self::ParentWentBack { .. }
            | Self::FrameNotSent { .. }
            | Self::ChildRegisterDiffers { .. }
            | Self::RegisterRefused { .. } => Severity::Warning,
        }
    }

    pub fn about(&self) -> AlarmSubject {
        match self {
            Self::DiskLow { .. }
            | Self::DiskFull { .. }
            | Self::DiskUnreadable { .. }
            | Self::StorageFailed { .. }
            | Self::EvidenceFolderFull { .. }
            | Self::EvidenceNotKept { .. }
            | Self::MachineClockAhead { .. }
            | Self::MachineClockBehind { .. }
            | Self::FrameNotSent { .. }
            | Self::MembersSetBack { .. }
            | Self::NodesDisagree { .. }
            | Self::RegisterDoubled { .. }
            | Self::RegisterRefused { .. } => AlarmSubject::ThisNode,
            Self::MemberSilent { node } | Self::MemberUnreachable { node, .. } | Self::NodeUnconfirmed { node } => {
                AlarmSubject::Member { node: *node }
            }
            Self::HeadsRefused { origin, .. }
            | Self::HeadUnanswered { origin, .. }
            | Self::ClockAhead { origin, .. }
            | Self::SegmentRefused { origin, .. }
            | Self::StreamRefused { origin, .. }
            | Self::NoCommonCursor { origin, .. }
            | Self::ParentWentBack { origin, .. }
            | Self::SiteBehindParent { origin, .. }
            | Self::ChildSetBack { origin, .. }
            | Self::EpochsDiffer { origin, .. }
            | Self::StreamUnreadable { origin, .. } => AlarmSubject::Origin { origin: *origin },
            Self::ChildMisbehaved { child, .. } | Self::OutcomeOutOfPlace { child, .. } | Self::ChildRegisterDiffers { child, .. } => {
                AlarmSubject::Child { site: *child }
            }
            Self::ParentMisbehaved { parent, .. } => AlarmSubject::Parent { site: *parent },
        }
    }

    /// Whether it says the same as `earlier`, of the same kind and subject: figures that change all the time are no new report.
    pub fn repeats(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::DiskLow { .. }, Self::DiskLow { .. })
            | (Self::DiskFull { .. }, Self::DiskFull { .. })
            | (Self::MachineClockAhead { .. }, Self::MachineClockAhead { .. })
            | (Self::MachineClockBehind { .. }, Self::MachineClockBehind { .. })
            | (Self::MemberUnreachable { .. }, Self::MemberUnreachable { .. })
            | (Self::HeadUnanswered { .. }, Self::HeadUnanswered { .. })
            | (Self::ChildSetBack { .. }, Self::ChildSetBack { .. }) => true,
            _ => self == earlier,
        }
    }
}

impl Reportable for AlarmKind {
    fn subject(&self) -> &'static str {
        "alarm"
    }

    fn code(&self) -> &'static str {
        match self {
            Self::DiskLow { .. } => "disk_low",
            Self::DiskFull { .. } => "disk_full",
            Self::DiskUnreadable { .. } => "disk_unreadable",
            Self::StorageFailed { .. } => "storage_failed",
            Self::MemberSilent { .. } => "member_silent",
            Self::MemberUnreachable { .. } => "member_unreachable",
            Self::NodeUnconfirmed { .. } => "node_unconfirmed",
            Self::HeadsRefused { .. } => "heads_refused",
            Self::ClockAhead { .. } => "clock_ahead",
            Self::MachineClockAhead { .. } => "machine_clock_ahead",
            Self::MachineClockBehind { .. } => "machine_clock_behind",
            Self::SegmentRefused { .. } => "segment_refused",
            Self::ChildMisbehaved { .. } => "child_misbehaved",
            Self::OutcomeOutOfPlace { .. } => "outcome_out_of_place",
            Self::EvidenceFolderFull { .. } => "evidence_folder_full",
            Self::EvidenceNotKept { .. } => "evidence_not_kept",
            Self::ParentMisbehaved { .. } => "parent_misbehaved",
            Self::StreamRefused { .. } => "stream_refused",
            Self::NoCommonCursor { .. } => "no_common_cursor",
            Self::ParentWentBack { .. } => "parent_went_back",
            Self::SiteBehindParent { .. } => "site_behind_parent",
            Self::ChildSetBack { .. } => "child_set_back",
            Self::MembersSetBack { .. } => "members_set_back",
            Self::NodesDisagree { .. } => "nodes_disagree",
            Self::HeadUnanswered { .. } => "head_unanswered",
            Self::EpochsDiffer { .. } => "epochs_differ",
            Self::StreamUnreadable { .. } => "stream_unreadable",
            Self::FrameNotSent { .. } => "frame_not_sent",
            Self::RegisterRefused { .. } => "register_refused",
            Self::RegisterDoubled { .. } => "register_doubled",
            Self::ChildRegisterDiffers { .. } => "child_register_differs",
        }
    }

    fn arguments(&self) -> Arguments {
        let name = |value: &dyn std::fmt::Display| Argument::name(value);
        match self {
            Self::DiskLow { folder, free_mib, reserve_mib } | Self::DiskFull { folder, free_mib, reserve_mib } => {
                vec![("folder", name(folder)), ("free_mib", (*free_mib).into()), ("reserve_mib", (*reserve_mib).into())]
            }
            Self::DiskUnreadable { folder, error } | Self::EvidenceNotKept { folder, error } => {
                vec![("folder", name(folder)), ("error", name(error))]
            }
            Self::StorageFailed { error } | Self::FrameNotSent { error } | Self::RegisterRefused { error } => vec![("error", name(error))],
            Self::MemberSilent { node } | Self::NodeUnconfirmed { node } => vec![("node", name(node))],
            Self::MemberUnreachable { node, address, silent_seconds, error } => {
                vec![("node", name(node)), ("address", name(address)), ("silent_seconds", (*silent_seconds).into()), ("error", name(error))]
            }
            Self::HeadsRefused { origin, reason } => vec![("origin", name(origin)), ("reason", reason.to_argument())],
            Self::ClockAhead { origin, minutes_max } => vec![("origin", name(origin)), ("minutes_max", (*minutes_max).into())],
            Self::MachineClockAhead { machine, expected } | Self::MachineClockBehind { machine, expected } => {
                vec![("machine", name(machine)), ("expected", name(expected))]
            }
            Self::SegmentRefused { origin, carrier, reason } => {
                vec![("origin", name(origin)), ("carrier", name(carrier)), ("reason", reason.to_argument())]
            }
            Self::ChildMisbehaved { child, reason } => vec![("child", name(child)), ("reason", reason.to_argument())],
            Self::OutcomeOutOfPlace { child, frame } => vec![("child", name(child)), ("frame", name(frame))],
            Self::EvidenceFolderFull { folder } => vec![("folder", name(folder))],
            Self::ParentMisbehaved { parent, reason } => vec![("parent", name(parent)), ("reason", reason.to_argument())],
            Self::StreamRefused { origin, parent, reason } | Self::NoCommonCursor { origin, parent, reason } => {
                vec![("origin", name(origin)), ("parent", name(parent)), ("reason", reason.to_argument())]
            }
            Self::ParentWentBack { origin, parent, before, now } => {
                vec![("origin", name(origin)), ("parent", name(parent)), ("before", name(before)), ("now", name(now))]
            }
            Self::SiteBehindParent { origin, parent, held, claimed } => {
                vec![("origin", name(origin)), ("parent", name(parent)), ("held", name(held)), ("claimed", name(claimed))]
            }
            Self::MembersSetBack { leader } => vec![("leader", name(leader))],
            Self::NodesDisagree { nodes } => vec![("nodes", name(nodes))],
            Self::HeadUnanswered { origin, seconds } => vec![("origin", name(origin)), ("seconds", (*seconds).into())],
            Self::ChildSetBack { child, origin, held, here } => {
                vec![("child", name(child)), ("origin", name(origin)), ("held", name(held)), ("here", name(here))]
            }
            Self::EpochsDiffer { origin, parent, ours, theirs } => {
                vec![("origin", name(origin)), ("parent", name(parent)), ("ours", name(ours)), ("theirs", name(theirs))]
            }
            Self::RegisterDoubled { version, held, given } => {
                vec![("version", name(version)), ("held", name(held)), ("given", name(given))]
            }
            Self::ChildRegisterDiffers { child, version, held, here } => {
                vec![("child", name(child)), ("version", name(version)), ("held", name(held)), ("here", name(here))]
            }
            Self::StreamUnreadable { origin, error } => vec![("origin", name(origin)), ("error", name(error))],
        }
    }
}

impl Reportable for Severity {
    fn subject(&self) -> &'static str {
        "severity"
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    fn arguments(&self) -> Arguments {
        vec![]
    }
}

impl Reportable for AlarmSubject {
    fn subject(&self) -> &'static str {
        "about"
    }

    fn code(&self) -> &'static str {
        match self {
            Self::ThisNode => "this_node",
            Self::Member { .. } => "member",
            Self::Origin { .. } => "origin",
            Self::Child { .. } => "child",
            Self::Parent { .. } => "parent",
        }
    }

    fn arguments(&self) -> Arguments {
        match self {
            Self::ThisNode => vec![],
            Self::Member { node } => vec![("node", Argument::name(node))],
            Self::Origin { origin } => vec![("origin", Argument::name(origin))],
            Self::Child { site } | Self::Parent { site } => vec![("site", Argument::name(site))],
        }
    }
}
