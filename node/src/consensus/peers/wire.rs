//! The messages between the nodes of a site: one request a stream.
//!
//! ```text
//! request:  envelope │ body in pieces …        reply:  verdict │ body in pieces …
//! ```
//!
//! The envelope names the group, both nodes and both disks, and is judged before a byte of the body is read. Bodies travel in
//! pieces because a frame is smaller than the largest entry.

use kho_replication::quic::{FrameIoError, FrameReceiver, FrameSender};
use kho_storage::{
    build::Build,
    codec::{self, CodecError},
    ids::NodeId,
    level::LevelRange,
    stream::{BATCH_BYTES_MAX, SEGMENT_BYTES_MAX},
};
use serde::{Deserialize, Serialize};

use crate::consensus::{
    error::PeerRefusal,
    founding::Incarnation,
    types::{DiskId, GroupId},
};

/// Largest body: the largest segment or batch as one entry, and room around it.
pub const BODY_BYTES_MAX: usize = SEGMENT_BYTES_MAX + BATCH_BYTES_MAX + (1 << 20);
/// Largest command: a body carries it with a little around it.
pub const COMMAND_BYTES_MAX: usize = BODY_BYTES_MAX - (64 << 10);
const _: () = assert!(kho_storage::register::REGISTER_BYTES_MAX + (64 << 10) <= COMMAND_BYTES_MAX, "a register fits into a command");
/// What a decoded body takes in memory at most: entries are little more than their commands.
const BODY_MEMORY_BYTES_MAX: usize = 2 * BODY_BYTES_MAX;
/// What a decoded reply takes in memory at most. The longest says what became of the some 100,000 requests that one batch has room for.
const REPLY_MEMORY_BYTES_MAX: usize = 32 << 20;
/// Bodies are cut into frames of this size.
pub const PIECE_BYTES: usize = 1 << 20;
/// Largest envelope or verdict.
const HEAD_BYTES_MAX: usize = 4 << 10;

/// What a stream is about. Variants are only appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    AppendEntries,
    Vote,
    /// A command for the leader.
    Propose,
    /// Where a linearizable read has to wait for.
    ReadIndex,
    /// Which disk is the peer on, and did it ever take part?
    Hello,
    /// A change of the members, for the leader.
    ChangeMembers,
    /// A log snapshot; the stream goes on in the form of `snapshot/wire.rs`.
    Snapshot,
    /// A pre-vote: would the peer vote for the sender, if it stood for election?
    PreVoteRequest,
    /// What does the peer's machine's clock show?
    Clock,
    /// Is this node a member by the peer's log? The body is its id, the reply a [`ConfirmReply`](super::newcomers::ConfirmReply).
    Confirm,
    /// Belong to the sender's founding from now on: a fresh node, before it becomes a member.
    Join,
    /// A member says where it is now: the body is an `Option<NodeAddress>`, nothing when the site's record of it is right.
    Announce,
    /// What did the peer compute at a place? The body is a `Comparison`, the reply a hash or nothing.
    Compare,
}

impl Subject {
    /// Whether a node answers it before it belongs to the sender's founding, or to any.
    fn is_for_incoming(self) -> bool {
        matches!(self, Self::Hello | Self::Join)
    }
}

/// First frame of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub group: GroupId,
    /// The founding of the site that the sender belongs to; none before its first.
    pub incarnation: Option<Incarnation>,
    pub from: NodeId,
    pub from_disk: DiskId,
    pub to: NodeId,
    /// The disk the sender knows the receiver by, if it knows one.
    pub to_disk: Option<DiskId>,
    /// Levels that the sender's build supports.
    pub levels: LevelRange,
    pub subject: Subject,
    pub body_bytes: u32,
}

/// First frame of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub refused: Option<PeerRefusal>,
    pub body_bytes: u32,
}

/// A node's reply to [`Subject::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    pub disk: DiskId,
    /// It has no vote, no log and no state: it never took part.
    pub fresh: bool,
    /// The founding of the site that it belongs to; none before its first.
    pub incarnation: Option<Incarnation>,
    /// Levels that its build supports.
    pub levels: LevelRange,
    /// Which build that is.
    pub build: Build,
}

/// Why a request or a reply could not be read or sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error(transparent)]
    Frame(#[from] FrameIoError),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("a body of {bytes} bytes was announced, at most {BODY_BYTES_MAX} are taken")]
    TooLarge { bytes: usize },
    #[error("the stream ended early or went on too long")]
    OtherLength,
    #[error("nothing came within {timeout:?}")]
    TooSlow { timeout: std::time::Duration },
}

/// Sends a head and its body, and ends the stream.
///
/// # Errors
/// [`WireError`]; the other end may have received it all the same.
pub async fn send_message<H: Serialize>(sender: &mut FrameSender, head: &H, body: &[u8]) -> Result<(), WireError> {
    send_head(sender, head).await?;
    for piece in body.chunks(PIECE_BYTES) {
        sender.send(piece).await?;
    }
    Ok(sender.finish()?)
}

/// Sends one small frame.
///
/// # Errors
/// [`WireError`].
pub async fn send_head<H: Serialize>(sender: &mut FrameSender, head: &H) -> Result<(), WireError> {
    Ok(sender.send(&codec::encode(head)?).await?)
}

/// Receives one small frame.
///
/// # Errors
/// [`WireError`].
pub async fn receive_head<H: serde::de::DeserializeOwned>(receiver: &mut FrameReceiver) -> Result<H, WireError> {
    let frame = receiver.recv().await?.ok_or(WireError::OtherLength)?;
    if frame.len() > HEAD_BYTES_MAX {
        return Err(WireError::OtherLength);
    }
    Ok(codec::decode(&frame)?)
}

/// Decodes a body that a peer sent.
///
/// # Errors
/// [`CodecError`], also when it would take out of proportion more memory than bytes.
pub fn decode_body<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, CodecError> {
    codec::decode_within(body, BODY_MEMORY_BYTES_MAX)
}

/// What a peer answered. It is read by [`Self::read`] alone, so that no answer takes more memory than it may.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply(Vec<u8>);

impl Reply {
    /// # Errors
    /// [`CodecError`], also when it would take more than [`REPLY_MEMORY_BYTES_MAX`].
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, CodecError> {
        codec::decode_within(&self.0, REPLY_MEMORY_BYTES_MAX)
    }
}

impl From<Vec<u8>> for Reply {
    fn from(body: Vec<u8>) -> Self {
        Self(body)
    }
}

/// Receives a body of the announced size, to the end of the stream.
///
/// # Errors
/// [`WireError`]; nothing beyond the announced size is kept.
pub async fn receive_body(receiver: &mut FrameReceiver, body_bytes: u32) -> Result<Vec<u8>, WireError> {
    let bytes = body_bytes as usize;
    if bytes > BODY_BYTES_MAX {
        return Err(WireError::TooLarge { bytes });
    }
    // Memory follows what arrives, not what is announced.
    let mut body = Vec::with_capacity(bytes.min(PIECE_BYTES));
    while let Some(piece) = receiver.recv().await? {
        if body.len() + piece.len() > bytes {
            return Err(WireError::OtherLength);
        }
        body.extend_from_slice(&piece);
    }
    if body.len() == bytes { Ok(body) } else { Err(WireError::OtherLength) }
}

/// The size of a body as it is announced.
///
/// # Errors
/// [`WireError::TooLarge`].
pub fn announced(body: &[u8]) -> Result<u32, WireError> {
    u32::try_from(body.len()).ok().filter(|_| body.len() <= BODY_BYTES_MAX).ok_or(WireError::TooLarge { bytes: body.len() })
}

/// What the receiver of an envelope knows about itself and the sender.
#[derive(Debug, Clone)]
pub struct Expectation<'a> {
    pub group: &'a GroupId,
    pub incarnation: Option<Incarnation>,
    pub node: NodeId,
    pub disk: DiskId,
    /// Site and node of the certificate at the other end.
    pub peer: (kho_storage::ids::SiteId, NodeId),
    /// The sender's disk as the membership records it, if the sender is a member.
    pub sender_disk: Option<DiskId>,
    /// Levels that this node supports.
    pub levels: LevelRange,
}

/// Whether a request may be worked on at all.
///
/// # Errors
/// The refusal to be sent back.
pub fn judge(envelope: &Envelope, here: &Expectation<'_>) -> Result<(), PeerRefusal> {
    if envelope.group != *here.group {
        return Err(PeerRefusal::OtherGroup(here.group.clone()));
    }
    if !envelope.subject.is_for_incoming() && (here.incarnation.is_none() || envelope.incarnation != here.incarnation) {
        return Err(PeerRefusal::OtherFounding(here.incarnation));
    }
    if here.peer != (here.group.site, envelope.from) {
        return Err(PeerRefusal::CertificateMismatch);
    }
    if envelope.to != here.node {
        return Err(PeerRefusal::OtherNode(here.node));
    }
    if envelope.to_disk.is_some_and(|disk| disk != here.disk) {
        return Err(PeerRefusal::OtherDisk(here.disk));
    }
    if here.levels.highest_shared(envelope.levels).is_none() {
        return Err(PeerRefusal::NoCommonLevel { here: here.levels, sender: envelope.levels });
    }
    match here.sender_disk {
        Some(known) if known != envelope.from_disk => Err(PeerRefusal::KnownOnOtherDisk(known)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use kho_storage::{
        command::{Outcome, WriteOutcome},
        ids::{Epoch, OriginId, SiteId, StreamSeq},
        level::{Level, SUPPORTED},
    };

    use super::*;

    #[test]
    fn a_reply_that_unfolds_beyond_what_a_batch_can_come_to_is_refused() {
        let reply = |outcome: &WriteOutcome, requests| {
            let outcome = Outcome::Written(vec![outcome.clone(); requests]);
            let reply = Reply::from(codec::encode(&outcome).expect("it encodes"));
            reply.read::<Outcome>().map(|read| assert_eq!(read, outcome))
        };
        let epoch = Epoch::first("vn", OriginId(7));
        let committed = WriteOutcome::Committed { epoch, seq: StreamSeq(u64::MAX), changes: 1, repeated: false };
        assert_eq!(reply(&committed, BATCH_BYTES_MAX / 40), Ok(()), "as many as a batch has room for");
        assert!(matches!(reply(&WriteOutcome::NotAuthor, 2_000_000), Err(CodecError::Malformed(_))), "2 MB that would take 100");
    }

    #[test]
    fn a_frame_of_another_group_node_disk_or_certificate_is_refused() {
        let group = GroupId { tree: "vn".into(), site: SiteId(7) };
        let founding = |number| NonZeroU64::new(number).map(Incarnation::numbered);
        let good = Envelope {
            group: group.clone(),
            incarnation: founding(5),
            from: NodeId(2),
            from_disk: DiskId(22),
            to: NodeId(1),
            to_disk: Some(DiskId(11)),
            levels: SUPPORTED,
            subject: Subject::Vote,
            body_bytes: 0,
        };
        let here = Expectation {
            group: &group,
            incarnation: founding(5),
            node: NodeId(1),
            disk: DiskId(11),
            peer: (SiteId(7), NodeId(2)),
            sender_disk: Some(DiskId(22)),
            levels: SUPPORTED,
        };
        assert_eq!(judge(&good, &here), Ok(()));
        let alter: [fn(&mut Envelope); 9] = [
            |e| e.incarnation = NonZeroU64::new(6).map(Incarnation::numbered),
            |e| e.incarnation = None,
            |e| e.group.site = SiteId(8),
            |e| e.group.tree = "test".into(),
            |e| e.from = NodeId(3),
            |e| e.from_disk = DiskId(23),
            |e| e.to = NodeId(4),
            |e| e.to_disk = Some(DiskId(12)),
            |e| e.levels = LevelRange { min: Level(7), max: Level(9) },
        ];
        for change in alter {
            let mut envelope = good.clone();
            change(&mut envelope);
            assert!(judge(&envelope, &here).is_err(), "{envelope:?}");
        }
        let foreign = Expectation { peer: (SiteId(8), NodeId(2)), ..here.clone() };
        assert_eq!(judge(&good, &foreign), Err(PeerRefusal::CertificateMismatch));
        let unfounded = Expectation { incarnation: None, ..here.clone() };
        assert!(judge(&good, &unfounded).is_err(), "a node of no founding takes part in none");
        let hello = Envelope { subject: Subject::Hello, incarnation: None, ..good.clone() };
        assert_eq!(judge(&hello, &unfounded), Ok(()), "it can be greeted");
        let unknown = Expectation { sender_disk: None, ..here };
        assert_eq!(judge(&Envelope { to_disk: None, ..good }, &unknown), Ok(()), "a newcomer may be greeted");
    }
}
