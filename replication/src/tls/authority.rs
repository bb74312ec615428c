//! The tree's root: it signs what was verified, and writes everything but names and key itself.

use kho_storage::ids::SiteTime;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};
use zeroize::Zeroizing;

use super::{
    Validity,
    request::{IssueError, VerifiedRequest, named_params},
};
use crate::identity::{PeerIdentity, Role};

/// How long a root lasts.
pub const ROOT_VALIDITY_DAYS: u32 = 3653;
/// How long a certificate lasts unless another length is given.
pub const NODE_VALIDITY_DAYS: u32 = 825;

const DAY_MS: i64 = 86_400_000;
/// A certificate is good a little before it was signed, for peers whose clocks are behind.
pub(super) const BACKDATED_MS: i64 = 3_600_000;
/// RFC 5280 allows 20 bytes; 16 random ones never repeat.
const SERIAL_BYTES: usize = 16;

/// The root's certificate and private key. It lives on an offline machine; no node needs it.
pub struct Authority {
    tree: String,
    certificate_pem: String,
    key_pem: Zeroizing<String>,
    issuer: Issuer<'static, KeyPair>,
    validity: Validity,
}

/// A signed certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub identity: PeerIdentity,
    pub certificate_pem: String,
    pub validity: Validity,
}

impl Authority {
    /// Makes the root of a new tree, with an ECDSA P-256 key.
    ///
    /// # Errors
    /// [`IssueError`] for a malformed tree name.
    pub fn create(tree: &str, now: SiteTime) -> Result<Self, IssueError> {
        let identity = PeerIdentity::new(tree, Role::Authority)?;
        let key = KeyPair::generate().map_err(IssueError::local)?;
        let mut params = named_params(&identity, Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(fresh_serial()?);
        params.not_before = instant(SiteTime(now.0.saturating_sub(BACKDATED_MS)))?;
        params.not_after = instant(after_days(now, ROOT_VALIDITY_DAYS))?;
        let certificate = params.self_signed(&key).map_err(IssueError::local)?;
        Self::from_pem(&certificate.pem(), &Zeroizing::new(key.serialize_pem()))
    }

    /// Takes up a root from its two PEM texts.
    ///
    /// # Errors
    /// [`IssueError::BadRoot`] when they are unreadable, don't belong together, or are not a root's.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, IssueError> {
        let bad = |reason: String| IssueError::BadRoot(reason);
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|e| bad(format!("no PEM certificate ({e})")))?;
        let identity = PeerIdentity::from_certificate_der(&der).map_err(|e| bad(e.to_string()))?;
        if *identity.role() != Role::Authority {
            return Err(bad(format!("the certificate names {identity} and not a tree's root")));
        }
        let key = KeyPair::from_pem(key_pem).map_err(|e| bad(format!("the key is unreadable ({e})")))?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|e| bad(e.to_string()))?;
        if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(bad("the key does not belong to the certificate".into()));
        }
        let validity = Validity::of_certificate(&der).map_err(bad)?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|e| IssueError::BadRoot(e.to_string()))?;
        Ok(Self {
            tree: identity.tree().to_owned(),
            certificate_pem: certificate_pem.to_owned(),
            key_pem: Zeroizing::new(key_pem.to_owned()),
            issuer,
            validity,
        })
    }

    pub fn tree(&self) -> &str {
        &self.tree
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, for a file of mode 0600 beside the certificate; wiped when dropped.
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.key_pem.clone()
    }

    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Signs a verified request for `days` from `now`. A node may dial and be dialled; a person may only dial.
    ///
    /// # Errors
    /// [`IssueError::ForeignTree`] or [`IssueError::OutlivesRoot`].
    pub fn sign(&self, request: &VerifiedRequest, now: SiteTime, days: u32) -> Result<Issued, IssueError> {
        let identity = request.identity().clone();
        if identity.tree() != self.tree {
            return Err(IssueError::ForeignTree { requested: identity.tree().to_owned(), root: self.tree.clone() });
        }
        let not_before = SiteTime(now.0.saturating_sub(BACKDATED_MS).max(self.validity.not_before.0));
        let not_after = after_days(now, days);
        if not_after > self.validity.not_after {
            return Err(IssueError::OutlivesRoot { days, root_ends: self.validity.not_after.to_rfc3339() });
        }
        let mut params = request.params()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match identity.role() {
            Role::Node { .. } => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            _ => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(fresh_serial()?);
        params.not_before = instant(not_before)?;
        params.not_after = instant(not_after)?;
        let certificate = params.signed_by(request.public_key(), &self.issuer).map_err(IssueError::local)?;
        let validity = Validity::of_certificate(certificate.der()).map_err(IssueError::Local)?;
        Ok(Issued { identity, certificate_pem: certificate.pem(), validity })
    }
}

fn after_days(now: SiteTime, days: u32) -> SiteTime {
    SiteTime(now.0.saturating_add(i64::from(days) * DAY_MS))
}

fn instant(time: SiteTime) -> Result<OffsetDateTime, IssueError> {
    OffsetDateTime::from_unix_timestamp(time.0.div_euclid(1000))
        .map_err(|e| IssueError::Local(format!("the clock reads {} ms ({e})", time.0)))
}

fn fresh_serial() -> Result<SerialNumber, IssueError> {
    let mut bytes = [0; SERIAL_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| IssueError::Local("the system's randomness is unavailable".into()))?;
    // A serial number is a positive, non-zero integer.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::{NodeId, SiteId};

    use super::*;
    use crate::tls::CertificateRequest;

    const NOW: SiteTime = SiteTime(1_800_000_000_000);

    fn request(tree: &str) -> VerifiedRequest {
        let request = CertificateRequest::for_node(tree, SiteId(12), NodeId(3), &[]).expect("well formed");
        VerifiedRequest::from_pem(&request.csr_pem).expect("own request")
    }

    #[test]
    fn a_root_taken_up_again_from_its_files_signs_as_before() {
        let root = Authority::create("vn", NOW).expect("well formed");
        let again = Authority::from_pem(root.certificate_pem(), &root.key_pem()).expect("own form");
        let issued = again.sign(&request("vn"), NOW, NODE_VALIDITY_DAYS).expect("own tree");
        let der = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).expect("own form");
        assert_eq!(PeerIdentity::from_certificate_der(&der), Ok(issued.identity));
    }

    #[test]
    fn a_request_of_another_tree_is_not_signed() {
        let root = Authority::create("vn", NOW).expect("well formed");
        assert!(matches!(root.sign(&request("test"), NOW, 1), Err(IssueError::ForeignTree { .. })));
    }

    #[test]
    fn nothing_signed_outlives_the_root() {
        let root = Authority::create("vn", NOW).expect("well formed");
        assert!(matches!(root.sign(&request("vn"), NOW, ROOT_VALIDITY_DAYS + 1), Err(IssueError::OutlivesRoot { .. })));
        assert!(root.sign(&request("vn"), NOW, ROOT_VALIDITY_DAYS).is_ok());
    }

    #[test]
    fn a_root_with_anothers_key_or_a_nodes_certificate_is_refused() {
        let root = Authority::create("vn", NOW).expect("well formed");
        let other = Authority::create("vn", NOW).expect("well formed");
        assert!(matches!(Authority::from_pem(root.certificate_pem(), &other.key_pem()), Err(IssueError::BadRoot(_))));
        let node = root.sign(&request("vn"), NOW, 1).expect("own tree");
        assert!(matches!(Authority::from_pem(&node.certificate_pem, &root.key_pem()), Err(IssueError::BadRoot(_))));
    }
}
