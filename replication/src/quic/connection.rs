//! A connection to an admitted peer, and streams on it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use kho_storage::ids::{NodeId, SiteId};
use tokio::sync::oneshot;

use super::{
    Alpn,
    error::{CloseCode, ConnectionLost, FrameIoError, Misbehaviour},
    frames::{FrameReceiver, FrameSender},
};
use crate::{
    connection_places::ConnectionPlace,
    identity::PeerIdentity,
    tls::{Revocations, ShownCertificate},
};

/// A connection to a node of the same tree. Cheap to clone; all clones share one connection, which ends when it is
/// closed, lost, or the last clone and stream are dropped.
#[derive(Debug, Clone)]
pub struct Connection {
    quinn: quinn::Connection,
    peer: Arc<AdmittedPeer>,
    frame_bytes_max: u32,
    in_use: InUse,
}

/// Kept by a connection's clones and streams: when the last of them is dropped, nobody watches over the connection any more and it ends.
pub(super) type InUse = Arc<oneshot::Sender<()>>;

/// Who was admitted, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AdmittedPeer {
    pub(super) shown: ShownCertificate,
    pub(super) site: SiteId,
    pub(super) node: NodeId,
    pub(super) alpn: Alpn,
}

impl Connection {
    /// A connection to an admitted peer. It is cut when the register revokes the certificate that the peer showed.
    /// `place` is given back when it ends.
    pub(super) fn new(
        quinn: quinn::Connection,
        peer: AdmittedPeer,
        frame_bytes_max: u32,
        revocations: &Arc<Revocations>,
        place: Option<ConnectionPlace>,
    ) -> Self {
        let (in_use, unused) = oneshot::channel();
        let watch = cut_when_revoked(quinn.clone(), peer.shown.clone(), Arc::clone(revocations), unused);
        tokio::spawn(async move {
            watch.await;
            drop(place);
        });
        Self { quinn, peer: Arc::new(peer), frame_bytes_max, in_use: Arc::new(in_use) }
    }

    /// Who the peer's certificate says it is: always a node of this endpoint's tree.
    pub fn peer(&self) -> &PeerIdentity {
        &self.peer.shown.identity
    }

    /// The peer's site and node.
    pub fn peer_node(&self) -> (SiteId, NodeId) {
        (self.peer.site, self.peer.node)
    }

    pub fn alpn(&self) -> Alpn {
        self.peer.alpn
    }

    /// Where the peer is now; it may move while the connection lives.
    pub fn remote_addr(&self) -> SocketAddr {
        self.quinn.remote_address()
    }

    /// Smoothed round-trip time.
    pub fn rtt(&self) -> Duration {
        self.quinn.rtt()
    }

    /// Bytes sent so far, with the headers of UDP and IP: what the link to the peer had to carry.
    pub fn wire_bytes_sent(&self) -> u64 {
        let sent = self.quinn.stats().udp_tx;
        self.wire_bytes(sent.bytes, sent.datagrams)
    }

    /// The same for what was received.
    pub fn wire_bytes_received(&self) -> u64 {
        let received = self.quinn.stats().udp_rx;
        self.wire_bytes(received.bytes, received.datagrams)
    }

    fn wire_bytes(&self, bytes: u64, datagrams: u64) -> u64 {
        const UDP_HEADER_BYTES: u64 = 8;
        let ip_header_bytes = if self.quinn.remote_address().is_ipv4() { 20 } else { 40 };
        bytes + datagrams * (UDP_HEADER_BYTES + ip_header_bytes)
    }

    /// Datagrams received so far. A peer whose process lives acknowledges what is sent even while it is too busy to answer.
    pub fn datagrams_received(&self) -> u64 {
        self.quinn.stats().udp_rx.datagrams
    }

    /// Opens a stream; waits while the peer's limit of open streams is reached. The peer learns of it with the first frame.
    ///
    /// # Errors
    /// [`ConnectionLost`].
    pub async fn open_bi(&self) -> Result<(FrameSender, FrameReceiver), ConnectionLost> {
        let (send, receive) = self.quinn.open_bi().await?;
        Ok(self.framed(send, receive, self.frame_bytes_max))
    }

    /// The next stream the peer opened. Cancel-safe.
    ///
    /// # Errors
    /// [`ConnectionLost`].
    pub async fn accept_bi(&self) -> Result<(FrameSender, FrameReceiver), ConnectionLost> {
        let (send, receive) = self.quinn.accept_bi().await?;
        Ok(self.framed(send, receive, self.frame_bytes_max))
    }

    /// One question on a stream of its own: one frame there, one of at most `answer_bytes_max` bytes back. Dropping the
    /// future cancels the question; a timeout is the caller's.
    ///
    /// # Errors
    /// [`FrameIoError`]. Whether the peer acted on the question is then unknown.
    pub async fn call(&self, request: &[u8], answer_bytes_max: u32) -> Result<Bytes, FrameIoError> {
        let (send, receive) = self.quinn.open_bi().await.map_err(ConnectionLost::from)?;
        let (mut sender, mut receiver) = self.framed(send, receive, answer_bytes_max);
        sender.send(request).await?;
        sender.finish()?;
        receiver.recv().await?.ok_or(FrameIoError::PeerMisbehaved(Misbehaviour::NoAnswer))
    }

    /// As [`Self::call`], for an answer that is long. It may take as long as the link needs: it is given up when not a byte of it arrives
    /// for `silence_max`.
    ///
    /// # Errors
    /// As [`Self::call`], and [`FrameIoError::PeerSilent`].
    pub async fn call_unless_silent(&self, request: &[u8], answer_bytes_max: u32, silence_max: Duration) -> Result<Bytes, FrameIoError> {
        let silent = |_| FrameIoError::PeerSilent { silence_max };
        let opened = tokio::time::timeout(silence_max, self.quinn.open_bi()).await.map_err(silent)?;
        let (send, receive) = opened.map_err(ConnectionLost::from)?;
        let (mut sender, mut receiver) = self.framed(send, receive, answer_bytes_max);
        tokio::time::timeout(silence_max, sender.send(request)).await.map_err(silent)??;
        sender.finish()?;
        receiver.recv_unless_silent(silence_max).await?.ok_or(FrameIoError::PeerMisbehaved(Misbehaviour::NoAnswer))
    }

    /// Closes at once; what is still under way is lost. The peer reads `code` and `reason`.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.quinn.close(code.to_wire(), reason.as_bytes());
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> ConnectionLost {
        self.quinn.closed().await.into()
    }

    /// Why the connection has ended, if it has.
    pub fn lost(&self) -> Option<ConnectionLost> {
        self.quinn.close_reason().map(ConnectionLost::from)
    }

    fn framed(&self, send: quinn::SendStream, receive: quinn::RecvStream, receive_bytes_max: u32) -> (FrameSender, FrameReceiver) {
        let in_use = || Arc::clone(&self.in_use);
        (FrameSender::new(send, self.frame_bytes_max, in_use()), FrameReceiver::new(receive, receive_bytes_max, in_use()))
    }
}

/// Ends the connection when its peer's certificate is revoked. Holds it no longer than anybody else does.
async fn cut_when_revoked(quinn: quinn::Connection, shown: ShownCertificate, revocations: Arc<Revocations>, unused: oneshot::Receiver<()>) {
    tokio::select! {
        _ = quinn.closed() => {}
        // Nobody sends: the channel ends when the connection is no longer used.
        _ = unused => {}
        () = revocations.until_revoked(&shown) => {
            if let Err(revoked) = revocations.check(&shown) {
                tracing::warn!(peer = %shown.identity, "a connection was cut: the register revoked its certificate");
                quinn.close(CloseCode::NOT_ADMITTED.to_wire(), revoked.to_string().as_bytes());
            }
        }
    }
}
