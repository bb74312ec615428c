//! What a parent acknowledged and this site has not recorded yet: gathered for a while, then recorded in one command.
//!
//! Invariants:
//! - cursors of two parents never stand in one record (test `what_another_parent_acknowledged_is_a_record_of_its_own`);
//! - at most [`CURSORS_MAX`] cursors wait (test `a_full_record_does_not_wait`).

use std::collections::BTreeMap;

use kho_storage::{
    command::ParentCursor,
    ids::{OriginId, SiteId},
};

use crate::{
    frames::{Cursor, STREAMS_MAX},
    link_time::LinkTime,
};

/// Cursors that one record holds at most: one of each stream.
const CURSORS_MAX: usize = STREAMS_MAX;

/// What is to be proposed to this site: `parent` holds these streams up to these cursors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AckRecord {
    pub parent: SiteId,
    pub cursors: Vec<ParentCursor>,
}

/// Gathers acknowledged cursors of one parent at a time.
#[derive(Debug)]
pub(super) struct AckRecorder {
    interval_ms: u64,
    parent: Option<SiteId>,
    /// Newest cursor of each stream, acknowledged by `parent`.
    unrecorded: BTreeMap<OriginId, Cursor>,
    due_at: LinkTime,
}

impl AckRecorder {
    pub fn new(interval_ms: u64) -> Self {
        Self { interval_ms, parent: None, unrecorded: BTreeMap::new(), due_at: LinkTime(0) }
    }

    /// Notes a cursor. Returns a record when it can't wait: another parent's, or a full one.
    pub fn note(&mut self, parent: SiteId, origin: OriginId, cursor: Cursor, now: LinkTime) -> Option<AckRecord> {
        let of_another = if self.parent == Some(parent) { None } else { self.flush(now) };
        self.parent = Some(parent);
        if self.unrecorded.is_empty() {
            self.due_at = now.after_ms(self.interval_ms);
        }
        self.unrecorded.insert(origin, cursor);
        of_another.or_else(|| (self.unrecorded.len() >= CURSORS_MAX).then(|| self.flush(now)).flatten())
    }

    /// Whether a cursor of this stream waits for the next record of `parent`.
    pub fn has(&self, parent: SiteId, origin: OriginId) -> bool {
        self.parent == Some(parent) && self.unrecorded.contains_key(&origin)
    }

    /// The record, when what was gathered has waited long enough.
    pub fn poll(&mut self, now: LinkTime) -> Option<AckRecord> {
        if now >= self.due_at { self.flush(now) } else { None }
    }

    /// The record of what was gathered.
    pub fn flush(&mut self, now: LinkTime) -> Option<AckRecord> {
        self.due_at = now.after_ms(self.interval_ms);
        let parent = self.parent.filter(|_| !self.unrecorded.is_empty())?;
        let cursors = std::mem::take(&mut self.unrecorded).into_iter().map(|(origin, cursor)| cursor.for_origin(origin)).collect();
        Some(AckRecord { parent, cursors })
    }

    /// Forgets what was gathered: the next leader learns it from the parent.
    pub fn clear(&mut self) {
        self.unrecorded.clear();
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::{Epoch, StreamSeq};

    use super::*;

    const PARENT: SiteId = SiteId(2);

    fn cursor(next: u64) -> Cursor {
        Cursor { epoch: Epoch::first("test", OriginId(3)), next: StreamSeq(next) }
    }

    #[test]
    fn the_newest_cursor_of_each_stream_is_recorded_once_after_the_interval() {
        let mut recorder = AckRecorder::new(1_000);
        assert_eq!(recorder.note(PARENT, OriginId(3), cursor(4), LinkTime(100)), None);
        assert_eq!(recorder.note(PARENT, OriginId(3), cursor(6), LinkTime(900)), None);
        assert!(recorder.has(PARENT, OriginId(3)) && !recorder.has(SiteId(4), OriginId(3)));
        assert_eq!(recorder.poll(LinkTime(1_099)), None);
        let record = AckRecord { parent: PARENT, cursors: vec![cursor(6).for_origin(OriginId(3))] };
        assert_eq!(recorder.poll(LinkTime(1_100)), Some(record));
        assert_eq!(recorder.poll(LinkTime(9_000)), None);
        assert!(!recorder.has(PARENT, OriginId(3)));
    }

    #[test]
    fn what_another_parent_acknowledged_is_a_record_of_its_own() {
        let mut recorder = AckRecorder::new(1_000);
        recorder.note(PARENT, OriginId(3), cursor(4), LinkTime(0));
        let first = recorder.note(SiteId(4), OriginId(3), cursor(2), LinkTime(0)).expect("the parent changed");
        assert_eq!((first.parent, first.cursors[0].next), (PARENT, StreamSeq(4)));
        let second = recorder.flush(LinkTime(0)).expect("the new parent's");
        assert_eq!((second.parent, second.cursors[0].next), (SiteId(4), StreamSeq(2)));
    }

    #[test]
    fn a_full_record_does_not_wait() {
        let mut recorder = AckRecorder::new(1_000);
        let mut records = (1..=CURSORS_MAX).filter_map(|n| {
            let origin = OriginId(u32::try_from(n).expect("small"));
            recorder.note(PARENT, origin, cursor(1), LinkTime(0))
        });
        assert_eq!(records.next().expect("full").cursors.len(), CURSORS_MAX);
        assert!(records.next().is_none());
    }

    #[test]
    fn a_node_that_no_longer_leads_records_nothing() {
        let mut recorder = AckRecorder::new(1_000);
        recorder.note(PARENT, OriginId(3), cursor(4), LinkTime(0));
        recorder.clear();
        assert_eq!(recorder.flush(LinkTime(5_000)), None);
    }
}
