//! The batch under way: changes so far, keys met, findings.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use kho_messages::Ordinal;
use kho_storage::{
    ids::{Hash32, TableId},
    stream::Change,
};

use super::{
    area::{AreaJudge, EntryScope},
    fault::RowFault,
    limits::EntryLimits,
    refusal::{ErrorLog, Place, RowLog, Stopped, cut},
    row::{DraftedRow, RowDraft},
    schema::{EntrySchema, EntryTable},
};

/// A whole body, checked: what a write request is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBatch {
    /// In the order of the body; no two of the same table and key.
    pub changes: Vec<Change>,
    /// BLAKE3 over format, table and decompressed body: a retry compressed otherwise is still the same request.
    pub body_hash: Hash32,
    /// Rows put and taken away; as many as `changes`.
    pub rows: u32,
}

/// Gathers rows until the body ends.
pub(super) struct BatchDraft {
    pub log: ErrorLog,
    schema: Arc<EntrySchema>,
    judge: AreaJudge,
    limits: EntryLimits,
    changes: Vec<Change>,
    bytes: usize,
    rows: u64,
    /// Row at which each key was met first, also of rows that were refused.
    keys: HashMap<(TableId, Vec<u8>), u64>,
}

impl BatchDraft {
    pub fn new(schema: Arc<EntrySchema>, scope: EntryScope, limits: EntryLimits) -> Self {
        Self {
            log: ErrorLog::new(limits.errors_max),
            schema,
            judge: AreaJudge::new(scope),
            limits,
            changes: Vec::new(),
            bytes: 0,
            rows: 0,
            keys: HashMap::new(),
        }
    }

    /// Rows met so far, good or not.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn changes(self) -> Vec<Change> {
        self.changes
    }

    /// Another row begins.
    ///
    /// # Errors
    /// `too_many_rows`: there may be no other.
    pub fn begin_row(&mut self, place: Place) -> Result<(), Stopped> {
        self.rows += 1;
        if self.rows > self.limits.rows_max {
            return Err(self.log.stop(place, None, RowFault::TooManyRows { rows_max: self.limits.rows_max }));
        }
        Ok(())
    }

    /// Puts the row whose cells `fill` gives.
    pub fn put<'a>(
        &mut self,
        table: &EntryTable,
        place: Place,
        fill: impl FnOnce(&mut RowDraft<'_, 'a>, &mut RowLog<'_>),
    ) -> Result<(), Stopped> {
        let schema = Arc::clone(&self.schema);
        let mut log = RowLog::new(&mut self.log, place);
        let mut draft = RowDraft::new(&schema.schema, table);
        fill(&mut draft, &mut log);
        match draft.finish(&mut self.judge, &self.limits, &mut log) {
            DraftedRow { key: Some(key), cells } => {
                if self.meet_key(table, &key, place)
                    && let Some(cells) = cells
                {
                    return self.add(Change { table: table.id, key: key.into(), cells: Some(cells.into()) }, place);
                }
                Ok(())
            }
            DraftedRow { key: None, .. } => Ok(()),
        }
    }

    /// Takes the row of key `text` away. No area is checked: see the module's header.
    pub fn delete(&mut self, table: &EntryTable, text: Cow<'_, str>, place: Place) -> Result<(), Stopped> {
        let schema = Arc::clone(&self.schema);
        let mut log = RowLog::new(&mut self.log, place);
        match RowDraft::key_alone(&schema.schema, table, text, &self.limits, &mut log) {
            Some(key) if self.meet_key(table, &key, place) => self.add(Change { table: table.id, key: key.into(), cells: None }, place),
            _ => Ok(()),
        }
    }

    /// Notes the key; whether it is met for the first time.
    fn meet_key(&mut self, table: &EntryTable, key: &[u8], place: Place) -> bool {
        match self.keys.entry((table.id, key.to_vec())) {
            Entry::Vacant(entry) => {
                entry.insert(place.row.unwrap_or(0));
                true
            }
            Entry::Occupied(entry) => {
                let (first, again) = (Ordinal(*entry.get()), Ordinal(place.row.unwrap_or(0)));
                let fault = RowFault::DuplicateKey { first, again, given: cut(&String::from_utf8_lossy(key)), table: table.name.clone() };
                self.log.add(place, Some(&table.key_column().column.name), fault);
                false
            }
        }
    }

    fn add(&mut self, change: Change, place: Place) -> Result<(), Stopped> {
        self.bytes += change.bytes();
        if self.bytes > self.limits.batch_bytes_max {
            return Err(self.log.stop(place, None, RowFault::BatchTooLong { bytes_max: self.limits.batch_bytes_max }));
        }
        self.changes.push(change);
        Ok(())
    }
}
