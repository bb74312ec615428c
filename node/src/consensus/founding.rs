//! Which founding of its site a node belongs to.
//!
//! ```text
//! first start: none ──founded here, or told by a member when the node is added──▶ one, for good
//! ```
//! A site is founded once. The random number drawn then stands on every node's disk and in every frame between nodes, so that nodes of
//! two foundings never agree on anything. No setting names it: nobody has to keep it, and nobody can give the wrong one.

use std::{fmt, num::NonZeroU64, path::PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::disk_mark;

/// One founding of a site, drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(NonZeroU64);

impl Incarnation {
    /// A new one.
    pub(super) fn draw() -> Self {
        Self(rand::random())
    }

    /// The one with this number; for tests and seeds.
    pub fn numbered(number: NonZeroU64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The founding that this node's disk belongs to.
#[derive(Debug)]
pub(super) struct Founding {
    dir: PathBuf,
    incarnation: Mutex<Option<Incarnation>>,
}

/// Why a node does not join a founding.
#[derive(Debug, thiserror::Error)]
pub(super) enum JoinError {
    #[error("its disk belongs to founding {0} of the site")]
    OtherFounding(Incarnation),
    #[error("its disk can't be marked: {0}")]
    Disk(String),
}

impl Founding {
    /// What the disk mark in `dir` says.
    pub fn of_disk(dir: PathBuf, incarnation: Option<Incarnation>) -> Self {
        Self { dir, incarnation: Mutex::new(incarnation) }
    }

    pub fn incarnation(&self) -> Option<Incarnation> {
        *self.incarnation.lock()
    }

    /// Writes the founding into the disk mark; the same one again changes nothing. On the disk before it is used.
    ///
    /// # Errors
    /// [`JoinError`]; nothing was changed then.
    pub fn join(&self, wanted: Incarnation) -> Result<(), JoinError> {
        let mut held = self.incarnation.lock();
        match *held {
            Some(held) if held == wanted => Ok(()),
            Some(held) => Err(JoinError::OtherFounding(held)),
            None => {
                disk_mark::note_founding(&self.dir, wanted).map_err(|error| JoinError::Disk(error.to_string()))?;
                *held = Some(wanted);
                Ok(())
            }
        }
    }
}
