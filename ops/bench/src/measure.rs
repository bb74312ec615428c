//! What `kho bench` can measure, by name, and what those with a goal have to reach.

use clap::ValueEnum;
use serde::Serialize;

use crate::goal::{Better, Goal};

/// A measurement, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Records of 256 bytes a second in a site of three without cubes, in batches of 100 by 16 clients
    SiteRecords,
    /// Person rows a second in a site of three, in batches of 100 by 16 clients
    SiteBatches,
    /// Writes a second in a site of three, of one record each by 256 clients
    SiteSingles,
    /// Median time of a write of one record in a site of three by one client
    SiteLatency,
    /// Rows a second from a district through three hops until the centre holds the last
    TreeRows,
    /// Time of one record from a district to the centre at half of that load
    TreeLag,
    /// Resident memory of a district node, idle and under that load
    Memory,
    /// Bytes on the wire a row from a district to its province
    Wire,
    /// Start-up time of a node that holds many rows (long)
    Start,
    /// A new node that joins a site of many rows (long)
    Join,
    /// A month's backlog of one district, and of ten, after a link was down (long)
    Backlog,
    /// What an idle child costs its parent, which has hundreds (long)
    IdleChildren,
    /// How rate and lag change while rows grow (long)
    Growth,
}

/// One line of the table of goals: what is shown and what it has to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Target {
    pub measure: Measure,
    /// What is compared, in a few words.
    pub what: &'static str,
    pub goal: Goal,
}

pub const SITE_RECORDS: Target = Target { measure: Measure::SiteRecords, what: "site-records", goal: Goal::ratio(Better::More, 2.0, 6.0) };
pub const SITE_BATCHES: Target = Target { measure: Measure::SiteBatches, what: "site-batches", goal: Goal::ratio(Better::More, 1.0, 3.0) };
pub const SITE_SINGLES: Target = Target { measure: Measure::SiteSingles, what: "site-singles", goal: Goal::ratio(Better::More, 1.5, 3.0) };
pub const SITE_LATENCY: Target =
    Target { measure: Measure::SiteLatency, what: "site-latency, median", goal: Goal::ratio(Better::Less, 1.2, 0.7) };
pub const TREE_ROWS: Target = Target { measure: Measure::TreeRows, what: "tree-rows", goal: Goal::ratio(Better::More, 1.0, 3.0) };
pub const TREE_LAG: Target = Target { measure: Measure::TreeLag, what: "tree-lag, 99 %", goal: Goal::ratio(Better::Less, 1.0, 0.5) };
pub const MEMORY_IDLE: Target = Target { measure: Measure::Memory, what: "memory, idle", goal: Goal::bytes_at_most(80e6, 40e6) };
pub const MEMORY_LOADED: Target = Target { measure: Measure::Memory, what: "memory, full load", goal: Goal::bytes_at_most(600e6, 400e6) };
pub const WIRE: Target = Target { measure: Measure::Wire, what: "wire", goal: Goal::ratio(Better::Less, 0.5, 0.25) };

impl Measure {
    /// Those that take long and have no goal; the others make up the table of goals.
    pub const LONG: [Self; 5] = [Self::Start, Self::Join, Self::Backlog, Self::IdleChildren, Self::Growth];

    /// Whether it needs a tree of four sites.
    pub fn is_of_tree(self) -> bool {
        matches!(self, Self::TreeRows | Self::TreeLag | Self::Memory | Self::Wire)
    }

    /// See [`Self::LONG`].
    pub fn is_long(self) -> bool {
        Self::LONG.contains(&self)
    }

    /// What is measured where nothing is named: the table of goals, and with `long` all there is.
    pub fn usual(long: bool) -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied().filter(move |measure| long || !measure.is_long())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_never_easier_than_what_is_asked_at_least() {
        for target in [SITE_RECORDS, SITE_BATCHES, SITE_SINGLES, SITE_LATENCY, TREE_ROWS, TREE_LAG, MEMORY_IDLE, MEMORY_LOADED, WIRE] {
            let Goal { better, at_least, aim, .. } = target.goal;
            assert!(if better == Better::More { aim > at_least } else { aim < at_least }, "{}", target.what);
        }
    }

    #[test]
    fn the_long_ones_are_measured_only_when_asked_for() {
        assert!(Measure::usual(false).all(|measure| !measure.is_long()));
        assert_eq!(Measure::usual(true).count(), Measure::usual(false).count() + Measure::LONG.len());
    }
}
