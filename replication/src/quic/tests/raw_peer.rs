//! A peer without an [`Endpoint`]: what no honest node would do is done with the bare transport.

use std::{sync::Arc, time::Duration};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{DaysLater, LOOPBACK};
use crate::{
    quic::{ConnectionLost, Endpoint},
    tls::Authority,
};

/// Signs any names at all with the tree's root: what a careless or hostile operator of it could do.
pub(super) fn certificate_by_hand(root: &Authority, names: Vec<SanType>) -> (String, String) {
    let key = KeyPair::generate().expect("system randomness");
    let issuer = Issuer::from_ca_cert_pem(root.certificate_pem(), KeyPair::from_pem(&root.key_pem()).expect("own form")).expect("own form");
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, &issuer).expect("well formed");
    (certificate.pem(), key.serialize_pem())
}

/// A dialler that shows `chain` and speaks `alpn`, whatever they are.
pub(super) fn raw_endpoint(trusts: &Authority, chain: &str, key: &str, alpn: &[u8]) -> quinn::Endpoint {
    let mut roots = rustls::RootCertStore::empty();
    let pem = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).expect("own form");
    roots.add(pem(trusts.certificate_pem())).expect("own form");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_details(provider, Arc::new(DaysLater(0)))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring knows TLS 1.3")
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![pem(chain)], PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("own form"))
        .expect("they fit");
    config.alpn_protocols = vec![alpn.to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).expect("ring has the suite");
    let mut endpoint = quinn::Endpoint::client(LOOPBACK).expect("a free port");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    endpoint
}

/// Dials with the bare transport and waits for the accepting end's verdict: `Ok` when it keeps the connection.
pub(super) async fn dial_raw(from: &quinn::Endpoint, to: &Endpoint, server_name: &str) -> Result<(), ConnectionLost> {
    let connection = from.connect(to.local_addr().expect("bound"), server_name).expect("well formed").await?;
    tokio::time::timeout(Duration::from_secs(5), connection.closed()).await.map_or(Ok(()), |lost| Err(lost.into()))
}
