//! What a body names is set or cleared; what it does not name stays, or is cleared where the request says so.

use kho_messages::Lang;
use kho_storage::{
    command::{RowNeed, RowRefusal},
    ids::{ColumnId, TableId},
    row::RowCells,
    schema::population,
    stream::{Change, RowChange},
};

use super::{Cells, Sent, csv_of, event, person, put};
use crate::{
    api::LeftOut,
    entry::{CheckedBatch, unmet},
};

const PERSON: TableId = TableId(2);
const EVENT: TableId = TableId(3);

/// The cells of a whole person in these columns.
fn only(columns: &[&str]) -> Cells {
    person(&[]).into_iter().filter(|(name, _)| columns.contains(name)).collect()
}

fn names(table: TableId, columns: impl IntoIterator<Item = ColumnId>) -> Vec<String> {
    let table = population().table(table).expect("a table");
    columns.into_iter().map(|column| table.column(column).expect("a column").name.clone()).collect()
}

/// Columns that a change sets and clears; `None` for one that replaces the row or takes it away.
fn named(change: &Change) -> Option<(Vec<String>, Vec<String>)> {
    let RowChange::Columns { cells, cleared } = &change.row else { return None };
    Some((names(change.table, RowCells::trusted(cells).iter().map(|(column, _)| column)), names(change.table, cleared.iter().copied())))
}

fn read(sent: &Sent) -> CheckedBatch {
    sent.read().expect("good rows")
}

fn left_out(table: &str, columns: &[&str], rows: u32) -> Vec<LeftOut> {
    vec![LeftOut { table: table.into(), columns: columns.iter().map(|name| (*name).to_owned()).collect(), rows }]
}

#[test]
fn promise_10_a_column_that_the_header_does_not_name_is_in_no_change_and_is_listed_in_the_answer() {
    // The file of the field case: last month's moves, without PIN, insurance number and birth date.
    let body = "person_id,household_id,seq,full_name,sex,residence_status,commune_code,catalogue_version\n\
        T-1,T-H1,1,Nguyễn Thử An,female,temporary,12970,legacy-63\n\
        T-2,T-H1,2,Trần Thử Bình,male,absent,12970,legacy-63\n";
    let batch = read(&Sent::csv("person", body).scoped(&["*"]));
    let set: Vec<String> = body.lines().next().expect("a header").split(',').map(str::to_owned).collect();
    assert!(batch.changes.iter().all(|change| named(change) == Some((set.clone(), vec![]))), "{:?}", batch.changes);
    assert!(batch.needs.is_empty(), "all that a new row needs is named");
    let stay = ["pin", "insurance_no", "birth_date", "relation", "ethnicity", "education", "marital"];
    assert_eq!(batch.left_out, left_out("person", &stay, 2));
}

#[test]
fn a_body_that_names_every_column_puts_whole_rows() {
    for sent in [Sent::csv("person", csv_of(&[person(&[])])), Sent::ndjson(put("person", &person(&[])))] {
        let batch = read(&sent);
        assert!(matches!(batch.changes[..], [Change { row: RowChange::Whole(_), .. }]));
        assert_eq!((batch.needs, batch.left_out), (vec![], vec![]));
    }
}

#[test]
fn an_empty_field_a_null_and_an_empty_text_clear_a_column_and_a_row_s_own_fields_are_what_it_names() {
    let mut moved = only(&["person_id", "pin", "marital", "residence_status"]);
    moved.iter_mut().filter(|(name, _)| ["pin", "marital"].contains(name)).for_each(|(_, text)| text.clear());
    let csv = read(&Sent::csv("person", csv_of(&[moved.clone()])));
    let line = put("person", &moved);
    let null = read(&Sent::ndjson(line.replace(r#""pin":"""#, r#""pin":null"#)));
    assert_eq!((&csv.changes, &csv.needs), (&null.changes, &null.needs));
    assert_eq!(csv.changes, read(&Sent::ndjson(line)).changes);
    let words = |columns: &[&str]| columns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(named(&csv.changes[0]), Some((words(&["person_id", "residence_status"]), words(&["pin", "marital"]))));

    let pin = put("person", &only(&["person_id", "pin"])).replace("P1", "P2");
    let both = read(&Sent::ndjson(put("person", &person(&[])) + &pin));
    assert!(matches!(both.changes[0].row, RowChange::Whole(_)));
    assert_eq!(named(&both.changes[1]), Some((words(&["person_id", "pin"]), vec![])));
    assert_eq!((both.needs.len(), both.needs[0].change), (1, 1));
    assert_eq!(
        names(PERSON, both.needs[0].required.clone()).join(","),
        "household_id,seq,full_name,sex,residence_status,commune_code,catalogue_version"
    );
}

#[test]
fn promise_10_columns_that_depend_on_each_other_are_named_together_or_checked_where_the_row_stands() {
    // A death: a row that stands as a birth must not keep what only births have.
    let batch = read(&Sent::ndjson(put("event", &event(&[]))));
    let [RowNeed { change: 0, required, excluded }] = &batch.needs[..] else { panic!("{:?}", batch.needs) };
    assert!(required.is_empty());
    let excluded = names(EVENT, excluded.iter().copied());
    assert_eq!(excluded.len(), 10, "{excluded:?}");
    assert!(
        ["sex", "birth_order", "mother_birth_date", "place", "method", "outcome"].iter().all(|name| excluded.contains(&(*name).to_owned()))
    );
    let births: Vec<_> = read(&Sent::ndjson(put("event", &event(&[("type", "birth")])))).needs[0].excluded.clone();
    assert!(!names(EVENT, births).contains(&"sex".to_owned()));

    let refused = |table: &str, columns: &str| {
        let body = format!(r#"{{"table":"{table}","row":{{{columns}}}}}"#);
        let refusal = Sent::ndjson(body).read().expect_err("one is named without the other");
        assert_eq!((refusal.errors.len(), refusal.errors[0].code()), (1, "named_without"));
        refusal.errors[0].column.clone().expect("a column")
    };
    assert_eq!(refused("event", r#""event_id":"E1","birth_order":2"#), "birth_order");
    assert_eq!(refused("person", r#""person_id":"P1","commune_code":"00001""#), "commune_code");
    assert_eq!(refused("person", r#""person_id":"P1","catalogue_version":"legacy-63""#), "catalogue_version");
    assert!(Sent::ndjson(r#"{"table":"event","row":{"event_id":"E1","birth_order":null}}"#).read().is_ok(), "clearing contradicts nothing");
}

#[test]
fn promise_10_a_required_column_is_never_cleared() {
    let refusal = Sent::csv("person", "person_id,full_name\nP1,\n").read().expect_err("a name is required");
    assert_eq!((refusal.errors[0].column.as_deref(), refusal.errors[0].code()), (Some("full_name"), "missing"));
}

#[test]
fn a_request_that_clears_what_is_not_named_puts_whole_rows_and_is_another_request() {
    let body = put("event", &event(&[]));
    let (stay, clear) = (read(&Sent::ndjson(body.clone())), read(&Sent::ndjson(body).clearing()));
    assert!(matches!(clear.changes[..], [Change { row: RowChange::Whole(_), .. }]));
    assert_eq!((clear.needs.len(), &clear.left_out), (0, &stay.left_out));
    assert_ne!(stay.body_hash, clear.body_hash, "the same request key with the other meaning is refused");
    let lacking = Sent::ndjson(put("person", &only(&["person_id", "pin"]))).clearing().read().expect_err("a whole row lacks columns");
    assert!(lacking.errors.iter().all(|error| error.code() == "missing") && lacking.errors.len() == 7, "{lacking:?}");
}

#[test]
fn promise_10_what_shows_when_a_batch_is_applied_names_row_line_column_and_what_to_do() {
    let sent =
        Sent::ndjson(format!("{}\n\n{}", put("person", &person(&[])), put("person", &only(&["person_id", "pin"])).replace("P1", "P2")));
    let batch = read(&sent);
    let told = |why: RowRefusal| {
        let refusal = unmet(&sent.schema, batch.places.get(1), &why);
        let error = refusal.errors[0].clone();
        let text = kho_messages::report(Lang::En, &error.fault);
        assert!(Lang::ALL.iter().all(|lang| !kho_messages::hint(*lang, &error.fault).is_empty()));
        (error.row, error.line, error.column.clone(), error.code(), text)
    };
    let required = batch.needs[0].required[..2].to_vec();
    assert_eq!(
        told(RowRefusal::Incomplete { table: PERSON, columns: required }),
        (
            Some(4),
            Some(4),
            Some("household_id".into()),
            "row_incomplete",
            "there is no such row of `person` yet, and a new row needs columns that are not named: household_id, seq".into()
        )
    );
    let (.., column, code, text) = told(RowRefusal::ColumnExcluded { table: EVENT, column: ColumnId(11) });
    assert_eq!((column.as_deref(), code), (Some("birth_order"), "not_applicable"));
    assert!(text.contains("only for rows whose `type` is one of: birth"), "{text}");
    assert_eq!(told(RowRefusal::Missing).3, "row_missing");
    assert_eq!(told(RowRefusal::TooLong { bytes: 20_000 }).3, "row_too_long");

    let csv = read(&Sent::csv("person", csv_of(&[person(&[]), person(&[("person_id", "P2")])])));
    assert_eq!((csv.places[1].row, csv.places[1].line), (2, 3));
}
