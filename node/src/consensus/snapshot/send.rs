//! The leader's side of a log snapshot on its way, see `wire.rs`.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use kho_replication::quic::FrameSender;
use kho_storage::{codec::Blob, ids::Hash32};

use super::wire::{self, FILE_PIECE_BYTES, HeldPart, Offer, OfferedFile, Piece, REPLY_TIMEOUT, Reply};
use crate::consensus::{
    error::{PeerError, PeerRefusal},
    peers::{
        PeerTarget, Peers,
        wire::{Subject, WireError},
    },
    snapshot_dir::{SnapshotDir, is_state_file},
    types::{Snapshot, SnapshotResponse, Vote},
};

/// Why a snapshot did not arrive. All of these are tried again.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("the connection broke: {0}")]
    Wire(#[from] WireError),
    #[error("the follower refused: {0}")]
    Refused(PeerRefusal),
    #[error("the follower replied out of turn")]
    OutOfTurn,
    #[error("the snapshot's files could not be read: {0}")]
    File(#[from] io::Error),
}

/// Sends `snapshot`, or what of it is not there yet, and waits until it is installed.
///
/// # Errors
/// [`SendError`]; what arrived stays there for the next attempt.
pub async fn send(peers: &Peers, target: &PeerTarget, vote: Vote, snapshot: &Snapshot) -> Result<SnapshotResponse, SendError> {
    let dir = (*snapshot.snapshot).clone();
    let files = list(dir.clone()).await?;
    let (mut sender, mut receiver) = peers.open_stream(target, Subject::Snapshot).await?;
    wire::send(&mut sender, &Offer { vote, meta: snapshot.meta.clone(), files: files.clone() }).await?;
    let held = match wire::receive(&mut receiver, REPLY_TIMEOUT).await? {
        Reply::Holding(held) if held.len() == files.len() => held,
        Reply::Installed { vote } => return Ok(SnapshotResponse { vote }),
        Reply::Refused(refusal) => return Err(SendError::Refused(refusal)),
        Reply::Holding(_) => return Err(SendError::OutOfTurn),
    };
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    tracing::info!(node = %target.node, snapshot = %snapshot.meta.snapshot_id, files = files.len(), bytes = total, "sending a log snapshot");
    for (number, (file, held)) in files.iter().zip(held).enumerate() {
        let number = u32::try_from(number).map_err(|_| SendError::OutOfTurn)?;
        send_file(&mut sender, &dir, number, file, held).await?;
    }
    wire::send(&mut sender, &Piece::Done).await?;
    sender.finish().map_err(WireError::from)?;
    match wire::receive(&mut receiver, REPLY_TIMEOUT).await? {
        Reply::Installed { vote } => Ok(SnapshotResponse { vote }),
        Reply::Refused(refusal) => Err(SendError::Refused(refusal)),
        Reply::Holding(_) => Err(SendError::OutOfTurn),
    }
}

async fn list(dir: SnapshotDir) -> io::Result<Vec<OfferedFile>> {
    on_disk(move || {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir.state())? {
            let entry = entry?;
            if let Some(name) = entry.file_name().to_str().filter(|name| is_state_file(name)) {
                files.push(OfferedFile { name: name.to_owned(), bytes: entry.metadata()?.len() });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    })
    .await
}

async fn send_file(sender: &mut FrameSender, dir: &SnapshotDir, number: u32, file: &OfferedFile, held: HeldPart) -> Result<(), SendError> {
    let path = dir.state().join(&file.name);
    if held.bytes == file.bytes && dir.known_hash(&file.name) == Some(held.hash) {
        return Ok(());
    }
    let mut reader = FileReader::open(path, held, file.bytes).await?;
    if reader.whole() {
        dir.remember_hash(&file.name, held.hash);
        return Ok(());
    }
    wire::send(sender, &Piece::Start { file: number, offset: reader.offset }).await?;
    loop {
        let (next, piece) = on_disk(move || reader.next()).await?;
        reader = next;
        if piece.is_empty() {
            break;
        }
        wire::send(sender, &Piece::Bytes(Blob(piece))).await?;
    }
    let hash = Hash32(*reader.hasher.finalize().as_bytes());
    dir.remember_hash(&file.name, hash);
    wire::send(sender, &Piece::End { hash }).await?;
    Ok(())
}

/// A file being read and hashed in one pass.
struct FileReader {
    file: File,
    hasher: blake3::Hasher,
    offset: u64,
    end: u64,
}

impl FileReader {
    /// Opens the file behind the held part if that is its beginning, else at 0.
    async fn open(path: PathBuf, held: HeldPart, end: u64) -> io::Result<Self> {
        on_disk(move || {
            let mut file = File::open(path)?;
            if held.bytes > 0 && held.bytes <= end {
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader((&mut file).take(held.bytes))?;
                if *hasher.finalize().as_bytes() == held.hash.0 {
                    return Ok(Self { file, hasher, offset: held.bytes, end });
                }
                file.seek(SeekFrom::Start(0))?;
            }
            Ok(Self { file, hasher: blake3::Hasher::new(), offset: 0, end })
        })
        .await
    }

    /// An empty file is never whole before it was sent: the follower has to make it.
    fn whole(&self) -> bool {
        self.offset == self.end && self.end > 0
    }

    fn next(mut self) -> io::Result<(Self, Vec<u8>)> {
        let mut piece = Vec::with_capacity(FILE_PIECE_BYTES);
        (&mut self.file).take(FILE_PIECE_BYTES as u64).read_to_end(&mut piece)?;
        self.hasher.update(&piece);
        Ok((self, piece))
    }
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
