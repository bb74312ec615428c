//! A link to the parent over which any frame can be sent. Frames are sent as they are given; answers are returned as what they mean.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use kho_replication::{
    frames::{ChildFrame, Compressed, Cursor, FrameId, Goodbye, Hello, PIECE_PLAIN_BYTES_MAX, ParentFrame, SEGMENT_PLAIN_BYTES_MAX},
    quic::{Alpn, CloseCode, Connection, Endpoint, FrameIoError, FrameReceiver, FrameSender},
    tls::site_server_name,
};
use kho_storage::{
    command::{Refusal, TransferPiece, TransferStart, TransferStatus},
    ids::{Generation, OriginId, SiteId},
    stream::Segment,
};

/// How long the parent may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// A parent sends few other frames before it answers or closes the link.
const FRAMES_PASSED_OVER_MAX: usize = 64;

/// The parent's answer to an attack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It named its own cursors.
    Welcomed,
    /// Its site holds the batches up to the segment's head; `moved` when it did not before.
    Adopted {
        moved: bool,
    },
    Wants(TransferStatus),
    Refused(Refusal),
    Busy,
    /// It ended the connection because the protocol was broken. Holds its reason, when that arrived.
    Misbehaved(Option<String>),
    /// It ended the connection for another reason, or without one.
    Left(String),
}

/// A link as a node of the province. Every answer is awaited before the next frame is sent.
pub struct HostileLink {
    connection: Connection,
    sender: FrameSender,
    receiver: FrameReceiver,
    last_id: FrameId,
    /// The cursors that the parent named for the streams of the Hello.
    cursors: Vec<(OriginId, Cursor)>,
}

impl HostileLink {
    /// Dials a node of `parent`. Nothing is sent yet.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn dial(endpoint: &Endpoint, parent: SiteId, at: SocketAddr) -> anyhow::Result<Self> {
        let connection = endpoint.connect(at, &site_server_name(parent), Alpn::Link).await?;
        let (sender, receiver) = connection.open_bi().await?;
        Ok(Self { connection, sender, receiver, last_id: FrameId(0), cursors: vec![] })
    }

    /// Sends a Hello and receives the welcome.
    ///
    /// # Errors
    /// When the link is lost.
    pub async fn greet(&mut self, hello: Hello) -> anyhow::Result<Answer> {
        self.send(&ChildFrame::Hello(hello)).await?;
        loop {
            match self.receive().await? {
                Ok(ParentFrame::Welcome(welcome)) => {
                    self.cursors = welcome.cursors.iter().map(|cursor| (cursor.origin, Cursor::of(cursor))).collect();
                    return Ok(Answer::Welcomed);
                }
                Ok(ParentFrame::Goodbye(reason)) => return Ok(ended(reason)),
                Ok(ParentFrame::Redirect { addresses }) => {
                    bail!("another node leads the parent's site, at {}; dial it with --at", addresses.join(", "))
                }
                Ok(_) => {}
                Err(left) => return Ok(left),
            }
        }
    }

    /// The parent's cursor of a stream of the Hello.
    ///
    /// # Errors
    /// When it named none.
    pub fn cursor(&self, origin: OriginId) -> anyhow::Result<Cursor> {
        let found = self.cursors.iter().find(|(of, _)| *of == origin);
        Ok(found.with_context(|| format!("the parent named no cursor of origin {origin}"))?.1)
    }

    /// Sends a segment under the next number.
    ///
    /// # Errors
    /// When the link is lost without a reason.
    pub async fn segment(&mut self, segment: &Segment) -> anyhow::Result<Answer> {
        self.packed_segment(segment.origin(), Compressed::pack(segment, SEGMENT_PLAIN_BYTES_MAX)?).await
    }

    /// Sends what claims to be a segment.
    ///
    /// # Errors
    /// When the link is lost without a reason.
    pub async fn packed_segment(&mut self, origin: OriginId, segment: Compressed<Segment>) -> anyhow::Result<Answer> {
        let id = self.next_id();
        self.request(&ChildFrame::Segment { id, origin, segment }).await
    }

    /// Begins a transfer.
    ///
    /// # Errors
    /// When the link is lost without a reason.
    pub async fn transfer_start(&mut self, start: TransferStart) -> anyhow::Result<Answer> {
        let id = self.next_id();
        self.request(&ChildFrame::TransferStart { id, start }).await
    }

    /// Sends a piece for the generation that a transfer builds.
    ///
    /// # Errors
    /// When the link is lost without a reason.
    pub async fn piece(&mut self, generation: Generation, piece: &TransferPiece) -> anyhow::Result<Answer> {
        let (id, origin) = (self.next_id(), piece.origin);
        let piece = Compressed::pack(piece, PIECE_PLAIN_BYTES_MAX)?;
        self.request(&ChildFrame::Piece { id, origin, generation, piece }).await
    }

    /// Sends a frame and waits for the answer to it, or for the end of the link.
    ///
    /// # Errors
    /// When the parent does not answer in time.
    pub async fn request(&mut self, frame: &ChildFrame) -> anyhow::Result<Answer> {
        self.send(frame).await?;
        self.answer().await
    }

    /// Sends bytes as one frame, whatever they are, and waits for what comes of it.
    ///
    /// # Errors
    /// When the parent does not answer in time.
    pub async fn request_raw(&mut self, frame: &[u8]) -> anyhow::Result<Answer> {
        // A parent that has read enough stops reading before all is sent. Its answer is received below.
        let _ = self.sender.send(frame).await;
        self.answer().await
    }

    /// Sends a goodbye and closes the link.
    pub async fn leave(mut self) {
        // The parent may have left before.
        let _ = self.send(&ChildFrame::Goodbye(Goodbye::Stopping)).await;
        self.connection.close(CloseCode::SHUTDOWN, "done");
    }

    /// Lets the next frame bear this number plus 1.
    pub fn count_from(&mut self, id: FrameId) {
        self.last_id = id;
    }

    async fn send(&mut self, frame: &ChildFrame) -> anyhow::Result<()> {
        Ok(self.sender.send(&frame.encode()?).await?)
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        for _ in 0..FRAMES_PASSED_OVER_MAX {
            let frame = match self.receive().await? {
                Ok(frame) => frame,
                Err(left) => return Ok(left),
            };
            return Ok(match frame {
                ParentFrame::Adopted { cursor, .. } => {
                    let stands = Cursor::of(&cursor);
                    let known = self.cursors.iter_mut().find(|(origin, _)| *origin == cursor.origin);
                    let moved = known.is_none_or(|(_, before)| std::mem::replace(before, stands) != stands);
                    Answer::Adopted { moved }
                }
                ParentFrame::TransferWants { status, .. } => Answer::Wants(status),
                ParentFrame::Refused { refusal, .. } => Answer::Refused(refusal),
                ParentFrame::Busy { .. } => Answer::Busy,
                ParentFrame::Goodbye(reason) => ended(reason),
                // A newer register, cursors that were requested: no answer to what was sent.
                _ => continue,
            });
        }
        bail!("the parent sends frames and no answer")
    }

    /// The next frame, or how the link ended.
    async fn receive(&mut self) -> anyhow::Result<Result<ParentFrame, Answer>> {
        let received = tokio::time::timeout(ANSWER_TIMEOUT, self.receiver.recv()).await.context("the parent does not answer")?;
        Ok(match received {
            Ok(Some(bytes)) => Ok(ParentFrame::decode(&bytes)?),
            Ok(None) => Err(Answer::Left("the parent ended the stream".into())),
            Err(FrameIoError::CancelledByPeer { code }) if code == CloseCode::MISBEHAVED => Err(Answer::Misbehaved(None)),
            Err(error) => Err(Answer::Left(error.to_string())),
        })
    }

    fn next_id(&mut self) -> FrameId {
        self.last_id = FrameId(self.last_id.0 + 1);
        self.last_id
    }
}

fn ended(reason: Goodbye) -> Answer {
    match reason {
        Goodbye::PeerMisbehaved(what) => Answer::Misbehaved(Some(what.to_string())),
        other => Answer::Left(other.to_string()),
    }
}
