//! Which parent is dialled next, and after what pause.
//!
//! The register's order counts: the active parent first, then the stand-ins. A parent that fails `failures_max` times in a
//! row yields to the next; behind the last comes the first again.

use kho_storage::{ids::SiteId, register::VerifiedRegister};

use super::UplinkConfig;

/// A parent and where its nodes answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    pub site: SiteId,
    pub addresses: Vec<String>,
}

/// The parents of this site and the one whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Parents {
    list: Vec<Parent>,
    place: usize,
    /// Failures of the current parent in a row, and of any parent in a row.
    failures: u32,
    failures_in_a_row: u32,
    redirects: u32,
    /// Where the current parent says its leader answers.
    leader: Option<Vec<String>>,
}

/// What a failure led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    /// How many failures came in a row; the pause grows with it.
    pub in_a_row: u32,
    /// Every parent has had its turn, just now.
    pub all_failed: bool,
}

impl Parents {
    /// Takes the parents of `site` as the register has them. Keeps the current one's turn when it is still among them.
    pub fn replace(&mut self, register: &VerifiedRegister, site: SiteId) {
        let current = self.current().map(|parent| parent.site);
        let named = register.site(site).map(|entry| entry.parents.as_slice()).unwrap_or_default();
        self.list = named
            .iter()
            .filter_map(|parent| register.site(*parent))
            .map(|entry| Parent { site: entry.site, addresses: entry.addresses.clone() })
            .collect();
        let place = current.and_then(|site| self.list.iter().position(|parent| parent.site == site));
        if place.is_none() {
            self.leader = None;
            self.failures = 0;
        }
        self.place = place.unwrap_or(0);
    }

    pub fn current(&self) -> Option<&Parent> {
        self.list.get(self.place)
    }

    /// Where the current parent is dialled: at its leader, when it named one. Otherwise every attempt begins at another node: one
    /// that is gone answers nothing, and the dial may be given up before the next one's turn.
    pub fn addresses(&self) -> Vec<String> {
        if let Some(leader) = &self.leader {
            return leader.clone();
        }
        let mut addresses = self.current().map(|parent| parent.addresses.clone()).unwrap_or_default();
        let first = usize::try_from(self.failures).unwrap_or(0) % addresses.len().max(1);
        addresses.rotate_left(first);
        addresses
    }

    /// The active parent, while a stand-in has its turn.
    pub fn preferred(&self) -> Option<&Parent> {
        self.list.first().filter(|_| self.place > 0)
    }

    /// Gives the active parent its turn.
    pub fn prefer_first(&mut self) {
        self.take_turn(0);
    }

    /// The current parent named its leader. False when that happened too often without a welcome.
    pub fn redirected(&mut self, addresses: Vec<String>, redirects_max: u32) -> bool {
        self.redirects += 1;
        self.leader = (!addresses.is_empty()).then_some(addresses);
        self.redirects <= redirects_max && self.leader.is_some()
    }

    pub fn welcomed(&mut self) {
        self.redirects = 0;
    }

    /// The link proved itself: the row of failures ends.
    pub fn proved(&mut self) {
        self.failures = 0;
        self.failures_in_a_row = 0;
    }

    /// The current parent failed. `for_good`: there is no point in trying it again soon.
    pub fn failed(&mut self, failures_max: u32, for_good: bool) -> Failed {
        self.failures += 1;
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        // A leader that was named may be the very node that is gone.
        self.leader = None;
        self.redirects = 0;
        let mut all_failed = false;
        if for_good || self.failures >= failures_max {
            let next = self.place + 1;
            all_failed = next >= self.list.len();
            self.take_turn(if all_failed { 0 } else { next });
        }
        Failed { in_a_row: self.failures_in_a_row, all_failed }
    }

    pub fn number(&self) -> usize {
        self.list.len()
    }

    fn take_turn(&mut self, place: usize) {
        self.place = place;
        self.failures = 0;
        self.redirects = 0;
        self.leader = None;
    }
}

/// The pause after `in_a_row` failures: doubling, bounded, and less up to a half by `random`, so that the children of a parent
/// that comes back do not all dial at once.
pub(super) fn backoff_ms(config: &UplinkConfig, in_a_row: u32, random: u64) -> u64 {
    let doubled = config.backoff_ms_min.saturating_mul(1 << in_a_row.saturating_sub(1).min(20));
    let pause = doubled.min(config.backoff_ms_max);
    pause - random % (pause / 2 + 1)
}

/// A small deterministic source of jitter (SplitMix64, Steele, Lea and Flood 2014). Not for secrets.
#[derive(Debug, Clone)]
pub(super) struct Jitter(pub u64);

impl Jitter {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parents() -> Parents {
        let parent = |site| Parent { site: SiteId(site), addresses: vec![format!("p{site}:1")] };
        Parents { list: vec![parent(2), parent(4)], ..Parents::default() }
    }

    #[test]
    fn a_parent_that_fails_too_often_yields_to_the_stand_in_and_the_last_to_the_first() {
        let mut parents = parents();
        let mut turns = vec![];
        for _ in 0..7 {
            turns.push(parents.current().expect("two").site.0);
            parents.failed(3, false);
        }
        assert_eq!(turns, [2, 2, 2, 4, 4, 4, 2]);
    }

    #[test]
    fn a_named_leader_is_dialled_until_it_fails() {
        let mut parents = parents();
        assert!(parents.redirected(vec!["leader:1".into()], 2));
        assert_eq!(parents.addresses(), ["leader:1"]);
        parents.failed(3, false);
        assert_eq!(parents.addresses(), ["p2:1"]);
        let turns: Vec<bool> = (0..3).map(|_| parents.redirected(vec!["leader:1".into()], 2)).collect();
        assert_eq!(turns, [true, true, false], "two nodes that name each other are not followed for ever");
    }

    #[test]
    fn promise_7_a_dead_node_of_the_parent_is_not_the_first_to_be_dialled_again() {
        let addresses = ["p2:1", "p2:2", "p2:3"].map(String::from).to_vec();
        let mut parents = Parents { list: vec![Parent { site: SiteId(2), addresses }], ..Parents::default() };
        let mut first = vec![];
        for _ in 0..4 {
            assert_eq!(parents.addresses().len(), 3, "no node is left out");
            first.push(parents.addresses()[0].clone());
            parents.failed(3, false);
        }
        assert_eq!(first, ["p2:1", "p2:2", "p2:3", "p2:1"]);
    }

    #[test]
    fn pauses_double_up_to_their_maximum_and_differ_between_children() {
        let config = UplinkConfig { backoff_ms_min: 100, backoff_ms_max: 1000, ..UplinkConfig::default() };
        let longest: Vec<u64> = (1..7).map(|failures| backoff_ms(&config, failures, 0)).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1000, 1000]);
        let mut jitter = Jitter(7);
        let drawn: Vec<u64> = (0..100).map(|_| backoff_ms(&config, u32::MAX, jitter.draw())).collect();
        assert!(drawn.iter().all(|ms| (500..=1000).contains(ms)));
        assert!(drawn.iter().any(|ms| *ms < 600) && drawn.iter().any(|ms| *ms > 900));
    }
}
