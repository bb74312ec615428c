//! One row: cells come in by column, a key and canonical cells come out, or findings.

use std::borrow::Cow;

use kho_storage::{
    ids::ColumnId,
    row::RowBuilder,
    schema::{Column, ColumnKind, Schema, Value},
    stream::RowChange,
};

use super::{
    area::{AreaJudge, AreaVerdict},
    fault::RowFault,
    limits::EntryLimits,
    refusal::{RowLog, cut},
    schema::{AreaColumn, EntryTable},
    unnamed::UnnamedColumns,
};

/// What is known of a column in the row under way.
#[derive(Debug)]
enum Slot<'a> {
    /// Not met yet; once the row is complete: not named.
    Unset,
    /// Met, and empty.
    Absent,
    /// Met, and refused: no further finding may rest on it.
    Refused,
    Value(Value<'a>),
}

/// A row under way.
pub(super) struct RowDraft<'t, 'a> {
    schema: &'t Schema,
    table: &'t EntryTable,
    unnamed: UnnamedColumns,
    slots: Vec<Slot<'a>>,
}

/// What a row came to. The key is known even when the row is refused for something else.
#[derive(Debug, Default)]
pub(super) struct DraftedRow {
    pub key: Option<Vec<u8>>,
    /// `None` when anything was refused.
    pub put: Option<DraftedPut>,
}

/// A row to put.
#[derive(Debug)]
pub(super) struct DraftedPut {
    /// Canonical cells, the key column among them, of the whole row or of the columns that are named.
    pub row: RowChange,
    /// Places of the columns that are not named.
    pub unnamed: Vec<usize>,
    /// As in [`RowNeed`](kho_storage::command::RowNeed).
    pub required: Vec<ColumnId>,
    pub excluded: Vec<ColumnId>,
}

impl<'t, 'a> RowDraft<'t, 'a> {
    pub fn new(schema: &'t Schema, table: &'t EntryTable, unnamed: UnnamedColumns) -> Self {
        let slots = table.columns.iter().map(|_| Slot::Unset).collect();
        Self { schema, table, unnamed, slots }
    }

    /// The column at `at` holds `text`; empty is absent.
    pub fn fill(&mut self, at: usize, text: Cow<'a, str>, log: &mut RowLog<'_>) {
        let slot = if text.is_empty() {
            Slot::Absent
        } else {
            match self.table.columns[at].parse(self.schema, text) {
                // No flag at all is the same row as an absent column, so it gets the same bytes.
                Ok(Value::Flags(0)) => Slot::Absent,
                Ok(value) => Slot::Value(value),
                Err(error) => {
                    log.add(Some(self.name(at)), RowFault::of_value(self.schema, error));
                    Slot::Refused
                }
            }
        };
        self.set(at, slot, log);
    }

    /// The column at `at` holds a whole number, given as a number.
    pub fn fill_whole(&mut self, at: usize, number: i128, log: &mut RowLog<'_>) {
        let kind = &self.column(at).kind;
        if matches!(kind, ColumnKind::Integer { .. }) {
            self.fill(at, Cow::Owned(number.to_string()), log);
        } else {
            self.refuse(at, RowFault::NumberNotWanted { number: number.to_string(), wanted: kind.type_name() }, log);
        }
    }

    /// The column at `at` holds nothing that could be read.
    pub fn refuse(&mut self, at: usize, fault: RowFault, log: &mut RowLog<'_>) {
        log.add(Some(self.name(at)), fault);
        self.set(at, Slot::Refused, log);
    }

    /// Checks the row as a whole.
    pub fn finish(mut self, judge: &mut AreaJudge, limits: &EntryLimits, log: &mut RowLog<'_>) -> DraftedRow {
        let key = self.take_key(limits, log);
        let required = self.check_required(log);
        let excluded = self.check_conditions(log);
        for area in &self.table.areas {
            self.check_area(area, judge, log);
        }
        if log.failed() {
            return DraftedRow { key, put: None };
        }
        let mut builder = RowBuilder::default();
        let (mut cleared, mut unnamed) = (Vec::new(), Vec::new());
        for (at, (slot, column)) in self.slots.iter().zip(&self.table.columns).enumerate() {
            match slot {
                Slot::Value(value) => builder.push(column.column.id, value),
                Slot::Absent => cleared.push(column.column.id),
                Slot::Unset => unnamed.push(at),
                Slot::Refused => {}
            }
        }
        let cells = builder.finish();
        if cells.len() > limits.row_bytes_max {
            log.add(None, RowFault::RowTooLong { bytes: cells.len(), bytes_max: limits.row_bytes_max });
            return DraftedRow { key, put: None };
        }
        let row = if unnamed.is_empty() || self.unnamed == UnnamedColumns::Clear {
            RowChange::Whole(cells.into())
        } else {
            RowChange::Columns { cells: cells.into(), cleared }
        };
        DraftedRow { key, put: Some(DraftedPut { row, unnamed, required, excluded }) }
    }

    /// Reads `text` as the key of a row that is taken away.
    pub fn key_alone(
        schema: &'t Schema,
        table: &'t EntryTable,
        text: Cow<'a, str>,
        limits: &EntryLimits,
        log: &mut RowLog<'_>,
    ) -> Option<Vec<u8>> {
        let mut draft = Self::new(schema, table, UnnamedColumns::Stay);
        draft.fill(table.key, text, log);
        draft.take_key(limits, log).filter(|_| !log.failed())
    }

    fn column(&self, at: usize) -> &'t Column {
        &self.table.columns[at].column
    }

    fn name(&self, at: usize) -> &'t str {
        &self.column(at).name
    }

    fn set(&mut self, at: usize, slot: Slot<'a>, log: &mut RowLog<'_>) {
        if matches!(self.slots[at], Slot::Unset) {
            self.slots[at] = slot;
        } else {
            log.add(Some(self.name(at)), RowFault::DuplicateColumn { column: self.name(at).into() });
        }
    }

    fn take_key(&mut self, limits: &EntryLimits, log: &mut RowLog<'_>) -> Option<Vec<u8>> {
        let name = self.name(self.table.key);
        match &self.slots[self.table.key] {
            Slot::Value(Value::Text(text)) if text.len() > limits.key_bytes_max => {
                log.add(Some(name), RowFault::KeyTooLong { bytes: text.len(), bytes_max: limits.key_bytes_max });
                None
            }
            Slot::Value(Value::Text(text)) => Some(text.as_bytes().to_vec()),
            Slot::Refused => None,
            Slot::Value(_) | Slot::Unset | Slot::Absent => {
                log.add(Some(name), RowFault::KeyMissing { table: self.table.name.clone(), column: name.into() });
                None
            }
        }
    }

    /// Finds required columns that are empty. Returns those that are not named and stay: a row that stands has them.
    fn check_required(&self, log: &mut RowLog<'_>) -> Vec<ColumnId> {
        let mut stay = Vec::new();
        for (at, slot) in self.slots.iter().enumerate() {
            // An absent key has its own word.
            if !self.column(at).required || at == self.table.key {
                continue;
            }
            match (slot, self.unnamed) {
                (Slot::Unset, UnnamedColumns::Stay) => stay.push(self.column(at).id),
                (Slot::Unset | Slot::Absent, _) => log.add(Some(self.name(at)), RowFault::Missing { column: self.name(at).into() }),
                _ => {}
            }
        }
        stay
    }

    /// Finds columns that are filled in a row that may not have them. Returns those that are not named and stay, but that the row may
    /// not have by what it names.
    fn check_conditions(&self, log: &mut RowLog<'_>) -> Vec<ColumnId> {
        let mut stay = Vec::new();
        for condition in &self.table.conditions {
            let (column, by) = (self.column(condition.column), self.name(condition.by));
            let (name, unnamed_stay) = (column.name.as_str(), self.unnamed == UnnamedColumns::Stay);
            let allowed = || column.only_for.as_ref().map(|only_for| only_for.codes.join(" | ")).unwrap_or_default();
            let fault = match (&self.slots[condition.column], &self.slots[condition.by]) {
                (Slot::Absent | Slot::Refused, _) | (_, Slot::Refused) | (Slot::Unset, Slot::Unset) => continue,
                (_, Slot::Value(Value::Code(code))) if condition.codes.contains(code) => continue,
                (Slot::Unset, _) => {
                    if unnamed_stay {
                        stay.push(column.id);
                    }
                    continue;
                }
                (Slot::Value(_), Slot::Unset) if unnamed_stay => RowFault::NamedWithout { column: name.into(), by: by.into() },
                (Slot::Value(_), Slot::Value(value)) => {
                    let given = cut(&value.to_text(self.schema, self.column(condition.by)));
                    RowFault::NotApplicable { column: name.into(), by: by.into(), given, allowed: allowed() }
                }
                (Slot::Value(_), Slot::Unset | Slot::Absent) => {
                    RowFault::NotApplicableWithout { column: name.into(), by: by.into(), allowed: allowed() }
                }
            };
            log.add(Some(name), fault);
        }
        stay
    }

    fn check_area(&self, area: &AreaColumn, judge: &mut AreaJudge, log: &mut RowLog<'_>) {
        // One that stays would be read by the other one that is set.
        let alone = match (&self.slots[area.column], &self.slots[area.catalogue]) {
            (Slot::Unset, Slot::Unset) => return,
            (Slot::Unset, _) => Some((area.catalogue, area.column)),
            (_, Slot::Unset) => Some((area.column, area.catalogue)),
            _ => None,
        };
        match alone.filter(|_| self.unnamed == UnnamedColumns::Stay) {
            Some((column, by)) => {
                let fault = RowFault::NamedWithout { column: self.name(column).into(), by: self.name(by).into() };
                log.add(Some(self.name(column)), fault);
            }
            None => self.check_unit(area, judge, log),
        }
    }

    fn check_unit(&self, area: &AreaColumn, judge: &mut AreaJudge, log: &mut RowLog<'_>) {
        let Slot::Value(Value::Area(commune)) = self.slots[area.column] else { return };
        let (name, catalogue_name) = (self.name(area.column), self.name(area.catalogue));
        let cell = match &self.slots[area.catalogue] {
            Slot::Value(cell) => cell,
            Slot::Refused => return,
            Slot::Unset | Slot::Absent => {
                // A catalogue that is required was reported already.
                if !self.column(area.catalogue).required {
                    log.add(Some(name), RowFault::CatalogueMissing { unit: format!("{commune:05}"), column: catalogue_name.into() });
                }
                return;
            }
        };
        let Some(catalogue) = area.catalogue_of(cell) else {
            let given = cut(&cell.to_text(self.schema, self.column(area.catalogue)));
            log.add(Some(catalogue_name), RowFault::UnknownCatalogue { given });
            return;
        };
        let (unit, version) = (format!("{commune:05}"), catalogue.version.clone());
        match judge.judge(catalogue, commune) {
            AreaVerdict::Inside => {}
            AreaVerdict::Unknown => {
                log.add(Some(name), RowFault::UnknownCommune { unit, catalogue: version, column: catalogue_name.into() });
            }
            AreaVerdict::Foreign => {
                let unit_name = catalogue.communes.get(&commune).map(|unit| unit.name.clone()).unwrap_or_default();
                log.add(
                    Some(name),
                    match judge.areas() {
                        Some(areas) => RowFault::ForeignArea { unit, name: unit_name, catalogue: version, areas },
                        None => RowFault::NoArea { unit, name: unit_name, catalogue: version },
                    },
                );
            }
        }
    }
}
