//! The commands' work on folders: which files, in which order, with which mode.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use kho_replication::{
    identity::{PeerIdentity, Role},
    tls::{Authority, CertificateRequest, Issued, VerifiedRequest},
};
use kho_storage::{
    encryption::DecryptionKey,
    ids::{NodeId, SiteId, SiteTime},
    signature::{SignatureAlgorithm, SigningKey},
};
use zeroize::Zeroizing;

use super::{
    files::{Secrecy, make_folder, refuse_existing, write_new},
    node_card::NodeCard,
};

/// The root's certificate, which every node and client is given.
pub const ROOT_CERTIFICATE_FILE: &str = "root.crt";
/// The root's private key; stays on the machine that signs.
const ROOT_KEY_FILE: &str = "root.key";
/// A node's TLS key; stays on the node.
pub const TLS_KEY_FILE: &str = "tls.key";
/// Where a node expects its signed certificate.
pub const TLS_CERTIFICATE_FILE: &str = "tls.crt";
/// What a node asks to be signed.
pub const TLS_REQUEST_FILE: &str = "tls.csr";
/// The key a node signs heads with; stays on the node.
pub const SIGNING_KEY_FILE: &str = "signing.key";
/// The key by which a node reads what is written for it alone; stays on the node.
pub const ENCRYPTION_KEY_FILE: &str = "encryption.key";
/// The node card.
pub const NODE_CARD_FILE: &str = "node.json";
const CLIENT_KEY_FILE: &str = "client.key";
const CLIENT_REQUEST_FILE: &str = "client.csr";

/// Largest certificate, request or key file that is read.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What `kho pki request` needs to know.
#[derive(Debug, Clone)]
pub struct NodeRequest {
    pub tree: String,
    pub site: SiteId,
    pub node: NodeId,
    /// IP addresses and DNS names the node is reached under, beside 127.0.0.1, localhost and its own names.
    pub reached_as: Vec<String>,
    /// Of the key that signs heads. The TLS key is always ECDSA P-256.
    pub signing_algorithm: SignatureAlgorithm,
}

/// Makes a tree's root in `folder`: `root.key` (0600) and `root.crt`.
///
/// # Errors
/// When one of them exists, the tree's name is malformed, or the disk refuses.
pub fn init_root(tree: &str, folder: &Path, now: SiteTime) -> anyhow::Result<Authority> {
    make_folder(folder)?;
    refuse_existing(folder, &[ROOT_KEY_FILE, ROOT_CERTIFICATE_FILE])?;
    let root = Authority::create(tree, now)?;
    write_new(&folder.join(ROOT_KEY_FILE), root.key_pem().as_bytes(), Secrecy::Private)?;
    write_new(&folder.join(ROOT_CERTIFICATE_FILE), root.certificate_pem().as_bytes(), Secrecy::Public)?;
    Ok(root)
}

/// Takes up the root that [`init_root`] made.
///
/// # Errors
/// When its files are missing or don't belong together.
pub fn load_root(folder: &Path) -> anyhow::Result<Authority> {
    let certificate = read_text(&folder.join(ROOT_CERTIFICATE_FILE)).context("the root is made with `kho pki init`")?;
    let key = read_text(&folder.join(ROOT_KEY_FILE)).context("the root is made with `kho pki init`")?;
    Ok(Authority::from_pem(&certificate, &key)?)
}

/// On a node: `tls.key`, `signing.key` and `encryption.key` (0600), `tls.csr` and `node.json`.
///
/// # Errors
/// When one of them exists, a name is malformed, or the disk refuses.
pub fn request_node(request: &NodeRequest, folder: &Path) -> anyhow::Result<NodeCard> {
    make_folder(folder)?;
    refuse_existing(folder, &[TLS_KEY_FILE, TLS_REQUEST_FILE, SIGNING_KEY_FILE, ENCRYPTION_KEY_FILE, NODE_CARD_FILE])?;
    let tls = CertificateRequest::for_node(&request.tree, request.site, request.node, &request.reached_as)?;
    let signing = SigningKey::generate(request.signing_algorithm)?;
    let reading = DecryptionKey::generate()?;
    let card = NodeCard::new(&request.tree, request.site, request.node, &signing.public_key(), reading.public_key());
    write_new(&folder.join(TLS_KEY_FILE), tls.key_pem.as_bytes(), Secrecy::Private)?;
    write_new(&folder.join(SIGNING_KEY_FILE), signing.to_pkcs8_pem().as_bytes(), Secrecy::Private)?;
    write_new(&folder.join(ENCRYPTION_KEY_FILE), reading.to_pkcs8_pem().as_bytes(), Secrecy::Private)?;
    write_new(&folder.join(TLS_REQUEST_FILE), tls.csr_pem.as_bytes(), Secrecy::Public)?;
    write_new(&folder.join(NODE_CARD_FILE), card.to_json()?.as_bytes(), Secrecy::Public)?;
    Ok(card)
}

/// On an operator's or an entry client's machine: `client.key` (0600) and `client.csr`.
///
/// # Errors
/// When one of them exists, the name is malformed, or the disk refuses.
pub fn request_person(tree: &str, role: Role, folder: &Path) -> anyhow::Result<PeerIdentity> {
    make_folder(folder)?;
    refuse_existing(folder, &[CLIENT_KEY_FILE, CLIENT_REQUEST_FILE])?;
    let request = CertificateRequest::for_person(PeerIdentity::new(tree, role)?)?;
    write_new(&folder.join(CLIENT_KEY_FILE), request.key_pem.as_bytes(), Secrecy::Private)?;
    write_new(&folder.join(CLIENT_REQUEST_FILE), request.csr_pem.as_bytes(), Secrecy::Public)?;
    Ok(request.identity)
}

/// Signs a request file with the root in `ca` into the new file `out`, after `approve` has seen what it asks for.
///
/// # Errors
/// When the request was altered, is of another tree, asks for too much, is not approved, or `out` exists.
pub fn sign_file(
    ca: &Path,
    csr: &Path,
    out: &Path,
    days: u32,
    now: SiteTime,
    approve: impl FnOnce(&VerifiedRequest) -> anyhow::Result<()>,
) -> anyhow::Result<Issued> {
    ensure!(days > 0, "a certificate lasts at least a day; give --days");
    let request = read_text(csr)?;
    let request = VerifiedRequest::from_pem(&request).with_context(|| format!("{} was not signed", csr.display()))?;
    approve(&request).with_context(|| format!("{} was not signed", csr.display()))?;
    let issued = load_root(ca)?.sign(&request, now, days).with_context(|| format!("{} was not signed", csr.display()))?;
    write_new(out, issued.certificate_pem.as_bytes(), Secrecy::Public)?;
    Ok(issued)
}

/// A text file of bounded size; wiped from memory when dropped, for it may hold a key.
pub(super) fn read_text(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    use std::io::Read as _;
    let shown = PathBuf::from(path);
    let mut text = Zeroizing::new(String::new());
    let file = fs::File::open(path).with_context(|| format!("{} could not be opened", shown.display()))?;
    let read =
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).with_context(|| format!("{} is not a text file", shown.display()))?;
    ensure!(read as u64 <= FILE_BYTES_MAX, "{} is larger than any certificate, request or key", shown.display());
    Ok(text)
}
