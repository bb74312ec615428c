//! What a process shows of itself and whom it trusts: the tree's root, its own chain and key, as one checked whole.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use kho_storage::ids::SiteTime;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::WebPkiClientVerifier,
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};
use zeroize::Zeroizing;

use super::authority::BACKDATED_MS;
use crate::identity::{IdentityError, PeerIdentity, Role};

/// Largest PEM file that is read.
const PEM_FILE_BYTES_MAX: u64 = 256 * 1024;

/// Where credentials stand on disk. `kho pki` writes all three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFiles {
    /// The tree's root certificate.
    pub root_ca: PathBuf,
    /// This process's certificate, then any between it and the root.
    pub certificate_chain: PathBuf,
    /// Its private key, PKCS#8, mode 0600.
    pub key: PathBuf,
}

/// From when until when a certificate is good, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before: SiteTime,
    pub not_after: SiteTime,
}

/// Why credentials can't be used. The fault is local: the operator's files.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("{} could not be read ({source}); `kho pki request` and `kho pki sign` make it", .path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{part} is not usable: {reason}; check it with `kho pki show`")]
    Bad { part: String, reason: String },
    #[error("the key {key} does not belong to the certificate {certificate}; request again with `kho pki request`")]
    KeyMismatch { key: String, certificate: String },
    #[error("{part} has no acceptable name: {source}")]
    Identity { part: String, source: IdentityError },
    #[error("{part} is of tree `{found}`, the root certificate of tree `{wanted}`; have it signed by that root with `kho pki sign`")]
    ForeignTree { part: String, found: String, wanted: String },
    #[error("{part} was not signed by this root certificate ({reason}); have it signed again with `kho pki sign`")]
    NotSigned { part: String, reason: String },
    #[error("the TLS configuration can't be made: {0}")]
    Unusable(String),
}

/// Root, chain and key that fit together: one tree, one identity, the key is the certificate's, the chain leads to the root.
///
/// Whether the certificate is in its time is not judged here but at each connection, by the certificate clock.
#[derive(Clone)]
pub struct Credentials {
    roots: Arc<RootCertStore>,
    certified_key: CertifiedKey,
    identity: PeerIdentity,
    validity: Validity,
    /// Hash of the private key under a context of its own; source of [`Self::derived_secret`].
    seed: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity).field("validity", &self.validity).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads and checks the three files.
    ///
    /// # Errors
    /// [`CredentialsError`], naming the file.
    pub fn load(files: &CredentialFiles) -> Result<Self, CredentialsError> {
        let name = |path: &Path| path.display().to_string();
        warn_of_readable_key(&files.key);
        let parts = Parts {
            root: (read_pem(&files.root_ca)?, name(&files.root_ca)),
            chain: (read_pem(&files.certificate_chain)?, name(&files.certificate_chain)),
            key: (read_pem(&files.key)?, name(&files.key)),
        };
        Self::assemble(parts)
    }

    /// The same from PEM texts in memory.
    ///
    /// # Errors
    /// [`CredentialsError`], naming the part.
    pub fn from_pem(root_ca: &str, certificate_chain: &str, key: &str) -> Result<Self, CredentialsError> {
        let bytes = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        Self::assemble(Parts {
            root: (bytes(root_ca), "the root certificate".into()),
            chain: (bytes(certificate_chain), "the certificate".into()),
            key: (bytes(key), "the private key".into()),
        })
    }

    fn assemble(parts: Parts) -> Result<Self, CredentialsError> {
        let (root, root_name) = (certificates(&parts.root)?, parts.root.1);
        let (chain, chain_name) = (certificates(&parts.chain)?, parts.chain.1);
        let [root] = <[_; 1]>::try_from(root).map_err(|several| CredentialsError::Bad {
            part: root_name.clone(),
            reason: format!("it holds {} certificates instead of one", several.len()),
        })?;
        let tree = tree_of_root(&root, &root_name)?;

        let identity = PeerIdentity::from_certificate_der(&chain[0])
            .map_err(|source| CredentialsError::Identity { part: chain_name.clone(), source })?;
        if identity.tree() != tree {
            return Err(CredentialsError::ForeignTree { part: chain_name, found: identity.tree().to_owned(), wanted: tree });
        }
        if *identity.role() == Role::Authority {
            let reason = "it is the root itself, which signs and never connects".into();
            return Err(CredentialsError::Bad { part: chain_name, reason });
        }
        let validity = Validity::of_certificate(&chain[0]).map_err(|reason| CredentialsError::Bad { part: chain_name.clone(), reason })?;
        let roots = root_store(root, &root_name)?;
        check_chain(&roots, &chain, validity, &chain_name)?;
        let key = PrivateKeyDer::from_pem_slice(&parts.key.0)
            .map_err(|e| CredentialsError::Bad { part: parts.key.1.clone(), reason: e.to_string() })?;
        let seed = Zeroizing::new(blake3::derive_key("kho 2026 secrets derived from a node's TLS key", key.secret_der()));
        let certified_key = CertifiedKey::from_der(chain, key, &super::provider()).map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => CredentialsError::KeyMismatch { key: parts.key.1, certificate: chain_name },
            other => CredentialsError::Bad { part: parts.key.1, reason: other.to_string() },
        })?;
        Ok(Self { roots, certified_key, identity, validity, seed })
    }

    /// Who this process is.
    pub fn identity(&self) -> &PeerIdentity {
        &self.identity
    }

    /// From when until when its own certificate is good.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// A secret that stays the same as long as the private key does, and reveals nothing of it. `context` is one fixed
    /// text per use.
    pub(crate) fn derived_secret(&self, context: &'static str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, &*self.seed))
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }

    pub(super) fn certified_key(&self) -> CertifiedKey {
        self.certified_key.clone()
    }
}

impl Validity {
    /// When the certificate was issued: the root dates it back a little, see [`Authority::sign`](super::Authority::sign).
    pub fn issued_at(&self) -> SiteTime {
        SiteTime(self.not_before.0.saturating_add(BACKDATED_MS))
    }

    /// Reads the validity of a DER certificate; the error is a reason for a sentence.
    pub(crate) fn of_certificate(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
        let ms = |time: x509_parser::time::ASN1Time| SiteTime(time.timestamp().saturating_mul(1000));
        Ok(Self { not_before: ms(certificate.validity().not_before), not_after: ms(certificate.validity().not_after) })
    }
}

/// PEM bytes and what to call them in a message.
struct Parts {
    root: (Zeroizing<Vec<u8>>, String),
    chain: (Zeroizing<Vec<u8>>, String),
    key: (Zeroizing<Vec<u8>>, String),
}

fn read_pem(path: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(PEM_FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|source| CredentialsError::Unreadable { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// At least one certificate, or a reason.
fn certificates((pem, name): &(Zeroizing<Vec<u8>>, String)) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let bad = |reason: String| CredentialsError::Bad { part: name.clone(), reason };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| bad(e.to_string()))?;
    if certificates.is_empty() { Err(bad("it holds no PEM certificate".into())) } else { Ok(certificates) }
}

fn tree_of_root(root: &CertificateDer<'_>, name: &str) -> Result<String, CredentialsError> {
    let identity =
        PeerIdentity::from_certificate_der(root).map_err(|source| CredentialsError::Identity { part: name.to_owned(), source })?;
    if *identity.role() == Role::Authority {
        Ok(identity.tree().to_owned())
    } else {
        Err(CredentialsError::Bad { part: name.to_owned(), reason: format!("it names {identity} and not a tree's root") })
    }
}

fn root_store(root: CertificateDer<'static>, name: &str) -> Result<Arc<RootCertStore>, CredentialsError> {
    let mut roots = RootCertStore::empty();
    roots.add(root).map_err(|e| CredentialsError::Bad { part: name.to_owned(), reason: e.to_string() })?;
    Ok(Arc::new(roots))
}

/// Checks that the chain leads to the root, at a moment when the certificate is in its time: here only signatures count.
fn check_chain(
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    validity: Validity,
    name: &str,
) -> Result<(), CredentialsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), super::provider())
        .build()
        .map_err(|e| CredentialsError::Unusable(e.to_string()))?;
    let seconds = u64::try_from(validity.not_before.0 / 1000).unwrap_or(0);
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let [leaf, between @ ..] = chain else {
        return Err(CredentialsError::Bad { part: name.to_owned(), reason: "it holds no PEM certificate".into() });
    };
    verifier
        .verify_client_cert(leaf, between, at)
        .map(drop)
        .map_err(|e| CredentialsError::NotSigned { part: name.to_owned(), reason: e.to_string() })
}

/// A key that others on the machine may read is not a secret; containers sometimes leave no choice, so it is a warning.
fn warn_of_readable_key(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if let Ok(metadata) = path.metadata()
        && metadata.permissions().mode() & 0o077 != 0
    {
        tracing::warn!(file = %path.display(), "others on this machine may read the private key; run chmod 600");
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::{NodeId, SiteId};

    use super::*;
    use crate::tls::{Authority, CertificateRequest, NODE_VALIDITY_DAYS, VerifiedRequest};

    const NOW: SiteTime = SiteTime(1_800_000_000_000);

    fn signed(root: &Authority, tree: &str) -> (String, CertificateRequest) {
        let request = CertificateRequest::for_node(tree, SiteId(1), NodeId(1), &[]).expect("well formed");
        let verified = VerifiedRequest::from_pem(&request.csr_pem).expect("own request");
        (root.sign(&verified, NOW, NODE_VALIDITY_DAYS).expect("own tree").certificate_pem, request)
    }

    #[test]
    fn credentials_that_fit_together_tell_who_they_are_and_until_when() {
        let root = Authority::create("vn", NOW).expect("well formed");
        let (certificate, request) = signed(&root, "vn");
        let credentials = Credentials::from_pem(root.certificate_pem(), &certificate, &request.key_pem).expect("they fit");
        assert_eq!(credentials.identity().to_string(), "kho://vn/site/1/node/1");
        let days = (credentials.validity().not_after.0 - NOW.0) / 86_400_000;
        assert_eq!(days, i64::from(NODE_VALIDITY_DAYS));
    }

    #[test]
    fn parts_that_do_not_fit_together_are_refused_with_the_part_named() {
        let root = Authority::create("vn", NOW).expect("well formed");
        let other = Authority::create("vn", NOW).expect("well formed");
        let foreign = Authority::create("test", NOW).expect("well formed");
        let (certificate, request) = signed(&root, "vn");
        let (_, unrelated) = signed(&root, "vn");
        let load = |root: &str, certificate: &str, key: &str| Credentials::from_pem(root, certificate, key).expect_err("they don't fit");

        assert!(matches!(load(root.certificate_pem(), &certificate, &unrelated.key_pem), CredentialsError::KeyMismatch { .. }));
        assert!(matches!(load(other.certificate_pem(), &certificate, &request.key_pem), CredentialsError::NotSigned { .. }));
        assert!(matches!(load(foreign.certificate_pem(), &certificate, &request.key_pem), CredentialsError::ForeignTree { .. }));
        assert!(matches!(load(&certificate, &certificate, &request.key_pem), CredentialsError::Bad { .. }));
        assert!(matches!(load(root.certificate_pem(), root.certificate_pem(), &root.key_pem()), CredentialsError::Bad { .. }));
        assert!(matches!(load("", &certificate, &request.key_pem), CredentialsError::Bad { .. }));
        assert!(matches!(load(root.certificate_pem(), &certificate, "no key"), CredentialsError::Bad { .. }));
    }

    #[test]
    fn a_missing_file_is_named_with_what_makes_it() {
        let missing = PathBuf::from("/nonexistent/tls.crt");
        let files = CredentialFiles { root_ca: missing.clone(), certificate_chain: missing.clone(), key: missing };
        let text = Credentials::load(&files).expect_err("nothing there").to_string();
        assert!(text.contains("/nonexistent/tls.crt") && text.contains("kho pki request"), "{text}");
    }
}
