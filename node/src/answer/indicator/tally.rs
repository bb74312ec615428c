//! Sums by group, bounded in number.

use std::collections::HashMap;

/// The most groups of one table: all communes by sex fit many times, all of them by everything does not.
pub const GROUPS_MAX: usize = 100_000;
/// The most slots that an indicator fills.
pub(super) const SLOTS_MAX: usize = 3;
/// The most groupings that an indicator offers.
pub(super) const GROUPINGS_MAX: usize = 8;

/// Sums of one group, by slot.
pub(super) type Slots = [i64; SLOTS_MAX];

/// A group: the area's code and the groupings' numbers, in the order asked for; unused places are 0.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GroupKey {
    pub area: u32,
    pub numbers: [u16; GROUPINGS_MAX],
}

/// Sums so far.
#[derive(Debug)]
pub(super) struct Tally {
    groups: HashMap<GroupKey, Slots>,
    total: Slots,
    groups_max: usize,
    overflowed: bool,
}

impl Tally {
    pub fn new(groups_max: usize) -> Self {
        Self { groups: HashMap::new(), total: Slots::default(), groups_max, overflowed: false }
    }

    /// Adds to a group and to the total. Once there are too many groups nothing is kept any more.
    pub fn add(&mut self, group: GroupKey, slot: usize, amount: i64) {
        if self.overflowed {
            return;
        }
        self.groups.entry(group).or_default()[slot] += amount;
        self.total[slot] += amount;
        if self.groups.len() > self.groups_max {
            self.overflowed = true;
            self.groups = HashMap::new();
        }
    }

    /// Groups in order and the total; `None` when there were too many groups.
    pub fn finish(self) -> Option<(Vec<(GroupKey, Slots)>, Slots)> {
        if self.overflowed {
            return None;
        }
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_unstable_by_key(|(key, _)| *key);
        Some((groups, self.total))
    }

    pub fn overflowed(&self) -> bool {
        self.overflowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_too_many_groups_is_refused() {
        let key = |area| GroupKey { area, ..GroupKey::default() };
        let mut tally = Tally::new(2);
        for area in [2, 1, 2] {
            tally.add(key(area), 0, 10);
        }
        tally.add(key(1), 1, 1);
        let (groups, total) = tally.finish().expect("two groups fit");
        assert_eq!((groups, total), (vec![(key(1), [10, 1, 0]), (key(2), [20, 0, 0])], [30, 1, 0]));
        let mut tally = Tally::new(2);
        for area in 0..1000 {
            tally.add(key(area), 0, 1);
            assert!(tally.groups.len() <= 3);
        }
        assert!(tally.overflowed() && tally.finish().is_none());
    }
}
