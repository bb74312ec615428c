//! Clients. Each repeats its request under the same request key until it is answered, and never uses the key for another request.

use kho_storage::{
    codec,
    command::WriteRequest,
    ids::{ColumnId, Hash32, OriginId, SiteId, TableId},
    row::RowBuilder,
    schema::{PartialDate, Value},
    stream::Change,
};

use crate::{agenda::RequestNo, dice::Dice};

const PERSON: TableId = TableId(2);
/// So few rows that changes meet.
const KEYS: u64 = 14;
/// Birth dates as people know them: with and without month and day.
const BIRTHS: [&str; 4] = ["1956", "1987-05", "2003-11-30", "2019-04-01"];

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
        let changes: Vec<Change> = (0..dice.between(1, 4)).map(|_| change(number, dice)).collect();
        let body = codec::encode(&changes).expect("changes always encode");
        let request = WriteRequest { key: format!("request-{number}"), body_hash: Hash32::of(&body), changes };
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

/// A person who is entered, changed or removed.
fn change(number: RequestNo, dice: &mut Dice) -> Change {
    let key = format!("p{}", dice.below(KEYS));
    if dice.chance(1, 5) {
        return Change { table: PERSON, key: key.into_bytes().into(), cells: None };
    }
    let birth = PartialDate::parse(dice.pick(&BIRTHS)).expect("a date");
    let mut row = RowBuilder::default();
    row.push(ColumnId(1), &Value::Text(key.as_str().into()));
    row.push(ColumnId(6), &Value::Text(format!("name {number}").into()));
    row.push(ColumnId(7), &Value::Date(birth));
    row.push(ColumnId(8), &Value::Code(dice.below(2) as u32));
    row.push(ColumnId(13), &Value::Code(0));
    row.push(ColumnId(14), &Value::Area(dice.pick(&[1, 4, 7])));
    row.push(ColumnId(15), &Value::Code(0));
    Change { table: PERSON, key: key.into_bytes().into(), cells: Some(row.finish().into()) }
}
