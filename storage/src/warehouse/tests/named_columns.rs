//! What a change does not name stays, at the author and at every holder of its stream, whichever way the stream comes.

use super::{
    transfers::{begin, piece_of, trim_all},
    *,
};
use crate::{
    command::{RowNeed, RowRefusal, TransferStatus},
    row::{ROW_BYTES_MAX, RowCells},
    stream::RowChange,
};

const PIN: ColumnId = ColumnId(4);
const NAME: ColumnId = ColumnId(6);
const BIRTH: ColumnId = ColumnId(7);
const MARITAL: ColumnId = ColumnId(12);
const RESIDENCE: ColumnId = ColumnId(13);

/// Sets `residence` and, where given, the PIN of a person; clears `cleared`.
fn moved(id: &str, residence: u32, pin: Option<&str>, cleared: &[ColumnId]) -> Change {
    let mut cells = RowBuilder::default();
    cells.push(ColumnId(1), &Value::Text(id.into()));
    if let Some(pin) = pin {
        cells.push(PIN, &Value::Text(pin.into()));
    }
    cells.push(RESIDENCE, &Value::Code(residence));
    let row = RowChange::Columns { cells: cells.finish().into(), cleared: cleared.to_vec() };
    Change { table: PERSON, key: id.as_bytes().to_vec().into(), row }
}

/// A request whose change at `change` needs what `required` and `excluded` say.
fn asking(key: &str, changes: Vec<Change>, change: u32, required: &[ColumnId], excluded: &[ColumnId]) -> WriteRequest {
    let need = RowNeed { change, required: required.to_vec(), excluded: excluded.to_vec() };
    WriteRequest { needs: vec![need], ..request(key, changes) }
}

/// The texts of some columns of a row; `None` where the row does not stand.
fn row(node: &Node, id: &str) -> Option<Vec<(ColumnId, String)>> {
    let table = population().table(PERSON).expect("persons");
    let row = node.warehouse.read(|view| view.row(DISTRICT, &node.state(), PERSON, id.as_bytes())).expect("reads")?;
    let text = |(column, value): (ColumnId, Value<'_>)| (column, value.to_text(population(), table.column(column).expect("known")));
    let shown = [PIN, NAME, BIRTH, MARITAL, RESIDENCE];
    Some(RowCells::trusted(&row.cells).iter().filter(|(column, _)| shown.contains(column)).map(text).collect())
}

fn texts<const N: usize>(cells: [(ColumnId, &str); N]) -> Option<Vec<(ColumnId, String)>> {
    Some(cells.map(|(column, text)| (column, text.to_owned())).to_vec())
}

fn is_committed(outcomes: &[WriteOutcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, WriteOutcome::Committed { repeated: false, .. }))
}

#[test]
fn what_changes_would_empty_is_counted_before_they_are_entered() {
    let tree = Tree::new();
    let mut district = tree.node("d", 3);
    district.write(10, vec![request("1", vec![person("a", 1, 0, "2000"), person("b", 1, 1, "2001")])]);
    let before = district.replica();
    let mut shorter = person("a", 2, 0, "2000");
    let mut row = RowBuilder::default();
    row.push(ColumnId(1), &Value::Text("a".into()));
    row.push(ColumnId(8), &Value::Code(0));
    shorter.row = RowChange::Whole(row.finish().into());
    let cleared = moved("b", 1, None, &[ColumnId(7), PIN]);
    let changes = [shorter, cleared, person("new", 1, 0, "2002"), gone("b")];
    let emptied = district.warehouse.read(|reading| reading.emptied_by(DISTRICT, &changes)).expect("reads");
    let of_persons = |column, fields| ((PERSON, ColumnId(column)), fields);
    // The PIN of `b` is empty already, and of the whole row of `a` four columns are left out that hold something.
    assert_eq!(emptied.into_iter().collect::<Vec<_>>(), [of_persons(7, 2), of_persons(13, 1), of_persons(14, 1), of_persons(15, 1)]);
    assert_eq!(district.replica(), before, "nothing is entered");
}

#[test]
fn promise_3_a_column_that_a_change_does_not_name_stays_and_an_empty_one_that_it_names_is_cleared() {
    let tree = Tree::new();
    let mut district = tree.node("d", 3);
    district.write(10, vec![request("1", vec![person("a", 1, 0, "2000-01-02")])]);
    district.write(11, vec![request("2", vec![moved("a", 1, Some("001"), &[])])]);
    assert_eq!(row(&district, "a"), texts([(PIN, "001"), (BIRTH, "2000-01-02"), (RESIDENCE, "temporary")]));
    district.write(12, vec![request("3", vec![moved("a", 2, None, &[BIRTH, MARITAL])])]);
    assert_eq!(row(&district, "a"), texts([(PIN, "001"), (RESIDENCE, "absent")]), "what is named empty is cleared, the PIN stays");
    district.prove();
    district.write(13, vec![request("4", vec![person("a", 1, 0, "1999")])]);
    assert_eq!(row(&district, "a"), texts([(BIRTH, "1999"), (RESIDENCE, "permanent")]), "a whole row replaces what stood");
    district.prove();
}

#[test]
fn promise_5_a_parent_merges_columns_as_the_author_does_batch_by_batch_and_by_a_whole_transfer() {
    let tree = Tree::new();
    let (mut district, mut province, mut late) = (tree.node("d", 3), tree.node("p", 2), tree.node("late", 2));
    let persons = (0..20).map(|n| person(&format!("p{n}"), n + 1, n % 2, "1980-05")).collect();
    district.write(10, vec![request("1", persons)]);
    tree.head(&mut district, 11);
    // Two requests of one batch meet the same row; a row goes and comes anew.
    let first = request("2", vec![moved("p0", 1, Some("001"), &[]), gone("p5"), moved("p1", 2, None, &[BIRTH])]);
    let second = request("3", vec![moved("p0", 2, None, &[BIRTH]), moved("p5", 1, Some("005"), &[])]);
    assert!(is_committed(&district.write(12, vec![first, second])));
    tree.head(&mut district, 13);
    assert_eq!(row(&district, "p0"), texts([(PIN, "001"), (RESIDENCE, "absent")]));
    assert_eq!(row(&district, "p5"), texts([(PIN, "005"), (RESIDENCE, "temporary")]), "nothing of the row that was taken away");

    assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Adopted(_)));
    assert_eq!((province.replica(), province.prove().digest), (district.replica(), district.prove().digest));

    // The first batch is forgotten, so that a site which comes later takes rows in pieces and merges the later batches over them.
    trim_all(&mut district, 2);
    let mut status = begin(&mut late, &district);
    let mut round = 0;
    while let Outcome::Transfer(TransferStatus::WantsPiece { from, .. }) = status {
        round += 1;
        // Before and behind the range that is read: changed, taken away, and come anew as some columns of a row.
        let changes = vec![moved("p0", round % 3, None, &[]), moved("p4", 1, Some(&format!("{round}")), &[BIRTH])];
        assert!(is_committed(&district.write(100 + i64::from(round), vec![request(&format!("w{round}"), changes)])));
        if round == 1 {
            assert!(is_committed(&district.write(110, vec![request("gone", vec![gone("p3"), gone("p1")])])));
            assert!(is_committed(&district.write(111, vec![request("anew", vec![moved("p3", 2, Some("003"), &[])])])));
        }
        status = late.take_piece(piece_of(&district, &from, 120));
    }
    assert!(round > 2, "several pieces were needed");
    let Outcome::Transfer(TransferStatus::WantsBatches { next, .. }) = status else { panic!("{status:?}") };
    tree.head(&mut district, 200);
    assert!(matches!(late.apply(&tree.adopt(district.segment(next.0))), Outcome::Adopted(_)));
    assert_eq!((late.replica(), late.prove().digest), (district.replica(), district.prove().digest));
}

#[test]
fn promise_10_a_new_row_needs_every_required_column_and_a_row_that_stands_does_not() {
    let tree = Tree::new();
    let mut district = tree.node("d", 3);
    let lacking =
        |key: &str, id: &str| asking(key, vec![person("other", 1, 0, "2000"), moved(id, 1, None, &[])], 1, &[NAME, RESIDENCE], &[]);
    let outcomes = district.write(10, vec![lacking("1", "a"), request("2", vec![person("b", 1, 1, "2001")])]);
    let why = RowRefusal::Incomplete { table: PERSON, columns: vec![NAME, RESIDENCE] };
    assert_eq!(outcomes[0], WriteOutcome::RowRefused { index: 1, why });
    assert!(is_committed(&outcomes[1..]), "its neighbour is committed");
    assert_eq!((row(&district, "a"), row(&district, "other")), (None, None), "the request was refused whole");
    assert!(is_committed(&district.write(11, vec![lacking("3", "b")])));
    // A row that an earlier request of the same entry takes away, or brings, counts.
    let outcomes =
        district.write(12, vec![request("4", vec![gone("b")]), lacking("5", "b"), request("6", vec![person("b", 1, 1, "2001")])]);
    assert!(matches!(outcomes[1], WriteOutcome::RowRefused { index: 1, why: RowRefusal::Incomplete { .. } }), "{outcomes:?}");
    let outcomes = district.write(13, vec![request("7", vec![person("c", 1, 1, "2001")]), lacking("8", "c")]);
    assert!(is_committed(&outcomes), "{outcomes:?}");
    district.prove();
}

#[test]
fn promise_10_a_column_that_stays_and_does_not_fit_what_is_set_refuses_the_request() {
    let tree = Tree::new();
    let mut district = tree.node("d", 3);
    district.write(10, vec![request("1", vec![person("a", 1, 0, "2000"), person("b", 1, 0, "2000")])]);
    district.write(11, vec![request("2", vec![moved("b", 0, None, &[BIRTH])])]);
    let excluding = |key: &str, id: &str| asking(key, vec![moved(id, 1, None, &[])], 0, &[], &[MARITAL, BIRTH]);
    let before = district.replica();
    let why = RowRefusal::ColumnExcluded { table: PERSON, column: BIRTH };
    assert_eq!(district.write(12, vec![excluding("3", "a")]), [WriteOutcome::RowRefused { index: 0, why }]);
    assert_eq!(district.replica(), before);
    assert!(is_committed(&district.write(13, vec![excluding("4", "b"), excluding("5", "new")])), "nothing stands there that does not fit");
}

#[test]
fn promise_10_a_row_that_would_grow_beyond_its_bound_refuses_the_request_and_of_a_careless_author_it_stays_as_it_is() {
    let tree = Tree::new();
    let (mut district, mut province) = (tree.node("d", 3), tree.node("p", 2));
    let long = |id: &str, column: u16| {
        let mut cells = RowBuilder::default();
        cells.push(ColumnId(column), &Value::Text("x".repeat(ROW_BYTES_MAX / 2).into()));
        let row = RowChange::Columns { cells: cells.finish().into(), cleared: vec![] };
        Change { table: PERSON, key: id.as_bytes().to_vec().into(), row }
    };
    district.write(10, vec![request("1", vec![long("a", 20)])]);
    let before = district.replica();
    let refused = district.write(11, vec![request("2", vec![long("a", 21)])]);
    let too_long = |why: &RowRefusal| matches!(why, RowRefusal::TooLong { bytes } if *bytes as usize > ROW_BYTES_MAX);
    assert!(matches!(&refused[0], WriteOutcome::RowRefused { index: 0, why } if too_long(why)), "{refused:?}");
    assert_eq!(district.replica(), before);
    assert!(is_committed(&district.write(12, vec![request("3", vec![long("a", 20)])])), "the same column again is no growth");

    // No entry makes a request that changes one row twice.
    assert!(is_committed(&district.write(13, vec![request("4", vec![long("z", 20), long("z", 21)])])));
    assert_eq!(district.prove().rows, 2);
    tree.head(&mut district, 14);
    assert!(matches!(province.apply(&tree.adopt(district.segment(1))), Outcome::Adopted(_)));
    assert_eq!((province.replica(), province.prove().digest), (district.replica(), district.prove().digest));
}
