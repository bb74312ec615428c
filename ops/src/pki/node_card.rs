//! The node card: what the register needs to know of a node. Nothing in it is secret.

use anyhow::Context as _;
use kho_storage::{
    encryption::EncryptionKey,
    ids::{NodeId, SiteId},
    register::NodeEntry,
    signature::{PublicKey, SignatureAlgorithm},
};
use serde::{Deserialize, Serialize};

/// A node and the public halves of the keys by which it signs heads and reads what is written for it. Travels as `node.json` from the node to who keeps the register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeCard {
    pub tree: String,
    pub site: SiteId,
    pub node: NodeId,
    pub algorithm: SignatureAlgorithm,
    /// Raw public key in hexadecimal.
    pub signing_public_key: String,
    /// Of X25519, in hexadecimal.
    pub encryption_public_key: EncryptionKey,
}

impl NodeCard {
    pub fn new(tree: &str, site: SiteId, node: NodeId, signing: &PublicKey, encryption_public_key: EncryptionKey) -> Self {
        let (algorithm, signing_public_key) = (signing.algorithm, signing.to_hex());
        Self { tree: tree.to_owned(), site, node, algorithm, signing_public_key, encryption_public_key }
    }

    /// The node as the register has it.
    ///
    /// # Errors
    /// When the signing key is malformed.
    pub fn to_entry(&self) -> anyhow::Result<NodeEntry> {
        let (signing_key, encryption_key) = (self.public_key()?, self.encryption_public_key);
        Ok(NodeEntry { node: self.node, signing_key, encryption_key, revoked: Vec::new() })
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// When it is not a node card or its key is malformed.
    pub fn from_json(json: &str) -> anyhow::Result<Self> {
        let card: Self = serde_json::from_str(json).context("this is not a valid node card; `kho pki request` writes one as node.json")?;
        card.public_key()?;
        Ok(card)
    }

    pub fn to_json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The signing key as the register pins it.
    ///
    /// # Errors
    /// When the text is not hexadecimal or not of the algorithm's length.
    pub fn public_key(&self) -> anyhow::Result<PublicKey> {
        let wrong =
            || format!("the signing key of node {} of site {} is malformed; make a new card with `kho pki request`", self.node, self.site);
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(self.signing_public_key.as_bytes()).with_context(wrong)?;
        let length = match self.algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => 65,
            SignatureAlgorithm::Ed25519 => 32,
        };
        anyhow::ensure!(bytes.len() == length, wrong());
        Ok(PublicKey { algorithm: self.algorithm, bytes })
    }
}
