use kho_storage::{
    codec::Blob,
    command::{PieceRow, RowPlace},
    ids::{ColumnId, Epoch, Hash32, NodeId, OriginId, SiteId, SiteTime, TableId},
    level::Level,
    register::Revocation,
    stream::{Head, KEY_BYTES_MAX, RowChange, SignedHead},
};
use proptest::prelude::*;

use super::*;
use crate::protocol_tests::{
    author::Author,
    tree::{ADOPTED, COMMUNE, DISTRICT, NODE, OWN, PROVINCE, Tree},
};

fn tree_and_author() -> (Tree, Author) {
    let tree = Tree::new();
    let mut author = Author::new(&tree, OWN, DISTRICT);
    author.grow(4, SiteTime(500_000));
    (tree, author)
}

fn judge(tree: &Tree, segment: Segment) -> Result<VerifiedSegment, Refusal> {
    ReceivedSegment::new(segment).verify(&tree.verified(), PROVINCE, Level::FOUNDING)
}

/// A head that the author itself signs over whatever it likes.
fn resigned(tree: &Tree, segment: &mut Segment, change: impl FnOnce(&mut Head)) {
    let mut head = segment.head.head.clone();
    change(&mut head);
    segment.head = SignedHead::sign(head, DISTRICT, NODE, &tree.keys[&DISTRICT]).expect("system randomness");
}

#[test]
fn promise_4_an_honest_segment_passes_as_it_is() {
    let (tree, author) = tree_and_author();
    for (first, last) in [(1, 4), (3, 4), (4, 4), (5, 4)] {
        let segment = author.segment(first, last);
        assert_eq!(judge(&tree, segment.clone()).map(VerifiedSegment::into_segment), Ok(segment));
    }
}

#[test]
fn promise_4_bytes_of_a_stream_that_the_register_leads_elsewhere_are_refused() {
    let (tree, author) = tree_and_author();
    let refused = Refusal::OffPath { origin: OWN, site: COMMUNE };
    assert_eq!(ReceivedSegment::new(author.segment(1, 4)).verify(&tree.verified(), COMMUNE, Level::FOUNDING), Err(refused.clone()));
    assert_eq!(ReceivedPiece::new(piece(&[11])).verify(&tree.verified(), COMMUNE, Level::FOUNDING), Err(refused));
}

#[test]
fn promise_4_a_segment_cut_in_the_middle_or_at_an_end_is_refused() {
    let (tree, author) = tree_and_author();
    for cut in 0..4 {
        let mut segment = author.segment(1, 4);
        segment.batches.remove(cut);
        assert!(matches!(judge(&tree, segment.clone()), Err(Refusal::Malformed { .. })), "batch {} cut", cut + 1);
        // Numbered so that the ends fit again.
        segment.first = StreamSeq(2);
        let judged = judge(&tree, segment);
        assert!(judged.is_err() || cut == 0, "batch {} cut and renumbered", cut + 1);
    }
}

#[test]
fn promise_4_reordered_and_doubled_batches_are_refused() {
    let (tree, author) = tree_and_author();
    let mut reordered = author.segment(1, 4);
    reordered.batches.swap(1, 2);
    assert!(matches!(judge(&tree, reordered), Err(Refusal::Malformed { .. })));
    let mut doubled = author.segment(1, 4);
    doubled.batches[2] = doubled.batches[1].clone();
    assert!(matches!(judge(&tree, doubled), Err(Refusal::Malformed { .. })));
}

#[test]
fn promise_4_an_altered_head_is_refused() {
    let (tree, author) = tree_and_author();
    let alter: [fn(&mut SignedHead); 7] = [
        |s| s.head.chain = Hash32::ZERO,
        |s| s.head.digest = Hash32::ZERO,
        |s| s.head.rows += 1,
        |s| s.head.site_time = SiteTime(600_000),
        |s| s.head.epoch.id ^= 1,
        |s| s.site = COMMUNE,
        |s| s.node = NodeId(2),
    ];
    for change in alter {
        let mut segment = author.segment(1, 4);
        change(&mut segment.head);
        assert_eq!(judge(&tree, segment), Err(Refusal::BadSignature { origin: OWN, seq: StreamSeq(4) }));
    }
}

#[test]
fn promise_4_an_invented_segment_is_refused_whoever_signs_it_but_the_author() {
    let (tree, author) = tree_and_author();
    for forger in [SiteId(1), SiteId(2), SiteId(4), COMMUNE] {
        for claimed in [forger, DISTRICT] {
            let mut segment = author.segment(1, 4);
            segment.head = SignedHead::sign(segment.head.head.clone(), claimed, NODE, &tree.keys[&forger]).expect("system randomness");
            assert!(matches!(judge(&tree, segment), Err(Refusal::BadSignature { .. })), "signed by site {forger} as site {claimed}");
        }
    }
}

#[test]
fn promise_4_the_carrier_is_nobody_and_the_author_is_everything() {
    // The district carries the commune's stream: what counts is that the commune signed it.
    let tree = Tree::new();
    let mut author = Author::new(&tree, ADOPTED, COMMUNE);
    author.grow(2, SiteTime(500_000));
    assert!(judge(&tree, author.segment(1, 2)).is_ok());
    let mut as_district = author.segment(1, 2);
    as_district.head = SignedHead::sign(as_district.head.head.clone(), DISTRICT, NODE, &tree.keys[&DISTRICT]).expect("system randomness");
    assert!(matches!(judge(&tree, as_district), Err(Refusal::BadSignature { .. })));
}

#[test]
fn promise_4_batches_of_another_origin_or_epoch_are_refused_even_when_the_author_signs() {
    let (tree, author) = tree_and_author();
    let mut foreign = Author::new(&tree, OWN, DISTRICT);
    foreign.epoch = Epoch { number: 1, id: 77 };
    foreign.grow(4, SiteTime(500_000));
    let mut segment = author.segment(1, 4);
    segment.batches = foreign.segment(1, 4).batches;
    assert!(matches!(judge(&tree, segment), Err(Refusal::Malformed { .. })));
}

#[test]
fn promise_4_a_revoked_key_and_an_unknown_origin_are_refused() {
    let (mut tree, author) = tree_and_author();
    tree.register.sites.iter_mut().find(|site| site.site == DISTRICT).expect("there").nodes[0].revoked =
        vec![Revocation { origin: OWN, last_good_epoch: 1, last_good_seq: StreamSeq(3) }];
    assert!(judge(&tree, author.segment(1, 3)).is_ok());
    assert!(matches!(judge(&tree, author.segment(1, 4)), Err(Refusal::BadSignature { .. })));
    tree.register.origins.retain(|entry| entry.origin != OWN);
    assert_eq!(judge(&tree, author.segment(1, 3)), Err(Refusal::UnknownOrigin(OWN)));
}

#[test]
fn numbers_at_their_ends_are_refused_and_not_added_up() {
    let (tree, author) = tree_and_author();
    for (first, seq) in [(0, 0), (u64::MAX, u64::MAX), (1, u64::MAX), (u64::MAX, 0), (1 << 62, (1 << 62) + 1)] {
        let mut segment = author.segment(5, 4);
        segment.first = StreamSeq(first);
        resigned(&tree, &mut segment, |head| head.seq = StreamSeq(seq));
        assert!(matches!(judge(&tree, segment), Err(Refusal::Malformed { .. })), "{first} to {seq}");
    }
}

#[test]
fn a_row_that_is_no_row_is_refused_even_when_the_author_signs() {
    let (tree, author) = tree_and_author();
    let spoil: [fn(&mut Change); 4] = [
        |c| c.row = RowChange::Whole(Blob(vec![0xff; 3])),
        |c| c.row = RowChange::Columns { cells: Blob(vec![]), cleared: vec![ColumnId(2), ColumnId(2)] },
        |c| c.key = Blob(vec![1; KEY_BYTES_MAX + 1]),
        |c| c.key = Blob(vec![]),
    ];
    for change in spoil {
        let mut batch = Batch::decode(&author.batches[0]).expect("own batch");
        let BatchBody::Rows { changes, .. } = &mut batch.body else { panic!("rows were entered") };
        change(&mut changes[0]);
        let mut segment = author.segment(1, 1);
        segment.batches = vec![batch.encode().expect("encodes")];
        assert!(matches!(judge(&tree, segment), Err(Refusal::Malformed { origin: OWN, seq: StreamSeq(1), .. })));
    }
}

#[test]
fn an_epoch_opens_on_the_batch_before_it_and_on_an_older_epoch() {
    let (tree, author) = tree_and_author();
    let opening = |base_seq, base_number| {
        let epoch = Epoch { number: 2, id: 5 };
        let base =
            EpochBase { epoch: Epoch { number: base_number, id: 1 }, seq: StreamSeq(base_seq), chain: Hash32::ZERO, digest: Hash32::ZERO };
        let batch: Batch = Batch { origin: OWN, epoch, seq: StreamSeq(5), site_time: SiteTime(1), body: BatchBody::EpochOpened { base } };
        let mut segment = author.segment(5, 4);
        segment.batches = vec![batch.encode().expect("encodes")];
        resigned(&tree, &mut segment, |head| (head.epoch, head.seq) = (epoch, StreamSeq(5)));
        judge(&tree, segment)
    };
    assert!(opening(4, 1).is_ok());
    for (seq, number) in [(3, 1), (5, 1), (u64::MAX, 1), (4, 2)] {
        assert!(matches!(opening(seq, number), Err(Refusal::Malformed { .. })), "base {number}/{seq}");
    }
}

fn piece(keys: &[u8]) -> TransferPiece {
    let place = |key: u8| RowPlace { table: TableId(1), key: Blob(vec![key]) };
    let row = |key: &u8| PieceRow { table: TableId(1), key: Blob(vec![*key]), cells: Blob(vec![]), seq: StreamSeq(2), time: SiteTime(1) };
    let rows = keys.iter().map(row).collect();
    TransferPiece { origin: OWN, epoch: Epoch::first("test", OWN), from: place(10), next: Some(place(20)), read_at: StreamSeq(4), rows }
}

#[test]
fn promise_4_a_piece_with_rows_out_of_range_order_or_form_is_refused() {
    let register = Tree::new().verified();
    let judge = |piece: TransferPiece| ReceivedPiece::new(piece).verify(&register, PROVINCE, Level::FOUNDING);
    assert!(judge(piece(&[10, 11, 19])).is_ok());
    assert!(judge(piece(&[])).is_ok());
    for keys in [&[9][..], &[20], &[12, 11], &[11, 11]] {
        assert!(matches!(judge(piece(keys)), Err(Refusal::Transfer { .. })), "{keys:?}");
    }
    let spoil: [fn(&mut TransferPiece); 5] = [
        |p| p.rows[0].cells = Blob(vec![0xff]),
        |p| p.rows[0].seq = StreamSeq(5),
        |p| p.read_at = StreamSeq(u64::MAX),
        |p| p.origin = OriginId(99),
        |p| p.next = Some(RowPlace::default()),
    ];
    for change in spoil {
        let mut spoiled = piece(&[11]);
        change(&mut spoiled);
        assert!(judge(spoiled.clone()).is_err(), "{spoiled:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn promise_4_a_batch_with_any_bit_flipped_never_reaches_the_digest_unnoticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (tree, author) = tree_and_author();
        let mut segment = author.segment(1, 4);
        let place = at.index(segment.batches[1].len());
        segment.batches[1].0[place] ^= 1 << bit;
        // Whatever form alone lets pass does not lead to the head's chain hash: apply finds that.
        if let Ok(passed) = judge(&tree, segment) {
            let epoch = Epoch::first("test", OWN);
            let start = kho_storage::stream::chain_start(OWN, epoch);
            let chain = passed.segment().batches.iter().fold(start, |chain, batch| kho_storage::stream::chain_next(chain, batch));
            prop_assert_ne!(chain, passed.segment().head.head.chain);
        }
    }
}
