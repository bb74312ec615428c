//! A simulated child: the uplink of a node that has nothing new, over a real connection with real certificates.
//!
//! It carries out what [`Uplink`] decides, as `khod` does, over a stream that lives in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::bail;
use kho_replication::{
    frames::ParentFrame,
    link_time::LinkTime,
    quic::{Alpn, Connection, Endpoint},
    tls::site_server_name,
    uplink::{LinkFailure, LinkId, StreamState, Uplink, UplinkAction, UplinkConfig, UplinkInput},
};
use kho_storage::{
    ids::{NodeId, SiteId, SiteTime},
    register::VerifiedRegister,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::stream::IdleStream;

/// Slower than a node's own: nothing here waits for it but pauses between attempts.
const TICK: Duration = Duration::from_secs(1);
/// Frames that wait for the link: an idle child has one under way.
const OUTGOING_FRAMES_MAX: usize = 16;

/// What others read while a child runs.
#[derive(Debug, Default)]
pub struct ChildView {
    connection: Mutex<Option<Connection>>,
    caught_up: AtomicBool,
}

impl ChildView {
    /// Whether the parent holds everything that the child does.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Relaxed)
    }

    /// Bytes of the open connection: from the child, and to it, with the headers of UDP and IP.
    pub fn wire_bytes(&self) -> (u64, u64) {
        self.connection.lock().as_ref().map_or((0, 0), |connection| (connection.wire_bytes_sent(), connection.wire_bytes_received()))
    }
}

/// See the module.
pub struct Child {
    pub site: SiteId,
    pub node: NodeId,
    pub endpoint: Endpoint,
    pub stream: IdleStream,
    pub register: Arc<VerifiedRegister>,
    /// Seconds between two heads; may be changed while the child runs.
    pub head_seconds: Arc<AtomicU64>,
    pub view: Arc<ChildView>,
}

/// Inputs that wait for a child. Its link is not read further meanwhile.
const INPUTS_MAX: usize = 256;

/// An open link: frames to be sent.
struct OpenLink {
    link: LinkId,
    frames: mpsc::Sender<Vec<u8>>,
}

impl Child {
    /// Runs until it is dropped.
    ///
    /// # Errors
    /// What no idle child ever meets: a refusal, an alarm, a request for rows that are gone.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let now = || LinkTime(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        let mut uplink = Uplink::new(UplinkConfig::default(), self.site, self.node, u64::from(self.site.0));
        let (inputs, mut arriving) = mpsc::channel(INPUTS_MAX);
        let (mut open, mut tick, mut headed) = (None, tokio::time::interval(TICK), Instant::now());
        uplink.handle(UplinkInput::RegisterChanged(Arc::clone(&self.register)), now());
        uplink.handle(UplinkInput::BecameLeader { streams: vec![self.stream.position()], recorded: vec![] }, now());
        loop {
            while let Some(action) = uplink.poll_action() {
                if let Some(input) = self.carry_out(action, &mut open, &inputs)? {
                    uplink.handle(input, now());
                }
            }
            tokio::select! {
                Some(input) = arriving.recv() => uplink.handle(input, now()),
                _ = tick.tick() => {
                    if headed.elapsed() >= Duration::from_secs(self.head_seconds.load(Ordering::Relaxed)) {
                        headed = Instant::now();
                        self.stream.idle_until(site_time());
                        uplink.handle(UplinkInput::StreamAdvanced(self.stream.position()), now());
                    }
                    uplink.handle(UplinkInput::Tick, now());
                    let caught_up = uplink.status().streams.iter().all(|stream| stream.state == StreamState::CaughtUp);
                    self.view.caught_up.store(caught_up, Ordering::Relaxed);
                }
            }
        }
    }

    /// Carries out one decision; gives what came of it at once.
    fn carry_out(
        &self,
        action: UplinkAction,
        open: &mut Option<OpenLink>,
        inputs: &mpsc::Sender<UplinkInput>,
    ) -> anyhow::Result<Option<UplinkInput>> {
        match action {
            UplinkAction::Dial { link, site, addresses } => {
                let (frames, outgoing) = mpsc::channel(OUTGOING_FRAMES_MAX);
                *open = Some(OpenLink { link, frames });
                let task = LinkTask {
                    endpoint: self.endpoint.clone(),
                    site,
                    addresses,
                    link,
                    inputs: inputs.clone(),
                    view: Arc::clone(&self.view),
                };
                tokio::spawn(task.hold(outgoing));
            }
            UplinkAction::SendFrame { link, frame } => {
                let bytes = frame.encode()?;
                let sent = open.as_ref().is_some_and(|open| open.link == link && open.frames.try_send(bytes).is_ok());
                return Ok((!sent).then_some(UplinkInput::LinkLost { link, failure: LinkFailure::SendStalled }));
            }
            // The link ends when nothing can be sent on it any more.
            UplinkAction::Disconnect { .. } => *open = None,
            UplinkAction::LoadSegment { load, from, .. } => {
                return Ok(Some(UplinkInput::SegmentLoaded { load, result: self.stream.segment(from) }));
            }
            // What the parent acknowledged, a real child writes down; this one forgets nothing and needs no register but its own.
            UplinkAction::RecordParent { .. }
            | UplinkAction::FetchRegister { .. }
            | UplinkAction::AdoptRegister(_)
            | UplinkAction::CompareHead { .. }
            | UplinkAction::Probe { .. } => {}
            UplinkAction::LoadTransferStart { .. } | UplinkAction::LoadPiece { .. } => {
                bail!("the parent requested a transfer from child {}, though it keeps every batch", self.site)
            }
            UplinkAction::RaiseAlarm(alarm) => bail!("child {}: {alarm}", self.site),
        }
        Ok(None)
    }
}

/// What holds a link, and where its events go.
struct LinkTask {
    endpoint: Endpoint,
    site: SiteId,
    addresses: Vec<String>,
    link: LinkId,
    inputs: mpsc::Sender<UplinkInput>,
    view: Arc<ChildView>,
}

impl LinkTask {
    /// Dials and moves frames both ways until the link ends, or nothing can be sent on it any more.
    async fn hold(self, outgoing: mpsc::Receiver<Vec<u8>>) {
        if let Err(error) = self.move_frames(outgoing).await {
            let failure = LinkFailure::ConnectionLost { detail: format!("{error:#}") };
            self.notify(UplinkInput::LinkLost { link: self.link, failure }).await;
        }
    }

    async fn move_frames(&self, mut outgoing: mpsc::Receiver<Vec<u8>>) -> anyhow::Result<()> {
        let Some(address) = self.addresses.first() else { bail!("the register gives no address of site {}", self.site) };
        let connection = self.endpoint.connect(address.parse()?, &site_server_name(self.site), Alpn::Link).await?;
        let (mut sender, mut receiver) = connection.open_bi().await?;
        *self.view.connection.lock() = Some(connection.clone());
        self.notify(UplinkInput::LinkOpened { link: self.link }).await;
        loop {
            tokio::select! {
                frame = outgoing.recv() => match frame {
                    Some(frame) => sender.send(&frame).await?,
                    None => return Ok(()),
                },
                received = receiver.recv() => match received? {
                    Some(bytes) => {
                        let input = match ParentFrame::decode(&bytes) {
                            Ok(frame) => UplinkInput::FrameReceived { link: self.link, frame },
                            Err(error) => UplinkInput::FrameRefused { link: self.link, error },
                        };
                        self.notify(input).await;
                    }
                    None => bail!("the parent closed the link"),
                },
            }
        }
    }

    async fn notify(&self, input: UplinkInput) {
        // The receiver is gone only when the measurement is over.
        let _ = self.inputs.send(input).await;
    }
}

/// The machine's time.
pub fn site_time() -> SiteTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SiteTime(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
