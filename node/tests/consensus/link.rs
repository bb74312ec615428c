//! A link to a node that can be cut, and that counts what it carries: what a UDP proxy on loopback does to packets.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{net::UdpSocket, task::JoinSet};

pub struct Link {
    socket: Arc<UdpSocket>,
    state: Arc<State>,
    _carrier: JoinSet<()>,
}

struct State {
    far: SocketAddr,
    /// Bytes carried to the node so far.
    carried: AtomicU64,
    /// Nothing is carried any more once this many bytes were.
    carries_max: AtomicU64,
}

impl Link {
    pub async fn to(far: SocketAddr) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
        let state = Arc::new(State { far, carried: AtomicU64::new(0), carries_max: AtomicU64::new(u64::MAX) });
        let mut carrier = JoinSet::new();
        carrier.spawn(carry(Arc::clone(&socket), Arc::clone(&state)));
        Self { socket, state, _carrier: carrier }
    }

    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// Breaks once `bytes` more were carried to the node.
    pub fn break_after(&self, bytes: u64) {
        self.state.carries_max.store(self.carried() + bytes, Ordering::SeqCst);
    }

    pub fn restore(&self) {
        self.state.carries_max.store(u64::MAX, Ordering::SeqCst);
    }

    pub fn carried(&self) -> u64 {
        self.state.carried.load(Ordering::SeqCst)
    }

    pub fn is_broken(&self) -> bool {
        self.state.is_broken()
    }
}

impl State {
    fn is_broken(&self) -> bool {
        self.carried.load(Ordering::SeqCst) >= self.carries_max.load(Ordering::SeqCst)
    }
}

async fn carry(socket: Arc<UdpSocket>, state: Arc<State>) {
    let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut back = JoinSet::new();
    let mut packet = vec![0; 65_536];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut packet).await else { continue };
        let way = match ways.get(&from) {
            Some(way) => Arc::clone(way),
            None => {
                let way = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
                way.connect(state.far).await.expect("loopback");
                back.spawn(carry_back(Arc::clone(&way), Arc::clone(&socket), Arc::clone(&state), from));
                ways.insert(from, Arc::clone(&way));
                way
            }
        };
        if !state.is_broken() {
            state.carried.fetch_add(len as u64, Ordering::SeqCst);
            // A packet lost here is a packet lost on a link.
            let _ = way.send(&packet[..len]).await;
        }
    }
}

async fn carry_back(way: Arc<UdpSocket>, socket: Arc<UdpSocket>, state: Arc<State>, near: SocketAddr) {
    let mut packet = vec![0; 65_536];
    loop {
        // A refused packet is a node that is down for the moment.
        let Ok(len) = way.recv(&mut packet).await else { continue };
        if !state.is_broken() {
            let _ = socket.send_to(&packet[..len], near).await;
        }
    }
}
