//! Who asks, by certificate, and what that role may do.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::Request;
use axum_server::{accept::Accept, tls_rustls::RustlsAcceptor};
use kho_messages::Ordinal;
use kho_replication::{
    connection_places::ConnectionPlaces,
    identity::{PeerIdentity, Role},
    tls::{Revocations, ShownCertificate},
};
use kho_storage::ids::SiteId;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tower_service::Service;

use super::{fault::RequestFault, reply::HttpError, revocable::RevocableStream};
use crate::{audit::AUDIT, node::Node};

/// A connection on which nothing comes for so long is probed, so often and so many times; then it is closed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;

/// Accepts TLS connections and hands the peer's name to every request on them.
#[derive(Clone)]
pub struct IdentityAcceptor {
    tls: RustlsAcceptor,
    tree: String,
    revocations: Arc<Revocations>,
    places: Arc<ConnectionPlaces>,
}

impl IdentityAcceptor {
    pub fn new(tls: RustlsAcceptor, tree: String, revocations: Arc<Revocations>, places: Arc<ConnectionPlaces>) -> Self {
        Self { tls, tree, revocations, places }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for IdentityAcceptor {
    type Stream = RevocableStream;
    type Service = WithIdentity<S>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let (tls, tree, revocations, places) =
            (self.tls.clone(), self.tree.clone(), Arc::clone(&self.revocations), Arc::clone(&self.places));
        Box::pin(async move {
            let address = stream.peer_addr()?;
            stream.set_nodelay(true)?;
            // A peer that lost its power says nothing more, and would keep its place for ever.
            SockRef::from(&stream).set_tcp_keepalive(&keepalive())?;
            let (stream, service) = match tls.accept(stream, service).await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%address, %error, "a TLS handshake failed");
                    return Err(error);
                }
            };
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let shown = match certificate.map(|der| ShownCertificate::from_der(der)) {
                Some(Ok(shown)) if shown.identity.tree() == tree => shown,
                Some(Ok(shown)) => return Err(not_admitted(address, &format!("{} is of another tree", shown.identity))),
                Some(Err(error)) => return Err(not_admitted(address, &error.to_string())),
                None => return Err(not_admitted(address, "no certificate was given")),
            };
            revocations.check(&shown).map_err(|revoked| not_admitted(address, &revoked.to_string()))?;
            let identity = shown.identity.clone();
            let place = places.take(&identity).map_err(|too_many| not_admitted(address, &too_many.to_string()))?;
            Ok((RevocableStream::new(stream, shown, revocations, place), WithIdentity { service, identity }))
        })
    }
}

fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES)
}

fn not_admitted(address: std::net::SocketAddr, why: &str) -> io::Error {
    tracing::warn!(%address, why, "a client was not admitted");
    io::Error::new(io::ErrorKind::PermissionDenied, why.to_string())
}

/// A connection's service that knows who is at the other end.
#[derive(Clone)]
pub struct WithIdentity<S> {
    service: S,
    identity: PeerIdentity,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for WithIdentity<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.identity.clone());
        self.service.call(request)
    }
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Enter this site's records.
    Enter,
    /// Read rows: personal data.
    ReadRows,
    /// Read numbers.
    ReadIndicators,
    /// See and change how the site works.
    Operate,
    /// See how the node is.
    Watch,
}

/// Whether `identity` has `right` at this node.
///
/// # Errors
/// A refusal that says which certificate is needed.
pub fn check(node: &Node, identity: &PeerIdentity, right: Right) -> Result<(), HttpError> {
    if may(identity.role(), node.site(), right) {
        return Ok(());
    }
    Err(refusal(identity, node.site(), right))
}

/// The refusal of `identity`, which lacks `right` at `site`. It is audited here.
pub(super) fn refusal(identity: &PeerIdentity, site: SiteId, right: Right) -> HttpError {
    tracing::warn!(target: AUDIT, who = %identity, ?right, "refused");
    let (who, site) = (identity.to_string(), Ordinal(site.0.into()));
    match right {
        Right::Enter => RequestFault::ClientWanted { who, site },
        Right::ReadRows => RequestFault::ReaderWanted { who, site },
        Right::ReadIndicators | Right::Operate | Right::Watch => RequestFault::OperatorWanted { who, site },
    }
    .into()
}

pub(super) fn may(role: &Role, site: SiteId, right: Right) -> bool {
    match (role, right) {
        (Role::Authority, _) => false,
        (_, Right::Watch) => true,
        (Role::Operator { site: scope, .. }, Right::Operate | Right::ReadIndicators) => scope.is_none_or(|scope| scope == site),
        (Role::Client { site: scope, rights, .. }, Right::Enter) => *scope == site && rights.may_enter(),
        (Role::Client { site: scope, rights, .. }, Right::ReadRows) => *scope == site && rights.may_read(),
        (Role::Client { site: scope, .. }, Right::ReadIndicators) => *scope == site,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use kho_replication::identity::ClientRights;
    use std::net::Ipv4Addr;

    use axum_server::tls_rustls::RustlsConfig;
    use kho_replication::tls::{
        ALPN_HTTP, Authority, CertificateClock, CertificateRequest, ClientCertificate, Credentials, NODE_VALIDITY_DAYS, VerifiedRequest,
        client_config, node_server_name, server_config,
    };
    use kho_storage::ids::NodeId;
    use tokio::{io::AsyncReadExt as _, net::TcpListener};
    use tokio_rustls::{TlsConnector, client, rustls::pki_types::ServerName};

    use super::*;

    fn credentials(root: &Authority, node: u64) -> Credentials {
        let request = CertificateRequest::for_node(root.tree(), SiteId(1), NodeId(node), &[]).expect("well formed");
        let verified = VerifiedRequest::from_pem(&request.csr_pem).expect("own request");
        let issued = root.sign(&verified, crate::clock::machine_time(), NODE_VALIDITY_DAYS).expect("own tree");
        Credentials::from_pem(root.certificate_pem(), &issued.certificate_pem, &request.key_pem).expect("they fit")
    }

    /// Dials `listener` and lets it be accepted: both ends, or why it was not let in.
    async fn dialled(
        as_whom: &Credentials,
        listener: &TcpListener,
        acceptor: &IdentityAcceptor,
    ) -> (client::TlsStream<TcpStream>, io::Result<RevocableStream>) {
        let config = client_config(as_whom, &[ALPN_HTTP], CertificateClock::system()).expect("good credentials");
        let name = ServerName::try_from(node_server_name(SiteId(1), NodeId(1))).expect("a name");
        let at = listener.local_addr().expect("bound");
        let (near, far) = tokio::join!(TcpStream::connect(at), listener.accept());
        let connector = TlsConnector::from(Arc::new(config));
        let (near, far) = tokio::join!(connector.connect(name, near.expect("open")), acceptor.accept(far.expect("open").0, ()));
        (near.expect("the handshake is over before the certificate is judged"), far.map(|(stream, _)| stream))
    }

    #[tokio::test]
    async fn a_certificate_has_a_bounded_number_of_connections_and_another_one_has_its_own() {
        let root = Authority::create("vn", crate::clock::machine_time()).expect("well formed");
        let (server, client) = (credentials(&root, 1), credentials(&root, 2));
        let tls = server_config(&server, &[ALPN_HTTP], ClientCertificate::Required, CertificateClock::system()).expect("good credentials");
        let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(tls)));
        let acceptor = IdentityAcceptor::new(acceptor, "vn".into(), Arc::default(), ConnectionPlaces::new(2));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");

        let first = dialled(&client, &listener, &acceptor).await;
        let second = dialled(&client, &listener, &acceptor).await;
        assert!(first.1.is_ok() && second.1.is_ok());
        let (mut refused, why) = dialled(&client, &listener, &acceptor).await;
        assert!(why.is_err_and(|error| error.to_string().contains("2 connections")));
        assert_eq!(refused.read(&mut [0; 1]).await.map_or(0, |read| read), 0, "it is closed at once");
        assert!(dialled(&server, &listener, &acceptor).await.1.is_ok(), "another certificate");
        drop(first);
        assert!(dialled(&client, &listener, &acceptor).await.1.is_ok(), "a place is free again");
    }

    #[test]
    fn an_operator_sees_no_personal_data_and_a_client_changes_nothing_but_records() {
        let here = SiteId(3);
        let operator = Role::Operator { site: None, name: "o".into() };
        let client = Role::Client { site: here, name: "c".into(), rights: ClientRights::EnterAndRead };
        assert!(may(&operator, here, Right::Operate) && !may(&operator, here, Right::ReadRows) && !may(&operator, here, Right::Enter));
        assert!(may(&client, here, Right::Enter) && may(&client, here, Right::ReadRows) && !may(&client, here, Right::Operate));
        assert!(!may(&client, SiteId(4), Right::Enter), "another site's client");
        assert!(!may(&Role::Operator { site: Some(SiteId(4)), name: "o".into() }, here, Right::Operate), "another site's operator");
        assert!(!may(&client, SiteId(4), Right::ReadRows), "another site's client");
        let node = Role::Node { site: here, node: NodeId(1) };
        assert!(may(&node, here, Right::Watch) && !may(&node, here, Right::ReadRows) && !may(&node, here, Right::Operate));
    }

    #[test]
    fn a_client_enters_and_reads_rows_by_rights_of_their_own() {
        let here = SiteId(3);
        let of = |rights| Role::Client { site: here, name: "c".into(), rights };
        let found = [ClientRights::Enter, ClientRights::Read, ClientRights::EnterAndRead]
            .map(|rights| (may(&of(rights), here, Right::Enter), may(&of(rights), here, Right::ReadRows)));
        assert_eq!(found, [(true, false), (false, true), (true, true)]);
        assert_eq!(ClientRights::default(), ClientRights::Enter, "who is given nothing more reads nobody's record");
    }
}
