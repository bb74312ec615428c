//! Codes and JSON of states and alarms.

use std::{collections::BTreeSet, fmt::Debug};

use kho_messages::{Argument, Lang, Reportable, coverage, report};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::PartialSchema;

use super::*;

fn reason() -> Reason {
    let arguments = vec![("origin", Argument::name(3)), ("seq", Argument::name(9))];
    Reason::new("refusal", "bad_chain", arguments, "the batches of origin 3 do not lead to the chain hash of the head at 9")
}

/// The code that programs see is the code that names the text, and what is written is read back. `values` are one of each kind.
fn check<T: Reportable + PartialSchema + Serialize + DeserializeOwned + PartialEq + Debug>(values: impl IntoIterator<Item = T>) {
    let values: Vec<T> = values.into_iter().collect();
    let mut codes = BTreeSet::new();
    for value in &values {
        let json = serde_json::to_value(value).expect("plain values");
        let code = json.as_str().or_else(|| json["code"].as_str()).expect("a code");
        assert_eq!(code, value.code(), "{json}");
        assert!(codes.insert(code.to_owned()), "{code} twice");
        assert_eq!(&serde_json::from_value::<T>(json).expect("as written"), value);
    }
    assert_eq!(codes, schema_codes::<T>(), "the kinds that are checked, and those that there are");
    check_texts(&values);
}

/// Every kind has a text in every language, and the text is whole.
fn check_texts<T: Reportable + Debug>(values: &[T]) {
    assert_eq!(coverage::gaps(values, &[]), Vec::<String>::new());
    for value in values {
        let (english, vietnamese) = (report(Lang::En, value), report(Lang::Vi, value));
        assert!(!vietnamese.is_ascii(), "{value:?}: {vietnamese}");
        for text in [english, vietnamese] {
            assert!(!text.contains("{$") && !text.contains(&value.message_id()), "{value:?}: {text}");
        }
    }
}

/// Every code that the interface's description gives a type.
fn schema_codes<T: PartialSchema>() -> BTreeSet<String> {
    let schema = serde_json::to_value(T::schema()).expect("plain values");
    let kinds = schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
    let codes_of = |kind: &Value| [&kind["enum"], &kind["properties"]["code"]["enum"]].into_iter().find_map(Value::as_array).cloned();
    kinds.iter().filter_map(codes_of).flatten().filter_map(|code| code.as_str().map(str::to_owned)).collect()
}

#[test]
fn everything_that_holds_a_tree_back_has_one_stable_code_and_passes_through_json() {
    let (name, supported) = (|| "Tiền Hải".to_string(), || "1".to_string());
    check([
        HeldBack::NodeOlder { node: 2, supported: supported(), wanted: 2 },
        HeldBack::NodeSilent { node: 2, error: "no answer".into() },
        HeldBack::ParentLower { parent: 1, level: 1, wanted: 2 },
        HeldBack::SiteNotRaised { site: 4, level: 1, wanted: 2 },
        HeldBack::ChildOlder { site: 9, name: name(), supported: supported(), wanted: 2 },
        HeldBack::ChildNotRaised { site: 9, name: name(), level: 1, wanted: 2 },
        HeldBack::ChildSilent { site: 9, name: name() },
    ]);
}

#[test]
fn every_state_and_alarm_has_one_stable_code_and_passes_through_json() {
    let (folder, error) = ("/data".to_string(), "no space".to_string());
    let finding = Finding::EvidenceKept { origin: 3, pieces: 2, first_seq: 9 };
    let alarm = AlarmKind::MemberSilent { node: 2 };
    check([Role::Leader, Role::Follower, Role::Candidate, Role::Learner, Role::Stopped]);
    check([Severity::Notice, Severity::Warning, Severity::Critical]);
    check([
        AlarmSubject::ThisNode,
        AlarmSubject::Member { node: 2 },
        AlarmSubject::Origin { origin: 3 },
        AlarmSubject::Child { site: 4 },
        AlarmSubject::Parent { site: 1 },
    ]);
    check_texts(&[
        ParkedStream { origin: 3, reason: ParkedReason::Parked { reason: reason() } },
        ParkedStream { origin: 3, reason: ParkedReason::ParentAhead { cursor: "1/9".into() } },
    ]);
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
        Health::Removed { by: 2 },
        Health::KeyNotInRegister,
        Health::NoLeader,
        Health::LeaderUnreachable { leader: 2, address: "10.0.0.5:7444".into(), silent_seconds: 12 },
        Health::NoMajority { silent_ms: 4_000 },
        Health::HeadsStill { origin: 3, age_seconds: 500 },
        Health::ParentCursorStill { origin: 3, lag_batches: 4, lag_seconds: 500 },
        Health::UplinkDown { failure: reason() },
        Health::FindingStands { finding: finding.clone() },
        Health::AlarmRaised { alarm: alarm.clone() },
    ]);
    check([
        Finding::OriginStopped { origin: 3, seq: 9, reason: reason() },
        Finding::NodeTurnedBack { node: 2 },
        Finding::NodeDiverged { node: 2, place: reason() },
        Finding::DamageFound { found_at: "2019-04-01T00:00:00Z".into(), what: error.clone() },
        Finding::SiteSetBack { origin: 3, shown_by: reason(), shown_seq: 9, seq: 4, wanted_from: 3 },
        Finding::ProofFailed { origin: 3, seq: 9, found_at: "2019-04-01T00:00:00Z".into(), rows: 1, stored_rows: 2, cube_differences: 0 },
        finding,
        Finding::EvidenceReviewed { origin: 3, pieces: 2, by: "kho://vn/operator/lan".into(), reviewed_at: "2019-04-01T00:00:00Z".into() },
        Finding::RefusedBytesKept { folder: folder.clone(), files: 1, bytes: 10 },
        Finding::WatermarkAhead { origin: 3, up_to: "2029-04-01T00:00:00Z".into() },
        Finding::ChildStill { child: 4, up_to: "2019-04-01T00:00:00Z".into(), silent_seconds: 1_020 },
        Finding::TwoVoters { first: 1, second: 2 },
        Finding::PinnedKeyRetired { pinned: "04ab".into(), trusted: "04cd".into() },
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
        AlarmKind::MemberUnreachable { node: 2, address: "10.0.0.5:7444".into(), silent_seconds: 12, error: error.clone() },
        AlarmKind::NodeUnconfirmed { node: 4 },
        AlarmKind::HeadsRefused { origin: 3, reason: reason() },
        AlarmKind::ClockAhead { origin: 3, minutes_max: 5 },
        AlarmKind::MachineClockAhead { machine: "2029-04-01T00:00:00Z".into(), expected: "2019-04-01T00:00:00Z".into() },
        AlarmKind::MachineClockBehind { machine: "2009-04-01T00:00:00Z".into(), expected: "2019-04-01T00:00:00Z".into() },
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
        AlarmKind::MembersSetBack { leader: 2 },
        AlarmKind::NodesDisagree { nodes: "2, 3".into() },
        AlarmKind::HeadUnanswered { origin: 3, seconds: 75 },
        AlarmKind::ChildSetBack { origin: 3, child: 4, held: text(), here: text() },
        AlarmKind::EpochsDiffer { origin: 3, parent: 1, ours: text(), theirs: text() },
        AlarmKind::StreamUnreadable { origin: 3, error: error.clone() },
        AlarmKind::FrameNotSent { error: error.clone() },
        AlarmKind::RegisterRefused { error },
        AlarmKind::RegisterDoubled { version: 7, held: text(), given: text() },
        AlarmKind::ChildRegisterDiffers { child: 4, version: 7, held: text(), here: text() },
    ]);
}

#[test]
fn a_text_names_its_reason_in_the_same_language() {
    let alarm = AlarmKind::SegmentRefused { origin: 3, carrier: 4, reason: reason() };
    let health = Health::AlarmRaised { alarm };
    assert_eq!(
        report(Lang::En, &health),
        "alarm: a segment of origin 3, carried by site 4, was refused: the batches of origin 3 do not lead to the chain hash of the head at 9"
    );
    assert_eq!(
        report(Lang::Vi, &health),
        "cảnh báo: một đoạn của nguồn 3 do điểm kho 4 chuyển đến đã bị từ chối: các lô của nguồn 3 không dẫn đến mã băm chuỗi của mốc ký tại 9"
    );
}

#[test]
fn a_reason_of_a_newer_node_is_shown_in_english() {
    let state = UplinkState::Down { failure: Reason::new("link", "of_a_newer_node", vec![], "it is too new") };
    assert_eq!(report(Lang::En, &state), "down: it is too new");
    assert_eq!(report(Lang::Vi, &state), "mất kết nối: it is too new");
}
