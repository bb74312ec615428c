//! How inputs, actions and outcomes are printed: short, and the same for the same thing.

use kho_replication::{
    frames::{ChildFrame, PIECE_PLAIN_BYTES_MAX, ParentFrame, RegisterOffer, SEGMENT_PLAIN_BYTES_MAX},
    intake::IntakeAction,
    uplink::UplinkAction,
};
use kho_storage::{
    command::{Command, Outcome, ParentCursor, RowPlace, TransferStatus, WriteOutcome},
    stream::Segment,
};

use crate::{agenda::Proposer, tree};

pub fn uplink_action(action: &UplinkAction) -> String {
    match action {
        UplinkAction::Dial { site, addresses, .. } => format!("dial {} at {}", tree::name(*site), addresses.join(", ")),
        UplinkAction::Disconnect { reason, .. } => format!("disconnect: {reason}"),
        UplinkAction::SendFrame { frame, .. } => format!("send {}", child_frame(frame)),
        UplinkAction::LoadSegment { origin, from, .. } => format!("load {origin} from {from}"),
        UplinkAction::LoadTransferStart { origin, .. } => format!("load transfer start of {origin}"),
        UplinkAction::LoadPiece { origin, from, .. } => format!("load rows of {origin} from {}", place(from)),
        UplinkAction::RecordParent { parent, cursors } => format!("record: {} holds {}", tree::name(*parent), cursors_of(cursors)),
        UplinkAction::FetchRegister { offer, .. } => format!("fetch register {}", offer.version),
        UplinkAction::AdoptRegister(_) => "adopt a register".into(),
        UplinkAction::CompareHead { parent, head } => {
            format!("compare with {} of {}, as {} holds it", head.head.seq.next(), head.head.origin, tree::name(*parent))
        }
        UplinkAction::Probe { site, .. } => format!("probe {}", tree::name(*site)),
        UplinkAction::RaiseAlarm(alarm) => format!("ALARM {alarm}"),
    }
}

pub fn intake_action(action: &IntakeAction) -> String {
    match action {
        IntakeAction::ReadCursors { origins, .. } => {
            format!("read cursors of {}", origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }
        IntakeAction::Propose { id, command: proposed } => format!("propose {id} {}", command(proposed)),
        IntakeAction::SendFrame(frame) => format!("send {}", parent_frame(frame)),
        IntakeAction::Close { reason } => format!("close: {reason}"),
        IntakeAction::KeepEvidence(evidence) => format!("keep evidence: {}", evidence.refusal),
        IntakeAction::RaiseAlarm(alarm) => format!("ALARM {alarm}"),
        IntakeAction::ChildCaughtUp { origin } => format!("the author of {origin} has caught up"),
    }
}

fn child_frame(frame: &ChildFrame) -> String {
    match frame {
        ChildFrame::Hello(hello) => format!("Hello {}", streams(&hello.streams)),
        ChildFrame::Streams(requested) => format!("Streams {}", streams(requested)),
        ChildFrame::Segment { id, segment: packed, .. } => {
            let segment = packed.unpack(SEGMENT_PLAIN_BYTES_MAX).map_or_else(|error| error.to_string(), |unpacked| segment(&unpacked));
            format!("Segment {id} {segment}")
        }
        ChildFrame::TransferStart { id, start } => format!("TransferStart {id} {} kept after {}", start.origin, start.kept_after),
        ChildFrame::Piece { id, piece, .. } => {
            let piece = piece.unpack(PIECE_PLAIN_BYTES_MAX).map_or_else(
                |error| error.to_string(),
                |piece| format!("{} rows of {} from {} read at {}", piece.rows.len(), piece.origin, place(&piece.from), piece.read_at),
            );
            format!("Piece {id} {piece}")
        }
        ChildFrame::Goodbye(reason) => format!("Goodbye: {reason}"),
        ChildFrame::Clock(time) => format!("Clock {time}"),
        ChildFrame::TestLevel => "TestLevel".into(),
    }
}

fn parent_frame(frame: &ParentFrame) -> String {
    match frame {
        ParentFrame::Welcome(welcome) => {
            format!("Welcome {}{}{}", cursors_of(&welcome.cursors), transfers(&welcome.transfers), registers(&welcome.registers))
        }
        ParentFrame::Redirect { addresses } => format!("Redirect to {}", addresses.join(", ")),
        ParentFrame::Cursors { cursors, transfers: under_way, .. } => format!("Cursors {}{}", cursors_of(cursors), transfers(under_way)),
        ParentFrame::Adopted { id, cursor } => format!("Adopted {id} {}", cursors_of(&[*cursor])),
        ParentFrame::TransferWants { id, status } => format!("TransferWants {id} {}", transfer(status)),
        ParentFrame::Refused { id, origin, refusal } => {
            format!("Refused {} {origin}: {refusal}", id.map_or_else(String::new, |id| id.to_string()))
        }
        ParentFrame::Busy { id, retry_after_ms } => format!("Busy {id} for {retry_after_ms} ms"),
        ParentFrame::Registers(offers) => format!("Registers{}", registers(offers)),
        ParentFrame::Goodbye(reason) => format!("Goodbye: {reason}"),
        ParentFrame::Clock(time) => format!("Clock {time}"),
    }
}

fn registers(offers: &[RegisterOffer]) -> String {
    offers.iter().map(|offer| format!(", register {}", offer.version)).collect()
}

pub fn command(command: &Command) -> String {
    match command {
        Command::Write { origin, requests, .. } => {
            format!("write {origin} {}", requests.iter().map(|request| request.key.as_str()).collect::<Vec<_>>().join(" "))
        }
        Command::CommitHead { signed } => {
            format!("head of {} at {}, complete up to {}", signed.head.origin, signed.head.seq, signed.head.site_time)
        }
        Command::AdoptSegment { segment: adopted, .. } => segment(adopted),
        Command::AdoptRegister { .. } => "a register".into(),
        Command::RecordParent { parent, cursors } => format!("record: {} holds {}", tree::name(*parent), cursors_of(cursors)),
        Command::Trim { keep_bytes } => format!("forget all but {keep_bytes} bytes"),
        Command::BeginTransfer { carrier, start, .. } => {
            format!("transfer of {} by {} kept after {}", start.origin, tree::name(*carrier), start.kept_after)
        }
        Command::AdoptPiece { carrier, generation, piece, .. } => {
            let (rows, from, by) = (piece.rows.len(), place(&piece.from), tree::name(*carrier));
            format!("{rows} rows of {} from {from} by {by} for generation {generation}", piece.origin)
        }
        Command::DiscardOrigin { origin } => format!("take {origin} out"),
        Command::AbandonTransfer { origin } => format!("abandon the transfer of {origin}"),
        Command::ResumeOrigin { origin } => format!("resume {origin}"),
        Command::ReviewEvidence { origin, review } => format!("{} pieces of evidence of {origin} are reviewed", review.pieces.len()),
        Command::ConfirmTime { site_time } => format!("confirm that it is {site_time}"),
        Command::NoteTurnedBack { node, .. } => format!("node {node} lost what it had acknowledged"),
        Command::RaiseLevel { to } => format!("raise the level to {to}"),
        Command::NoteTest { note } => format!("note {note:?}"),
        Command::NoteDiverged { node, .. } => format!("node {node} computed something else"),
        Command::NoteSetBack { signed, .. } => format!("origin {} stood at {}: set back", signed.head.origin, signed.head.seq.next()),
    }
}

pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Written(outcomes) => outcomes.iter().map(written).collect::<Vec<_>>().join(", "),
        Outcome::HeadCommitted => "committed".into(),
        Outcome::Adopted(cursor) => cursors_of(&[*cursor]),
        Outcome::Refused(refusal) => format!("REFUSED {refusal}"),
        Outcome::RegisterAdopted { version } => format!("register {version}"),
        Outcome::Recorded => "recorded".into(),
        Outcome::LevelStands { level } => format!("level {level}"),
        Outcome::Trimmed { batches } => format!("{batches} batches forgotten"),
        Outcome::Transfer(status) => transfer(status),
    }
}

pub fn proposer(proposer: &Proposer) -> String {
    match proposer {
        Proposer::Intake { id, .. } => id.to_string(),
        Proposer::Recorder { .. } => "a record".into(),
        Proposer::Register { .. } => "a register".into(),
        Proposer::SetBack { .. } => "the note of a set-back".into(),
        Proposer::Clients { requests } => format!("a write of {} requests", requests.len()),
        Proposer::Maintenance => "a head, or forgetting,".into(),
    }
}

fn written(outcome: &WriteOutcome) -> String {
    match outcome {
        WriteOutcome::Committed { seq, repeated, .. } => format!("batch {seq}{}", if *repeated { " again" } else { "" }),
        other => format!("{other:?}"),
    }
}

fn segment(segment: &Segment) -> String {
    let head = &segment.head.head;
    let batches = match segment.batches.len() {
        0 => "no batch".into(),
        _ => format!("batches {} to {}", segment.first, head.seq),
    };
    format!("{} {batches}, head at {} complete up to {}", head.origin, head.seq, head.site_time)
}

fn streams(streams: &[kho_replication::frames::StreamHeld]) -> String {
    streams.iter().map(|held| format!("{}@{} kept from {}", held.origin, held.next, held.oldest_kept)).collect::<Vec<_>>().join(", ")
}

fn cursors_of(cursors: &[ParentCursor]) -> String {
    cursors.iter().map(|cursor| format!("{}@{}", cursor.origin, cursor.next)).collect::<Vec<_>>().join(" ")
}

fn transfers(transfers: &[TransferStatus]) -> String {
    transfers.iter().map(|status| format!(", {}", transfer(status))).collect()
}

fn transfer(status: &TransferStatus) -> String {
    match status {
        TransferStatus::WantsPiece { origin, from, .. } => format!("{origin} wants rows from {}", place(from)),
        TransferStatus::WantsBatches { origin, next, until, .. } => format!("{origin} wants batches from {next} up to {until}"),
    }
}

fn place(place: &RowPlace) -> String {
    if place.key.is_empty() { "the start".into() } else { format!("key {}", String::from_utf8_lossy(&place.key)) }
}
