//! Comparing rows between nodes in the hands of an operator, who must not learn whose rows they are.
//!
//! ```text
//! operator ──"compare origin 340 at these nodes"──▶ one node that holds it: draws a key, wraps it for each node, signs each token
//! operator ◀──a token for each node── ;  operator ──token──▶ each node: checks who signed, unwraps, answers with keyed hashes
//! ```
//! Equal rows have equal hashes within one comparison and others in the next. The operator carries the key only wrapped, so trying all
//! numbers of twelve digits finds nothing. A token counts only when a node signed it through whose site the register leads the origin:
//! otherwise an operator could bring a key of its own making.
//!
//! Invariant: a node answers under no key but one that a holder of the origin drew
//! (tests `a_token_opens_at_its_reader_for_its_origin_alone`, `a_token_that_no_holder_of_the_origin_signed_is_refused`).

use kho_storage::{
    codec::{self, Blob},
    encryption::{ContentKey, DecryptionKey, WrappedKey, random_content_key},
    ids::{NodeId, OriginId, SiteId},
    register::{NodeEntry, VerifiedRegister},
    signature::{Signature, SigningKey},
};
use serde::{Deserialize, Serialize};

const PURPOSE: &[u8] = b"kho comparison 1";
/// A token takes some 300 bytes.
const TOKEN_BYTES_MAX: usize = 2 << 10;
/// Nodes that are compared at once.
pub const NODES_MAX: usize = 64;

/// A node of the tree.
pub type NodeRef = (SiteId, NodeId);

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    origin: OriginId,
    /// Who drew the key, and who shall use it.
    issuer: NodeRef,
    reader: NodeRef,
    key: WrappedKey,
}

#[derive(Debug, Serialize, Deserialize)]
struct SignedToken {
    token: Blob,
    signature: Signature,
}

/// Why no token was made, or one was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComparisonError {
    #[error("node {1} of site {0} may not hold the origin: the register lacks it, has revoked it, or leads the origin past its site")]
    NotAHolder(SiteId, NodeId),
    #[error("{0}")]
    Refused(&'static str),
    #[error("no key could be drawn: {0}")]
    Failed(String),
}

/// Draws a key and gives it to each of `readers`, in their order, as a token.
///
/// # Errors
/// [`ComparisonError::NotAHolder`] for a node that may not hold the origin, or when randomness or the signing key fails.
pub fn issue(
    register: &VerifiedRegister,
    origin: OriginId,
    issuer: NodeRef,
    signing_key: &SigningKey,
    readers: &[NodeRef],
) -> Result<Vec<String>, ComparisonError> {
    let failed = |error: &dyn std::fmt::Display| ComparisonError::Failed(error.to_string());
    let key = random_content_key().map_err(|error| failed(&error))?;
    let mut tokens = Vec::new();
    for reader in readers {
        let entry = holder(register, origin, *reader).ok_or(ComparisonError::NotAHolder(reader.0, reader.1))?;
        let wrapped = entry.encryption_key.wrap(&key, PURPOSE).map_err(|error| failed(&error))?;
        let token = Token { origin, issuer, reader: *reader, key: wrapped };
        let token = Blob(codec::encode(&token).map_err(|error| failed(&error))?);
        let signature = signing_key.sign(&signed_bytes(&token)).map_err(|error| failed(&error))?;
        let signed = codec::encode(&SignedToken { token, signature }).map_err(|error| failed(&error))?;
        tokens.push(data_encoding::HEXLOWER.encode(&signed));
    }
    Ok(tokens)
}

/// The key of a comparison of `origin`, from the token that the operator brought to `reader`.
///
/// # Errors
/// [`ComparisonError::Refused`] says what is wrong with the token.
pub fn open(
    register: &VerifiedRegister,
    origin: OriginId,
    reader: NodeRef,
    decryption_key: &DecryptionKey,
    token: &str,
) -> Result<ContentKey, ComparisonError> {
    let refused = ComparisonError::Refused;
    if token.len() > 2 * TOKEN_BYTES_MAX {
        return Err(refused("it is longer than any token"));
    }
    let unreadable = || refused("it is not a token");
    let bytes = data_encoding::HEXLOWER.decode(token.as_bytes()).map_err(|_| unreadable())?;
    let signed: SignedToken = codec::decode(&bytes).map_err(|_| unreadable())?;
    let token: Token = codec::decode(&signed.token).map_err(|_| unreadable())?;
    if token.reader != reader {
        return Err(refused("it was made for another node"));
    }
    if token.origin != origin {
        return Err(refused("it was made for another origin"));
    }
    let issuer = holder(register, origin, token.issuer).ok_or(refused("it was made by a node that may not hold the origin"))?;
    issuer.signing_key.verify(&signed_bytes(&signed.token), &signed.signature).map_err(|_| refused("its signature does not fit"))?;
    decryption_key.unwrap(&token.key, PURPOSE).map_err(|_| refused("it was encrypted to another key of this node"))
}

/// The node as the register has it, if its site is led the origin and its key is good.
fn holder(register: &VerifiedRegister, origin: OriginId, (site, node): NodeRef) -> Option<&NodeEntry> {
    let nodes = &register.site(site).filter(|_| register.leads_through(origin, site))?.nodes;
    nodes.iter().find(|entry| entry.node == node && entry.revoked.is_empty())
}

fn signed_bytes(token: &[u8]) -> Vec<u8> {
    [b"kho comparison token 1\0".as_slice(), token].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kho_storage::{
        ids::Tier,
        register::{OriginEntry, Register, SignedRegister, SiteEntry},
        signature::SignatureAlgorithm,
    };

    use super::*;

    const ORIGIN: OriginId = OriginId(3);
    const OTHER: OriginId = OriginId(4);
    const CENTRE: NodeRef = (SiteId(1), NodeId(1));
    const DISTRICT: NodeRef = (SiteId(3), NodeId(1));
    const BESIDE: NodeRef = (SiteId(4), NodeId(1));

    struct World {
        register: VerifiedRegister,
        keys: BTreeMap<NodeRef, (SigningKey, DecryptionKey)>,
    }

    /// A centre and two districts, each with a node and an origin.
    fn world() -> World {
        let sign = || SigningKey::generate(SignatureAlgorithm::Ed25519).expect("randomness");
        let keys: BTreeMap<NodeRef, _> =
            [CENTRE, DISTRICT, BESIDE].into_iter().map(|node| (node, (sign(), DecryptionKey::generate().expect("randomness")))).collect();
        let site = |node: NodeRef, tier, parents: &[u32]| SiteEntry {
            site: node.0,
            name: format!("site {}", node.0),
            tier,
            parents: parents.iter().map(|parent| SiteId(*parent)).collect(),
            areas: vec![],
            addresses: vec![],
            nodes: vec![NodeEntry {
                node: node.1,
                signing_key: keys[&node].0.public_key(),
                encryption_key: keys[&node].1.public_key(),
                revoked: vec![],
            }],
        };
        let register = Register {
            tree: "test".into(),
            version: 1,
            requires: vec![],
            roots: vec![],
            sites: vec![site(CENTRE, Tier::Central, &[]), site(DISTRICT, Tier::District, &[1]), site(BESIDE, Tier::District, &[1])],
            origins: [(ORIGIN, DISTRICT.0), (OTHER, BESIDE.0)].map(|(origin, author)| OriginEntry { origin, author }).into(),
            revoked_identities: vec![],
        };
        let centre = sign();
        let register = SignedRegister::issue(&register, &centre).expect("whole").verify(&centre.public_key(), "test").expect("good");
        World { register, keys }
    }

    impl World {
        fn issue(&self, origin: OriginId, issuer: NodeRef, readers: &[NodeRef]) -> Result<Vec<String>, ComparisonError> {
            issue(&self.register, origin, issuer, &self.keys[&issuer].0, readers)
        }

        fn open(&self, origin: OriginId, reader: NodeRef, token: &str) -> Result<ContentKey, ComparisonError> {
            open(&self.register, origin, reader, &self.keys[&reader].1, token)
        }
    }

    #[test]
    fn a_token_opens_at_its_reader_for_its_origin_alone() {
        let world = world();
        let tokens = world.issue(ORIGIN, CENTRE, &[CENTRE, DISTRICT]).expect("holders");
        let key = world.open(ORIGIN, CENTRE, &tokens[0]).expect("its own");
        assert_eq!(world.open(ORIGIN, DISTRICT, &tokens[1]), Ok(key.clone()), "both hash under one key");
        assert!(world.open(ORIGIN, DISTRICT, &tokens[0]).is_err(), "another node's");
        assert!(world.open(OTHER, CENTRE, &tokens[0]).is_err(), "another origin's");
        for place in 0..tokens[0].len() {
            let mut altered = tokens[0].clone().into_bytes();
            altered[place] = if altered[place] == b'0' { b'1' } else { b'0' };
            assert!(world.open(ORIGIN, CENTRE, std::str::from_utf8(&altered).expect("ASCII")).is_err(), "digit {place}");
        }
        let again = world.issue(ORIGIN, CENTRE, &[CENTRE]).expect("a holder");
        assert_ne!(world.open(ORIGIN, CENTRE, &again[0]), Ok(key), "the next comparison has another key");
    }

    #[test]
    fn a_token_that_no_holder_of_the_origin_signed_is_refused() {
        let world = world();
        assert_eq!(world.issue(ORIGIN, CENTRE, &[BESIDE]), Err(ComparisonError::NotAHolder(BESIDE.0, BESIDE.1)));
        // Who has the register has every public key: an operator can wrap a key of its own, but not sign.
        let own = SigningKey::generate(SignatureAlgorithm::Ed25519).expect("randomness");
        let forged = issue(&world.register, ORIGIN, CENTRE, &own, &[CENTRE]).expect("wrapped");
        assert_eq!(world.open(ORIGIN, CENTRE, &forged[0]), Err(ComparisonError::Refused("its signature does not fit")));
        let beside = world.issue(ORIGIN, BESIDE, &[CENTRE]).expect("wrapped");
        assert!(matches!(world.open(ORIGIN, CENTRE, &beside[0]), Err(ComparisonError::Refused(why)) if why.contains("may not hold")));
        for text in ["", "00", "xyz", &"00".repeat(5_000)] {
            assert!(world.open(ORIGIN, CENTRE, text).is_err(), "{text:.8}");
        }
    }
}
