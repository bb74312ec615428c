//! A site whose disks came back older: what it takes, what it says, and what ends that.

use super::*;
use crate::command::{ParentCursor, ShownBy};

const PROVINCE: SiteId = SiteId(2);

/// A district that wrote three batches, its province that holds them, and the district's disk as it was after the first batch. The
/// parent had acknowledged that batch.
fn set_back(tree: &Tree) -> (Node, Node) {
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    let mut older = tree.node("d-older", 3);
    for node in [&mut district, &mut older] {
        node.write(10, vec![request("1", vec![person("a", 1, 0, "2000")])]);
    }
    district.write(20, vec![request("2", vec![person("b", 1, 0, "2001")])]);
    district.write(30, vec![request("3", vec![person("c", 1, 0, "2002")])]);
    tree.head(&mut district, 31);
    province.apply(&tree.adopt(district.segment(1)));
    tree.head(&mut older, 11);
    let cursor = ParentCursor { origin: DISTRICT, epoch: older.state().epoch, next: StreamSeq(2) };
    older.apply(&Command::RecordParent { parent: PROVINCE, cursors: vec![cursor] });
    (older, province)
}

fn shown(province: &Node) -> Command {
    let signed = province.warehouse.read(|read| read.newest_head(DISTRICT, &province.state())).expect("reads").expect("it holds one");
    Command::NoteSetBack { site_time: SiteTime(40), shown_by: ShownBy::Site(PROVINCE), signed }
}

fn noted(node: &Node) -> Option<SetBack> {
    node.warehouse.set_back(DISTRICT).expect("reads")
}

fn entered(node: &mut Node, key: &str, person_key: &str) -> WriteOutcome {
    node.write(50, vec![request(key, vec![person(person_key, 1, 0, "2000")])]).remove(0)
}

#[test]
fn promise_2_a_site_that_was_set_back_acknowledges_nothing_that_cannot_go_up() {
    let tree = Tree::new();
    let (mut older, province) = set_back(&tree);
    assert_eq!(older.apply(&shown(&province)), Outcome::Recorded);
    let before = older.replica();
    assert_eq!(entered(&mut older, "new", "d"), WriteOutcome::SetBack);
    assert_eq!(older.replica(), before);
    assert!(matches!(entered(&mut older, "1", "a"), WriteOutcome::Committed { repeated: true, .. }), "the parent acknowledged it");
    let noted = noted(&older).expect("it stands");
    assert_eq!((noted.furthest.head.seq, noted.stood, noted.branch()), (StreamSeq(3), StreamSeq(2), StreamSeq(2)..StreamSeq(2)));
}

#[test]
fn promise_2_what_another_parent_acknowledged_does_not_make_a_branch_good() {
    let tree = Tree::new();
    let (mut older, province) = set_back(&tree);
    let Command::NoteSetBack { site_time, signed, .. } = shown(&province) else { unreachable!("it is one") };
    let other = ShownBy::Site(SiteId(9));
    assert_eq!(older.apply(&Command::NoteSetBack { site_time, shown_by: other, signed }), Outcome::Recorded);
    assert_eq!(entered(&mut older, "1", "a"), WriteOutcome::SetBack, "site 9 never acknowledged it");
    assert_eq!(noted(&older).map(|noted| noted.agreed), Some(StreamSeq(0)));
}

#[test]
fn promise_6_the_furthest_head_counts_however_many_were_shown_before() {
    let tree = Tree::new();
    let (mut older, _) = set_back(&tree);
    let mut double = tree.node("d-double", 3);
    for n in 0..12u32 {
        double.write(i64::from(100 + n), vec![request(&format!("d{n}"), vec![person(&format!("d{n}"), 1, 0, "2000")])]);
        let signed = tree.head(&mut double, i64::from(200 + n));
        older.apply(&Command::NoteSetBack { site_time: SiteTime(300), shown_by: ShownBy::Site(PROVINCE), signed });
    }
    let noted = noted(&older).expect("it stands");
    assert_eq!(noted.furthest.head.seq, StreamSeq(12));
    assert!(noted.others.len() < 12, "bounded");
}

#[test]
fn promise_3_what_comes_back_from_the_parent_ends_the_set_back_and_is_not_entered_again_by_a_retry() {
    let tree = Tree::new();
    let (mut older, province) = set_back(&tree);
    older.apply(&shown(&province));
    tree.head(&mut older, 60);
    assert!(noted(&older).is_some(), "no head of its own ends it");
    assert!(matches!(older.apply(&tree.adopt(province.segment(2))), Outcome::Adopted(_)));
    assert_eq!(noted(&older), None);
    assert_eq!(older.replica(), province.replica());
    // What it signed at 60 says that nothing followed its first batch.
    let segment = older.warehouse.segment(DISTRICT, StreamSeq(1), 1).expect("reads").expect("a head ends it");
    assert_eq!((segment.head.head.seq, segment.head.head.site_time), (StreamSeq(3), SiteTime(31)));
    let retried = older.write(70, vec![request("3", vec![person("c", 1, 0, "2002")])]).remove(0);
    assert!(matches!(retried, WriteOutcome::Committed { repeated: true, seq: StreamSeq(3), .. }));
    assert!(matches!(entered(&mut older, "new", "d"), WriteOutcome::Committed { repeated: false, seq: StreamSeq(4), .. }));
}

/// What is shown ends with batch 3. The other history ends there too, or is longer.
#[test]
fn promise_6_only_the_history_that_was_shown_ends_a_set_back() {
    for others in [2, 4] {
        only_the_history_that_was_shown_ends_it(others);
    }
}

fn only_the_history_that_was_shown_ends_it(others: u64) {
    let tree = Tree::new();
    let (mut older, province) = set_back(&tree);
    for n in 0..others {
        let key = format!("other {n}");
        assert!(matches!(entered(&mut older, &key, &key), WriteOutcome::Committed { .. }), "nobody has told it yet");
    }
    tree.head(&mut older, 61);
    older.apply(&shown(&province));
    let known = noted(&older).expect("the other history is as long or longer, and shown all the same");
    let (branch, shown_seq) = (StreamSeq(2)..StreamSeq(2 + others), known.furthest.head.seq);
    assert_eq!((known.branch(), known.differs_at, shown_seq), (branch.clone(), None, StreamSeq(3)));
    assert!(matches!(older.apply(&tree.adopt(province.segment(1))), Outcome::Refused(Refusal::Forked { .. })));
    let compared = noted(&older).expect("the branch differs");
    assert_eq!((compared.branch(), compared.differs_at), (branch.clone(), Some(StreamSeq(2))));
    assert_eq!(entered(&mut older, "other 0", "other 0"), WriteOutcome::SetBack, "a retry of what cannot go up is not answered as good");
    assert!(matches!(older.apply(&tree.adopt(older.segment(1))), Outcome::Adopted(_)), "its own segment");
    assert_eq!(noted(&older), Some(compared), "{others}: the number alone ends nothing");
    let mut rows = Vec::new();
    older
        .warehouse
        .read(|read| {
            read.branch_rows(DISTRICT, branch, |row| {
                rows.push(row);
                true
            })
        })
        .expect("reads");
    let keys: Vec<_> = rows.iter().map(|row| (row.seq.0, String::from_utf8_lossy(&row.key).into_owned(), row.removed)).collect();
    assert_eq!(keys[0], (2, "other 0".to_owned(), false));
    assert_eq!(keys.len() as u64, others);
}

#[test]
fn promise_4_nobody_but_a_node_of_the_site_itself_can_make_it_close_its_entry() {
    let tree = Tree::new();
    let (mut older, province) = set_back(&tree);
    let Command::NoteSetBack { signed, .. } = shown(&province) else { panic!("made above") };
    let note = |signed| Command::NoteSetBack { site_time: SiteTime(40), shown_by: ShownBy::Site(PROVINCE), signed };
    let mut forged = signed.clone();
    forged.head.seq = StreamSeq(9);
    assert!(matches!(older.apply(&note(forged)), Outcome::Refused(Refusal::BadSignature { .. })));
    let own = older.segment(2).head;
    assert_eq!(older.apply(&note(own)), Outcome::Recorded, "a head of its own history says nothing new");
    assert_eq!(noted(&older), None);
    let mut carrier = tree.node("p-other", 2);
    assert!(matches!(carrier.apply(&note(signed)), Outcome::Refused(Refusal::UnknownOrigin(_))), "it is no author of this origin");
}

#[test]
fn promise_6_a_bundle_that_shows_another_history_closes_entry_too() {
    let tree = Tree::new();
    let (mut older, province) = set_back(&tree);
    entered(&mut older, "other", "d");
    assert!(matches!(older.apply(&tree.adopt(province.segment(1))), Outcome::Refused(Refusal::Forked { .. })));
    assert_eq!(noted(&older).map(|noted| noted.shown_by), Some(ShownBy::File));
    assert_eq!(entered(&mut older, "another", "e"), WriteOutcome::SetBack);
}

#[test]
fn promise_6_a_site_that_was_shown_two_histories_stays_closed_when_it_has_come_to_one() {
    let tree = Tree::new();
    let (mut older, province) = set_back(&tree);
    let mut double = tree.node("d-double", 3);
    double.write(10, vec![request("1", vec![person("a", 1, 0, "2000")])]);
    double.write(20, vec![request("double", vec![person("x", 1, 0, "2000")])]);
    let other = tree.head(&mut double, 21);
    older.apply(&shown(&province));
    older.apply(&Command::NoteSetBack { site_time: SiteTime(41), shown_by: ShownBy::File, signed: other.clone() });
    assert!(matches!(older.apply(&tree.adopt(province.segment(2))), Outcome::Adopted(_)));
    assert_eq!(noted(&older).map(|noted| (noted.furthest, noted.others)), Some((other, vec![])), "what it has not come to");
    assert_eq!(entered(&mut older, "new", "d"), WriteOutcome::SetBack);
}

#[test]
fn an_origin_that_is_taken_out_of_its_former_author_leaves_no_set_back_behind() {
    let tree = Tree::new();
    let (mut older, province) = set_back(&tree);
    older.apply(&shown(&province));
    older.apply(&tree.register_version(2, &[OriginId(9)], 2));
    assert_eq!(older.apply(&Command::DiscardOrigin { origin: DISTRICT }), Outcome::Recorded);
    assert_eq!(noted(&older), None);
}
