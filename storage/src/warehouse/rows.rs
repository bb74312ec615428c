//! Applying changes to rows: the old row is removed and the new one inserted, with digest, row count and cubes kept in step.

use std::{borrow::Cow, collections::HashMap};

use foldhash::quality::RandomState;

use super::{
    Warehouse,
    value::{StoredRow, decode_row_value, encode_row_value},
};
use crate::{
    db::{Db, DbValue, WriteSet},
    digest::{DigestSum, LogicalRow},
    error::StorageError,
    ids::{Generation, OriginId, SiteTime, StreamSeq, TableId},
    keys::{self, Space},
    planted::{Bug, planted},
    row::{ROW_BYTES_MAX, RowCells},
    schema::{CompiledCube, Schema},
    stream::{Change, RowChange},
};

/// Cubes by table, resolved once.
#[derive(Debug)]
pub(super) struct CompiledSchema {
    cubes: Vec<(TableId, Vec<CompiledCube>)>,
}

impl CompiledSchema {
    pub fn new(schema: &Schema) -> Self {
        let compile = |table| schema.cubes.iter().filter_map(|cube| CompiledCube::compile(cube, table, schema)).collect();
        Self { cubes: schema.tables.iter().map(|table| (table.id, compile(table))).collect() }
    }

    /// Cubes of a table; none for a table that this schema does not know.
    pub fn cubes(&self, table: TableId) -> &[CompiledCube] {
        self.cubes.iter().find(|(id, _)| *id == table).map_or(&[], |(_, cubes)| cubes)
    }
}

/// How a batch's changes meet rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replay {
    /// Streams are applied in order: the change wins.
    InOrder,
    /// Over pieces read at later states: a row that a piece brought from this batch's state or a later one stays. What the replay
    /// itself wrote gives way, for a batch may change a row more than once.
    OverPieces,
}

/// Rows, digest and cubes of one generation of one origin while a command is applied; nothing is visible before the
/// command's [`WriteSet`] is written.
pub(super) struct RowsChange<'w> {
    schema: &'w CompiledSchema,
    db: &'w Db,
    origin: OriginId,
    generation: Generation,
    pub sum: DigestSum,
    pub rows: u64,
    /// Rows as this command leaves them, by stored key.
    written: HashMap<Vec<u8>, Option<Vec<u8>>, RandomState>,
    cells: HashMap<Vec<u8>, i64, RandomState>,
    /// The key of the cell that is being counted.
    cell: Vec<u8>,
}

/// The rows that changes meet, as the database holds them: read once, to check a request and to apply it.
pub(super) struct HeldRows<'w> {
    /// Stored keys and values, by place of the change.
    rows: Vec<(Vec<u8>, Option<DbValue<'w>>)>,
}

impl<'w> HeldRows<'w> {
    /// Those of each of several requests, which bring so many changes each.
    pub fn by_request(self, changes: impl IntoIterator<Item = usize>) -> impl Iterator<Item = Self> {
        let mut rows = self.rows.into_iter();
        changes.into_iter().map(move |changes| Self { rows: rows.by_ref().take(changes).collect() })
    }
}

impl<'w> RowsChange<'w> {
    pub fn new(warehouse: &'w Warehouse, db: &'w Db, origin: OriginId, generation: Generation, sum: DigestSum, rows: u64) -> Self {
        Self {
            schema: &warehouse.compiled,
            db,
            origin,
            generation,
            sum,
            rows,
            written: HashMap::default(),
            cells: HashMap::default(),
            cell: Vec::new(),
        }
    }

    /// Reads the rows that `changes` meet.
    pub fn read<'c>(&self, changes: impl IntoIterator<Item = &'c Change>) -> Result<HeldRows<'w>, StorageError> {
        let stored_keys: Vec<Vec<u8>> =
            changes.into_iter().map(|change| keys::row(change.table, self.origin, self.generation, &change.key)).collect();
        let db = self.db;
        let values = db.values(Space::Rows, stored_keys.iter().map(Vec::as_slice))?;
        Ok(HeldRows { rows: stored_keys.into_iter().zip(values).collect() })
    }

    /// The row that the change at `place` meets now, counting what this command did before.
    pub fn met<'h>(&'h self, held: &'h HeldRows<'_>, place: usize) -> Result<Option<StoredRow<'h>>, StorageError> {
        let Some((stored_key, value)) = held.rows.get(place) else { return Ok(None) };
        let value = match self.written.get(stored_key) {
            Some(row) => row.as_deref(),
            None => value.as_deref(),
        };
        value.map(|value| decode_row_value(stored_key, value)).transpose()
    }

    /// Applies the changes of one batch.
    pub fn apply(&mut self, changes: &[Change], seq: StreamSeq, time: SiteTime, replay: Replay) -> Result<(), StorageError> {
        let held = self.read(changes)?;
        self.apply_to(held, changes, seq, time, replay)
    }

    /// Applies the changes of one batch to the rows that they meet, which were [read](Self::read) before.
    pub fn apply_to(
        &mut self,
        held: HeldRows<'_>,
        changes: &[Change],
        seq: StreamSeq,
        time: SiteTime,
        replay: Replay,
    ) -> Result<(), StorageError> {
        self.written.reserve(changes.len());
        for (change, (stored_key, held)) in changes.iter().zip(held.rows) {
            let written = self.written.get(&stored_key);
            let is_a_pieces = written.is_none() || planted(Bug::RowChangedTwiceOverPieces);
            let old = match written {
                Some(row) => row.clone(),
                None => held.map(|value| value.to_vec()),
            };
            let old = old.as_deref().map(|value| decode_row_value(&stored_key, value)).transpose()?;
            if replay == Replay::OverPieces && is_a_pieces && old.as_ref().is_some_and(|old| old.seq >= seq) {
                continue;
            }
            let cells = cells_after(&change.row, old.as_ref());
            if cells.as_ref().is_some_and(|cells| cells.len() > ROW_BYTES_MAX) {
                // The author refuses such a request. Of an author that did not, it changes nothing, here as at every other holder.
                continue;
            }
            if let Some(old) = &old {
                self.remove(change.table, &change.key, old)?;
            }
            let new = cells.as_deref().map(|cells| StoredRow { seq, time, cells });
            if let Some(new) = &new {
                self.insert(change.table, &change.key, new);
            }
            let new = new.map(|new| encode_row_value(&new));
            self.written.insert(stored_key, new);
        }
        Ok(())
    }

    /// Puts a row of a transfer's piece in place as it stands at the sender.
    pub fn place(&mut self, table: TableId, key: &[u8], row: &StoredRow<'_>) {
        self.insert(table, key, row);
        self.written.insert(keys::row(table, self.origin, self.generation, key), Some(encode_row_value(row)));
    }

    /// Moves everything into the command's write set, in key order.
    pub fn finish(self, set: &mut WriteSet) -> (DigestSum, u64) {
        let mut written: Vec<_> = self.written.into_iter().collect();
        written.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, row) in written {
            match row {
                Some(value) => set.put(Space::Rows, key, value),
                None => set.delete(Space::Rows, key),
            }
        }
        let mut cells: Vec<_> = self.cells.into_iter().filter(|(_, amount)| *amount != 0).collect();
        cells.sort_unstable();
        for (cell, amount) in cells {
            set.add(cell, amount);
        }
        (self.sum, self.rows)
    }

    fn remove(&mut self, table: TableId, key: &[u8], row: &StoredRow<'_>) -> Result<(), StorageError> {
        self.sum.subtract(&logical(self.origin, table, key, row));
        self.rows = self
            .rows
            .checked_sub(1)
            .ok_or_else(|| StorageError::damaged(format!("origin {}", self.origin), "it holds more rows than it counts"))?;
        self.count(table, row, -1);
        Ok(())
    }

    fn insert(&mut self, table: TableId, key: &[u8], row: &StoredRow<'_>) {
        self.sum.add(&logical(self.origin, table, key, row));
        self.rows += 1;
        self.count(table, row, 1);
    }

    fn count(&mut self, table: TableId, row: &StoredRow<'_>, sign: i64) {
        let cells = RowCells::trusted(row.cells);
        for cube in self.schema.cubes(table) {
            self.cell.clear();
            self.cell.extend(keys::cube_prefix(cube.id, self.origin, self.generation));
            let Some(amount) = cube.cell(&cells, &mut self.cell) else { continue };
            let amount = amount.saturating_mul(sign);
            // Rows of one commune share most of their cells.
            match self.cells.get_mut(&self.cell) {
                Some(sum) => *sum = sum.saturating_add(amount),
                None => {
                    self.cells.insert(self.cell.clone(), amount);
                }
            }
        }
    }
}

/// The row's cells after a change that meets `old`; `None` when it stands no more.
pub(super) fn cells_after<'c>(change: &'c RowChange, old: Option<&StoredRow<'_>>) -> Option<Cow<'c, [u8]>> {
    match (change, old) {
        (RowChange::Removed, _) => None,
        (RowChange::Whole(cells) | RowChange::Columns { cells, .. }, None) | (RowChange::Whole(cells), _) => {
            Some(Cow::Borrowed(&cells[..]))
        }
        (RowChange::Columns { cells, .. }, Some(_)) if planted(Bug::UnnamedColumnsCleared) => Some(Cow::Borrowed(&cells[..])),
        (RowChange::Columns { cells, cleared }, Some(old)) => {
            Some(Cow::Owned(RowCells::trusted(old.cells).merged(RowCells::trusted(cells), cleared)))
        }
    }
}

/// The row as it is hashed.
pub(super) fn logical<'a>(origin: OriginId, table: TableId, key: &'a [u8], row: &StoredRow<'a>) -> LogicalRow<'a> {
    LogicalRow { origin, table, key, cells: row.cells, seq: row.seq, time: row.time }
}
