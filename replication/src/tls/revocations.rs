//! Certificates that the register revokes, shared by everything that shakes hands.
//!
//! TLS finds a certificate genuine; whether its bearer still counts stands in the register. It is judged at every handshake, and again
//! for every connection that stands whenever the register changes: a connection ends as soon as its certificate is revoked.
//!
//! Invariant: a certificate that was issued before the time that revokes its identity opens nothing, and a later one of the same
//! identity does (test `a_certificate_is_revoked_by_its_identity_and_the_time_of_its_issue`).

use std::{collections::BTreeMap, sync::Arc};

use kho_storage::{ids::SiteTime, register::VerifiedRegister};
use tokio::sync::watch;

use super::Validity;
use crate::identity::{IdentityError, PeerIdentity};

/// What a peer showed: who it is, and when its certificate was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    pub identity: PeerIdentity,
    pub issued_at: SiteTime,
}

/// The register has revoked the certificate. Whoever shows it is at fault, or its operator lags behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{identity} was revoked by the register for certificates issued before {issued_before}; have a new one signed with `kho pki sign`")]
pub struct CertificateRevoked {
    identity: PeerIdentity,
    issued_before: String,
}

impl ShownCertificate {
    /// Reads what a DER certificate says.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let identity = PeerIdentity::from_certificate_der(der)?;
        let validity = Validity::of_certificate(der).map_err(IdentityError::CertificateUnreadable)?;
        Ok(Self { identity, issued_at: validity.issued_at() })
    }
}

type Revoked = BTreeMap<String, SiteTime>;

/// The revoked identities of the newest register.
#[derive(Debug, Default)]
pub struct Revocations {
    revoked: watch::Sender<Arc<Revoked>>,
}

impl Revocations {
    /// Takes over what `register` revokes. Connections that stand by a revoked certificate end at once.
    pub fn replace(&self, register: &VerifiedRegister) {
        let revoked: Revoked = register.revoked_identities().map(|(identity, time)| (identity.to_owned(), time)).collect();
        self.revoked.send_if_modified(|held| {
            let changed = **held != revoked;
            if changed {
                *held = Arc::new(revoked);
            }
            changed
        });
    }

    /// Whether a certificate still counts.
    ///
    /// # Errors
    /// [`CertificateRevoked`].
    pub fn check(&self, shown: &ShownCertificate) -> Result<(), CertificateRevoked> {
        match revoking(&self.revoked.borrow(), shown) {
            None => Ok(()),
            Some(time) => Err(CertificateRevoked { identity: shown.identity.clone(), issued_before: time.to_rfc3339() }),
        }
    }

    /// Waits until the certificate is revoked; for ever, if it never is.
    pub async fn until_revoked(&self, shown: &ShownCertificate) {
        let mut revoked = self.revoked.subscribe();
        if revoked.wait_for(|revoked| revoking(revoked, shown).is_some()).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn revoking(revoked: &Revoked, shown: &ShownCertificate) -> Option<SiteTime> {
    if revoked.is_empty() {
        return None;
    }
    revoked.get(&shown.identity.to_string()).copied().filter(|time| shown.issued_at < *time)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kho_storage::{
        ids::{NodeId, SiteId},
        register::{Register, RevokedIdentity, SignedRegister},
        signature::{SignatureAlgorithm, SigningKey},
    };
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    use tokio::time::timeout;

    use super::*;
    use crate::tls::{Authority, CertificateRequest, NODE_VALIDITY_DAYS, VerifiedRequest};

    const NOW: SiteTime = SiteTime(1_800_000_000_000);

    fn shown(root: &Authority, at: SiteTime) -> ShownCertificate {
        let request = CertificateRequest::for_node("vn", SiteId(3), NodeId(1), &[]).expect("well formed");
        let verified = VerifiedRequest::from_pem(&request.csr_pem).expect("own request");
        let issued = root.sign(&verified, at, NODE_VALIDITY_DAYS).expect("own tree");
        let der = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).expect("own form");
        ShownCertificate::from_der(&der).expect("own form")
    }

    fn register(identity: &str, issued_before: SiteTime) -> VerifiedRegister {
        let revoked_identities = vec![RevokedIdentity { identity: identity.into(), issued_before }];
        let register =
            Register { tree: "vn".into(), version: 1, requires: vec![], roots: vec![], sites: vec![], origins: vec![], revoked_identities };
        let key = SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        SignedRegister::issue(&register, &key).expect("whole").verify(&key.public_key(), "vn").expect("good")
    }

    #[test]
    fn a_certificate_is_revoked_by_its_identity_and_the_time_of_its_issue() {
        let root = Authority::create("vn", NOW).expect("well formed");
        let second = |seconds: i64| SiteTime(NOW.0 + seconds * 1_000);
        let (stolen, renewed) = (shown(&root, second(7_200)), shown(&root, second(7_260)));
        assert_eq!((stolen.issued_at, renewed.issued_at), (second(7_200), second(7_260)));
        let revocations = Revocations::default();
        assert_eq!(revocations.check(&stolen), Ok(()));
        revocations.replace(&register("kho://vn/site/3/node/1", second(7_260)));
        let refused = revocations.check(&stolen).expect_err("it was issued before").to_string();
        assert!(refused.contains("kho://vn/site/3/node/1") && refused.contains("kho pki sign"), "{refused}");
        assert_eq!(revocations.check(&renewed), Ok(()), "signed a minute later");
        revocations.replace(&register("kho://vn/site/3/node/2", second(7_260)));
        assert_eq!(revocations.check(&stolen), Ok(()), "another node");
    }

    #[tokio::test]
    async fn who_waits_for_a_revocation_learns_of_it_at_once() {
        let root = Authority::create("vn", NOW).expect("well formed");
        let (revocations, shown) = (Arc::new(Revocations::default()), shown(&root, NOW));
        let waiting = tokio::spawn({
            let revocations = Arc::clone(&revocations);
            async move { revocations.until_revoked(&shown).await }
        });
        revocations.replace(&register("kho://vn/site/4/node/1", SiteTime(2 * NOW.0)));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        revocations.replace(&register("kho://vn/site/3/node/1", SiteTime(2 * NOW.0)));
        timeout(Duration::from_secs(5), waiting).await.expect("at once").expect("it runs");
    }
}
