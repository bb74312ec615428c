//! One UDP port: it dials and it accepts.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use kho_storage::ids::SiteTime;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::time_provider::TimeProvider;
use tokio::{
    sync::{Mutex, mpsc},
    task::AbortHandle,
    time::timeout,
};

use super::{
    Alpn, TransportLimits,
    admission::{Gate, HandshakeFailure, receive_incoming},
    connection::Connection,
    error::{BindError, CloseCode, ConnectError},
    socket::bind_udp,
};
use crate::{
    connection_places::ConnectionPlaces,
    tls::{self, ClientCertificate, Credentials, Revocations},
};

/// Bytes kept of a newcomer's packets before it is received or refused; that happens at once.
const NEWCOMER_BYTES_MAX: u64 = 64 * 1024;
/// Round-trip times until one is measured, see [`TransportLimits::transport_config`]. Nodes of a site stand side by side, and a
/// peer that comes back must be met within a few tenths of a second.
const FIRST_RTT_IN_SITE: Duration = Duration::from_millis(30);
/// The value of RFC 9002, for links of any kind.
const FIRST_RTT_ANYWHERE: Duration = Duration::from_millis(333);

/// A node's QUIC endpoint. Cheap to clone; when the last clone is dropped, everything on it is closed.
#[derive(Debug, Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    quinn: quinn::Endpoint,
    /// By [`Alpn`], in the order of [`Alpn::ALL`].
    dialling: [quinn::ClientConfig; 2],
    gate: Gate,
    limits: TransportLimits,
    clock: Arc<dyn TimeProvider>,
    accepted: Mutex<mpsc::Receiver<Connection>>,
    reception: AbortHandle,
}

impl Endpoint {
    /// Binds `addr` and starts to receive. Port 0 takes any free one. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`]; the fault is local.
    pub fn bind(
        addr: SocketAddr,
        credentials: &Credentials,
        clock: Arc<dyn TimeProvider>,
        limits: TransportLimits,
    ) -> Result<Self, BindError> {
        if credentials.identity().node().is_none() {
            return Err(BindError::NotANode(credentials.identity().to_string()));
        }
        let transport = limits.transport_config(FIRST_RTT_ANYWHERE)?;
        let transport_in_site = limits.transport_config(FIRST_RTT_IN_SITE)?;
        let setup = |e: &dyn std::fmt::Display| BindError::Setup(e.to_string());

        let wire_names = Alpn::ALL.map(Alpn::wire_name);
        let server_tls = tls::server_config(credentials, &wire_names, ClientCertificate::Required, Arc::clone(&clock))?;
        let server_tls = QuicServerConfig::try_from(server_tls).map_err(|e| setup(&e))?;
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(server_tls));
        server
            .transport_config(Arc::clone(&transport))
            .max_incoming(limits.handshakes_max)
            .incoming_buffer_size(NEWCOMER_BYTES_MAX)
            .incoming_buffer_size_total(NEWCOMER_BYTES_MAX * limits.handshakes_max as u64);

        let dialling = |alpn: Alpn, transport: &Arc<quinn::TransportConfig>| -> Result<quinn::ClientConfig, BindError> {
            let client_tls = tls::client_config(credentials, &[alpn.wire_name()], Arc::clone(&clock))?;
            let client_tls = QuicClientConfig::try_from(client_tls).map_err(|e| setup(&e))?;
            let mut client = quinn::ClientConfig::new(Arc::new(client_tls));
            client.transport_config(Arc::clone(transport));
            Ok(client)
        };
        let dialling = [dialling(Alpn::Site, &transport_in_site)?, dialling(Alpn::Link, &transport)?];

        let socket = bind_udp(addr, limits.socket_buffer_bytes_wanted)?;
        let quinn = quinn::Endpoint::new(lasting_endpoint_config(credentials), Some(server), socket, Arc::new(quinn::TokioRuntime))
            .map_err(|source| BindError::Socket { addr, source })?;
        let gate = Gate {
            tree: credentials.identity().tree().into(),
            frame_bytes_max: limits.frame_bytes_max,
            revocations: Arc::default(),
            places: ConnectionPlaces::new(limits.connections_each_max),
        };
        let (admitted, accepted) = mpsc::channel(limits.accept_queue_max);
        let reception = tokio::spawn(receive_incoming(quinn.clone(), gate.clone(), limits.clone(), admitted)).abort_handle();
        let inner = Inner { quinn, dialling, gate, limits, clock, accepted: Mutex::new(accepted), reception };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The next admitted connection; `None` once the endpoint is closed. Cancel-safe. Handshakes go on meanwhile.
    pub async fn accept(&self) -> Option<Connection> {
        self.inner.accepted.lock().await.recv().await
    }

    /// Dials `addr` and expects there a certificate for `server_name`, see [`tls::node_server_name`] and
    /// [`tls::site_server_name`]. Returns when the peer has let this node in; which node it is the caller checks.
    ///
    /// # Errors
    /// [`ConnectError`], sorted by whose fault it is.
    pub async fn connect(&self, addr: SocketAddr, server_name: &str, alpn: Alpn) -> Result<Connection, ConnectError> {
        let Inner { quinn, gate, limits, .. } = &*self.inner;
        let config = self.inner.dialling[alpn as usize].clone();
        let connecting = quinn
            .connect_with(config, addr, server_name)
            .map_err(|e| ConnectError::Local { addr, reason: format!("{e}; check the address and the server name `{server_name}`") })?;
        let outcome = timeout(limits.handshake_timeout, gate.enter(connecting)).await;
        outcome.unwrap_or(Err(HandshakeFailure::TooSlow)).map_err(|failure| match failure {
            HandshakeFailure::Lost(lost) => ConnectError::during_handshake(addr, lost, &self.clock_text()),
            HandshakeFailure::TooSlow => {
                ConnectError::PeerUnreachable { addr, reason: format!("no answer within {} ms", limits.handshake_timeout.as_millis()) }
            }
            HandshakeFailure::NotAdmitted(_) | HandshakeFailure::NoWelcome => {
                ConnectError::PeerMisbehaved { addr, reason: failure.to_string() }
            }
        })
    }

    /// What the register revokes, as this endpoint judges by it; for whoever learns of a register, and for other listeners.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.inner.gate.revocations
    }

    /// The address the endpoint is bound to.
    ///
    /// # Errors
    /// [`BindError::Socket`] when the system does not know it.
    pub fn local_addr(&self) -> Result<SocketAddr, BindError> {
        self.inner.quinn.local_addr().map_err(|source| BindError::Socket { addr: SocketAddr::from(([0; 4], 0)), source })
    }

    /// Closes every connection and accepts no more; the peers read `reason`.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.inner.quinn.close(code.to_wire(), reason.as_bytes());
    }

    /// Waits until closed connections have notified their peers.
    pub async fn wait_idle(&self) {
        self.inner.quinn.wait_idle().await;
    }

    /// The time by which certificates are judged here, for messages.
    fn clock_text(&self) -> String {
        let ms = self.inner.clock.current_time().and_then(|now| i64::try_from(now.as_secs()).ok()).map_or(0, |s| s.saturating_mul(1000));
        SiteTime(ms).to_rfc3339()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The reception holds a handle of its own; without this the port would stay open for ever.
        self.reception.abort();
        self.quinn.close(CloseCode::SHUTDOWN.to_wire(), b"stopping");
    }
}

/// Keys of the endpoint that outlast a restart, so that peers of a node that was killed learn at their next packet
/// that it has restarted (a stateless reset, RFC 9000, 10.3) instead of waiting for the idle timeout.
fn lasting_endpoint_config(credentials: &Credentials) -> quinn::EndpointConfig {
    let secret = credentials.derived_secret("kho 2026 quic endpoint");
    let (reset, ids) = secret.split_at(24);
    let mut config = quinn::EndpointConfig::new(Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, reset)));
    let id_key = ids.iter().fold(0, |key: u64, byte| (key << 8) | u64::from(*byte));
    config.cid_generator(move || Box::new(quinn_proto::HashedConnectionIdGenerator::from_key(id_key)));
    config
}
