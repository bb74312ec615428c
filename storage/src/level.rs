//! Levels: one number for everything whose meaning nodes must share: commands, stored forms, frames, constants of apply.
//!
//! ```text
//!   build     supports a range of levels          [`SUPPORTED`]
//!   site      works at one level, which is state  [`Command::RaiseLevel`](crate::command::Command::RaiseLevel)
//!   command   exists from one level on            [`Command::level`](crate::command::Command::level)
//!   frame     exists from one level on; sent only when both ends work at it
//!   column    exists from one level on, by its number  [`ColumnId::level`]
//! ```
//! Invariants: a site's level never falls, and only a committed command raises it (test
//! `a_level_is_raised_by_a_command_alone_and_never_falls`); what lies above a site's level is never applied there (test
//! `a_command_above_the_level_of_the_site_is_refused_and_changes_nothing`); no site holds a column above its level (test
//! `a_column_above_the_level_of_the_site_is_neither_entered_nor_adopted`); a build that does not support the level of its site applies
//! nothing (test `a_build_that_does_not_support_the_level_opens_no_state_and_applies_nothing`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{build::Build, ids::ColumnId};

/// A level. Counts up from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Level(pub u16);

impl Level {
    /// The level at which every site is founded.
    pub const FOUNDING: Self = Self(1);
    /// A level that exists for tests alone: no build supports it unless it is told to.
    pub const TEST: Self = Self(2);
}

/// As founded.
impl Default for Level {
    fn default() -> Self {
        Self::FOUNDING
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Levels from `min` to `max`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LevelRange {
    pub min: Level,
    pub max: Level,
}

/// Levels that this build supports.
pub const SUPPORTED: LevelRange = LevelRange { min: Level::FOUNDING, max: Level::FOUNDING };
/// Levels that it supports when it is told to offer the level of tests.
pub const SUPPORTED_IN_TESTS: LevelRange = LevelRange { min: SUPPORTED.min, max: Level::TEST };

impl LevelRange {
    pub fn holds(self, level: Level) -> bool {
        (self.min..=self.max).contains(&level)
    }

    /// The highest level that both hold.
    pub fn highest_shared(self, other: Self) -> Option<Level> {
        let level = self.max.min(other.max);
        (self.holds(level) && other.holds(level)).then_some(level)
    }
}

/// As people read it in any language: `1`, or `1-2`.
impl fmt::Display for LevelRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{}-{}", self.min, self.max) }
    }
}

/// So many numbers of columns belong to each level, in every table.
const COLUMNS_OF_A_LEVEL: u16 = 1024;

impl ColumnId {
    /// The level from which the column exists: up to 1023 the first, up to 2047 the second, and so on. The number says it, so a build
    /// that does not know the column knows its level all the same, and all builds of a site judge a batch alike.
    pub fn level(self) -> Level {
        Level(Level::FOUNDING.0 + self.0 / COLUMNS_OF_A_LEVEL)
    }
}

/// What one end of a link says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LevelOffer {
    /// What the build of the node supports.
    pub supported: LevelRange,
    /// The level of its site.
    pub level: Level,
    /// Which build that is.
    pub build: Build,
}

impl LevelOffer {
    /// The level that both ends work at: the highest that both builds support and that lies above neither site's level.
    pub fn common(self, other: Self) -> Option<Level> {
        let offered = |offer: Self| LevelRange { min: offer.supported.min, max: offer.supported.max.min(offer.level) };
        offered(self).highest_shared(offered(other))
    }
}

/// A site that was just founded, with this build.
impl Default for LevelOffer {
    fn default() -> Self {
        Self { supported: SUPPORTED, level: Level::FOUNDING, build: Build::THIS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: u16, max: u16) -> LevelRange {
        LevelRange { min: Level(min), max: Level(max) }
    }

    #[test]
    fn two_ranges_share_their_highest_level_or_none() {
        assert_eq!(range(1, 3).highest_shared(range(2, 5)), Some(Level(3)));
        assert_eq!(range(2, 5).highest_shared(range(1, 3)), Some(Level(3)));
        assert_eq!(range(1, 2).highest_shared(range(3, 4)), None);
        assert_eq!(range(3, 4).highest_shared(range(1, 2)), None);
        assert_eq!(range(2, 1).highest_shared(range(1, 2)), None, "a range that holds nothing");
    }

    #[test]
    fn two_ends_work_at_a_level_that_both_builds_support_and_neither_site_lies_below() {
        let offer = |min, max, level| LevelOffer { supported: range(min, max), level: Level(level), build: Build::THIS };
        assert_eq!(offer(1, 2, 1).common(offer(1, 2, 2)), Some(Level(1)), "the lower site decides");
        assert_eq!(offer(1, 2, 2).common(offer(1, 2, 2)), Some(Level(2)));
        assert_eq!(offer(1, 1, 1).common(offer(1, 2, 2)), Some(Level(1)), "an older build below a newer one");
        assert_eq!(offer(2, 3, 2).common(offer(1, 2, 1)), None, "a build that has forgotten the level of the other site");
    }

    #[test]
    fn the_number_of_a_column_says_from_which_level_on_it_exists() {
        let level = |column| ColumnId(column).level();
        assert_eq!([level(0), level(1_023), level(1_024), level(2_047), level(2_048)].map(|level| level.0), [1, 1, 2, 2, 3]);
        assert_eq!(level(u16::MAX), Level(64));
    }

    #[test]
    fn the_product_offers_no_level_of_tests() {
        assert!(SUPPORTED.holds(Level::FOUNDING) && !SUPPORTED.holds(Level::TEST));
        assert!(SUPPORTED_IN_TESTS.holds(Level::FOUNDING) && SUPPORTED_IN_TESTS.holds(Level::TEST));
    }
}
