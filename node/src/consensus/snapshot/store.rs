//! The store of log snapshots on disk.
//!
//! ```text
//! snapshots/<id>/meta      openraft's metadata of the snapshot; written last, so a snapshot with it is whole
//! snapshots/<id>/state/    a checkpoint of the state database, hard-linked with it
//! snapshots/incoming/      files of a snapshot that is being received; kept over broken connections and restarts
//! snapshots/making-…       half-made; removed at start
//! ```
//!
//! Only the newest snapshot stays. One that is being sent lives until its last handle is dropped.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use kho_storage::codec::{self, CodecError};
use parking_lot::Mutex;

use crate::consensus::{
    snapshot_dir::{SnapshotDir, state_in},
    types::SnapshotMeta,
};

const META_FILE: &str = "meta";
const INCOMING_DIR: &str = "incoming";
const MAKING_PREFIX: &str = "making-";

/// All snapshots of this node.
#[derive(Debug)]
pub struct SnapshotStore {
    dir: PathBuf,
    current: Mutex<Option<(SnapshotMeta, SnapshotDir)>>,
    made: AtomicU64,
    /// Last log index of each snapshot being sent, by the number of its sending.
    sending: Mutex<BTreeMap<usize, u64>>,
    sendings: AtomicUsize,
}

/// While it lives, the log that follows the snapshot being sent is kept.
#[derive(Debug)]
pub struct Sending {
    snapshot_store: Arc<SnapshotStore>,
    number: usize,
}

impl Drop for Sending {
    fn drop(&mut self) {
        let removed = self.snapshot_store.sending.lock().remove(&self.number);
        debug_assert!(removed.is_some(), "sending {} ended twice", self.number);
    }
}

impl SnapshotStore {
    /// Opens the store, removes what was half-made, and takes up the newest snapshot.
    ///
    /// # Errors
    /// The system's, and a snapshot that a newer build made.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut whole: Vec<(SnapshotMeta, SnapshotDir)> = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name == INCOMING_DIR) {
                continue;
            }
            match fs::read(path.join(META_FILE)).ok().map(|bytes| codec::decode(&bytes)) {
                Some(Ok(meta)) => whole.push((meta, SnapshotDir::new(path))),
                // Whole, and not this build's to throw away.
                Some(Err(error @ CodecError::Format(_))) => return Err(io::Error::other(format!("{}: {error}", path.display()))),
                Some(Err(_)) | None => fs::remove_dir_all(&path)?,
            }
        }
        whole.sort_by_key(|(meta, _)| meta.last_log_id);
        let current = whole.pop();
        whole.iter().for_each(|(_, older)| older.supersede());
        let current = Mutex::new(current);
        Ok(Self { dir: dir.to_owned(), current, made: AtomicU64::new(0), sending: Mutex::default(), sendings: AtomicUsize::new(0) })
    }

    pub fn current(&self) -> Option<(SnapshotMeta, SnapshotDir)> {
        self.current.lock().clone()
    }

    /// Where a snapshot that is being received collects its files.
    pub fn incoming(&self) -> PathBuf {
        self.dir.join(INCOMING_DIR)
    }

    /// A fresh directory's name; it is removed at the next start unless it becomes a snapshot.
    pub fn fresh(&self) -> PathBuf {
        self.dir.join(format!("{MAKING_PREFIX}{}-{:08x}", self.made.fetch_add(1, Ordering::Relaxed), rand::random::<u32>()))
    }

    /// A place for openraft to receive into. This node receives into [`Self::incoming`], so it stays empty.
    pub fn empty(&self) -> io::Result<SnapshotDir> {
        let dir = SnapshotDir::new(self.fresh());
        fs::create_dir_all(dir.state())?;
        dir.supersede();
        Ok(dir)
    }

    /// A handle on what has been received. It takes the files along when it goes.
    pub fn received(&self) -> io::Result<SnapshotDir> {
        let root = self.fresh();
        fs::create_dir_all(&root)?;
        fs::rename(self.incoming(), state_in(&root))?;
        let dir = SnapshotDir::new(root);
        dir.supersede();
        Ok(dir)
    }

    /// Makes `root`, which holds a checkpoint in its `state`, the current snapshot, unless a newer one stands.
    ///
    /// # Errors
    /// The system's.
    pub fn put(&self, root: &Path, meta: &SnapshotMeta) -> io::Result<SnapshotDir> {
        let bytes = codec::encode(meta).map_err(io::Error::other)?;
        fs::write(root.join(META_FILE), bytes)?;
        sync_tree(root)?;
        let place = self.dir.join(&meta.snapshot_id);
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        fs::rename(root, &place)?;
        File::open(&self.dir)?.sync_all()?;
        let dir = SnapshotDir::new(place);
        let mut current = self.current.lock();
        match &*current {
            Some((newer, _)) if newer.last_log_id > meta.last_log_id => dir.supersede(),
            _ => {
                if let Some((_, older)) = current.replace((meta.clone(), dir.clone())) {
                    older.supersede();
                }
            }
        }
        Ok(dir)
    }

    /// Notes that the snapshot up to `last_index` is being sent.
    pub fn begin_sending(self: &Arc<Self>, last_index: u64) -> Sending {
        let number = self.sendings.fetch_add(1, Ordering::Relaxed);
        self.sending.lock().insert(number, last_index);
        Sending { snapshot_store: Arc::clone(self), number }
    }

    /// The oldest snapshot being sent, by its last log index.
    pub fn oldest_sending(&self) -> Option<u64> {
        self.sending.lock().values().min().copied()
    }
}

fn sync_tree(root: &Path) -> io::Result<()> {
    File::open(root.join(META_FILE))?.sync_all()?;
    File::open(state_in(root))?.sync_all()?;
    File::open(root)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::LogId;

    fn meta(index: u64) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: Some(LogId::new(openraft::CommittedLeaderId::new(1, 1), index)),
            snapshot_id: format!("s{index}"),
            ..SnapshotMeta::default()
        }
    }

    fn make(snapshot_store: &SnapshotStore, index: u64) -> SnapshotDir {
        let root = snapshot_store.fresh();
        fs::create_dir_all(state_in(&root)).expect("writable");
        fs::write(state_in(&root).join("CURRENT"), b"x").expect("writable");
        snapshot_store.put(&root, &meta(index)).expect("writable")
    }

    #[test]
    fn only_the_newest_snapshot_stays_and_one_being_sent_as_long_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let snapshot_store = SnapshotStore::open(dir.path()).expect("opens");
        let sent = make(&snapshot_store, 5);
        let place = sent.state();
        make(&snapshot_store, 9);
        assert!(place.exists(), "it is still being sent");
        drop(sent);
        assert!(!place.exists());
        assert_eq!(snapshot_store.current().expect("one").0.snapshot_id, "s9");
    }

    #[test]
    fn a_restart_finds_the_newest_whole_snapshot_and_removes_half_made_ones() {
        let dir = tempfile::tempdir().expect("a directory");
        let half = {
            let snapshot_store = SnapshotStore::open(dir.path()).expect("opens");
            make(&snapshot_store, 5);
            let half = snapshot_store.fresh();
            fs::create_dir_all(state_in(&half)).expect("writable");
            fs::create_dir_all(snapshot_store.incoming()).expect("writable");
            half
        };
        let snapshot_store = SnapshotStore::open(dir.path()).expect("opens");
        assert_eq!(snapshot_store.current().expect("one").0, meta(5));
        assert!(!half.exists());
        assert!(snapshot_store.incoming().exists(), "what was received goes on where it stopped");
    }

    #[test]
    fn a_snapshot_of_a_newer_build_is_refused_and_not_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        make(&SnapshotStore::open(dir.path()).expect("opens"), 5);
        let meta_file = dir.path().join("s5").join(META_FILE);
        let mut bytes = fs::read(&meta_file).expect("it was made");
        bytes[0] = codec::FORMAT + 1;
        fs::write(&meta_file, bytes).expect("writable");
        let error = SnapshotStore::open(dir.path()).expect_err("another format");
        assert!(error.to_string().contains("a newer Kho wrote it"), "{error}");
        assert!(meta_file.exists());
    }

    #[test]
    fn the_log_behind_the_oldest_snapshot_being_sent_is_known_until_all_sendings_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let snapshot_store = Arc::new(SnapshotStore::open(dir.path()).expect("opens"));
        let (old, new) = (snapshot_store.begin_sending(5), snapshot_store.begin_sending(9));
        assert_eq!(snapshot_store.oldest_sending(), Some(5));
        drop(old);
        assert_eq!(snapshot_store.oldest_sending(), Some(9));
        drop(new);
        assert_eq!(snapshot_store.oldest_sending(), None);
    }
}
