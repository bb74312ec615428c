//! Cubes are state: a state is read only under the cubes that it counts.

use super::*;

/// The config of a site whose schema declares no cube.
fn without_cubes(tree: &Tree) -> WarehouseConfig {
    let mut config = tree.config(3);
    Arc::make_mut(&mut config.schema).cubes.clear();
    config
}

fn remove(warehouse: &Warehouse, meta: &Meta) {
    let mut set = WriteSet::default();
    set.delete(Space::Meta, meta.encode());
    warehouse.db.load().write(set).expect("writes");
    warehouse.flush().expect("flushes");
}

#[test]
fn a_state_is_not_opened_under_a_schema_with_other_cubes_in_either_direction() {
    let (tree, dir) = (Tree::new(), tempfile::tempdir().expect("a directory"));
    for (name, first, second) in [("counted", tree.config(3), without_cubes(&tree)), ("bare", without_cubes(&tree), tree.config(3))] {
        let place = dir.path().join(name);
        Warehouse::open(&place, first.clone()).expect("a fresh directory").flush().expect("flushes");
        let Err(StorageError::OtherCubes { found, declared, .. }) = Warehouse::open(&place, second.clone()) else {
            panic!("{name} was opened under other cubes")
        };
        assert_eq!((found, declared), (first.schema.cubes_fingerprint(), second.schema.cubes_fingerprint()));
        Warehouse::open(&place, first).expect("the cubes it counts");
    }
}

#[test]
fn an_older_state_without_a_fingerprint_counts_as_one_of_the_population_schema_and_gets_it() {
    let (tree, dir) = (Tree::new(), tempfile::tempdir().expect("a directory"));
    remove(&Warehouse::open(dir.path(), tree.config(3)).expect("a fresh directory"), &Meta::Cubes);
    assert!(matches!(Warehouse::open(dir.path(), without_cubes(&tree)), Err(StorageError::OtherCubes { .. })));
    let opened = Warehouse::open(dir.path(), tree.config(3)).expect("its own cubes");
    let kept: Option<Hash32> = read_meta(&opened.db.load(), &Meta::Cubes).expect("reads");
    assert_eq!(kept, Some(population().cubes_fingerprint()));
}

#[test]
fn a_received_state_with_other_cubes_does_not_take_the_place_of_the_one_that_stands() {
    let (tree, dir) = (Tree::new(), tempfile::tempdir().expect("a directory"));
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    let warehouse = Warehouse::open(&ours, tree.config(3)).expect("a fresh directory");
    Warehouse::open(&theirs, without_cubes(&tree))
        .expect("a fresh directory")
        .checkpoint(&dir.path().join("received"))
        .expect("checkpoints");
    assert!(matches!(warehouse.replace_with(&dir.path().join("received")), Err(StorageError::OtherCubes { .. })));
    drop(warehouse);
    Warehouse::open(&ours, tree.config(3)).expect("the state that stood");
}
