//! Reasons of the warehouse and of the protocol between tiers, as status and alarms carry them.
//!
//! Invariant: each has a text in every language, and its English text is the sentence that logs show
//! (test `every_reason_has_a_text_in_every_language`).

use std::fmt::Display;

use kho_messages::{Argument, Arguments};
use kho_replication::{
    frames::{Goodbye, ProtocolViolation},
    uplink::{LinkFailure, ParkReason, RestartCause},
};
use kho_storage::{
    command::{DivergedPlace, Outcome, Refusal, ShownBy, StopReason},
    ids::{OriginId, SiteId, StreamSeq},
    warehouse::{EvidenceReason, StoppedOrigin},
};

use crate::api::{AlarmKind, Reason};

fn name(value: &dyn Display) -> Argument {
    Argument::name(value)
}

fn at(origin: OriginId, seq: StreamSeq) -> Arguments {
    vec![("origin", name(&origin)), ("seq", name(&seq))]
}

/// Why a command was refused.
pub fn refusal(refusal: &Refusal) -> Reason {
    let arguments = match refusal {
        Refusal::UnknownOrigin(origin) => vec![("origin", name(origin))],
        Refusal::OtherEpoch { origin, ours, theirs } => vec![("origin", name(origin)), ("ours", name(ours)), ("theirs", name(theirs))],
        Refusal::Gap { origin, wanted, given } => vec![("origin", name(origin)), ("wanted", name(wanted)), ("given", name(given))],
        Refusal::BadSignature { origin, seq }
        | Refusal::BadChain { origin, seq }
        | Refusal::Forked { origin, seq }
        | Refusal::DigestMismatch { origin, seq } => at(*origin, *seq),
        Refusal::Stopped { origin, seq, reason } => {
            vec![("origin", name(origin)), ("seq", name(seq)), ("reason", stop(*reason, *seq).to_argument())]
        }
        Refusal::Malformed { origin, seq, why } => vec![("origin", name(origin)), ("seq", name(seq)), ("error", name(why))],
        Refusal::Register(why) => vec![("error", name(why))],
        Refusal::RegisterDoubled { version, held, given } => vec![("version", name(version)), ("held", name(held)), ("given", name(given))],
        Refusal::Transfer { origin, why } => vec![("origin", name(origin)), ("error", name(why))],
        Refusal::NoRegister => vec![],
        Refusal::AboveLevel { command, site } => vec![("command", name(command)), ("site", name(site))],
        Refusal::OffPath { origin, site } | Refusal::OnPath { origin, site } => vec![("origin", name(origin)), ("site", name(site))],
        Refusal::TransferTaken { origin, carrier } => vec![("origin", name(origin)), ("carrier", name(carrier))],
        Refusal::ColumnAboveLevel { origin, seq, column, level } => {
            let mut arguments = at(*origin, *seq);
            arguments.extend([("column", name(column)), ("needed", name(&column.level())), ("level", name(level))]);
            arguments
        }
    };
    Reason::new("refusal", refusal.code(), arguments, refusal)
}

/// Whether a segment was refused because it belongs, or may belong, to a second history of its origin: its author signed it, or sent it
/// itself. What another carrier sent with a wrong chain was altered on the way.
fn is_of_second_history(reason: &Reason, is_from_author: bool) -> bool {
    reason.group == "refusal"
        && match reason.code.as_str() {
            "forked" | "digest_mismatch" => true,
            "bad_chain" => is_from_author,
            _ => false,
        }
}

/// Whether an alarm is over when a segment of `adopted`, an origin of `author`, was taken. A second history is not over because the first
/// goes on: it may be a double of the same site that sends it.
pub fn ends_with_adoption(alarm: &AlarmKind, adopted: OriginId, author: Option<SiteId>) -> bool {
    matches!(alarm, AlarmKind::SegmentRefused { origin, carrier, reason }
        if *origin == adopted.0 && !is_of_second_history(reason, author == Some(SiteId(*carrier))))
}

/// Why an origin is adopted no more.
pub fn stopped(stopped: &StoppedOrigin) -> Reason {
    stop(stopped.reason, stopped.seq)
}

fn stop(reason: StopReason, seq: StreamSeq) -> Reason {
    Reason::new("stop", reason.code(), vec![("seq", name(&seq))], reason)
}

/// Why a stream does not go to the parent for now.
pub fn park(reason: &ParkReason) -> Reason {
    let arguments = match reason {
        ParkReason::Refused(refused) => return refusal(refused),
        ParkReason::Forked { ours, theirs } => vec![("ours", name(ours)), ("theirs", name(theirs))],
        ParkReason::LocalStorage { detail } => vec![("detail", name(detail))],
        ParkReason::NoCommonCursor(cause) => vec![("cause", restart(cause).to_argument())],
    };
    Reason::new("park", reason.code(), arguments, reason)
}

/// Why a stream had to start again at another cursor.
pub fn restart(cause: &RestartCause) -> Reason {
    match cause {
        RestartCause::WrongPlace(refused) => refusal(refused),
        other => Reason::new("restart", other.code(), vec![], other),
    }
}

/// Who showed this site a head of its own.
pub fn shown_by(who: ShownBy) -> Reason {
    let (code, arguments, detail) = match who {
        ShownBy::Site(site) => ("site", vec![("site", name(&site))], format!("site {site}")),
        ShownBy::Node(node) => ("node", vec![("node", name(&node))], format!("node {node} of this site")),
        ShownBy::File => ("file", vec![], "a bundle".to_owned()),
    };
    Reason::new("shown", code, arguments, detail)
}

/// Where a node computed something else than a majority of its site.
pub fn diverged_place(place: DivergedPlace) -> Reason {
    let (code, arguments, detail) = match place {
        DivergedPlace::Stream { origin, seq } => {
            ("stream", vec![("origin", name(&origin)), ("seq", name(&seq))], format!("origin {origin} after batch {seq}"))
        }
        DivergedPlace::State { position } => {
            ("state", vec![("position", name(&position))], format!("the state after entry {position} of the site's log"))
        }
    };
    Reason::new("diverged", code, arguments, detail)
}

/// Why bytes were kept as evidence.
pub fn evidence(reason: EvidenceReason) -> Reason {
    Reason::new("evidence", reason.code(), vec![], reason)
}

/// Why the site refused what was proposed to it, where that is not a [`Refusal`].
pub fn outcome(outcome: &Outcome) -> Reason {
    match outcome {
        Outcome::Refused(refused) => refusal(refused),
        other => {
            let detail = format!("{other:?}");
            Reason::new("outcome", "other_outcome", vec![("detail", name(&detail))], detail)
        }
    }
}

/// How a peer broke the protocol.
pub fn violation(violation: &ProtocolViolation) -> Reason {
    let arguments = match violation {
        ProtocolViolation::IdentityMismatch { claimed_site, claimed_node, site, node } => {
            vec![("claimed_site", name(claimed_site)), ("claimed_node", name(claimed_node)), ("site", name(site)), ("node", name(node))]
        }
        ProtocolViolation::WelcomeMismatch { site, level } => vec![("site", name(site)), ("level", name(level))],
        ProtocolViolation::FrameAboveLevel { frame, level } => vec![("frame", name(frame)), ("level", name(level))],
        ProtocolViolation::FrameOutOfTurn { frame } => vec![("frame", name(frame))],
        ProtocolViolation::FrameUnreadable { detail } | ProtocolViolation::TransportMisused { detail } => vec![("detail", name(detail))],
        ProtocolViolation::TooManyStreams { streams_max } => vec![("streams_max", name(streams_max))],
        ProtocolViolation::FrameIdNotRising { id, last } => vec![("id", name(id)), ("last", name(last))],
        ProtocolViolation::CursorNotRequested { origin } => vec![("origin", name(origin))],
        ProtocolViolation::OtherHistoryAcknowledged { origin, acknowledged, held } => {
            vec![("origin", name(origin)), ("acknowledged", name(acknowledged)), ("held", name(held))]
        }
        ProtocolViolation::AnswerOfOtherOrigin { id, origin } => vec![("id", name(id)), ("origin", name(origin))],
        ProtocolViolation::AnswerNotAwaited { id } => vec![("id", name(id))],
    };
    Reason::new("violation", violation.code(), arguments, violation)
}

/// Why the last link to the parent ended, or none came about.
pub fn link_failure(failure: &LinkFailure) -> Reason {
    let arguments = match failure {
        LinkFailure::DialFailed { detail, .. } | LinkFailure::ConnectionLost { detail } => vec![("detail", name(detail))],
        LinkFailure::EndedByParent { reason } => vec![("reason", goodbye(reason).to_argument())],
        LinkFailure::ProtocolBroken { violation: broken } => vec![("reason", violation(broken).to_argument())],
        LinkFailure::SendStalled | LinkFailure::TimedOut { .. } | LinkFailure::RedirectLoop => vec![],
    };
    Reason::new("link", failure.code(), arguments, failure)
}

/// Why a peer ended the connection.
fn goodbye(reason: &Goodbye) -> Reason {
    let arguments = match reason {
        Goodbye::Busy { retry_after_ms } => vec![("retry_after_ms", name(retry_after_ms))],
        Goodbye::NoCommonLevel { here, there } => vec![
            ("here", name(&here.level)),
            ("here_supports", name(&here.supported)),
            ("there", name(&there.level)),
            ("there_supports", name(&there.supported)),
        ],
        Goodbye::LevelRaised { level } => vec![("level", name(level))],
        Goodbye::NotParent { parent, child, register_version } => {
            vec![("parent", name(parent)), ("child", name(child)), ("register_version", name(register_version))]
        }
        Goodbye::PeerMisbehaved(broken) => vec![("reason", violation(broken).to_argument())],
        Goodbye::Stopping
        | Goodbye::NoLongerLeader
        | Goodbye::NoLeader
        | Goodbye::IdleTimeout
        | Goodbye::PreferredParentBack
        | Goodbye::Elsewhere => vec![],
    };
    Reason::new("goodbye", reason.code(), arguments, reason)
}

#[cfg(test)]
mod tests {
    use kho_messages::{Lang, Message, coverage};
    use kho_replication::{
        frames::{Cursor, FrameId, FrameKind, ViolationDetail},
        uplink::{DialFailure, LinkWait},
    };
    use kho_storage::{
        ids::{ColumnId, Epoch, Hash32, NodeId},
        level::{Level, LevelOffer, SUPPORTED_IN_TESTS},
    };

    use super::*;

    const ORIGIN: OriginId = OriginId(3);
    const SEQ: StreamSeq = StreamSeq(1_234);
    const EPOCH: Epoch = Epoch { number: 2, id: 7 };

    fn refusals() -> Vec<Refusal> {
        let (origin, seq, why) = (ORIGIN, SEQ, || "it ends early".to_string());
        let mut refusals = vec![
            Refusal::UnknownOrigin(origin),
            Refusal::OtherEpoch { origin, ours: EPOCH, theirs: Epoch { number: 3, id: 8 } },
            Refusal::Gap { origin, wanted: StreamSeq(1_000), given: seq },
            Refusal::BadSignature { origin, seq },
            Refusal::BadChain { origin, seq },
            Refusal::Forked { origin, seq },
            Refusal::DigestMismatch { origin, seq },
            Refusal::Malformed { origin, seq, why: why() },
            Refusal::Register(why()),
            Refusal::RegisterDoubled { version: 7, held: Hash32([1; 32]), given: Hash32([2; 32]) },
            Refusal::Transfer { origin, why: why() },
            Refusal::NoRegister,
            Refusal::OffPath { origin, site: SiteId(4) },
            Refusal::AboveLevel { command: Level::TEST, site: Level::FOUNDING },
            Refusal::OnPath { origin, site: SiteId(4) },
            Refusal::TransferTaken { origin, carrier: SiteId(4) },
            Refusal::ColumnAboveLevel { origin, seq, column: ColumnId(1_024), level: Level::FOUNDING },
        ];
        refusals.extend(StopReason::ALL.map(|reason| Refusal::Stopped { origin, seq, reason }));
        refusals
    }

    fn violations() -> Vec<ProtocolViolation> {
        let (site, node, id, origin) = (SiteId(4), NodeId(1), FrameId(9), ORIGIN);
        let cursor = Cursor { epoch: EPOCH, next: SEQ };
        let detail = || ViolationDetail::new("it ends early");
        vec![
            ProtocolViolation::IdentityMismatch { claimed_site: SiteId(5), claimed_node: NodeId(2), site, node },
            ProtocolViolation::WelcomeMismatch { site, level: Level::TEST },
            ProtocolViolation::FrameAboveLevel { frame: FrameKind::TestLevel, level: Level::FOUNDING },
            ProtocolViolation::FrameOutOfTurn { frame: FrameKind::Segment },
            ProtocolViolation::FrameUnreadable { detail: detail() },
            ProtocolViolation::TransportMisused { detail: detail() },
            ProtocolViolation::TooManyStreams { streams_max: 65_536 },
            ProtocolViolation::FrameIdNotRising { id, last: id },
            ProtocolViolation::CursorNotRequested { origin },
            ProtocolViolation::OtherHistoryAcknowledged { origin, acknowledged: cursor, held: cursor },
            ProtocolViolation::AnswerOfOtherOrigin { id, origin },
            ProtocolViolation::AnswerNotAwaited { id },
        ]
    }

    fn goodbyes() -> Vec<Goodbye> {
        let mut goodbyes = vec![
            Goodbye::Stopping,
            Goodbye::NoLongerLeader,
            Goodbye::NoLeader,
            Goodbye::Busy { retry_after_ms: 2_000 },
            Goodbye::NoCommonLevel {
                here: LevelOffer::default(),
                there: LevelOffer { supported: SUPPORTED_IN_TESTS, level: Level::TEST, ..LevelOffer::default() },
            },
            Goodbye::LevelRaised { level: Level::TEST },
            Goodbye::NotParent { parent: SiteId(1), child: SiteId(4), register_version: 1_000 },
            Goodbye::IdleTimeout,
            Goodbye::PreferredParentBack,
            Goodbye::Elsewhere,
        ];
        goodbyes.extend(violations().into_iter().map(Goodbye::PeerMisbehaved));
        goodbyes
    }

    fn link_failures() -> Vec<LinkFailure> {
        let detail = || "p2:1: no answer".to_string();
        let mut failures = vec![LinkFailure::ConnectionLost { detail: detail() }, LinkFailure::SendStalled, LinkFailure::RedirectLoop];
        failures.extend(
            [DialFailure::Unreachable, DialFailure::Refused, DialFailure::WrongPeer]
                .map(|kind| LinkFailure::DialFailed { kind, detail: detail() }),
        );
        failures
            .extend([LinkWait::Connection, LinkWait::Welcome, LinkWait::Answer].map(|waiting_for| LinkFailure::TimedOut { waiting_for }));
        failures.extend(goodbyes().into_iter().map(|reason| LinkFailure::EndedByParent { reason }));
        failures.extend(violations().into_iter().map(|violation| LinkFailure::ProtocolBroken { violation }));
        failures
    }

    fn every_reason() -> Vec<Reason> {
        let mut causes = vec![RestartCause::TookLess, RestartCause::TransferStalled, RestartCause::Trimmed, RestartCause::NoSuchPlace];
        causes.extend(refusals().into_iter().map(RestartCause::WrongPlace));
        let mut reasons: Vec<Reason> = refusals().iter().map(refusal).collect();
        reasons.extend(StopReason::ALL.map(|reason| stop(reason, SEQ)));
        reasons.extend(causes.iter().map(restart));
        reasons.extend(causes.into_iter().map(|cause| park(&ParkReason::NoCommonCursor(cause))));
        reasons.push(park(&ParkReason::Forked { ours: EPOCH, theirs: EPOCH }));
        reasons.push(park(&ParkReason::LocalStorage { detail: "no space".into() }));
        reasons.extend([ShownBy::Site(SiteId(4)), ShownBy::Node(NodeId(1)), ShownBy::File].map(shown_by));
        let places = [DivergedPlace::Stream { origin: OriginId(3), seq: SEQ }, DivergedPlace::State { position: 9 }];
        reasons.extend(places.map(diverged_place));
        reasons.extend(EvidenceReason::ALL.map(evidence));
        reasons.push(outcome(&Outcome::Recorded));
        reasons.extend(violations().iter().map(violation));
        reasons.extend(link_failures().iter().map(link_failure));
        reasons
    }

    #[test]
    fn every_reason_has_a_text_in_every_language() {
        let reasons = every_reason();
        let messages: Vec<Message> = reasons.iter().map(Reason::to_message).collect();
        assert_eq!(coverage::message_gaps(&messages), Vec::<String>::new());
        for reason in &reasons {
            assert_eq!(reason.text(Lang::En), reason.detail, "{reason:?}");
            assert!(!reason.text(Lang::Vi).is_ascii(), "{reason:?}");
        }
    }

    #[test]
    fn promise_6_an_honest_head_ends_no_alarm_about_the_double_of_its_site() {
        let (author, carrier) = (SiteId(4), SiteId(2));
        let alarm = |by: SiteId, why: Refusal| AlarmKind::SegmentRefused { origin: ORIGIN.0, carrier: by.0, reason: refusal(&why) };
        let (origin, seq) = (ORIGIN, SEQ);
        for of_double in [Refusal::Forked { origin, seq }, Refusal::BadChain { origin, seq }, Refusal::DigestMismatch { origin, seq }] {
            assert!(!ends_with_adoption(&alarm(author, of_double.clone()), ORIGIN, Some(author)), "{of_double:?}");
        }
        let forked = alarm(carrier, Refusal::Forked { origin, seq });
        assert!(!ends_with_adoption(&forked, ORIGIN, Some(author)), "the author signed both, whoever carries them");
        let altered = alarm(carrier, Refusal::BadChain { origin, seq });
        assert!(ends_with_adoption(&altered, ORIGIN, Some(author)), "the carrier altered it");
        let gap = alarm(author, Refusal::Gap { origin, wanted: StreamSeq(1_000), given: seq });
        assert!(ends_with_adoption(&gap, ORIGIN, Some(author)), "the stream goes on");
        assert!(!ends_with_adoption(&gap, OriginId(ORIGIN.0 + 1), Some(author)), "another stream goes on");
        let set_back = AlarmKind::ChildSetBack { child: 4, origin: ORIGIN.0, held: "1:3".into(), here: "1:9".into() };
        assert!(!ends_with_adoption(&set_back, ORIGIN, Some(author)), "the old site is not the one that was set back");
    }
}
