//! Certificates of the peers, as good as Kho's own: an authority and one certificate for 127.0.0.1, ECDSA over P-256.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};

/// Files in one folder. The certificate is good for a server and for a client.
#[derive(Debug, Clone)]
pub struct PeerCertificates {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl PeerCertificates {
    /// Makes them in `dir`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn make(dir: &Path) -> anyhow::Result<Self> {
        // Different names: a certificate that bears its issuer's name counts as one that signed itself.
        let mut root = CertificateParams::new(Vec::new())?;
        root.distinguished_name.push(DnType::CommonName, "kho bench, authority");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()])?;
        params.distinguished_name.push(DnType::CommonName, "kho bench, server and client");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &root)?;

        let files = Self { authority: dir.join("authority.crt"), certificate: dir.join("server.crt"), key: dir.join("server.key") };
        fs::write(&files.authority, root.pem())?;
        fs::write(&files.certificate, certificate.pem())?;
        fs::write(&files.key, key.serialize_pem())?;
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600))?;
        Ok(files)
    }
}
