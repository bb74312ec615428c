//! Columns that a body does not name: what happens to them, and which they are.

use kho_storage::ids::TableId;
use serde::{Deserialize, Serialize};

use super::schema::EntryTable;
use crate::api::LeftOut;

/// What happens to the columns of a row that the body does not name.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnnamedColumns {
    /// They stay as they are.
    #[default]
    Stay,
    /// They are cleared: the row is replaced whole.
    Clear,
}

impl UnnamedColumns {
    pub const ALL: [Self; 2] = [Self::Stay, Self::Clear];

    /// The name in requests and in the body hash.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stay => "stay",
            Self::Clear => "clear",
        }
    }
}

/// Which columns the rows of a body left out, by table.
#[derive(Debug, Default)]
pub(super) struct LeftOutLog {
    tables: Vec<TableLeftOut>,
}

#[derive(Debug)]
struct TableLeftOut {
    table: TableId,
    /// By place of the column.
    left_out: Vec<bool>,
    rows: u32,
}

impl LeftOutLog {
    /// Notes a row of `table` that does not name the columns at `unnamed`.
    pub fn note(&mut self, table: &EntryTable, unnamed: &[usize]) {
        if unnamed.is_empty() {
            return;
        }
        let place = self.tables.iter().position(|known| known.table == table.id).unwrap_or_else(|| {
            self.tables.push(TableLeftOut { table: table.id, left_out: vec![false; table.columns.len()], rows: 0 });
            self.tables.len() - 1
        });
        let known = &mut self.tables[place];
        known.rows = known.rows.saturating_add(1);
        unnamed.iter().for_each(|column| known.left_out[*column] = true);
    }

    /// The log with the names of `tables`.
    pub fn finish(self, tables: &[EntryTable]) -> Vec<LeftOut> {
        let named = |noted: TableLeftOut| {
            let table = tables.iter().find(|table| table.id == noted.table)?;
            let left_out = table.columns.iter().zip(noted.left_out).filter(|(_, left_out)| *left_out);
            let columns = left_out.map(|(column, _)| column.column.name.clone()).collect();
            Some(LeftOut { table: table.name.clone(), columns, rows: noted.rows })
        };
        self.tables.into_iter().filter_map(named).collect()
    }
}
