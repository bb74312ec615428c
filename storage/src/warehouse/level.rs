//! The level at which the site works: a part of its state, raised by a command and never taken back.

use std::sync::atomic::Ordering;

use super::{
    Decided, Warehouse,
    meta::{put_meta, read_meta},
};
use crate::{
    build::Build,
    command::{Command, Outcome, Refusal},
    db::{Db, WriteSet},
    error::StorageError,
    keys::Meta,
    level::{Level, LevelOffer, LevelRange},
    planted::{Bug, planted},
};

impl Warehouse {
    /// The level at which the site works.
    pub fn level(&self) -> Level {
        Level(self.level.load(Ordering::Acquire))
    }

    /// Levels that this node supports.
    pub fn supported_levels(&self) -> LevelRange {
        self.config.levels
    }

    /// What this node says of itself to another tier.
    pub fn level_offer(&self) -> LevelOffer {
        LevelOffer { supported: self.config.levels, level: self.level(), build: Build::THIS }
    }

    /// Why this node had to stop, if it met a level of its site that it does not support.
    pub fn level_fault(&self) -> Option<StorageError> {
        self.unsupported_level.get().map(|level| self.not_supported(*level))
    }

    /// The newest note of a test.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn test_note(&self) -> Result<Option<String>, StorageError> {
        read_meta(&self.db.load(), &Meta::TestNote)
    }

    /// Why a command is not taken at the level of the site. What is adopted as bytes is checked when it is opened.
    pub fn above_level(&self, command: &Command) -> Option<Refusal> {
        let (command, site) = (command.level(), self.level());
        (command > site && !planted(Bug::LevelNotChecked)).then_some(Refusal::AboveLevel { command, site })
    }

    /// The level of the state in `db`, which this build has to support.
    pub(super) fn check_level(&self, db: &Db) -> Result<Level, StorageError> {
        let level = read_meta(db, &Meta::Level)?.unwrap_or(Level::FOUNDING);
        if self.config.levels.holds(level) { Ok(level) } else { Err(self.stop_at(level)) }
    }

    /// Raises the level. A build that does not support it stops, and has written nothing.
    pub(super) fn raise_level(&self, to: Level, set: &mut WriteSet) -> Decided {
        let held = self.level();
        if to <= held {
            return Ok(Ok(Outcome::LevelStands { level: held }));
        }
        if !self.config.levels.holds(to) {
            return Err(self.stop_at(to));
        }
        put_meta(set, &Meta::Level, &to)?;
        Ok(Ok(Outcome::LevelStands { level: to }))
    }

    fn stop_at(&self, level: Level) -> StorageError {
        self.not_supported(*self.unsupported_level.get_or_init(|| level))
    }

    fn not_supported(&self, level: Level) -> StorageError {
        StorageError::LevelNotSupported { place: self.dir.display().to_string(), level, supported: self.config.levels }
    }
}
