//! The site's agreed log on this node's disk: entries by index, and the hard state that a consensus must not forget.
//!
//! ```text
//! key                     value (behind format byte and checksum)
//! 'e' index (u64, BE)     bytes of all entries up to this one (u64, LE), entry
//! 'm' name                log metadata, opaque bytes: vote, committed, purged (the last behind the purged index, u64, LE)
//! ```
//!
//! All bytes are the consensus' own; this file knows indexes and sizes only. Entries and metadata are two column families of one
//! database and go through one write-ahead log. So whatever [`LogDb::sync`] makes durable, it makes durable together with
//! everything that was written before.
//!
//! Entries up to the purged index may still be on the disk; they are never read.
//!
//! Invariants: entries are consecutive (test `an_entry_that_leaves_a_hole_is_refused`); a purged entry is never read again (test
//! `truncated_and_purged_entries_stay_away_after_a_restart`); a damaged entry is never handed out
//! (test `a_flipped_byte_is_reported_with_the_entry_it_hit`); a log that lost a write it had synced is never opened (test
//! `promise_1_a_log_that_lost_what_it_had_synced_is_refused`).

mod error;
mod frame;
mod log_meta;
mod options;
mod synced_mark;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use rocksdb::{ColumnFamily, DB, DEFAULT_COLUMN_FAMILY_NAME, Direction, FlushOptions, IteratorMode, ReadOptions, WriteBatch, WriteOptions};

pub use error::LogDbError;
use frame::Unopened;
pub(crate) use frame::{framed, opened};
pub use log_meta::LogMeta;
use options::{families, options};
use synced_mark::{SyncedMark, WriteNumber};

const TOTAL_BYTES: usize = 8;
const ENTRY: u8 = b'e';

/// An entry as it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    pub index: u64,
    pub bytes: Vec<u8>,
}

/// Which entries are there: the half-open range `first..next`. A log that was purged to its end is empty, and goes on behind what
/// was purged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LogExtent {
    /// First index held, or the next one when the log is empty.
    pub first: u64,
    /// First index not held; equal to `first` when the log is empty.
    pub next: u64,
}

impl LogExtent {
    pub fn is_empty(self) -> bool {
        self.first == self.next
    }

    /// Last index held; `None` when the log is empty.
    pub fn last(self) -> Option<u64> {
        (!self.is_empty()).then(|| self.next - 1)
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tail {
    extent: LogExtent,
    /// Bytes of all entries ever appended up to the last one. Only differences mean something.
    total_bytes: u64,
}

impl Tail {
    /// What is left once all up to `index` is purged.
    fn purged_to(self, index: u64) -> Self {
        let first = self.extent.first.max(index.saturating_add(1));
        if first < self.extent.next {
            Self { extent: LogExtent { first, ..self.extent }, ..self }
        } else {
            Self { extent: LogExtent { first, next: first }, total_bytes: 0 }
        }
    }
}

/// The log database. Writes are ordered by their caller; reads may run beside them.
pub struct LogDb {
    db: DB,
    dir: PathBuf,
    tail: Mutex<Tail>,
    synced: SyncedMark,
    written_bytes: AtomicU64,
}

impl LogDb {
    /// Opens the log at `dir`, or makes an empty one.
    ///
    /// # Errors
    /// [`LogDbError`]; the fault is local.
    pub fn open(dir: &Path) -> Result<Self, LogDbError> {
        let failed = |reason: String| LogDbError::Io { dir: dir.to_owned(), verb: "opened", reason };
        let db = DB::open_cf_descriptors(&options(dir), dir, families()).map_err(|e| failed(e.to_string()))?;
        let synced = SyncedMark::open(dir).map_err(|e| failed(e.to_string()))?;
        let log = Self { db, dir: dir.to_owned(), tail: Mutex::default(), synced, written_bytes: AtomicU64::new(0) };
        let (wanted, found) = (log.synced.noted(), log.written());
        if found < wanted {
            return Err(LogDbError::TailLost { dir: dir.to_owned(), wanted: wanted.0, found: found.0 });
        }
        let tail = log.read_tail()?;
        *log.tail.lock() = tail;
        Ok(log)
    }

    fn entries(&self) -> &ColumnFamily {
        self.family(DEFAULT_COLUMN_FAMILY_NAME)
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("every family is opened with the database")
    }

    /// Which entries are there now.
    pub fn extent(&self) -> LogExtent {
        self.tail.lock().extent
    }

    /// Appends consecutive entries in one write. They can be read at once, but outlast a power failure only after [`Self::sync`].
    ///
    /// # Errors
    /// [`LogDbError::NotConsecutive`] before anything is written, or [`LogDbError::Io`].
    pub fn append<B: AsRef<[u8]>>(&self, entries: impl IntoIterator<Item = (u64, B)>) -> Result<(), LogDbError> {
        let before = *self.tail.lock();
        let mut after = before;
        let mut batch = WriteBatch::default();
        for (index, bytes) in entries {
            let bytes = bytes.as_ref();
            if after.extent.is_empty() {
                after.extent = LogExtent { first: index, next: index };
            } else if index != after.extent.next {
                return Err(LogDbError::NotConsecutive { dir: self.dir.clone(), wanted: after.extent.next, given: index });
            }
            after.extent.next = index + 1;
            after.total_bytes += bytes.len() as u64;
            let key = entry_key(index);
            batch.put(key, framed(&key, &after.total_bytes.to_le_bytes(), bytes));
        }
        self.db.write(batch).map_err(|e| self.io("written", &e))?;
        self.written_bytes.fetch_add(after.total_bytes - before.total_bytes, Ordering::Relaxed);
        self.move_tail(before, after);
        Ok(())
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// [`LogDbError::Io`]; what was written since the last success may be lost then.
    pub fn sync(&self) -> Result<(), LogDbError> {
        // Read BEFORE the sync: what is written during it may not be covered by it.
        let written = self.written();
        self.db.flush_wal(true).map_err(|e| self.io("synced", &e))?;
        self.note_synced(written)
    }

    /// Writes `batch` and makes it durable, and with it everything written before.
    fn write_synced(&self, batch: WriteBatch) -> Result<(), LogDbError> {
        let written = self.written();
        let mut options = WriteOptions::default();
        options.set_sync(true);
        let operations = batch.len() as u64;
        self.db.write_opt(batch, &options).map_err(|e| self.io("written", &e))?;
        self.note_synced(WriteNumber(written.0 + operations))
    }

    /// The last write of all, synced or not.
    fn written(&self) -> WriteNumber {
        WriteNumber(self.db.latest_sequence_number())
    }

    fn note_synced(&self, written: WriteNumber) -> Result<(), LogDbError> {
        self.synced.note(written).map_err(|e| LogDbError::Io { dir: self.dir.clone(), verb: "synced", reason: e.to_string() })
    }

    /// Bytes of entries appended since this was opened.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// Writes what is in memory to files. Only [`Self::sync`] promises that something outlasts a power failure.
    ///
    /// # Errors
    /// [`LogDbError::Io`].
    pub fn flush(&self) -> Result<(), LogDbError> {
        self.db.flush_cfs_opt(&[self.entries(), self.metas()], &FlushOptions::default()).map_err(|e| self.io("flushed", &e))
    }

    /// Entries of `range` that are there, in order, at most `bytes_max` of them in sum but at least one.
    ///
    /// # Errors
    /// [`LogDbError::Damaged`] for a checksum that differs or a hole, [`LogDbError::Io`].
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<LogRecord>, LogDbError> {
        let extent = self.extent();
        let (mut wanted, end) = (range.start.max(extent.first), range.end.min(extent.next));
        let mut records = Vec::new();
        if wanted >= end {
            return Ok(records);
        }
        let mut bytes_left = bytes_max;
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(entry_key(end));
        for item in self.db.iterator_opt(IteratorMode::From(&entry_key(wanted), Direction::Forward), options) {
            let (key, value) = item.map_err(|e| self.io("read", &e))?;
            let index = self.index_of(&key)?;
            if index != wanted {
                // A purge during the read removed the front. The reader learns it as it would have a moment later.
                if wanted < self.extent().first {
                    return Ok(records);
                }
                return Err(self.damaged(format!("entry {wanted}"), "it is missing"));
            }
            let (_, entry) = self.open_entry(index, &value)?;
            if !records.is_empty() && entry.len() > bytes_left {
                return Ok(records);
            }
            bytes_left = bytes_left.saturating_sub(entry.len());
            records.push(LogRecord { index, bytes: entry.to_vec() });
            wanted += 1;
        }
        // A truncation during the read may have shortened the log; a hole inside it may not.
        if wanted < end.min(self.extent().next) {
            return Err(self.damaged(format!("entry {wanted}"), "it is missing"));
        }
        Ok(records)
    }

    /// Removes the entry `index` and all that follow. Durable on return, so that a removed entry never comes back.
    ///
    /// # Errors
    /// [`LogDbError::Io`] or [`LogDbError::Damaged`].
    pub fn truncate_from(&self, index: u64) -> Result<(), LogDbError> {
        let before = *self.tail.lock();
        let index = index.max(before.extent.first);
        if index >= before.extent.next {
            return Ok(());
        }
        let mut after = before;
        after.extent.next = index;
        after.total_bytes = if after.extent.is_empty() { 0 } else { self.total_at(index - 1)? };
        let mut batch = WriteBatch::default();
        batch.delete_range(entry_key(index), entry_key(before.extent.next));
        self.write_synced(batch)?;
        self.move_tail(before, after);
        Ok(())
    }

    /// Forgets all entries up to and including `index`, and remembers `purged` for [`Self::purged`]; durable on return. Nothing happens
    /// when more was purged before.
    ///
    /// # Errors
    /// [`LogDbError::Io`] or [`LogDbError::Damaged`].
    pub fn purge_to(&self, index: u64, purged: &[u8]) -> Result<(), LogDbError> {
        if self.purged_to()?.is_some_and(|before| before > index) {
            return Ok(());
        }
        // Durable BEFORE files go, which is durable at once: a log whose front is missing without a mark can't be read.
        self.write_synced(self.purge_mark(index, purged))?;
        let before = *self.tail.lock();
        self.move_tail(before, before.purged_to(index));
        // Files below the first level that hold nothing else go at once. Other purged entries go with their files later.
        self.db.delete_file_in_range(entry_key(0), entry_key(index)).map_err(|e| self.io("written", &e))
    }

    /// Bytes of the entries from `index` on; exact, from two reads.
    ///
    /// # Errors
    /// [`LogDbError::Io`] or [`LogDbError::Damaged`].
    pub fn bytes_from(&self, index: u64) -> Result<u64, LogDbError> {
        let tail = *self.tail.lock();
        if index >= tail.extent.next {
            return Ok(0);
        }
        let before = if index > tail.extent.first { self.total_at(index - 1)? } else { self.total_before_first(tail.extent.first)? };
        Ok(tail.total_bytes.saturating_sub(before))
    }

    /// Notes where the log begins and ends after a write. Writes are ordered by their caller, so nothing moved it meanwhile.
    fn move_tail(&self, before: Tail, after: Tail) {
        let mut tail = self.tail.lock();
        assert_eq!(*tail, before, "two writes of the log at {} at a time", self.dir.display());
        assert!(after.extent.first <= after.extent.next, "the log at {} ends before it starts", self.dir.display());
        assert!(
            before.extent.is_empty() || after.extent.first >= before.extent.first,
            "purged entries of {} come back",
            self.dir.display()
        );
        *tail = after;
    }

    fn read_tail(&self) -> Result<Tail, LogDbError> {
        let edge = |mode| -> Result<Option<u64>, LogDbError> {
            let mut options = ReadOptions::default();
            options.set_iterate_range([ENTRY].to_vec()..[ENTRY + 1].to_vec());
            let item = self.db.iterator_opt(mode, options).next();
            item.map(|item| item.map_err(|e| self.io("read", &e)).and_then(|(key, _)| self.index_of(&key))).transpose()
        };
        let purged = self.purged_to()?;
        let emptied = purged.map_or(Tail::default(), |index| Tail::default().purged_to(index));
        let kept_from = emptied.extent.first;
        let (Some(first), Some(last)) = (edge(IteratorMode::Start)?, edge(IteratorMode::End)?) else { return Ok(emptied) };
        if purged.is_some() && first > kept_from {
            return Err(self.damaged(format!("entry {kept_from}"), "it is missing"));
        }
        let first = first.max(kept_from);
        if first > last {
            return Ok(emptied);
        }
        Ok(Tail { extent: LogExtent { first, next: last + 1 }, total_bytes: self.total_at(last)? })
    }

    fn total_at(&self, index: u64) -> Result<u64, LogDbError> {
        self.with_entry(index, |total, _| total)
    }

    fn total_before_first(&self, first: u64) -> Result<u64, LogDbError> {
        self.with_entry(first, |total, bytes| total.saturating_sub(bytes as u64))
    }

    fn with_entry<T>(&self, index: u64, use_it: impl FnOnce(u64, usize) -> T) -> Result<T, LogDbError> {
        let value = self.db.get_pinned(entry_key(index)).map_err(|e| self.io("read", &e))?;
        let value = value.ok_or_else(|| self.damaged(format!("entry {index}"), "it is missing"))?;
        let (total, entry) = self.open_entry(index, &value)?;
        Ok(use_it(total, entry.len()))
    }

    fn open_entry<'v>(&self, index: u64, value: &'v [u8]) -> Result<(u64, &'v [u8]), LogDbError> {
        let unreadable = |why| self.unreadable(format!("entry {index}"), why);
        let body = opened(&entry_key(index), value).map_err(unreadable)?;
        let (total, entry) = body.split_first_chunk::<TOTAL_BYTES>().ok_or_else(|| unreadable(Unopened::Damaged("it is cut short")))?;
        Ok((u64::from_le_bytes(*total), entry))
    }

    fn index_of(&self, key: &[u8]) -> Result<u64, LogDbError> {
        let index = key.get(1..).and_then(|index| <[u8; 8]>::try_from(index).ok());
        index.map(u64::from_be_bytes).ok_or_else(|| self.damaged("a key".into(), "it is not an index"))
    }

    fn io(&self, verb: &'static str, error: &rocksdb::Error) -> LogDbError {
        LogDbError::Io { dir: self.dir.clone(), verb, reason: error.to_string() }
    }

    fn unreadable(&self, what: String, why: Unopened) -> LogDbError {
        match why {
            Unopened::Damaged(why) => self.damaged(what, why),
            Unopened::OtherFormat(found) => LogDbError::OtherFormat { dir: self.dir.clone(), what, found },
        }
    }

    fn damaged(&self, what: String, why: &str) -> LogDbError {
        LogDbError::Damaged { dir: self.dir.clone(), what, why: why.to_owned() }
    }
}

fn entry_key(index: u64) -> [u8; 9] {
    let mut key = [ENTRY; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

#[cfg(test)]
mod tests;
