//! A link between two ports that can be cut or led elsewhere: what a UDP proxy on loopback does to packets.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

pub(super) struct Link {
    socket: Arc<UdpSocket>,
    state: Arc<State>,
    carrier: Option<JoinHandle<()>>,
}

struct State {
    near: SocketAddr,
    far: Mutex<SocketAddr>,
    cut: AtomicBool,
    one_way: AtomicBool,
    done: AtomicBool,
}

impl Link {
    /// Packets of `near` go to `far`; packets of anybody else go to `near`.
    pub(super) fn between(near: SocketAddr, far: SocketAddr) -> Self {
        let socket = Arc::new(UdpSocket::bind(super::LOOPBACK).expect("a free port"));
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a plain socket");
        let no = || AtomicBool::new(false);
        let state = Arc::new(State { near, far: Mutex::new(far), cut: no(), one_way: no(), done: no() });
        let carrier = std::thread::spawn({
            let (socket, state) = (Arc::clone(&socket), Arc::clone(&state));
            move || state.carry(&socket)
        });
        Self { socket, state, carrier: Some(carrier) }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    pub(super) fn cut(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
    }

    /// Nothing comes back any more.
    pub(super) fn one_way(&self) {
        self.state.one_way.store(true, Ordering::SeqCst);
    }

    pub(super) fn lead_to(&self, far: SocketAddr) {
        *self.state.far.lock().expect("no panic in the carrier") = far;
    }
}

impl State {
    fn carry(&self, socket: &UdpSocket) {
        let mut packet = [0; 65_536];
        while !self.done.load(Ordering::SeqCst) {
            let Ok((len, from)) = socket.recv_from(&mut packet) else { continue };
            let far = *self.far.lock().expect("no panic in the test");
            let to = if from == self.near {
                far
            } else if from == far && !self.one_way.load(Ordering::SeqCst) {
                self.near
            } else {
                continue;
            };
            if !self.cut.load(Ordering::SeqCst) {
                // A packet lost here is a packet lost on a link.
                let _ = socket.send_to(&packet[..len], to);
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.done.store(true, Ordering::SeqCst);
        if let Some(carrier) = self.carrier.take() {
            let _ = carrier.join();
        }
    }
}
