//! A small disk that a scene can fill up and make room on: a file system in memory.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use crate::mounting::Mounted;

const BLOCK_BYTES: usize = 4096;

/// A disk of so many bytes. Dropping it removes it with all that is on it.
#[derive(Debug)]
pub struct SmallDisk {
    _mounted: Mounted,
    ballast: PathBuf,
}

impl SmallDisk {
    /// Puts an empty disk at `at`.
    ///
    /// # Errors
    /// When the system does not let this process mount.
    pub fn at(at: &Path, bytes: u64) -> anyhow::Result<Self> {
        let mounted = Mounted::memory(at, bytes)?;
        let ballast = at.join("ballast");
        Ok(Self { _mounted: mounted, ballast })
    }

    /// Takes up all room but `left` bytes, roughly.
    ///
    /// # Errors
    /// When the disk fails otherwise than by being full.
    pub fn fill(&self, left: u64) -> anyhow::Result<()> {
        let mut ballast = File::options().create(true).append(true).open(&self.ballast)?;
        loop {
            match ballast.write_all(&[0; BLOCK_BYTES]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
        let bytes = ballast.metadata()?.len();
        Ok(ballast.set_len(bytes.saturating_sub(left))?)
    }

    /// Gives all room back that [`Self::fill`] took.
    ///
    /// # Errors
    /// When nothing was filled.
    pub fn make_room(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(&self.ballast)?)
    }
}
