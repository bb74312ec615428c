//! What a carrier alters is told from what an author did: no author is taken for a forger, and no forgery takes the room of what
//! an author signed.

use super::{
    transfers::{SILENT_MS, one, piece_of, start_of, trimmed_district},
    *,
};
use crate::{
    command::{EvidenceReview, RowPlace, TransferStart, TransferStatus},
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
fn promise_6_evidence_that_was_reviewed_takes_no_room_from_what_comes_later() {
    let tree = Tree::new();
    let (one, two) = (district(&tree, "one", 2, "2000"), district(&tree, "two", 2, "1950"));
    let mut province = tree.node("p", 2);
    province.apply(&tree.adopt(one.segment(1)));
    for commune in 0..40 {
        province.apply(&tree.adopt(altered(one.segment(1), commune)));
        province.apply(&tree.adopt(altered(two.segment(1), commune)));
    }
    let kept = province.evidence();
    let mut pieces = Vec::new();
    province.warehouse.read(|view| view.evidence(|piece| pieces.push(piece.name().expect("encodes")))).expect("reads");
    let review = EvidenceReview { reviewed_at: SiteTime(40), by: "lan".into(), reason: "a bad line".into(), pieces };
    assert_eq!(province.apply(&Command::ReviewEvidence { origin: DISTRICT, review }), Outcome::Recorded);
    for commune in 40..80 {
        province.apply(&tree.adopt(altered(one.segment(1), commune)));
    }
    let invented = province.evidence() - kept;
    assert!((1..16).contains(&invented), "{invented} pieces more are kept");
    assert!(matches!(province.apply(&tree.adopt(two.segment(1))), Outcome::Refused(Refusal::Forked { .. })));
    assert_eq!(province.evidence(), kept + invented + 1, "the author's own second history is kept");
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
    let begins = |carrier| Command::BeginTransfer { site_time: SiteTime(1_000), carrier, silent_ms: 60_000, start: start.clone() };
    assert_eq!(beside.apply(&begins(SiteId(3))), refused, "a whole origin");
    assert_eq!(tree.node("led", 2).apply(&begins(SiteId(9))), refused, "a whole origin, by a carrier beside its path");
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
    let review = EvidenceReview { reviewed_at: SiteTime(40), by: "lan".into(), reason: "a failed disk".into(), pieces: vec![] };
    assert_eq!(province.apply(&Command::ReviewEvidence { origin: DISTRICT, review }), Outcome::Recorded);
    assert!(keys_of_the_district(&province).len() > 5);
    assert_eq!(province.apply(&discard), Outcome::Recorded);
    assert_eq!(keys_of_the_district(&province), Vec::<String>::new());
    assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Refused(Refusal::OffPath { .. })));

    // What was once entered here, in an origin that another site writes now.
    let mut author = tree.node("a", 3);
    author.write(10, vec![request("one", vec![person("p", 1, 0, "2000")]), request("two", vec![person("q", 1, 0, "2000")])]);
    author.apply(&tree.register_written_by(1, 2, &[DISTRICT], 2));
    assert!(keys_of_the_district(&author).iter().any(|key| key.contains("RequestAge")));
    assert_eq!(author.apply(&discard), Outcome::Recorded);
    assert_eq!(keys_of_the_district(&author), Vec::<String>::new());

    // A register that leads it here again has it adopted from its beginning.
    province.apply(&tree.register_version(3, &[DISTRICT], 2));
    assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Adopted(_)));
    assert_eq!(province.replica(), district.replica());
    province.prove();
}

/// The centre, to which the district's stream comes by two carriers: the province (2) and the district's own site (3).
fn begins_by(carrier: u32, time: i64, start: &TransferStart) -> Command {
    Command::BeginTransfer { site_time: SiteTime(time), carrier: SiteId(carrier), silent_ms: SILENT_MS, start: start.clone() }
}

fn piece_by(carrier: u32, generation: Generation, time: i64, piece: &TransferPiece) -> Command {
    Command::AdoptPiece { site_time: SiteTime(time), carrier: SiteId(carrier), generation, piece: piece.clone() }
}

fn generation_of(begun: &Outcome) -> Generation {
    let Outcome::Transfer(TransferStatus::WantsPiece { generation, .. }) = begun else { panic!("{begun:?}") };
    *generation
}

fn under_way(node: &Node) -> Vec<Transfer> {
    node.warehouse.transfers().expect("reads")
}

#[test]
fn promise_4_a_transfer_is_continued_and_replaced_by_its_own_carrier_alone() {
    let tree = Tree::new();
    let (district, mut centre) = (trimmed_district(&tree), tree.node("c", 1));
    let start = start_of(&district);
    let begun = centre.apply(&begins_by(2, 0, &start));
    let generation = generation_of(&begun);
    let before = under_way(&centre);

    // A piece of another carrier, or for another transfer, and a second beginning.
    let piece = piece_of(&district, &RowPlace::default(), usize::MAX);
    assert!(matches!(centre.apply(&piece_by(3, generation, 1, &piece)), Outcome::Refused(Refusal::Transfer { .. })));
    assert_eq!(centre.apply(&piece_by(2, Generation(generation.0 + 1), 1, &piece)), begun, "it is told what is wanted");
    let other = TransferStart { kept_after: StreamSeq(1 << 20), kept_after_chain: Hash32::of(b"invented"), ..start.clone() };
    for start in [&start, &other] {
        let taken = Outcome::Refused(Refusal::TransferTaken { origin: DISTRICT, carrier: SiteId(2) });
        assert_eq!(centre.apply(&begins_by(3, 1, start)), taken);
    }
    assert_eq!(under_way(&centre), before);

    // Nor do the batches of another carrier, or of a file, continue it.
    let wants = centre.apply(&piece_by(2, generation, 2, &piece));
    assert!(matches!(wants, Outcome::Transfer(TransferStatus::WantsBatches { next: StreamSeq(6), .. })), "{wants:?}");
    let before = under_way(&centre);
    for carrier in [Some(SiteId(3)), None] {
        let adopt = Command::AdoptSegment { site_time: SiteTime(3), carrier, segment: one(&district, 6) };
        let gap = Refusal::Gap { origin: DISTRICT, wanted: StreamSeq(1), given: StreamSeq(6) };
        assert_eq!(centre.apply(&adopt), Outcome::Refused(gap), "{carrier:?}");
    }
    assert_eq!(under_way(&centre), before);
    let adopt = Command::AdoptSegment { site_time: SiteTime(1_000_000), carrier: Some(SiteId(2)), segment: district.segment(6) };
    assert!(matches!(centre.apply(&adopt), Outcome::Adopted(_)));
    assert_eq!(centre.replica(), district.replica());
}

#[test]
fn promise_7_a_carrier_that_fell_silent_or_was_left_out_gives_way_to_another() {
    let tree = Tree::new();
    let (district, mut centre) = (trimmed_district(&tree), tree.node("c", 1));
    let (start, silent_ms) = (start_of(&district), SILENT_MS as i64);
    let first = generation_of(&centre.apply(&begins_by(2, 0, &start)));
    let piece = piece_of(&district, &RowPlace::default(), 400);
    centre.apply(&piece_by(2, first, 30_000, &piece));

    // It came further at 30 s, and holds the transfer for one minute from then on. Beginning again is no step.
    centre.apply(&begins_by(2, 80_000, &start));
    centre.apply(&begins_by(2, 85_000, &TransferStart { kept_after_chain: Hash32([9; 32]), ..start.clone() }));
    let taken = Outcome::Refused(Refusal::TransferTaken { origin: DISTRICT, carrier: SiteId(2) });
    assert_eq!(centre.apply(&begins_by(3, 30_000 + silent_ms - 1, &start)), taken);
    let second = generation_of(&centre.apply(&begins_by(3, 30_000 + silent_ms, &start)));
    assert_ne!(first, second);
    assert!(matches!(centre.apply(&piece_by(2, first, 90_001, &piece)), Outcome::Refused(Refusal::Transfer { .. })), "its turn is over");

    // A clock that was years ahead and is right again holds nothing.
    let third = generation_of(&centre.apply(&begins_by(2, 90_000 - silent_ms, &start)));
    assert_ne!(second, third);

    // A register that leads the stream past the province.
    centre.apply(&tree.register_version(2, &[DISTRICT], 1));
    assert!(matches!(centre.apply(&piece_by(2, third, 30_001, &piece)), Outcome::Refused(Refusal::OffPath { site: SiteId(2), .. })));
    assert!(matches!(centre.apply(&begins_by(2, 30_001, &start)), Outcome::Refused(Refusal::OffPath { site: SiteId(2), .. })));
    let last = generation_of(&centre.apply(&begins_by(3, 30_001, &start)));
    assert_ne!(third, last);
}
