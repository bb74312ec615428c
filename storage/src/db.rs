//! The state database: the only place (with `log_db`) that names rocksdb.
//!
//! It is written without a write-ahead log of its own: the site's log is the write-ahead log. Flushes are atomic over all
//! key spaces, so after a crash the database stands at one earlier point of the site's log, and the rest is applied again.

use std::path::{Path, PathBuf};

use rocksdb::{
    AsColumnFamilyRef, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, Direction, IteratorMode, MergeOperands, Options, ReadOptions, ReadTier, WriteBatch, WriteOptions,
    checkpoint::Checkpoint,
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
    db: rocksdb::DB,
    place: PathBuf,
}

impl Db {
    /// Opens, or makes, the database in `place`.
    ///
    /// # Errors
    /// [`StorageError::Database`] when the directory can't be used or holds something else.
    pub fn open(place: &Path, limits: DbLimits) -> Result<Self, StorageError> {
        let cache = Cache::new_lru_cache(limits.cache_bytes_max);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_atomic_flush(true);
        options.set_db_write_buffer_size(limits.write_buffer_bytes_max);
        options.set_max_background_jobs(2);
        options.set_max_open_files(256);
        options.set_keep_log_file_num(3);
        options.set_max_log_file_size(4 << 20);
        options.set_bytes_per_sync(1 << 20);
        let spaces = Space::ALL.map(|space| ColumnFamilyDescriptor::new(space.name(), space_options(space, &cache, limits)));
        let mut all = vec![ColumnFamilyDescriptor::new("default", Options::default())];
        all.extend(spaces);
        let db = rocksdb::DB::open_cf_descriptors(&options, place, all).map_err(|e| failed(place, e))?;
        Ok(Self { db, place: place.into() })
    }

    /// Opens the database in `place` for reading only, as `kho inspect` does.
    pub fn open_read_only(place: &Path) -> Result<Self, StorageError> {
        let mut options = Options::default();
        options.set_max_open_files(256);
        let cache = Cache::new_lru_cache(8 << 20);
        let mut all = vec![ColumnFamilyDescriptor::new("default", Options::default())];
        all.extend(Space::ALL.map(|space| ColumnFamilyDescriptor::new(space.name(), space_options(space, &cache, DbLimits::default()))));
        let db = rocksdb::DB::open_cf_descriptors_read_only(&options, place, all, false).map_err(|e| failed(place, e))?;
        Ok(Self { db, place: place.into() })
    }

    pub fn place(&self) -> &Path {
        &self.place
    }

    /// A consistent view of all key spaces.
    pub fn view(&self) -> View<'_> {
        View { db: self, snapshot: self.db.snapshot() }
    }

    /// The newest value of a key.
    pub fn value(&self, space: Space, key: &[u8]) -> Result<Option<rocksdb::DBPinnableSlice<'_>>, StorageError> {
        self.db.get_pinned_cf(self.space(space), key).map_err(|e| failed(&self.place, e))
    }

    /// The newest values of many keys, in their order.
    pub fn values<'k>(&self, space: Space, keys: impl Iterator<Item = &'k [u8]>) -> Result<Vec<Option<rocksdb::DBPinnableSlice<'_>>>, StorageError> {
        let handle = self.space(space);
        let keys: Vec<&[u8]> = keys.collect();
        self.db.batched_multi_get_cf(handle, keys, false).into_iter().map(|value| value.map_err(|e| failed(&self.place, e))).collect()
    }

    /// The value of a key that would survive a crash now.
    pub fn persisted_value(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::Persisted);
        self.db.get_cf_opt(self.space(space), key, &options).map_err(|e| failed(&self.place, e))
    }

    /// Writes everything in `set`, or nothing of it.
    pub fn write(&self, set: WriteSet) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        for operation in &set.operations {
            match operation {
                Operation::Put(space, key, value) => batch.put_cf(self.space(*space), key, value),
                Operation::Delete(space, key) => batch.delete_cf(self.space(*space), key),
                Operation::DeleteRange(space, from, to) => batch.delete_range_cf(self.space(*space), from, to),
                Operation::Add(key, amount) => batch.merge_cf(self.space(Space::Cubes), key, amount_bytes(*amount)),
            }
        }
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(batch, &options).map_err(|e| failed(&self.place, e))
    }

    /// Puts everything written so far on disk.
    pub fn flush(&self) -> Result<(), StorageError> {
        let handles: Vec<_> = Space::ALL.iter().map(|space| self.space(*space)).collect();
        self.db.flush_cfs_opt(&handles, &rocksdb::FlushOptions::default()).map_err(|e| failed(&self.place, e))
    }

    /// Flushes, then makes a hard-linked copy of the database in `target`, which must not exist.
    pub fn checkpoint(&self, target: &Path) -> Result<(), StorageError> {
        self.flush()?;
        let checkpoint = Checkpoint::new(&self.db).map_err(|e| failed(&self.place, e))?;
        checkpoint.create_checkpoint(target).map_err(|e| failed(target, e))
    }

    /// Bytes on disk of one key space, roughly, and keys in it, roughly.
    pub fn size(&self, space: Space) -> (u64, u64) {
        let number = |name| self.db.property_int_value_cf(self.space(space), name).ok().flatten().unwrap_or(0);
        (number("rocksdb.total-sst-files-size"), number("rocksdb.estimate-num-keys"))
    }

    fn space(&self, space: Space) -> &impl AsColumnFamilyRef {
        self.db.cf_handle(space.name()).expect("every key space is opened with the database")
    }
}

fn failed(place: &Path, source: rocksdb::Error) -> StorageError {
    StorageError::Database { place: place.display().to_string(), source: Box::new(source) }
}

fn space_options(space: Space, cache: &Cache, limits: DbLimits) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    table.set_format_version(5);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    if matches!(space, Space::Rows | Space::Meta) {
        table.set_bloom_filter(10.0, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_write_buffer_size(limits.write_buffer_bytes_max / 2);
    options.set_max_write_buffer_number(3);
    options.set_target_file_size_base(32 << 20);
    if space == Space::Cubes {
        options.set_merge_operator_associative("kho_sum", sum_amounts);
    }
    options
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

/// Adds amounts. Bytes that are no amount make the merge fail, so that a damaged cell is an error, not a wrong number.
fn sum_amounts(_key: &[u8], existing: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    let start = existing.map_or(Some(0), amount)?;
    let sum = operands.iter().try_fold(start, |sum, operand| Some(sum.saturating_add(amount(operand)?)))?;
    Some(amount_bytes(sum))
}

enum Operation {
    Put(Space, Vec<u8>, Vec<u8>),
    Delete(Space, Vec<u8>),
    DeleteRange(Space, Vec<u8>, Vec<u8>),
    Add(Vec<u8>, i64),
}

/// Changes that are written together.
#[derive(Default)]
pub struct WriteSet {
    operations: Vec<Operation>,
}

impl WriteSet {
    pub fn put(&mut self, space: Space, key: Vec<u8>, value: Vec<u8>) {
        self.operations.push(Operation::Put(space, key, value));
    }

    pub fn delete(&mut self, space: Space, key: Vec<u8>) {
        self.operations.push(Operation::Delete(space, key));
    }

    /// Takes away every key in `from .. to`.
    pub fn delete_range(&mut self, space: Space, from: Vec<u8>, to: Vec<u8>) {
        self.operations.push(Operation::DeleteRange(space, from, to));
    }

    /// Adds to a cube's cell.
    pub fn add(&mut self, cell: Vec<u8>, amount: i64) {
        self.operations.push(Operation::Add(cell, amount));
    }
}

/// A consistent view of the whole database at one moment.
pub struct View<'a> {
    db: &'a Db,
    snapshot: rocksdb::Snapshot<'a>,
}

impl View<'_> {
    pub fn value(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.snapshot.get_cf(self.db.space(space), key).map_err(|e| failed(&self.db.place, e))
    }

    /// Calls `visit` with every key and value in `from .. to`, in order, until it returns `false`.
    pub fn scan(&self, space: Space, from: &[u8], to: &[u8], mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, StorageError>) -> Result<(), StorageError> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to.to_vec());
        options.set_readahead_size(1 << 20);
        let mut iterator = self.snapshot.raw_iterator_cf_opt(self.db.space(space), options);
        iterator.seek(from);
        while let Some((key, value)) = iterator.item() {
            if !visit(key, value)? {
                return Ok(());
            }
            iterator.next();
        }
        iterator.status().map_err(|e| failed(&self.db.place, e))
    }

    /// The last key and value before `to` that is not before `from`.
    pub fn last_before(&self, space: Space, from: &[u8], to: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StorageError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from.to_vec());
        options.set_iterate_upper_bound(to.to_vec());
        let mut iterator = self.snapshot.iterator_cf_opt(self.db.space(space), options, IteratorMode::From(to, Direction::Reverse));
        match iterator.next() {
            None => Ok(None),
            Some(item) => item.map(|(key, value)| Some((key.into(), value.into()))).map_err(|e| failed(&self.db.place, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(place: &Path) -> Db {
        Db::open(place, DbLimits::default()).expect("a fresh directory")
    }

    #[test]
    fn what_is_written_together_is_seen_together_and_amounts_add_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let db = open(dir.path());
        let mut set = WriteSet::default();
        set.put(Space::Meta, vec![1], vec![2]);
        set.add(b"cell".to_vec(), 5);
        set.add(b"cell".to_vec(), -7);
        db.write(set).expect("writes");
        assert_eq!(db.value(Space::Meta, &[1]).expect("reads").as_deref(), Some(&[2][..]));
        assert_eq!(db.value(Space::Cubes, b"cell").expect("reads").as_deref().and_then(amount), Some(-2));
    }

    #[test]
    fn without_a_flush_a_crash_comes_back_to_the_last_flush_as_a_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let db = open(dir.path());
        let both = |n: u8| {
            let mut set = WriteSet::default();
            set.put(Space::Meta, vec![1], vec![n]);
            set.put(Space::Rows, vec![1], vec![n]);
            set
        };
        db.write(both(1)).expect("writes");
        db.flush().expect("flushes");
        db.write(both(2)).expect("writes");
        let persisted = |space| db.persisted_value(space, &[1]).expect("reads");
        assert_eq!((persisted(Space::Meta), persisted(Space::Rows)), (Some(vec![1]), Some(vec![1])));
    }

    #[test]
    fn a_checkpoint_holds_what_was_written_before_it_and_nothing_after() {
        let dir = tempfile::tempdir().expect("a directory");
        let db = open(&dir.path().join("state"));
        let put = |n: u8| {
            let mut set = WriteSet::default();
            set.put(Space::Rows, vec![n], vec![n]);
            db.write(set).expect("writes");
        };
        put(1);
        db.checkpoint(&dir.path().join("copy")).expect("checkpoints");
        put(2);
        let copy = Db::open_read_only(&dir.path().join("copy")).expect("opens");
        assert_eq!(copy.value(Space::Rows, &[1]).expect("reads").as_deref(), Some(&[1][..]));
        assert!(copy.value(Space::Rows, &[2]).expect("reads").is_none());
    }
}
