//! Bundles: files carried by hand.

use std::io::{Cursor, Read, Seek, Write as _};

use kho_replication::{
    bundle::{BundleAuthor, BundleOpener, BundleReader, BundleWriter, DecryptingReader, EncryptingWriter},
    fuzzing::sealed,
};
use kho_storage::{ids::SiteTime, level::Level};

use super::choice;
use crate::world::{DISTRICT, NODE, PROVINCE, TREE, WORLD};

/// A file as it came; its bytes as the content of one; and as the body of content that a node of the register signed, so that segments
/// are reached.
pub fn bundle(bytes: &[u8]) {
    let Some((segments, body)) = choice(bytes) else { return };
    let opener = BundleOpener { tree: TREE, site: PROVINCE, node: NODE, key: &WORLD.reader };
    if let Ok(content) = DecryptingReader::open(Cursor::new(body), opener) {
        read_all(content, body.len());
    }
    read_all(Cursor::new(body), body.len());
    let content = sealed(body, u64::from(segments), vec![], author()).expect("the trailer is short");
    read_all(Cursor::new(&content), content.len());
    let mut file = EncryptingWriter::start(Vec::new(), &WORLD.register, PROVINCE).expect("the province has a node");
    file.write_all(&content).expect("memory takes it");
    let file = file.finish().expect("memory takes it");
    let mut again = Vec::new();
    DecryptingReader::open(Cursor::new(&file), opener).expect("its reader").read_to_end(&mut again).expect("whole");
    assert_eq!(again, content, "what was encrypted is decrypted");
}

fn author() -> BundleAuthor<'static> {
    BundleAuthor { tree: TREE, reader: PROVINCE, site: DISTRICT, node: NODE, key: &WORLD.district, created_at: SiteTime(9) }
}

/// Reads content to its end. Whole bundles survive being written again.
fn read_all<R: Read + Seek>(content: R, bytes: usize) {
    let Ok(mut reader) = BundleReader::open(content, &WORLD.register, PROVINCE) else { return };
    let named = reader.trailer().segments;
    let mut writer = BundleWriter::start(Vec::new()).expect("memory takes it");
    let (mut read, mut in_order) = (0, true);
    loop {
        match reader.next_segment() {
            Ok(Some(segment)) => {
                read += 1;
                assert!(read <= bytes as u64 / 8, "every segment takes bytes");
                if let Ok(verified) = segment.verify(&WORLD.register, PROVINCE, Level::FOUNDING) {
                    in_order &= writer.add(verified.segment()).is_ok();
                }
            }
            Ok(None) => break,
            Err(_) => return,
        }
    }
    assert_eq!(read, named, "as many segments as the trailer names");
    if in_order {
        let (again, _) = writer.finish(author()).expect("the system has randomness");
        assert!(BundleReader::open(Cursor::new(again), &WORLD.register, PROVINCE).is_ok());
    }
}
