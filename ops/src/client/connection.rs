//! The options of every command that speaks to nodes: where the nodes are, and who sends the requests.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use kho_replication::tls::{ALPN_HTTP, CertificateClock, CredentialFiles, Credentials, client_config};
use reqwest::header::{ACCEPT_LANGUAGE, HeaderMap, HeaderValue};

use super::{NodeClient, NodeUrl};
use crate::{failure::Failure, language};

/// Where nodes are, and who sends the requests.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// A node as https://HOST:PORT; may be repeated: the next is tried when one does not answer
    #[arg(long = "node", value_name = "URL", env = "KHO_NODE", value_delimiter = ',', global = true)]
    pub nodes: Vec<NodeUrl>,

    /// Folder with client.key, client.crt and root.crt, as `kho pki client` and `kho pki sign` make them [default: ~/.kho]
    #[arg(long, value_name = "DIR", env = "KHO_IDENTITY", global = true)]
    pub identity: Option<PathBuf>,

    /// Seconds of silence after which a node counts as gone
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600), global = true)]
    pub timeout: u64,
}

impl ConnectionArgs {
    /// One client that tries the nodes in order.
    ///
    /// # Errors
    /// Usage: no node named, or the identity's files are unusable.
    pub fn open(&self) -> Result<NodeClient, Failure> {
        self.client_to(self.nodes.clone())
    }

    /// One client for each node, for commands that compare sites.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_each(&self) -> Result<Vec<NodeClient>, Failure> {
        if self.nodes.is_empty() {
            return self.open().map(|client| vec![client]);
        }
        self.nodes.iter().map(|node| self.client_to(vec![node.clone()])).collect()
    }

    fn client_to(&self, nodes: Vec<NodeUrl>) -> Result<NodeClient, Failure> {
        if nodes.is_empty() {
            return Err(Failure::usage("no node is named", "give --node https://HOST:PORT, or set KHO_NODE"));
        }
        let credentials = Credentials::load(&self.files()?).map_err(|error| {
            Failure::usage(error.to_string(), "give the folder with --identity DIR; `kho pki client --help` shows how to make one")
        })?;
        let unusable =
            |error: &dyn std::fmt::Display| Failure::usage(format!("the identity can't be used: {error}"), "check it with `kho pki show`");
        let tls = client_config(&credentials, &[ALPN_HTTP], CertificateClock::system()).map_err(|error| unusable(&error))?;
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .https_only(true)
            .http1_only()
            // Nodes are reached directly: a proxy would need the private key.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(self.timeout))
            .user_agent(concat!("kho/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(language::current().tag()))]))
            .build()
            .map_err(|error| unusable(&error))?;
        Ok(NodeClient::new(http, nodes, credentials.identity().clone()))
    }

    fn files(&self) -> Result<CredentialFiles, Failure> {
        let from_home = || std::env::home_dir().map(|home| home.join(".kho"));
        let dir = self
            .identity
            .clone()
            .or_else(from_home)
            .ok_or_else(|| Failure::usage("no identity is named", "give --identity DIR, or set KHO_IDENTITY"))?;
        Ok(CredentialFiles { root_ca: dir.join("root.crt"), certificate_chain: dir.join("client.crt"), key: dir.join("client.key") })
    }
}
