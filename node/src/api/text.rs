//! The states and alarms as English sentences for people. Programs take the codes.

use super::{
    AlarmKind, AlarmSubject, Finding, Health, MissingReason, ParkedReason, ParkedStream, Role, Severity, StreamState, UplinkState,
};

/// Whether a node is healthy, or the first thing that is wrong.
pub fn health(health: &Health) -> String {
    match health {
        Health::Healthy => "healthy".into(),
        Health::NoRegister => "no register: give the site one with `kho register apply`".into(),
        Health::NoLeader => "no leader: a majority of the site's nodes must run and reach each other".into(),
        Health::NoMajority { silent_ms } => {
            format!("no majority: no majority of the site's nodes has answered for {} seconds", silent_ms / 1_000)
        }
        Health::HeadsStill { origin, age_seconds } => {
            format!("the heads of origin {origin} do not move: the newest is {age_seconds} seconds old")
        }
        Health::ParentCursorStill { origin, lag_batches, lag_seconds } => {
            format!("the parent's cursor of origin {origin} does not move: {lag_batches} batches wait for {lag_seconds} seconds")
        }
        Health::UplinkDown { failure } => format!("the link to the parent is down: {}", failure.detail),
        Health::FindingStands { finding: kept } => finding(kept),
        Health::AlarmRaised { alarm: kind } => format!("alarm: {}", alarm(kind)),
    }
}

/// How a stream stands.
pub fn stream_state(state: &StreamState) -> String {
    match state {
        StreamState::Own => "own".into(),
        StreamState::Following => "following".into(),
        StreamState::Transferring => "transferring".into(),
        StreamState::Stopped { seq, reason } => format!("stopped: {} at batch {seq}", reason.detail),
    }
}

/// How the link to the parent stands.
pub fn uplink_state(state: &UplinkState) -> String {
    match state {
        UplinkState::Root => "root".into(),
        UplinkState::Follower => "follower".into(),
        UplinkState::Starting => "starting".into(),
        UplinkState::Connecting => "connecting".into(),
        UplinkState::Connected => "connected".into(),
        UplinkState::Down { failure } => format!("down: {}", failure.detail),
    }
}

/// Why a stream does not go up for now.
pub fn parked(stream: &ParkedStream) -> String {
    match &stream.reason {
        ParkedReason::Parked { reason } => format!("origin {}: {}", stream.origin, reason.detail),
        ParkedReason::ParentAhead { cursor } => format!("origin {}: the parent holds more of it, up to {cursor}", stream.origin),
    }
}

/// What a node does inside its site.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
        Role::Stopped => "stopped",
    }
}

/// How much an alarm matters.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// What an alarm is about.
pub fn subject(subject: &AlarmSubject) -> String {
    match subject {
        AlarmSubject::ThisNode => "this node".into(),
        AlarmSubject::Member { node } => format!("node {node}"),
        AlarmSubject::Origin { origin } => format!("origin {origin}"),
        AlarmSubject::Child { site } => format!("child {site}"),
        AlarmSubject::Parent { site } => format!("parent {site}"),
    }
}

/// What stands in the data, and what to do.
pub fn finding(finding: &Finding) -> String {
    match finding {
        Finding::OriginStopped { origin, seq, reason } => {
            format!("origin {origin} is stopped: {} at batch {seq}; run `kho verify`, then `kho origin resume`", reason.detail)
        }
        Finding::ProofFailed { origin, seq, found_at, .. } => format!(
            "the rows of origin {origin} on this node's disk did not agree with what stands beside them at batch {seq}, found at {found_at}; run `kho verify` again"
        ),
        Finding::EvidenceKept { origin, pieces, first_seq } => {
            format!("{pieces} pieces of evidence are kept of origin {origin}, the first at batch {first_seq}; see `kho fork list`")
        }
        Finding::RefusedBytesKept { folder, files, bytes } => {
            format!("{files} refused segments ({bytes} bytes) are kept in {folder}; review the files and take them away")
        }
    }
}

/// What happened, and what to do.
pub fn alarm(kind: &AlarmKind) -> String {
    match kind {
        AlarmKind::DiskLow { folder, free_mib, reserve_mib } => format!(
            "{free_mib} MiB are free on the disk of {folder}: segments of children are refused until {reserve_mib} MiB are free again"
        ),
        AlarmKind::DiskFull { folder, free_mib, reserve_mib } => {
            format!("{free_mib} MiB are free on the disk of {folder}: entry is refused too until {reserve_mib} MiB are free again")
        }
        AlarmKind::DiskUnreadable { folder, error } => format!("the free space of {folder} can't be read: {error}"),
        AlarmKind::StorageFailed { error } => error.clone(),
        AlarmKind::MemberSilent { node } => {
            format!("node {node} of the site takes no entries; look at it, or replace it with `kho node remove` and `kho node add`")
        }
        AlarmKind::HeadsRefused { origin, reason } => format!(
            "the site refuses the heads of origin {origin} that this node signs ({}); compare its signing key with `kho register show`",
            reason.detail
        ),
        AlarmKind::ClockAhead { origin, minutes_max } => format!(
            "heads of origin {origin} are stamped more than {minutes_max} minutes ahead of this node's clock: its rows are held, but do not count as complete up to any newer time; set the clocks right"
        ),
        AlarmKind::SegmentRefused { origin, carrier, reason } => {
            format!("a segment of origin {origin}, carried by site {carrier}, was refused: {}", reason.detail)
        }
        AlarmKind::ChildMisbehaved { child, reason } => {
            format!("site {child} broke the protocol ({}); its connection was closed. Look at it with `kho status`", reason.detail)
        }
        AlarmKind::OutcomeOutOfPlace { child, frame } => {
            format!("this site answered {frame} of site {child} with an outcome that does not belong to it; report this defect")
        }
        AlarmKind::EvidenceFolderFull { folder } => format!("{folder} is full; review what is in it and clear it"),
        AlarmKind::EvidenceNotKept { folder, error } => format!("refused bytes could not be kept in {folder}: {error}"),
        AlarmKind::ParentMisbehaved { parent, reason } => {
            format!("parent {parent} broke the protocol ({}); the link was ended. Look at the parent with `kho status`", reason.detail)
        }
        AlarmKind::StreamRefused { origin, parent, reason } => format!("parent {parent} refuses origin {origin}: {}", reason.detail),
        AlarmKind::NoCommonCursor { origin, parent, reason } => {
            format!("parent {parent} and this site find no cursor from which origin {origin} can go on: {}", reason.detail)
        }
        AlarmKind::ParentWentBack { origin, parent, before, now } => format!(
            "parent {parent} stands at {now} of origin {origin}, it acknowledged {before} before: it was restored to an older state; everything since is sent again"
        ),
        AlarmKind::SiteBehindParent { origin, parent, held, claimed } => format!(
            "parent {parent} stands at {claimed} of this site's own origin {origin}, but the site only at {held}: the site was set back; run `kho fork list` before anything is entered"
        ),
        AlarmKind::EpochsDiffer { origin, parent, ours, theirs } => {
            format!("parent {parent} holds epoch {theirs} of origin {origin}, this site epoch {ours}; see `kho fork list`")
        }
        AlarmKind::StreamUnreadable { origin, error } => {
            format!("origin {origin} can't be read for the parent: {error}; run `kho verify`")
        }
        AlarmKind::FrameNotSent { error } => format!("a frame for the parent can't be sent: {error}; report this defect"),
        AlarmKind::RegisterRefused { error } => format!("the parent handed down a register that is refused: {error}"),
    }
}

/// Why an answer lacks a site, and what to do.
pub fn missing(reason: &MissingReason) -> String {
    match reason {
        MissingReason::FirstTransfer { origin, rows } => {
            format!("its first whole transfer is under way: {rows} rows of origin {origin} so far; see `kho status`")
        }
        MissingReason::NothingEntered { origin } => format!("nothing was entered under origin {origin} yet"),
        MissingReason::NothingArrived { origin } => {
            format!("nothing of origin {origin} has arrived yet; see `kho status` at that site")
        }
        MissingReason::Empty { origin, up_to } => format!("origin {origin} is empty up to {up_to}: nothing was entered there yet"),
        MissingReason::Stopped { origin, seq, reason } => {
            format!("origin {origin} is stopped at {seq} ({}); run `kho verify`, then `kho origin resume`", reason.detail)
        }
        MissingReason::NoHead { origin } => format!("no signed head of origin {origin} is held"),
        MissingReason::NoStream => "it authors no stream".into(),
    }
}
