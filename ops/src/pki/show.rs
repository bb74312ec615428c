//! `kho pki show`: what a certificate or request says.

use std::path::Path;

use anyhow::{Context as _, bail};
use kho_replication::{identity::PeerIdentity, tls::VerifiedRequest};
use kho_storage::ids::SiteTime;
use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use serde::Serialize;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

use super::folder::read_text;

/// What a file says, in words for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// `certificate` or `request`.
    pub kind: &'static str,
    /// The `kho://` name, or why there is none.
    pub identity: String,
    pub server_names: Vec<String>,
    /// RFC 3339; a request has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// `valid`, `not yet valid`, `expired` by this machine's clock, or `request`.
    pub state: &'static str,
    /// SHA-256 over the DER bytes, as openssl prints it.
    pub sha256_fingerprint: String,
}

/// Reads every certificate of a file, or the request in it.
///
/// # Errors
/// When the file holds neither, or a request does not verify.
pub fn show(path: &Path, now: SiteTime) -> anyhow::Result<Vec<Shown>> {
    let text = read_text(path)?;
    let mut shown = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let (kind, der) = section.with_context(|| format!("{} is not a valid PEM file", path.display()))?;
        match kind {
            SectionKind::Certificate => {
                shown.push(certificate(&der, now).with_context(|| format!("{} holds an unreadable certificate", path.display()))?);
            }
            SectionKind::Csr => shown.push(request(&text, &der)?),
            SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey => {
                bail!("{} holds a private key, which is not shown; show the certificate beside it", path.display())
            }
            _ => {}
        }
    }
    if shown.is_empty() {
        bail!("{} holds no certificate and no request", path.display());
    }
    Ok(shown)
}

fn certificate(der: &[u8], now: SiteTime) -> anyhow::Result<Shown> {
    let (_, certificate) = X509Certificate::from_der(der)?;
    let names = certificate.subject_alternative_name()?;
    let server_names = names.iter().flat_map(|names| &names.value.general_names).filter_map(server_name).collect();
    let ms = |time: x509_parser::time::ASN1Time| SiteTime(time.timestamp().saturating_mul(1000));
    let (not_before, not_after) = (ms(certificate.validity().not_before), ms(certificate.validity().not_after));
    let state = if now < not_before {
        "not yet valid"
    } else if now > not_after {
        "expired"
    } else {
        "valid"
    };
    Ok(Shown {
        kind: "certificate",
        identity: PeerIdentity::from_certificate_der(der).map_or_else(|e| format!("none: {e}"), |identity| identity.to_string()),
        server_names,
        not_before: Some(not_before.to_rfc3339()),
        not_after: Some(not_after.to_rfc3339()),
        state,
        sha256_fingerprint: fingerprint(der),
    })
}

fn request(text: &str, der: &[u8]) -> anyhow::Result<Shown> {
    let request = VerifiedRequest::from_pem(text)?;
    Ok(Shown {
        kind: "request",
        identity: request.identity().to_string(),
        server_names: request.server_names(),
        not_before: None,
        not_after: None,
        state: "request",
        sha256_fingerprint: fingerprint(der),
    })
}

fn server_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => Some(match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => std::net::Ipv4Addr::from(v4).to_string(),
            Err(_) => {
                <[u8; 16]>::try_from(*bytes).map_or_else(|_| "malformed address".to_owned(), |v6| std::net::Ipv6Addr::from(v6).to_string())
            }
        }),
        _ => None,
    }
}

fn fingerprint(der: &[u8]) -> String {
    let hash = digest(&SHA256, der);
    hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}
