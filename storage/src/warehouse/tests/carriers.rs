//! What a carrier alters is told from what an author did: no author is taken for a forger, and no forgery takes the room of what
//! an author signed.

use super::*;
use crate::{
    command::TransferStart,
    keys::{self, Meta, Space},
    stream::{Batch, BatchBody},
};

/// A district with `batches` batches, each under a head of its own.
fn district(tree: &Tree, name: &str, batches: i64, born: &str) -> Node {
    let mut district = tree.node(name, 3);
    for n in 0..batches {
        district.write(10 + n, vec![request(&n.to_string(), vec![person(&format!("p{n}"), 1, 0, born)])]);
        tree.head(&mut district, 100 + n);
    }
    district
}

/// The segment with the row of its first batch changed, as a carrier would, who can't sign.
fn altered(mut segment: Segment, commune: u32) -> Segment {
    let mut batch = Batch::decode(&segment.batches[0]).expect("own bytes");
    let BatchBody::Rows { changes, .. } = &mut batch.body else { panic!("rows") };
    changes[0].row = person("p0", commune, 1, "1999").row;
    segment.batches[0] = batch.encode().expect("encodes");
    segment
}

#[test]
fn promise_4_a_held_batch_that_was_altered_on_its_way_is_no_second_history_of_its_author() {
    let tree = Tree::new();
    let (district, mut province) = (district(&tree, "d", 4, "2000"), tree.node("p", 2));
    let first = district.warehouse.segment(DISTRICT, StreamSeq(1), 1).expect("reads").expect("a head ends it");
    province.apply(&tree.adopt(first.clone()));
    let held = province.replica();
    for (forged, seq) in [(altered(first, 7), 1), (altered(district.segment(1), 8), 4)] {
        assert_eq!(province.apply(&tree.adopt(forged)), Outcome::Refused(Refusal::BadChain { origin: DISTRICT, seq: StreamSeq(seq) }));
        assert_eq!(province.replica(), held);
    }
    assert_eq!(province.evidence(), 2);
    assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Adopted(_)), "the truth goes on");
    assert_eq!(province.replica(), district.replica());
}

#[test]
fn promise_6_what_carriers_make_up_leaves_room_for_the_second_history_that_an_author_signed() {
    let tree = Tree::new();
    let (one, two) = (district(&tree, "one", 2, "2000"), district(&tree, "two", 2, "1950"));
    let mut province = tree.node("p", 2);
    province.apply(&tree.adopt(one.segment(1)));
    for commune in 0..40 {
        province.apply(&tree.adopt(altered(one.segment(1), commune)));
    }
    let invented = province.evidence();
    assert!((1..16).contains(&invented), "{invented} pieces are kept");
    assert!(matches!(province.apply(&tree.adopt(two.segment(1))), Outcome::Refused(Refusal::Forked { .. })));
    assert_eq!(province.evidence(), invented + 1, "the author's own second history is kept");
}

#[test]
fn promise_4_a_stream_is_adopted_only_by_its_author_and_the_sites_above_it() {
    let tree = Tree::new();
    let district = district(&tree, "d", 2, "2000");
    let refused = Outcome::Refused(Refusal::OffPath { origin: DISTRICT, site: SiteId(9) });
    let mut beside = tree.node("beside", 9);
    assert_eq!(beside.apply(&tree.adopt(district.segment(1))), refused, "batches");
    let state = district.state();
    let start = TransferStart { origin: DISTRICT, epoch: state.epoch, kept_after: StreamSeq(2), kept_after_chain: state.chain };
    assert_eq!(beside.apply(&Command::BeginTransfer { site_time: SiteTime(1_000), start }), refused, "a whole origin");
    assert_eq!((beside.evidence(), beside.warehouse.origins().expect("reads").len()), (0, 0), "nothing of it is kept");
    for (name, site) in [("province", 2), ("centre", 1)] {
        let mut above = tree.node(name, site);
        assert!(matches!(above.apply(&tree.adopt(district.segment(1))), Outcome::Adopted(_)), "{name}");
    }
}

/// Keys of every space that belong to the district's origin.
fn keys_of_the_district(node: &Node) -> Vec<String> {
    let db = node.warehouse.db.load_full();
    let mut found = Vec::new();
    for space in Space::ALL {
        let scanned = db.view().scan(space, &[], &[0xff; 200], |key, _| {
            let (name, is_own) = match space {
                Space::Rows => ("a row".into(), keys::decode_row(key).is_some_and(|(_, origin, ..)| origin == DISTRICT)),
                Space::Streams => ("a batch".into(), keys::decode_stream(key).is_some_and(|(origin, ..)| origin == DISTRICT)),
                Space::Cubes => ("a cell".into(), keys::decode_cube(key).is_some_and(|(_, origin, ..)| origin == DISTRICT)),
                Space::Meta => {
                    let name = format!("{:?}", Meta::decode(key));
                    let is_own = name.contains("OriginId(3)");
                    (name, is_own)
                }
            };
            found.extend(is_own.then_some(name));
            Ok(true)
        });
        scanned.expect("reads");
    }
    found
}

#[test]
fn only_an_origin_that_the_register_leads_elsewhere_is_taken_out_and_nothing_of_it_is_left() {
    let tree = Tree::new();
    let district = district(&tree, "d", 3, "2000");
    let mut province = tree.node("p", 2);
    province.apply(&tree.adopt(district.segment(1)));
    province.apply(&tree.adopt(altered(district.segment(1), 7)));
    let held = province.replica();
    let discard = Command::DiscardOrigin { origin: DISTRICT };
    let refused = Outcome::Refused(Refusal::OnPath { origin: DISTRICT, site: SiteId(2) });
    assert_eq!(province.apply(&discard), refused);
    assert_eq!((province.replica(), province.evidence()), (held, 1));

    // The district goes to the centre, past the province.
    province.apply(&tree.register_version(2, &[DISTRICT], 1));
    province.apply(&Command::RecordParent { parent: SiteId(1), cursors: vec![province.state().cursor(DISTRICT)] });
    assert!(keys_of_the_district(&province).len() > 5);
    assert_eq!(province.apply(&discard), Outcome::Recorded);
    assert_eq!(keys_of_the_district(&province), Vec::<String>::new());
    assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Refused(Refusal::OffPath { .. })));

    // A register that leads it here again has it adopted from its beginning.
    province.apply(&tree.register_version(3, &[DISTRICT], 2));
    assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Adopted(_)));
    assert_eq!(province.replica(), district.replica());
    province.prove();
}
