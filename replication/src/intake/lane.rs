//! One origin on a connection: where its next segment must start, counting what is proposed already.
//!
//! Invariant: `adopted` ≤ `base` ≤ `expected`, whatever a child sends (checked after every change).

use crate::frames::Cursor;

/// One origin on this connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane {
    /// What this site last said it holds.
    adopted: Cursor,
    /// Where sending may start again: `adopted`, or further when a transfer under way wants batches from there.
    base: Cursor,
    /// Where the next segment must start at the latest, counting what is proposed.
    expected: Cursor,
}

impl Lane {
    /// A lane of a stream that this site holds up to `cursor`.
    pub fn at(cursor: Cursor) -> Self {
        Self { adopted: cursor, base: cursor, expected: cursor }
    }

    pub fn adopted(&self) -> Cursor {
        self.adopted
    }

    pub fn expected(&self) -> Cursor {
        self.expected
    }

    /// This site committed the stream up to `cursor`.
    pub fn committed(&mut self, cursor: Cursor) {
        self.adopted = self.adopted.max(cursor);
        self.transfer_wants(cursor);
    }

    /// A transfer under way wants batches from `cursor` on.
    pub fn transfer_wants(&mut self, cursor: Cursor) {
        self.base = self.base.max(cursor);
        self.expected = self.expected.max(cursor);
        self.assert_ordered();
    }

    /// A segment that ends at `end` was proposed.
    pub fn proposed_up_to(&mut self, end: Cursor) {
        self.expected = self.expected.max(end);
        self.assert_ordered();
    }

    /// What was proposed may not be committed: the next segment may start where the site stands.
    pub fn set_back(&mut self) {
        self.expected = self.base;
        self.assert_ordered();
    }

    fn assert_ordered(&self) {
        assert!(self.adopted <= self.base && self.base <= self.expected, "a lane out of order: {self:?}");
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::{Epoch, OriginId, StreamSeq};

    use super::*;

    fn cursor(next: u64) -> Cursor {
        Cursor { epoch: Epoch::first("test", OriginId(3)), next: StreamSeq(next) }
    }

    #[test]
    fn a_lane_set_back_starts_again_where_the_site_or_its_transfer_stands() {
        let mut lane = Lane::at(cursor(4));
        lane.proposed_up_to(cursor(9));
        lane.committed(cursor(6));
        assert_eq!((lane.adopted(), lane.expected()), (cursor(6), cursor(9)));
        lane.set_back();
        assert_eq!(lane.expected(), cursor(6));
        lane.transfer_wants(cursor(20));
        lane.set_back();
        assert_eq!((lane.adopted(), lane.expected()), (cursor(6), cursor(20)));
        lane.committed(cursor(5));
        assert_eq!((lane.adopted(), lane.expected()), (cursor(6), cursor(20)), "an older outcome moves nothing back");
    }
}
