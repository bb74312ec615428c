//! What a site applies of other sites: hostile batches and pieces that passed every check of form. Whatever they hold, applying
//! never fails: an error there would stop every node of the site.

use std::{collections::BTreeSet, sync::LazyLock};

use kho_replication::verified::{ReceivedPiece, ReceivedSegment};
use kho_storage::{
    codec::{self, Blob},
    command::{Command, Outcome, PieceRow, Refusal, RowPlace, TransferPiece, TransferStart, TransferStatus},
    db::{Db, MemoryImage},
    ids::{Hash32, SiteTime, StreamSeq},
    inspect::format_entry,
    keys::Space,
    level::Level,
    schema::population,
    stream::{Batch, BatchBody, Change, Head, RequestMark, Segment, SignedHead, chain_next, chain_start},
    warehouse::{AppliedMark, OriginProof, Warehouse, WarehouseConfig},
};

use super::stored::is_damaged;
use crate::world::{DISTRICT, NODE, ORIGIN, PROVINCE, WORLD};

/// A province that holds the register and nothing else.
static EMPTY: LazyLock<(WarehouseConfig, MemoryImage)> = LazyLock::new(|| {
    let config = WORLD.warehouse(PROVINCE);
    let warehouse = Warehouse::in_memory(MemoryImage::default(), config.clone()).expect("an empty image");
    apply(&warehouse, &Command::AdoptRegister { site_time: SiteTime(1), pinned: WORLD.centre.public_key(), signed: WORLD.signed.clone() });
    (config, warehouse.image().expect("it is in memory"))
});
const CLOCK: SiteTime = SiteTime(1_700_000_000_000);

/// What an author's batch may hold: all of it comes from the bytes.
pub type AnyBatch = (SiteTime, Vec<RequestMark>, Vec<Change>);

/// Rows of a piece, and up to which batch they claim to be read.
pub type AnyPiece = (StreamSeq, Vec<PieceRow>);

/// A batch of the author with any changes: what passes the checks is adopted, and rows, digest and cubes agree afterwards.
pub fn adoption(bytes: &[u8]) {
    let Ok((site_time, requests, changes)) = codec::decode::<AnyBatch>(bytes) else { return };
    let rows = rows_left(&changes);
    let batch = Batch { origin: ORIGIN, epoch: WORLD.epoch(), seq: StreamSeq(1), site_time, body: BatchBody::Rows { requests, changes } };
    let Ok(batch) = batch.encode() else { return };
    // The author knows its digest; here the adopter's own evidence shows it.
    let guessed = segment(&batch, Hash32::ZERO, rows);
    if ReceivedSegment::new(guessed.clone()).verify(&WORLD.register, PROVINCE, Level::FOUNDING).is_err() {
        return;
    }
    let province = empty_province();
    let refused = apply(&province, &Command::AdoptSegment { site_time: CLOCK, carrier: None, segment: guessed });
    assert!(matches!(refused, Outcome::Refused(Refusal::DigestMismatch { .. })), "a wrong digest is refused, not {refused:?}");
    let true_segment = segment(&batch, computed_digest(&province), rows);

    let province = empty_province();
    let adopt = Command::AdoptSegment { site_time: CLOCK, carrier: None, segment: true_segment.clone() };
    let adopted = apply(&province, &adopt);
    assert!(matches!(adopted, Outcome::Adopted(cursor) if cursor.next == StreamSeq(2)), "a good batch is adopted, not {adopted:?}");
    let proof = proven(&province);
    assert_eq!((proof.rows, proof.seq), (rows, StreamSeq(1)));
    let held = province.image();
    assert_eq!(apply(&province, &adopt), adopted, "a redelivery changes nothing");
    assert_eq!(
        province.segment(ORIGIN, StreamSeq(1), usize::MAX).expect("it is held"),
        Some(true_segment),
        "what was adopted goes on as it came"
    );
    assert_eq!(proven(&province), proof);
    is_shown(&held.expect("it is in memory"));
}

/// A piece of a transfer with any rows: it is placed or refused, and giving the transfer up leaves nothing of it.
pub fn transfer(bytes: &[u8]) {
    let Ok((read_at, rows)) = codec::decode::<AnyPiece>(bytes) else { return };
    let province = empty_province();
    let start = TransferStart { origin: ORIGIN, epoch: WORLD.epoch(), kept_after: StreamSeq(1), kept_after_chain: Hash32::ZERO };
    // A piece that was read before the batches that follow it ends the transfer by itself.
    let ends_it = read_at < start.kept_after;
    let carrier = WORLD.register.author(ORIGIN).expect("it has one");
    let begun = apply(&province, &Command::BeginTransfer { site_time: CLOCK, carrier, silent_ms: 60_000, start });
    let Outcome::Transfer(TransferStatus::WantsPiece { generation, .. }) = begun else { panic!("a transfer begins, not {begun:?}") };
    let piece = TransferPiece { origin: ORIGIN, epoch: WORLD.epoch(), from: RowPlace::default(), next: None, read_at, rows };
    let Ok(verified) = ReceivedPiece::new(piece).verify(&WORLD.register, PROVINCE, Level::FOUNDING) else { return };
    apply(&province, &Command::AdoptPiece { site_time: CLOCK, carrier, generation, piece: verified.into_piece() });
    is_shown(&province.image().expect("it is in memory"));
    match apply(&province, &Command::AbandonTransfer { origin: ORIGIN }) {
        Outcome::Recorded => assert!(!ends_it),
        Outcome::Refused(Refusal::Transfer { .. }) => assert!(ends_it),
        other => panic!("giving a transfer up comes to {other:?}"),
    }
    let proof = proven(&province);
    assert_eq!((proof.rows, proof.seq), (0, StreamSeq(0)), "nothing of it is left");
    assert_eq!(in_space(&province.image().expect("it is in memory"), Space::Rows), 0);
}

fn empty_province() -> Warehouse {
    let (config, image) = &*EMPTY;
    Warehouse::in_memory(image.clone(), config.clone()).expect("its own image")
}

fn apply(warehouse: &Warehouse, command: &Command) -> Outcome {
    warehouse
        .apply(&AppliedMark::default(), Some(command))
        .expect("applying never fails, whatever another site sends")
        .expect("a command has an outcome")
}

fn segment(batch: &Blob, digest: Hash32, rows: u64) -> Segment {
    let epoch = WORLD.epoch();
    let chain = chain_next(chain_start(ORIGIN, epoch), batch);
    let head = Head { origin: ORIGIN, epoch, seq: StreamSeq(1), chain, digest, rows, site_time: CLOCK };
    let head = SignedHead::sign(head, DISTRICT, NODE, &WORLD.district).expect("the system has randomness");
    Segment { first: StreamSeq(1), batches: vec![batch.clone()], head }
}

/// Rows that stand after the changes, in their order, on nothing.
fn rows_left(changes: &[Change]) -> u64 {
    let mut left = BTreeSet::new();
    for change in changes {
        let place = (change.table, &change.key);
        if change.cells().is_some() {
            left.insert(place)
        } else {
            left.remove(&place)
        };
    }
    left.len() as u64
}

fn computed_digest(province: &Warehouse) -> Hash32 {
    let mut computed = None;
    province.read(|reading| reading.evidence(|evidence| computed = evidence.ours.map(|(_, digest)| digest))).expect("it can be read");
    computed.expect("a refused digest leaves evidence")
}

fn proven(province: &Warehouse) -> OriginProof {
    let proof = province.recompute(ORIGIN, &mut |_, _| {}).expect("it can be read").expect("the origin is known");
    assert!(proof.holds(), "rows, digest and cubes agree: {proof:?}");
    proof
}

/// Everything stored can be read by the inspector.
fn is_shown(image: &MemoryImage) {
    for space in Space::ALL {
        visit(image, space, |key, value| {
            let line = format_entry(population(), space, key, value);
            assert!(!is_damaged(space, &line), "{line}");
        });
    }
}

fn in_space(image: &MemoryImage, space: Space) -> usize {
    let mut number = 0;
    visit(image, space, |_, _| number += 1);
    number
}

fn visit(image: &MemoryImage, space: Space, mut visit: impl FnMut(&[u8], &[u8])) {
    let db = Db::in_memory(image.clone());
    let scanned = db.view().scan(space, &[], &[0xff; 200], |key, value| {
        visit(key, value);
        Ok(true)
    });
    scanned.expect("it is in memory");
}
