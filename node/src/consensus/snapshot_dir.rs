//! The handle of one log snapshot on disk, and which of its files count.
//!
//! It stands apart from the store of snapshots because openraft's types name it: `types.rs` needs it, and the store needs `types.rs`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use kho_storage::ids::Hash32;
use parking_lot::Mutex;

const STATE_DIR: &str = "state";

/// A handle of a snapshot on disk. When it was superseded and the last handle goes, so do the files.
#[derive(Debug, Clone)]
pub struct SnapshotDir {
    files: Arc<DirFiles>,
}

#[derive(Debug)]
struct DirFiles {
    root: PathBuf,
    superseded: AtomicBool,
    /// Hashes of whole files, as far as they were needed: files never change.
    hashes: Mutex<BTreeMap<String, Hash32>>,
}

impl Drop for DirFiles {
    fn drop(&mut self) {
        if self.superseded.load(Ordering::Acquire)
            && let Err(error) = fs::remove_dir_all(&self.root)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %self.root.display(), %error, "an old log snapshot could not be removed; it is tried again at the next start");
        }
    }
}

impl SnapshotDir {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { files: Arc::new(DirFiles { root, superseded: AtomicBool::new(false), hashes: Mutex::default() }) }
    }

    /// The checkpoint.
    pub fn state(&self) -> PathBuf {
        state_in(&self.files.root)
    }

    pub fn known_hash(&self, name: &str) -> Option<Hash32> {
        self.files.hashes.lock().get(name).copied()
    }

    pub fn remember_hash(&self, name: &str, hash: Hash32) {
        self.files.hashes.lock().insert(name.to_owned(), hash);
    }

    pub(super) fn supersede(&self) {
        self.files.superseded.store(true, Ordering::Release);
    }
}

/// The path of the checkpoint inside a snapshot's directory.
pub(super) fn state_in(root: &Path) -> PathBuf {
    root.join(STATE_DIR)
}

/// Whether a file of a checkpoint is part of the state; RocksDB's own log and lock are not.
pub(super) fn is_state_file(name: &str) -> bool {
    let plain = !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    plain && !name.starts_with('.') && !name.starts_with("LOG") && name != "LOCK"
}

/// Copies a checkpoint, by hard links where files never change.
///
/// # Errors
/// The system's.
pub(super) fn link_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(text) = name.to_str().filter(|name| is_state_file(name)) else { continue };
        let target = to.join(&name);
        if text.ends_with(".sst") && fs::hard_link(entry.path(), &target).is_ok() {
            continue;
        }
        fs::copy(entry.path(), &target)?;
        File::open(&target)?.sync_all()?;
    }
    File::open(to)?.sync_all()
}
