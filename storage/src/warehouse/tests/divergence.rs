//! A node whose disk is damaged is told from an author that lies, and shows when nodes compare what they hold.

use super::*;
use crate::command::ParentCursor;

/// A district of two batches, the second of which changes the row of the first, and the segments of both.
fn two_segments(tree: &Tree) -> [Segment; 2] {
    let mut district = tree.node("d", 3);
    district.write(10, vec![request("1", vec![person("a", 1, 0, "2000"), person("b", 1, 0, "2000")])]);
    tree.head(&mut district, 11);
    let first = district.segment(1);
    district.write(20, vec![request("2", vec![person("a", 2, 0, "2000")])]);
    tree.head(&mut district, 21);
    [first, district.segment(2)]
}

#[test]
fn promise_5_a_node_whose_own_rows_are_damaged_stops_instead_of_judging_the_author() {
    let tree = Tree::new();
    let [first, second] = two_segments(&tree);
    let (mut sound, mut damaged) = (tree.node("p1", 2), tree.node("p2", 2));
    for province in [&mut sound, &mut damaged] {
        assert!(matches!(province.apply(&tree.adopt(first.clone())), Outcome::Adopted(_)));
    }
    damaged.warehouse.tamper_with_row(DISTRICT, PERSON, b"a", person("a", 7, 1, "1950").cells().expect("a row")).expect("writes");
    let before = damaged.replica();
    assert!(matches!(sound.apply(&tree.adopt(second.clone())), Outcome::Adopted(_)), "its peer adopts");
    let stopped = damaged.warehouse.apply(&AppliedMark::default(), Some(&tree.adopt(second)));
    assert!(matches!(stopped, Err(StorageError::Diverged { origin: DISTRICT, seq: StreamSeq(2), .. })), "{stopped:?}");
    assert_eq!((damaged.replica(), damaged.evidence(), damaged.state().stopped), (before, 0, None), "nothing was changed");
}

#[test]
fn nodes_that_applied_the_same_have_equal_summaries() {
    let tree = Tree::new();
    let segments = two_segments(&tree);
    let (mut one, mut two) = (tree.node("p1", 2), tree.node("p2", 2));
    for province in [&mut one, &mut two] {
        for segment in &segments {
            province.apply(&tree.adopt(segment.clone()));
        }
    }
    // A restart and a flush change nothing of it.
    two.warehouse.flush().expect("writable");
    let rounds = |node: &Node| (0..40).map(|round| node.warehouse.summary(round).expect("reads")).collect::<Vec<_>>();
    assert_eq!(rounds(&one), rounds(&two));
    // Nor does the order in which a node's schema file lists the cubes.
    drop(two);
    let mut schema = (*tree.config(2).schema).clone();
    schema.cubes.reverse();
    let config = WarehouseConfig { schema: Arc::new(schema), ..tree.config(2) };
    let two = Node { warehouse: Warehouse::open(&tree.dir.path().join("p2"), config).expect("the same cubes"), applied: 0 };
    assert_eq!(rounds(&one), rounds(&two));
    let place = |node: &Node, seq| node.warehouse.digest_at(DISTRICT, node.state().epoch, StreamSeq(seq)).expect("reads");
    assert!(place(&one, 1).is_some() && place(&one, 1) == place(&two, 1) && place(&one, 1) != place(&one, 2));
    assert_eq!(place(&one, 3), None, "it is not held");
    let head = &segments[1].head.head;
    assert_eq!(place(&one, 2), Some(place_hash(head.chain, head.digest, head.rows)));
}

#[test]
fn a_summary_shows_another_cube_cell_origin_or_record() {
    let tree = Tree::new();
    let [first, second] = two_segments(&tree);
    let mut province = tree.node("p", 2);
    let summary = |node: &Node, round| node.warehouse.summary(round).expect("reads");
    let empty = summary(&province, 0);
    province.apply(&tree.adopt(first));
    let held = summary(&province, 0);
    assert_ne!(empty, held);
    let cursor = ParentCursor { origin: DISTRICT, epoch: province.state().epoch, next: StreamSeq(2) };
    province.apply(&Command::RecordParent { parent: SiteId(1), cursors: vec![cursor] });
    let recorded = summary(&province, 0);
    assert_ne!(held, recorded);
    province.warehouse.tamper_with_cell(DISTRICT, 5).expect("writable");
    let rounds = |node: &Node| (0..40).map(|round| summary(node, round)).collect::<std::collections::BTreeSet<_>>();
    assert!(!rounds(&province).contains(&recorded), "the round of that cube and origin shows it");
    province.apply(&tree.adopt(second));
    assert_ne!(summary(&province, 1), recorded);
}
