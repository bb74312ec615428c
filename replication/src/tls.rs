//! TLS as Kho speaks it: version 1.3 only, both ends with a certificate of the tree's root, no early data, no resumption.
//!
//! The same credentials serve QUIC, HTTPS and the operators' client. A session is never resumed, so that every connection
//! judges the other's certificate anew, at [`CertificateClock`]'s time. Cryptography is ring's, named explicitly: no
//! process-wide default provider is installed or needed.
//!
//! | file | what it holds |
//! |---|---|
//! | `clock.rs` | the time by which certificates are judged |
//! | `credentials.rs` | root, chain and key as one checked whole |
//! | `request.rs` | what a node or person asks to be signed, made and checked |
//! | `authority.rs` | the root that signs |
//! | `revocations.rs` | certificates that the register revokes |

use std::sync::Arc;

use kho_storage::ids::{NodeId, SiteId};
use rustls::{
    ClientConfig, ServerConfig,
    client::{Resumption, WebPkiServerVerifier},
    crypto::{CryptoProvider, ring},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::SingleCertAndKey,
    time_provider::TimeProvider,
    version::TLS13,
};

mod authority;
mod clock;
mod credentials;
mod request;
mod revocations;

pub use authority::{Authority, Issued, NODE_VALIDITY_DAYS, ROOT_VALIDITY_DAYS};
pub use clock::CertificateClock;
pub use credentials::{CredentialFiles, Credentials, CredentialsError, Validity};
pub use request::{CertificateRequest, IssueError, VerifiedRequest};
pub use revocations::{CertificateRevoked, Revocations, ShownCertificate};

/// The application protocol of the HTTPS interface.
pub const ALPN_HTTP: &[u8] = b"http/1.1";

/// Every node's DNS names end in this; `.internal` is never resolved publicly.
pub(crate) const DNS_SUFFIX: &str = "kho.internal";

/// Whether a server lets in who shows no certificate. Who shows a bad one is refused in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    Required,
    /// For listeners that also answer probes without an identity; the handlers behind must check for one.
    Optional,
}

/// The server name every node of `site` answers to: what a child expects of any node of its parent.
pub fn site_server_name(site: SiteId) -> String {
    format!("site-{site}.{DNS_SUFFIX}")
}

/// The server name of one node: what nodes of a site expect of each other.
pub fn node_server_name(site: SiteId, node: NodeId) -> String {
    format!("node-{node}.{}", site_server_name(site))
}

/// The accepting side. `alpns` in order of preference.
///
/// # Errors
/// [`CredentialsError::Unusable`] when the root or the chain can't be put into a configuration.
pub fn server_config(
    credentials: &Credentials,
    alpns: &[&[u8]],
    clients: ClientCertificate,
    clock: Arc<dyn TimeProvider>,
) -> Result<ServerConfig, CredentialsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(credentials.roots(), provider());
    let verifier = match clients {
        ClientCertificate::Required => verifier,
        ClientCertificate::Optional => verifier.allow_unauthenticated(),
    };
    let verifier = verifier.build().map_err(|e| CredentialsError::Unusable(e.to_string()))?;
    let mut config = ServerConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| CredentialsError::Unusable(e.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(credentials.certified_key())));
    config.alpn_protocols = alpns.iter().map(|alpn| alpn.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// The dialling side. It always shows its own certificate.
///
/// # Errors
/// [`CredentialsError::Unusable`] when the root or the chain can't be put into a configuration.
pub fn client_config(credentials: &Credentials, alpns: &[&[u8]], clock: Arc<dyn TimeProvider>) -> Result<ClientConfig, CredentialsError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(credentials.roots(), provider())
        .build()
        .map_err(|e| CredentialsError::Unusable(e.to_string()))?;
    let mut config = ClientConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| CredentialsError::Unusable(e.to_string()))?
        .with_webpki_verifier(verifier)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(credentials.certified_key())));
    config.alpn_protocols = alpns.iter().map(|alpn| alpn.to_vec()).collect();
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::SiteTime;
    use rustls::{
        ClientConnection, ServerConnection,
        pki_types::{ServerName, UnixTime},
    };

    use super::*;
    use crate::identity::{PeerIdentity, Role};

    const NOW: SiteTime = SiteTime(1_800_000_000_000);

    fn credentials(root: &Authority, request: &CertificateRequest) -> Credentials {
        let verified = VerifiedRequest::from_pem(&request.csr_pem).expect("own request");
        let issued = root.sign(&verified, NOW, NODE_VALIDITY_DAYS).expect("own tree");
        Credentials::from_pem(root.certificate_pem(), &issued.certificate_pem, &request.key_pem).expect("they fit")
    }

    #[derive(Debug)]
    struct StoppedNow;

    impl TimeProvider for StoppedNow {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(std::time::Duration::from_millis(NOW.0.unsigned_abs())))
        }
    }

    fn clock() -> Arc<CertificateClock> {
        CertificateClock::over(Arc::new(StoppedNow), None)
    }

    /// A handshake in memory, until both ends are done or one refuses.
    fn shake_hands(client: ClientConfig, server: &ServerConfig, server_name: &str) -> Result<ServerConnection, rustls::Error> {
        let name = ServerName::try_from(server_name.to_owned()).expect("well formed");
        let mut client = ClientConnection::new(Arc::new(client), name)?;
        let mut server = ServerConnection::new(Arc::new(server.clone()))?;
        let mut wire = Vec::new();
        while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
            server.read_tls(&mut wire.as_slice()).expect("memory");
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).expect("memory");
            client.read_tls(&mut wire.as_slice()).expect("memory");
            client.process_new_packets()?;
            wire.clear();
        }
        Ok(server)
    }

    #[test]
    fn an_operator_reaches_a_node_by_address_or_name_and_nobody_else_by_them() {
        let root = Authority::create("vn", NOW).expect("well formed");
        let node = CertificateRequest::for_node("vn", SiteId(1), NodeId(1), &["10.0.0.5".into()]).expect("well formed");
        let operator = PeerIdentity::new("vn", Role::Operator { site: None, name: "an".into() }).expect("well formed");
        let operator = CertificateRequest::for_person(operator).expect("an operator");
        let (node, operator) = (credentials(&root, &node), credentials(&root, &operator));
        let server = server_config(&node, &[ALPN_HTTP], ClientCertificate::Required, clock()).expect("usable");
        let client = |credentials: &Credentials| client_config(credentials, &[ALPN_HTTP], clock()).expect("usable");

        for name in ["127.0.0.1", "localhost", "10.0.0.5", "site-1.kho.internal"] {
            let met = shake_hands(client(&operator), &server, name).expect("a name of the node");
            let shown = met.peer_certificates().and_then(|chain| chain.first()).expect("it was required");
            assert_eq!(PeerIdentity::from_certificate_der(shown).as_ref(), Ok(operator.identity()));
            assert_eq!(met.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        }
        assert!(shake_hands(client(&operator), &server, "10.0.0.6").is_err());
        // An operator's certificate is not a server's: who steals one can't pose as a node.
        let posing = server_config(&operator, &[ALPN_HTTP], ClientCertificate::Required, clock()).expect("usable");
        assert!(shake_hands(client(&operator), &posing, "127.0.0.1").is_err());
    }

    #[test]
    fn who_shows_no_certificate_is_let_in_only_where_it_is_optional() {
        let root = Authority::create("vn", NOW).expect("well formed");
        let node = CertificateRequest::for_node("vn", SiteId(1), NodeId(1), &[]).expect("well formed");
        let node = credentials(&root, &node);
        let mut anonymous = client_config(&node, &[ALPN_HTTP], clock()).expect("usable");
        anonymous.client_auth_cert_resolver = Arc::new(NoCertificate);
        let server = |clients| server_config(&node, &[ALPN_HTTP], clients, clock()).expect("usable");
        assert!(shake_hands(anonymous.clone(), &server(ClientCertificate::Required), "localhost").is_err());
        let met = shake_hands(anonymous, &server(ClientCertificate::Optional), "localhost").expect("optional");
        assert!(met.peer_certificates().is_none());
    }

    #[derive(Debug)]
    struct NoCertificate;

    impl rustls::client::ResolvesClientCert for NoCertificate {
        fn resolve(&self, _roots: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
            None
        }

        fn has_certs(&self) -> bool {
            false
        }
    }
}
