//! The state database in memory: one ordered map per key space. A copy of all of it costs four pointers, so a simulated disk can
//! be flushed, crashed, rolled back and compared at any moment.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use parking_lot::RwLock;

use super::{Entry, Operation, WriteSet, amount, amount_bytes};
use crate::{error::StorageError, keys::Space};

type Bytes = Arc<[u8]>;

/// Everything that a database in memory held at one moment. Images share what they have in common.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MemoryImage {
    /// By the order of [`Space::ALL`].
    spaces: [Arc<BTreeMap<Bytes, Bytes>>; Space::ALL.len()],
}

impl MemoryImage {
    pub fn value(&self, space: Space, key: &[u8]) -> Option<&[u8]> {
        self.space(space).get(key).map(|value| &**value)
    }

    pub(super) fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        if from >= to {
            return Ok(());
        }
        for (key, value) in self.space(space).range::<[u8], _>(between(from, to)) {
            if !visit(key, value)? {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn last_before(&self, space: Space, from: &[u8], to: &[u8]) -> Option<Entry> {
        if from >= to {
            return None;
        }
        let (key, value) = self.space(space).range::<[u8], _>(between(from, to)).next_back()?;
        Some((key.to_vec(), value.to_vec()))
    }

    /// Bytes of values, and keys.
    pub(super) fn size(&self, space: Space) -> (u64, u64) {
        let values = self.space(space).values();
        (values.clone().map(|value| value.len() as u64).sum(), values.len() as u64)
    }

    fn space(&self, space: Space) -> &BTreeMap<Bytes, Bytes> {
        &self.spaces[space as usize]
    }

    /// Applies an operation. Copies the map of its space first when an image still shares it.
    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Put(space, key, value) => {
                self.space_mut(space).insert(key.into(), value.into());
            }
            Operation::Delete(space, key) => {
                if self.space(space).contains_key(&key[..]) {
                    self.space_mut(space).remove(&key[..]);
                }
            }
            Operation::DeleteRange(space, from, to) => {
                let gone: Vec<Bytes> = if from < to {
                    self.space(space).range::<[u8], _>(between(&from, &to)).map(|(key, _)| key.clone()).collect()
                } else {
                    Vec::new()
                };
                for key in gone {
                    self.space_mut(space).remove(&key);
                }
            }
            Operation::Add(cell, more) => {
                // A damaged cell stays as it is, so that whoever reads it finds out; it never becomes a wrong number.
                if let Some(held) = self.value(Space::Cubes, &cell).map_or(Some(0), amount) {
                    self.space_mut(Space::Cubes).insert(cell.into(), amount_bytes(held.saturating_add(more)).into());
                }
            }
        }
    }

    fn space_mut(&mut self, space: Space) -> &mut BTreeMap<Bytes, Bytes> {
        Arc::make_mut(&mut self.spaces[space as usize])
    }
}

/// Callers rule out ranges that end before they start: a map's range panics at those.
fn between<'k>(from: &'k [u8], to: &'k [u8]) -> (Bound<&'k [u8]>, Bound<&'k [u8]>) {
    (Bound::Included(from), Bound::Excluded(to))
}

/// A database in memory.
pub(super) struct MemoryDb {
    state: RwLock<State>,
}

struct State {
    newest: MemoryImage,
    flushed: MemoryImage,
}

impl MemoryDb {
    pub fn new(image: MemoryImage) -> Self {
        Self { state: RwLock::new(State { flushed: image.clone(), newest: image }) }
    }

    pub fn image(&self) -> MemoryImage {
        self.state.read().newest.clone()
    }

    pub fn flushed_image(&self) -> MemoryImage {
        self.state.read().flushed.clone()
    }

    pub fn value(&self, space: Space, key: &[u8]) -> Option<Bytes> {
        self.state.read().newest.space(space).get(key).cloned()
    }

    pub fn write(&self, set: WriteSet) {
        let mut state = self.state.write();
        set.operations.into_iter().for_each(|operation| state.newest.apply(operation));
    }

    pub fn flush(&self) {
        let mut state = self.state.write();
        state.flushed = state.newest.clone();
    }
}
