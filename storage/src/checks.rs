//! What can be checked of bytes from outside without any state: the author of a head, the form of a change, the form of a piece.
//! A site checks it when the bytes arrive, and again when they are applied, by these same functions.
//!
//! Not here: sizes of whole segments and pieces (the protocol's limits), the chain and the digest (they need state).

use crate::{
    command::{PieceRow, Refusal, RowPlace, TransferPiece},
    ids::{ColumnId, OriginId, SiteId, StreamSeq},
    level::Level,
    planted::{Bug, planted},
    register::VerifiedRegister,
    row::{RowCells, RowError},
    stream::{Batch, BatchBody, Change, KEY_BYTES_MAX, RowChange, Segment, SignedHead},
};

/// Why a change, or a row of a piece, does not have the form of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("a key has {bytes} bytes, 1 to {KEY_BYTES_MAX} are taken")]
    KeyLength { bytes: usize },
    #[error(transparent)]
    Cells(#[from] RowError),
    #[error("the columns that are cleared are not in ascending order, or one of them is set too")]
    Cleared,
}

/// Checks a head by the register alone: its origin is known, and its signature is by a key that the register pins for a node of
/// the origin's author.
///
/// # Errors
/// [`Refusal::UnknownOrigin`] or [`Refusal::BadSignature`]; whoever sent the head is at fault.
pub fn check_author(signed: &SignedHead, register: &VerifiedRegister) -> Result<(), Refusal> {
    let head = &signed.head;
    if register.author(head.origin).is_none() {
        return Err(Refusal::UnknownOrigin(head.origin));
    }
    let pinned = register.head_key(head.origin, signed.site, signed.node, head.epoch.number, head.seq);
    let is_good = pinned.is_some_and(|pinned| signed.verify(pinned).is_ok());
    if is_good { Ok(()) } else { Err(Refusal::BadSignature { origin: head.origin, seq: head.seq }) }
}

/// Checks by the register alone that the stream of `origin` may enter `site`.
///
/// # Errors
/// [`Refusal::UnknownOrigin`] or [`Refusal::OffPath`]. An honest sender may have an older register than this site.
pub fn check_path(origin: OriginId, site: SiteId, register: &VerifiedRegister) -> Result<(), Refusal> {
    match register.author(origin) {
        None => Err(Refusal::UnknownOrigin(origin)),
        Some(_) if register.leads_through(origin, site) || planted(Bug::PathNotChecked) => Ok(()),
        Some(_) => Err(Refusal::OffPath { origin, site }),
    }
}

/// Checks the form of a change: the length of its key, canonical cells where the row stays, and cleared columns in ascending order
/// that the cells do not hold.
///
/// # Errors
/// [`ChangeError`]; whoever made the change is at fault.
pub fn check_change(change: &Change) -> Result<(), ChangeError> {
    check_row(&change.key, change.cells().map(|cells| &cells[..]))?;
    if let RowChange::Columns { cells, cleared } = &change.row {
        let ascending = cleared.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || RowCells::trusted(cells).iter().any(|(column, _)| cleared.binary_search(&column).is_ok()) {
            return Err(ChangeError::Cleared);
        }
    }
    Ok(())
}

/// Checks that a batch names no column above `level`.
///
/// # Errors
/// [`Refusal::ColumnAboveLevel`] with the first such column.
pub fn check_batch_level(batch: &Batch, level: Level) -> Result<(), Refusal> {
    let BatchBody::Rows { changes, .. } = &batch.body else { return Ok(()) };
    changes.iter().try_for_each(|change| check_column_level(batch.origin, batch.seq, change.highest_column(), level))
}

/// As [`check_batch_level`], for every batch of a segment that this site holds.
///
/// # Errors
/// [`Refusal::ColumnAboveLevel`]; [`Refusal::Malformed`] for bytes that are not a batch.
pub fn check_segment_level(segment: &Segment, level: Level) -> Result<(), Refusal> {
    (segment.first.0..).zip(&segment.batches).try_for_each(|(seq, bytes)| {
        let malformed = |why: String| Refusal::Malformed { origin: segment.origin(), seq: StreamSeq(seq), why };
        check_batch_level(&Batch::decode(bytes).map_err(|error| malformed(error.to_string()))?, level)
    })
}

/// As [`check_batch_level`], for the rows of a piece.
///
/// # Errors
/// [`Refusal::ColumnAboveLevel`] with the first such column, and the batch that wrote its row last.
pub fn check_piece_level(piece: &TransferPiece, level: Level) -> Result<(), Refusal> {
    piece.rows.iter().try_for_each(|row| check_column_level(piece.origin, row.seq, row.highest_column(), level))
}

fn check_column_level(origin: OriginId, seq: StreamSeq, column: Option<ColumnId>, level: Level) -> Result<(), Refusal> {
    match column.filter(|column| column.level() > level) {
        Some(column) => Err(Refusal::ColumnAboveLevel { origin, seq, column, level }),
        None => Ok(()),
    }
}

/// Checks the form of a piece: its rows have the form of rows, lie inside its range in ascending order, each once, and were
/// written by no batch later than the state at which the piece was read. The range does not end before it starts.
///
/// # Errors
/// The first thing that is wrong, as a part of a sentence; whoever sent the piece is at fault.
pub fn check_piece(piece: &TransferPiece) -> Result<(), String> {
    let mut last: Option<RowPlace> = None;
    for row in &piece.rows {
        let place = RowPlace { table: row.table, key: row.key.clone() };
        if place < piece.from || piece.next.as_ref().is_some_and(|next| place >= *next) {
            return Err(format!("a row of table {} lies outside the piece's range", row.table));
        }
        if last.as_ref().is_some_and(|last| *last >= place) {
            return Err(format!("the rows of table {} are not in ascending order", row.table));
        }
        check_piece_row(piece, row)?;
        last = Some(place);
    }
    // Otherwise a sender could keep a transfer going round for ever.
    if piece.next.as_ref().is_some_and(|next| *next <= piece.from) {
        return Err("the next range does not lie behind this one".into());
    }
    Ok(())
}

fn check_piece_row(piece: &TransferPiece, row: &PieceRow) -> Result<(), String> {
    check_row(&row.key, Some(&row.cells)).map_err(|e| e.to_string())?;
    if row.seq > piece.read_at {
        return Err(format!("a row of batch {} was read at {}", row.seq, piece.read_at));
    }
    Ok(())
}

fn check_row(key: &[u8], cells: Option<&[u8]>) -> Result<(), ChangeError> {
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
        return Err(ChangeError::KeyLength { bytes: key.len() });
    }
    if let Some(cells) = cells {
        RowCells::check(cells)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::TableId, row::RowBuilder, schema::Value};

    fn change(key: usize, row: RowChange) -> Change {
        Change { table: TableId(1), key: vec![b'k'; key].into(), row }
    }

    #[test]
    fn a_change_needs_a_key_within_the_bound_and_canonical_cells() {
        assert_eq!(check_change(&change(KEY_BYTES_MAX, RowChange::Whole(vec![].into()))), Ok(()));
        assert_eq!(check_change(&change(1, RowChange::Removed)), Ok(()));
        for bytes in [0, KEY_BYTES_MAX + 1] {
            assert_eq!(check_change(&change(bytes, RowChange::Removed)), Err(ChangeError::KeyLength { bytes }));
        }
        let broken = || vec![0xff].into();
        for row in [RowChange::Whole(broken()), RowChange::Columns { cells: broken(), cleared: vec![] }] {
            assert!(matches!(check_change(&change(1, row)), Err(ChangeError::Cells(_))));
        }
    }

    #[test]
    fn a_column_is_cleared_once_and_not_set_too() {
        let mut cells = RowBuilder::default();
        cells.push(ColumnId(2), &Value::Code(1));
        let cells = cells.finish();
        let clearing = |columns: &[u16]| {
            let cleared = columns.iter().map(|column| ColumnId(*column)).collect();
            check_change(&change(1, RowChange::Columns { cells: cells.clone().into(), cleared }))
        };
        assert_eq!([clearing(&[]), clearing(&[1]), clearing(&[1, 3, 700])], [Ok(()), Ok(()), Ok(())]);
        for columns in [&[3, 1][..], &[3, 3], &[2], &[1, 2, 3]] {
            assert_eq!(clearing(columns), Err(ChangeError::Cleared), "{columns:?}");
        }
    }

    #[test]
    fn the_first_range_starts_before_every_row() {
        assert!(RowPlace::default() < RowPlace { table: TableId(0), key: vec![0].into() });
    }
}
