//! How RocksDB keeps the log.

use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, Options};

use crate::direct_writes::takes_direct_writes;

/// Entries collect in memory up to this size before they become a file.
const WRITE_BUFFER_BYTES: usize = 16 << 20;
/// The log is read forwards and seldom twice.
const BLOCK_CACHE_BYTES: usize = 4 << 20;
/// Beyond this the oldest write-ahead log is given up by flushing what it holds.
const WAL_BYTES_MAX: u64 = 64 << 20;

/// So many files that left memory are merged at a time. Words are written beside all entries, so every file overlaps every other and
/// none can be moved as it is; by the time that so many have come together, most of what they hold is purged.
const LEVEL_0_FILES: i32 = 24;
/// Writes wait for merging only far beyond that.
const LEVEL_0_FILES_MAX: i32 = 4 * LEVEL_0_FILES;

/// The options for a log in `dir`, which may not exist yet.
pub(super) fn options(dir: &Path) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    // Entries live for minutes and go with their files: compressing them costs more than the disk they would save.
    options.set_compression_type(rocksdb::DBCompressionType::None);
    // What leaves memory is hardly read again: it need not pass through the system's cache.
    options.set_use_direct_io_for_flush_and_compaction(takes_direct_writes(dir));
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_level_zero_file_num_compaction_trigger(LEVEL_0_FILES);
    options.set_level_zero_slowdown_writes_trigger(LEVEL_0_FILES_MAX);
    options.set_level_zero_stop_writes_trigger(LEVEL_0_FILES_MAX);
    options.set_max_background_jobs(2);
    options.set_max_open_files(128);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options
}
