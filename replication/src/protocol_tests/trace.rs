//! How inputs and actions read in a log: short, stable, and without keys or hashes.

use kho_storage::{
    command::{Command, Outcome, ParentCursor, TransferStatus},
    stream::Segment,
};

use crate::{
    frames::{ChildFrame, Compressed, ParentFrame, RegisterOffer, SEGMENT_PLAIN_BYTES_MAX, StreamHeld},
    intake::{IntakeAction, ProposeFailure},
    uplink::UplinkAction,
};

fn key(bytes: &[u8]) -> String {
    if bytes.is_empty() { "start".into() } else { format!("key {}", data_encoding::HEXLOWER.encode(bytes)) }
}

fn cursors(cursors: &[ParentCursor]) -> String {
    let each: Vec<String> = cursors.iter().map(|c| format!(" {}@{}/{}", c.origin, c.epoch.number, c.next)).collect();
    each.concat()
}

fn streams(streams: &[StreamHeld]) -> String {
    let each = streams.iter().map(|s| match s.oldest_kept.0 {
        1 => format!(" {}@{}/{}", s.origin, s.epoch.number, s.next),
        kept => format!(" {}@{}/{} kept from {kept}", s.origin, s.epoch.number, s.next),
    });
    each.collect::<Vec<_>>().concat()
}

fn segment(segment: &Segment) -> String {
    let head = &segment.head.head;
    let end = head.seq.0;
    match segment.batches.len() {
        0 => format!("{} idle at {end}, complete up to {}", head.origin, head.site_time),
        1 => format!("{} batch {end}", head.origin),
        _ => format!("{} batches {} to {end}", head.origin, segment.first),
    }
}

fn packed(packed: &Compressed<Segment>) -> String {
    packed.unpack(SEGMENT_PLAIN_BYTES_MAX).map_or_else(|error| format!("damaged ({error})"), |unpacked| segment(&unpacked))
}

fn status(status: &TransferStatus) -> String {
    match status {
        TransferStatus::WantsPiece { origin, from, .. } => format!("{origin} wants rows from {}", key(&from.key)),
        TransferStatus::WantsBatches { origin, next, until, .. } => format!("{origin} wants batches {next} to {until}"),
    }
}

fn registers(offers: &[RegisterOffer]) -> String {
    offers.iter().map(|offer| format!(", register {}", offer.version)).collect()
}

pub(super) fn child_frame(frame: &ChildFrame) -> String {
    match frame {
        ChildFrame::Hello(hello) => format!("Hello{}", streams(&hello.streams)),
        ChildFrame::Streams(held) => format!("Streams{}", streams(held)),
        ChildFrame::Segment { id, segment, .. } => format!("Segment {id} {}", packed(segment)),
        ChildFrame::TransferStart { id, start } => format!("TransferStart {id} {} kept after {}", start.origin, start.kept_after),
        ChildFrame::Piece { id, origin, piece, .. } => {
            let piece = piece.unpack(SEGMENT_PLAIN_BYTES_MAX).expect("own piece");
            let then = piece.next.as_ref().map_or("the end".into(), |next| key(&next.key));
            format!("Piece {id} {origin} {} rows from {} to {then}", piece.rows.len(), key(&piece.from.key))
        }
        ChildFrame::Goodbye(reason) => format!("Goodbye: {reason}"),
        ChildFrame::Clock(time) => format!("Clock {time}"),
        ChildFrame::TestLevel => "TestLevel".into(),
    }
}

pub(super) fn parent_frame(frame: &ParentFrame) -> String {
    match frame {
        ParentFrame::Welcome(welcome) => {
            let transfers: Vec<String> = welcome.transfers.iter().map(|s| format!(", {}", status(s))).collect();
            format!("Welcome{}{}{}", cursors(&welcome.cursors), transfers.concat(), registers(&welcome.registers))
        }
        ParentFrame::Redirect { addresses } => format!("Redirect to {}", addresses.join(" ")),
        ParentFrame::Cursors { cursors: held, transfers, .. } => {
            let transfers: Vec<String> = transfers.iter().map(|s| format!(", {}", status(s))).collect();
            format!("Cursors{}{}", cursors(held), transfers.concat())
        }
        ParentFrame::Adopted { id, cursor } => format!("Adopted {id}{}", cursors(&[*cursor])),
        ParentFrame::TransferWants { id, status: wants } => format!("TransferWants {id} {}", status(wants)),
        ParentFrame::Refused { id, origin, refusal } => {
            let id = id.map_or(String::new(), |id| format!("{id} "));
            format!("Refused {id}{origin}: {refusal}")
        }
        ParentFrame::Busy { id, retry_after_ms } => format!("Busy {id} for {retry_after_ms} ms"),
        ParentFrame::Registers(offers) => format!("Registers{}", registers(offers)),
        ParentFrame::Goodbye(reason) => format!("Goodbye: {reason}"),
        ParentFrame::Clock(time) => format!("Clock {time}"),
    }
}

pub(super) fn uplink_action(action: &UplinkAction) -> String {
    match action {
        UplinkAction::Dial { site, addresses, .. } => format!("dial site {site} at {}", addresses.join(" ")),
        UplinkAction::Disconnect { reason, .. } => format!("disconnect: {reason}"),
        UplinkAction::SendFrame { frame, .. } => format!("send {}", child_frame(frame)),
        UplinkAction::LoadSegment { origin, from, .. } => format!("load {origin} from {from}"),
        UplinkAction::LoadTransferStart { origin, .. } => format!("load transfer start of {origin}"),
        UplinkAction::LoadPiece { origin, from, .. } => format!("load rows of {origin} from {}", key(&from.key)),
        UplinkAction::RecordParent { parent, cursors: held } => format!("record: site {parent} holds{}", cursors(held)),
        UplinkAction::FetchRegister { offer, .. } => format!("fetch register {}", offer.version),
        UplinkAction::AdoptRegister(_) => "adopt register".into(),
        UplinkAction::CompareHead { parent, head } => format!("compare with the head of {} that site {parent} holds", head.head.origin),
        UplinkAction::Probe { site, .. } => format!("probe site {site}"),
        UplinkAction::RaiseAlarm(alarm) => format!("ALARM {alarm}"),
    }
}

pub(super) fn intake_action(action: &IntakeAction) -> String {
    match action {
        IntakeAction::ReadCursors { origins, .. } => {
            format!("read cursors of {}", origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }
        IntakeAction::Propose { id, command } => format!("propose {id} {}", self::command(command)),
        IntakeAction::SendFrame(frame) => format!("send {}", parent_frame(frame)),
        IntakeAction::Close { reason } => format!("close: {reason}"),
        IntakeAction::KeepEvidence(evidence) => {
            format!("keep evidence against origin {} carried by site {}", evidence.origin, evidence.carrier)
        }
        IntakeAction::RaiseAlarm(alarm) => format!("ALARM {alarm}"),
        IntakeAction::ChildCaughtUp { origin } => format!("its author has caught up with {origin}"),
    }
}

fn command(command: &Command) -> String {
    match command {
        Command::AdoptSegment { segment: adopted, .. } => segment(adopted),
        Command::BeginTransfer { start, .. } => format!("transfer of {}", start.origin),
        Command::AdoptPiece { piece, .. } => format!("{} rows of {}", piece.rows.len(), piece.origin),
        other => format!("{other:?}"),
    }
}

pub(super) fn outcome(result: &Result<Outcome, ProposeFailure>) -> String {
    match result {
        Ok(Outcome::Adopted(cursor)) => format!("committed:{}", cursors(&[*cursor])),
        Ok(Outcome::Transfer(wants)) => format!("committed: {}", status(wants)),
        Ok(Outcome::Refused(refusal)) => format!("committed refusal: {refusal}"),
        Ok(other) => format!("committed {other:?}"),
        Err(failure) => format!("failed: {failure:?}"),
    }
}
