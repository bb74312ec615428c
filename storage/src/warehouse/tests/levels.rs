//! A site works at one level, which is a part of its state.

use super::*;
use crate::{command::RowPlace, level::SUPPORTED_IN_TESTS, row::RowCells};

/// The column of persons that exists from the test level on.
const TEST_NOTE: ColumnId = ColumnId(1_024);

fn note(text: &str) -> Command {
    Command::NoteTest { note: text.into() }
}

fn raise(to: Level) -> Command {
    Command::RaiseLevel { to }
}

/// The config of the district with a build that supports both levels.
fn newer(tree: &Tree) -> WarehouseConfig {
    WarehouseConfig { levels: SUPPORTED_IN_TESTS, ..tree.config(3) }
}

fn node(place: &Path, config: WarehouseConfig) -> Result<Node, StorageError> {
    Warehouse::open(place, config).map(|warehouse| Node { warehouse, applied: 0 })
}

fn is_not_supported(error: &StorageError) -> bool {
    matches!(error, StorageError::LevelNotSupported { level: Level::TEST, .. })
}

#[test]
fn a_level_is_raised_by_a_command_alone_and_never_falls() {
    let (tree, dir) = (Tree::new(), tempfile::tempdir().expect("a directory"));
    let mut site = node(dir.path(), newer(&tree)).expect("a fresh directory");
    assert_eq!(site.warehouse.level(), Level::FOUNDING, "a newer build alone raises nothing");
    assert_eq!(site.apply(&raise(Level::TEST)), Outcome::LevelStands { level: Level::TEST });
    assert_eq!(site.warehouse.level(), Level::TEST);
    assert_eq!(site.apply(&raise(Level::FOUNDING)), Outcome::LevelStands { level: Level::TEST });
    site.warehouse.flush().expect("flushes");
    drop(site);
    assert_eq!(node(dir.path(), newer(&tree)).expect("its own state").warehouse.level(), Level::TEST);
}

#[test]
fn a_command_above_the_level_of_the_site_is_refused_and_changes_nothing() {
    let (tree, dir) = (Tree::new(), tempfile::tempdir().expect("a directory"));
    let mut site = node(dir.path(), newer(&tree)).expect("a fresh directory");
    let refused = Outcome::Refused(Refusal::AboveLevel { command: Level::TEST, site: Level::FOUNDING });
    assert_eq!(site.apply(&note("too early")), refused);
    assert_eq!(site.warehouse.test_note().expect("reads"), None);
    site.apply(&raise(Level::TEST));
    assert_eq!(site.apply(&note("in time")), Outcome::Recorded);
    assert_eq!(site.warehouse.test_note().expect("reads").as_deref(), Some("in time"));
}

/// A person with the column of the test level.
fn noted(id: &str) -> Change {
    let plain = person(id, 1, 0, "2000");
    let mut row = RowBuilder::default();
    RowCells::trusted(plain.cells().expect("it is put")).iter().for_each(|(column, value)| row.push(column, &value));
    row.push(TEST_NOTE, &Value::Text("noted".into()));
    Change { row: RowChange::Whole(row.finish().into()), ..plain }
}

#[test]
fn a_column_above_the_level_of_the_site_is_neither_entered_nor_adopted() {
    let tree = Tree::new();
    let open = |name: &str, site| {
        let config = WarehouseConfig { levels: SUPPORTED_IN_TESTS, ..tree.config(site) };
        let mut opened = node(&tree.dir.path().join(name), config).expect("a fresh directory");
        opened.apply(&tree.register());
        opened
    };
    let (mut district, mut province) = (open("district", 3), open("province", 2));
    let write = |key: &str, change| Command::Write { site_time: SiteTime(5), origin: DISTRICT, requests: vec![request(key, vec![change])] };
    let mut key_alone = RowBuilder::default();
    key_alone.push(ColumnId(1), &Value::Text("p1".into()));
    let clears = RowChange::Columns { cells: key_alone.finish().into(), cleared: vec![TEST_NOTE] };
    let above = Outcome::Refused(Refusal::AboveLevel { command: Level::TEST, site: Level::FOUNDING });
    for (key, change) in [("set", noted("p1")), ("cleared", Change { row: clears, ..noted("p1") })] {
        assert_eq!(district.apply(&write(key, change)), above, "{key}");
    }
    assert_eq!(district.state().rows, 0);
    district.apply(&raise(Level::TEST));
    assert!(matches!(district.apply(&write("in time", noted("p1"))), Outcome::Written(_)));
    tree.head(&mut district, 100);

    let segment = district.segment(1);
    let (origin, seq, column, level) = (DISTRICT, StreamSeq(1), TEST_NOTE, Level::FOUNDING);
    let refused = Outcome::Refused(Refusal::ColumnAboveLevel { origin, seq, column, level });
    assert_eq!(province.apply(&tree.adopt(segment.clone())), refused);
    let piece = district.warehouse.read(|reading| reading.piece(DISTRICT, &RowPlace::default(), 1 << 16)).expect("reads").expect("held");
    assert_eq!(province.take_piece(piece), above);
    assert_eq!((province.state().rows, province.evidence()), (0, 0), "nothing of it is kept, and nobody is accused");
    province.apply(&raise(Level::TEST));
    assert!(matches!(province.apply(&tree.adopt(segment)), Outcome::Adopted(_)));
    assert_eq!(province.replica(), district.replica());
    assert_eq!(province.prove().rows, 1);
}

#[test]
fn a_build_that_does_not_support_the_level_opens_no_state_and_applies_nothing() {
    let (tree, dir) = (Tree::new(), tempfile::tempdir().expect("a directory"));
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    let older = node(&ours, tree.config(3)).expect("a fresh directory").warehouse;
    let before = older.applied().expect("reads");
    let mark = AppliedMark { applied: vec![9].into(), membership: Blob::default() };
    let error = older.apply(&mark, Some(&raise(Level::TEST))).expect_err("a level that it does not support");
    assert!(is_not_supported(&error) && error.to_string().contains("level 2"), "{error}");
    assert!(older.level_fault().is_some_and(|fault| is_not_supported(&fault)));
    assert_eq!((older.applied().expect("reads"), older.level()), (before, Level::FOUNDING), "nothing was written");
    drop(older);
    assert!(node(&ours, tree.config(3)).is_ok(), "the state stands where it stood");

    let mut raised = node(&theirs, newer(&tree)).expect("a fresh directory");
    raised.apply(&raise(Level::TEST));
    raised.warehouse.flush().expect("flushes");
    drop(raised);
    let error = node(&theirs, tree.config(3)).err().expect("a state of a level that it does not support");
    assert!(is_not_supported(&error), "{error}");
    node(&theirs, newer(&tree)).expect("the state is whole for a build that supports it");
}

#[test]
fn a_received_state_of_a_level_that_the_build_does_not_support_does_not_take_the_place_of_the_one_that_stands() {
    let (tree, dir) = (Tree::new(), tempfile::tempdir().expect("a directory"));
    let (ours, theirs, received) = (dir.path().join("ours"), dir.path().join("theirs"), dir.path().join("received"));
    let older = node(&ours, tree.config(3)).expect("a fresh directory").warehouse;
    let mut raised = node(&theirs, newer(&tree)).expect("a fresh directory");
    raised.apply(&raise(Level::TEST));
    raised.warehouse.checkpoint(&received).expect("checkpoints");
    let error = older.replace_with(&received).expect_err("a level that it does not support");
    assert!(is_not_supported(&error), "{error}");
    drop(older);
    assert_eq!(node(&ours, tree.config(3)).expect("the state that stood").warehouse.level(), Level::FOUNDING);
}
