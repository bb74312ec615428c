//! Segments, heads, batches and rows: what an author signed, or claims to have.

use kho_replication::verified::ReceivedSegment;
use kho_storage::{
    checks::check_change,
    codec::Blob,
    ids::{Hash32, SiteTime, StreamSeq},
    level::Level,
    row::{RowBuilder, RowCells},
    stream::{BATCH_BYTES_MAX, BATCH_CHANGES_MAX, Batch, BatchBody, Change, Head, SEGMENT_BYTES_MAX, Segment, SignedHead},
};

use super::choice;
use crate::{
    survives::decoded,
    world::{DISTRICT, NODE, ORIGIN, PROVINCE, WORLD},
};

/// A segment as it came; and the same batches under a head that its author really signed, so that all further checks are reached.
pub fn segment(bytes: &[u8]) {
    let Some(segment) = decoded::<Segment>(bytes) else { return };
    judge(segment.clone());
    let head = Head { origin: ORIGIN, epoch: WORLD.epoch(), ..segment.head.head.clone() };
    let signed = SignedHead::sign(head, DISTRICT, NODE, &WORLD.district).expect("the system has randomness");
    judge(Segment { head: signed, ..segment });
}

fn judge(segment: Segment) {
    let Ok(verified) = ReceivedSegment::new(segment.clone()).verify(&WORLD.register, PROVINCE, Level::FOUNDING) else { return };
    assert_eq!(verified.segment(), &segment, "what is verified is what came");
    let head = &segment.head.head;
    assert_eq!(segment.first.0 + segment.batches.len() as u64, head.seq.0 + 1);
    assert!(segment.bytes() <= SEGMENT_BYTES_MAX);
    for (seq, bytes) in (segment.first.0..).zip(&segment.batches) {
        let batch = Batch::decode(bytes).expect("a verified batch can be read");
        assert_eq!((batch.origin, batch.epoch, batch.seq), (head.origin, head.epoch, StreamSeq(seq)));
        within_bounds(&batch, bytes);
    }
}

/// A signed head: whatever stands in it, only the pinned key's own signature verifies.
pub fn head(bytes: &[u8]) {
    let Some(signed) = decoded::<SignedHead>(bytes) else { return };
    assert!(signed.verify(&WORLD.district.public_key()).is_err(), "nobody guesses a signature");
    let _ = signed.head.ahead_of(SiteTime(0));
    let _ = signed.head.site_time.to_rfc3339();
    let mut own = SignedHead::sign(signed.head, signed.site, signed.node, &WORLD.district).expect("the system has randomness");
    assert_eq!(own.verify(&WORLD.district.public_key()), Ok(()));
    own.head.chain = Hash32::of(&own.head.chain.0);
    assert!(own.verify(&WORLD.district.public_key()).is_err(), "an altered head does not verify");
}

/// A batch, or the cells of a row: canonical or refused.
pub fn batch(bytes: &[u8]) {
    let Some((what, rest)) = choice(bytes) else { return };
    if what % 2 == 0 {
        row(rest);
    } else if let Some(batch) = decoded::<Batch>(rest) {
        assert_eq!(Batch::decode(&batch.encode().expect("it was read")), Ok(batch.clone()));
        if let BatchBody::Rows { changes, .. } = &batch.body {
            changes.iter().filter_map(Change::cells).for_each(|cells| row(cells));
        }
    }
}

fn row(bytes: &[u8]) {
    let Ok(cells) = RowCells::check(bytes) else { return };
    let mut builder = RowBuilder::default();
    for (column, value) in cells.iter() {
        assert_eq!(cells.value(column), Some(value.clone()));
        builder.push(column, &value);
    }
    assert_eq!(builder.finish(), bytes, "one row has one form");
}

fn within_bounds(batch: &Batch, bytes: &Blob) {
    assert!(bytes.len() <= BATCH_BYTES_MAX);
    let BatchBody::Rows { changes, .. } = &batch.body else { return };
    assert!(changes.len() <= BATCH_CHANGES_MAX);
    for change in changes {
        assert!(check_change(change).is_ok(), "a verified change has the form of one");
    }
}
