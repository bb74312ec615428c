//! Which batches are acknowledged, however they come back: the journal only ever names a place before which nothing is missing.

use std::collections::BTreeMap;

use super::batches::HashedMark;

/// Batches acknowledged out of order; never more than are in flight.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Number of the first batch not yet acknowledged.
    next: u64,
    behind: BTreeMap<u64, HashedMark>,
    /// Lowest number of a refused batch: the place never passes it.
    barrier: Option<u64>,
}

impl Ledger {
    /// Batch `number`, which ends at `end`, is in. Gives the new place before which all is in, if it moved.
    pub fn acknowledged(&mut self, number: u64, end: HashedMark) -> Option<HashedMark> {
        if self.barrier.is_some_and(|barrier| number > barrier) {
            return None;
        }
        self.behind.insert(number, end);
        let mut moved = None;
        while let Some(end) = self.behind.remove(&self.next) {
            self.next += 1;
            moved = Some(end);
        }
        moved
    }

    /// Batch `number` is not in: a resumed import sends it again, so the place moves up to it and no further.
    pub fn refused(&mut self, number: u64) {
        let barrier = self.barrier.map_or(number, |barrier| barrier.min(number));
        self.behind.retain(|behind, _| *behind < barrier);
        self.barrier = Some(barrier);
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::Hash32;

    use super::*;
    use crate::commands::import::batches::Mark;

    fn end(rows: u64) -> HashedMark {
        HashedMark { mark: Mark { bytes: rows, rows, lines: rows }, hash: Hash32::ZERO }
    }

    #[test]
    fn the_place_moves_only_over_batches_that_are_all_in() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.acknowledged(1, end(2)), None);
        assert_eq!(ledger.acknowledged(2, end(3)), None);
        assert_eq!(ledger.acknowledged(0, end(1)), Some(end(3)));
        assert_eq!(ledger.acknowledged(3, end(4)), Some(end(4)));
    }

    #[test]
    fn the_place_stays_before_a_refused_batch() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.acknowledged(2, end(3)), None);
        ledger.refused(1);
        assert_eq!(ledger.acknowledged(0, end(1)), Some(end(1)));
        assert_eq!(ledger.acknowledged(3, end(4)), None);
    }
}
