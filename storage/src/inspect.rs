//! Keys and values of the state database as text: one line for each entry, the same in `kho inspect` and in tests.
//!
//! Bytes are read here as `keys` and `codec` document them, by nothing but their public form, so that an inspector
//! shows when a writer departs from it. What can't be read is shown as it lies, in hexadecimal, with the reason.
//!
//! Invariant: any bytes give a line, never a panic (test `any_bytes_give_one_line_without_a_panic`).

use std::fmt::{self, Write as _};

use serde::de::DeserializeOwned;

use crate::{
    codec::{self, FORMAT, take_varint, unzigzag},
    command::{DivergedPlace, EvidenceReview, ParentCursor},
    db,
    ids::{Hash32, OriginId, SiteId, SiteTime, StreamSeq, TableId},
    keys::{self, Meta, Space},
    level::Level,
    register::SignedRegister,
    row::RowCells,
    schema::{Cube, DimensionSource, PartialDate, Schema, Table},
    stream::{Batch, BatchBody, RowChange, SignedHead},
    warehouse::{AppliedMark, OriginState, RequestRecord, SetBack, StoredEvidence, Transfer, TrustedRoots},
};

/// Bytes of an unreadable value that are shown.
const SHOWN_BYTES_MAX: usize = 64;

/// One line that tells what an entry says. `schema` gives tables, columns, codes and cubes their names; what it does not
/// know is shown by number.
pub fn format_entry(schema: &Schema, space: Space, key: &[u8], value: &[u8]) -> String {
    let line = match space {
        Space::Rows => row_line(schema, key, value),
        Space::Streams => stream_line(key, value),
        Space::Cubes => cube_line(schema, key, value),
        Space::Meta => meta_line(key, value),
    };
    match line {
        Ok(line) => line,
        Err(why) => format!("{} {}: damaged ({why}): {}", space.name(), hex(key), hex(value)),
    }
}

/// Why an entry can't be read.
struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn unreadable(why: impl fmt::Display) -> Unreadable {
    Unreadable(why.to_string())
}

fn row_line(schema: &Schema, key: &[u8], value: &[u8]) -> Result<String, Unreadable> {
    let (table, origin, generation, row_key) = keys::decode_row(key).ok_or_else(|| unreadable("not a key of a row"))?;
    let known = schema.table(table);
    let name = table_name(schema, table);
    let read = || {
        let (&format, mut rest) = value.split_first()?;
        let (seq, time) = (take_varint(&mut rest)?, take_varint(&mut rest)?);
        (format == FORMAT).then_some((StreamSeq(seq), SiteTime(unzigzag(time)), rest))
    };
    let (seq, time, cells) = read().ok_or_else(|| unreadable("not a value of a row"))?;
    let cells = RowCells::check(cells).map_err(unreadable)?;
    Ok(format!(
        "row {name} {} origin={origin} generation={generation} seq={seq} time={} {}",
        text_or_hex(row_key),
        time.to_rfc3339(),
        cells_text(schema, known, &cells)
    ))
}

fn cells_text(schema: &Schema, table: Option<&Table>, cells: &RowCells<'_>) -> String {
    let mut text = String::from("{");
    for (at, (id, value)) in cells.iter().enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        // Writing to a String never fails.
        let _ = match table.and_then(|table| table.column(id)) {
            Some(column) => write!(text, "{separator}{}={:?}", column.name, value.to_text(schema, column)),
            None => write!(text, "{separator}#{id}={value:?}"),
        };
    }
    text.push('}');
    text
}

fn stream_line(key: &[u8], value: &[u8]) -> Result<String, Unreadable> {
    let (origin, epoch, seq) = keys::decode_stream(key).ok_or_else(|| unreadable("not a key of a batch"))?;
    let read = || {
        let (&format, rest) = value.split_first()?;
        let (chain, rest) = rest.split_first_chunk::<32>()?;
        let (digest, mut rest) = rest.split_first_chunk::<32>()?;
        let rows = take_varint(&mut rest)?;
        (format == FORMAT).then_some((Hash32(*chain), Hash32(*digest), rows, rest))
    };
    let (chain, digest, rows, bytes) = read().ok_or_else(|| unreadable("not a record of a batch"))?;
    let batch = Batch::decode(bytes).map_err(unreadable)?;
    let body = match &batch.body {
        BatchBody::Rows { requests, changes } => {
            let of = |kind: fn(&RowChange) -> bool| changes.iter().filter(|change| kind(&change.row)).count();
            let whole = of(|row| matches!(row, RowChange::Whole(_)));
            let columns = of(|row| matches!(row, RowChange::Columns { .. }));
            let removed = of(|row| matches!(row, RowChange::Removed));
            let keys: Vec<String> = requests.iter().map(|request| format!("{:?}", request.key)).collect();
            format!("whole={whole} columns={columns} removed={removed} requests=[{}]", keys.join(", "))
        }
        BatchBody::EpochOpened { base } => {
            format!("opens on epoch={} seq={} chain={} digest={}", base.epoch, base.seq, base.chain, base.digest)
        }
    };
    Ok(format!(
        "batch origin={origin} epoch={epoch} seq={seq} time={} bytes={} chain={chain} digest={digest} rows={rows} {body}",
        batch.site_time.to_rfc3339(),
        bytes.len()
    ))
}

fn cube_line(schema: &Schema, key: &[u8], value: &[u8]) -> Result<String, Unreadable> {
    let (cube, origin, generation, area, dimensions) = keys::decode_cube(key).ok_or_else(|| unreadable("not a key of a cube's cell"))?;
    let amount = db::amount(value).ok_or_else(|| unreadable("not an amount"))?;
    let known = schema.cube(cube);
    let name = known.map_or_else(|| format!("#{cube}"), |cube| cube.name.clone());
    let mut line = format!("cell {name} origin={origin} generation={generation} area={}", area_text(schema, known, area));
    for (at, number) in dimensions.iter().enumerate() {
        let _ = match known.and_then(|cube| cube.dimensions.get(at).map(|dimension| (cube, dimension))) {
            Some((cube, dimension)) => write!(line, " {}={}", dimension.name, dimension_text(schema, cube, &dimension.source, *number)),
            None => write!(line, " #{at}={number}"),
        };
    }
    let _ = write!(line, " amount={amount}");
    Ok(line)
}

/// `catalogue/code`, or `none` for rows that name no unit.
fn area_text(schema: &Schema, cube: Option<&Cube>, area: u32) -> String {
    if area == u32::MAX {
        return "none".into();
    }
    let (catalogue, code) = (area >> 24, area & 0x00ff_ffff);
    let name = cube.and_then(|cube| code_of(schema, cube, &cube.area.catalogue, catalogue)).unwrap_or_else(|| format!("#{catalogue}"));
    format!("{name}/{code:05}")
}

/// 0 stands for "absent" in every dimension.
fn dimension_text(schema: &Schema, cube: &Cube, source: &DimensionSource, number: u16) -> String {
    let Some(value) = number.checked_sub(1) else { return "absent".into() };
    match source {
        DimensionSource::Code { column } => code_of(schema, cube, column, u32::from(value)).unwrap_or_else(|| format!("#{value}")),
        DimensionSource::Month { .. } => {
            PartialDate::from_month_number(number).map_or_else(|| format!("#{number}"), |month| month.to_string())
        }
        DimensionSource::Integer { .. } => value.to_string(),
        DimensionSource::AgeGroup { .. } if value >= 20 => "100+".into(),
        DimensionSource::AgeGroup { .. } => format!("{}-{}", value * 5, value * 5 + 4),
    }
}

fn code_of(schema: &Schema, cube: &Cube, column: &str, number: u32) -> Option<String> {
    let list = schema.table_named(&cube.table)?.column_named(column)?.kind.list()?;
    schema.code_list(list)?.code(number).map(|code| code.code.clone())
}

fn register_line(what: &str, signed: &SignedRegister) -> Result<String, Unreadable> {
    let register = signed.unverified().map_err(unreadable)?;
    Ok(format!(
        "{what} tree={:?} version={} sites={} origins={} bytes={} signatures={}",
        register.tree,
        register.version,
        register.sites.len(),
        register.origins.len(),
        signed.text.len(),
        signed.signatures.len()
    ))
}

fn meta_line(key: &[u8], value: &[u8]) -> Result<String, Unreadable> {
    let meta = Meta::decode(key).ok_or_else(|| unreadable("not a key of this space"))?;
    match meta {
        Meta::Applied => {
            let mark: AppliedMark = read(value)?;
            Ok(format!("applied mark={} membership={}", hex(&mark.applied), hex(&mark.membership)))
        }
        Meta::Identity => {
            let (tree, site): (String, SiteId) = read(value)?;
            Ok(format!("identity tree={tree:?} site={site}"))
        }
        Meta::Register => register_line("register", &read(value)?),
        Meta::RootChange(_) => register_line("root change", &read(value)?),
        Meta::TrustedRoots => {
            let TrustedRoots { next, held } = read(value)?;
            Ok(format!("trusted roots next={:?} held={:?}", next.0, held.0))
        }
        Meta::Origin(origin) => Ok(origin_line(origin, &read(value)?)),
        Meta::Head(origin, epoch, seq) => {
            let SignedHead { head, site, node, signature } = read(value)?;
            Ok(format!(
                "head origin={origin} epoch={epoch} seq={seq} time={} rows={} chain={} digest={} by site={site} node={node} signature={signature:?}",
                head.site_time.to_rfc3339(),
                head.rows,
                head.chain,
                head.digest
            ))
        }
        Meta::Request(origin, request) => {
            let record: RequestRecord = read(value)?;
            Ok(format!(
                "request origin={origin} key={request:?} epoch={} seq={} changes={} body={}",
                record.epoch, record.seq, record.changes, record.body_hash
            ))
        }
        Meta::RequestAge(time, origin, request) => {
            read::<()>(value).map(|()| format!("request-age time={} origin={origin} key={request:?}", time.to_rfc3339()))
        }
        Meta::Cubes => {
            let fingerprint: Hash32 = read(value)?;
            Ok(format!("cubes fingerprint={fingerprint}"))
        }
        Meta::Parent(parent, origin) => {
            let cursor: ParentCursor = read(value)?;
            Ok(format!("parent site={parent} origin={origin} epoch={} next={}", cursor.epoch, cursor.next))
        }
        Meta::Evidence(origin, seq, hash) => {
            let evidence: StoredEvidence = read(value)?;
            let (first, batches) = (evidence.segment.first, evidence.segment.batches.len());
            Ok(format!(
                "evidence origin={origin} seq={seq} hash={hash:016x} found={} reason={} first={first} batches={batches} ours={:?}",
                evidence.found_at.to_rfc3339(),
                evidence.reason.code(),
                evidence.ours
            ))
        }
        Meta::EvidenceReview(origin) => {
            let review: EvidenceReview = read(value)?;
            let (pieces, at) = (review.pieces.len(), review.reviewed_at.to_rfc3339());
            Ok(format!("evidence-review origin={origin} pieces={pieces} at={at} by={:?} reason={:?}", review.by, review.reason))
        }
        Meta::Transfer(origin) => {
            let transfer: Transfer = read(value)?;
            Ok(format!(
                "transfer origin={origin} carrier={} generation={} rows={} next={} until={} wanted={:?}",
                transfer.carrier, transfer.generation, transfer.rows, transfer.next, transfer.until, transfer.wanted
            ))
        }
        Meta::TurnedBack(node, disk) => {
            let noted: SiteTime = read(value)?;
            Ok(format!("turned-back node={node} disk={disk:016x} noted={}", noted.to_rfc3339()))
        }
        Meta::Level => {
            let level: Level = read(value)?;
            Ok(format!("level {level}"))
        }
        Meta::TestNote => {
            let note: String = read(value)?;
            Ok(format!("test-note {note:?}"))
        }
        Meta::Diverged(node, disk) => {
            let (noted, place): (SiteTime, DivergedPlace) = read(value)?;
            Ok(format!("diverged node={node} disk={disk:016x} noted={} place={place:?}", noted.to_rfc3339()))
        }
        Meta::SetBack(origin) => {
            let set_back: SetBack = read(value)?;
            let shown = &set_back.furthest.head;
            let branch = set_back.branch();
            Ok(format!(
                "set-back origin={origin} noted={} shown={} chain={} by={:?} stood={} chain={} agreed={} branch={}..{}",
                set_back.noted_at.to_rfc3339(),
                shown.seq,
                shown.chain,
                set_back.shown_by,
                set_back.stood,
                set_back.chain,
                set_back.agreed,
                branch.start,
                branch.end
            ))
        }
    }
}

fn origin_line(origin: OriginId, state: &OriginState) -> String {
    let stopped =
        state.stopped.as_ref().map_or_else(String::new, |stopped| format!(" stopped at={} reason={}", stopped.seq, stopped.reason.code()));
    format!(
        "origin {origin} epoch={} next={} generation={} rows={} chain={} digest={} kept from={} bytes={} head={} watermark={}{stopped}",
        state.epoch,
        state.next,
        state.generation,
        state.rows,
        state.chain,
        state.sum.digest(),
        state.oldest_kept,
        state.kept_bytes,
        state.head_seq.map_or_else(|| "none".into(), |seq| seq.to_string()),
        state.watermark.to_rfc3339()
    )
}

fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, Unreadable> {
    codec::decode(value).map_err(unreadable)
}

fn table_name(schema: &Schema, table: TableId) -> String {
    schema.table(table).map_or_else(|| format!("#{table}"), |table| table.name.clone())
}

/// Text in quotes, or hexadecimal for bytes that are not text.
fn text_or_hex(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| hex(bytes), |text| format!("{text:?}"))
}

fn hex(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let rest = if shown.len() < bytes.len() { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    format!("0x{}{rest}", data_encoding::HEXLOWER.encode(shown))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        codec::{Blob, put_varint},
        ids::{ColumnId, CubeId, Epoch, Generation},
        row::RowBuilder,
        schema::{Value, population},
        stream::{Change, RequestMark},
    };

    fn line(space: Space, key: &[u8], value: &[u8]) -> String {
        format_entry(population(), space, key, value)
    }

    #[test]
    fn a_row_shows_table_key_and_named_columns_and_unknown_columns_by_number() {
        let person = population().table_named("person").expect("in the schema");
        let (name, sex) = (person.column_named("full_name").expect("known"), person.column_named("sex").expect("known"));
        let mut cells = RowBuilder::default();
        let mut known = [(name.id, Value::Text(Cow::Borrowed("Trần Thị Hoa"))), (sex.id, Value::Code(1))];
        known.sort_by_key(|(id, _)| *id);
        for (id, value) in &known {
            cells.push(*id, value);
        }
        cells.push(ColumnId(999), &Value::Integer(-3));
        let mut value = vec![FORMAT, 0xac, 0x02, 0x00];
        value.extend(cells.finish());
        let shown = line(Space::Rows, &keys::row(person.id, OriginId(7), Generation(1), b"p-1"), &value);
        assert!(shown.starts_with("row person \"p-1\" origin=7 generation=1 seq=300 time=1970-01-01T00:00:00Z {"), "{shown}");
        for part in ["full_name=\"Trần Thị Hoa\"", "sex=\"female\"", "#999=Integer(-3)}"] {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn a_batch_shows_its_chain_and_what_it_changes() {
        let (origin, epoch) = (OriginId(7), Epoch::first("vn", OriginId(7)));
        let changes = vec![
            Change { table: TableId(2), key: Blob(b"a".to_vec()), row: RowChange::Whole(Blob(vec![])) },
            Change {
                table: TableId(2),
                key: Blob(b"b".to_vec()),
                row: RowChange::Columns { cells: Blob(vec![]), cleared: vec![ColumnId(4)] },
            },
            Change { table: TableId(2), key: Blob(b"c".to_vec()), row: RowChange::Removed },
        ];
        let requests = vec![RequestMark { key: "r-1".into(), body_hash: Hash32::ZERO, changes: 3 }];
        let batch = Batch { origin, epoch, seq: StreamSeq(3), site_time: SiteTime(0), body: BatchBody::Rows { requests, changes } };
        let bytes = batch.encode().expect("encodes");
        let mut value = vec![FORMAT];
        value.extend([1; 32]);
        value.extend([2; 32]);
        put_varint(&mut value, 5);
        value.extend_from_slice(&bytes);
        let golden = format!(
            "batch origin=7 epoch=1 seq=3 time=1970-01-01T00:00:00Z bytes={} chain={} digest={} rows=5 whole=1 columns=1 removed=1 requests=[\"r-1\"]",
            bytes.len(),
            "01".repeat(32),
            "02".repeat(32)
        );
        assert_eq!(line(Space::Streams, &keys::stream(origin, 1, StreamSeq(3)), &value), golden);
    }

    #[test]
    fn a_cell_shows_its_cube_unit_dimensions_and_amount() {
        let cube = &population().cubes[0];
        let mut key = keys::cube_prefix(cube.id, OriginId(7), Generation(1)).to_vec();
        key.extend(12_345u32.to_be_bytes());
        cube.dimensions.iter().for_each(|_| key.extend(0u16.to_be_bytes()));
        let shown = line(Space::Cubes, &key, &db::amount_bytes(-4));
        assert!(shown.starts_with(&format!("cell {} origin=7 generation=1 area=legacy-63/12345 ", cube.name)), "{shown}");
        assert!(shown.ends_with("=absent amount=-4"), "{shown}");
        let unknown = line(Space::Cubes, &keys::cube_prefix(CubeId(999), OriginId(7), Generation(1)), &db::amount_bytes(1));
        assert!(unknown.contains("damaged (not a key of a cube's cell)"), "{unknown}");
    }

    #[test]
    fn what_stands_in_meta_is_shown_by_its_kind() {
        let put = |meta: Meta, value: Vec<u8>| line(Space::Meta, &meta.encode(), &value);
        let encoded = |value: &ParentCursor| codec::encode(value).expect("encodes");
        assert_eq!(put(Meta::Identity, codec::encode(&("vn", SiteId(7))).expect("encodes")), "identity tree=\"vn\" site=7");
        let epoch = Epoch { number: 1, id: 0xab };
        let cursor = ParentCursor { origin: OriginId(7), epoch, next: StreamSeq(9) };
        assert_eq!(put(Meta::Parent(SiteId(2), OriginId(7)), encoded(&cursor)), "parent site=2 origin=7 epoch=1-00000000000000ab next=9");
        let empty = codec::encode(&OriginState::empty(OriginId(7), epoch)).expect("encodes");
        assert!(put(Meta::Origin(OriginId(7)), empty).starts_with("origin 7 epoch=1-00000000000000ab next=1 generation=1 rows=0 "));
        assert_eq!(
            put(Meta::RequestAge(SiteTime(0), OriginId(7), "r".into()), codec::encode(&()).expect("encodes")),
            "request-age time=1970-01-01T00:00:00Z origin=7 key=\"r\""
        );
    }

    #[test]
    fn damaged_bytes_are_shown_as_they_lie_with_the_reason() {
        let key = Meta::Identity.encode();
        assert_eq!(
            line(Space::Meta, &key, &[9, 1]),
            "meta 0x02: damaged (the value has format 9, but this build reads format 1; a newer Kho wrote it: upgrade this node): 0x0901"
        );
        assert!(line(Space::Rows, &[1], &[]).starts_with("rows 0x01: damaged (not a key of a row)"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_one_line_without_a_panic(key in proptest::collection::vec(any::<u8>(), 0..40), value in proptest::collection::vec(any::<u8>(), 0..200)) {
            for space in Space::ALL {
                prop_assert!(!line(space, &key, &value).contains('\n'));
            }
        }
    }
}
