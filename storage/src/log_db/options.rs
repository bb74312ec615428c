//! How RocksDB keeps the log.

use rocksdb::{BlockBasedOptions, Cache, Options};

/// Entries collect in memory up to this size before they become a file.
const WRITE_BUFFER_BYTES: usize = 16 << 20;
/// The log is read forwards and seldom twice.
const BLOCK_CACHE_BYTES: usize = 4 << 20;
/// Beyond this the oldest write-ahead log is given up by flushing what it holds.
const WAL_BYTES_MAX: u64 = 64 << 20;

pub(super) fn options() -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    // Entries live for minutes and go with their files: compressing them costs more than the disk they would save.
    options.set_compression_type(rocksdb::DBCompressionType::None);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_max_background_jobs(2);
    options.set_max_open_files(64);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options
}
