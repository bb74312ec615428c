//! The batch under way: changes so far, keys met, findings.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use kho_messages::Ordinal;
use kho_storage::{
    command::RowNeed,
    ids::{Hash32, TableId},
    stream::{Change, RowChange},
};

use super::{
    area::{AreaJudge, EntryScope},
    fault::RowFault,
    limits::EntryLimits,
    refusal::{ErrorLog, Place, RowLog, Stopped, cut},
    row::{DraftedPut, DraftedRow, RowDraft},
    schema::{EntrySchema, EntryTable},
    unnamed::{LeftOutLog, UnnamedColumns},
};
use crate::api::LeftOut;

/// What a row takes in memory beside its bytes: the change, its place, and its key among those that were met.
const ROW_MEMORY_BYTES: usize = 256;

/// A whole body, checked: what a write request is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBatch {
    /// In the order of the body; no two of the same table and key.
    pub changes: Vec<Change>,
    /// What some of the changes ask of the rows that they meet.
    pub needs: Vec<RowNeed>,
    /// Where each change stands in the body.
    pub places: Vec<BodyPlace>,
    pub left_out: Vec<LeftOut>,
    /// BLAKE3 over format, table, what happens to unnamed columns, and decompressed body: a retry compressed otherwise is still the
    /// same request.
    pub body_hash: Hash32,
    /// Rows put and taken away; as many as `changes`.
    pub rows: u32,
}

/// Where a row stands in the body, as findings say it; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPlace {
    /// NDJSON: the line. CSV: the data record.
    pub row: u32,
    /// Line of the decompressed body at which the row starts.
    pub line: u32,
}

/// Gathers rows until the body ends.
pub(super) struct BatchDraft {
    pub log: ErrorLog,
    pub unnamed: UnnamedColumns,
    schema: Arc<EntrySchema>,
    judge: AreaJudge,
    limits: EntryLimits,
    changes: Vec<Change>,
    needs: Vec<RowNeed>,
    places: Vec<BodyPlace>,
    left_out: LeftOutLog,
    bytes: usize,
    rows: u64,
    /// Row at which each key was met first, also of rows that were refused.
    keys: HashMap<(TableId, Vec<u8>), u64>,
}

impl BatchDraft {
    pub fn new(schema: Arc<EntrySchema>, scope: EntryScope, unnamed: UnnamedColumns, limits: EntryLimits) -> Self {
        Self {
            log: ErrorLog::new(limits.errors_max),
            unnamed,
            schema,
            judge: AreaJudge::new(scope),
            limits,
            changes: Vec::new(),
            needs: Vec::new(),
            places: Vec::new(),
            left_out: LeftOutLog::default(),
            bytes: 0,
            rows: 0,
            keys: HashMap::new(),
        }
    }

    /// Rows met so far, good or not.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Roughly what was gathered takes in memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + self.keys.len() * ROW_MEMORY_BYTES
    }

    /// Everything that was gathered; `body_hash` is the body's.
    pub fn finish(self, body_hash: Hash32) -> CheckedBatch {
        let Self { schema, changes, needs, places, left_out, .. } = self;
        let rows = u32::try_from(changes.len()).unwrap_or(u32::MAX);
        CheckedBatch { changes, needs, places, left_out: left_out.finish(&schema.tables), body_hash, rows }
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
        let mut draft = RowDraft::new(&schema.schema, table, self.unnamed);
        fill(&mut draft, &mut log);
        match draft.finish(&mut self.judge, &self.limits, &mut log) {
            DraftedRow { key: Some(key), put } => {
                if self.meet_key(table, &key, place)
                    && let Some(DraftedPut { row, unnamed, required, excluded }) = put
                {
                    self.left_out.note(table, &unnamed);
                    if !required.is_empty() || !excluded.is_empty() {
                        let need = RowNeed { change: u32::try_from(self.changes.len()).unwrap_or(u32::MAX), required, excluded };
                        self.bytes += need.bytes();
                        self.needs.push(need);
                    }
                    return self.add(Change { table: table.id, key: key.into(), row }, place);
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
            Some(key) if self.meet_key(table, &key, place) => {
                self.add(Change { table: table.id, key: key.into(), row: RowChange::Removed }, place)
            }
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
        let number = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(u32::MAX);
        self.places.push(BodyPlace { row: number(place.row), line: number(place.line) });
        Ok(())
    }
}
