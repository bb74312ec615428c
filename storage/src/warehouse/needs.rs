//! What a request asks of the rows that its changes meet. It is refused whole where a row does not give it.
//!
//! Invariant: no change leaves a row that lacks a required column, that contradicts itself or that is longer than any row may be
//! (tests `promise_10_a_new_row_needs_every_required_column_and_a_row_that_stands_does_not`,
//! `promise_10_a_column_that_stays_and_does_not_fit_what_is_set_refuses_the_request`).

use super::{
    rows::{HeldRows, RowsChange, cells_after},
    value::StoredRow,
};
use crate::{
    command::{RowNeed, RowRefusal, WriteOutcome, WriteRequest},
    error::StorageError,
    planted::{Bug, planted},
    row::{ROW_BYTES_MAX, RowCells},
    stream::{Change, RowChange},
};

/// The refusal of the request by the first change that does not fit the row that it meets.
pub(super) fn unmet_need(rows: &RowsChange<'_>, held: &HeldRows<'_>, request: &WriteRequest) -> Result<Option<WriteOutcome>, StorageError> {
    let mut needs = request.needs.iter().peekable();
    for (index, (place, change)) in (0u32..).zip(request.changes.iter().enumerate()) {
        let need = needs.next_if(|need| need.change == index);
        if matches!(change.row, RowChange::Whole(_)) {
            continue;
        }
        let refused = match rows.met(held, place)? {
            None => without_row(change, need),
            Some(old) => with_row(change, need, &old),
        };
        if let Some(why) = refused {
            return Ok(Some(WriteOutcome::RowRefused { index, why }));
        }
    }
    Ok(None)
}

fn without_row(change: &Change, need: Option<&RowNeed>) -> Option<RowRefusal> {
    match (&change.row, need) {
        (RowChange::Removed, _) => Some(RowRefusal::Missing),
        (_, Some(need)) if !need.required.is_empty() && !planted(Bug::NewRowNotChecked) => {
            Some(RowRefusal::Incomplete { table: change.table, columns: need.required.clone() })
        }
        _ => None,
    }
}

fn with_row(change: &Change, need: Option<&RowNeed>, old: &StoredRow<'_>) -> Option<RowRefusal> {
    let stands = RowCells::trusted(old.cells);
    if let Some(column) = need.and_then(|need| need.excluded.iter().find(|column| stands.value(**column).is_some())) {
        return Some(RowRefusal::ColumnExcluded { table: change.table, column: *column });
    }
    // The sum of both bounds the merged row, so that it is seldom made for its length alone.
    let brought = change.cells().map_or(0, |cells| cells.len());
    if old.cells.len() + brought <= ROW_BYTES_MAX {
        return None;
    }
    let bytes = cells_after(&change.row, Some(old)).map_or(0, |cells| cells.len());
    (bytes > ROW_BYTES_MAX).then(|| RowRefusal::TooLong { bytes: u32::try_from(bytes).unwrap_or(u32::MAX) })
}
