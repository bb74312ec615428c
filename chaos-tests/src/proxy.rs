//! A line that can be cut: a UDP proxy on loopback between a child and its parent.
//!
//! ```text
//!   child ──► front socket ──► one socket a child ──► parent
//!   child ◄── front socket ◄── one socket a child ◄── parent
//! ```
//! The register gives the proxy's address as the parent's. A cut line drops every packet in both directions and says nothing,
//! as a broken cable does. It reads no packet: QUIC is encrypted from end to end.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

/// Children that one line serves; further ones are not heard.
const CHILDREN_MAX: usize = 64;
/// Packets under way in a delay; further ones are lost, as on a real line.
const PACKETS_MAX: usize = 16_384;
const PACKET_BYTES_MAX: usize = 65_536;
/// Wanted size of each socket's buffers; the system may give less.
const BUFFER_BYTES_WANTED: usize = 4 << 20;

/// How the line is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    cut: bool,
    /// Of each direction.
    delay: Duration,
}

/// A line between children and one address of their parent. Dropping it ends it.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    condition: watch::Sender<Condition>,
    tasks: [JoinHandle<()>; 2],
}

struct Packet {
    due: Instant,
    through: Arc<UdpSocket>,
    /// None: to where the socket is connected.
    to: Option<SocketAddr>,
    bytes: Vec<u8>,
}

impl Line {
    /// A line to `parent`, whole and without delay.
    ///
    /// # Errors
    /// When no port is free.
    pub fn to(parent: SocketAddr) -> io::Result<Self> {
        let front = Arc::new(bound()?);
        let address = front.local_addr()?;
        let (condition, now) = watch::channel(Condition { cut: false, delay: Duration::ZERO });
        let (packets, under_way) = mpsc::channel(PACKETS_MAX);
        let tasks = [tokio::spawn(carry_up(front, parent, packets, now)), tokio::spawn(deliver(under_way))];
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

    /// Packets pass again; those of the meantime are lost.
    pub fn resume(&self) {
        self.condition.send_modify(|condition| condition.cut = false);
    }

    /// Every packet takes this long from now on, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.condition.send_modify(|condition| condition.delay = delay);
    }
}

impl Drop for Line {
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

async fn carry_up(front: Arc<UdpSocket>, parent: SocketAddr, packets: mpsc::Sender<Packet>, condition: watch::Receiver<Condition>) {
    let mut children: HashMap<SocketAddr, (Arc<UdpSocket>, AbortOnDrop)> = HashMap::new();
    let mut bytes = vec![0; PACKET_BYTES_MAX];
    loop {
        // An error tells of an earlier packet that nobody took.
        let Ok((length, child)) = front.recv_from(&mut bytes).await else { continue };
        if !children.contains_key(&child) && children.len() < CHILDREN_MAX {
            let Ok(through) = open_to(parent).await else { continue };
            let through = Arc::new(through);
            let down = tokio::spawn(carry_down(Arc::clone(&through), Arc::clone(&front), child, packets.clone(), condition.clone()));
            children.insert(child, (through, AbortOnDrop(down)));
        }
        let Some((through, _)) = children.get(&child) else { continue };
        let now = *condition.borrow();
        pass(&packets, now, through, None, &bytes[..length]).await;
    }
}

async fn open_to(parent: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bound()?;
    socket.connect(parent).await?;
    Ok(socket)
}

async fn carry_down(through: Arc<UdpSocket>, front: Arc<UdpSocket>, child: SocketAddr, packets: mpsc::Sender<Packet>, condition: watch::Receiver<Condition>) {
    let mut bytes = vec![0; PACKET_BYTES_MAX];
    loop {
        match through.recv(&mut bytes).await {
            Ok(length) => {
                let now = *condition.borrow();
                pass(&packets, now, &front, Some(child), &bytes[..length]).await;
            }
            // Nobody listens at the parent now: told once for each packet sent there.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn pass(packets: &mpsc::Sender<Packet>, condition: Condition, through: &Arc<UdpSocket>, to: Option<SocketAddr>, bytes: &[u8]) {
    if condition.cut {
        return;
    }
    if condition.delay.is_zero() {
        return send(through, to, bytes).await;
    }
    // What finds no room is lost, as on a real line.
    let _ = packets.try_send(Packet { due: Instant::now() + condition.delay, through: Arc::clone(through), to, bytes: bytes.to_vec() });
}

/// Sends one packet. An error tells of an earlier one that nobody took.
async fn send(through: &UdpSocket, to: Option<SocketAddr>, bytes: &[u8]) {
    let _ = match to {
        Some(to) => through.send_to(bytes, to).await,
        None => through.send(bytes).await,
    };
}

/// Sends delayed packets when they are due, in their order.
async fn deliver(mut under_way: mpsc::Receiver<Packet>) {
    while let Some(packet) = under_way.recv().await {
        tokio::time::sleep_until(packet.due).await;
        send(&packet.through, packet.to, &packet.bytes).await;
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn arrives(from: &UdpSocket, line: &Line, at: &UdpSocket) -> bool {
        from.send_to(b"?", line.address()).await.expect("loopback");
        let mut bytes = [0; 8];
        tokio::time::timeout(Duration::from_millis(300), at.recv_from(&mut bytes)).await.is_ok()
    }

    #[tokio::test]
    async fn a_cut_line_passes_nothing_and_a_resumed_one_answers_again() {
        let parent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let child = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let line = Line::to(parent.local_addr().expect("bound")).expect("a port");
        assert!(arrives(&child, &line, &parent).await);
        line.cut();
        assert!(!arrives(&child, &line, &parent).await);
        line.resume();
        child.send_to(b"hello", line.address()).await.expect("loopback");
        let mut bytes = [0; 8];
        let (length, from) = parent.recv_from(&mut bytes).await.expect("it passes");
        assert_eq!(&bytes[..length], b"hello");
        parent.send_to(b"back", from).await.expect("loopback");
        let (length, from) = child.recv_from(&mut bytes).await.expect("it passes");
        assert_eq!((&bytes[..length], from), (&b"back"[..], line.address()));
    }

    #[tokio::test]
    async fn a_delayed_line_keeps_the_order_and_takes_its_time() {
        let parent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let child = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let line = Line::to(parent.local_addr().expect("bound")).expect("a port");
        line.delay(Duration::from_millis(50));
        let started = Instant::now();
        for number in 0..5u8 {
            child.send_to(&[number], line.address()).await.expect("loopback");
        }
        let mut bytes = [0; 8];
        for number in 0..5u8 {
            let (length, _) = parent.recv_from(&mut bytes).await.expect("it passes");
            assert_eq!(&bytes[..length], [number]);
        }
        assert!(started.elapsed() >= Duration::from_millis(50));
    }
}
