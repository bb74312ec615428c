//! Who gets in: from a packet of an incoming peer to a [`Connection`] to an admitted node.
//!
//! ```text
//! incoming ─► room? ─ no ─► refused, or has to prove its address first
//!               │ yes
//!               ▼
//!            TLS handshake ─► one kho:// name, a node's, of our tree, with a place left ─► word of welcome ─► accept queue
//! ```
//!
//! Each newcomer has a task of its own, so a slow one holds up nobody; their number and time are bounded. A refusal is
//! logged here, once, and goes no further.

use std::{net::SocketAddr, sync::Arc};

use quinn::crypto::rustls::HandshakeData;
use rustls::pki_types::CertificateDer;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use super::{
    Alpn, TransportLimits,
    connection::{AdmittedPeer, Connection},
    error::{CloseCode, ConnectionLost},
};
use crate::{
    connection_places::{ConnectionPlace, ConnectionPlaces, TooManyConnections},
    identity::IdentityError,
    tls::{CertificateRevoked, Revocations, ShownCertificate},
};

/// What the accepting end says once it has admitted a peer. A dialler can't tell otherwise: in TLS 1.3 its handshake is
/// over before its own certificate has been judged.
const WELCOME: &[u8] = b"kho";

/// Why a genuine certificate is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAdmitted {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("it belongs to tree `{theirs}`, this node to `{ours}`")]
    ForeignTree { theirs: String, ours: String },
    #[error("{0} is not a node; only nodes speak to nodes here")]
    NotANode(String),
    #[error("it speaks no protocol known here")]
    UnknownProtocol,
    #[error("it showed no certificate")]
    NoCertificate,
    #[error(transparent)]
    Revoked(#[from] CertificateRevoked),
    #[error(transparent)]
    TooMany(#[from] TooManyConnections),
}

/// Why a newcomer did not become a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeFailure {
    #[error("{0}")]
    Lost(#[from] ConnectionLost),
    #[error("its certificate is genuine but {0}")]
    NotAdmitted(#[from] NotAdmitted),
    #[error("it took too long")]
    TooSlow,
    #[error("it gave something other than the word of welcome")]
    NoWelcome,
}

/// What is checked of every peer, at either end.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) tree: Arc<str>,
    pub(super) frame_bytes_max: u32,
    pub(super) revocations: Arc<Revocations>,
    /// Of those who dialled.
    pub(super) places: Arc<ConnectionPlaces>,
}

impl Gate {
    /// The accepting end: completes the handshake, checks the peer, and confirms that it is admitted.
    pub(super) async fn let_in(&self, connecting: quinn::Connecting) -> Result<Connection, HandshakeFailure> {
        let quinn = connecting.await.map_err(ConnectionLost::from)?;
        let peer = self.admit_or_close(&quinn)?;
        let place = self.places.take(&peer.shown.identity).map_err(NotAdmitted::from).inspect_err(|refusal| {
            quinn.close(CloseCode::TOO_MANY_CONNECTIONS.to_wire(), refusal.to_string().as_bytes());
        })?;
        let mut welcome = quinn.open_uni().await.map_err(ConnectionLost::from)?;
        // A failed write shows as a lost connection at its first use.
        if welcome.write_all(WELCOME).await.is_ok() {
            let _ = welcome.finish();
        }
        Ok(self.connection(quinn, peer, Some(place)))
    }

    /// The dialling end: completes the handshake, checks the peer, and waits until it is confirmed.
    pub(super) async fn enter(&self, connecting: quinn::Connecting) -> Result<Connection, HandshakeFailure> {
        let quinn = connecting.await.map_err(ConnectionLost::from)?;
        let peer = self.admit_or_close(&quinn)?;
        let mut welcome = quinn.accept_uni().await.map_err(ConnectionLost::from)?;
        match welcome.read_to_end(WELCOME.len()).await {
            Ok(word) if word == WELCOME => Ok(self.connection(quinn, peer, None)),
            Err(quinn::ReadToEndError::Read(quinn::ReadError::ConnectionLost(lost))) => Err(ConnectionLost::from(lost).into()),
            Ok(_) | Err(_) => {
                quinn.close(CloseCode::MISBEHAVED.to_wire(), b"no word of welcome");
                Err(HandshakeFailure::NoWelcome)
            }
        }
    }

    fn connection(&self, quinn: quinn::Connection, peer: AdmittedPeer, place: Option<ConnectionPlace>) -> Connection {
        Connection::new(quinn, peer, self.frame_bytes_max, &self.revocations, place)
    }

    fn admit_or_close(&self, quinn: &quinn::Connection) -> Result<AdmittedPeer, NotAdmitted> {
        let certificates = quinn.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        let protocol = quinn.handshake_data().and_then(|any| any.downcast::<HandshakeData>().ok()).and_then(|data| data.protocol);
        let leaf = certificates.as_ref().and_then(|chain| chain.first()).map(AsRef::as_ref);
        self.admit(leaf, protocol.as_deref()).inspect_err(|refusal| {
            quinn.close(CloseCode::NOT_ADMITTED.to_wire(), refusal.to_string().as_bytes());
        })
    }

    /// The decision itself, on a certificate TLS has already found genuine.
    fn admit(&self, leaf: Option<&[u8]>, protocol: Option<&[u8]>) -> Result<AdmittedPeer, NotAdmitted> {
        let shown = ShownCertificate::from_der(leaf.ok_or(NotAdmitted::NoCertificate)?)?;
        let identity = &shown.identity;
        if identity.tree() != &*self.tree {
            return Err(NotAdmitted::ForeignTree { theirs: identity.tree().to_owned(), ours: self.tree.to_string() });
        }
        let Some((site, node)) = identity.node() else {
            return Err(NotAdmitted::NotANode(identity.to_string()));
        };
        let alpn = protocol.and_then(Alpn::from_wire_name).ok_or(NotAdmitted::UnknownProtocol)?;
        self.revocations.check(&shown)?;
        Ok(AdmittedPeer { shown, site, node, alpn })
    }
}

/// What to do with a packet of an incoming peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reception {
    Admit,
    /// Let it prove first that it really is at its address; it costs the endpoint no memory.
    ProveAddress,
    Refuse,
}

/// Below half the room everybody is let in at once; above it only who has proven its address, so that forged senders
/// can't fill the room.
fn reception(free: usize, max: usize, address_proven: bool) -> Reception {
    match (free, address_proven) {
        (0, _) => Reception::Refuse,
        (_, true) => Reception::Admit,
        (free, false) if free > max / 2 => Reception::Admit,
        (_, false) => Reception::ProveAddress,
    }
}

/// Receives incoming peers until the endpoint is closed or nobody takes connections any more.
pub(super) async fn receive_incoming(endpoint: quinn::Endpoint, gate: Gate, limits: TransportLimits, admitted: mpsc::Sender<Connection>) {
    let room = Arc::new(Semaphore::new(limits.handshakes_max));
    while let Some(incoming) = endpoint.accept().await {
        if admitted.is_closed() {
            return;
        }
        let addr = incoming.remote_address();
        let address_proven = incoming.remote_address_validated() || !incoming.may_retry();
        let place = match reception(room.available_permits(), limits.handshakes_max, address_proven) {
            Reception::Admit => Arc::clone(&room).try_acquire_owned().ok(),
            Reception::Refuse => None,
            Reception::ProveAddress => {
                if let Err(not_sent) = incoming.retry() {
                    not_sent.into_incoming().refuse();
                }
                continue;
            }
        };
        let Some(place) = place else {
            tracing::warn!(%addr, handshakes_max = limits.handshakes_max, "refused a connection: too many handshakes are under way");
            incoming.refuse();
            continue;
        };
        match incoming.accept() {
            Ok(connecting) => {
                tokio::spawn(receive_one(connecting, addr, gate.clone(), limits.handshake_timeout, admitted.clone(), place));
            }
            Err(error) => tracing::warn!(%addr, %error, "refused a connection"),
        }
    }
}

async fn receive_one(
    connecting: quinn::Connecting,
    addr: SocketAddr,
    gate: Gate,
    handshake_timeout: std::time::Duration,
    admitted: mpsc::Sender<Connection>,
    place: OwnedSemaphorePermit,
) {
    let outcome = timeout(handshake_timeout, gate.let_in(connecting)).await.unwrap_or(Err(HandshakeFailure::TooSlow));
    match outcome {
        Ok(connection) => {
            tracing::debug!(%addr, peer = %connection.peer(), alpn = %connection.alpn(), "admitted a connection");
            // The place is kept while the queue is full: a node that accepts nothing lets nobody in either.
            if let Err(unwanted) = admitted.send(connection).await {
                unwanted.0.close(CloseCode::SHUTDOWN, "stopping");
            }
        }
        Err(reason) => tracing::warn!(%addr, %reason, "refused a connection"),
    }
    drop(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_senders_can_not_fill_the_room() {
        assert_eq!(reception(100, 100, false), Reception::Admit);
        assert_eq!(reception(51, 100, false), Reception::Admit);
        assert_eq!(reception(50, 100, false), Reception::ProveAddress);
        assert_eq!(reception(50, 100, true), Reception::Admit);
        assert_eq!(reception(1, 100, true), Reception::Admit);
        assert_eq!(reception(0, 100, true), Reception::Refuse);
        assert_eq!(reception(0, 100, false), Reception::Refuse);
    }
}
