//! A node's configuration file. Every field says default, unit and consequence in `config-examples/`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use kho_storage::{
    ids::{NodeId, SiteId},
    signature::{PublicKey, SignatureAlgorithm},
};
use serde::{Deserialize, Deserializer};

use crate::consensus::NodeAddress;

/// What stands in `khod.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    pub tree: String,
    pub site: SiteId,
    pub node: NodeId,
    pub data_dir: PathBuf,
    /// Where nodes of this site are, as long as the site's own record of it is out of date; empty otherwise.
    #[serde(default)]
    pub addresses: Vec<AddressConfig>,
    pub listen: ListenConfig,
    pub identity: IdentityConfig,
    pub register: RegisterConfig,
    #[serde(default)]
    pub schema: SchemaConfig,
    #[serde(default)]
    pub limits: LimitsConfig,
    #[serde(default)]
    pub log: LogConfig,
}

/// Where the node answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// UDP: nodes of the site, children and parents.
    pub quic: SocketAddr,
    /// TCP: entry, queries, operators.
    pub https: SocketAddr,
}

/// Where a node of this site is now. What it says of this node itself is announced to the others, and the leader records it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressConfig {
    pub node: NodeId,
    /// `host:port` of its QUIC endpoint.
    pub quic: String,
    /// `host:port` of its HTTPS listener.
    pub https: String,
}

/// Certificates and keys; made by `kho pki`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    pub root_certificate: PathBuf,
    pub certificate: PathBuf,
    pub tls_key: PathBuf,
    /// Signs heads; its public half stands in the register.
    pub signing_key: PathBuf,
    /// Decrypts bundles; its public half stands in the register.
    pub encryption_key: PathBuf,
}

/// Under which key registers are believed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterConfig {
    /// The centre's public register key, hexadecimal, as `kho register key` prints it.
    pub key: String,
    #[serde(default)]
    pub algorithm: SignatureAlgorithm,
}

/// What rows may hold and what is counted about them.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchemaConfig {
    /// A schema file as `config-examples/population-schema.toml`; `None`, written as `""`, is the population schema built in. All
    /// nodes of the tree have the same.
    #[serde(deserialize_with = "path_unless_empty")]
    pub file: Option<PathBuf>,
}

/// How much the node takes and keeps.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    pub cache_mib: usize,
    pub write_buffer_mib: usize,
    /// Of every stream so much is kept after the parent acknowledged it.
    pub stream_keep_mib: u64,
    /// Requests that may wait for a commit at this node.
    pub entry_requests_max: usize,
    pub entry_body_mib: u64,
    /// Without news, a head says so this often.
    pub idle_head_seconds: u64,
    /// A child from which nothing newer has come for so long is not healthy.
    pub child_silent_seconds: u64,
    /// Below this much free space intake is refused, below half of it entry too.
    pub disk_reserve_mib: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            cache_mib: 64,
            write_buffer_mib: 96,
            stream_keep_mib: 256,
            entry_requests_max: 1024,
            entry_body_mib: 32,
            idle_head_seconds: 10,
            child_silent_seconds: 300,
            disk_reserve_mib: 512,
        }
    }
}

/// How the node's own log is written, to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `json` or `text`.
    pub format: LogFormat,
    /// As for `tracing_subscriber::EnvFilter`, such as `info` or `kho_node=debug,info`.
    pub level: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Json, level: "info,openraft=warn".into() }
    }
}

/// Why a configuration was refused. The operator fixes it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration {path} can't be read: {source}; give its path as `khod --config FILE`")]
    Unreadable { path: String, source: std::io::Error },
    #[error("the configuration {path} is wrong: {why}; compare with `config-examples/`")]
    Wrong { path: String, why: String },
}

fn path_unless_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    Ok((!path.as_os_str().is_empty()).then_some(path))
}

impl NodeConfig {
    /// Reads and checks a configuration file. Relative paths in it are taken from the file's own folder.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and what is wrong in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.display().to_string(), source })?;
        let mut config = Self::from_toml(&text).map_err(|why| ConfigError::Wrong { path: path.display().to_string(), why })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let identity = &mut config.identity;
        for file in [
            &mut config.data_dir,
            &mut identity.root_certificate,
            &mut identity.certificate,
            &mut identity.tls_key,
            &mut identity.signing_key,
            &mut identity.encryption_key,
        ] {
            *file = folder.join(&*file);
        }
        config.schema.file = config.schema.file.map(|file| folder.join(file));
        Ok(config)
    }

    /// Reads and checks a configuration's text.
    ///
    /// # Errors
    /// What is wrong, with line and column where TOML tells.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        config.register_key()?;
        if config.tree.is_empty() {
            return Err("`tree` is empty".into());
        }
        if config.node.0 == 0 {
            return Err("`node` is 0; node ids start at 1".into());
        }
        if config.limits.entry_requests_max == 0 || config.limits.idle_head_seconds == 0 {
            return Err("`limits.entry_requests_max` and `limits.idle_head_seconds` must be at least 1".into());
        }
        config.member_addresses()?;
        Ok(config)
    }

    /// Where nodes of this site are by the operator's word.
    ///
    /// # Errors
    /// When a node is named twice, or an address is not `host:port`.
    pub fn member_addresses(&self) -> Result<BTreeMap<NodeId, NodeAddress>, String> {
        let mut found = BTreeMap::new();
        for AddressConfig { node, quic, https } in &self.addresses {
            for address in [quic, https] {
                let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
                if port.is_none_or(|port| port == 0) {
                    return Err(format!("`addresses` gives node {node} the address `{address}`; give HOST:PORT"));
                }
            }
            if found.insert(*node, NodeAddress { quic: quic.clone(), https: https.clone() }).is_some() {
                return Err(format!("`addresses` names node {node} twice"));
            }
        }
        Ok(found)
    }

    /// The pinned key under which registers are believed.
    pub fn register_key(&self) -> Result<PublicKey, String> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(self.register.key.as_bytes())
            .map_err(|_| "`register.key` is no hexadecimal text".to_string())?;
        let wanted = match self.register.algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => 65,
            SignatureAlgorithm::Ed25519 => 32,
        };
        if bytes.len() != wanted {
            return Err(format!("`register.key` has {} bytes, a key of its algorithm has {wanted}", bytes.len()));
        }
        Ok(PublicKey { algorithm: self.register.algorithm, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A district's example, with these addresses in place of none.
    fn with_addresses(addresses: &str) -> Result<NodeConfig, String> {
        let text = include_str!("../../config-examples/district.toml");
        let (before, after) = text.split_once("\naddresses = []\n").expect("the example has the field");
        NodeConfig::from_toml(&format!("{before}\naddresses = [{addresses}]\n{after}"))
    }

    #[test]
    fn addresses_of_moved_nodes_are_read_and_wrong_ones_are_refused() {
        let two = r#"{ node = 2, quic = "10.2.0.12:7444", https = "kho-2.example:7443" }"#;
        let read = with_addresses(two).expect("a good file").member_addresses();
        let wanted = NodeAddress { quic: "10.2.0.12:7444".into(), https: "kho-2.example:7443".into() };
        assert_eq!(read, Ok(BTreeMap::from([(NodeId(2), wanted)])));
        assert!(with_addresses(&format!("{two}, {two}")).is_err_and(|why| why.contains("node 2 twice")));
        for wrong in ["10.2.0.12", ":7444", "10.2.0.12:0", "10.2.0.12:70000", ""] {
            let named = with_addresses(&format!(r#"{{ node = 2, quic = "{wrong}", https = "10.2.0.12:7443" }}"#));
            assert!(named.is_err_and(|why| why.contains("HOST:PORT")), "{wrong}");
        }
    }
}
