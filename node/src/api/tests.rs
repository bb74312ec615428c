//! Codes and JSON of states and alarms.

use kho_messages::Reportable;
use serde::{Serialize, de::DeserializeOwned};

use super::*;

fn reason() -> Reason {
    Reason::new("refusal", "bad_chain", vec![("seq", 9_u64.into())], "the batches do not lead to the head")
}

/// The code that programs see is the code that names the text, and what is written is read back.
fn check<T: Reportable + Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(values: impl IntoIterator<Item = T>) {
    let mut codes = std::collections::BTreeSet::new();
    for value in values {
        let json = serde_json::to_value(&value).expect("plain values");
        let code = json.as_str().or_else(|| json["code"].as_str()).expect("a code");
        assert_eq!(code, value.code(), "{json}");
        assert!(codes.insert(code.to_owned()), "{code} twice");
        assert_eq!(serde_json::from_value::<T>(json).expect("as written"), value);
    }
}

#[test]
fn every_state_and_alarm_has_one_stable_code_and_passes_through_json() {
    let (folder, error) = ("/data".to_string(), "no space".to_string());
    let finding = Finding::EvidenceKept { origin: 3, pieces: 2, first_seq: 9 };
    let alarm = AlarmKind::MemberSilent { node: 2 };
    check([Role::Leader, Role::Follower, Role::Candidate, Role::Learner, Role::Stopped]);
    check([Severity::Warning, Severity::Critical]);
    check([StreamState::Own, StreamState::Following, StreamState::Transferring, StreamState::Stopped { seq: 9, reason: reason() }]);
    check([
        UplinkState::Root,
        UplinkState::Follower,
        UplinkState::Starting,
        UplinkState::Connecting,
        UplinkState::Connected,
        UplinkState::Down { failure: reason() },
    ]);
    check([
        Health::Healthy,
        Health::NoRegister,
        Health::NoLeader,
        Health::NoMajority { silent_ms: 4_000 },
        Health::HeadsStill { origin: 3, age_seconds: 500 },
        Health::ParentCursorStill { origin: 3, lag_batches: 4, lag_seconds: 500 },
        Health::UplinkDown { failure: reason() },
        Health::FindingStands { finding: finding.clone() },
        Health::AlarmRaised { alarm: alarm.clone() },
    ]);
    check([
        Finding::OriginStopped { origin: 3, seq: 9, reason: reason() },
        Finding::ProofFailed { origin: 3, seq: 9, found_at: "2019-04-01T00:00:00Z".into(), rows: 1, stored_rows: 2, cube_differences: 0 },
        finding,
        Finding::RefusedBytesKept { folder: folder.clone(), files: 1, bytes: 10 },
    ]);
    check([
        MissingReason::FirstTransfer { origin: 3, rows: 5 },
        MissingReason::NothingEntered { origin: 3 },
        MissingReason::NothingArrived { origin: 3 },
        MissingReason::Empty { origin: 3, up_to: "2019-04-01T00:00:00Z".into() },
        MissingReason::Stopped { origin: 3, seq: 9, reason: reason() },
        MissingReason::NoHead { origin: 3 },
        MissingReason::NoStream,
    ]);
    let text = || "1:9".to_string();
    check([
        AlarmKind::DiskLow { folder: folder.clone(), free_mib: 1, reserve_mib: 2 },
        AlarmKind::DiskFull { folder: folder.clone(), free_mib: 1, reserve_mib: 4 },
        AlarmKind::DiskUnreadable { folder: folder.clone(), error: error.clone() },
        AlarmKind::StorageFailed { error: error.clone() },
        alarm,
        AlarmKind::HeadsRefused { origin: 3, reason: reason() },
        AlarmKind::ClockAhead { origin: 3, minutes_max: 5 },
        AlarmKind::SegmentRefused { origin: 3, carrier: 4, reason: reason() },
        AlarmKind::ChildMisbehaved { child: 4, reason: reason() },
        AlarmKind::OutcomeOutOfPlace { child: 4, frame: "frame 7".into() },
        AlarmKind::EvidenceFolderFull { folder: folder.clone() },
        AlarmKind::EvidenceNotKept { folder, error: error.clone() },
        AlarmKind::ParentMisbehaved { parent: 1, reason: reason() },
        AlarmKind::StreamRefused { origin: 3, parent: 1, reason: reason() },
        AlarmKind::NoCommonCursor { origin: 3, parent: 1, reason: reason() },
        AlarmKind::ParentWentBack { origin: 3, parent: 1, before: text(), now: text() },
        AlarmKind::SiteBehindParent { origin: 3, parent: 1, held: text(), claimed: text() },
        AlarmKind::EpochsDiffer { origin: 3, parent: 1, ours: text(), theirs: text() },
        AlarmKind::StreamUnreadable { origin: 3, error: error.clone() },
        AlarmKind::FrameNotSent { error: error.clone() },
        AlarmKind::RegisterRefused { error },
    ]);
}
