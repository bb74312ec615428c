//! One row: cells come in by column, a key and canonical cells come out, or findings.

use std::borrow::Cow;

use kho_storage::{
    row::RowBuilder,
    schema::{Column, ColumnKind, Schema, Value},
};

use super::{
    area::{AreaJudge, AreaVerdict},
    limits::EntryLimits,
    refusal::{RowLog, shown},
    schema::{AreaColumn, EntryTable},
};

/// What is known of a column in the row under way.
#[derive(Debug)]
enum Slot<'a> {
    /// Not met yet.
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
    slots: Vec<Slot<'a>>,
}

/// What a row came to. The key is known even when the row is refused for something else.
#[derive(Debug, Default)]
pub(super) struct DraftedRow {
    pub key: Option<Vec<u8>>,
    /// Canonical cells, the key column among them; `None` when anything was refused.
    pub cells: Option<Vec<u8>>,
}

impl<'t, 'a> RowDraft<'t, 'a> {
    pub fn new(schema: &'t Schema, table: &'t EntryTable) -> Self {
        let slots = table.columns.iter().map(|_| Slot::Unset).collect();
        Self { schema, table, slots }
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
                    log.add(Some(self.name(at)), error.code, error.message, error.hint);
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
            let message = format!("the number {number} stands where {} is wanted", kind.type_name());
            self.refuse(at, "wrong_type", message, "put it in quotes, with all its digits", log);
        }
    }

    /// The column at `at` holds nothing that could be read.
    pub fn refuse(&mut self, at: usize, code: &'static str, message: String, hint: &str, log: &mut RowLog<'_>) {
        log.add(Some(self.name(at)), code, message, hint);
        self.set(at, Slot::Refused, log);
    }

    /// Checks the row as a whole.
    pub fn finish(mut self, judge: &mut AreaJudge, limits: &EntryLimits, log: &mut RowLog<'_>) -> DraftedRow {
        let key = self.take_key(limits, log);
        self.check_required(log);
        self.check_conditions(log);
        for area in &self.table.areas {
            self.check_area(area, judge, log);
        }
        if log.failed() {
            return DraftedRow { key, cells: None };
        }
        let mut builder = RowBuilder::default();
        for (slot, column) in self.slots.iter().zip(&self.table.columns) {
            if let Slot::Value(value) = slot {
                builder.push(column.column.id, value);
            }
        }
        let cells = builder.finish();
        if cells.len() > limits.row_bytes_max {
            log.add(
                None,
                "row_too_long",
                format!("the row takes {} bytes, at most {} fit", cells.len(), limits.row_bytes_max),
                "shorten its texts",
            );
            return DraftedRow { key, cells: None };
        }
        DraftedRow { key, cells: Some(cells) }
    }

    /// Reads `text` as the key of a row that is taken away.
    pub fn key_alone(
        schema: &'t Schema,
        table: &'t EntryTable,
        text: Cow<'a, str>,
        limits: &EntryLimits,
        log: &mut RowLog<'_>,
    ) -> Option<Vec<u8>> {
        let mut draft = Self::new(schema, table);
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
            log.add(
                Some(self.name(at)),
                "duplicate_column",
                format!("the row names column `{}` twice", self.name(at)),
                "name each column once",
            );
        }
    }

    fn take_key(&mut self, limits: &EntryLimits, log: &mut RowLog<'_>) -> Option<Vec<u8>> {
        let name = self.name(self.table.key);
        match &self.slots[self.table.key] {
            Slot::Value(Value::Text(text)) if text.len() > limits.key_bytes_max => {
                log.add(
                    Some(name),
                    "key_too_long",
                    format!("the key has {} bytes, at most {} fit", text.len(), limits.key_bytes_max),
                    "give a shorter key",
                );
                None
            }
            Slot::Value(Value::Text(text)) => Some(text.as_bytes().to_vec()),
            Slot::Refused => None,
            Slot::Value(_) | Slot::Unset | Slot::Absent => {
                log.add(
                    Some(name),
                    "key_missing",
                    format!("the row of `{}` has no `{name}`", self.table.name),
                    format!("give `{name}`: it identifies the row"),
                );
                None
            }
        }
    }

    fn check_required(&self, log: &mut RowLog<'_>) {
        for (at, slot) in self.slots.iter().enumerate() {
            // An absent key has its own word.
            if self.column(at).required && at != self.table.key && matches!(slot, Slot::Unset | Slot::Absent) {
                log.add(Some(self.name(at)), "missing", format!("`{}` is absent, but required", self.name(at)), "fill it in");
            }
        }
    }

    fn check_conditions(&self, log: &mut RowLog<'_>) {
        for condition in &self.table.conditions {
            if let (Slot::Value(_), by) = (&self.slots[condition.column], &self.slots[condition.by]) {
                let given = match by {
                    Slot::Value(Value::Code(code)) if condition.codes.contains(code) => continue,
                    Slot::Value(value) => shown(&value.to_text(self.schema, self.column(condition.by))),
                    Slot::Unset | Slot::Absent => "absent".into(),
                    Slot::Refused => continue,
                };
                let (name, by_name) = (self.name(condition.column), self.name(condition.by));
                let allowed =
                    self.column(condition.column).only_for.as_ref().map(|only_for| only_for.codes.join(" or ")).unwrap_or_default();
                log.add(
                    Some(name),
                    "not_applicable",
                    format!("`{name}` is filled, but `{by_name}` is {given}"),
                    format!("leave it empty unless `{by_name}` is {allowed}"),
                );
            }
        }
    }

    fn check_area(&self, area: &AreaColumn, judge: &mut AreaJudge, log: &mut RowLog<'_>) {
        let Slot::Value(Value::Area(commune)) = self.slots[area.column] else { return };
        let (name, catalogue_name) = (self.name(area.column), self.name(area.catalogue));
        let cell = match &self.slots[area.catalogue] {
            Slot::Value(cell) => cell,
            Slot::Refused => return,
            Slot::Unset | Slot::Absent => {
                // A catalogue that is required was reported already.
                if !self.column(area.catalogue).required {
                    let message = format!(
                        "unit {commune:05} is given without `{catalogue_name}`; the same code means different units in different catalogues"
                    );
                    log.add(Some(name), "catalogue_missing", message, format!("fill in `{catalogue_name}`"));
                }
                return;
            }
        };
        let Some(catalogue) = area.catalogue_of(cell) else {
            let given = shown(&cell.to_text(self.schema, self.column(area.catalogue)));
            log.add(
                Some(catalogue_name),
                "unknown_catalogue",
                format!("this node has no catalogue {given}"),
                "use a catalogue that this node has, or upgrade the node",
            );
            return;
        };
        match judge.judge(catalogue, commune) {
            AreaVerdict::Inside => {}
            AreaVerdict::Unknown => {
                let message = format!("{commune:05} is no commune of catalogue `{}`", catalogue.version);
                log.add(Some(name), "unknown_commune", message, format!("check the code, and whether `{catalogue_name}` is right"));
            }
            AreaVerdict::Foreign => {
                let unit = catalogue.communes.get(&commune).map(|unit| unit.name.as_str()).unwrap_or_default();
                let message = format!(
                    "{commune:05} ({unit}) of catalogue `{}` lies outside this site's areas: {}",
                    catalogue.version,
                    judge.describe()
                );
                log.add(
                    Some(name),
                    "foreign_area",
                    message,
                    "enter the row at the site that authors this unit, or have the centre change the register",
                );
            }
        }
    }
}
