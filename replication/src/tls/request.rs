//! What is to be signed: made where the key stays, checked where the root stands.
//!
//! A request carries a public key, one `kho://` name and, for a node, the names and addresses it is reached under.
//! Everything else a request might contain (to be a root, other usages, another subject) is refused or not carried over:
//! the root writes those parts itself.

use std::net::IpAddr;

use kho_storage::ids::{NodeId, SiteId};
use rcgen::{CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, IsCa, KeyPair, PublicKey, SanType};
use rustls::pki_types::{CertificateSigningRequestDer, DnsName, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{DNS_SUFFIX, node_server_name, site_server_name};
use crate::identity::{IdentityError, PeerIdentity, Role};

/// Most names and addresses one node may be reached under.
const SERVER_NAMES_MAX: usize = 32;
/// Longest request that is read.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Raw length of a P-256 public key, uncompressed, and of an Ed25519 one.
const PUBLIC_KEY_BYTES: [usize; 2] = [65, 32];

/// Why a certificate could not be requested or signed.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("`{0}` is neither an IP address nor a DNS name a node may bear; give names outside `kho.internal`, without wildcards")]
    BadServerName(String),
    #[error("{0} names and addresses are asked for, at most {SERVER_NAMES_MAX} are allowed")]
    TooManyServerNames(usize),
    #[error("the request is refused: {0}; make a new one with `kho pki request` or `kho pki client`")]
    BadRequest(String),
    #[error("the request is of tree `{requested}`, this root of tree `{root}`; use that tree's root")]
    ForeignTree { requested: String, root: String },
    #[error("the root's files are not usable: {0}; check them with `kho pki show`")]
    BadRoot(String),
    #[error("{days} days would outlive the root, which ends on {root_ends}; give fewer --days")]
    OutlivesRoot { days: u32, root_ends: String },
    #[error("making a key or certificate failed: {0}")]
    Local(String),
}

impl IssueError {
    pub(super) fn local(error: rcgen::Error) -> Self {
        Self::Local(error.to_string())
    }
}

/// A fresh private key and the request to sign it. The key is for the asker's disk alone.
#[derive(Debug)]
pub struct CertificateRequest {
    pub identity: PeerIdentity,
    /// PKCS#8 PEM, wiped when dropped.
    pub key_pem: Zeroizing<String>,
    /// PKCS#10 PEM; nothing in it is secret.
    pub csr_pem: String,
}

impl CertificateRequest {
    /// For a node. It is always reached as its site, as itself, as `localhost` and at 127.0.0.1; `reached_as` adds IP
    /// addresses and DNS names.
    ///
    /// # Errors
    /// [`IssueError`] for a malformed tree or server name.
    pub fn for_node(tree: &str, site: SiteId, node: NodeId, reached_as: &[String]) -> Result<Self, IssueError> {
        let identity = PeerIdentity::of_node(tree, site, node)?;
        let mut names = vec![
            dns(&site_server_name(site))?,
            dns(&node_server_name(site, node))?,
            dns("localhost")?,
            SanType::IpAddress(IpAddr::from([127, 0, 0, 1])),
        ];
        for text in reached_as {
            let name = given_server_name(text)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > SERVER_NAMES_MAX {
            return Err(IssueError::TooManyServerNames(names.len()));
        }
        Self::with_fresh_key(identity, names)
    }

    /// For an operator or an entry client, which dial and are never dialled.
    ///
    /// # Errors
    /// [`IssueError::BadRequest`] when the identity is a node's or the root's.
    pub fn for_person(identity: PeerIdentity) -> Result<Self, IssueError> {
        match identity.role() {
            Role::Operator { .. } | Role::Client { .. } => Self::with_fresh_key(identity, Vec::new()),
            Role::Node { .. } | Role::Authority => Err(IssueError::BadRequest(format!("{identity} names no operator and no client"))),
        }
    }

    fn with_fresh_key(identity: PeerIdentity, server_names: Vec<SanType>) -> Result<Self, IssueError> {
        let key = KeyPair::generate().map_err(IssueError::local)?;
        let params = named_params(&identity, server_names)?;
        let csr_pem = params.serialize_request(&key).and_then(|csr| csr.pem()).map_err(IssueError::local)?;
        Ok(Self { identity, key_pem: Zeroizing::new(key.serialize_pem()), csr_pem })
    }
}

/// A request whose signature, names and key were checked: what the root may sign. Made only by [`Self::from_pem`].
#[derive(Debug)]
pub struct VerifiedRequest {
    identity: PeerIdentity,
    server_names: Vec<SanType>,
    public_key: PublicKey,
}

impl VerifiedRequest {
    /// Reads a PKCS#10 request and checks that its bearer holds the key and asks only for what its role may have.
    ///
    /// # Errors
    /// [`IssueError`]; the asker is at fault.
    pub fn from_pem(csr_pem: &str) -> Result<Self, IssueError> {
        let bad = |reason: String| IssueError::BadRequest(reason);
        if csr_pem.len() > REQUEST_BYTES_MAX {
            return Err(bad(format!("it is {} bytes long, at most {REQUEST_BYTES_MAX} are read", csr_pem.len())));
        }
        let der =
            CertificateSigningRequestDer::from_pem_slice(csr_pem.as_bytes()).map_err(|e| bad(format!("it is not a PEM request ({e})")))?;
        let csr = CertificateSigningRequestParams::from_der(&der).map_err(|e| match e {
            rcgen::Error::InvalidCertificationRequestSignature => bad("its signature does not fit its key; it was altered".into()),
            other => bad(other.to_string()),
        })?;
        if matches!(csr.params.is_ca, IsCa::Ca(_)) {
            return Err(bad("it asks to be a root".into()));
        }
        let raw_key: &[u8] = rcgen::PublicKeyData::der_bytes(&csr.public_key);
        if !PUBLIC_KEY_BYTES.contains(&raw_key.len()) {
            return Err(bad("its key is neither ECDSA P-256 nor Ed25519".into()));
        }
        let (identity, server_names) = split_names(csr.params.subject_alt_names)?;
        check_server_names(&identity, &server_names)?;
        Ok(Self { identity, server_names, public_key: csr.public_key })
    }

    pub fn identity(&self) -> &PeerIdentity {
        &self.identity
    }

    /// The names and addresses the bearer may be reached under, for people to read before they sign.
    pub fn server_names(&self) -> Vec<String> {
        self.server_names.iter().map(shown).collect()
    }

    pub(super) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Certificate parameters with this request's names and nothing else of it.
    pub(super) fn params(&self) -> Result<CertificateParams, IssueError> {
        named_params(&self.identity, self.server_names.clone())
    }
}

/// Parameters that bear an identity: the URI name first, then server names; a subject that only serves people.
pub(super) fn named_params(identity: &PeerIdentity, server_names: Vec<SanType>) -> Result<CertificateParams, IssueError> {
    let uri = identity.to_string().try_into().map_err(IssueError::local)?;
    let common_name = match identity.role() {
        Role::Node { site, node } => format!("node {node} of site {site}"),
        Role::Operator { site: Some(site), name } => format!("operator {name} of site {site}"),
        Role::Operator { site: None, name } => format!("operator {name}"),
        Role::Client { site, name, .. } => format!("client {name} of site {site}"),
        Role::Authority => "root".to_owned(),
    };
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, format!("kho {}", identity.tree()));
    subject.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.subject_alt_names = std::iter::once(SanType::URI(uri)).chain(server_names).collect();
    Ok(params)
}

fn split_names(names: Vec<SanType>) -> Result<(PeerIdentity, Vec<SanType>), IssueError> {
    let (uris, server_names): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| matches!(name, SanType::URI(_)));
    if uris.len() > 1 {
        return Err(IdentityError::SeveralIdentities(uris.len()).into());
    }
    let identity = PeerIdentity::from_uris(uris.iter().filter_map(|name| match name {
        SanType::URI(uri) => Some(uri.as_str()),
        _ => None,
    }))?;
    Ok((identity, server_names))
}

/// A node may be reached under its own `kho.internal` names and any outside it; a person under none.
fn check_server_names(identity: &PeerIdentity, names: &[SanType]) -> Result<(), IssueError> {
    if names.len() > SERVER_NAMES_MAX {
        return Err(IssueError::TooManyServerNames(names.len()));
    }
    let Role::Node { site, node } = *identity.role() else {
        return match (identity.role(), names) {
            (Role::Authority, _) => Err(IssueError::BadRequest("it asks for the root's name".into())),
            (_, []) => Ok(()),
            (_, [first, ..]) => Err(IssueError::BadRequest(format!("{identity} may not bear the server name `{}`", shown(first)))),
        };
    };
    let own = [site_server_name(site), node_server_name(site, node)];
    for name in names {
        let allowed = match name {
            SanType::IpAddress(_) => true,
            SanType::DnsName(dns) => own.iter().any(|own| own == dns.as_str()) || given_server_name(dns.as_str()).is_ok(),
            _ => false,
        };
        if !allowed {
            return Err(IssueError::BadRequest(format!("{identity} may not bear the server name `{}`", shown(name))));
        }
    }
    match own.iter().find(|own| !names.iter().any(|name| matches!(name, SanType::DnsName(dns) if dns.as_str() == own.as_str()))) {
        Some(missing) => Err(IssueError::BadRequest(format!("it lacks the server name `{missing}`, by which peers would look for it"))),
        None => Ok(()),
    }
}

/// An IP address or DNS name as an operator gives it. Names of `kho.internal` are given by site and node, never by hand.
fn given_server_name(text: &str) -> Result<SanType, IssueError> {
    let bad = || IssueError::BadServerName(text.chars().take(80).collect());
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let name = text.to_ascii_lowercase();
    let reserved = name == DNS_SUFFIX || name.strip_suffix(DNS_SUFFIX).is_some_and(|rest| rest.ends_with('.'));
    if reserved || name.contains('*') || name.ends_with('.') || DnsName::try_from(name.as_str()).is_err() {
        return Err(bad());
    }
    dns(&name).map_err(|_| bad())
}

fn dns(name: &str) -> Result<SanType, IssueError> {
    Ok(SanType::DnsName(name.try_into().map_err(IssueError::local)?))
}

fn shown(name: &SanType) -> String {
    match name {
        SanType::DnsName(text) | SanType::URI(text) | SanType::Rfc822Name(text) => text.as_str().to_owned(),
        SanType::IpAddress(address) => address.to_string(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csr(params: &CertificateParams) -> String {
        let key = KeyPair::generate().expect("system randomness");
        params.serialize_request(&key).and_then(|csr| csr.pem()).expect("well formed")
    }

    fn refused(params: &CertificateParams) -> IssueError {
        VerifiedRequest::from_pem(&csr(params)).expect_err("must be refused")
    }

    fn node(site: u32) -> PeerIdentity {
        PeerIdentity::of_node("vn", SiteId(site), NodeId(3)).expect("well formed")
    }

    fn own_names(site: u32) -> Vec<SanType> {
        vec![dns(&site_server_name(SiteId(site))).expect("ascii"), dns(&node_server_name(SiteId(site), NodeId(3))).expect("ascii")]
    }

    #[test]
    fn a_nodes_request_lists_every_name_it_is_reached_under() {
        let reached_as = ["10.0.0.5".to_owned(), "Kho12.example.invalid".to_owned(), "127.0.0.1".to_owned()];
        let request = CertificateRequest::for_node("vn", SiteId(12), NodeId(3), &reached_as).expect("well formed");
        let verified = VerifiedRequest::from_pem(&request.csr_pem).expect("own request");
        assert_eq!(verified.identity().to_string(), "kho://vn/site/12/node/3");
        let names = ["site-12.kho.internal", "node-3.site-12.kho.internal", "localhost", "127.0.0.1", "10.0.0.5", "kho12.example.invalid"];
        assert_eq!(verified.server_names(), names);
    }

    #[test]
    fn a_request_altered_after_signing_is_refused() {
        let request = CertificateRequest::for_node("vn", SiteId(12), NodeId(3), &[]).expect("well formed");
        let der = CertificateSigningRequestDer::from_pem_slice(request.csr_pem.as_bytes()).expect("own form");
        let mut bytes = der.to_vec();
        let at = bytes.windows(9).position(|w| w == b"site/12/n").expect("the name stands in it");
        bytes[at + 6] = b'3';
        let pem =
            format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", data_encoding::BASE64.encode(&bytes));
        let error = VerifiedRequest::from_pem(&pem).expect_err("altered").to_string();
        assert!(error.contains("altered"), "{error}");
    }

    #[test]
    fn a_node_can_not_ask_for_another_sites_name() {
        let mut names = own_names(12);
        names.extend(own_names(1));
        assert!(matches!(refused(&named_params(&node(12), names).expect("ascii")), IssueError::BadRequest(_)));
        let lacking = own_names(12)[..1].to_vec();
        assert!(matches!(refused(&named_params(&node(12), lacking).expect("ascii")), IssueError::BadRequest(_)));
    }

    #[test]
    fn a_request_for_a_root_or_a_servers_name_by_a_person_is_refused() {
        let mut as_root = named_params(&node(12), own_names(12)).expect("ascii");
        as_root.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        assert!(matches!(refused(&as_root), IssueError::BadRequest(_)));

        let root_name = PeerIdentity::new("vn", Role::Authority).expect("well formed");
        assert!(matches!(refused(&named_params(&root_name, vec![]).expect("ascii")), IssueError::BadRequest(_)));

        let person = PeerIdentity::new("vn", Role::Operator { site: None, name: "an".into() }).expect("well formed");
        assert!(matches!(refused(&named_params(&person, own_names(12)).expect("ascii")), IssueError::BadRequest(_)));
    }

    #[test]
    fn a_request_without_a_name_or_with_two_is_refused() {
        let none = CertificateParams::default();
        assert!(matches!(refused(&none), IssueError::Identity(IdentityError::NoIdentity)));
        let mut two = named_params(&node(12), own_names(12)).expect("ascii");
        two.subject_alt_names.push(SanType::URI("https://example.invalid/".try_into().expect("ascii")));
        assert!(matches!(refused(&two), IssueError::Identity(IdentityError::SeveralIdentities(2))));
    }

    #[test]
    fn server_names_that_could_stand_for_others_are_refused() {
        for name in ["*.example.invalid", "site-1.kho.internal", "KHO.internal", "", "a b", "host.", "-x"] {
            assert!(given_server_name(name).is_err(), "{name} must be refused");
        }
        for name in ["10.0.0.5", "::1", "host", "notkho.internal", "a.example.invalid"] {
            assert!(given_server_name(name).is_ok(), "{name} must be taken");
        }
    }
}
