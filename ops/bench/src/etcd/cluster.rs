//! Three members of etcd on ports of their own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::Signal;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::client::EtcdClient;
use crate::{
    certificates::PeerCertificates,
    folder_bytes::folder_bytes,
    load::Writer as _,
    peers::Etcd,
    server::{Server, free_ports},
    site::nodes::{NODES, Site},
};

/// How long the members may take until each takes a write.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Its default, 2 GiB, fills up in a long measurement.
const QUOTA_BYTES: u64 = 8 << 30;
/// A record that no load writes, to see whether a member takes writes.
const TRIAL_RECORD: u64 = u64::MAX - 1;

/// See the module.
pub struct EtcdCluster {
    dir: PathBuf,
    members: Vec<Server>,
    urls: Vec<String>,
    tls: ClientTlsConfig,
}

impl EtcdCluster {
    /// Starts the members in `dir`; returns once each takes writes.
    ///
    /// # Errors
    /// When a member ends or does not take writes in time.
    pub async fn start(etcd: &Etcd, dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let certificates = PeerCertificates::make(dir)?;
        let ports = free_ports(2 * NODES)?;
        let url = |port: &u16| format!("https://127.0.0.1:{port}");
        let (client_urls, peer_urls): (Vec<String>, Vec<String>) =
            (ports[..NODES].iter().map(url).collect(), ports[NODES..].iter().map(url).collect());
        let cluster: Vec<String> = peer_urls.iter().enumerate().map(|(place, url)| format!("member-{place}={url}")).collect();
        let mut members = Vec::new();
        for place in 0..NODES {
            let command = member_command(etcd, dir, place, &client_urls[place], &peer_urls[place], &cluster.join(","), &certificates);
            members.push(Server::start(format!("etcd, member {place}"), command, &dir.join(format!("member-{place}.log")), Signal::TERM)?);
        }
        let mut cluster = Self { dir: dir.into(), members, urls: client_urls, tls: client_tls(&certificates)? };
        for member in 0..NODES {
            cluster.wait_for_writes(member).await?;
        }
        Ok(cluster)
    }

    async fn wait_for_writes(&mut self, member: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            self.members[member].ensure_runs()?;
            let taken = async { self.writer(member).await?.write(TRIAL_RECORD..TRIAL_RECORD + 1).await }.await;
            match taken {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("etcd took no write for {} s", START_TIMEOUT.as_secs())));
                }
                Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }
}

impl Site for EtcdCluster {
    type Writer = EtcdClient;

    async fn writer(&self, node: usize) -> anyhow::Result<EtcdClient> {
        EtcdClient::connect(&self.urls[node], &self.tls).await
    }

    fn disk_bytes(&self) -> anyhow::Result<u64> {
        Ok(folder_bytes(&self.dir)?)
    }
}

/// Only the ports, the certificates and the quota differ from etcd's defaults.
fn member_command(
    etcd: &Etcd,
    dir: &Path,
    place: usize,
    client_url: &str,
    peer_url: &str,
    cluster: &str,
    certificates: &PeerCertificates,
) -> Command {
    let mut command = Command::new(&etcd.program);
    // Its settings could stand in the environment as well.
    command.env_clear();
    command.arg("--name").arg(format!("member-{place}")).arg("--data-dir").arg(dir.join(format!("member-{place}")));
    command.args(["--listen-client-urls", client_url, "--advertise-client-urls", client_url]);
    command.args(["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]);
    command.args(["--initial-cluster", cluster, "--initial-cluster-state", "new", "--initial-cluster-token", "kho-bench"]);
    command.arg("--quota-backend-bytes").arg(QUOTA_BYTES.to_string());
    command.args(["--client-cert-auth", "--peer-client-cert-auth"]);
    for (option, file) in
        [("cert-file", &certificates.certificate), ("key-file", &certificates.key), ("trusted-ca-file", &certificates.authority)]
    {
        command.arg(format!("--{option}")).arg(file).arg(format!("--peer-{option}")).arg(file);
    }
    command
}

fn client_tls(certificates: &PeerCertificates) -> anyhow::Result<ClientTlsConfig> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("{} can't be read", path.display()));
    let identity = Identity::from_pem(read(&certificates.certificate)?, read(&certificates.key)?);
    Ok(ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&certificates.authority)?))
        .identity(identity)
        .domain_name("localhost"))
}
