//! Damage that a read meets is told, so that it is not forgotten.

use super::*;
use crate::{codec::FORMAT, db::WriteSet, keys::Space};

#[test]
fn damage_is_told_to_listeners_by_the_read_that_meets_it() {
    let tree = Tree::new();
    let district = tree.node("d", 3);
    let told = Arc::new(AtomicU64::new(0));
    let listener = Arc::clone(&told);
    district.warehouse.listen_for_damage(move |error| {
        assert!(error.is_damage(), "{error}");
        listener.fetch_add(1, Ordering::Relaxed);
    });
    assert!(district.warehouse.origin(DISTRICT).is_ok());
    let mut set = WriteSet::default();
    set.put(Space::Meta, Meta::Origin(DISTRICT).encode(), vec![FORMAT, 0xff, 1]);
    district.warehouse.db.load().write(set).expect("writable");
    assert!(district.warehouse.origin(DISTRICT).is_err() && district.warehouse.read(|view| view.origin(DISTRICT)).is_err());
    assert_eq!(told.load(Ordering::Relaxed), 2);
    let diverged = StorageError::Diverged { origin: DISTRICT, seq: StreamSeq(1), ours: Hash32::ZERO, theirs: Hash32::ZERO };
    assert!(!diverged.is_damage(), "another matter");
}
