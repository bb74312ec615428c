//! How RocksDB keeps the log.

use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DEFAULT_COLUMN_FAMILY_NAME, Options};

use crate::direct_writes::takes_direct_writes;

/// Entries collect in memory up to this size before they become a file.
const WRITE_BUFFER_BYTES: usize = 16 << 20;
/// The log is read forwards and seldom twice.
const BLOCK_CACHE_BYTES: usize = 4 << 20;
/// Beyond this the oldest write-ahead log is given up by flushing what it holds.
const WAL_BYTES_MAX: u64 = 64 << 20;

/// Write-ahead logs that are written over instead of removed. A sync of one whose blocks are there and filled waits for its bytes
/// alone; of a fresh one also for the file system's own log, which all that is written on this disk shares.
const WALS_KEPT_MAX: usize = 3;

/// The column family of the log's metadata. Metadata are written again and again beside all entries. In one family with them every
/// file would overlap every other, and be rewritten each time files are merged. Files of entries alone follow one another: they are
/// moved as they are, and are deleted whole when what they hold is purged.
pub(super) const LOG_META: &str = "log_meta";

/// The options for a log in `dir`, which may not exist yet.
pub(super) fn options(dir: &Path) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // Metadata leave memory with the entries, so that no write-ahead log is kept for their sake.
    options.set_atomic_flush(true);
    // What leaves memory is hardly read again: it need not pass through the system's cache.
    options.set_use_direct_io_for_flush_and_compaction(takes_direct_writes(dir));
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_recycle_log_file_num(WALS_KEPT_MAX);
    options.set_max_background_jobs(2);
    options.set_max_open_files(128);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options
}

/// Entries, in RocksDB's default column family, and metadata.
pub(super) fn families() -> [ColumnFamilyDescriptor; 2] {
    let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
    [DEFAULT_COLUMN_FAMILY_NAME, LOG_META].map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache)))
}

fn family_options(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    // Entries live for minutes and go with their files: compressing them costs more than the disk they would save.
    options.set_compression_type(rocksdb::DBCompressionType::None);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options
}
