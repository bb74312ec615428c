//! How a log snapshot travels: file by file, in pieces, going on where an earlier attempt stopped.
//!
//! ```text
//! leader                                    follower
//! Offer: vote, meta, files and sizes   →
//!                                      ←    Holding: per file the bytes already here and their hash
//! Start file │ bytes in pieces │ End hash   (for each file not yet whole)
//! …
//!                                      ←    Installed: the follower's vote
//! ```
//!
//! Every file is checked against the hash its sender names at its end. Files of an earlier, unfinished transfer count too when
//! their bytes are the beginning of the file offered now.

use std::time::Duration;

use kho_replication::quic::{FrameReceiver, FrameSender};
use kho_storage::{
    codec::{self, Blob},
    ids::Hash32,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::consensus::{
    error::PeerRefusal,
    peers::wire::WireError,
    types::{SnapshotMeta, Vote},
};

/// Bytes of a file travel in pieces of this size.
pub const FILE_PIECE_BYTES: usize = 1 << 20;
/// A checkpoint with more files than this is refused: 32 MiB each, so 600 GiB.
pub const FILES_MAX: usize = 20_000;
/// Largest list: an offer or a holding.
const LIST_BYTES_MAX: usize = 4 << 20;
/// What a list takes in memory at most.
const MEMORY_BYTES_MAX: usize = 4 * LIST_BYTES_MAX;
/// A piece, or the offer, is given up after such a silence.
pub const PIECE_TIMEOUT: Duration = Duration::from_secs(120);
/// The other end may have to hash all it holds, or to install it.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offer {
    pub vote: Vote,
    pub meta: SnapshotMeta,
    pub files: Vec<OfferedFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedFile {
    pub name: String,
    pub bytes: u64,
}

/// Follower to leader.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// One per offered file, in the order of the offer.
    Holding(Vec<HeldPart>),
    Installed {
        vote: Vote,
    },
    Refused(PeerRefusal),
}

/// The beginning of a file that is already there; `bytes` may be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPart {
    pub bytes: u64,
    pub hash: Hash32,
}

/// Leader to follower, after the holding.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Piece {
    /// The next bytes belong to this file of the offer, from `offset` on; what the follower holds beyond is thrown away.
    Start {
        file: u32,
        offset: u64,
    },
    Bytes(Blob),
    /// The file is complete and has this hash.
    End {
        hash: Hash32,
    },
    /// All files are complete.
    Done,
}

pub async fn send<T: Serialize>(sender: &mut FrameSender, value: &T) -> Result<(), WireError> {
    Ok(sender.send(&codec::encode(value)?).await?)
}

/// The next frame. It may take as long as the network needs: it is given up when not a byte of it arrives for `silence_max`.
pub async fn receive<T: DeserializeOwned>(receiver: &mut FrameReceiver, silence_max: Duration) -> Result<T, WireError> {
    let frame = receiver.recv_unless_silent(silence_max).await?.ok_or(WireError::OtherLength)?;
    if frame.len() > LIST_BYTES_MAX {
        return Err(WireError::TooLarge { bytes: frame.len() });
    }
    Ok(codec::decode_within(&frame, MEMORY_BYTES_MAX)?)
}
