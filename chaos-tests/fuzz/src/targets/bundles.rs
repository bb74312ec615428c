//! Bundles: files carried by hand.

use std::io::Cursor;

use kho_replication::{
    bundle::{BundleReader, BundleWriter},
    fuzzing::{Sealer, sealed},
};
use kho_storage::ids::SiteTime;

use super::choice;
use crate::world::{DISTRICT, NODE, PROVINCE, TREE, WORLD};

/// A file as it came; and its bytes as the body of a bundle that a node of the register signed, so that segments are reached.
pub fn bundle(bytes: &[u8]) {
    let Some((segments, body)) = choice(bytes) else { return };
    read_all(body);
    let sealer = Sealer { tree: TREE, site: DISTRICT, node: NODE, key: &WORLD.district, created_at: SiteTime(9) };
    let file = sealed(body, u64::from(segments), vec![], sealer).expect("the trailer is short");
    read_all(&file);
}

/// Reads a file to its end. Whole bundles survive being written again.
fn read_all(file: &[u8]) {
    let Ok(mut reader) = BundleReader::open(Cursor::new(file), &WORLD.register) else { return };
    let named = reader.trailer().segments;
    let mut writer = BundleWriter::start(Vec::new()).expect("memory takes it");
    let (mut read, mut in_order) = (0, true);
    loop {
        match reader.next_segment() {
            Ok(Some(segment)) => {
                read += 1;
                assert!(read <= file.len() as u64 / 8, "every segment takes bytes");
                if let Ok(verified) = segment.verify(&WORLD.register, PROVINCE) {
                    in_order &= writer.add(verified.segment()).is_ok();
                }
            }
            Ok(None) => break,
            Err(_) => return,
        }
    }
    assert_eq!(read, named, "as many segments as the trailer names");
    if in_order {
        let (again, _) = writer.finish(TREE, DISTRICT, NODE, SiteTime(9), &WORLD.district).expect("the system has randomness");
        assert!(BundleReader::open(Cursor::new(again), &WORLD.register).is_ok());
    }
}
