//! The register's key, and what it signs.

use std::{collections::BTreeMap, path::Path};

use kho_storage::{
    ids::{NodeId, SiteId},
    register::{NodeEntry, REGISTER_BYTES_MAX, Register, RegisterError, Roots, SignedRegister, SiteEntry, unknown_fields},
    signature::{PublicKey, SignatureAlgorithm, SigningKey},
};
use zeroize::Zeroizing;

use crate::{
    commands::files::{Existing, Secrecy, read_text, write_file},
    failure::Failure,
};

const KEY_BYTES_MAX: u64 = 64 << 10;
/// A signed register is its text with a few lines of signatures.
const SIGNED_BYTES_MAX: u64 = REGISTER_BYTES_MAX as u64 + (64 << 10);

/// Makes a key pair; the private half goes into a new file of mode 0600.
pub fn make_key(out: &Path, algorithm: SignatureAlgorithm) -> Result<PublicKey, Failure> {
    let key = SigningKey::generate(algorithm).map_err(|error| Failure::refused(error.to_string(), ""))?;
    write_file(out, key.to_pkcs8_pem().as_bytes(), Secrecy::Private, Existing::Refuse)?;
    Ok(key.public_key())
}

pub fn load_key(path: &Path) -> Result<SigningKey, Failure> {
    let pem = Zeroizing::new(read_text(path, KEY_BYTES_MAX)?);
    SigningKey::from_pkcs8_pem(&pem).map_err(|error| {
        Failure::usage(format!("{} is not a valid register key: {error}", path.display()), "make one with `kho register key`")
    })
}

/// Signs a register's text, as it stands, into `out`. An earlier issue there is replaced by a higher version alone, by keys that it names
/// or that signed it.
///
/// # Errors
/// When the register is not whole, or the text has fields that this build does not know and `unknown` does not allow them.
pub fn issue(text: &str, keys: &[SigningKey], out: &Path, unknown: UnknownFields) -> Result<(SignedRegister, Register), Failure> {
    let refused = |error: RegisterError| Failure::refused(error.to_string(), "");
    let signed = SignedRegister::sign(text.into(), &keys.iter().collect::<Vec<_>>()).map_err(refused)?;
    let register = &signed.unverified().map_err(refused)?;
    let fields = unknown_fields(&signed.text).map_err(refused)?;
    if unknown == UnknownFields::Refuse && !fields.is_empty() {
        return Err(Failure::refused(
            format!("every node of this version would ignore these fields: {}", fields.join(", ")),
            "correct their names; if they are meant for nodes of a later version, give --allow-unknown-fields",
        ));
    }
    if out.exists() {
        let before = load_signed(out)?;
        let earlier = &before.unverified().map_err(refused)?;
        let may_sign = |key: &PublicKey| match earlier.roots.as_slice() {
            [] => before.good_keys().any(|signer| signer == key),
            roots => Roots(roots.to_vec()).names(key),
        };
        if earlier.tree != register.tree || !keys.iter().all(|key| may_sign(&key.public_key())) {
            return Err(Failure::refused(
                format!("{} is there and no earlier issue of this register: it is of another tree, or names other keys", out.display()),
                "name another file with --out, or a key that it names with --key",
            ));
        }
        if earlier.version >= register.version {
            return Err(Failure::refused(
                format!("version {} was issued already and this is version {}", earlier.version, register.version),
                format!("write version = {} into the register: nodes take only a higher version than they have", earlier.version + 1),
            ));
        }
        if let Some((site, node)) = missing_node(earlier, register) {
            return Err(Failure::refused(
                format!("node {node} of site {site} stood in version {} and is missing now, or has another key", earlier.version),
                "leave the block of a replaced node in the register: the heads that it signed stay valid by it. To revoke it, use `kho register revoke`",
            ));
        }
    }
    write_file(out, signed.to_file().as_bytes(), Secrecy::Public, Existing::Replace)?;
    let register = register.clone();
    Ok((signed, register))
}

/// What happens to fields that this build does not know: a typing error looks the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    Refuse,
    Allow,
}

/// A node of `earlier` whose site still stands and that `later` lacks, or has under another key.
fn missing_node(earlier: &Register, later: &Register) -> Option<(SiteId, NodeId)> {
    let before: BTreeMap<SiteId, &SiteEntry> = earlier.sites.iter().map(|site| (site.site, site)).collect();
    later.sites.iter().find_map(|site| {
        let stands = |node: &&NodeEntry| site.nodes.iter().any(|now| (now.node, &now.signing_key) == (node.node, &node.signing_key));
        Some((site.site, before.get(&site.site)?.nodes.iter().find(|node| !stands(node))?.node))
    })
}

pub fn load_signed(path: &Path) -> Result<SignedRegister, Failure> {
    signed_in(path, &read_file(path)?)
}

/// A register's text or its signed form.
pub fn read_file(path: &Path) -> Result<String, Failure> {
    read_text(path, SIGNED_BYTES_MAX)
}

/// The signed register that was read from `path`.
pub fn signed_in(path: &Path, file: &str) -> Result<SignedRegister, Failure> {
    SignedRegister::from_file(file).map_err(|error| {
        Failure::usage(format!("{} is not a valid signed register: {error}", path.display()), "make one with `kho register issue`")
    })
}

/// A public key from its hexadecimal; the length says which algorithm it is of.
pub fn public_key(text: &str) -> Result<PublicKey, String> {
    let wanted = || "give the hexadecimal key that `kho register key` printed".to_owned();
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).map_err(|_| wanted())?;
    let algorithm = match bytes.len() {
        65 => SignatureAlgorithm::EcdsaP256Sha256,
        32 => SignatureAlgorithm::Ed25519,
        _ => return Err(wanted()),
    };
    Ok(PublicKey { algorithm, bytes })
}

#[cfg(test)]
mod tests {
    use kho_storage::encryption::DecryptionKey;

    use super::*;
    use crate::commands::register::draft;

    fn key() -> SigningKey {
        SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness")
    }

    fn again(key: &SigningKey) -> SigningKey {
        SigningKey::from_pkcs8_pem(&key.to_pkcs8_pem()).expect("own form")
    }

    fn issue(register: &Register, key: &SigningKey, out: &Path) -> Result<SignedRegister, Failure> {
        let text = toml::to_string(register).expect("a register is TOML");
        super::issue(&text, &[again(key)], out, UnknownFields::Refuse).map(|(signed, _)| signed)
    }

    #[test]
    fn an_issue_is_replaced_only_by_a_higher_version_under_the_same_key() {
        let dir = tempfile::tempdir().expect("a folder");
        let (key_file, out) = (dir.path().join("register.key"), dir.path().join("register.signed.toml"));
        let public = make_key(&key_file, SignatureAlgorithm::Ed25519).expect("makes");
        assert_eq!(public_key(&public.to_hex()), Ok(public.clone()));
        assert!(make_key(&key_file, SignatureAlgorithm::Ed25519).is_err(), "a key is never overwritten");
        let key = load_key(&key_file).expect("loads");
        let mut register = draft::read(&draft::skeleton("vn")).expect("reads");
        issue(&register, &key, &out).expect("the first issue");
        assert!(SignedRegister::is_in(&read_file(&out).expect("reads")));
        assert!(issue(&register, &key, &out).expect_err("the same version").hint.contains("version = 2"));
        register.version = 2;
        issue(&register, &key, &out).expect("the next version");
        let other_key = SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        register.version = 3;
        assert!(issue(&register, &other_key, &out).is_err(), "another key");
        let signed = load_signed(&out).expect("loads");
        assert_eq!(signed.verify(&public, "vn").expect("good").version(), 2);
        assert_eq!(signed.unverified().expect("readable").version, 2);
    }

    #[test]
    fn an_issue_that_leaves_out_a_node_is_refused_because_its_heads_would_count_no_more() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("register.signed.toml");
        let key = || SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        let (centre, signing) = (key(), [key().public_key(), key().public_key()]);
        let mut register = draft::read(&draft::skeleton("vn")).expect("reads");
        let reader = DecryptionKey::generate().expect("system randomness").public_key();
        let entry = |node: u64, key: &PublicKey| NodeEntry {
            node: NodeId(node),
            signing_key: key.clone(),
            encryption_key: reader,
            revoked: vec![],
        };
        register.sites[0].nodes = vec![entry(1, &signing[0]), entry(2, &signing[1])];
        issue(&register, &centre, &out).expect("the first issue");
        register.version = 2;
        let with = |nodes: Vec<NodeEntry>| {
            let mut later = register.clone();
            later.sites[0].nodes = nodes;
            issue(&later, &centre, &out)
        };
        assert!(with(vec![entry(1, &signing[0])]).expect_err("node 2 is gone").message.contains("node 2 of site"));
        assert!(with(vec![entry(1, &signing[0]), entry(2, &signing[0])]).is_err(), "another key");
        with(vec![entry(2, &signing[1]), entry(1, &signing[0]), entry(3, &signing[0])]).expect("all are there");
    }

    #[test]
    fn a_register_that_is_not_whole_is_not_signed() {
        let dir = tempfile::tempdir().expect("a folder");
        let key = SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        let mut register = draft::read(&draft::skeleton("vn")).expect("reads");
        register.sites.push(register.sites[0].clone());
        let out = dir.path().join("register.signed.toml");
        assert!(issue(&register, &key, &out).is_err());
        assert!(!out.exists());
    }

    #[test]
    fn the_text_is_signed_as_it_stands_and_a_mistyped_field_is_refused_unless_it_is_meant() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("register.signed.toml");
        let key = [key()];
        let text = draft::skeleton("vn").replace("version = 1", "version = 1\nverison = 2");
        let refused = super::issue(&text, &key, &out, UnknownFields::Refuse).expect_err("a typing error");
        assert!(refused.message.contains("verison") && !out.exists(), "{refused}");
        super::issue(&text, &key, &out, UnknownFields::Allow).expect("it is meant");
        assert_eq!(load_signed(&out).expect("loads").text, text, "comments and all");
    }
}
