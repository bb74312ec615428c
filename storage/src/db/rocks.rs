//! The state database on disk, by RocksDB.

use std::path::{Path, PathBuf};

use rocksdb::{
    AsColumnFamilyRef, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBPinnableSlice, Direction, IteratorMode,
    MergeOperands, Options, ReadOptions, ReadTier, WriteBatch, WriteOptions, checkpoint::Checkpoint,
};

use super::{DbLimits, Entry, Operation, WriteSet, amount, amount_bytes, failed};
use crate::{direct_writes::takes_direct_writes, error::StorageError, keys::Space};

/// The fastest level: rows are compressed by it while the node has other things to do.
const ZSTD_LEVEL: i32 = 1;
/// RocksDB wants these beside the level; zstd does not use them.
const ZLIB_WINDOW_BITS: i32 = -14;
const ZLIB_STRATEGY: i32 = 0;
const NO_DICTIONARY: i32 = 0;
/// Part of a memtable that its filter may take.
const MEMTABLE_FILTER_PART: f64 = 0.05;

/// So many files that left memory are merged at a time with all that is older: half as often as by RocksDB's own choice.
const LEVEL_0_FILES: i32 = 8;

/// A file at the bottom is left alone for so long: each view that ends would have all files rewritten that were moved there as they
/// are, and with batches of streams that is all that leaves memory. What a view held back from being forgotten goes later.
const BOTTOM_DELAY_SECONDS: u32 = 24 * 3600;

/// A database in a directory.
pub struct RocksDb {
    db: rocksdb::DB,
    place: PathBuf,
}

/// A value and the block that it pins.
pub type RocksValue<'a> = DBPinnableSlice<'a>;

impl RocksDb {
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
        // What is written here is read again by merging at most, but for few rows: the block cache holds those.
        options.set_use_direct_io_for_flush_and_compaction(takes_direct_writes(place));
        let db = rocksdb::DB::open_cf_descriptors(&options, place, families(&cache, limits)).map_err(|e| failed(place, e))?;
        let db = Self { db, place: place.into() };
        // The binding has no setter for this one.
        let delay = BOTTOM_DELAY_SECONDS.to_string();
        for space in Space::ALL {
            db.db.set_options_cf(db.space(space), &[("bottommost_file_compaction_delay", &delay)]).map_err(|e| failed(place, e))?;
        }
        Ok(db)
    }

    pub fn open_read_only(place: &Path) -> Result<Self, StorageError> {
        let mut options = Options::default();
        options.set_max_open_files(256);
        let cache = Cache::new_lru_cache(8 << 20);
        let db = rocksdb::DB::open_cf_descriptors_read_only(&options, place, families(&cache, DbLimits::default()), false)
            .map_err(|e| failed(place, e))?;
        Ok(Self { db, place: place.into() })
    }

    pub fn view(&self) -> RocksView<'_> {
        RocksView { db: self, snapshot: self.db.snapshot() }
    }

    pub fn value(&self, space: Space, key: &[u8]) -> Result<Option<RocksValue<'_>>, StorageError> {
        self.db.get_pinned_cf(self.space(space), key).map_err(|e| failed(&self.place, e))
    }

    pub fn values<'k>(
        &self,
        space: Space,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> impl Iterator<Item = Result<Option<RocksValue<'_>>, StorageError>> {
        let handle = self.space(space);
        let keys: Vec<&[u8]> = keys.collect();
        self.db.batched_multi_get_cf(handle, keys, false).into_iter().map(|value| value.map_err(|e| failed(&self.place, e)))
    }

    pub fn persisted_value(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::Persisted);
        self.db.get_cf_opt(self.space(space), key, &options).map_err(|e| failed(&self.place, e))
    }

    pub fn write(&self, set: WriteSet) -> Result<(), StorageError> {
        // In one piece from the start: what grows is copied again and again.
        let mut batch = WriteBatch::with_capacity_bytes(set.bytes());
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

    pub fn flush(&self) -> Result<(), StorageError> {
        let handles: Vec<_> = Space::ALL.iter().map(|space| self.space(*space)).collect();
        self.db.flush_cfs_opt(&handles, &rocksdb::FlushOptions::default()).map_err(|e| failed(&self.place, e))
    }

    pub fn checkpoint(&self, target: &Path) -> Result<(), StorageError> {
        self.flush()?;
        let checkpoint = Checkpoint::new(&self.db).map_err(|e| failed(&self.place, e))?;
        checkpoint.create_checkpoint(target).map_err(|e| failed(target, e))
    }

    pub fn size(&self, space: Space) -> (u64, u64) {
        let number = |name| self.db.property_int_value_cf(self.space(space), name).ok().flatten().unwrap_or(0);
        (number("rocksdb.total-sst-files-size"), number("rocksdb.estimate-num-keys"))
    }

    fn space(&self, space: Space) -> &impl AsColumnFamilyRef {
        self.db.cf_handle(space.name()).expect("every key space is opened with the database")
    }
}

/// Whether an error of the database says that its files are damaged.
pub fn is_corruption(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<rocksdb::Error>().is_some_and(|error| error.kind() == rocksdb::ErrorKind::Corruption)
}

fn families(cache: &Cache, limits: DbLimits) -> Vec<ColumnFamilyDescriptor> {
    let mut all = vec![ColumnFamilyDescriptor::new("default", Options::default())];
    all.extend(Space::ALL.map(|space| ColumnFamilyDescriptor::new(space.name(), space_options(space, cache, limits))));
    all
}

fn space_options(space: Space, cache: &Cache, limits: DbLimits) -> Options {
    let mut options = Options::default();
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    table.set_format_version(5);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    if matches!(space, Space::Rows | Space::Meta) {
        table.set_bloom_filter(10.0, false);
        // Most rows that are written are new: the filter says so without a search in the memtable.
        options.set_memtable_prefix_bloom_ratio(MEMTABLE_FILTER_PART);
        options.set_memtable_whole_key_filtering(true);
    }
    options.set_block_based_table_factory(&table);
    if space == Space::Streams {
        // Batches come in the order of their keys and are trimmed once they are acknowledged. With one compression all the way their
        // files are moved down as they are; with two, each would be written again.
        options.set_compression_type(DBCompressionType::Lz4);
    } else {
        // What leaves memory is soon merged with what is older, and compressed then.
        options.set_compression_per_level(&[DBCompressionType::None, DBCompressionType::Lz4]);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        options.set_bottommost_compression_options(ZLIB_WINDOW_BITS, ZSTD_LEVEL, ZLIB_STRATEGY, NO_DICTIONARY, true);
    }
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_level_zero_file_num_compaction_trigger(LEVEL_0_FILES);
    options.set_write_buffer_size(limits.write_buffer_bytes_max / 2);
    options.set_max_write_buffer_number(3);
    options.set_target_file_size_base(32 << 20);
    if space == Space::Cubes {
        options.set_merge_operator_associative("kho_sum", sum_amounts);
    }
    options
}

/// Adds amounts. Bytes that are no amount make the merge fail, so that a damaged cell is an error, not a wrong number.
fn sum_amounts(_key: &[u8], existing: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    let start = existing.map_or(Some(0), amount)?;
    let sum = operands.iter().try_fold(start, |sum, operand| Some(sum.saturating_add(amount(operand)?)))?;
    Some(amount_bytes(sum))
}

/// A consistent view, by a snapshot of RocksDB: it pins old data on disk.
pub struct RocksView<'a> {
    db: &'a RocksDb,
    snapshot: rocksdb::Snapshot<'a>,
}

impl RocksView<'_> {
    pub fn value(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.snapshot.get_cf(self.db.space(space), key).map_err(|e| failed(&self.db.place, e))
    }

    pub fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
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

    pub fn last_before(&self, space: Space, from: &[u8], to: &[u8]) -> Result<Option<Entry>, StorageError> {
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

    #[test]
    fn a_flipped_byte_in_a_file_is_told_as_damage_by_the_read_that_meets_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let limits = DbLimits { cache_bytes_max: 1 << 20, write_buffer_bytes_max: 8 << 20 };
        let all = |db: &RocksDb| db.view().scan(Space::Rows, &[0], &[0xff], |_, _| Ok(true));
        {
            let db = RocksDb::open(dir.path(), limits).expect("a fresh folder");
            let mut set = WriteSet::default();
            (0..2_000_u32).for_each(|row| set.put(Space::Rows, row.to_be_bytes().to_vec(), vec![7; 100]));
            db.write(set).expect("writable");
            db.flush().expect("writable");
            assert!(all(&db).is_ok());
        }
        let files = std::fs::read_dir(dir.path()).expect("readable").filter_map(Result::ok).map(|entry| entry.path());
        let tables = files.filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
        let largest = tables.max_by_key(|path| std::fs::metadata(path).map_or(0, |metadata| metadata.len())).expect("a table of rows");
        let mut bytes = std::fs::read(&largest).expect("readable");
        let place = bytes.len() / 3;
        bytes[place] ^= 1;
        std::fs::write(&largest, bytes).expect("writable");
        let db = RocksDb::open(dir.path(), limits).expect("the damage lies in a block of rows");
        let error = all(&db).expect_err("a checksum that does not fit");
        assert!(error.is_damage(), "{error}");
        assert!(!failed(dir.path(), "no space").is_damage());
    }
}
