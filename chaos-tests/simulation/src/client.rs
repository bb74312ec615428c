//! Clients. Each repeats its request under the same request key until it is answered, and never uses the key for another request.

use std::collections::BTreeSet;

use kho_storage::{
    codec,
    command::{RowNeed, WriteRequest},
    ids::{ColumnId, Hash32, OriginId, SiteId, TableId},
    row::{RowBuilder, RowCells},
    schema::{PartialDate, Value},
    stream::{Change, RowChange},
};

use crate::{agenda::RequestNo, dice::Dice};

const PERSON: TableId = TableId(2);
/// So few rows that changes meet.
const KEYS: u64 = 14;
/// Birth dates as people know them: with and without month and day.
const BIRTHS: [&str; 4] = ["1956", "1987-05", "2003-11-30", "2019-04-01"];

const KEY: ColumnId = ColumnId(1);
const PIN: ColumnId = ColumnId(4);
const NAME: ColumnId = ColumnId(6);
const BIRTH: ColumnId = ColumnId(7);
const SEX: ColumnId = ColumnId(8);
const MARITAL: ColumnId = ColumnId(12);
const RESIDENCE: ColumnId = ColumnId(13);
const COMMUNE: ColumnId = ColumnId(14);
const CATALOGUE: ColumnId = ColumnId(15);
/// Exists from the level of tests on.
const TEST_NOTE: ColumnId = ColumnId(1_024);
/// Columns that every row has beside its key.
const REQUIRED: [ColumnId; 5] = [NAME, SEX, RESIDENCE, COMMUNE, CATALOGUE];
/// Where residents are registered. In this world only they have a marital status.
const PERMANENT: u32 = 0;

/// A request that was submitted, and whether it still awaits an answer.
pub struct Submitted {
    pub site: SiteId,
    pub request: WriteRequest,
    pub answered: bool,
    /// How often it was proposed. A repetition may meet the first one in the log.
    pub proposed: u32,
}

#[derive(Default)]
pub struct Clients {
    pub submitted: Vec<Submitted>,
}

impl Clients {
    /// Submits a new request to `site`.
    pub fn submit(&mut self, site: SiteId, dice: &mut Dice) -> RequestNo {
        let number = self.submitted.len();
        let (mut changes, mut needs) = (Vec::new(), Vec::new());
        let mut keys = BTreeSet::new();
        for _ in 0..dice.between(1, 4) {
            let key = format!("p{}", dice.below(KEYS));
            if keys.insert(key.clone()) {
                let (row, need) = row_change(&key, changes.len() as u32, number, dice);
                changes.push(Change { table: PERSON, key: key.into_bytes().into(), row });
                needs.extend(need);
            }
        }
        self.record(site, number, changes, needs)
    }

    /// Submits a request to `site` that names a column of the level of tests, in a whole row or beside what stands in one.
    pub fn submit_of_the_test_level(&mut self, site: SiteId, dice: &mut Dice) -> RequestNo {
        let number = self.submitted.len();
        let key = format!("p{}", dice.below(KEYS));
        let note = (TEST_NOTE, Value::Text(format!("note {number}").into()));
        let (row, needs) = match dice.below(3) {
            0 => (RowChange::Columns { cells: row_of(&key, vec![]).into(), cleared: vec![TEST_NOTE] }, true),
            1 => (RowChange::Columns { cells: row_of(&key, vec![note]).into(), cleared: vec![] }, true),
            _ => {
                let mut cells = vec![note];
                cells.extend(REQUIRED.map(|column| (column, required(column, number, dice))));
                (RowChange::Whole(row_of(&key, cells).into()), false)
            }
        };
        let needs = needs.then(|| RowNeed { change: 0, required: REQUIRED.to_vec(), excluded: vec![] });
        let change = Change { table: PERSON, key: key.into_bytes().into(), row };
        self.record(site, number, vec![change], needs.into_iter().collect())
    }

    fn record(&mut self, site: SiteId, number: RequestNo, changes: Vec<Change>, needs: Vec<RowNeed>) -> RequestNo {
        let body = codec::encode(&changes).expect("changes always encode");
        let request = WriteRequest { key: format!("request-{number}"), body_hash: Hash32::of(&body), changes, needs };
        self.submitted.push(Submitted { site, request, answered: false, proposed: 0 });
        number
    }

    /// The request that bears `key`.
    pub fn number(key: &str) -> Option<RequestNo> {
        key.strip_prefix("request-")?.parse().ok()
    }

    pub fn origin(&self, number: RequestNo) -> OriginId {
        OriginId(self.submitted[number].site.0)
    }

    pub fn unanswered(&self) -> usize {
        self.submitted.iter().filter(|submitted| !submitted.answered).count()
    }
}

/// A person who is entered, changed in some columns, or removed. With it, what change `place` needs of the row that it meets.
fn row_change(key: &str, place: u32, number: RequestNo, dice: &mut Dice) -> (RowChange, Option<RowNeed>) {
    match dice.below(10) {
        0 | 1 => (RowChange::Removed, None),
        2..=4 => named_columns(key, place, number, dice),
        _ => {
            let mut cells = vec![(BIRTH, birth(dice))];
            cells.extend(REQUIRED.map(|column| (column, required(column, number, dice))));
            if residence(&cells) == Some(PERMANENT) && dice.chance(1, 2) {
                cells.push((MARITAL, Value::Code(dice.below(4) as u32)));
            }
            (RowChange::Whole(row_of(key, cells).into()), None)
        }
    }
}

/// Some columns of a person. What they need is what entry makes of the schema's rules: required columns, and a column that only some
/// rows have.
fn named_columns(key: &str, place: u32, number: RequestNo, dice: &mut Dice) -> (RowChange, Option<RowNeed>) {
    let whole = dice.chance(1, 2);
    let named: Vec<ColumnId> = REQUIRED.into_iter().filter(|_| whole || dice.chance(1, 3)).collect();
    let mut cells: Vec<(ColumnId, Value<'static>)> = named.iter().map(|column| (*column, required(*column, number, dice))).collect();
    let mut cleared = Vec::new();
    for column in [PIN, BIRTH] {
        match dice.below(4) {
            0 => cleared.push(column),
            1 => cells.push((column, if column == PIN { Value::Text(format!("{number:012}").into()) } else { birth(dice) })),
            _ => {}
        }
    }
    let mut excluded = Vec::new();
    match (residence(&cells), dice.below(3)) {
        (_, 0) => cleared.push(MARITAL),
        (Some(PERMANENT), 1) => cells.push((MARITAL, Value::Code(dice.below(4) as u32))),
        (Some(residence), _) if residence != PERMANENT => excluded.push(MARITAL),
        _ => {}
    }
    let required: Vec<ColumnId> = REQUIRED.into_iter().filter(|column| !named.contains(column)).collect();
    let need = (!required.is_empty() || !excluded.is_empty()).then_some(RowNeed { change: place, required, excluded });
    (RowChange::Columns { cells: row_of(key, cells).into(), cleared }, need)
}

fn required(column: ColumnId, number: RequestNo, dice: &mut Dice) -> Value<'static> {
    match column {
        NAME => Value::Text(format!("name {number}").into()),
        SEX | RESIDENCE => Value::Code(dice.below(2) as u32),
        COMMUNE => Value::Area(dice.pick(&[1, 4, 7])),
        _ => Value::Code(0),
    }
}

fn birth(dice: &mut Dice) -> Value<'static> {
    Value::Date(PartialDate::parse(dice.pick(&BIRTHS)).expect("a date"))
}

fn residence(cells: &[(ColumnId, Value<'_>)]) -> Option<u32> {
    cells.iter().find_map(|(column, value)| match value {
        Value::Code(code) if *column == RESIDENCE => Some(*code),
        _ => None,
    })
}

fn row_of<'v>(key: &'v str, mut cells: Vec<(ColumnId, Value<'v>)>) -> Vec<u8> {
    cells.push((KEY, Value::Text(key.into())));
    cells.sort_by_key(|(column, _)| *column);
    let mut row = RowBuilder::default();
    cells.iter().for_each(|(column, value)| row.push(*column, value));
    row.finish()
}

/// What is wrong with a row that stands: nobody entered such a one.
pub fn flaw(cells: &[u8]) -> Option<String> {
    let cells = RowCells::trusted(cells);
    if let Some(lacking) = [KEY].into_iter().chain(REQUIRED).find(|column| cells.value(*column).is_none()) {
        return Some(format!("it lacks column {lacking}"));
    }
    let contradicts = cells.value(RESIDENCE) != Some(Value::Code(PERMANENT)) && cells.value(MARITAL).is_some();
    contradicts.then(|| "it has a marital status, which only permanent residents have here".into())
}
