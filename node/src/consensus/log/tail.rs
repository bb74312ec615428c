//! The newest entries of the log, in memory.
//!
//! The entries that followers are sent and that are applied next were appended a moment ago. They are read from here, without a disk
//! and without another thread. An entry can be read as soon as it was appended, before the disk has it. Whatever is sent or done
//! on the strength of this node's log waits for the disk by [`LogTail::until_written`].
//!
//! Invariants: the entries are consecutive (asserted); an entry that the disk does not hold yet is here (test
//! `what_the_disk_lacks_is_never_dropped`), so every entry before the first one here can be read from the disk; nobody waits for a
//! disk that failed (test `who_waits_for_an_entry_goes_on_once_the_disk_has_it_or_failed`).

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::consensus::types::{Entry, LogId};

/// Entries that the disk holds too are kept up to this many bytes in sum.
const TAIL_BYTES_MAX: usize = 8 << 20;
/// A disk that completes no write for longer, though writes wait for it, is stalled.
const DISK_STALL_MAX: Duration = Duration::from_secs(2);

/// An entry and the bytes that it has on disk.
#[derive(Debug, Clone)]
pub struct SizedEntry {
    pub entry: Entry,
    pub bytes: usize,
}

impl SizedEntry {
    fn index(&self) -> u64 {
        self.entry.log_id.index
    }
}

/// Consecutive entries up to the log's end.
#[derive(Debug)]
pub struct LogTail {
    state: Mutex<TailState>,
    /// The disk holds more, or failed.
    disk_progress: Notify,
    disk_failed: Notify,
}

#[derive(Debug)]
struct TailState {
    entries: VecDeque<SizedEntry>,
    bytes: usize,
    /// First index that the disk may not hold.
    unwritten: u64,
    /// When the disk last completed a write, or when a write first waited for it after it had completed all.
    progress_at: Instant,
    /// Why nothing more will be written.
    failed: Option<LogWriteFailed>,
}

/// The log could not be written. What this node holds only in memory counts no more; the node must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log could not be written: {0}")]
pub struct LogWriteFailed(pub String);

/// Where the entries of a range are.
#[derive(Debug)]
pub struct TailRead {
    /// These are to be read from the disk; empty when nothing is.
    pub on_disk: Range<u64>,
    /// These follow.
    pub in_memory: Vec<SizedEntry>,
}

impl LogTail {
    /// The tail of a log whose entries before `next` are on the disk.
    pub fn after(next: u64) -> Self {
        let state = TailState { entries: VecDeque::new(), bytes: 0, unwritten: next, progress_at: Instant::now(), failed: None };
        Self { state: Mutex::new(state), disk_progress: Notify::new(), disk_failed: Notify::new() }
    }

    /// Adds entries that follow those here and that the disk does not hold yet.
    ///
    /// # Panics
    /// When the entries are not consecutive, or do not follow the last one here: the log would have a hole.
    pub fn push(&self, entries: Vec<SizedEntry>) {
        let mut state = self.state.lock();
        let mut last = state.entries.back().map(SizedEntry::index);
        for entry in &entries {
            assert!(last.is_none_or(|last| entry.index() == last + 1), "entry {} does not follow entry {last:?}", entry.index());
            last = Some(entry.index());
        }
        if let (true, Some(first)) = (state.entries.is_empty(), entries.first()) {
            state.unwritten = first.index();
        }
        if !state.awaits_disk() {
            state.progress_at = Instant::now();
        }
        state.bytes += entries.iter().map(|entry| entry.bytes).sum::<usize>();
        state.entries.extend(entries);
    }

    /// The disk holds every entry before `next`.
    ///
    /// # Panics
    /// When an entry counts as written that was never pushed.
    pub fn written(&self, next: u64) {
        let mut state = self.state.lock();
        let end = state.entries.back().map(|last| last.index() + 1);
        assert!(end.is_none_or(|end| next <= end), "entries before {next} are written, but the log ends before {end:?}");
        state.unwritten = state.unwritten.max(next);
        state.progress_at = Instant::now();
        while state.bytes > TAIL_BYTES_MAX && state.entries.front().is_some_and(|first| first.index() < state.unwritten) {
            state.drop_first();
        }
        drop(state);
        self.disk_progress.notify_waiters();
    }

    /// The disk completed a write of something other than entries.
    pub fn note_progress(&self) {
        self.state.lock().progress_at = Instant::now();
    }

    /// The disk failed a write.
    pub fn write_failed(&self, why: LogWriteFailed) {
        self.state.lock().failed.get_or_insert(why);
        self.disk_progress.notify_waiters();
        self.disk_failed.notify_waiters();
    }

    /// Whether the disk still takes entries. After a failed sync nothing may be written again: the disk may have forgotten what it
    /// failed to write, and would report success.
    ///
    /// # Errors
    /// [`LogWriteFailed`].
    pub fn check(&self) -> Result<(), LogWriteFailed> {
        self.state.lock().failed.clone().map_or(Ok(()), Err)
    }

    /// Why the log can't be written any more, once that is so.
    pub async fn until_write_failed(&self) -> LogWriteFailed {
        loop {
            // Made BEFORE the check, so that nothing is missed between them.
            let failed = self.disk_failed.notified();
            if let Err(why) = self.check() {
                return why;
            }
            failed.await;
        }
    }

    /// How long writes have waited without progress; `None` as long as that is no stall.
    pub fn stalled_for(&self, now: Instant) -> Option<Duration> {
        let state = self.state.lock();
        let stalled = now.saturating_duration_since(state.progress_at);
        (state.awaits_disk() && stalled > DISK_STALL_MAX).then_some(stalled)
    }

    /// Whether the disk holds every entry up to and including `last`.
    pub fn is_written(&self, last: Option<LogId>) -> bool {
        last.is_none_or(|last| last.index < self.state.lock().unwritten)
    }

    /// Waits until the disk holds every entry up to and including `last`.
    ///
    /// # Errors
    /// [`LogWriteFailed`]: it never will.
    pub async fn until_written(&self, last: Option<LogId>) -> Result<(), LogWriteFailed> {
        loop {
            let progress = self.disk_progress.notified();
            if self.is_written(last) {
                return Ok(());
            }
            self.check()?;
            progress.await;
        }
    }

    /// Removes `index` and all that follow. Only while nothing is being written: a late [`Self::written`] would speak of other
    /// entries than those that take their place.
    ///
    /// # Panics
    /// When entries still wait for a disk that works.
    pub fn truncate_from(&self, index: u64) {
        let mut state = self.state.lock();
        assert!(!state.awaits_disk() || state.failed.is_some(), "the log is truncated from {index} while entries are being written");
        while state.entries.back().is_some_and(|last| last.index() >= index) {
            let last = state.entries.pop_back();
            state.bytes -= last.map_or(0, |last| last.bytes);
        }
        state.unwritten = state.unwritten.min(index);
        state.assert_sums();
    }

    /// Forgets all entries up to and including `index`; the log starts after it.
    pub fn purge_to(&self, index: u64) {
        let mut state = self.state.lock();
        while state.entries.front().is_some_and(|first| first.index() <= index) {
            state.drop_first();
        }
        state.unwritten = state.unwritten.max(index + 1);
    }

    /// The entries of `range` that are here, and which are to be read from the disk before them.
    pub fn read(&self, range: Range<u64>) -> TailRead {
        let state = self.state.lock();
        let Some(first) = state.entries.front().map(SizedEntry::index) else { return TailRead { on_disk: range, in_memory: vec![] } };
        let place = |index: u64| usize::try_from(index.saturating_sub(first)).unwrap_or(usize::MAX).min(state.entries.len());
        let entries = state.entries.range(place(range.start)..place(range.end.max(range.start))).cloned().collect();
        TailRead { on_disk: range.start..range.end.min(first), in_memory: entries }
    }
}

impl TailState {
    /// Whether an entry is not on the disk yet.
    fn awaits_disk(&self) -> bool {
        self.entries.back().is_some_and(|last| last.index() >= self.unwritten)
    }

    fn drop_first(&mut self) {
        let first = self.entries.pop_front();
        self.bytes -= first.map_or(0, |first| first.bytes);
        self.assert_sums();
    }

    fn assert_sums(&self) {
        assert!(!self.entries.is_empty() || self.bytes == 0, "an empty tail counts {} bytes", self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;

    fn entries(range: Range<u64>, bytes: usize) -> Vec<SizedEntry> {
        range
            .map(|index| SizedEntry {
                entry: Entry { log_id: LogId::new(openraft::CommittedLeaderId::new(1, 1), index), payload: EntryPayload::Blank },
                bytes,
            })
            .collect()
    }

    fn read(tail: &LogTail, range: Range<u64>) -> (Range<u64>, Vec<u64>) {
        let read = tail.read(range);
        (read.on_disk, read.in_memory.iter().map(SizedEntry::index).collect())
    }

    #[test]
    fn a_range_is_read_from_the_disk_up_to_the_first_entry_here() {
        let tail = LogTail::after(0);
        assert_eq!(read(&tail, 3..9), (3..9, vec![]));
        tail.push(entries(5..8, 10));
        assert_eq!(read(&tail, 5..7), (5..5, vec![5, 6]));
        let (on_disk, in_memory) = read(&tail, 3..9);
        assert_eq!((on_disk, in_memory), (3..5, vec![5, 6, 7]));
        assert!(read(&tail, 9..12).1.is_empty());
        assert!(read(&tail, 9..12).0.is_empty());
        assert_eq!(read(&tail, 2..4), (2..4, vec![]));
    }

    #[test]
    fn what_the_disk_lacks_is_never_dropped() {
        let tail = LogTail::after(0);
        tail.push(entries(1..5, TAIL_BYTES_MAX));
        assert_eq!(read(&tail, 1..5).1, [1, 2, 3, 4]);
        tail.written(4);
        assert_eq!(read(&tail, 1..5), (1..4, vec![4]));
        tail.push(entries(5..6, 10));
        assert_eq!(read(&tail, 4..6).1, [4, 5], "neither is on the disk yet");
    }

    #[test]
    fn truncated_and_purged_entries_are_not_read() {
        let tail = LogTail::after(0);
        tail.push(entries(1..9, 10));
        tail.written(9);
        tail.truncate_from(6);
        tail.purge_to(2);
        assert_eq!(read(&tail, 0..9), (0..3, vec![3, 4, 5]));
        tail.push(entries(6..8, TAIL_BYTES_MAX));
        tail.written(6);
        assert_eq!(read(&tail, 3..9), (3..6, vec![6, 7]), "what took the place of truncated entries is not on the disk yet");
        tail.purge_to(20);
        assert_eq!(read(&tail, 21..22), (21..22, vec![]));
    }

    #[test]
    fn a_disk_is_stalled_only_while_a_write_waits_and_none_completes() {
        let tail = LogTail::after(1);
        let soon = Instant::now() + Duration::from_secs(60);
        assert_eq!(tail.stalled_for(soon), None, "no write waits");
        tail.push(entries(1..4, 10));
        assert!(tail.stalled_for(soon) > Some(Duration::from_secs(59)));
        tail.written(4);
        assert_eq!(tail.stalled_for(soon), None, "every write was completed");
        tail.push(entries(4..5, 10));
        assert_eq!(tail.stalled_for(Instant::now() + Duration::from_secs(1)), None, "the write came just now");
        assert!(tail.stalled_for(soon) > Some(Duration::from_secs(59)));
    }

    #[tokio::test]
    async fn who_waits_for_an_entry_goes_on_once_the_disk_has_it_or_failed() {
        let last = |index| Some(LogId::new(openraft::CommittedLeaderId::new(1, 1), index));
        let tail = std::sync::Arc::new(LogTail::after(5));
        tail.until_written(None).await.expect("no entry is named");
        tail.until_written(last(4)).await.expect("the log began after it");
        tail.push(entries(5..8, 10));
        let wait = |index| {
            let tail = std::sync::Arc::clone(&tail);
            tokio::spawn(async move { tail.until_written(last(index)).await })
        };
        let (early, late) = (wait(5), wait(7));
        tail.written(6);
        assert_eq!(early.await.expect("ran"), Ok(()));
        assert!(!late.is_finished());
        tail.write_failed(LogWriteFailed("full".into()));
        assert_eq!(late.await.expect("ran"), Err(LogWriteFailed("full".into())));
        assert_eq!(tail.until_write_failed().await, LogWriteFailed("full".into()));
        tail.until_written(last(5)).await.expect("the disk has it all the same");
        tail.truncate_from(5);
        assert!(tail.until_written(last(5)).await.is_err(), "the entry was truncated");
    }
}
