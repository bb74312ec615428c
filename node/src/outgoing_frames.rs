//! Frames on their way to a child, sent beside whatever else its connection waits for.
//!
//! The peer says how many bytes it takes, and one that takes none holds up whoever waits for a send. So whoever has a frame lays it down
//! here and goes on. [`OutgoingFrames::send`] is polled among other things, goes on where it was, and ends the connection of a peer that
//! takes nothing (test `a_child_that_takes_nothing_holds_up_nobody_and_is_named_after_the_silence`).

use std::{collections::VecDeque, pin::Pin, time::Duration};

use kho_replication::{frames::ParentFrame, quic::FrameSender};

/// A frame that is being sent; gives the sender back.
type Sending = Pin<Box<dyn Future<Output = Result<FrameSender, String>> + Send>>;

/// Frames that wait to be sent, in order.
pub struct OutgoingFrames {
    /// Encoded, so that they take no more memory than on the wire.
    waiting: VecDeque<Vec<u8>>,
    bytes_waiting: usize,
    /// Why a frame could not be encoded.
    failed: Option<String>,
    /// `None` while a frame is being sent, and after a send that failed.
    sender: Option<FrameSender>,
    sending: Option<Sending>,
    silence_max: Duration,
}

impl OutgoingFrames {
    /// `silence_max`: how long the peer may take nothing.
    pub fn new(sender: FrameSender, silence_max: Duration) -> Self {
        Self { waiting: VecDeque::new(), bytes_waiting: 0, failed: None, sender: Some(sender), sending: None, silence_max }
    }

    /// Lays a frame down behind those that wait. The caller bounds them by [`Self::frames_waiting`] and [`Self::bytes_waiting`].
    pub fn push(&mut self, frame: &ParentFrame) {
        match frame.encode() {
            Ok(bytes) => {
                self.bytes_waiting += bytes.len();
                self.waiting.push_back(bytes);
            }
            Err(error) => self.failed = Some(error.to_string()),
        }
    }

    /// Frames that were not taken over by the transport yet.
    pub fn frames_waiting(&self) -> usize {
        self.waiting.len() + usize::from(self.sending.is_some()) + usize::from(self.failed.is_some())
    }

    /// Their bytes, without those of the frame that is being sent.
    pub fn bytes_waiting(&self) -> usize {
        self.bytes_waiting
    }

    /// Sends what waits; returns when the transport has taken all of it over. Cancel-safe: the next call goes on with the same frame.
    ///
    /// # Errors
    /// Why the connection is of no further use.
    pub async fn send(&mut self) -> Result<(), String> {
        loop {
            if let Some(sending) = &mut self.sending {
                let sent = sending.await;
                self.sending = None;
                self.sender = Some(sent?);
            }
            let Some(bytes) = self.waiting.pop_front() else { return self.failed.clone().map_or(Ok(()), Err) };
            self.bytes_waiting -= bytes.len();
            let Some(mut sender) = self.sender.take() else { return Err("an earlier frame could not be sent".into()) };
            let silence_max = self.silence_max;
            self.sending = Some(Box::pin(async move {
                sender.send_unless_silent(&bytes, silence_max).await.map_err(|e| e.to_string())?;
                Ok(sender)
            }));
        }
    }

    /// Ends the stream after the frames sent so far.
    pub fn finish(&mut self) {
        if let Some(sender) = &mut self.sender {
            // An error means that the stream is gone already.
            let _ = sender.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use kho_replication::{
        frames::FrameId,
        quic::{Alpn, Connection, Endpoint, FrameReceiver, TransportLimits},
        tls::{Authority, CertificateClock, CertificateRequest, Credentials, NODE_VALIDITY_DAYS, VerifiedRequest, site_server_name},
    };
    use kho_storage::ids::{NodeId, SiteId, SiteTime};
    use tokio::time::timeout;

    use super::*;

    const PARENT: SiteId = SiteId(1);
    const CHILD: SiteId = SiteId(2);
    const WINDOW_BYTES: u32 = 1024;
    /// Beyond what a child of this window takes unread.
    const FRAMES: u64 = 4 * WINDOW_BYTES as u64;

    fn bind(root: &Authority, site: SiteId, limits: TransportLimits) -> Endpoint {
        let request = CertificateRequest::for_node(root.tree(), site, NodeId(1), &[]).expect("well formed");
        let verified = VerifiedRequest::from_pem(&request.csr_pem).expect("its own request");
        let issued = root.sign(&verified, now(), NODE_VALIDITY_DAYS).expect("its own tree");
        let credentials = Credentials::from_pem(root.certificate_pem(), &issued.certificate_pem, &request.key_pem).expect("they fit");
        let any_port = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        Endpoint::bind(any_port, &credentials, CertificateClock::system(), limits).expect("a free port")
    }

    fn now() -> SiteTime {
        crate::clock::machine_time()
    }

    /// What a stream between a parent and a child consists of. The child takes [`WINDOW_BYTES`] until it reads.
    struct Link {
        sender: FrameSender,
        receiver: FrameReceiver,
        _open: (Endpoint, Endpoint, Connection, Connection),
    }

    async fn link() -> Link {
        let root = Authority::create("vn", now()).expect("well formed");
        let narrow = TransportLimits { stream_window_bytes_max: WINDOW_BYTES, ..TransportLimits::default() };
        let (parent, child) = (bind(&root, PARENT, TransportLimits::default()), bind(&root, CHILD, narrow));
        let at = parent.local_addr().expect("bound");
        let server_name = site_server_name(PARENT);
        let (dialled, accepted) = tokio::join!(child.connect(at, &server_name, Alpn::Link), parent.accept());
        let (dialled, accepted) = (dialled.expect("admitted"), accepted.expect("open"));
        let (mut greeting, receiver) = dialled.open_bi().await.expect("open");
        greeting.send(b"the parent learns of the stream").await.expect("sent");
        let (sender, _) = accepted.accept_bi().await.expect("opened");
        Link { sender, receiver, _open: (parent, child, dialled, accepted) }
    }

    fn busy(number: u64) -> ParentFrame {
        ParentFrame::Busy { id: FrameId(number), retry_after_ms: 1 }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_child_that_takes_nothing_holds_up_nobody_and_is_named_after_the_silence() {
        let Link { sender, receiver: _unread, _open } = link().await;
        let mut outgoing = OutgoingFrames::new(sender, Duration::from_millis(500));
        for number in 1..=FRAMES {
            outgoing.push(&busy(number));
        }
        // What a site decides meanwhile is awaited beside the send, as an intake's driver does.
        let decided = tokio::time::sleep(Duration::from_millis(100));
        tokio::select! {
            sent = outgoing.send() => panic!("the child takes nothing, and yet: {sent:?}"),
            () = decided => {}
        }
        assert!(outgoing.frames_waiting() > 0, "the rest waits");
        assert!(outgoing.bytes_waiting() >= outgoing.frames_waiting() - 1, "and its bytes are counted");
        let why = timeout(Duration::from_secs(20), outgoing.send()).await.expect("it gives up").expect_err("nothing is taken");
        assert_eq!(why, "the peer was silent on this stream for 500 ms: it neither sent nor took anything");
        assert!(outgoing.send().await.is_err(), "the stream is of no further use");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_child_that_reads_again_gets_every_frame_once_and_in_order() {
        let Link { sender, mut receiver, _open } = link().await;
        let mut outgoing = OutgoingFrames::new(sender, Duration::from_secs(20));
        for number in 1..=FRAMES {
            outgoing.push(&busy(number));
        }
        // Interrupted in the middle of some frame.
        timeout(Duration::from_millis(200), outgoing.send()).await.expect_err("the child does not read yet");
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            while let Some(frame) = receiver.recv().await.expect("whole frames") {
                read.push(ParentFrame::decode(&frame).expect("a frame"));
            }
            read
        });
        timeout(Duration::from_secs(20), outgoing.send()).await.expect("in time").expect("all is taken");
        assert_eq!((outgoing.frames_waiting(), outgoing.bytes_waiting()), (0, 0));
        outgoing.finish();
        let read = timeout(Duration::from_secs(20), reading).await.expect("in time").expect("no panic");
        assert_eq!(read, (1..=FRAMES).map(busy).collect::<Vec<_>>());
    }
}
