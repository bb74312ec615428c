//! `kho pki` as an operator uses it, and a node that speaks with what it made.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path};

use clap::Parser;
use kho_replication::{
    quic::{Alpn, Endpoint, TransportLimits},
    tls::{CertificateClock, CredentialFiles, Credentials, node_server_name},
};
use kho_storage::{
    encryption::DecryptionKey,
    ids::{NodeId, SiteId, SiteTime},
    signature::SigningKey,
};
use tempfile::TempDir;

use super::{NodeCard, PkiCommand, command::run_at};

/// Around now, so that the machine's clock finds the certificates in their time.
fn now() -> SiteTime {
    let elapsed = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    SiteTime(i64::try_from(elapsed.as_millis()).expect("before the year 292 million"))
}

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: PkiCommand,
}

/// Runs `kho pki …` with `{}` standing for the folder; gives what it printed.
fn pki(folder: &TempDir, line: &str) -> anyhow::Result<String> {
    let line = line.replace("{}", folder.path().to_str().expect("a plain folder name"));
    let command = Line::try_parse_from(std::iter::once("pki").chain(line.split_whitespace()))?.command;
    let mut out = Vec::new();
    run_at(command, now(), &mut out)?;
    Ok(String::from_utf8(out)?)
}

fn tree() -> TempDir {
    let folder = TempDir::new().expect("a writable temporary folder");
    pki(&folder, "init --tree vn --out {}/ca").expect("a fresh root");
    folder
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it was made").permissions().mode() & 0o777
}

#[test]
fn a_private_key_is_readable_by_its_owner_only() {
    let folder = tree();
    pki(&folder, "request --tree vn --site 12 --node 3 --out {}/n").expect("requested");
    pki(&folder, "client --tree vn --operator an --out {}/o").expect("requested");
    pki(&folder, "sign --ca {}/ca --csr {}/n/tls.csr --out {}/n/tls.crt").expect("signed");
    let files = [
        ("ca/root.key", 0o600),
        ("ca/root.crt", 0o644),
        ("n/tls.key", 0o600),
        ("n/signing.key", 0o600),
        ("n/encryption.key", 0o600),
        ("n/tls.csr", 0o644),
        ("n/node.json", 0o644),
        ("n/tls.crt", 0o644),
        ("o/client.key", 0o600),
        ("o/client.csr", 0o644),
    ];
    for (name, expected) in files {
        assert_eq!(mode(&folder.path().join(name)), expected, "{name}");
    }
    for made in ["ca", "n", "o"] {
        for entry in fs::read_dir(folder.path().join(made)).expect("made") {
            let path = entry.expect("readable").path();
            let text = fs::read_to_string(&path).expect("text");
            assert!(mode(&path) == 0o600 || !text.contains("PRIVATE"), "{} holds a private key", path.display());
            assert!(!path.to_string_lossy().contains(".kho-pki-"), "no temporary file is left behind");
        }
    }
}

#[test]
fn nothing_is_overwritten() {
    let folder = tree();
    pki(&folder, "request --tree vn --site 12 --node 3 --out {}/n").expect("requested");
    pki(&folder, "sign --ca {}/ca --csr {}/n/tls.csr --out {}/n/tls.crt").expect("signed");
    pki(&folder, "client --tree vn --operator an --out {}/o").expect("requested");
    let all = || -> Vec<_> {
        let files = [
            "ca/root.key",
            "ca/root.crt",
            "n/tls.key",
            "n/signing.key",
            "n/encryption.key",
            "n/tls.csr",
            "n/node.json",
            "n/tls.crt",
            "o/client.key",
            "o/client.csr",
        ];
        files.iter().map(|name| fs::read(folder.path().join(name)).expect("made")).collect()
    };
    let before = all();
    for line in [
        "init --tree vn --out {}/ca",
        "request --tree vn --site 12 --node 3 --out {}/n",
        "sign --ca {}/ca --csr {}/n/tls.csr --out {}/n/tls.crt",
        "client --tree vn --operator an --out {}/o",
    ] {
        let error = format!("{:#}", pki(&folder, line).expect_err("it exists"));
        assert!(error.contains("overwritten") && error.contains("--out"), "{error}");
    }
    assert_eq!(all(), before);

    // One file left over is enough to stop before the first new one.
    fs::create_dir(folder.path().join("half")).expect("fresh");
    fs::write(folder.path().join("half/node.json"), "{}").expect("fresh");
    assert!(pki(&folder, "request --tree vn --site 12 --node 4 --out {}/half").is_err());
    assert_eq!(fs::read_dir(folder.path().join("half")).expect("made").count(), 1);
}

#[test]
fn a_request_that_was_altered_is_not_signed() {
    let folder = tree();
    pki(&folder, "request --tree vn --site 12 --node 3 --out {}/n").expect("requested");
    let csr = folder.path().join("n/tls.csr");
    let pem = fs::read_to_string(&csr).expect("made");
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut der = data_encoding::BASE64.decode(body.as_bytes()).expect("PEM");
    let at = der.windows(7).position(|bytes| bytes == b"site/12").expect("the name stands in it");
    der[at + 6] = b'1';
    let altered =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", data_encoding::BASE64.encode(&der));
    fs::write(&csr, altered).expect("writable");
    let error = format!("{:#}", pki(&folder, "sign --ca {}/ca --csr {}/n/tls.csr --out {}/n/tls.crt").expect_err("altered"));
    assert!(error.contains("altered") && error.contains("tls.csr"), "{error}");
    assert!(!folder.path().join("n/tls.crt").exists());
}

#[test]
fn a_request_of_another_tree_site_or_node_is_not_signed() {
    let folder = tree();
    pki(&folder, "request --tree other --site 12 --node 3 --out {}/foreign").expect("requested");
    pki(&folder, "request --tree vn --site 12 --node 3 --out {}/n").expect("requested");
    pki(&folder, "client --tree vn --operator an --out {}/o").expect("requested");
    for (line, expected) in [
        ("--csr {}/foreign/tls.csr", "tree `other`"),
        ("--csr {}/n/tls.csr --expect-site 13", "site 13 was expected"),
        ("--csr {}/n/tls.csr --expect-site 12 --expect-node 4", "node 4 was expected"),
        ("--csr {}/o/client.csr --expect-node 3", "node 3 was expected"),
        ("--csr {}/n/tls.csr --days 4000", "outlive the root"),
        ("--csr {}/n/tls.csr --days 0", "--days"),
        ("--csr {}/n/tls.key", "not a PEM request"),
        ("--csr {}/n/missing.csr", "missing.csr"),
    ] {
        let error = format!("{:#}", pki(&folder, &format!("sign --ca {{}}/ca --out {{}}/x.crt {line}")).expect_err(line));
        assert!(error.contains(expected), "{line}: {error}");
        assert!(!folder.path().join("x.crt").exists());
    }
    pki(&folder, "sign --ca {}/ca --out {}/x.crt --csr {}/n/tls.csr --expect-site 12 --expect-node 3").expect("as expected");
}

#[test]
fn what_is_signed_is_shown_first_to_who_signs_and_then_to_anybody() {
    let folder = tree();
    let card = pki(&folder, "request --tree vn --site 12 --node 3 --san 10.0.0.5 --out {}/n --json").expect("requested");
    let signed = pki(&folder, "sign --ca {}/ca --csr {}/n/tls.csr --out {}/n/tls.crt").expect("signed");
    for text in ["kho://vn/site/12/node/3", "10.0.0.5", "site-12.kho.internal"] {
        assert!(signed.contains(text), "{signed}");
    }
    let shown = pki(&folder, "show {}/n/tls.crt").expect("a certificate");
    assert!(shown.contains("kho://vn/site/12/node/3") && shown.contains("(valid)") && shown.contains("SHA-256"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&pki(&folder, "show --json {}/ca/root.crt").expect("a certificate")).expect("JSON");
    assert_eq!(json[0]["identity"], "kho://vn/ca");
    assert!(pki(&folder, "show {}/n/tls.csr").expect("a request").contains("10.0.0.5"));
    assert!(pki(&folder, "show {}/n/tls.key").is_err(), "a private key is not shown");

    // The card names the public halves of the keys on disk.
    let card = NodeCard::from_json(&card).expect("own form");
    assert_eq!(card, NodeCard::from_json(&fs::read_to_string(folder.path().join("n/node.json")).expect("made")).expect("own form"));
    let key = SigningKey::from_pkcs8_pem(&fs::read_to_string(folder.path().join("n/signing.key")).expect("made")).expect("own form");
    assert_eq!(card.public_key().expect("well formed"), key.public_key());
    let key = DecryptionKey::from_pkcs8_pem(&fs::read_to_string(folder.path().join("n/encryption.key")).expect("made")).expect("own form");
    assert_eq!(card.encryption_public_key, key.public_key());
    assert_eq!((card.site, card.node), (SiteId(12), NodeId(3)));
}

#[test]
fn clients_are_named_fully_or_refused() {
    let folder = tree();
    for line in ["", "--operator an --may read", "--operator an --client desk --site 1", "--client desk", "--operator An", "--site 1"] {
        assert!(pki(&folder, &format!("client --tree vn --out {{}}/c {line}")).is_err(), "`{line}` must be refused");
    }
    for (line, identity) in [
        ("--operator an", "kho://vn/operator/an"),
        ("--operator an --site 1", "kho://vn/site/1/operator/an"),
        ("--client desk-1 --site 1", "kho://vn/site/1/client/desk-1"),
        ("--client desk-1 --site 1 --may enter,read", "kho://vn/site/1/client/desk-1/enter+read"),
        ("--client desk-1 --site 1 --may read", "kho://vn/site/1/client/desk-1/read"),
    ] {
        let folder = tree();
        let made = pki(&folder, &format!("client --tree vn --out {{}}/c {line}")).expect("well named");
        assert!(made.contains(identity), "{made}");
        let signed = pki(&folder, "sign --ca {}/ca --csr {}/c/client.csr --out {}/c/client.crt").expect("signed");
        assert!(signed.contains(identity), "{signed}");
    }
}

#[test]
fn every_command_explains_itself_with_an_example() {
    use clap::CommandFactory as _;
    let mut pki = Line::command();
    for command in pki.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Example") && help.contains("--json"), "{help}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_signed_this_way_let_each_other_in() {
    let folder = tree();
    for node in [1, 2] {
        pki(&folder, &format!("request --tree vn --site 12 --node {node} --out {{}}/n{node}")).expect("requested");
        pki(&folder, &format!("sign --ca {{}}/ca --csr {{}}/n{node}/tls.csr --out {{}}/n{node}/tls.crt")).expect("signed");
    }
    let endpoint = |node: u64| {
        let path = |name: &str| folder.path().join(name);
        let files = CredentialFiles {
            root_ca: path("ca/root.crt"),
            certificate_chain: path(&format!("n{node}/tls.crt")),
            key: path(&format!("n{node}/tls.key")),
        };
        let credentials = Credentials::load(&files).expect("they fit");
        Endpoint::bind(SocketAddr::from(([127, 0, 0, 1], 0)), &credentials, CertificateClock::system(), TransportLimits::default())
            .expect("a free port")
    };
    let (one, two) = (endpoint(1), endpoint(2));
    let server_name = node_server_name(SiteId(12), NodeId(2));
    let (dialled, accepted) = tokio::join!(one.connect(two.local_addr().expect("bound"), &server_name, Alpn::Site), two.accept());
    assert_eq!(dialled.expect("let in").peer_node(), (SiteId(12), NodeId(2)));
    assert_eq!(accepted.expect("open").peer_node(), (SiteId(12), NodeId(1)));
}
