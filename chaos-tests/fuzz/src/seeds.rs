//! A corpus from real traffic: every seed is bytes that one site really sent, stored or was sent.
//!
//! ```text
//! bodies ─EntryReader─► district ──Uplink ⇄ Intake──► province        every frame, command, key and value is a seed
//!                          └─ trims ──► a province without anything: a whole-origin transfer
//! ```

mod bodies;
mod credentials;
mod traffic;

use std::{io::Write as _, path::Path};

use kho_node::consensus::fuzzing;
use kho_replication::{
    bundle::{BundleAuthor, BundleWriter, EncryptingWriter},
    frames::{
        ChildFrame, Compressed, PIECE_PLAIN_BYTES_MAX, ParentFrame, RegisterOffer, RegisterReply, RegisterRequest, SEGMENT_PLAIN_BYTES_MAX,
    },
};
use kho_storage::{
    codec,
    db::{Db, MemoryImage},
    fuzzing::log_value,
    ids::SiteTime,
    keys::Space,
    stream::{Batch, BatchBody, Change, Segment},
};

use crate::{
    targets,
    world::{DISTRICT, NODE, PROVINCE, TREE, WORLD},
};
use traffic::Traffic;

/// Longer seeds only slow the search down.
const SEED_BYTES_MAX: usize = 32 << 10;
/// Of one target; a few hundred entries of the state are enough.
const SEEDS_MAX: usize = 400;

/// A seed and the target it is for.
type Seed = (&'static str, Vec<u8>);

/// Writes a folder of seeds for every target into `dir`.
///
/// # Errors
/// When the disk fails, or traffic does not flow.
pub fn write(dir: &Path) -> anyhow::Result<usize> {
    let traffic = Traffic::record()?;
    let mut seeds: Vec<Seed> = Vec::new();
    frames(&traffic, &mut seeds)?;
    streams(&traffic, &mut seeds)?;
    stored(&traffic, &mut seeds);
    bodies::seeds(&mut seeds);
    credentials::seeds(&mut seeds)?;
    let mut written = 0;
    for (name, _) in targets::ALL {
        let folder = dir.join(name);
        std::fs::create_dir_all(&folder)?;
        let own = seeds.iter().filter(|(of, bytes)| *of == name && bytes.len() <= SEED_BYTES_MAX).take(SEEDS_MAX);
        for (number, (_, bytes)) in own.enumerate() {
            std::fs::write(folder.join(format!("seed-{number:03}")), bytes)?;
            written += 1;
        }
        anyhow::ensure!(folder.join("seed-000").is_file(), "there is no seed for the target {name}");
    }
    Ok(written)
}

/// The choices that come first, and the bytes they are about.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn frames(traffic: &Traffic, seeds: &mut Vec<Seed>) -> anyhow::Result<()> {
    for bytes in &traffic.up {
        seeds.push(("child_frame", bytes.clone()));
        match ChildFrame::decode(bytes)? {
            ChildFrame::Segment { segment, .. } => {
                seeds.push(("compressed_segment", joined(&[&segment.plain_bytes.to_le_bytes(), &segment.zstd])));
                let plain: Segment = segment.unpack(SEGMENT_PLAIN_BYTES_MAX)?;
                seeds.push(("segment", codec::encode(&plain)?));
            }
            ChildFrame::Piece { piece, .. } => {
                let plain = piece.unpack(PIECE_PLAIN_BYTES_MAX)?;
                seeds.push(("transfer", codec::encode(&(plain.read_at, plain.rows))?));
            }
            _ => {}
        }
    }
    seeds.extend(traffic.down.iter().map(|bytes| ("parent_frame", bytes.clone())));
    let offer = RegisterOffer { version: WORLD.register.version(), hash: WORLD.signed.hash() };
    seeds.push(("parent_frame", ParentFrame::Registers(vec![offer]).encode()?));
    seeds.push(("register_reply", joined(&[&[0], &RegisterReply::pack(&WORLD.signed)?.encode()?])));
    seeds.push(("register_reply", joined(&[&[0], &RegisterReply::NotHeld.encode()?])));
    seeds.push(("register_reply", joined(&[&[1], &RegisterRequest { hash: offer.hash }.encode()?])));
    seeds.push(("parent_frame", ParentFrame::Redirect { addresses: vec!["127.0.0.1:7401".into()] }.encode()?));
    let mut wire = vec![7];
    for frame in traffic.down.iter().filter(|frame| frame.len() < 300).take(6) {
        wire.extend(u32::try_from(frame.len())?.to_le_bytes());
        wire.extend(frame);
    }
    seeds.push(("wire_frames", wire));
    Ok(())
}

fn streams(traffic: &Traffic, seeds: &mut Vec<Seed>) -> anyhow::Result<()> {
    let mut bundle = BundleWriter::start(Vec::new())?;
    for segment in &traffic.segments {
        bundle.add(segment)?;
        seeds.push(("head", codec::encode(&segment.head)?));
        for bytes in &segment.batches {
            seeds.push(("batch", joined(&[&[1], bytes])));
            let BatchBody::Rows { requests, changes } = Batch::decode(bytes)?.body else { continue };
            seeds.extend(changes.iter().filter_map(Change::cells).take(2).map(|cells| ("batch", joined(&[&[0], cells]))));
            seeds.push(("adoption", codec::encode(&(SiteTime(1_600_000_000_000), requests, changes))?));
        }
    }
    let created_at = SiteTime(9);
    let author = BundleAuthor { tree: TREE, reader: PROVINCE, site: DISTRICT, node: NODE, key: &WORLD.district, created_at };
    let (content, trailer) = bundle.finish(author)?;
    let number = u8::try_from(trailer.segments)?;
    let mut file = EncryptingWriter::start(Vec::new(), &WORLD.register, PROVINCE)?;
    file.write_all(&content)?;
    seeds.push(("bundle", joined(&[&[number], &file.finish()?])));
    seeds.push(("bundle", joined(&[&[number], &content])));
    for segments in [1, traffic.segments.len().min(3)] {
        let mut body = vec![u8::try_from(segments)?];
        for segment in &traffic.segments[..segments] {
            let packed = Compressed::pack(segment, SEGMENT_PLAIN_BYTES_MAX)?;
            body.extend(packed.plain_bytes.to_le_bytes());
            body.extend(u32::try_from(packed.zstd.len())?.to_le_bytes());
            body.extend(&*packed.zstd);
        }
        seeds.push(("bundle", body));
    }
    for (what, bytes) in fuzzing::seeds(&traffic.commands) {
        let number = fuzzing::SiteValue::ALL.iter().position(|known| *known == what).unwrap_or(0);
        seeds.push(("site_wire", joined(&[&[u8::try_from(number)?], &bytes])));
        let key = b"e\0\0\0\0\0\0\0\x09";
        seeds.push(("log_value", joined(&[&[9], key, &log_value(key, &bytes)])));
        seeds.push(("log_value", joined(&[&[9], key, &bytes])));
    }
    Ok(())
}

fn stored(traffic: &Traffic, seeds: &mut Vec<Seed>) {
    for (place, space) in Space::ALL.into_iter().enumerate() {
        for image in &traffic.images {
            let mut taken = 0;
            let scanned = visit(image, space, |key, value| {
                taken += 1;
                if let (Ok(place), Ok(key_bytes)) = (u8::try_from(place), u8::try_from(key.len())) {
                    seeds.push(("stored", joined(&[&[place, key_bytes], key, value])));
                }
                taken < SEEDS_MAX / 10
            });
            scanned.expect("it is in memory");
        }
    }
}

fn visit(image: &MemoryImage, space: Space, mut visit: impl FnMut(&[u8], &[u8]) -> bool) -> Result<(), kho_storage::error::StorageError> {
    Db::in_memory(image.clone()).view().scan(space, &[], &[0xff; 200], |key, value| Ok(visit(key, value)))
}
