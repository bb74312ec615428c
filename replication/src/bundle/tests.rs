use std::io::Cursor as Bytes;

use kho_storage::{register::Revocation, stream::Segment};
use proptest::prelude::*;

use super::*;
use crate::protocol_tests::{
    author::Author,
    tree::{ADOPTED, COMMUNE, DISTRICT, NODE, OWN, PROVINCE, Tree},
};

fn exported(tree: &Tree) -> (Vec<Segment>, Vec<u8>) {
    let mut own = Author::new(tree, OWN, DISTRICT);
    own.grow(3, SiteTime(1));
    own.grow(2, SiteTime(2));
    let mut adopted = Author::new(tree, ADOPTED, COMMUNE);
    adopted.grow(2, SiteTime(3));
    let segments = vec![own.segment(1, 3), adopted.segment(1, 2), own.segment(4, 5), own.segment(6, 5)];
    let mut writer = BundleWriter::start(Vec::new()).expect("in memory");
    for segment in &segments {
        writer.add(segment).expect("in order");
    }
    let (file, _) = writer.finish("test", DISTRICT, NODE, SiteTime(9), &tree.keys[&DISTRICT]).expect("signs");
    (segments, file)
}

fn opened(tree: &Tree, file: &[u8]) -> Result<BundleReader<Bytes<Vec<u8>>>, BundleError> {
    BundleReader::open(Bytes::new(file.to_vec()), &tree.verified())
}

#[test]
fn promise_7_a_bundle_carries_the_same_segments_as_the_link() {
    let tree = Tree::new();
    let (segments, file) = exported(&tree);
    let mut reader = opened(&tree, &file).expect("whole");
    let stream =
        |origin, first, next| BundleStream { origin, epoch: Epoch::first("test", origin), first: StreamSeq(first), next: StreamSeq(next) };
    assert_eq!(reader.trailer().streams, [stream(OWN, 1, 6), stream(ADOPTED, 1, 3)]);
    assert_eq!((reader.trailer().site, reader.trailer().created_at, reader.trailer().segments), (DISTRICT, SiteTime(9), 4));
    for segment in segments {
        let received = reader.next_segment().expect("whole").expect("one more");
        assert_eq!(received.verify(&tree.verified(), PROVINCE).map(super::super::verified::VerifiedSegment::into_segment), Ok(segment));
    }
    assert!(reader.next_segment().expect("whole").is_none());
}

#[test]
fn promise_7_a_bundle_with_any_byte_cut_off_or_added_yields_nothing() {
    let tree = Tree::new();
    let (_, file) = exported(&tree);
    for length in 0..file.len() {
        assert!(opened(&tree, &file[..length]).is_err(), "{length} of {} bytes", file.len());
        assert!(length == 0 || opened(&tree, &file[length..]).is_err(), "without the first {length} bytes");
    }
    assert!(opened(&tree, &[&file[..], &[0]].concat()).is_err());
    // A whole file inside a longer one.
    assert!(opened(&tree, &[&file[..HEADER_BYTES as usize], &file[..]].concat()).is_err());
}

proptest! {
    #[test]
    fn promise_7_a_bundle_with_any_bit_flipped_yields_nothing(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let tree = Tree::new();
        let (_, mut file) = exported(&tree);
        let place = at.index(file.len());
        file[place] ^= 1 << bit;
        prop_assert!(opened(&tree, &file).is_err());
    }

    #[test]
    fn any_bytes_are_a_bundle_or_refused_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let tree = Tree::new();
        let length = u32::try_from(body.len()).unwrap_or(0).to_le_bytes();
        let file = [&MAGIC[..], &VERSION.to_le_bytes(), &body, &length, END_MAGIC].concat();
        prop_assert!(opened(&tree, &file).is_err());
    }
}

#[test]
fn a_bundle_of_another_tree_node_or_key_is_refused_by_name() {
    let tree = Tree::new();
    let write = |name: &str, site, signer: SiteId| {
        let writer = BundleWriter::start(Vec::new()).expect("in memory");
        writer.finish(name, site, NODE, SiteTime(9), &tree.keys[&signer]).expect("signs").0
    };
    assert!(opened(&tree, &write("test", DISTRICT, DISTRICT)).is_ok());
    assert!(matches!(opened(&tree, &write("other", DISTRICT, DISTRICT)), Err(BundleError::OtherTree { .. })));
    assert!(matches!(opened(&tree, &write("test", SiteId(99), DISTRICT)), Err(BundleError::UnknownSigner { .. })));
    assert!(matches!(opened(&tree, &write("test", DISTRICT, COMMUNE)), Err(BundleError::Signature(_))));
    assert!(matches!(opened(&tree, b"PK\x03\x04 not a bundle"), Err(BundleError::NotABundle)));
    let mut newer = write("test", DISTRICT, DISTRICT);
    newer[8] = 9;
    assert!(matches!(opened(&tree, &newer), Err(BundleError::Version(9))));
}

#[test]
fn a_bundle_of_a_revoked_node_is_refused() {
    let mut tree = Tree::new();
    let (_, file) = exported(&tree);
    let district = tree.register.sites.iter_mut().find(|site| site.site == DISTRICT).expect("there");
    district.nodes[0].revoked = vec![Revocation { origin: OWN, last_good_epoch: 1, last_good_seq: StreamSeq(2) }];
    assert!(matches!(opened(&tree, &file), Err(BundleError::UnknownSigner { .. })));
}

#[test]
fn a_gap_in_a_stream_is_not_written() {
    let tree = Tree::new();
    let mut own = Author::new(&tree, OWN, DISTRICT);
    own.grow(3, SiteTime(1));
    let mut writer = BundleWriter::start(Vec::new()).expect("in memory");
    writer.add(&own.segment(1, 1)).expect("first");
    assert!(matches!(writer.add(&own.segment(3, 3)), Err(BundleError::OutOfOrder { wanted: StreamSeq(2), given: StreamSeq(3), .. })));
}
