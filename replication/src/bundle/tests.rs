use std::io::{Cursor as Bytes, Read as _, Seek as _, SeekFrom, Write as _};

use kho_storage::{level::Level, register::Revocation, stream::Segment};
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
    let (content, _) = writer.finish(author(tree)).expect("signs");
    (segments, encrypted(tree, &content))
}

fn author(tree: &Tree) -> BundleAuthor<'_> {
    BundleAuthor { tree: "test", reader: PROVINCE, site: DISTRICT, node: NODE, key: &tree.keys[&DISTRICT], created_at: SiteTime(9) }
}

/// A file with this content for the province.
fn encrypted(tree: &Tree, content: &[u8]) -> Vec<u8> {
    let mut writer = EncryptingWriter::start(Vec::new(), &tree.verified(), PROVINCE).expect("it has a node");
    writer.write_all(content).expect("in memory");
    writer.finish().expect("in memory")
}

fn decrypted(tree: &Tree, file: &[u8], site: SiteId, node: NodeId) -> Result<DecryptingReader<Bytes<Vec<u8>>>, BundleError> {
    let by = BundleOpener { tree: "test", site, node, key: &tree.readers[&site] };
    DecryptingReader::open(Bytes::new(file.to_vec()), by)
}

/// The file as the province reads it.
fn opened(tree: &Tree, file: &[u8]) -> Result<BundleReader<DecryptingReader<Bytes<Vec<u8>>>>, BundleError> {
    BundleReader::open(decrypted(tree, file, PROVINCE, NODE)?, &tree.verified(), PROVINCE)
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
        let verified = received.verify(&tree.verified(), PROVINCE, Level::FOUNDING);
        assert_eq!(verified.map(super::super::verified::VerifiedSegment::into_segment), Ok(segment));
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
        let content = [&CONTENT_MAGIC[..], &VERSION.to_le_bytes(), &body, &length, END_MAGIC].concat();
        prop_assert!(opened(&tree, &encrypted(&tree, &content)).is_err());
        prop_assert!(opened(&tree, &[&MAGIC[..], &VERSION.to_le_bytes(), &length, &body].concat()).is_err());
    }
}

#[test]
fn a_bundle_of_another_tree_node_or_key_is_refused_by_name() {
    let tree = Tree::new();
    let write = |name: &str, site, signer: SiteId| {
        let writer = BundleWriter::start(Vec::new()).expect("in memory");
        let by = BundleAuthor { tree: name, site, key: &tree.keys[&signer], ..author(&tree) };
        encrypted(&tree, &writer.finish(by).expect("signs").0)
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

#[test]
fn promise_4_a_bundle_opens_for_the_nodes_of_its_site_alone() {
    let tree = Tree::new();
    let (_, file) = exported(&tree);
    assert!(opened(&tree, &file).is_ok());
    for site in [DISTRICT, COMMUNE, SiteId(1)] {
        let refused = decrypted(&tree, &file, site, NODE);
        assert!(matches!(refused, Err(BundleError::ForOtherSite { given: PROVINCE, wanted }) if wanted == site), "{refused:?}");
    }
    // A node that came later, and one that takes another's place.
    assert!(matches!(decrypted(&tree, &file, PROVINCE, NodeId(2)), Err(BundleError::NotForThisNode { .. })));
    let by = BundleOpener { tree: "test", site: PROVINCE, node: NODE, key: &tree.readers[&DISTRICT] };
    assert!(matches!(DecryptingReader::open(Bytes::new(file.clone()), by), Err(BundleError::Encryption(_))));
    let by = BundleOpener { tree: "other", ..by };
    assert!(matches!(DecryptingReader::open(Bytes::new(file), by), Err(BundleError::OtherTree { .. })));
}

#[test]
fn promise_4_who_may_read_a_bundle_cannot_pass_it_off_as_made_for_another_site() {
    let tree = Tree::new();
    let (_, file) = exported(&tree);
    let mut content = Vec::new();
    decrypted(&tree, &file, PROVINCE, NODE).expect("its reader").read_to_end(&mut content).expect("whole");
    let mut forwarded = EncryptingWriter::start(Vec::new(), &tree.verified(), COMMUNE).expect("it has a node");
    forwarded.write_all(&content).expect("in memory");
    let forwarded = decrypted(&tree, &forwarded.finish().expect("in memory"), COMMUNE, NODE).expect("encrypted to it");
    let refused = BundleReader::open(forwarded, &tree.verified(), COMMUNE);
    assert!(matches!(refused, Err(BundleError::ForOtherSite { given: PROVINCE, wanted: COMMUNE })), "{refused:?}");
}

#[test]
fn promise_4_a_carrier_sees_nothing_of_the_content() {
    let tree = Tree::new();
    let content: Vec<u8> = b"039205001234,Nguyen Van A;".iter().copied().cycle().take(200_000).collect();
    let file = encrypted(&tree, &content);
    assert!(!file.windows(8).any(|window| content.windows(8).take(64).any(|part| part == window)));
    assert_ne!(file[file.len() - 100..], encrypted(&tree, &content)[file.len() - 100..], "every file has a key of its own");
    assert!(file.len() < content.len() + 1_000, "{} bytes for {}", file.len(), content.len());
}

/// Content of several chunks, with an end in the middle of one, at the end of one, and none at all.
#[test]
fn promise_7_an_encrypted_file_gives_back_its_content_from_any_place_and_nothing_of_an_altered_chunk() {
    const CHUNK: usize = 64 << 10;
    let tree = Tree::new();
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let content: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
        let file = encrypted(&tree, &content);
        let mut reader = decrypted(&tree, &file, PROVINCE, NODE).expect("its reader");
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("whole");
        assert!(read == content, "{length} bytes");
        for at in [0, length / 2, length.saturating_sub(1)] {
            assert_eq!(reader.seek(SeekFrom::Start(at as u64)).expect("a place"), at as u64);
            let mut byte = Vec::new();
            (&mut reader).take(1).read_to_end(&mut byte).expect("whole");
            assert_eq!(byte, content.get(at..(at + 1).min(length)).unwrap_or_default());
        }
    }
    let content = vec![7; 3 * CHUNK];
    let file = encrypted(&tree, &content);
    let chunks_at = file.len() - 3 * (CHUNK + 16);
    let read = |file: &[u8]| {
        let mut read = Vec::new();
        let result = decrypted(&tree, file, PROVINCE, NODE)
            .map_err(|_| 0)
            .and_then(|mut reader| reader.read_to_end(&mut read).map_err(|_| read.len()));
        result.err()
    };
    assert_eq!(read(&file), None);
    let mut altered = file.clone();
    altered[chunks_at + CHUNK + 16 + 5] ^= 1;
    assert_eq!(read(&altered), Some(CHUNK), "the chunk before it is whole, and nothing of it comes out");
    // Cut between two chunks: the last one that is left was not the last.
    assert_eq!(read(&file[..file.len() - (CHUNK + 16)]), Some(CHUNK));
    let mut swapped = file.clone();
    let (one, two) = swapped[chunks_at..].split_at_mut(CHUNK + 16);
    one.swap_with_slice(&mut two[..CHUNK + 16]);
    assert_eq!(read(&swapped), Some(0), "two chunks in each other's place");
}

#[test]
fn a_bundle_for_a_site_without_nodes_is_not_written() {
    let mut tree = Tree::new();
    let province = tree.register.sites.iter_mut().find(|site| site.site == PROVINCE).expect("there");
    province.nodes[0].revoked = vec![Revocation { origin: OWN, last_good_epoch: 1, last_good_seq: StreamSeq(2) }];
    for site in [PROVINCE, SiteId(99)] {
        let refused = EncryptingWriter::start(Vec::new(), &tree.verified(), site).map(|_| ());
        assert!(matches!(refused, Err(BundleError::NoReader(none)) if none == site), "{refused:?}");
    }
}
