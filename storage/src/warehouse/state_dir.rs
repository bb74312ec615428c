//! Which directory holds the state database. A received state is put beside the one that stands, and the pointer file
//! `CURRENT-STATE` is replaced in one step: a crash at any point leaves either the old state or the new one.
//!
//! ```text
//! warehouse/CURRENT-STATE   "state-2"
//! warehouse/state-1/        what was replaced; removed at the next start at the latest
//! warehouse/state-2/        the state database
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::error::StorageError;

const POINTER: &str = "CURRENT-STATE";

/// The state directory that the pointer file names, `state-1` before there is one.
pub(super) fn current_state(dir: &Path) -> Result<PathBuf, StorageError> {
    let pointer = dir.join(POINTER);
    match fs::read_to_string(&pointer) {
        Ok(name) if name.trim().strip_prefix("state-").is_some_and(|n| n.parse::<u64>().is_ok()) => Ok(dir.join(name.trim())),
        Ok(name) => Err(StorageError::damaged(pointer.display(), format!("`{}` names no state directory", name.trim()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(dir.join("state-1")),
        Err(error) => Err(StorageError::file(&pointer, error)),
    }
}

/// Where the newest state lies, for tools that open a stopped node's data.
pub fn state_place(dir: &Path) -> Result<PathBuf, StorageError> {
    current_state(dir)
}

fn state_number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("state-")?.parse().ok()
}

fn states(dir: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let entries = fs::read_dir(dir).map_err(|e| StorageError::file(dir, e))?;
    Ok(entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| state_number(path).is_some()).collect())
}

pub(super) fn next_state(dir: &Path) -> Result<PathBuf, StorageError> {
    let newest = states(dir)?.iter().filter_map(|path| state_number(path)).max().unwrap_or(0);
    Ok(dir.join(format!("state-{}", newest + 1)))
}

/// Removes what a replaced or half-done replacement left behind.
pub(super) fn remove_other_states(dir: &Path, current: &Path) -> Result<(), StorageError> {
    for place in states(dir)? {
        if place != current {
            fs::remove_dir_all(&place).map_err(|e| StorageError::file(&place, e))?;
        }
    }
    Ok(())
}

pub(super) fn point_to(dir: &Path, place: &Path) -> Result<(), StorageError> {
    let name = place.file_name().and_then(|name| name.to_str()).expect("a state directory has a name");
    let (pointer, fresh) = (dir.join(POINTER), dir.join("CURRENT-STATE.new"));
    fs::write(&fresh, name).and_then(|()| fs::File::open(&fresh)?.sync_all()).map_err(|e| StorageError::file(&fresh, e))?;
    fs::rename(&fresh, &pointer).map_err(|e| StorageError::file(&pointer, e))?;
    sync_dir(dir)
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| StorageError::file(dir, e))
}
