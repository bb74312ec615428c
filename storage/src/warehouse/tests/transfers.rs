//! Whole-origin transfers on real databases: what ends equal, and what redelivery, overlap and hostile carriers must not do.

use super::*;
use crate::{
    command::{ParentCursor, RowPlace, TransferPiece, TransferStart, TransferStatus},
    ids::Generation,
    stream::HEAD_AHEAD_MS_MAX,
};

/// A carrier that was silent for so long gives way.
pub(super) const SILENT_MS: u64 = 60_000;

/// A district that holds eight batches with heads but keeps only those after the fifth. Whatever it is called, they are the same.
pub(super) fn trimmed_district(tree: &Tree) -> Node {
    trimmed_district_called("d", tree)
}

fn trimmed_district_called(name: &str, tree: &Tree) -> Node {
    let mut district = tree.node(name, 3);
    for n in 0..8u32 {
        district.write(
            i64::from(10 + n),
            vec![request(&n.to_string(), (0..5).map(|i| person(&format!("p{n}{i}"), n + 1, i % 2, "1980-05")).collect())],
        );
        tree.head(&mut district, i64::from(30 + n));
    }
    trim_all(&mut district, 6);
    district
}

/// Forgets everything before `next`, as after the parent's acknowledgement.
pub(super) fn trim_all(district: &mut Node, next: u64) {
    district.apply(&Command::RecordParent {
        parent: SiteId(2),
        cursors: vec![ParentCursor { origin: DISTRICT, epoch: Epoch::first("test", DISTRICT), next: StreamSeq(next) }],
    });
    district.apply(&Command::Trim { keep_bytes: 0 });
}

pub(super) fn start_of(district: &Node) -> TransferStart {
    district.warehouse.read(|r| r.transfer_start(DISTRICT)).expect("reads").expect("held")
}

pub(super) fn piece_of(district: &Node, from: &RowPlace, bytes_max: usize) -> TransferPiece {
    district.warehouse.read(|r| r.piece(DISTRICT, from, bytes_max)).expect("reads").expect("held")
}

/// The author's own site carries it.
fn begins_with(start: TransferStart) -> Command {
    Command::BeginTransfer { site_time: SiteTime(1), carrier: SiteId(3), silent_ms: SILENT_MS, start }
}

pub(super) fn begin(province: &mut Node, district: &Node) -> Outcome {
    province.apply(&begins_with(start_of(district)))
}

/// Batch `seq` alone, under the head that covers it.
pub(super) fn one(district: &Node, seq: u64) -> Segment {
    district.warehouse.segment(DISTRICT, StreamSeq(seq), 1).expect("reads").expect("a head ends it")
}

#[test]
fn a_whole_origin_transfer_with_writes_under_way_ends_equal_and_forwards_what_the_sender_kept() {
    let tree = Tree::new();
    let (mut district, mut province) = (trimmed_district(&tree), tree.node("p", 2));
    assert_eq!(start_of(&district).kept_after, StreamSeq(5));

    let mut status = begin(&mut province, &district);
    let mut round = 0;
    while let Outcome::Transfer(TransferStatus::WantsPiece { from, .. }) = status {
        // Rows change, go and come behind and before the range that is read.
        round += 1;
        district.write(
            100 + round,
            vec![request(&format!("w{round}"), vec![person("p00", 9, 1, "1999"), person(&format!("new{round}"), 1, 0, "2001")])],
        );
        if round == 2 {
            district.write(150, vec![request("del", vec![gone("p74"), gone("p01"), gone("new1")])]);
        }
        let piece = piece_of(&district, &from, 400);
        province.take_piece(piece.clone());
        status = province.take_piece(piece);
    }
    assert!(round > 3, "several pieces were needed");
    let Outcome::Transfer(TransferStatus::WantsBatches { next, .. }) = status else { panic!("{status:?}") };
    let signed = tree.head(&mut district, 200);
    let segment = district.segment(next.0);
    assert_eq!(segment.head, signed);
    assert!(matches!(province.apply(&tree.adopt(segment)), Outcome::Adopted(_)));
    assert_eq!(province.replica(), district.replica());
    assert_eq!(province.prove().digest, district.prove().digest);
    assert_eq!(province.segment(6).first, StreamSeq(6), "batches still held travelled along");
}

#[test]
fn a_transfer_with_a_forged_row_is_abandoned_and_the_old_generation_stays() {
    let tree = Tree::new();
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    for n in 0..3 {
        district.write(10 + n, vec![request(&n.to_string(), vec![person(&format!("p{n}"), 1, 0, "2000")])]);
        tree.head(&mut district, 20 + n);
    }
    trim_all(&mut district, 4);
    let start = district.warehouse.read(|r| r.transfer_start(DISTRICT)).expect("reads").expect("held");
    province.apply(&begins_with(start));
    let mut piece = piece_of(&district, &RowPlace::default(), usize::MAX);
    piece.rows[1].cells = person("x", 2, 1, "1950").cells().expect("a row").clone();
    province.take_piece(piece);
    let segment = district.segment(4);
    assert!(matches!(province.apply(&tree.adopt(segment)), Outcome::Refused(Refusal::DigestMismatch { .. })));
    assert_eq!(province.state().rows, 0);
    assert!(province.warehouse.transfers().expect("reads").is_empty());
    province.prove();
}

#[test]
fn promise_3_a_redelivery_during_and_after_a_transfer_neither_ends_it_nor_stops_the_origin() {
    let tree = Tree::new();
    let (district, mut province) = (trimmed_district(&tree), tree.node("p", 2));
    begin(&mut province, &district);
    let piece = piece_of(&district, &RowPlace::default(), usize::MAX);
    assert_eq!(piece.read_at, StreamSeq(8), "a head before batch 8 can't decide");
    province.take_piece(piece);
    for seq in [6, 7] {
        assert!(matches!(province.apply(&tree.adopt(one(&district, seq))), Outcome::Transfer(TransferStatus::WantsBatches { .. })));
    }
    for seq in [6, 7] {
        assert!(
            matches!(
                province.apply(&tree.adopt(one(&district, seq))),
                Outcome::Transfer(TransferStatus::WantsBatches { next: StreamSeq(8), .. })
            ),
            "redelivered"
        );
    }
    assert!(matches!(province.apply(&tree.adopt(one(&district, 8))), Outcome::Adopted(_)));
    for seq in [6, 7, 8] {
        assert!(
            matches!(province.apply(&tree.adopt(one(&district, seq))), Outcome::Adopted(_)),
            "batch {seq} redelivered after the switch"
        );
    }
    assert_eq!((province.replica(), province.evidence()), (district.replica(), 0));
    let known = |seq| province.warehouse.read(|r| r.stood_at(DISTRICT, &province.state(), StreamSeq(seq))).expect("reads").is_some();
    assert!(!known(6) && known(8), "what a mix of states adds up to is never given as a digest");
    province.prove();
}

#[test]
fn promise_7_a_transfer_that_nobody_needs_never_blocks_the_stream() {
    let tree = Tree::new();
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    for n in 0..3 {
        district.write(10 + n, vec![request(&n.to_string(), vec![person(&format!("p{n}"), 1, 0, "2000")])]);
        tree.head(&mut district, 20 + n);
    }
    province.apply(&tree.adopt(one(&district, 1)));
    let invented = TransferStart {
        origin: DISTRICT,
        epoch: Epoch::first("test", DISTRICT),
        kept_after: StreamSeq(1 << 61),
        kept_after_chain: Hash32::of(b"invented"),
    };
    assert!(matches!(province.apply(&begins_with(invented)), Outcome::Transfer(_)));
    assert!(matches!(province.apply(&tree.adopt(one(&district, 2))), Outcome::Adopted(_)), "the stream goes on");
    assert!(province.warehouse.transfers().expect("reads").is_empty(), "and a transfer would have to start anew");

    let overtaken = TransferStart {
        origin: DISTRICT,
        epoch: Epoch::first("test", DISTRICT),
        kept_after: StreamSeq(3),
        kept_after_chain: Hash32::of(b"x"),
    };
    province.apply(&begins_with(overtaken));
    district.write(50, vec![request("later", vec![gone("p0")])]);
    tree.head(&mut district, 60);
    assert!(matches!(province.apply(&tree.adopt(district.segment(3))), Outcome::Adopted(_)));
    assert!(province.warehouse.transfers().expect("reads").is_empty(), "the stream came past it");
    assert_eq!(province.replica(), district.replica());
    assert_eq!(province.segment(3).batches.len(), 2, "and keeps its own batches");
    assert_eq!(province.state().generation, Generation(1));
    province.prove();
}

#[test]
fn a_piece_read_before_the_batches_that_follow_it_start_is_refused() {
    let tree = Tree::new();
    let (district, mut province) = (trimmed_district(&tree), tree.node("p", 2));
    begin(&mut province, &district);
    let mut piece = piece_of(&district, &RowPlace::default(), 1);
    piece.read_at = StreamSeq(4);
    piece.rows.clear();
    assert!(matches!(province.take_piece(piece), Outcome::Refused(Refusal::Transfer { .. })));
}

/// `lost` was all that the ninth batch changed.
fn author_loses(lost: Change) {
    let tree = Tree::new();
    let (mut whole, mut set_back, mut province) = (trimmed_district(&tree), trimmed_district_called("set back", &tree), tree.node("p", 2));
    whole.write(50, vec![request("lost", vec![lost])]);
    tree.head(&mut whole, 51);
    begin(&mut province, &whole);
    province.take_piece(piece_of(&whole, &RowPlace::default(), usize::MAX));
    let waits = province.apply(&tree.adopt(set_back.segment(6)));
    assert!(
        matches!(waits, Outcome::Transfer(TransferStatus::WantsBatches { next: StreamSeq(9), until: StreamSeq(9), .. })),
        "the ninth batch may still come: {waits:?}"
    );
    tree.head(&mut set_back, 60);
    let outcome = province.apply(&tree.adopt(set_back.segment(6)));
    assert!(matches!(outcome, Outcome::Refused(Refusal::Transfer { .. })), "{outcome:?}");
    assert!(province.warehouse.transfers().expect("reads").is_empty());
    assert!(matches!(transfer_whole(&tree, &set_back, &mut province), Outcome::Adopted(_)));
    assert_eq!((province.replica(), province.evidence()), (set_back.replica(), 0));
    province.prove();
}

#[test]
fn promise_7_a_transfer_of_what_its_author_has_lost_since_gives_way_to_a_new_one() {
    author_loses(person("lost", 1, 0, "1980"));
}

#[test]
fn promise_7_a_transfer_of_which_its_author_has_lost_a_batch_that_left_no_row_gives_way_to_a_new_one() {
    author_loses(gone("p00"));
}

#[test]
fn promise_7_a_head_of_the_future_whose_time_was_taken_back_holds_up_no_transfer() {
    let tree = Tree::new();
    let (mut district, mut province) = (trimmed_district(&tree), tree.node("p", 2));
    // `Tree::adopt` says that the province's clock stands here.
    let now = 1_000_000;
    district.write(now, vec![request("early", vec![person("early", 1, 0, "1980")])]);
    tree.head(&mut district, now + 2 * HEAD_AHEAD_MS_MAX);
    district.apply(&Command::ConfirmTime { site_time: SiteTime(now) });
    district.write(now + 1, vec![request("late", vec![person("late", 1, 0, "1980")])]);
    tree.head(&mut district, now + 2);
    begin(&mut province, &district);
    province.take_piece(piece_of(&district, &RowPlace::default(), usize::MAX));
    for seq in 6..10 {
        let outcome = province.apply(&tree.adopt(one(&district, seq)));
        assert!(matches!(outcome, Outcome::Transfer(TransferStatus::WantsBatches { .. })), "after batch {seq}: {outcome:?}");
    }
    assert!(matches!(province.apply(&tree.adopt(one(&district, 10))), Outcome::Adopted(_)));
    assert_eq!(province.replica(), district.replica());
    province.prove();
}

#[test]
fn promise_7_a_transfer_over_batches_whose_time_was_taken_back_comes_to_its_end() {
    let tree = Tree::new();
    let (mut district, mut province) = (trimmed_district(&tree), tree.node("p", 2));
    let (now, future) = (1_000, 1_000_000 + 100 * HEAD_AHEAD_MS_MAX);
    district.write(future, vec![request("ahead", vec![person("ahead", 1, 0, "1980")])]);
    tree.head(&mut district, future);
    assert_eq!(district.apply(&Command::ConfirmTime { site_time: SiteTime(now) }), Outcome::Recorded);
    district.write(now + 5, vec![request("right", vec![person("right", 1, 0, "1981")])]);
    tree.head(&mut district, now + 10);

    begin(&mut province, &district);
    let piece = piece_of(&district, &RowPlace::default(), usize::MAX);
    assert_eq!(piece.read_at, StreamSeq(10));
    province.take_piece(piece);
    // Each under the head that ended it then; the ninth, of the future, twice.
    for (seq, next) in [(6, 7), (7, 8), (8, 9), (9, 10), (9, 10)] {
        let outcome = province.apply(&tree.adopt(one(&district, seq)));
        let Outcome::Transfer(TransferStatus::WantsBatches { next: wanted, .. }) = outcome else { panic!("batch {seq}: {outcome:?}") };
        assert_eq!(wanted, StreamSeq(next));
    }
    assert!(matches!(province.apply(&tree.adopt(one(&district, 10))), Outcome::Adopted(_)));
    assert_eq!((province.replica(), province.evidence()), (district.replica(), 0));
    province.prove();
}

#[test]
fn promise_6_a_transfer_under_way_shows_its_author_how_far_it_stood() {
    let tree = Tree::new();
    let (district, mut province) = (trimmed_district(&tree), tree.node("p", 2));
    begin(&mut province, &district);
    province.take_piece(piece_of(&district, &RowPlace::default(), usize::MAX));
    let outcome = province.apply(&tree.adopt(one(&district, 6)));
    assert!(matches!(outcome, Outcome::Transfer(TransferStatus::WantsBatches { next: StreamSeq(7), .. })), "{outcome:?}");
    let state = province.state();
    let (newest, furthest) =
        province.warehouse.read(|read| Ok((read.newest_head(DISTRICT, &state)?, read.furthest_head(DISTRICT, &state)?))).expect("reads");
    assert_eq!(newest, None, "nothing of the stream itself is held");
    assert_eq!(furthest, Some(one(&district, 6).head));
}

#[test]
fn promise_4_a_signed_row_with_values_that_no_entry_lets_in_is_adopted_counted_and_stops_no_node() {
    let tree = Tree::new();
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    let mut wild = person("w", 1, 0, "2000");
    let mut row = RowBuilder::default();
    row.push(ColumnId(1), &Value::Text("w".into()));
    row.push(ColumnId(7), &Value::Date(PartialDate { year: u16::MAX, month: 12, day: 31 }));
    row.push(ColumnId(8), &Value::Code(u32::MAX));
    row.push(ColumnId(14), &Value::Area(u32::MAX));
    row.push(ColumnId(15), &Value::Code(u32::MAX));
    wild.row = RowChange::Whole(row.finish().into());
    district.write(10, vec![request("1", vec![wild])]);
    tree.head(&mut district, 11);
    assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Adopted(_)));
    province.prove();
}

/// Persons by name, each with a birth year of its own.
fn born(names: &[(&str, &str)]) -> Vec<Change> {
    names.iter().map(|(name, birth)| person(name, 1, 0, birth)).collect()
}

/// Sends everything of `district` to `province` as a transfer and returns how the newest head was taken.
fn transfer_whole(tree: &Tree, district: &Node, province: &mut Node) -> Outcome {
    let mut status = begin(province, district);
    while let Outcome::Transfer(TransferStatus::WantsPiece { from, .. }) = status {
        status = province.take_piece(piece_of(district, &from, 400));
    }
    let Outcome::Transfer(TransferStatus::WantsBatches { next, .. }) = status else { panic!("{status:?}") };
    province.apply(&tree.adopt(district.segment(next.0)))
}

#[test]
fn promise_7_a_batch_that_changes_a_row_more_than_once_is_replayed_over_a_transfers_pieces() {
    for pieces_read_after_the_batch in [false, true] {
        let tree = Tree::new();
        let (mut district, mut province) = (trimmed_district(&tree), tree.node("p", 2));
        begin(&mut province, &district);
        let before = piece_of(&district, &RowPlace::default(), usize::MAX);
        // Two clients' requests that share an entry of the site's log.
        district.write(
            50,
            vec![
                request("a", born(&[("p00", "1981"), ("p01", "1981"), ("comes and goes", "2020"), ("goes and comes", "2020")])),
                request("b", vec![person("p00", 2, 1, "1982"), gone("p01"), gone("comes and goes"), gone("goes and comes")]),
                request("c", born(&[("goes and comes", "2021")])),
            ],
        );
        tree.head(&mut district, 60);
        let piece = if pieces_read_after_the_batch { piece_of(&district, &RowPlace::default(), usize::MAX) } else { before };
        province.take_piece(piece);
        let ended = province.apply(&tree.adopt(district.segment(6)));
        assert!(matches!(ended, Outcome::Adopted(_)), "pieces read after the batch: {pieces_read_after_the_batch}; {ended:?}");
        assert_eq!(province.replica(), district.replica());
        province.prove();
    }
}

#[test]
fn promise_6_a_transfer_of_another_history_is_refused_and_kept_as_evidence() {
    let tree = Tree::new();
    let (mut first, mut second, mut province) = (tree.node("first", 3), tree.node("second", 3), tree.node("p", 2));
    for (district, birth) in [(&mut first, "1980"), (&mut second, "1990")] {
        district.write(10, vec![request("same", born(&[("same", "1970")]))]);
        district.write(11, vec![request("other", born(&[("other", birth)]))]);
        tree.head(district, 20);
    }
    assert!(matches!(province.apply(&tree.adopt(first.segment(1))), Outcome::Adopted(_)));
    for n in 0..4 {
        second.write(30 + n, vec![request(&n.to_string(), born(&[("later", "2000")]))]);
        tree.head(&mut second, 40 + n);
    }
    trim_all(&mut second, 7);
    let held = province.replica();
    assert_eq!(transfer_whole(&tree, &second, &mut province), Outcome::Refused(Refusal::Forked { origin: DISTRICT, seq: StreamSeq(2) }));
    assert_eq!(
        (province.replica(), province.evidence()),
        (held, 1),
        "the history that was there first is read on, the other is kept beside"
    );
    assert!(province.warehouse.transfers().expect("reads").is_empty());
    province.prove();
}

#[test]
fn promise_6_a_transfer_is_not_kept_over_a_stream_that_moved_on_in_another_history() {
    let tree = Tree::new();
    let (mut first, mut second, mut province) = (tree.node("first", 3), tree.node("second", 3), tree.node("p", 2));
    for (district, birth) in [(&mut first, "1980"), (&mut second, "1990")] {
        district.write(10, vec![request("same", born(&[("same", "1970")]))]);
        tree.head(district, 10);
        district.write(11, vec![request("other", born(&[("other", birth)]))]);
        tree.head(district, 20);
    }
    second.write(30, vec![request("once more", born(&[("other", "2000")]))]);
    tree.head(&mut second, 40);
    trim_all(&mut second, 4);
    province.apply(&tree.adopt(one(&first, 1)));
    begin(&mut province, &second);
    province.take_piece(piece_of(&second, &RowPlace::default(), usize::MAX));
    assert!(matches!(province.apply(&tree.adopt(one(&first, 2))), Outcome::Adopted(_)), "the stream moves on beside it");
    let held = province.replica();
    assert!(
        matches!(province.apply(&tree.adopt(second.segment(4))), Outcome::Refused(_)),
        "its rows were compared with less than is held by now"
    );
    assert_eq!(province.replica(), held);
    province.prove();
}

#[test]
fn a_transfer_to_a_site_that_holds_an_older_state_of_the_same_history_replaces_it() {
    let tree = Tree::new();
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    for n in 0..6u32 {
        let birth = format!("{}", 1980 + n);
        district.write(
            i64::from(10 + n),
            vec![request(
                &n.to_string(),
                born(&[("kept", "1950"), ("changed", &birth), (&format!("p{n}"), "1960")]).split_off(usize::from(n > 0)),
            )],
        );
        tree.head(&mut district, i64::from(30 + n));
        if n == 2 {
            assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Adopted(_)));
        }
    }
    district.write(50, vec![request("gone", vec![gone("p1")])]);
    tree.head(&mut district, 60);
    trim_all(&mut district, 8);
    assert!(matches!(transfer_whole(&tree, &district, &mut province), Outcome::Adopted(_)));
    assert_eq!((province.replica(), province.evidence()), (district.replica(), 0));
    province.prove();
}
