//! Certificates' names, and requests to sign.

use std::sync::LazyLock;

use kho_replication::{
    identity::PeerIdentity,
    tls::{Authority, VerifiedRequest},
};
use kho_storage::ids::SiteTime;

use super::choice;
use crate::world::TREE;

const NOW: SiteTime = SiteTime(1_800_000_000_000);
static ROOT: LazyLock<Authority> = LazyLock::new(|| Authority::create(TREE, NOW).expect("the system has randomness"));

/// A certificate, or the text of a name: one identity has one text.
pub fn certificate(bytes: &[u8]) {
    let Some((what, rest)) = choice(bytes) else { return };
    if what % 2 == 0 {
        if let Ok(identity) = PeerIdentity::from_certificate_der(rest) {
            has_one_text(&identity, None);
        }
    } else if let Ok(text) = std::str::from_utf8(rest) {
        if let Ok(identity) = text.parse::<PeerIdentity>() {
            has_one_text(&identity, Some(text));
        }
        if let Ok(identity) = PeerIdentity::from_uris(text.lines()) {
            assert_eq!(text.lines().filter(|line| line.to_ascii_lowercase().starts_with("kho:")).count(), 1, "exactly one name is taken");
            has_one_text(&identity, None);
        }
    }
}

/// A request as PEM, or as what a PEM of it holds: what is signed bears the requested name and is no root.
pub fn certificate_request(bytes: &[u8]) {
    let Some((what, rest)) = choice(bytes) else { return };
    let pem = if what % 2 == 0 {
        String::from_utf8_lossy(rest).into_owned()
    } else {
        let body = data_encoding::BASE64.encode(rest);
        let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", lines.join("\n"))
    };
    let Ok(request) = VerifiedRequest::from_pem(&pem) else { return };
    has_one_text(request.identity(), None);
    let _ = request.server_names();
    let _ = ROOT.sign(&request, NOW, 30);
}

fn has_one_text(identity: &PeerIdentity, read: Option<&str>) {
    let text = identity.to_string();
    assert_eq!(text.parse::<PeerIdentity>().as_ref(), Ok(identity));
    assert!(read.is_none_or(|read| read == text), "{read:?} is read as {text}");
}
