//! A certificate that the register revokes opens nothing any more: at once where the register is adopted, and at a site whose link was
//! down as soon as it stands.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use kho_chaos_tests::{People, play, until};
use kho_ops::client::NodeClient;
use kho_replication::{
    quic::{Alpn, Endpoint, TransportLimits},
    tls::{ALPN_HTTP, CertificateClock, CredentialFiles, Credentials, client_config, site_server_name},
};
use kho_storage::{ids::SiteTime, register::RevokedIdentity};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, LONG_KHANH, centre, district, id, nodes, plan};

/// A site whose node never runs; the scene uses its certificate.
const OTHER: u32 = 4;
const CUT_WITHIN: Duration = Duration::from_secs(10);
const REFUSED_WITHIN: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_refused_and_cut_everywhere_within_ten_seconds_of_the_register() {
    let sites = vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1), district(OTHER, &LONG_KHANH, &[CENTRE], 1)];
    play(plan(sites), async |stage| {
        let (parent, child, other) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0], nodes(OTHER, 1)[0]);
        for place in [parent, child] {
            stage.tree.start_node(place.0, place.1)?;
            stage.tree.bootstrap_site(place.0).await?;
        }
        let people = People::new("person", BIEN_HOA.commune);
        let client = stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?;
        client.enter(people.batch(0..100)).await?;
        stage.until_equal(DISTRICT, 100, &[parent, child]).await?;

        // One connection of each kind stands at the centre while the district is down.
        let identity_dir = stage.tree.identity_dir(&format!("client-{DISTRICT}"));
        let bearer = credentials(&identity_dir, "client")?;
        let (https, url) = (bearer.clone(), stage.tree.url(parent.0, parent.1));
        let standing = tokio::task::spawn_blocking(move || StandingHttps::open(&https, &url)).await??;
        let node = credentials(&stage.tree.node_dir(other.0, other.1), "tls")?;
        let endpoint = Endpoint::bind(([127, 0, 0, 1], 0).into(), &node, CertificateClock::system(), TransportLimits::default())?;
        let quic = stage.tree.quic_address(parent.0, parent.1);
        let link = endpoint.connect(quic, &site_server_name(parent.0), Alpn::Link).await?;
        stage.kill(child)?;

        let revoked = [bearer.identity().to_string(), node.identity().to_string()];
        let issued_before = SiteTime(CertificateClock::system().now().0 + 1_000);
        stage.tree.change_register(|register| {
            let entry = |identity: &String| RevokedIdentity { identity: identity.clone(), issued_before };
            register.revoked_identities.extend(revoked.iter().map(entry));
        })?;
        stage.tree.operator(id(CENTRE))?.apply_register(&stage.tree.register()?).await?;
        let applied = Instant::now();
        let lost = tokio::time::timeout(CUT_WITHIN, link.closed()).await.context("the node's connection stands on")?;
        ensure!(lost.to_string().contains("revoked"), "the node was told something else: {lost}");
        tokio::task::spawn_blocking(move || standing.until_cut()).await?.context("the client's connection stands on")?;
        ensure!(applied.elapsed() < CUT_WITHIN, "they were cut after {:?}", applied.elapsed());
        ensure!(endpoint.connect(quic, &site_server_name(parent.0), Alpn::Link).await.is_err(), "a revoked node was let in again");
        let again = stage.tree.client(&stage.tree.urls(id(CENTRE)), &format!("client-{DISTRICT}"))?;
        ensure!(is_refused(&again).await, "a revoked client was let in again");
        let version = stage.status(parent).await?.register_version;

        // The district learns of it with the first word of its parent.
        stage.tree.start_node(child.0, child.1)?;
        until("the district refuses its client", async || {
            // An operator, who was not revoked, is let in meanwhile.
            let has_register = stage.status(child).await?.register_version == version;
            Ok((has_register && is_refused(&client).await).then_some(()))
        })
        .await
    })
    .await;
}

/// Whether a node does not even tell this client how it is.
async fn is_refused(client: &NodeClient) -> bool {
    tokio::time::timeout(REFUSED_WITHIN, client.status()).await.is_ok_and(|answer| answer.is_err())
}

fn credentials(dir: &Path, name: &str) -> anyhow::Result<Credentials> {
    let file = |end: &str| dir.join(format!("{name}.{end}"));
    Ok(Credentials::load(&CredentialFiles { root_ca: dir.join("root.crt"), certificate_chain: file("crt"), key: file("key") })?)
}

/// A client's connection over which one request was answered and that is kept open.
struct StandingHttps(rustls::StreamOwned<rustls::ClientConnection, TcpStream>);

impl StandingHttps {
    fn open(credentials: &Credentials, url: &str) -> anyhow::Result<Self> {
        let config = client_config(credentials, &[ALPN_HTTP], CertificateClock::system())?;
        let tls = rustls::ClientConnection::new(Arc::new(config), "127.0.0.1".try_into()?)?;
        let tcp = TcpStream::connect(url.trim_start_matches("https://").trim_end_matches('/'))?;
        tcp.set_read_timeout(Some(CUT_WITHIN))?;
        let mut stream = rustls::StreamOwned::new(tls, tcp);
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer)?;
        ensure!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
        Ok(Self(stream))
    }

    /// Waits until the node ends the connection.
    fn until_cut(mut self) -> anyhow::Result<()> {
        let mut rest = [0; 4096];
        loop {
            match self.0.read(&mut rest) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    return Err(error.into());
                }
                Err(_) => return Ok(()),
            }
        }
    }
}
