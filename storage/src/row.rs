//! A row's cells as bytes: the canonical form that is hashed, stored and sent, always the same bytes.
//!
//! ```text
//! cells := cell*                      ascending column numbers, each at most once
//! cell  := varint(column << 3 | form) body
//! form  := 0 text (varint length, UTF-8) | 1 integer (zigzag varint) | 2 date (varint year<<9 | month<<5 | day)
//!        | 3 code (varint) | 4 flags (varint) | 5 area (varint)
//! ```
//! Absent columns are not written. A column that a local schema does not know is carried and hashed like any other.

use std::borrow::Cow;

use crate::{
    codec::{put_varint, take_varint, unzigzag, zigzag},
    ids::ColumnId,
    schema::{PartialDate, Value},
};

/// The longest cells of one row. A row is small: long texts have no place in a population warehouse.
pub const ROW_BYTES_MAX: usize = 16 << 10;

/// Why bytes are not a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bytes at {at} are not a cell of a row: {why}")]
pub struct RowError {
    at: usize,
    why: &'static str,
}

/// Builds the canonical bytes of a row. Cells are given in ascending order of their column numbers.
#[derive(Debug, Default)]
pub struct RowBuilder {
    bytes: Vec<u8>,
    last: Option<ColumnId>,
}

impl RowBuilder {
    /// Adds a cell.
    ///
    /// # Panics
    /// When `column` does not come after the one before it: the caller sorts.
    pub fn push(&mut self, column: ColumnId, value: &Value<'_>) {
        assert!(self.last < Some(column), "cells are pushed in ascending column order");
        self.last = Some(column);
        let tag = |form: u64| u64::from(column.0) << 3 | form;
        match value {
            Value::Text(text) => {
                put_varint(&mut self.bytes, tag(0));
                put_varint(&mut self.bytes, text.len() as u64);
                self.bytes.extend_from_slice(text.as_bytes());
            }
            Value::Integer(number) => self.push_number(tag(1), zigzag(*number)),
            Value::Date(date) => self.push_number(tag(2), date.pack()),
            Value::Code(code) => self.push_number(tag(3), u64::from(*code)),
            Value::Flags(bits) => self.push_number(tag(4), *bits),
            Value::Area(code) => self.push_number(tag(5), u64::from(*code)),
        }
    }

    fn push_number(&mut self, tag: u64, number: u64) {
        put_varint(&mut self.bytes, tag);
        put_varint(&mut self.bytes, number);
    }

    /// The cells' bytes.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// The cells of a row, read where they lie.
#[derive(Debug, Clone, Copy)]
pub struct RowCells<'a>(&'a [u8]);

impl<'a> RowCells<'a> {
    /// Checks that `bytes` are canonical cells. Needed once for bytes from outside; what storage holds was checked.
    ///
    /// # Errors
    /// [`RowError`] with the place; the author of the bytes is at fault.
    pub fn check(bytes: &'a [u8]) -> Result<Self, RowError> {
        let refused = |rest: &[u8], why| RowError { at: bytes.len() - rest.len(), why };
        if bytes.len() > ROW_BYTES_MAX {
            return Err(RowError { at: ROW_BYTES_MAX, why: "the row is longer than any row may be" });
        }
        let mut rest = bytes;
        let mut last = None;
        while !rest.is_empty() {
            let before = rest;
            let (column, _) = take_cell(&mut rest).ok_or_else(|| refused(before, "cut short or of an unknown form"))?;
            if last >= Some(column) {
                return Err(refused(before, "columns are not in ascending order"));
            }
            last = Some(column);
        }
        Ok(Self(bytes))
    }

    /// Takes bytes that were checked when they came in.
    pub fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Cells in column order; ends at the first byte that does not start a cell.
    pub fn iter(&self) -> impl Iterator<Item = (ColumnId, Value<'a>)> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || if rest.is_empty() { None } else { take_cell(&mut rest) })
    }

    /// The row's bytes after the cells of `set` were put in the place of its own and those of `cleared` (ascending) taken out.
    pub fn merged(&self, set: RowCells<'_>, cleared: &[ColumnId]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() + set.0.len());
        let mut set = set.raw().peekable();
        for (column, cell) in self.raw() {
            while let Some((_, cell)) = set.next_if(|(at, _)| *at < column) {
                bytes.extend_from_slice(cell);
            }
            match set.next_if(|(at, _)| *at == column) {
                Some((_, cell)) => bytes.extend_from_slice(cell),
                None if cleared.binary_search(&column).is_ok() => {}
                None => bytes.extend_from_slice(cell),
            }
        }
        set.for_each(|(_, cell)| bytes.extend_from_slice(cell));
        bytes
    }

    /// The column with the highest number that the row has.
    pub fn highest_column(&self) -> Option<ColumnId> {
        self.raw().map(|(column, _)| column).max()
    }

    /// Columns and the whole bytes of their cells, in column order.
    fn raw(&self) -> impl Iterator<Item = (ColumnId, &'a [u8])> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let before = rest;
            let (column, _) = take_raw(&mut rest)?;
            Some((column, &before[..before.len() - rest.len()]))
        })
    }

    /// The value of `column`, if the row has it. Cells before it are passed over unread: counting a row in cubes asks for
    /// a few short columns of many.
    pub fn value(&self, column: ColumnId) -> Option<Value<'a>> {
        let mut rest = self.0;
        while !rest.is_empty() {
            let (at, cell) = take_raw(&mut rest)?;
            if at >= column {
                return if at == column { cell.value() } else { None };
            }
        }
        None
    }
}

/// A cell whose content is not decoded yet.
struct RawCell<'a> {
    form: u64,
    number: u64,
    text: &'a [u8],
}

fn take_raw<'a>(rest: &mut &'a [u8]) -> Option<(ColumnId, RawCell<'a>)> {
    let tag = take_varint(rest)?;
    let number = take_varint(rest)?;
    let mut text: &[u8] = &[];
    if tag & 7 == 0 {
        let length = usize::try_from(number).ok().filter(|length| *length <= rest.len())?;
        (text, *rest) = rest.split_at(length);
    }
    Some((ColumnId(u16::try_from(tag >> 3).ok()?), RawCell { form: tag & 7, number, text }))
}

fn take_cell<'a>(rest: &mut &'a [u8]) -> Option<(ColumnId, Value<'a>)> {
    let (column, cell) = take_raw(rest)?;
    Some((column, cell.value()?))
}

impl<'a> RawCell<'a> {
    fn value(self) -> Option<Value<'a>> {
        Some(match self.form {
            0 => Value::Text(Cow::Borrowed(std::str::from_utf8(self.text).ok()?)),
            1 => Value::Integer(unzigzag(self.number)),
            2 => Value::Date(PartialDate::unpack(self.number)?),
            3 => Value::Code(u32::try_from(self.number).ok()?),
            4 => Value::Flags(self.number),
            5 => Value::Area(u32::try_from(self.number).ok()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value<'static>> {
        prop_oneof![
            "[a-zàáạãảđêếệ ]{0,20}".prop_map(|t| Value::Text(Cow::Owned(t))),
            any::<i64>().prop_map(Value::Integer),
            (1800u16..2200, 0u8..=12, 0u8..=31).prop_map(|(year, month, day)| Value::Date(PartialDate { year, month, day })),
            any::<u32>().prop_map(Value::Code),
            any::<u64>().prop_map(Value::Flags),
            any::<u32>().prop_map(Value::Area),
        ]
    }

    proptest! {
        #[test]
        fn cells_survive_their_bytes(cells in proptest::collection::btree_map(0u16..600, values(), 0..12)) {
            let mut builder = RowBuilder::default();
            for (column, value) in &cells {
                builder.push(ColumnId(*column), value);
            }
            let bytes = builder.finish();
            let row = RowCells::check(&bytes).unwrap();
            let read: Vec<_> = row.iter().map(|(column, value)| (column.0, value)).collect();
            prop_assert_eq!(read, cells.clone().into_iter().collect::<Vec<_>>());
            for (column, value) in cells {
                prop_assert_eq!(row.value(ColumnId(column)), Some(value));
            }
        }

        #[test]
        fn columns_that_are_not_named_stay_and_the_merged_row_is_canonical(
            held in proptest::collection::btree_map(0u16..20, values(), 0..12),
            set in proptest::collection::btree_map(0u16..20, values(), 0..6),
            cleared in proptest::collection::btree_set(0u16..20, 0..6),
        ) {
            let bytes_of = |cells: &std::collections::BTreeMap<u16, Value<'static>>| {
                let mut builder = RowBuilder::default();
                cells.iter().for_each(|(column, value)| builder.push(ColumnId(*column), value));
                builder.finish()
            };
            let cleared: Vec<u16> = cleared.into_iter().filter(|column| !set.contains_key(column)).collect();
            let mut wanted = held.clone();
            wanted.retain(|column, _| !cleared.contains(column));
            wanted.extend(set.clone());
            let (held, set) = (bytes_of(&held), bytes_of(&set));
            let cleared: Vec<ColumnId> = cleared.into_iter().map(ColumnId).collect();
            prop_assert_eq!(RowCells::trusted(&held).merged(RowCells::trusted(&set), &cleared), bytes_of(&wanted));
        }

        #[test]
        fn any_bytes_are_a_row_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(row) = RowCells::check(&bytes) {
                let mut builder = RowBuilder::default();
                for (column, value) in row.iter() {
                    builder.push(column, &value);
                }
                prop_assert_eq!(builder.finish(), bytes, "one row has one form");
            }
        }
    }
}
