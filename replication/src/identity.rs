//! Who stands at the other end: the one `kho://` URI name of a certificate.
//!
//! ```text
//! kho://<tree>/site/<site>/node/<node>        a node
//! kho://<tree>/site/<site>/operator/<name>    an operator of one site
//! kho://<tree>/operator/<name>                an operator of the whole tree
//! kho://<tree>/site/<site>/client/<name>             somebody who enters records at a site
//! kho://<tree>/site/<site>/client/<name>/read        somebody who reads rows there: personal data
//! kho://<tree>/site/<site>/client/<name>/enter+read  somebody who does both
//! kho://<tree>/ca                             the tree's root
//! ```
//!
//! An identity has exactly one text form: numbers without leading zeros, names in lower case. So two texts are equal
//! exactly when the identities are. This module reads names; whether a certificate is genuine is for TLS to decide, and
//! what its bearer may do is for the register.

use std::{fmt, str::FromStr};

use kho_storage::ids::{NodeId, SiteId};
use serde::{Deserialize, Serialize};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

/// Largest certificate that is read at all.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// Longest `kho://` URI.
const URI_BYTES_MAX: usize = 256;
/// Longest tree name: it is also part of file names and of the first epoch's id.
const TREE_BYTES_MAX: usize = 32;
/// Longest name of an operator or client.
const NAME_BYTES_MAX: usize = 64;

const SCHEME: &str = "kho://";

/// What the bearer of a certificate is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Node {
        site: SiteId,
        node: NodeId,
    },
    /// Without a site: an operator of the whole tree.
    Operator {
        site: Option<SiteId>,
        name: String,
    },
    /// A client of one site, and what it may do with rows.
    Client {
        site: SiteId,
        name: String,
        rights: ClientRights,
    },
    /// The tree's root, which signs the others and speaks to nobody.
    Authority,
}

/// What a client may do with the rows of its site. The root's certificate names it, so nobody gives it to oneself.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientRights {
    #[default]
    Enter,
    Read,
    EnterAndRead,
}

impl ClientRights {
    pub fn may_enter(self) -> bool {
        matches!(self, Self::Enter | Self::EnterAndRead)
    }

    pub fn may_read(self) -> bool {
        matches!(self, Self::Read | Self::EnterAndRead)
    }
}

/// A tree and a role in it. Made only by parsing or by [`PeerIdentity::new`], so its parts are always well formed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PeerIdentity {
    tree: String,
    role: Role,
}

/// Why a name or a certificate gives no identity. Whoever presented it is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("the certificate is {bytes} bytes long, at most {CERTIFICATE_BYTES_MAX} are read")]
    CertificateTooLong { bytes: usize },
    #[error("the certificate could not be read ({0}); check it with `kho pki show`")]
    CertificateUnreadable(String),
    #[error("the certificate bears no kho:// name; make a request with `kho pki request` or `kho pki client`")]
    NoIdentity,
    #[error("the certificate bears {0} kho:// names, exactly one is allowed")]
    SeveralIdentities(usize),
    #[error("the name `{uri}` is refused: {reason}")]
    BadName { uri: String, reason: &'static str },
}

impl PeerIdentity {
    /// Puts an identity together from its parts.
    ///
    /// # Errors
    /// [`IdentityError::BadName`] when the tree's or the person's name has characters or a length that is not allowed.
    pub fn new(tree: &str, role: Role) -> Result<Self, IdentityError> {
        let refused = |reason| IdentityError::BadName { uri: shortened(tree), reason };
        if !is_tree_name(tree) {
            return Err(refused("a tree's name has 1 to 32 of a-z, 0-9 and `-`, and starts with a letter"));
        }
        if let Role::Operator { name, .. } | Role::Client { name, .. } = &role
            && !is_person_name(name)
        {
            return Err(IdentityError::BadName { uri: shortened(name), reason: BAD_PERSON });
        }
        Ok(Self { tree: tree.to_owned(), role })
    }

    /// The identity of a node.
    ///
    /// # Errors
    /// [`IdentityError::BadName`] for the tree's name.
    pub fn of_node(tree: &str, site: SiteId, node: NodeId) -> Result<Self, IdentityError> {
        Self::new(tree, Role::Node { site, node })
    }

    pub fn tree(&self) -> &str {
        &self.tree
    }

    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The site the bearer belongs to; none for operators of the whole tree and for the root.
    pub fn site(&self) -> Option<SiteId> {
        match &self.role {
            Role::Node { site, .. } | Role::Client { site, .. } => Some(*site),
            Role::Operator { site, .. } => *site,
            Role::Authority => None,
        }
    }

    /// Site and node, when the bearer is a node.
    pub fn node(&self) -> Option<(SiteId, NodeId)> {
        match self.role {
            Role::Node { site, node } => Some((site, node)),
            _ => None,
        }
    }

    /// Reads the identity of a DER certificate. Other URI names beside the `kho://` one are ignored.
    ///
    /// # Errors
    /// [`IdentityError`] when the certificate is too long or unreadable, or does not bear exactly one well formed name.
    pub fn from_certificate_der(der: &[u8]) -> Result<Self, IdentityError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(IdentityError::CertificateTooLong { bytes: der.len() });
        }
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| IdentityError::CertificateUnreadable(e.to_string()))?;
        if !rest.is_empty() {
            return Err(IdentityError::CertificateUnreadable(format!("{} bytes follow it", rest.len())));
        }
        let names = certificate.subject_alternative_name().map_err(|e| IdentityError::CertificateUnreadable(e.to_string()))?;
        let uris = names.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        Self::from_uris(uris)
    }

    /// Reads the one `kho://` name among URI names.
    ///
    /// # Errors
    /// [`IdentityError`] when there is none, more than one, or it is not well formed.
    pub fn from_uris<'a>(uris: impl Iterator<Item = &'a str>) -> Result<Self, IdentityError> {
        let mut kho_uris = uris.filter(|uri| names_kho(uri));
        let uri = kho_uris.next().ok_or(IdentityError::NoIdentity)?;
        match kho_uris.count() {
            0 => uri.parse(),
            more => Err(IdentityError::SeveralIdentities(more + 1)),
        }
    }
}

/// Whether a URI is ours to judge. Any spelling of the scheme counts, so that `KHO:` is refused and not passed over.
fn names_kho(uri: &str) -> bool {
    uri.as_bytes().get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"kho:"))
}

const BAD_PERSON: &str = "a person's or program's name has 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and starts with a letter or digit";
const BAD_PATH: &str = "it must read kho://TREE/site/SITE/node/NODE, …/site/SITE/operator/NAME, …/operator/NAME, …/site/SITE/client/NAME, …/client/NAME/read, …/client/NAME/enter+read or …/ca";

impl FromStr for PeerIdentity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let refused = |reason| IdentityError::BadName { uri: shortened(uri), reason };
        if uri.len() > URI_BYTES_MAX {
            return Err(refused("it is longer than 256 bytes"));
        }
        let path = uri.strip_prefix(SCHEME).ok_or_else(|| refused("it must start with kho://"))?;
        // The longest form has six parts; a seventh is kept to be refused.
        let parts: Vec<&str> = path.splitn(7, '/').collect();
        let number = || refused("site and node are decimal numbers without leading zeros");
        let site = |text| decimal(text).and_then(|n| u32::try_from(n).ok()).map(SiteId).ok_or_else(number);
        let client = |site, name: &str, rights| Role::Client { site, name: name.to_owned(), rights };
        let role = match parts[1..] {
            ["ca"] => Role::Authority,
            ["operator", name] => Role::Operator { site: None, name: name.to_owned() },
            ["site", of, "operator", name] => Role::Operator { site: Some(site(of)?), name: name.to_owned() },
            ["site", of, "client", name] => client(site(of)?, name, ClientRights::Enter),
            ["site", of, "client", name, "read"] => client(site(of)?, name, ClientRights::Read),
            ["site", of, "client", name, "enter+read"] => client(site(of)?, name, ClientRights::EnterAndRead),
            ["site", of, "node", node] => Role::Node { site: site(of)?, node: NodeId(decimal(node).ok_or_else(number)?) },
            _ => return Err(refused(BAD_PATH)),
        };
        Self::new(parts[0], role)
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/", self.tree)?;
        match &self.role {
            Role::Node { site, node } => write!(f, "site/{site}/node/{node}"),
            Role::Operator { site: Some(site), name } => write!(f, "site/{site}/operator/{name}"),
            Role::Operator { site: None, name } => write!(f, "operator/{name}"),
            Role::Client { site, name, rights: ClientRights::Enter } => write!(f, "site/{site}/client/{name}"),
            Role::Client { site, name, rights: ClientRights::Read } => write!(f, "site/{site}/client/{name}/read"),
            Role::Client { site, name, rights: ClientRights::EnterAndRead } => write!(f, "site/{site}/client/{name}/enter+read"),
            Role::Authority => f.write_str("ca"),
        }
    }
}

impl From<PeerIdentity> for String {
    fn from(identity: PeerIdentity) -> Self {
        identity.to_string()
    }
}

impl TryFrom<String> for PeerIdentity {
    type Error = IdentityError;

    fn try_from(uri: String) -> Result<Self, IdentityError> {
        uri.parse()
    }
}

/// Reads the canonical decimal form only: no sign, no leading zero, so that one number has one text.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

fn is_tree_name(text: &str) -> bool {
    text.len() <= TREE_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_person_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

/// What a message may quote of a foreign text: 80 characters, none of them a control character.
fn shortened(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_rights() -> impl Strategy<Value = ClientRights> {
        prop_oneof![Just(ClientRights::Enter), Just(ClientRights::Read), Just(ClientRights::EnterAndRead)]
    }

    fn any_role() -> impl Strategy<Value = Role> {
        let name = || "[a-z0-9][a-z0-9._-]{0,63}";
        prop_oneof![
            (any::<u32>(), any::<u64>()).prop_map(|(site, node)| Role::Node { site: SiteId(site), node: NodeId(node) }),
            (any::<Option<u32>>(), name()).prop_map(|(site, name)| Role::Operator { site: site.map(SiteId), name }),
            (any::<u32>(), name(), any_rights()).prop_map(|(site, name, rights)| Role::Client { site: SiteId(site), name, rights }),
            Just(Role::Authority),
        ]
    }

    proptest! {
        #[test]
        fn an_identity_survives_its_text_form(tree in "[a-z][a-z0-9-]{0,31}", role in any_role()) {
            let identity = PeerIdentity::new(&tree, role).expect("well formed parts");
            let text = identity.to_string();
            prop_assert!(text.len() <= URI_BYTES_MAX);
            prop_assert_eq!(text.parse::<PeerIdentity>(), Ok(identity));
        }

        #[test]
        fn what_is_read_is_the_only_text_of_its_identity(text in "kho://[a-z0-9/.+-]{0,40}|kho://vn/site/[0-9+]{1,11}/(node|client|operator|noda)/[0-9a-z]{1,21}(/(read|enter|enter[+]read))?") {
            if let Ok(identity) = text.parse::<PeerIdentity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }

        #[test]
        fn bytes_that_are_no_certificate_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(PeerIdentity::from_certificate_der(&bytes).is_err());
        }
    }

    #[test]
    fn names_that_are_not_exactly_of_a_known_form_are_refused() {
        for uri in [
            "",
            "kho://",
            "kho:///ca",
            "KHO://vn/ca",
            "kho:/vn/ca",
            "kho://vn",
            "kho://vn/",
            "kho://vn/ca/",
            "kho://vn/CA",
            "kho://VN/ca",
            "kho://1vn/ca",
            "kho://vn/site/1",
            "kho://vn/site/01/node/1",
            "kho://vn/site/+1/node/1",
            "kho://vn/site/-1/node/1",
            "kho://vn/site/4294967296/node/1",
            "kho://vn/site/1/node/18446744073709551616",
            "kho://vn/site/1/node/",
            "kho://vn/site//node/1",
            "kho://vn/site/1/node/1/",
            "kho://vn/site/1/node/1/x",
            "kho://vn/site/1/node/1?x",
            "kho://vn/site/1/operator/",
            "kho://vn/operator/An",
            "kho://vn/operator/.an",
            "kho://vn/operator/a b",
            "kho://vn/operator/a%20b",
            "kho://vn/client/an",
            "kho://vn/site/1/client/an/",
            "kho://vn/site/1/client/an/enter",
            "kho://vn/site/1/client/an/read+enter",
            "kho://vn/site/1/client/an/read/",
            "kho://vn/site/1/operator/an/read",
            "kho://vn/site/1/ca",
            " kho://vn/ca",
            "kho://vn@evil/ca",
            "kho://vn:1/ca",
            "kho://vn/site/1/node/1\0",
        ] {
            assert!(matches!(uri.parse::<PeerIdentity>(), Err(IdentityError::BadName { .. })), "{uri} must be refused");
        }
        let long = format!("kho://vn/operator/{}", "a".repeat(300));
        assert!(long.parse::<PeerIdentity>().is_err());
    }

    #[test]
    fn exactly_one_kho_name_is_taken_and_other_uris_are_ignored() {
        let read = |uris: &[&str]| PeerIdentity::from_uris(uris.iter().copied());
        assert!(read(&["https://example.invalid/", "kho://vn/ca"]).is_ok());
        assert_eq!(read(&["https://example.invalid/"]), Err(IdentityError::NoIdentity));
        assert_eq!(read(&["kho://vn/ca", "kho://vn/ca"]), Err(IdentityError::SeveralIdentities(2)));
        // A second name in another spelling must not slip through as "some other URI".
        assert_eq!(read(&["kho://vn/ca", "Kho:x"]), Err(IdentityError::SeveralIdentities(2)));
    }

    #[test]
    fn an_identity_is_one_text_in_json() {
        let identity = PeerIdentity::of_node("vn", SiteId(12), NodeId(3)).expect("well formed");
        assert_eq!(serde_json::to_string(&identity).expect("text"), "\"kho://vn/site/12/node/3\"");
        assert!(serde_json::from_str::<PeerIdentity>("\"kho://vn/site/012/node/3\"").is_err());
    }
}
