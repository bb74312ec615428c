//! A link that can be cut and degraded: a UDP proxy on loopback before a node.
//!
//! ```text
//!   child ──► front socket ──► one socket a child ──► parent          "child" and "parent" may also be two nodes of a site:
//!   child ◄── front socket ◄── one socket a child ◄── parent          whoever dials, and whoever is dialled
//! ```
//! The register, or the site's membership, gives the proxy's address as the node's. A cut link drops every packet in both
//! directions and sends no error, as a broken cable does; [`Quality`] states what else happens to packets. It reads no packet: QUIC is
//! encrypted from end to end.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::network_conditions::{Direction, NetworkConditions, Quality};

/// Children that one link serves. Packets of further ones are dropped.
const CHILDREN_MAX: usize = 64;
/// Delayed packets in flight. Further ones are lost, as on a real link.
const PACKETS_MAX: usize = 16_384;
const PACKET_BYTES_MAX: usize = 65_536;
/// Wanted size of each socket's buffers; the system may give less.
const BUFFER_BYTES_WANTED: usize = 4 << 20;

/// The current state of the link.
#[derive(Debug, Clone)]
struct Condition {
    cut: bool,
    /// Addresses that are cut off although others are not.
    cut_from: Vec<SocketAddr>,
    quality: Quality,
}

/// A link between children and one address of their parent. Dropping it ends it.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    condition: watch::Sender<Condition>,
    tasks: [JoinHandle<()>; 2],
}

struct Packet {
    due: Instant,
    /// Counts packets: of those due at the same time the earlier goes first.
    number: u64,
    through: Arc<UdpSocket>,
    /// None: to where the socket is connected.
    to: Option<SocketAddr>,
    bytes: Vec<u8>,
}

impl Link {
    /// A link to `parent`, without loss and without delay.
    ///
    /// # Errors
    /// When no port is free.
    pub fn to(parent: SocketAddr) -> io::Result<Self> {
        Self::with_seed(parent, 0)
    }

    /// The same, with chance drawn from `seed`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn with_seed(parent: SocketAddr, seed: u64) -> io::Result<Self> {
        let front = Arc::new(bound()?);
        let address = front.local_addr()?;
        let (condition, now) = watch::channel(Condition { cut: false, cut_from: vec![], quality: Quality::WHOLE });
        let (packets, in_flight) = mpsc::channel(PACKETS_MAX);
        let passage =
            Passage { packets, condition: now, network_conditions: Arc::new(Mutex::new(NetworkConditions::new(seed))), child: address };
        let tasks = [tokio::spawn(carry_up(front, parent, passage)), tokio::spawn(deliver(in_flight))];
        Ok(Self { address, condition, tasks })
    }

    /// What children dial instead of the parent.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing passes.
    pub fn cut(&self) {
        self.condition.send_modify(|condition| condition.cut = true);
    }

    /// From now on nothing passes from and to this child; others are not disturbed.
    pub fn cut_from(&self, child: SocketAddr) {
        self.condition.send_modify(|condition| condition.cut_from.push(child));
    }

    /// Packets pass again, to everybody; those of the meantime are lost.
    pub fn resume(&self) {
        self.condition.send_modify(|condition| (condition.cut, condition.cut_from) = (false, vec![]));
    }

    /// Every packet takes this long from now on, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.condition.send_modify(|condition| condition.quality.delay = delay);
    }

    /// Packets pass with this quality from now on.
    pub fn degrade(&self, quality: Quality) {
        self.condition.send_modify(|condition| condition.quality = quality);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn bound() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Less is slower, not wrong.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES_WANTED);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES_WANTED);
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    UdpSocket::from_std(socket.into())
}

async fn carry_up(front: Arc<UdpSocket>, parent: SocketAddr, passage: Passage) {
    let mut children: HashMap<SocketAddr, (Arc<UdpSocket>, Passage, AbortOnDrop)> = HashMap::new();
    let mut bytes = vec![0; PACKET_BYTES_MAX];
    loop {
        // An error is about an earlier packet that was not received.
        let Ok((length, child)) = front.recv_from(&mut bytes).await else { continue };
        if !children.contains_key(&child) && children.len() < CHILDREN_MAX {
            let Ok(through) = open_to(parent).await else { continue };
            let (through, passage) = (Arc::new(through), Passage { child, ..passage.clone() });
            let down = tokio::spawn(carry_down(Arc::clone(&through), Arc::clone(&front), passage.clone()));
            children.insert(child, (through, passage, AbortOnDrop(down)));
        }
        let Some((through, passage, _)) = children.get(&child) else { continue };
        passage.pass(Direction::ToParent, through, None, &bytes[..length]).await;
    }
}

async fn open_to(parent: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bound()?;
    socket.connect(parent).await?;
    Ok(socket)
}

async fn carry_down(through: Arc<UdpSocket>, front: Arc<UdpSocket>, passage: Passage) {
    let mut bytes = vec![0; PACKET_BYTES_MAX];
    loop {
        match through.recv(&mut bytes).await {
            Ok(length) => passage.pass(Direction::ToChild, &front, Some(passage.child), &bytes[..length]).await,
            // No socket is open at the parent now. The error comes once for each packet that was sent there.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// The passage of one child over the link, in both directions.
#[derive(Clone)]
struct Passage {
    packets: mpsc::Sender<Packet>,
    condition: watch::Receiver<Condition>,
    network_conditions: Arc<Mutex<NetworkConditions>>,
    child: SocketAddr,
}

impl Passage {
    async fn pass(&self, direction: Direction, through: &Arc<UdpSocket>, to: Option<SocketAddr>, bytes: &[u8]) {
        let now = Instant::now();
        for due in self.arrivals(direction, bytes.len(), now) {
            if due <= now {
                send(through, to, bytes).await;
            } else {
                // What finds no room is lost, as on a real link.
                let _ = self.packets.try_send(Packet { due, number: 0, through: Arc::clone(through), to, bytes: bytes.to_vec() });
            }
        }
    }

    fn arrivals(&self, direction: Direction, bytes: usize, now: Instant) -> Vec<Instant> {
        let condition = self.condition.borrow();
        if condition.cut || condition.cut_from.contains(&self.child) {
            return vec![];
        }
        self.network_conditions.lock().unwrap_or_else(PoisonError::into_inner).arrivals(&condition.quality, direction, bytes, now)
    }
}

/// Sends one packet. An error is about an earlier one that was not received.
async fn send(through: &UdpSocket, to: Option<SocketAddr>, bytes: &[u8]) {
    let _ = match to {
        Some(to) => through.send_to(bytes, to).await,
        None => through.send(bytes).await,
    };
}

/// Sends delayed packets when they are due.
async fn deliver(mut in_flight: mpsc::Receiver<Packet>) {
    let mut waiting: BinaryHeap<Reverse<Packet>> = BinaryHeap::new();
    let mut number = 0;
    loop {
        let due = waiting.peek().map(|Reverse(packet)| packet.due);
        tokio::select! {
            arrived = in_flight.recv(), if waiting.len() < PACKETS_MAX => match arrived {
                Some(packet) => {
                    number += 1;
                    waiting.push(Reverse(Packet { number, ..packet }));
                }
                None => return,
            },
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some(Reverse(packet)) = waiting.pop() {
                    send(&packet.through, packet.to, &packet.bytes).await;
                }
            }
        }
    }
}

impl Ord for Packet {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Packet {}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn arrives(from: &UdpSocket, link: &Link, at: &UdpSocket) -> bool {
        from.send_to(b"?", link.address()).await.expect("loopback");
        let mut bytes = [0; 8];
        tokio::time::timeout(Duration::from_millis(300), at.recv_from(&mut bytes)).await.is_ok()
    }

    #[tokio::test]
    async fn a_cut_link_passes_nothing_and_a_resumed_one_answers_again() {
        let parent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let child = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let link = Link::to(parent.local_addr().expect("bound")).expect("a port");
        assert!(arrives(&child, &link, &parent).await);
        link.cut();
        assert!(!arrives(&child, &link, &parent).await);
        link.resume();
        child.send_to(b"hello", link.address()).await.expect("loopback");
        let mut bytes = [0; 8];
        let (length, from) = parent.recv_from(&mut bytes).await.expect("it passes");
        assert_eq!(&bytes[..length], b"hello");
        parent.send_to(b"back", from).await.expect("loopback");
        let (length, from) = child.recv_from(&mut bytes).await.expect("it passes");
        assert_eq!((&bytes[..length], from), (&b"back"[..], link.address()));
    }

    #[tokio::test]
    async fn a_delayed_link_keeps_the_order_and_takes_its_time() {
        let parent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let child = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let link = Link::to(parent.local_addr().expect("bound")).expect("a port");
        link.delay(Duration::from_millis(50));
        let started = Instant::now();
        for number in 0..5u8 {
            child.send_to(&[number], link.address()).await.expect("loopback");
        }
        let mut bytes = [0; 8];
        for number in 0..5u8 {
            let (length, _) = parent.recv_from(&mut bytes).await.expect("it passes");
            assert_eq!(&bytes[..length], [number]);
        }
        assert!(started.elapsed() >= Duration::from_millis(50));
    }

    #[tokio::test]
    async fn one_child_is_cut_off_and_another_is_not() {
        let parent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let (cut_off, other) =
            (UdpSocket::bind("127.0.0.1:0").await.expect("a port"), UdpSocket::bind("127.0.0.1:0").await.expect("a port"));
        let link = Link::to(parent.local_addr().expect("bound")).expect("a port");
        link.cut_from(cut_off.local_addr().expect("bound"));
        assert!(!arrives(&cut_off, &link, &parent).await);
        assert!(arrives(&other, &link, &parent).await);
        link.resume();
        assert!(arrives(&cut_off, &link, &parent).await);
    }

    #[tokio::test]
    async fn a_degraded_link_loses_some_and_duplicates_some() {
        let parent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let child = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let link = Link::with_seed(parent.local_addr().expect("bound"), 5).expect("a port");
        link.degrade(Quality { lost_permille: 300, duplicated_permille: 300, jitter: Duration::from_millis(2), ..Quality::WHOLE });
        for number in 0..200u8 {
            child.send_to(&[number], link.address()).await.expect("loopback");
        }
        let mut times = [0u8; 200];
        let mut bytes = [0; 8];
        while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(200), parent.recv(&mut bytes)).await {
            times[usize::from(bytes[0])] += 1;
        }
        for (copies, least) in [(0, 30), (1, 50), (2, 15)] {
            let met = times.iter().filter(|times| **times == copies).count();
            assert!(met >= least, "{met} packets arrived {copies} times");
        }
    }
}
