//! The state database: what is written together is seen together, or not at all.
//!
//! ```text
//! Db ─┬─ db/rocks.rs    RocksDB on disk: what a node runs on; the only place (with `log_db`) that names rocksdb
//!     └─ db/memory.rs   ordered maps in memory, copied at the cost of a pointer: what a simulated disk is made of
//! ```
//! It is written without a write-ahead log of its own: the site's log is the write-ahead log. Flushes are atomic over all
//! key spaces, so after a crash the database stands at one earlier point of the site's log, and the rest is applied again.
//!
//! Invariant: both pass one suite and give the same answers to any sequence of writes (`db/conformance.rs`).

#[cfg(test)]
mod conformance;
mod memory;
mod rocks;

use std::{
    ops::Deref,
    path::{Path, PathBuf},
};

pub use self::memory::MemoryImage;
pub(crate) use self::rocks::is_corruption;
use self::{
    memory::MemoryDb,
    rocks::{RocksDb, RocksValue, RocksView},
};
use crate::{
    codec::{FORMAT, put_varint, take_varint, unzigzag, zigzag},
    error::StorageError,
    keys::Space,
};

/// Memory that a node's state database may take, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct DbLimits {
    /// Blocks read and kept.
    pub cache_bytes_max: usize,
    /// Writes not yet flushed, over all key spaces.
    pub write_buffer_bytes_max: usize,
}

impl Default for DbLimits {
    fn default() -> Self {
        Self { cache_bytes_max: 64 << 20, write_buffer_bytes_max: 96 << 20 }
    }
}

/// An open state database.
pub struct Db {
    store: Store,
    place: PathBuf,
}

enum Store {
    Rocks(RocksDb),
    Memory(MemoryDb),
}

impl Db {
    /// Opens, or makes, the database in `place`.
    ///
    /// # Errors
    /// [`StorageError::Database`] when the directory can't be used or holds something else.
    pub fn open(place: &Path, limits: DbLimits) -> Result<Self, StorageError> {
        Ok(Self { store: Store::Rocks(RocksDb::open(place, limits)?), place: place.into() })
    }

    /// Opens the database in `place` for reading only, as `kho inspect` does.
    pub fn open_read_only(place: &Path) -> Result<Self, StorageError> {
        Ok(Self { store: Store::Rocks(RocksDb::open_read_only(place)?), place: place.into() })
    }

    /// A database in memory that starts as `image`, as if that had been found on a disk.
    pub fn in_memory(image: MemoryImage) -> Self {
        Self { store: Store::Memory(MemoryDb::new(image)), place: PathBuf::from("(memory)") }
    }

    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Everything written to a database in memory; `None` for one on disk.
    pub fn image(&self) -> Option<MemoryImage> {
        match &self.store {
            Store::Rocks(_) => None,
            Store::Memory(memory) => Some(memory.image()),
        }
    }

    /// What of a database in memory would survive a crash now; `None` for one on disk.
    pub fn flushed_image(&self) -> Option<MemoryImage> {
        match &self.store {
            Store::Rocks(_) => None,
            Store::Memory(memory) => Some(memory.flushed_image()),
        }
    }

    /// A consistent view of all key spaces.
    pub fn view(&self) -> View<'_> {
        match &self.store {
            Store::Rocks(rocks) => View::Rocks(rocks.view()),
            Store::Memory(memory) => View::Memory(memory.image()),
        }
    }

    /// The newest value of a key.
    pub fn value(&self, space: Space, key: &[u8]) -> Result<Option<DbValue<'_>>, StorageError> {
        match &self.store {
            Store::Rocks(rocks) => Ok(rocks.value(space, key)?.map(DbValue::Rocks)),
            Store::Memory(memory) => Ok(memory.value(space, key).map(DbValue::Memory)),
        }
    }

    /// The newest values of many keys, in their order.
    pub fn values<'k>(&self, space: Space, keys: impl Iterator<Item = &'k [u8]>) -> Result<Vec<Option<DbValue<'_>>>, StorageError> {
        match &self.store {
            Store::Rocks(rocks) => rocks.values(space, keys).map(|value| Ok(value?.map(DbValue::Rocks))).collect(),
            Store::Memory(memory) => Ok(keys.map(|key| memory.value(space, key).map(DbValue::Memory)).collect()),
        }
    }

    /// The value of a key that would survive a crash now.
    pub fn persisted_value(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        match &self.store {
            Store::Rocks(rocks) => rocks.persisted_value(space, key),
            Store::Memory(memory) => Ok(memory.flushed_image().value(space, key).map(<[u8]>::to_vec)),
        }
    }

    /// Writes everything in `set`, or nothing of it.
    pub fn write(&self, set: WriteSet) -> Result<(), StorageError> {
        match &self.store {
            Store::Rocks(rocks) => rocks.write(set),
            Store::Memory(memory) => {
                memory.write(set);
                Ok(())
            }
        }
    }

    /// Puts everything written so far on disk.
    pub fn flush(&self) -> Result<(), StorageError> {
        match &self.store {
            Store::Rocks(rocks) => rocks.flush(),
            Store::Memory(memory) => {
                memory.flush();
                Ok(())
            }
        }
    }

    /// Flushes, then makes a hard-linked copy of the database in `target`, which must not exist.
    ///
    /// # Errors
    /// [`StorageError::Database`] when the disk fails, and always in memory: there are no files to link.
    pub fn checkpoint(&self, target: &Path) -> Result<(), StorageError> {
        match &self.store {
            Store::Rocks(rocks) => rocks.checkpoint(target),
            Store::Memory(_) => Err(failed(target, "a database in memory has no files; take its image")),
        }
    }

    /// Bytes on disk of one key space, roughly, and keys in it, roughly.
    pub fn size(&self, space: Space) -> (u64, u64) {
        match &self.store {
            Store::Rocks(rocks) => rocks.size(space),
            Store::Memory(memory) => memory.image().size(space),
        }
    }
}

fn failed(place: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorageError {
    StorageError::Database { place: place.display().to_string(), source: source.into() }
}

/// A value as read: on disk it pins the block that holds it, so it is not kept for long.
pub enum DbValue<'a> {
    #[doc(hidden)]
    Rocks(RocksValue<'a>),
    #[doc(hidden)]
    Memory(std::sync::Arc<[u8]>),
}

impl Deref for DbValue<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Rocks(value) => value,
            Self::Memory(value) => value,
        }
    }
}

/// A key and its value, as read.
pub type Entry = (Vec<u8>, Vec<u8>);

/// A consistent view of the whole database at one moment.
pub enum View<'a> {
    #[doc(hidden)]
    Rocks(RocksView<'a>),
    #[doc(hidden)]
    Memory(MemoryImage),
}

impl View<'_> {
    pub fn value(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        match self {
            Self::Rocks(view) => view.value(space, key),
            Self::Memory(image) => Ok(image.value(space, key).map(<[u8]>::to_vec)),
        }
    }

    /// Calls `visit` with every key and value in `from .. to`, in order, until it returns `false`.
    pub fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        match self {
            Self::Rocks(view) => view.scan(space, from, to, visit),
            Self::Memory(image) => image.scan(space, from, to, visit),
        }
    }

    /// The last key and value before `to` that is not before `from`.
    pub fn last_before(&self, space: Space, from: &[u8], to: &[u8]) -> Result<Option<Entry>, StorageError> {
        match self {
            Self::Rocks(view) => view.last_before(space, from, to),
            Self::Memory(image) => Ok(image.last_before(space, from, to)),
        }
    }
}

/// A cube cell's amount as stored.
pub(crate) fn amount_bytes(amount: i64) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    put_varint(&mut bytes, zigzag(amount));
    bytes
}

/// Reads what [`amount_bytes`] wrote.
pub(crate) fn amount(bytes: &[u8]) -> Option<i64> {
    let (&format, mut rest) = bytes.split_first()?;
    let amount = take_varint(&mut rest).map(unzigzag)?;
    (format == FORMAT && rest.is_empty()).then_some(amount)
}

enum Operation {
    Put(Space, Vec<u8>, Vec<u8>),
    Delete(Space, Vec<u8>),
    DeleteRange(Space, Vec<u8>, Vec<u8>),
    Add(Vec<u8>, i64),
}

impl Operation {
    /// Roughly what the operation takes in a database's batch, in bytes.
    fn bytes(&self) -> usize {
        const OVERHEAD: usize = 16;
        OVERHEAD
            + match self {
                Self::Put(_, first, second) | Self::DeleteRange(_, first, second) => first.len() + second.len(),
                Self::Delete(_, key) | Self::Add(key, _) => key.len(),
            }
    }
}

/// Changes that are written together, in the order in which they were noted.
#[derive(Default)]
pub struct WriteSet {
    operations: Vec<Operation>,
    bytes: usize,
}

impl WriteSet {
    /// Roughly what the changes take in a database's batch, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, operation: Operation) {
        self.bytes += operation.bytes();
        self.operations.push(operation);
    }

    pub fn put(&mut self, space: Space, key: Vec<u8>, value: Vec<u8>) {
        self.push(Operation::Put(space, key, value));
    }

    pub fn delete(&mut self, space: Space, key: Vec<u8>) {
        self.push(Operation::Delete(space, key));
    }

    /// Takes away every key in `from .. to`.
    pub fn delete_range(&mut self, space: Space, from: Vec<u8>, to: Vec<u8>) {
        self.push(Operation::DeleteRange(space, from, to));
    }

    /// Adds to a cube's cell.
    pub fn add(&mut self, cell: Vec<u8>, amount: i64) {
        self.push(Operation::Add(cell, amount));
    }
}
