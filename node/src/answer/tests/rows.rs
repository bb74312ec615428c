//! Rows by key.

use kho_storage::{
    ids::ColumnId,
    row::RowBuilder,
    schema::{Value, population},
};

use super::{
    people::people,
    world::{CENTRE, NOW, World, ago},
};

#[test]
fn a_row_is_found_at_every_origin_that_holds_it() {
    let mut world = World::new(&[(11, ("legacy-63", "001")), (12, ("legacy-63", "002")), (13, ("legacy-63", "003"))]);
    let mut person = people("p", &["00001"], 1).remove(0);
    person.birth = Some((1990, 0));
    person.marital = "married";
    world.write(11, ago(2), vec![person.change()]);
    person.commune = "00037";
    world.write(12, ago(1), vec![person.change()]);
    world.carry(11, NOW);
    world.carry(12, NOW);
    let answer = world.row(CENTRE, "person", &person.id).expect("a good question");
    let found: Vec<_> = answer.found.iter().map(|row| (row.origin, row.site_name.as_str(), row.seq, row.changed_at.as_str())).collect();
    assert_eq!(found, [(11, "district 11", 1, ago(2).to_rfc3339().as_str()), (12, "district 12", 1, ago(1).to_rfc3339().as_str())]);
    let column = |place: usize, name: &str| answer.found[place].columns.get(name).cloned().unwrap_or_default();
    assert_eq!((column(0, "commune_code"), column(1, "commune_code")), ("00001".into(), "00037".into()));
    assert_eq!(
        (column(0, "birth_date"), column(0, "marital"), column(0, "person_id")),
        ("1990".into(), "married".into(), person.id.clone())
    );
    assert_eq!(answer.found[0].columns.len(), 10, "absent columns are left out");
    assert_eq!((answer.completeness.included, answer.completeness.expected, answer.completeness.missing.len()), (2, 3, 1));
    assert!(world.row(CENTRE, "person", "nobody").expect("a good question").found.is_empty());
}

#[test]
fn a_column_that_the_schema_does_not_know_is_shown_by_number() {
    let table = population().table_named("person").expect("a table");
    let mut row = RowBuilder::default();
    row.push(ColumnId(1), &Value::Text("P1".into()));
    row.push(ColumnId(17), &Value::Code(4));
    row.push(ColumnId(300), &Value::Text("mới".into()));
    let columns = super::super::row::columns(population(), table, &row.finish());
    let shown: Vec<_> = columns.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(shown, [("#17", "#4"), ("#300", "mới"), ("person_id", "P1")]);
}
