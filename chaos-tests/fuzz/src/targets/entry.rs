//! Batches as clients send them: NDJSON and CSV, as they are and with gzip.

use std::{
    io::Write as _,
    sync::{Arc, LazyLock},
};

use kho_node::entry::{
    CheckedBatch, EntryEncoding, EntryFormat, EntryLimits, EntryReader, EntryRefusal, EntrySchema, EntryScope, UnnamedColumns,
};
use kho_storage::{
    checks::check_change,
    level::Level,
    register::AreaScope,
    schema::population,
    stream::{BATCH_CHANGES_MAX, RowChange},
};

use super::choice;

static SCHEMA: LazyLock<Arc<EntrySchema>> = LazyLock::new(|| Arc::new(EntrySchema::compile(population(), Level::FOUNDING)));
const TABLES: [&str; 3] = ["person", "event", "household"];
/// Small, so that every limit is met.
const BODY_BYTES_MAX: u64 = 64 << 10;

/// A body of NDJSON; the first byte says into what pieces it is cut.
pub fn entry_ndjson(bytes: &[u8]) {
    let Some((piece, body)) = choice(bytes) else { return };
    read_alike(&EntryFormat::Ndjson, EntryEncoding::Identity, body, piece);
}

/// A body of CSV; the first byte chooses the table and the pieces.
pub fn entry_csv(bytes: &[u8]) {
    let Some((what, body)) = choice(bytes) else { return };
    let table = TABLES[usize::from(what) % TABLES.len()].to_string();
    read_alike(&EntryFormat::Csv { table }, EntryEncoding::Identity, body, what / 3);
}

/// Bytes that claim to be gzip, and any text really compressed: the same as the text itself.
pub fn entry_gzip(bytes: &[u8]) {
    let Some((piece, body)) = choice(bytes) else { return };
    let format = EntryFormat::Ndjson;
    read_alike(&format, EntryEncoding::Gzip, body, piece);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = packed.write_all(body).and_then(|()| packed.finish()).expect("memory takes it");
    let stay = UnnamedColumns::Stay;
    let unpacked = read(&format, EntryEncoding::Gzip, stay, &packed, usize::from(piece));
    if (packed.len() as u64) < BODY_BYTES_MAX {
        assert_eq!(unpacked, read(&format, EntryEncoding::Identity, stay, body, usize::MAX), "gzip makes no difference");
    }
}

/// The same batch or the same refusal, however the body is cut, whatever happens to columns that it does not name.
fn read_alike(format: &EntryFormat, encoding: EntryEncoding, body: &[u8], piece: u8) {
    for unnamed in UnnamedColumns::ALL {
        let whole = read(format, encoding, unnamed, body, usize::MAX);
        assert_eq!(whole, read(format, encoding, unnamed, body, usize::from(piece)), "a cut makes no difference");
        judge(unnamed, whole);
    }
}

fn judge(unnamed: UnnamedColumns, read: Result<CheckedBatch, EntryRefusal>) {
    match read {
        Ok(batch) => {
            assert!((1..=BATCH_CHANGES_MAX).contains(&batch.changes.len()) && batch.rows as usize == batch.changes.len());
            assert_eq!(batch.places.len(), batch.changes.len());
            assert!(batch.needs.windows(2).all(|pair| pair[0].change < pair[1].change), "needs are in the order of the changes");
            assert!(batch.needs.iter().all(|need| matches!(batch.changes[need.change as usize].row, RowChange::Columns { .. })));
            for change in &batch.changes {
                assert!(check_change(change).is_ok() && std::str::from_utf8(&change.key).is_ok(), "what is taken is canonical");
                let names_some = matches!(change.row, RowChange::Columns { .. });
                assert!(!names_some || unnamed == UnnamedColumns::Stay, "rows are replaced whole where the request says so");
            }
        }
        Err(refusal) => assert!(
            !refusal.errors.is_empty() && refusal.errors.len() <= EntryLimits::default().errors_max + 1,
            "a refusal names what is wrong"
        ),
    }
}

fn read(
    format: &EntryFormat,
    encoding: EntryEncoding,
    unnamed: UnnamedColumns,
    body: &[u8],
    piece: usize,
) -> Result<CheckedBatch, EntryRefusal> {
    let scope = EntryScope { areas: ["001", "075"].map(|code| AreaScope { catalogue: "legacy-63".into(), code: code.into() }).to_vec() };
    let limits = EntryLimits { body_bytes_max: BODY_BYTES_MAX, line_bytes_max: 1 << 10, ..EntryLimits::default() };
    let mut reader = EntryReader::new(Arc::clone(&SCHEMA), scope, format.clone(), encoding, unnamed, limits)?;
    for chunk in body.chunks(piece.max(1)) {
        reader.feed(chunk)?;
    }
    reader.finish()
}
