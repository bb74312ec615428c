//! The promises of the warehouse, one by one, between a district that authors and a province that adopts.

use proptest::prelude::*;

use super::*;
use crate::{
    command::{ParentCursor, RowRefusal},
    stream::HEAD_AHEAD_MS_MAX,
};

#[test]
fn promise_3_a_retry_with_the_same_request_key_is_applied_once_and_another_body_is_refused() {
    let tree = Tree::new();
    let mut district = tree.node("d", 3);
    let first = district.write(10, vec![request("k", vec![person("a", 1, 0, "2000")])]);
    let before = district.replica();
    let again = district.write(20, vec![request("k", vec![person("a", 1, 0, "2000")])]);
    assert!(
        matches!((&first[0], &again[0]), (WriteOutcome::Committed { repeated: false, seq: a, .. }, WriteOutcome::Committed { repeated: true, seq: b, .. }) if a == b)
    );
    let other = district.write(30, vec![request("k", vec![person("b", 1, 0, "2000")])]);
    assert!(matches!(other[0], WriteOutcome::RequestKeyReused { .. }));
    assert_eq!(district.replica(), before, "neither changed anything");
}

#[test]
fn promise_10_a_request_that_takes_away_a_missing_row_changes_nothing_while_its_neighbours_commit() {
    let tree = Tree::new();
    let mut district = tree.node("d", 3);
    let outcomes = district
        .write(10, vec![request("1", vec![person("a", 1, 0, "2000"), gone("ghost")]), request("2", vec![person("b", 1, 1, "2001")])]);
    assert_eq!(outcomes[0], WriteOutcome::RowRefused { index: 1, why: RowRefusal::Missing });
    assert!(matches!(outcomes[1], WriteOutcome::Committed { .. }));
    assert_eq!(district.prove().rows, 1);
}

#[test]
fn promise_3_a_redelivered_segment_changes_nothing_and_overlap_is_skipped() {
    let tree = Tree::new();
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    district.write(10, vec![request("1", vec![person("a", 1, 0, "2000"), person("b", 1, 1, "1990")])]);
    tree.head(&mut district, 11);
    let first = district.segment(1);
    district.write(20, vec![request("2", vec![person("a", 2, 0, "2000"), gone("b")])]);
    tree.head(&mut district, 21);
    let both = district.segment(1);

    for _ in 0..2 {
        assert!(matches!(province.apply(&tree.adopt(first.clone())), Outcome::Adopted(ParentCursor { next: StreamSeq(2), .. })));
    }
    for _ in 0..2 {
        assert!(matches!(province.apply(&tree.adopt(both.clone())), Outcome::Adopted(ParentCursor { next: StreamSeq(3), .. })));
    }
    assert!(matches!(province.apply(&tree.adopt(first)), Outcome::Adopted(ParentCursor { next: StreamSeq(3), .. })));
    assert_eq!(province.replica(), district.replica());
    assert_eq!(province.prove().digest, district.prove().digest);
}

#[test]
fn promise_4_altered_reordered_cut_or_invented_batches_are_refused_and_change_nothing() {
    let tree = Tree::new();
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    for n in 0..4 {
        district.write(10 + n, vec![request(&n.to_string(), vec![person(&format!("p{n}"), 1, 0, "2000")])]);
    }
    tree.head(&mut district, 20);
    let good = district.segment(1);
    type Alteration = (&'static str, fn(&mut Segment));
    let alter: [Alteration; 7] = [
        ("a flipped bit", |s| *s.batches[1].0.last_mut().expect("not empty") ^= 1),
        ("two batches swapped", |s| s.batches.swap(1, 2)),
        ("one cut out of the middle", |s| drop(s.batches.remove(1))),
        ("one invented", |s| s.batches.push(s.batches[3].clone())),
        ("the end withheld under the same head", |s| drop(s.batches.pop())),
        ("another digest", |s| s.head.head.digest = Hash32::of(b"other")),
        ("a forged signature", |s| s.head.signature.bytes[0] ^= 1),
    ];
    let before = province.replica();
    for (what, change) in alter {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(matches!(province.apply(&tree.adopt(bad)), Outcome::Refused(_)), "{what}");
        assert_eq!(province.replica(), before, "{what}");
    }
    assert!(matches!(province.apply(&tree.adopt(good)), Outcome::Adopted(_)), "the true segment is still adopted");
    province.prove();
}

#[test]
fn promise_5_a_signed_head_with_another_digest_stops_that_origin_keeps_evidence_and_overwrites_nothing() {
    let tree = Tree::new();
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    district.write(10, vec![request("1", vec![person("a", 1, 0, "2000")])]);
    tree.head(&mut district, 11);
    let mut lying = district.segment(1);
    lying.head =
        SignedHead::sign(Head { digest: Hash32::of(b"other"), ..lying.head.head }, SiteId(3), NodeId(1), &tree.district).expect("signs");
    let before = province.replica();
    assert!(matches!(province.apply(&tree.adopt(lying)), Outcome::Refused(Refusal::DigestMismatch { .. })));
    assert_eq!(province.replica(), before);
    assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Refused(Refusal::Stopped { .. })), "it stays stopped");
    assert_eq!(province.evidence(), 1);
    assert_eq!(province.apply(&Command::ResumeOrigin { origin: DISTRICT }), Outcome::Recorded);
    assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Adopted(_)), "until an operator resumes it");
}

#[test]
fn promise_5_a_node_whose_rows_differ_from_its_sites_committed_head_stops() {
    let tree = Tree::new();
    let mut district = tree.node("d", 3);
    district.write(10, vec![request("1", vec![person("a", 1, 0, "2000")])]);
    let state = district.state();
    let head = Head {
        origin: DISTRICT,
        epoch: state.epoch,
        seq: state.last(),
        chain: state.chain,
        digest: Hash32::of(b"others"),
        rows: 1,
        site_time: SiteTime(11),
    };
    let signed = SignedHead::sign(head, SiteId(3), NodeId(1), &tree.district).expect("signs");
    let mark = AppliedMark::default();
    assert!(matches!(district.warehouse.apply(&mark, Some(&Command::CommitHead { signed })), Err(StorageError::Diverged { .. })));
}

#[test]
fn promise_9_a_head_of_the_far_future_is_adopted_but_makes_nobody_complete() {
    let tree = Tree::new();
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    // `Tree::adopt` says that the province's clock stands here.
    let ours = 1_000_000;
    let watermark = |province: &Node| province.state().watermark.0;
    for (id, head_time, expected) in
        [("a", ours - 1, ours - 1), ("b", ours + HEAD_AHEAD_MS_MAX, ours), ("c", ours + HEAD_AHEAD_MS_MAX + 1, ours)]
    {
        district.write(10, vec![request(id, vec![person(id, 1, 0, "2000")])]);
        tree.head(&mut district, head_time);
        assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Adopted(_)));
        assert_eq!(watermark(&province), expected, "after a head at {head_time}");
    }
    assert_eq!(province.replica(), district.replica(), "every row is held");
    // Kept back and shown again later, the head of the future is still not believed.
    let later = |segment| Command::AdoptSegment { site_time: SiteTime(ours + 1), carrier: Some(SiteId(3)), segment };
    let mut fresh = tree.node("q", 2);
    for command in [tree.adopt(district.segment(1)), tree.adopt(district.segment(1))] {
        fresh.apply(&command);
    }
    assert_eq!(watermark(&fresh), 0);
    fresh.apply(&later(district.segment(1)));
    assert_eq!(watermark(&fresh), ours + 1, "by then its time lies no more than the bound ahead");
}

#[test]
fn promise_9_what_was_stamped_in_the_future_is_taken_back_when_an_operator_confirms_the_time() {
    let tree = Tree::new();
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    let (now, future) = (1_000_000, 1_000_000 + 100 * HEAD_AHEAD_MS_MAX);
    district.write(future, vec![request("1", vec![person("a", 1, 0, "2000")])]);
    tree.head(&mut district, future);
    province.apply(&tree.adopt(district.segment(1)));
    // Without it the next row would follow in the future, and the province would wait for that time.
    assert_eq!(district.apply(&Command::ConfirmTime { site_time: SiteTime(now) }), Outcome::Recorded);
    assert_eq!((district.state().watermark, district.state().batch_time), (SiteTime(now), SiteTime(now)));
    tree.head(&mut district, now);
    assert!(matches!(province.apply(&tree.adopt(district.segment(2))), Outcome::Adopted(_)));
    assert_eq!(province.state().watermark, SiteTime(now), "an idle head over the same batches is enough");
    district.write(now + 5, vec![request("2", vec![person("b", 1, 0, "2000")])]);
    tree.head(&mut district, now + 6);
    let later = Command::AdoptSegment { site_time: SiteTime(now + 10), carrier: Some(SiteId(3)), segment: district.segment(2) };
    assert!(matches!(province.apply(&later), Outcome::Adopted(_)));
    assert_eq!((province.state().watermark, province.replica()), (SiteTime(now + 6), district.replica()));
    assert_eq!(province.evidence(), 0);
    // What parents believe stays, though this clock shows a little less.
    assert_eq!(district.apply(&Command::ConfirmTime { site_time: SiteTime(now) }), Outcome::Recorded);
    assert_eq!(district.state().watermark, SiteTime(now + 6));
}

#[test]
fn promise_6_a_head_of_the_future_whose_time_was_taken_back_is_no_second_history() {
    let tree = Tree::new();
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    let (now, future) = (1_000_000, 1_000_000 + 2 * HEAD_AHEAD_MS_MAX);
    district.write(now, vec![request("1", vec![person("a", 1, 0, "2000")])]);
    tree.head(&mut district, future);
    let early = district.segment(1);
    province.apply(&tree.adopt(early.clone()));
    district.apply(&Command::ConfirmTime { site_time: SiteTime(now) });
    for (seq, key) in [(2, "b"), (3, "c")] {
        district.write(now, vec![request(key, vec![person(key, 1, 0, "2000")])]);
        tree.head(&mut district, now + 1);
        assert!(matches!(province.apply(&tree.adopt(district.segment(seq))), Outcome::Adopted(_)));
    }
    // The province forgets what the centre holds, so that nothing but the heads' times is left to compare.
    let held = province.state().cursor(DISTRICT);
    province.apply(&Command::RecordParent { parent: SiteId(1), cursors: vec![held] });
    assert_eq!(province.apply(&Command::Trim { keep_bytes: 0 }), Outcome::Trimmed { batches: 3 });
    assert_eq!(province.apply(&tree.adopt(early)), Outcome::Adopted(held), "a late redelivery");
    assert_eq!(province.evidence(), 0);
}

#[test]
fn promise_6_another_history_is_refused_and_kept_as_evidence() {
    let tree = Tree::new();
    let (mut one, mut two, mut province) = (tree.node("d1", 3), tree.node("d2", 3), tree.node("p", 2));
    one.write(10, vec![request("1", vec![person("a", 1, 0, "2000")])]);
    two.write(10, vec![request("1", vec![person("b", 1, 0, "2000")])]);
    tree.head(&mut one, 11);
    tree.head(&mut two, 11);
    province.apply(&tree.adopt(one.segment(1)));
    let before = province.replica();
    assert_eq!(province.apply(&tree.adopt(two.segment(1))), Outcome::Refused(Refusal::Forked { origin: DISTRICT, seq: StreamSeq(1) }));
    assert_eq!(province.replica(), before);
    assert_eq!(province.evidence(), 1);
}

#[test]
fn promise_6_another_history_shows_by_its_heads_when_the_batches_to_compare_are_forgotten() {
    let tree = Tree::new();
    let (mut one, mut two, mut province) = (tree.node("d1", 3), tree.node("d2", 3), tree.node("p", 2));
    for n in 0..4 {
        one.write(10 * n + 10, vec![request(&n.to_string(), vec![person(&format!("p{n}"), 1, 0, "2000")])]);
        tree.head(&mut one, 10 * n + 11);
    }
    let old_head = one.segment(1);
    province.apply(&tree.adopt(one.segment(1)));
    let held = ParentCursor { origin: DISTRICT, epoch: Epoch::first("test", DISTRICT), next: StreamSeq(5) };
    province.apply(&Command::RecordParent { parent: SiteId(1), cursors: vec![held] });
    assert_eq!(province.apply(&Command::Trim { keep_bytes: 0 }), Outcome::Trimmed { batches: 4 });

    two.write(10, vec![request("other", vec![person("x", 1, 0, "2000")])]);
    tree.head(&mut two, 11);
    let adopt_idle = |province: &mut Node, two: &Node| province.apply(&tree.adopt(two.segment(2)));
    assert!(
        matches!(adopt_idle(&mut province, &two), Outcome::Adopted(ParentCursor { next: StreamSeq(5), .. })),
        "so far it may be a redelivery"
    );
    tree.head(&mut two, 500);
    assert_eq!(adopt_idle(&mut province, &two), Outcome::Refused(Refusal::Forked { origin: DISTRICT, seq: StreamSeq(1) }));
    assert_eq!(province.evidence(), 1);
    assert!(matches!(province.apply(&tree.adopt(old_head)), Outcome::Adopted(_)), "an old head of the same history changes nothing");
}

#[test]
fn promise_2_a_stream_is_trimmed_only_below_what_the_active_parent_acknowledged() {
    let tree = Tree::new();
    let mut district = tree.node("d", 3);
    for n in 0..6 {
        district.write(10 + n, vec![request(&n.to_string(), vec![person(&format!("p{n}"), 1, 0, "2000")])]);
        tree.head(&mut district, 20 + n);
    }
    assert_eq!(district.apply(&Command::Trim { keep_bytes: 0 }), Outcome::Trimmed { batches: 0 }, "nothing acknowledged yet");
    let acknowledge = |parent: u32, next: u64| Command::RecordParent {
        parent: SiteId(parent),
        cursors: vec![ParentCursor { origin: DISTRICT, epoch: Epoch::first("test", DISTRICT), next: StreamSeq(next) }],
    };
    district.apply(&acknowledge(1, 7));
    assert_eq!(
        district.apply(&Command::Trim { keep_bytes: 0 }),
        Outcome::Trimmed { batches: 0 },
        "a stand-in's acknowledgement is not enough"
    );
    district.apply(&acknowledge(2, 4));
    assert_eq!(district.apply(&Command::Trim { keep_bytes: 0 }), Outcome::Trimmed { batches: 3 });
    assert_eq!(district.state().oldest_kept, StreamSeq(4));
    assert_eq!(district.segment(4).batches.len(), 3, "the rest can still be sent");
    assert!(district.warehouse.segment(DISTRICT, StreamSeq(3), usize::MAX).expect("reads").is_none());
}

#[test]
fn a_site_takes_no_further_batch_while_too_much_stands_without_a_head() {
    let tree = Tree::new();
    let mut district = tree.node("d", 3);
    let large = |batch: u32| {
        let row = |n: u32| {
            let id = format!("{batch}-{n}");
            let mut row = RowBuilder::default();
            row.push(ColumnId(1), &Value::Text("x".repeat(10_000).into()));
            Change { table: PERSON, key: id.into_bytes().into(), row: RowChange::Whole(row.finish().into()) }
        };
        vec![request(&batch.to_string(), (0..300).map(row).collect())]
    };
    let mut taken = 0;
    while matches!(district.write(10, large(taken))[0], WriteOutcome::Committed { .. }) {
        taken += 1;
        assert!(taken < 10, "the bound was passed");
    }
    let before = district.replica();
    assert_eq!(district.write(10, large(taken)), [WriteOutcome::Busy]);
    assert_eq!(district.replica(), before, "busy changes nothing");
    tree.head(&mut district, 11);
    assert!(district.segment(1).bytes() <= crate::stream::SEGMENT_BYTES_MAX);
    assert!(matches!(district.write(12, large(taken))[0], WriteOutcome::Committed { repeated: false, .. }), "after a head it goes on");
}

#[test]
fn promise_1_after_a_crash_the_same_commands_lead_to_the_same_state() {
    let tree = Tree::new();
    let mut district = tree.node("d", 3);
    district.write(10, vec![request("1", vec![person("a", 1, 0, "2000")])]);
    let copy = tree.dir.path().join("crashed");
    let mark = district.warehouse.checkpoint(&copy).expect("checkpoints");
    assert_eq!(mark.applied.0, 2u64.to_be_bytes());
    let later = |node: &mut Node| {
        node.write(20, vec![request("2", vec![person("b", 1, 0, "2001"), gone("a")])]);
        tree.head(node, 30);
    };
    later(&mut district);
    let mut restarted = tree.node("other", 3);
    restarted.warehouse.replace_with(&copy).expect("replaces");
    later(&mut restarted);
    assert_eq!(restarted.replica(), district.replica());
    restarted.prove();
}

#[test]
fn data_of_another_site_are_not_opened() {
    let tree = Tree::new();
    drop(tree.node("d", 3));
    assert!(matches!(Warehouse::open(&tree.dir.path().join("d"), tree.config(2)), Err(StorageError::OtherSite { .. })));
}

#[test]
fn a_row_changed_behind_the_digest_is_found_and_named() {
    let tree = Tree::new();
    let (mut one, mut two) = (tree.node("d1", 3), tree.node("d2", 3));
    for node in [&mut one, &mut two] {
        node.write(10, vec![request("1", (0..50).map(|n| person(&format!("p{n}"), 1, 0, "2000")).collect())]);
    }
    two.warehouse.tamper_with_row(DISTRICT, PERSON, b"p7", person("p7", 1, 1, "2000").cells().expect("a row")).expect("writes");
    let proof = two.warehouse.recompute(DISTRICT, &mut |_, _| {}).expect("reads").expect("held");
    assert!(!proof.holds() && !proof.cube_differences.is_empty());
    let buckets = |node: &Node, secret| node.warehouse.key_buckets(DISTRICT, ComparisonKey(secret)).expect("reads");
    let rows = |node: &Node, bucket, secret| node.warehouse.bucket_rows(DISTRICT, bucket, ComparisonKey(secret)).expect("reads");
    let mut hashes = Vec::new();
    for secret in &[[1; 32], [2; 32]] {
        let (a, b) = (buckets(&one, secret), buckets(&two, secret));
        let differing: Vec<_> = a.iter().zip(&b).filter(|(a, b)| a != b).map(|(a, _)| a.bucket).collect();
        assert_eq!(differing.len(), 1);
        let pairs = rows(&one, differing[0], secret).into_iter().zip(rows(&two, differing[0], secret));
        let named: Vec<_> = pairs.filter(|(a, b)| a != b).map(|(a, b)| (a.key == b.key).then_some(a.key).expect("the same row")).collect();
        assert_eq!(named.len(), 1);
        let found = two.warehouse.row_of_hash(DISTRICT, named[0], ComparisonKey(secret)).expect("reads");
        assert_eq!(found, Some((PERSON, b"p7".to_vec())));
        hashes.push(named[0]);
    }
    assert_ne!(hashes[0], hashes[1], "another comparison names the row otherwise");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Random writes, grouped and retried at random, and random cuts into segments.
    #[test]
    fn promise_3_two_nodes_that_apply_the_same_commands_hold_the_same_bytes(
        steps in proptest::collection::vec((0u8..6, proptest::collection::vec((0u8..12, 0u32..3, any::<bool>()), 1..6), any::<bool>()), 1..20)
    ) {
        let tree = Tree::new();
        let (mut one, mut two, mut province) = (tree.node("d1", 3), tree.node("d2", 3), tree.node("p", 2));
        for (time, (retry, changes, head)) in steps.into_iter().enumerate() {
            let mut seen = std::collections::BTreeSet::new();
            let changes: Vec<_> = changes.into_iter().filter(|(id, ..)| seen.insert(*id)).map(|(id, commune, keep)| {
                let id = format!("p{id}");
                if keep { person(&id, commune, commune % 2, "1970-01-01") } else { gone(&id) }
            }).collect();
            let time = time as i64 * 10;
            let command = Command::Write { site_time: SiteTime(time), origin: DISTRICT, requests: vec![request(&format!("r{retry}"), changes)] };
            prop_assert_eq!(one.apply(&command), two.apply(&command));
            if head {
                let signed = tree.head(&mut one, time + 5);
                two.apply(&Command::CommitHead { signed });
                let next = province.state().next;
                if let Some(segment) = two.warehouse.segment(DISTRICT, next, 300).unwrap() {
                    let outcome = province.apply(&tree.adopt(segment));
                    prop_assert!(matches!(outcome, Outcome::Adopted(_)), "{:?}", outcome);
                }
            }
        }
        prop_assert_eq!(one.replica(), two.replica());
        if one.state().next > StreamSeq(1) {
            one.prove();
        }
        tree.head(&mut one, 1_000);
        while province.state().next < one.state().next {
            let segment = one.segment(province.state().next.0);
            prop_assert!(matches!(province.apply(&tree.adopt(segment)), Outcome::Adopted(_)));
        }
        prop_assert_eq!(province.replica(), one.replica());
        if province.state().next > StreamSeq(1) {
            province.prove();
        }
    }
}
