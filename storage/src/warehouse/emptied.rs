//! What changes would empty: asked before they are entered.

use std::collections::BTreeMap;

use super::read::ReadView;
use crate::{
    error::StorageError,
    ids::{ColumnId, OriginId, TableId},
    row::RowCells,
    stream::{Change, RowChange},
};

impl ReadView<'_> {
    /// Fields of an origin's rows that hold something and that `changes` would empty, counted by table and column. Rows that would be taken
    /// away are not counted, and no change sees what another one does.
    ///
    /// # Errors
    /// A fault of the local disk.
    pub fn emptied_by(&self, origin: OriginId, changes: &[Change]) -> Result<BTreeMap<(TableId, ColumnId), u64>, StorageError> {
        let mut emptied = BTreeMap::new();
        let Some(state) = self.origin(origin)? else { return Ok(emptied) };
        for change in changes {
            let is_emptied = |column: ColumnId| match &change.row {
                RowChange::Removed => false,
                RowChange::Whole(cells) => RowCells::trusted(cells).iter().all(|(named, _)| named != column),
                RowChange::Columns { cleared, .. } => cleared.contains(&column),
            };
            let Some(row) = self.row(origin, &state, change.table, &change.key)? else { continue };
            for (column, _) in RowCells::trusted(&row.cells).iter().filter(|(column, _)| is_emptied(*column)) {
                *emptied.entry((change.table, column)).or_default() += 1;
            }
        }
        Ok(emptied)
    }
}
