//! The follower's side of a log snapshot on its way, see `wire.rs`.
//!
//! Invariant: what is handed to openraft is byte for byte what the leader read (every file's hash is compared), and it is
//! durable, and it holds the state at the position that was announced (tests
//! `a_node_far_behind_gets_a_log_snapshot_and_a_broken_transfer_goes_on`,
//! `promise_1_a_log_snapshot_that_holds_another_state_than_announced_replaces_nothing`).
//! An installation that was begun is not given up with the request that brought it, as at a stop: the log waits for its end.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use kho_replication::quic::{FrameReceiver, FrameSender};
use kho_storage::ids::Hash32;
use tokio::sync::OwnedMutexGuard;

use super::{
    store::SnapshotStore,
    wire::{self, FILE_PIECE_BYTES, FILES_MAX, HeldPart, Offer, OfferedFile, PIECE_TIMEOUT, Piece, Reply},
};
use crate::consensus::{
    error::PeerRefusal,
    log::InstallGate,
    peers::wire::WireError,
    snapshot_dir::is_state_file,
    state_position::check_state,
    types::{Raft, Snapshot, Vote},
};

/// Why a snapshot could not be received. The leader tries again.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error("the connection broke: {0}")]
    Wire(#[from] WireError),
    #[error("the leader broke the protocol: {0}")]
    Misbehaved(&'static str),
    #[error("file {0} arrived damaged; it is fetched again")]
    Damaged(String),
    #[error("the snapshot could not be written: {0}; check the disk and its free space")]
    File(#[from] io::Error),
    #[error("the snapshot could not be installed: {0}")]
    Install(String),
}

/// Takes log snapshots, one at a time.
pub struct SnapshotReceiver {
    pub raft: Raft,
    pub snapshot_store: Arc<SnapshotStore>,
    pub gate: InstallGate,
    pub one_at_a_time: Arc<tokio::sync::Mutex<()>>,
}

impl SnapshotReceiver {
    /// Receives one snapshot and installs it; reports the result to the leader.
    ///
    /// # Errors
    /// [`ReceiveError`]; what arrived is kept for the next attempt.
    pub async fn receive(&self, sender: &mut FrameSender, receiver: &mut FrameReceiver) -> Result<(), ReceiveError> {
        let offer: Offer = wire::receive(receiver, PIECE_TIMEOUT).await?;
        check(&offer)?;
        let held_vote = self.raft.metrics().borrow().vote;
        if held_vote > offer.vote {
            // The sender no longer leads; its snapshot is not worth a byte.
            wire::send(sender, &Reply::Installed { vote: held_vote }).await?;
            return Ok(sender.finish().map_err(WireError::from)?);
        }
        let applied = self.raft.metrics().borrow().last_applied.map(|id| id.index);
        if offer.meta.last_log_id.map(|id| id.index) < applied {
            // Nothing of what is applied is ever given up for less.
            wire::send(sender, &Reply::Refused(PeerRefusal::FurtherHere { heads: vec![] })).await?;
            return Ok(());
        }
        let Ok(turn) = Arc::clone(&self.one_at_a_time).try_lock_owned() else {
            wire::send(sender, &Reply::Refused(PeerRefusal::Busy)).await?;
            return Ok(());
        };
        let (dir, files) = (self.snapshot_store.incoming(), offer.files.clone());
        let held = on_disk({
            let dir = dir.clone();
            move || holding(&dir, &files)
        })
        .await?;
        wire::send(sender, &Reply::Holding(held)).await?;
        receive_files(receiver, &dir, &offer.files).await?;
        let vote = self.install(offer, turn).await?;
        wire::send(sender, &Reply::Installed { vote }).await?;
        Ok(sender.finish().map_err(WireError::from)?)
    }

    async fn install(&self, offer: Offer, turn: OwnedMutexGuard<()>) -> Result<Vote, ReceiveError> {
        let (snapshot_store, meta) = (Arc::clone(&self.snapshot_store), offer.meta.clone());
        let dir = tokio::task::spawn_blocking(move || {
            let dir = snapshot_store.received()?;
            // Here already, so that a sender at fault does not stop this node.
            check_state(&dir.state(), &meta).map_err(|fault| ReceiveError::Install(fault.to_string()))?;
            Ok::<_, ReceiveError>(dir)
        });
        let dir = dir.await.map_err(io::Error::other)??;
        let snapshot = Snapshot { meta: offer.meta, snapshot: Box::new(dir) };
        let (raft, gate) = (self.raft.clone(), self.gate.clone());
        let installing = tokio::spawn(async move {
            // Closed BEFORE openraft learns of the snapshot: it purges the log at once.
            let installation = gate.close();
            let installed = raft.install_full_snapshot(offer.vote, snapshot).await;
            drop(installation);
            drop(turn);
            installed
        });
        let installed = installing.await.map_err(io::Error::other)?;
        installed.map(|response| response.vote).map_err(|e| ReceiveError::Install(e.to_string()))
    }
}

fn check(offer: &Offer) -> Result<(), ReceiveError> {
    if offer.files.is_empty() || offer.files.len() > FILES_MAX {
        return Err(ReceiveError::Misbehaved("it offered no files or too many"));
    }
    let names: BTreeSet<_> = offer.files.iter().map(|file| &file.name).collect();
    if names.len() < offer.files.len() || !names.iter().all(|name| is_state_file(name)) {
        return Err(ReceiveError::Misbehaved("it offered a file name twice or one that is not allowed"));
    }
    let id = &offer.meta.snapshot_id;
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Err(ReceiveError::Misbehaved("it offered a snapshot without a proper id"));
    }
    Ok(())
}

/// What is here of the offered files. Files that are not offered go, and so does what is too long.
fn holding(dir: &Path, files: &[OfferedFile]) -> io::Result<Vec<HeldPart>> {
    fs::create_dir_all(dir)?;
    let offered: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| offered.contains(name)) {
            fs::remove_file(entry.path())?;
        }
    }
    files.iter().map(|file| held_part(&dir.join(&file.name), file.bytes)).collect()
}

fn held_part(path: &Path, offered_bytes: u64) -> io::Result<HeldPart> {
    let nothing = HeldPart { bytes: 0, hash: Hash32::ZERO };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() <= offered_bytes => {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(File::open(path)?)?;
            Ok(HeldPart { bytes: metadata.len(), hash: Hash32(*hasher.finalize().as_bytes()) })
        }
        Ok(_) => fs::remove_file(path).map(|()| nothing),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(nothing),
        Err(e) => Err(e),
    }
}

/// Writes pieces until all files are complete.
async fn receive_files(receiver: &mut FrameReceiver, dir: &Path, files: &[OfferedFile]) -> Result<(), ReceiveError> {
    loop {
        match wire::receive(receiver, PIECE_TIMEOUT).await? {
            Piece::Start { file, offset } => {
                let file = files.get(file as usize).ok_or(ReceiveError::Misbehaved("it sent a file that was not offered"))?;
                receive_file(receiver, dir.join(&file.name), file, offset).await?;
            }
            Piece::Done => break,
            Piece::Bytes(_) | Piece::End { .. } => return Err(ReceiveError::Misbehaved("it sent bytes of no file")),
        }
    }
    let (dir, files) = (dir.to_owned(), files.to_vec());
    let whole = on_disk(move || {
        // Again, for files that an earlier attempt wrote but did not come to sync.
        files.iter().try_for_each(|file| File::open(dir.join(&file.name))?.sync_all())?;
        File::open(&dir)?.sync_all()?;
        Ok(files.iter().all(|file| fs::metadata(dir.join(&file.name)).is_ok_and(|metadata| metadata.len() == file.bytes)))
    });
    if whole.await? { Ok(()) } else { Err(ReceiveError::Misbehaved("it ended before all files were complete")) }
}

async fn receive_file(receiver: &mut FrameReceiver, path: PathBuf, file: &OfferedFile, offset: u64) -> Result<(), ReceiveError> {
    let mut writer = on_disk({
        let path = path.clone();
        move || FileWriter::open(&path, offset)
    })
    .await?;
    loop {
        match wire::receive(receiver, PIECE_TIMEOUT).await? {
            Piece::Bytes(piece) if piece.len() <= FILE_PIECE_BYTES && writer.written + piece.len() as u64 <= file.bytes => {
                writer = on_disk(move || writer.write(&piece.0)).await?;
            }
            Piece::End { hash } => {
                let good = hash.0 == *writer.hasher.finalize().as_bytes() && writer.written == file.bytes;
                on_disk(move || if good { writer.file.sync_all() } else { fs::remove_file(&path) }).await?;
                return if good { Ok(()) } else { Err(ReceiveError::Damaged(file.name.clone())) };
            }
            _ => return Err(ReceiveError::Misbehaved("it sent more than the file it offered")),
        }
    }
}

/// A file being written and hashed in one pass.
struct FileWriter {
    file: File,
    hasher: blake3::Hasher,
    written: u64,
}

impl FileWriter {
    /// Opens the file to go on at `offset`; what lies before it is hashed again, what lies behind is cut off.
    fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(offset.min(file.metadata()?.len()))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file)?;
        let written = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, hasher, written })
    }

    fn write(mut self, piece: &[u8]) -> io::Result<Self> {
        self.file.write_all(piece)?;
        self.hasher.update(piece);
        self.written += piece.len() as u64;
        Ok(self)
    }
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
