//! A link to the parent on which anything may be said: frames go out as they are given, answers come back as what they mean.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use kho_replication::{
    frames::{ChildFrame, Compressed, Cursor, FrameId, Goodbye, Hello, PIECE_PLAIN_BYTES_MAX, ParentFrame, SEGMENT_PLAIN_BYTES_MAX},
    quic::{Alpn, CloseCode, Connection, Endpoint, FrameIoError, FrameReceiver, FrameSender},
    tls::site_server_name,
};
use kho_storage::{
    command::{Refusal, TransferPiece, TransferStart, TransferStatus},
    ids::{OriginId, SiteId},
    stream::Segment,
};

/// How long the parent may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// What a parent says between an answer and its end is little.
const FRAMES_PASSED_OVER_MAX: usize = 64;

/// What the parent said to a lie.
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
    /// It ended the connection, for the protocol was broken; in its own words, when they arrived.
    Misbehaved(Option<String>),
    /// It ended the connection for another reason, or without a word.
    Left(String),
}

/// A connection as a node of the province. Every answer is waited for before the next frame.
pub struct HostileLink {
    connection: Connection,
    sender: FrameSender,
    receiver: FrameReceiver,
    last_id: FrameId,
    /// Where the parent said that it stands with the streams of the Hello.
    cursors: Vec<(OriginId, Cursor)>,
}

impl HostileLink {
    /// Dials a node of `parent`; nothing is said yet.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn dial(endpoint: &Endpoint, parent: SiteId, at: SocketAddr) -> anyhow::Result<Self> {
        let connection = endpoint.connect(at, &site_server_name(parent), Alpn::Link).await?;
        let (sender, receiver) = connection.open_bi().await?;
        Ok(Self { connection, sender, receiver, last_id: FrameId(0), cursors: vec![] })
    }

    /// Says hello and takes the welcome.
    ///
    /// # Errors
    /// When the link is lost.
    pub async fn greet(&mut self, hello: Hello) -> anyhow::Result<Answer> {
        self.say(&ChildFrame::Hello(hello)).await?;
        loop {
            match self.hear().await? {
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

    /// Where the parent stands with a stream of the Hello.
    ///
    /// # Errors
    /// When it did not say.
    pub fn cursor(&self, origin: OriginId) -> anyhow::Result<Cursor> {
        let found = self.cursors.iter().find(|(of, _)| *of == origin);
        Ok(found.with_context(|| format!("the parent says nothing of origin {origin}"))?.1)
    }

    /// Sends a segment under the next number.
    ///
    /// # Errors
    /// When the link is lost without a word.
    pub async fn segment(&mut self, segment: &Segment) -> anyhow::Result<Answer> {
        self.packed_segment(segment.origin(), Compressed::pack(segment, SEGMENT_PLAIN_BYTES_MAX)?).await
    }

    /// Sends what claims to be a segment.
    ///
    /// # Errors
    /// When the link is lost without a word.
    pub async fn packed_segment(&mut self, origin: OriginId, segment: Compressed<Segment>) -> anyhow::Result<Answer> {
        let id = self.next_id();
        self.ask(&ChildFrame::Segment { id, origin, segment }).await
    }

    /// Begins a transfer.
    ///
    /// # Errors
    /// When the link is lost without a word.
    pub async fn transfer_start(&mut self, start: TransferStart) -> anyhow::Result<Answer> {
        let id = self.next_id();
        self.ask(&ChildFrame::TransferStart { id, start }).await
    }

    /// Sends a piece of a transfer.
    ///
    /// # Errors
    /// When the link is lost without a word.
    pub async fn piece(&mut self, piece: &TransferPiece) -> anyhow::Result<Answer> {
        let id = self.next_id();
        self.ask(&ChildFrame::Piece { id, origin: piece.origin, piece: Compressed::pack(piece, PIECE_PLAIN_BYTES_MAX)? }).await
    }

    /// Sends a frame and waits for the answer to it, or for the end of the link.
    ///
    /// # Errors
    /// When the parent says nothing for long.
    pub async fn ask(&mut self, frame: &ChildFrame) -> anyhow::Result<Answer> {
        self.say(frame).await?;
        self.answer().await
    }

    /// Sends bytes as one frame, whatever they are, and waits for what comes of it.
    ///
    /// # Errors
    /// When the parent says nothing for long.
    pub async fn ask_raw(&mut self, frame: &[u8]) -> anyhow::Result<Answer> {
        // A parent that has seen enough stops reading before all is sent; what it says is heard below.
        let _ = self.sender.send(frame).await;
        self.answer().await
    }

    /// Says goodbye.
    pub async fn leave(mut self) {
        // The parent may have left before.
        let _ = self.say(&ChildFrame::Goodbye(Goodbye::Stopping)).await;
        self.connection.close(CloseCode::SHUTDOWN, "done");
    }

    /// Lets the next frame bear this number plus 1.
    pub fn count_from(&mut self, id: FrameId) {
        self.last_id = id;
    }

    async fn say(&mut self, frame: &ChildFrame) -> anyhow::Result<()> {
        Ok(self.sender.send(&frame.encode()?).await?)
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        for _ in 0..FRAMES_PASSED_OVER_MAX {
            let frame = match self.hear().await? {
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
                // A newer register, cursors that were asked for: no answer to what was sent.
                _ => continue,
            });
        }
        bail!("the parent says much and answers nothing")
    }

    /// The next frame, or how the link ended.
    async fn hear(&mut self) -> anyhow::Result<Result<ParentFrame, Answer>> {
        let heard = tokio::time::timeout(ANSWER_TIMEOUT, self.receiver.recv()).await.context("the parent does not answer")?;
        Ok(match heard {
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
