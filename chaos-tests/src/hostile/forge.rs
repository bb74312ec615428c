//! The forgeries: honest segments and pieces go in, forged ones come out. There is no link and no disk here.
//!
//! Every forgery is well formed, canonical, and numbered and sized as it should be, unless that is what is forged. So the check that
//! refuses it must be the one at which the attack is aimed.

use std::borrow::Cow;

use anyhow::{Context as _, ensure};
use kho_storage::{
    codec::Blob,
    command::{PieceRow, TransferPiece},
    ids::{ColumnId, NodeId, SiteId, SiteTime, StreamSeq},
    row::{RowBuilder, RowCells},
    schema::Value,
    signature::SigningKey,
    stream::{Batch, BatchBody, Change, RowChange, Segment, SignedHead, chain_next},
};

/// The text that forged rows have in place of the honest one.
const FORGED_TEXT: &str = "Nguyễn Văn Giả";
/// Exists from the level of tests on.
const LATER_COLUMN: ColumnId = ColumnId(1_024);

/// Gives the first person of the first batch another name.
///
/// # Errors
/// When the batch puts no row with a text.
pub fn edit_first_row(segment: &mut Segment) -> anyhow::Result<()> {
    change_batch(segment, 0, |changes| {
        let row = changes.iter_mut().find_map(cells_mut).context("the batch puts no row")?;
        *row = other_cells(row)?;
        Ok(())
    })
}

/// Fills a column of the level of tests in the first row of the first batch.
///
/// # Errors
/// When the batch puts no row.
pub fn add_later_column(segment: &mut Segment) -> anyhow::Result<()> {
    change_batch(segment, 0, |changes| {
        let cells = changes.iter_mut().find_map(cells_mut).context("the batch puts no row")?;
        let mut forged = RowBuilder::default();
        RowCells::check(cells)?.iter().for_each(|(column, value)| forged.push(column, &value));
        forged.push(LATER_COLUMN, &Value::Text(Cow::Borrowed(FORGED_TEXT)));
        *cells = Blob(forged.finish());
        Ok(())
    })
}

/// Takes the last change out of a batch in the middle.
///
/// # Errors
/// When that batch can't be read.
pub fn cut_row(segment: &mut Segment) -> anyhow::Result<()> {
    let middle = segment.batches.len() / 2;
    change_batch(segment, middle, |changes| changes.pop().map(drop).context("the batch changes nothing"))
}

/// Adds a person that nobody entered to the first batch.
///
/// # Errors
/// When the batch puts no row.
pub fn add_row(segment: &mut Segment) -> anyhow::Result<()> {
    change_batch(segment, 0, |changes| {
        let like = changes.iter().find(|change| change.cells().is_some()).cloned().context("the batch puts no row")?;
        changes.push(Change { key: longer_key(&like.key), ..like });
        Ok(())
    })
}

/// Puts the first two batches in each other's place; with `renumbered`, each under the number of its new place.
///
/// # Errors
/// When they can't be read.
pub fn swap_batches(segment: &mut Segment, renumbered: bool) -> anyhow::Result<()> {
    segment.batches.swap(0, 1);
    if renumbered {
        for (place, bytes) in segment.batches.iter_mut().take(2).enumerate() {
            let mut batch = Batch::decode(bytes)?;
            batch.seq = StreamSeq(segment.first.0 + place as u64);
            *bytes = batch.encode()?;
        }
    }
    Ok(())
}

/// Leaves out the batch in the middle.
pub fn leave_out_batch(segment: &mut Segment) {
    segment.batches.remove(segment.batches.len() / 2);
}

/// Leaves out the first batch, and numbers the segment accordingly.
pub fn skip_batch(segment: &mut Segment) {
    segment.batches.remove(0);
    segment.first = segment.first.next();
}

/// Adds a batch behind the newest one and claims a head over it.
///
/// # Errors
/// When the last batch can't be read.
pub fn invent_batch(segment: &mut Segment) -> anyhow::Result<()> {
    let last = segment.batches.last().context("the segment has no batch")?;
    let mut invented = Batch::decode(last)?;
    invented.seq = invented.seq.next();
    if let BatchBody::Rows { requests, .. } = &mut invented.body {
        requests.clear();
    }
    let bytes = invented.encode()?;
    let head = &mut segment.head.head;
    (head.seq, head.chain) = (invented.seq, chain_next(head.chain, &bytes));
    segment.batches.push(bytes);
    Ok(())
}

/// Signs the head anew as `node` of `site`, over the chain to which the segment's batches really lead from `before` on.
///
/// # Errors
/// When the key can't sign.
pub fn sign_anew(
    segment: &mut Segment,
    before: kho_storage::ids::Hash32,
    site: SiteId,
    node: NodeId,
    key: &SigningKey,
) -> anyhow::Result<()> {
    let mut head = segment.head.head.clone();
    head.chain = segment.batches.iter().fold(before, |chain, batch| chain_next(chain, batch));
    segment.head = SignedHead::sign(head, site, node, key)?;
    Ok(())
}

/// Calls the segment's stream another epoch, in its head and in every batch.
///
/// # Errors
/// When a batch can't be read.
pub fn claim_other_epoch(segment: &mut Segment) -> anyhow::Result<()> {
    segment.head.head.epoch.id ^= 1;
    for bytes in &mut segment.batches {
        let mut batch = Batch::decode(bytes)?;
        batch.epoch = segment.head.head.epoch;
        *bytes = batch.encode()?;
    }
    Ok(())
}

/// Gives the first row that `chosen` accepts another name. Whether there was one.
///
/// # Errors
/// When the row has no text.
pub fn edit_piece_row(piece: &mut TransferPiece, chosen: impl Fn(&PieceRow) -> bool) -> anyhow::Result<bool> {
    match piece.rows.iter_mut().find(|row| chosen(row)) {
        None => Ok(false),
        Some(row) => {
            row.cells = other_cells(&row.cells)?;
            Ok(true)
        }
    }
}

/// Adds a row behind the last one of a piece that ends its origin.
///
/// # Errors
/// When the piece holds no row.
pub fn add_piece_row(piece: &mut TransferPiece) -> anyhow::Result<()> {
    let like = piece.rows.last().cloned().context("the piece holds no row")?;
    piece.rows.push(PieceRow { key: longer_key(&like.key), time: SiteTime(like.time.0 + 1), ..like });
    Ok(())
}

fn change_batch(segment: &mut Segment, place: usize, change: impl FnOnce(&mut Vec<Change>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let bytes = &mut segment.batches[place];
    let mut batch = Batch::decode(bytes)?;
    let BatchBody::Rows { changes, .. } = &mut batch.body else { anyhow::bail!("batch {} opens an epoch", batch.seq) };
    change(changes)?;
    *bytes = batch.encode()?;
    Ok(())
}

/// The same cells with another text in the column that holds the longest one.
fn other_cells(cells: &Blob) -> anyhow::Result<Blob> {
    let row = RowCells::check(cells)?;
    let text_bytes = |value: &Value<'_>| if let Value::Text(text) = value { text.len() } else { 0 };
    let longest: ColumnId = row.iter().max_by_key(|(_, value)| text_bytes(value)).context("the row is empty")?.0;
    let mut forged = RowBuilder::default();
    for (column, value) in row.iter() {
        let value = if column == longest { Value::Text(Cow::Borrowed(FORGED_TEXT)) } else { value };
        forged.push(column, &value);
    }
    let forged = Blob(forged.finish());
    ensure!(forged != *cells, "the row already has the forged text");
    Ok(forged)
}

/// The cells that a change brings.
fn cells_mut(change: &mut Change) -> Option<&mut Blob> {
    match &mut change.row {
        RowChange::Whole(cells) | RowChange::Columns { cells, .. } => Some(cells),
        RowChange::Removed => None,
    }
}

fn longer_key(key: &Blob) -> Blob {
    let mut longer = key.0.clone();
    longer.push(b'x');
    Blob(longer)
}

#[cfg(test)]
mod tests {
    use kho_storage::{
        ids::{Epoch, Hash32, OriginId, TableId},
        signature::{Signature, SignatureAlgorithm},
        stream::Head,
    };

    use super::*;

    fn segment() -> Segment {
        let (origin, epoch) = (OriginId(3), Epoch::first("test", OriginId(3)));
        let batch = |seq: u64| {
            let mut cells = RowBuilder::default();
            cells.push(ColumnId(1), &Value::Text(Cow::Borrowed("Trần Thị Hoa")));
            let change = |key: u8| Change { table: TableId(2), key: Blob(vec![key, seq as u8]), row: RowChange::Whole(Blob(Vec::new())) };
            let mut changes = vec![change(1), change(2)];
            changes[0].row = RowChange::Whole(Blob(cells.finish()));
            Batch { origin, epoch, seq: StreamSeq(seq), site_time: SiteTime(9), body: BatchBody::Rows { requests: vec![], changes } }
                .encode()
                .expect("encodes")
        };
        let head = Head { origin, epoch, seq: StreamSeq(6), chain: Hash32::ZERO, digest: Hash32::ZERO, rows: 2, site_time: SiteTime(9) };
        let signature = Signature { algorithm: SignatureAlgorithm::Ed25519, bytes: vec![1; 64] };
        Segment {
            first: StreamSeq(4),
            batches: (4..=6).map(batch).collect(),
            head: SignedHead { head, site: SiteId(3), node: NodeId(1), signature },
        }
    }

    #[test]
    fn a_forgery_is_well_formed_in_everything_but_what_is_forged() {
        let forgeries: [fn(&mut Segment) -> anyhow::Result<()>; 7] =
            [edit_first_row, cut_row, add_row, add_later_column, |s| swap_batches(s, true), invent_batch, claim_other_epoch];
        for forge in forgeries {
            let mut forged = segment();
            forge(&mut forged).expect("forged");
            assert_ne!(forged, segment());
            assert_eq!(forged.first.0 + forged.batches.len() as u64, forged.head.head.seq.next().0, "the numbers fit");
            for (place, bytes) in forged.batches.iter().enumerate() {
                let batch = Batch::decode(bytes).expect("it can be read");
                assert_eq!((batch.seq.0, batch.epoch), (forged.first.0 + place as u64, forged.head.head.epoch));
                let BatchBody::Rows { changes, .. } = batch.body else { panic!("rows") };
                assert!(changes.iter().filter_map(Change::cells).all(|cells| RowCells::check(cells).is_ok()), "every row is canonical");
            }
        }
    }
}
