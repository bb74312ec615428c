//! Bodies that can be read, with rows that are wrong: each finding has its row, line, column and word.

use super::{Bad, Finding, Sent, csv_of, event, person, put};
use crate::entry::EntryStatus::{self, Malformed, WrongRows};

/// A schema with what the population schema lacks: long texts and keys, an optional catalogue, a catalogue of no known list.
const ODD_SCHEMA: &str = r#"
version = 1
cube = []
[[code_list]]
name = "catalogues"
codes = [{ code = "legacy-63", label = "" }, { code = "of-the-future", label = "" }]
[[table]]
id = 1
name = "note"
label = ""
key = "id"
column = [
    { id = 1, name = "id", label = "", type = "text", chars_max = 500, required = true },
    { id = 2, name = "text", label = "", type = "text", chars_max = 50000 },
    { id = 3, name = "unit", label = "", type = "area", catalogue = "version" },
    { id = 4, name = "version", label = "", type = "code", list = "catalogues" },
]
"#;

/// A finding in the second row of a body whose first is good.
fn second(column: &'static str, code: &'static str) -> Finding {
    (Some(2), Some(2), Some(column), code)
}

fn second_row(code: &'static str) -> Finding {
    (Some(2), Some(2), None, code)
}

/// A good person, then `line`.
fn after_a_person(what: &'static str, line: &str, status: EntryStatus, findings: &[Finding]) -> Bad {
    Sent::ndjson(put("person", &person(&[])) + line).refused(what, status, findings)
}

/// A good person, then another with some cells exchanged.
fn bad_person(what: &'static str, changes: &[(&'static str, &str)], findings: &[Finding]) -> Bad {
    let changes: Vec<_> = [("person_id", "P2")].into_iter().chain(changes.iter().copied()).collect();
    after_a_person(what, &put("person", &person(&changes)), WrongRows, findings)
}

fn bad_event(what: &'static str, changes: &[(&'static str, &str)], findings: &[Finding]) -> Bad {
    after_a_person(what, &put("event", &event(changes)), WrongRows, findings)
}

/// One wrong value in one column.
pub(super) fn values() -> Vec<Bad> {
    vec![
        bad_person("a word for a number", &[("seq", "first")], &[second("seq", "wrong_type")]),
        bad_person("a fraction for a whole number", &[("seq", "1.5")], &[second("seq", "wrong_type")]),
        bad_person("a number of too many digits", &[("seq", "99999999999999999999999")], &[second("seq", "wrong_type")]),
        bad_person("a number below its bounds", &[("seq", "0")], &[second("seq", "out_of_range")]),
        bad_person("a day that no calendar has", &[("birth_date", "2019-02-29")], &[second("birth_date", "wrong_date")]),
        bad_person("a date in another order", &[("birth_date", "02/01/1990")], &[second("birth_date", "wrong_date")]),
        bad_person("an unknown code", &[("sex", "nam")], &[second("sex", "unknown_code")]),
        bad_person("a code with a space", &[("sex", " male")], &[second("sex", "unknown_code")]),
        bad_event(
            "an unknown flag",
            &[("type", "marriage"), ("marriage_flags", "early|late")],
            &[second("marriage_flags", "unknown_code")],
        ),
        bad_person("a PIN of eleven digits", &[("pin", "00109000000")], &[second("pin", "wrong_form")]),
        bad_person("a PIN with a letter", &[("pin", "00109000000O")], &[second("pin", "wrong_form")]),
        bad_person("a name of 101 letters", &[("full_name", &"ễ".repeat(101))], &[second("full_name", "too_long")]),
        bad_person("a line feed in a name", &[("full_name", "An\nBình")], &[second("full_name", "control_character")]),
        bad_person("an escaped NUL in a name", &[("full_name", "An\0")], &[second("full_name", "control_character")]),
        bad_person("a commune of letters", &[("commune_code", "Ba Đình")], &[second("commune_code", "wrong_type")]),
        bad_person("a required column left empty", &[("full_name", "")], &[second("full_name", "missing")]),
        bad_person("a column that does not exist", &[("shoe_size", "42")], &[second("shoe_size", "unknown_column")]),
        bad_person("a column of a later level", &[("test_note", "x")], &[second("test_note", "column_above_level")]),
        bad_person("no key", &[("person_id", "")], &[second("person_id", "key_missing")]),
        bad_person("a key of 33 letters", &[("person_id", &"k".repeat(33))], &[second("person_id", "too_long")]),
        bad_person("the key of the row before", &[("person_id", "P1")], &[second("person_id", "duplicate_key")]),
        bad_person("a commune that does not exist", &[("commune_code", "00002")], &[second("commune_code", "unknown_commune")]),
        bad_person("a commune of another district", &[("commune_code", "00037")], &[second("commune_code", "foreign_area")]),
        bad_person(
            "the site's own code in another catalogue",
            &[("commune_code", "00004"), ("catalogue_version", "2025-34")],
            &[second("commune_code", "foreign_area")],
        ),
        bad_event("a birth's column in a death", &[("birth_order", "2")], &[second("birth_order", "not_applicable")]),
        bad_person(
            "several at once",
            &[("seq", "x"), ("sex", "?"), ("full_name", ""), ("birth_date", "1990-13")],
            &[
                second("seq", "wrong_type"),
                second("birth_date", "wrong_date"),
                second("sex", "unknown_code"),
                second("full_name", "missing"),
            ],
        ),
        bad_event(
            "a type that is refused gives no second finding",
            &[("type", "brith"), ("birth_order", "1")],
            &[second("type", "unknown_code")],
        ),
        Sent::ndjson(put("person", &person(&[]))).scoped(&[]).refused(
            "a site without areas",
            WrongRows,
            &[(Some(1), Some(1), Some("commune_code"), "foreign_area")],
        ),
    ]
}

/// Lines that are no put and no delete.
pub(super) fn lines() -> Vec<Bad> {
    let deep = format!(r#"{{"table":"person","row":{{"person_id":{}1{}}}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    vec![
        after_a_person("half an object", r#"{"table":"person","row":{"#, Malformed, &[second_row("bad_json")]),
        after_a_person("words", "P2 is a person", Malformed, &[second_row("bad_json")]),
        after_a_person(
            "two objects on a line",
            r#"{"table":"person","delete":"A"}{"table":"person","delete":"B"}"#,
            Malformed,
            &[second_row("bad_json")],
        ),
        after_a_person("half of a surrogate pair", r#"{"table":"person","delete":"\ud800"}"#, Malformed, &[second_row("bad_json")]),
        after_a_person("a list", "[1,2]", Malformed, &[second_row("bad_shape")]),
        after_a_person("no table", r#"{"delete":"P2"}"#, Malformed, &[second_row("bad_shape")]),
        after_a_person("a table that is a number", r#"{"table":2,"delete":"P2"}"#, Malformed, &[second_row("bad_shape")]),
        after_a_person("neither row nor delete", r#"{"table":"person"}"#, Malformed, &[second_row("bad_shape")]),
        after_a_person("both row and delete", r#"{"table":"person","delete":"P2","row":{}}"#, Malformed, &[second_row("bad_shape")]),
        after_a_person("a row that is text", r#"{"table":"person","row":"P2"}"#, Malformed, &[second_row("bad_shape")]),
        after_a_person("an unknown field", r#"{"table":"person","delete":"P2","when":"now"}"#, Malformed, &[second_row("unknown_field")]),
        after_a_person("a field twice", r#"{"table":"person","table":"event","delete":"P2"}"#, Malformed, &[second_row("duplicate_field")]),
        after_a_person("an unknown table", r#"{"table":"persons","delete":"P2"}"#, WrongRows, &[second_row("unknown_table")]),
        after_a_person("a delete of nothing", r#"{"table":"person","delete":""}"#, WrongRows, &[second("person_id", "key_missing")]),
        after_a_person("a delete of null", r#"{"table":"person","delete":null}"#, WrongRows, &[second("person_id", "key_missing")]),
        after_a_person("a delete of a number", r#"{"table":"person","delete":2}"#, WrongRows, &[second("person_id", "wrong_type")]),
        after_a_person(
            "a delete of a row that the body puts",
            r#"{"table":"person","delete":"P1"}"#,
            WrongRows,
            &[second("person_id", "duplicate_key")],
        ),
        after_a_person(
            "a column twice, first null",
            &put("event", &event(&[])).replace(r#""type":"death""#, r#""recorder":null,"recorder":"An","type":"death""#),
            WrongRows,
            &[second("recorder", "duplicate_column")],
        ),
        after_a_person(
            "an object in a cell",
            &put("event", &event(&[])).replace(r#""E1""#, r#"{"id":{"of":1}}"#),
            WrongRows,
            &[second("event_id", "nested_value")],
        ),
        after_a_person("a tower of lists", &deep, WrongRows, &[second("person_id", "nested_value")]),
        after_a_person(
            "a truth in a cell",
            &put("event", &event(&[])).replace(r#""death""#, "true"),
            WrongRows,
            &[second("type", "wrong_type")],
        ),
        after_a_person(
            "a number for a commune, which loses its zeros",
            &put("event", &event(&[])).replace(r#""00001""#, "1"),
            WrongRows,
            &[second("commune_code", "wrong_type")],
        ),
        after_a_person(
            "an exponent",
            &put("person", &person(&[("person_id", "P2")])).replace(r#""seq":"1""#, r#""seq":1e0"#),
            WrongRows,
            &[second("seq", "wrong_type")],
        ),
    ]
}

/// What only a schema other than the built-in one can meet.
pub(super) fn odd_schemas() -> Vec<Bad> {
    let note = |cells: &[(&'static str, &str)], column: Option<&'static str>, code: &'static str| {
        Sent::ndjson(put("note", &super::with(cells, &[]))).with_schema(ODD_SCHEMA).refused(
            code,
            WrongRows,
            &[(Some(1), Some(1), column, code)],
        )
    };
    vec![
        note(&[("id", &"ễ".repeat(50))], Some("id"), "key_too_long"),
        note(&[("id", "N1"), ("text", &"a".repeat(17_000))], None, "row_too_long"),
        note(&[("id", "N1"), ("unit", "00001"), ("version", "")], Some("unit"), "catalogue_missing"),
        note(&[("id", "N1"), ("unit", "00001")], Some("unit"), "named_without"),
        note(&[("id", "N1"), ("unit", "00001"), ("version", "of-the-future")], Some("version"), "unknown_catalogue"),
    ]
}

/// CSV whose records are wrong. The header is line 1, so row 2 is line 3.
pub(super) fn records() -> Vec<Bad> {
    let two = |changes: &[(&'static str, &str)]| csv_of(&[person(&[]), person(&[&[("person_id", "P2")], changes].concat())]);
    let at = |column: Option<&'static str>, code: &'static str| [(Some(2), Some(3), column, code)];
    let csv = |what, body: String, status, findings: &[Finding]| Sent::csv("person", body).refused(what, status, findings);
    let last = |body: String, from: &str, to: &str| {
        let (head, tail) = body.rsplit_once(from).expect("stands in the body");
        format!("{head}{to}{tail}")
    };
    vec![
        csv("an unknown code in CSV", two(&[("sex", "x")]), WrongRows, &at(Some("sex"), "unknown_code")),
        csv("a foreign area in CSV", two(&[("commune_code", "00037")]), WrongRows, &at(Some("commune_code"), "foreign_area")),
        csv("a field too few", last(two(&[]), ",legacy-63", ""), Malformed, &at(None, "csv_ragged")),
        csv("a field too many", last(two(&[]), ",legacy-63", ",legacy-63,"), Malformed, &at(None, "csv_ragged")),
        csv("a quote inside a field", last(two(&[]), "Văn", "\"Văn\""), Malformed, &at(Some("full_name"), "csv_quote")),
        csv("text behind a closing quote", last(two(&[]), "P2", "\"P2\"a"), Malformed, &at(Some("person_id"), "csv_quote")),
        csv("a quote that never closes", last(two(&[]), "Nguyễn", "\"Nguyễn"), Malformed, &at(Some("full_name"), "csv_unterminated_quote")),
        csv("a line feed inside quotes moves the lines, not the rows", two(&[("full_name", "An\nBình"), ("person_id", "P1")]) + "x\n", Malformed, &[(Some(2), Some(3), Some("full_name"), "control_character"), (Some(2), Some(3), Some("person_id"), "duplicate_key"), (Some(3), Some(5), None, "csv_ragged")]),
        csv("an operation that does not exist", csv_of(&[person(&[("_op", "put")]), person(&[("_op", "upsert")])]), WrongRows, &at(Some("_op"), "unknown_op")),
        csv("a delete without a key", csv_of(&[person(&[("_op", "")]), person(&[("_op", "delete"), ("person_id", "")])]), WrongRows, &at(Some("person_id"), "key_missing")),
        csv("a row of a header that is enough for deletes only", "_op,person_id,household_id,seq,full_name,sex,residence_status,commune_code\ndelete,P1,,,,,,\nput,P2,H1,1,An,male,absent,00001\n".into(), WrongRows, &at(Some("commune_code"), "named_without")),
    ]
}

/// CSV whose header is wrong; records are not looked at.
pub(super) fn headers() -> Vec<Bad> {
    let at = |column: &'static str, code: &'static str| [(None, Some(1), Some(column), code)];
    let lacking = [
        ("person_id", "key_missing"),
        ("full_name", "missing"),
        ("sex", "missing"),
        ("residence_status", "missing"),
        ("commune_code", "missing"),
        ("catalogue_version", "missing"),
    ];
    let lacking = lacking.map(|(column, code)| (None, Some(1), Some(column), code));
    let good = || csv_of(&[person(&[])]);
    let csv = |what, body: String, findings: &[Finding]| Sent::csv("person", body).refused(what, WrongRows, findings);
    vec![
        csv("an unknown column in the header", good().replacen("insurance_no", "insurance", 1), &at("insurance", "unknown_column")),
        csv("a column of a later level", good().replacen("insurance_no", "test_note", 1), &at("test_note", "column_above_level")),
        csv("a column twice in the header", good().replacen("insurance_no", "pin", 1), &at("pin", "duplicate_column")),
        csv("the operation twice in the header", good().replacen("pin,insurance_no", "_op,_op", 1), &at("_op", "duplicate_column")),
        csv("no key", "household_id,seq\nH1,1\n".into(), &at("person_id", "key_missing")),
        Sent::csv("person", "household_id,seq\nH1,1\n").clearing().refused("neither key nor required columns", WrongRows, &lacking),
        csv("a unit without its catalogue", good().replacen(",catalogue_version", "", 1), &at("commune_code", "named_without")),
        csv("a catalogue without its unit", good().replacen(",commune_code", "", 1), &at("catalogue_version", "named_without")),
        csv("semicolons", "person_id;seq\nP1;1\n".into(), &at("person_id;seq", "unknown_column")),
        csv("no header", "P1\nP2\n".into(), &at("P1", "unknown_column")),
        Sent::csv("persons", "person_id\nP1\n").refused("a table that does not exist", WrongRows, &[(None, None, None, "unknown_table")]),
    ]
}
