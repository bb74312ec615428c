//! One suite for both databases, and random histories in which they must not differ.

use proptest::prelude::*;

use super::*;

/// Runs `promise` on a database on disk and on one in memory.
fn on_both(promise: impl Fn(&str, &Db)) {
    let dir = tempfile::tempdir().expect("a directory");
    promise("on disk", &on_disk(dir.path()));
    promise("in memory", &Db::in_memory(MemoryImage::default()));
}

fn on_disk(place: &Path) -> Db {
    Db::open(place, DbLimits { cache_bytes_max: 1 << 20, write_buffer_bytes_max: 1 << 20 }).expect("a fresh directory")
}

fn put(space: Space, key: &[u8], value: &[u8]) -> WriteSet {
    let mut set = WriteSet::default();
    set.put(space, key.to_vec(), value.to_vec());
    set
}

fn all(db: &Db, space: Space) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let visit = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(true)
    };
    db.view().scan(space, &[], &[0xff; 8], visit).expect("reads");
    found
}

#[test]
fn what_is_written_together_is_seen_together_and_amounts_add_up() {
    on_both(|which, db| {
        let mut set = put(Space::Meta, &[1], &[2]);
        set.add(b"cell".to_vec(), 5);
        set.add(b"cell".to_vec(), -7);
        db.write(set).expect("writes");
        assert_eq!(db.value(Space::Meta, &[1]).expect("reads").as_deref(), Some(&[2][..]), "{which}");
        assert_eq!(db.value(Space::Cubes, b"cell").expect("reads").as_deref().and_then(amount), Some(-2), "{which}");
    });
}

#[test]
fn without_a_flush_a_crash_comes_back_to_the_last_flush_as_a_whole() {
    on_both(|which, db| {
        let both = |n: u8| {
            let mut set = put(Space::Meta, &[1], &[n]);
            set.put(Space::Rows, vec![1], vec![n]);
            set
        };
        db.write(both(1)).expect("writes");
        db.flush().expect("flushes");
        db.write(both(2)).expect("writes");
        let persisted = |space| db.persisted_value(space, &[1]).expect("reads");
        assert_eq!((persisted(Space::Meta), persisted(Space::Rows)), (Some(vec![1]), Some(vec![1])), "{which}");
    });
}

#[test]
fn a_view_stays_as_it_was_taken_whatever_is_written_later() {
    on_both(|which, db| {
        db.write(put(Space::Rows, b"a", b"1")).expect("writes");
        let view = db.view();
        db.write(put(Space::Rows, b"a", b"2")).expect("writes");
        db.write(put(Space::Rows, b"b", b"2")).expect("writes");
        assert_eq!(view.value(Space::Rows, b"a").expect("reads").as_deref(), Some(&b"1"[..]), "{which}");
        assert_eq!(view.last_before(Space::Rows, b"a", b"z").expect("reads"), Some((b"a".to_vec(), b"1".to_vec())), "{which}");
    });
}

#[test]
fn a_range_ends_before_its_end_and_a_scan_ends_when_its_visitor_says_so() {
    on_both(|which, db| {
        let mut set = WriteSet::default();
        (0..6u8).for_each(|n| set.put(Space::Rows, vec![n], vec![n]));
        db.write(set).expect("writes");
        let mut set = WriteSet::default();
        set.delete_range(Space::Rows, vec![1], vec![3]);
        // Nothing lies between these, in whatever order they are given.
        set.delete_range(Space::Rows, vec![5], vec![5]);
        db.write(set).expect("writes");
        let mut seen = Vec::new();
        let visit = |key: &[u8], _: &[u8]| {
            seen.push(key[0]);
            Ok(seen.len() < 2)
        };
        db.view().scan(Space::Rows, &[0], &[5], visit).expect("reads");
        assert_eq!(seen, [0, 3], "{which}");
        assert_eq!(all(db, Space::Rows).len(), 4, "{which}");
    });
}

#[test]
fn within_a_set_what_is_noted_later_wins() {
    on_both(|which, db| {
        let mut set = put(Space::Rows, b"a", b"1");
        set.delete_range(Space::Rows, b"a".to_vec(), b"b".to_vec());
        set.put(Space::Rows, b"a".to_vec(), b"2".to_vec());
        set.put(Space::Rows, b"c".to_vec(), b"3".to_vec());
        set.delete(Space::Rows, b"c".to_vec());
        db.write(set).expect("writes");
        assert_eq!(all(db, Space::Rows), [(b"a".to_vec(), b"2".to_vec())], "{which}");
    });
}

#[test]
fn a_damaged_cell_never_becomes_a_number() {
    on_both(|which, db| {
        db.write(put(Space::Cubes, b"cell", b"no amount")).expect("writes");
        let mut set = WriteSet::default();
        set.add(b"cell".to_vec(), 1);
        db.write(set).expect("writes");
        let read = db.value(Space::Cubes, b"cell").ok().flatten().as_deref().and_then(amount);
        assert_eq!(read, None, "{which}");
    });
}

#[test]
fn a_checkpoint_holds_what_was_written_before_it_and_nothing_after() {
    let dir = tempfile::tempdir().expect("a directory");
    let db = on_disk(&dir.path().join("state"));
    db.write(put(Space::Rows, &[1], &[1])).expect("writes");
    db.checkpoint(&dir.path().join("copy")).expect("checkpoints");
    db.write(put(Space::Rows, &[2], &[2])).expect("writes");
    let copy = Db::open_read_only(&dir.path().join("copy")).expect("opens");
    assert_eq!(copy.value(Space::Rows, &[1]).expect("reads").as_deref(), Some(&[1][..]));
    assert!(copy.value(Space::Rows, &[2]).expect("reads").is_none());
}

#[test]
fn an_image_holds_what_was_written_before_it_and_starts_a_database_of_its_own() {
    let db = Db::in_memory(MemoryImage::default());
    db.write(put(Space::Rows, &[1], &[1])).expect("writes");
    let image = db.image().expect("in memory");
    db.write(put(Space::Rows, &[2], &[2])).expect("writes");
    let copy = Db::in_memory(image.clone());
    copy.write(put(Space::Rows, &[3], &[3])).expect("writes");
    let keys = |db: &Db| all(db, Space::Rows).into_iter().map(|(key, _)| key[0]).collect::<Vec<_>>();
    assert_eq!((keys(&db), keys(&copy)), (vec![1, 2], vec![1, 3]));
    assert_eq!(copy.flushed_image(), Some(image), "what a database starts with is on its disk");
}

/// A write as a random test draws it: few keys, so that writes meet.
#[derive(Debug, Clone)]
enum Drawn {
    Put(Space, u8, u8),
    Delete(Space, u8),
    DeleteRange(Space, u8, u8),
    Add(u8, i8),
}

impl Drawn {
    fn note(&self, set: &mut WriteSet) {
        match *self {
            // Cells hold amounts, other spaces anything.
            Self::Put(Space::Cubes, key, value) => set.put(Space::Cubes, vec![key], amount_bytes(i64::from(value))),
            Self::Put(space, key, value) => set.put(space, vec![key], vec![value]),
            Self::Delete(space, key) => set.delete(space, vec![key]),
            Self::DeleteRange(space, from, to) => set.delete_range(space, vec![from.min(to)], vec![from.max(to)]),
            Self::Add(cell, amount) => set.add(vec![cell], i64::from(amount)),
        }
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let space = || prop::sample::select(Space::ALL.to_vec());
    prop_oneof![
        4 => (space(), 0..12u8, any::<u8>()).prop_map(|(space, key, value)| Drawn::Put(space, key, value)),
        1 => (space(), 0..12u8).prop_map(|(space, key)| Drawn::Delete(space, key)),
        1 => (space(), 0..12u8, 0..12u8).prop_map(|(space, from, to)| Drawn::DeleteRange(space, from, to)),
        2 => (0..12u8, any::<i8>()).prop_map(|(cell, amount)| Drawn::Add(cell, amount)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn disk_and_memory_give_the_same_answers_to_any_history(sets in prop::collection::vec(prop::collection::vec(drawn(), 1..8), 1..12), flushed_after in 0..12usize) {
        let dir = tempfile::tempdir().expect("a directory");
        let (disk, memory) = (on_disk(dir.path()), Db::in_memory(MemoryImage::default()));
        for (place, operations) in sets.iter().enumerate() {
            for db in [&disk, &memory] {
                let mut set = WriteSet::default();
                operations.iter().for_each(|operation| operation.note(&mut set));
                db.write(set).expect("writes");
                if place == flushed_after {
                    db.flush().expect("flushes");
                }
            }
            for space in Space::ALL {
                prop_assert_eq!(all(&disk, space), all(&memory, space));
                for key in 0..12u8 {
                    let (on_disk, in_memory) = (disk.value(space, &[key]).expect("reads"), memory.value(space, &[key]).expect("reads"));
                    prop_assert_eq!(on_disk.as_deref(), in_memory.as_deref());
                    prop_assert_eq!(disk.view().last_before(space, &[2], &[key]).expect("reads"), memory.view().last_before(space, &[2], &[key]).expect("reads"));
                }
            }
        }
        for (space, key) in Space::ALL.into_iter().flat_map(|space| (0..12u8).map(move |key| (space, key))) {
            prop_assert_eq!(disk.persisted_value(space, &[key]).expect("reads"), memory.persisted_value(space, &[key]).expect("reads"));
        }
    }
}
