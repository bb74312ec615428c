//! Promise 10 over real HTTPS at a real node: bad input gets a clear error with row and column, and changes nothing.
//! Every kind of bad body is covered at the parser (`node/src/entry/tests`); here the way through TLS, HTTP and the site.

use std::{io::Write as _, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use kho_local_tree::{LocalTree, PlannedSite, TreePlan};
use kho_node::api::{BatchAccepted, Problem, StatusReport};
use kho_replication::{
    identity::{ClientRights, PeerIdentity, Role},
    tls::{ALPN_HTTP, Authority, CertificateClock, CertificateRequest, Credentials, VerifiedRequest, client_config},
};
use kho_storage::ids::{NodeId, SiteId, SiteTime, Tier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

const SITE: SiteId = SiteId(4);
const DAY_MS: i64 = 24 * 3600 * 1000;

/// `khod` as cargo built it beside the tests.
fn khod() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let khod = test.parent().and_then(|deps| deps.parent()).expect("a target folder").join("khod");
    assert!(khod.exists(), "{} is missing: run `cargo build --release --workspace` first", khod.display());
    khod
}

struct Site {
    tree: LocalTree,
    root: Authority,
    _dir: tempfile::TempDir,
}

impl Site {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let plan = TreePlan {
            tree: "test".into(),
            sites: vec![
                PlannedSite::new(1, "centre", Tier::Central, &[], 1),
                PlannedSite::new(SITE.0, "district", Tier::District, &[1], 1).with_area("001"),
            ],
        };
        let mut tree = LocalTree::create(&dir.path().join("tree"), &khod(), plan, None).expect("created");
        tree.start_node(SITE, NodeId(1)).expect("starts");
        tree.bootstrap_lone_site(SITE).await.expect("created");
        tree.leader(SITE).await.expect("leads");
        let root = kho_ops::pki::load_root(&tree.dir().join("pki").join("root")).expect("the root");
        Self { tree, root, _dir: dir }
    }

    async fn status(&self) -> StatusReport {
        self.tree.status(SITE, NodeId(1)).await.expect("answers")
    }

    /// Everything that entry could change.
    async fn content(&self) -> Vec<(u32, u64, u64, String)> {
        self.status()
            .await
            .streams
            .into_iter()
            .filter(|stream| stream.seq > 0)
            .map(|stream| (stream.origin, stream.seq, stream.rows, stream.digest))
            .collect()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.tree.url(SITE, NodeId(1)))
    }

    /// A client under a certificate that `authority` signed for `role`, valid for `days` from `from` on.
    fn client(&self, authority: &Authority, tree: &str, role: Role, from: SiteTime, days: u32) -> reqwest::Client {
        let request = CertificateRequest::for_person(PeerIdentity::new(tree, role).expect("well formed")).expect("a request");
        let verified = VerifiedRequest::from_pem(&request.csr_pem).expect("own request");
        let issued = authority.sign(&verified, from, days).expect("signed");
        self.client_with(&Credentials::from_pem(authority.certificate_pem(), &issued.certificate_pem, &request.key_pem).expect("fits"))
    }

    fn client_with(&self, credentials: &Credentials) -> reqwest::Client {
        let tls = client_config(credentials, &[ALPN_HTTP], CertificateClock::system()).expect("a configuration");
        reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().timeout(Duration::from_secs(60)).build().expect("a client")
    }

    fn entry_client(&self) -> reqwest::Client {
        self.client(&self.root, "test", client_role(SITE, ClientRights::Enter), now(), 30)
    }
}

fn client_role(site: SiteId, rights: ClientRights) -> Role {
    Role::Client { site, name: "entry".into(), rights }
}

fn now() -> SiteTime {
    SiteTime(jiff::Timestamp::now().as_millisecond())
}

fn person(id: &str, extra: &str) -> String {
    format!(
        r#"{{"table":"person","row":{{"person_id":"{id}","household_id":"H1","seq":1,"full_name":"Nguyễn Văn An","sex":"male","residence_status":"permanent","commune_code":"00001","catalogue_version":"legacy-63"{extra}}}}}"#
    )
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

/// One bad request and what must come back.
struct Bad {
    what: &'static str,
    media: &'static str,
    encoding: Option<&'static str>,
    key: Option<&'static str>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    finding: Option<(Option<u64>, Option<&'static str>, &'static str)>,
}

fn bad(what: &'static str, body: impl Into<Vec<u8>>, status: u16, finding: (Option<u64>, Option<&'static str>, &'static str)) -> Bad {
    Bad {
        what,
        media: "application/x-ndjson",
        encoding: None,
        key: Some("k-bad"),
        body: body.into(),
        status,
        code: "batch_refused",
        finding: Some(finding),
    }
}

fn requests() -> Vec<Bad> {
    let good = person("P1", "");
    let after = |line: String| format!("{good}\n{line}\n");
    let plain = |what, status, code| Bad {
        what,
        media: "application/x-ndjson",
        encoding: None,
        key: Some("k-bad"),
        body: good.clone().into_bytes(),
        status,
        code,
        finding: None,
    };
    let mut cut = gzip(&good);
    cut.truncate(cut.len() / 2);
    vec![
        Bad { key: None, ..plain("no request key", 400, "request_key_missing") },
        Bad { key: Some(""), ..plain("an empty request key", 400, "request_key_malformed") },
        Bad {
            key: Some("0123456789012345678901234567890123456789012345678901234567890123456789"),
            ..plain("a request key of 70 letters", 400, "request_key_malformed")
        },
        Bad { key: Some("two words"), ..plain("a request key with a space", 400, "request_key_malformed") },
        Bad { media: "application/pdf", finding: Some((None, None, "unsupported_format")), ..plain("a PDF", 415, "batch_refused") },
        Bad { media: "text/csv", finding: Some((None, None, "unknown_table")), ..plain("CSV without a table", 422, "batch_refused") },
        Bad { encoding: Some("br"), finding: Some((None, None, "unsupported_encoding")), ..plain("brotli", 415, "batch_refused") },
        Bad {
            encoding: Some("gzip"),
            body: cut,
            finding: Some((None, None, "gzip_truncated")),
            ..plain("truncated gzip", 400, "batch_refused")
        },
        Bad { encoding: Some("gzip"), finding: Some((None, None, "not_gzip")), ..plain("plain text declared gzip", 400, "batch_refused") },
        bad("an empty body", "", 400, (None, None, "empty_body")),
        bad("broken UTF-8", [good.as_bytes(), b"\n\xff\xfe\n"].concat(), 400, (Some(2), None, "invalid_utf8")),
        bad("half an object", after("{\"table\":".into()), 400, (Some(2), None, "bad_json")),
        bad("an unknown table", after(r#"{"table":"persons","delete":"P2"}"#.into()), 422, (Some(2), None, "unknown_table")),
        bad("an unknown column", after(person("P2", r#","shoe_size":42"#)), 422, (Some(2), Some("shoe_size"), "unknown_column")),
        bad("an unknown code", after(person("P2", r#","marital":"engaged""#)), 422, (Some(2), Some("marital"), "unknown_code")),
        bad("a wrong type", after(person("P2", "").replace("\"seq\":1", "\"seq\":\"one\"")), 422, (Some(2), Some("seq"), "wrong_type")),
        bad(
            "a day that no calendar has",
            after(person("P2", r#","birth_date":"2019-02-30""#)),
            422,
            (Some(2), Some("birth_date"), "wrong_date"),
        ),
        bad("a PIN of three digits", after(person("P2", r#","pin":"123""#)), 422, (Some(2), Some("pin"), "wrong_form")),
        bad("a required column left empty", after(person("P2", "").replace("\"male\"", "null")), 422, (Some(2), Some("sex"), "missing")),
        bad(
            "a new row without a required column",
            after(person("P2", "").replace(r#""sex":"male","#, "")),
            422,
            (Some(2), Some("sex"), "row_incomplete"),
        ),
        bad(
            "a unit without its catalogue",
            after(person("P2", "").replace(r#","catalogue_version":"legacy-63""#, "")),
            422,
            (Some(2), Some("commune_code"), "named_without"),
        ),
        bad("the same key twice", after(person("P1", "")), 422, (Some(2), Some("person_id"), "duplicate_key")),
        bad(
            "a commune that does not exist",
            after(person("P2", "").replace("00001", "99999")),
            422,
            (Some(2), Some("commune_code"), "unknown_commune"),
        ),
        bad(
            "a commune of another province",
            after(person("P2", "").replace("00001", "26734")),
            422,
            (Some(2), Some("commune_code"), "foreign_area"),
        ),
        bad(
            "a delete of a row that does not exist",
            after(r#"{"table":"person","delete":"GHOST"}"#.into()),
            422,
            (Some(2), None, "row_missing"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_bad_requests_over_https_name_row_and_column_and_change_nothing() {
    let site = Site::start().await;
    let client = site.entry_client();
    let before = site.content().await;
    for bad in requests() {
        let mut request = client.post(site.url("/v1/batches")).header("content-type", bad.media).body(bad.body);
        if let Some(key) = bad.key {
            request = request.header("kho-request-key", key);
        }
        if let Some(encoding) = bad.encoding {
            request = request.header("content-encoding", encoding);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let problem: Problem = response.json().await.unwrap_or_else(|e| panic!("{}: no problem came back: {e}", bad.what));
        assert_eq!((status, problem.code.as_str()), (bad.status, bad.code), "{}: {problem:?}", bad.what);
        assert!(!problem.message.is_empty() && !problem.hint.is_empty(), "{}", bad.what);
        if let Some((row, column, code)) = bad.finding {
            let found: Vec<_> = problem.errors.iter().map(|e| (e.row, e.column.as_deref(), e.code.as_str())).collect();
            assert_eq!(found, [(row, column, code)], "{}", bad.what);
        }
        assert_eq!(site.content().await, before, "{} changed something", bad.what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_the_same_request_key_with_another_body_is_refused_and_a_retry_is_applied_once() {
    let site = Site::start().await;
    let client = site.entry_client();
    let send = |body: String| {
        client
            .post(site.url("/v1/batches"))
            .header("content-type", "application/x-ndjson")
            .header("kho-request-key", "k1")
            .body(body)
            .send()
    };
    let first: BatchAccepted = send(person("P1", "")).await.expect("answers").json().await.expect("accepted");
    let again: BatchAccepted = send(person("P1", "")).await.expect("answers").json().await.expect("accepted");
    assert_eq!((first.repeated, again.repeated, first.seq), (false, true, again.seq));
    let other = send(person("P2", "")).await.expect("answers");
    assert_eq!(other.status().as_u16(), 409);
    assert_eq!(other.json::<Problem>().await.expect("a problem").code, "request_key_reused");
    let content = site.content().await;
    assert_eq!((content.len(), content[0].1, content[0].2), (1, 1, 1), "one batch, one row");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_a_line_of_a_gigabyte_is_refused_while_it_is_sent() {
    let site = Site::start().await;
    let client = site.entry_client();
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    let sent = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = Arc::clone(&sent);
    let body = futures::stream::unfold(0u32, move |n| {
        let (chunk, counted) = (chunk.clone(), Arc::clone(&counted));
        async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            counted.store(n, std::sync::atomic::Ordering::Relaxed);
            (n < 1024).then(|| (Ok::<_, std::io::Error>(chunk), n + 1))
        }
    });
    let answer = client
        .post(site.url("/v1/batches"))
        .header("content-type", "application/x-ndjson")
        .header("kho-request-key", "long")
        .body(reqwest::Body::wrap_stream(body))
        .send()
        .await;
    if let Ok(response) = answer {
        assert_eq!(response.status().as_u16(), 413);
        assert_eq!(response.json::<Problem>().await.expect("a problem").errors[0].code, "line_too_long");
    }
    assert!(sent.load(std::sync::atomic::Ordering::Relaxed) < 1000, "the node did not read on to the end");
    assert!(site.content().await.iter().all(|(_, seq, ..)| *seq == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_only_the_right_certificate_may_enter_records() {
    let site = Site::start().await;
    let post = |client: reqwest::Client, key: &'static str| {
        let url = site.url("/v1/batches");
        async move {
            client
                .post(url)
                .header("content-type", "application/x-ndjson")
                .header("kho-request-key", key)
                .body(person("P1", ""))
                .send()
                .await
        }
    };
    let entry = client_role(SITE, ClientRights::Enter);
    let foreign_root = Authority::create("test", now()).expect("a root");
    let foreign_tree = Authority::create("other", now()).expect("a root");

    for (what, client) in [
        ("a certificate of another root", presenting(&site, &foreign_root, "test", entry.clone(), now(), 30)),
        ("a certificate of another tree", presenting(&site, &foreign_tree, "other", entry.clone(), now(), 30)),
        ("an expired certificate", presenting(&site, &site.root, "test", entry.clone(), SiteTime(now().0 - 2 * DAY_MS), 1)),
    ] {
        assert!(post(client, "k").await.is_err(), "{what} must not get through the handshake");
    }
    for (what, role) in [
        ("an operator", Role::Operator { site: None, name: "o".into() }),
        ("another site's client", client_role(SiteId(9), ClientRights::Enter)),
        ("a client that may only read", client_role(SITE, ClientRights::Read)),
    ] {
        let response = post(site.client(&site.root, "test", role, now(), 30), "k").await.expect("answers");
        assert_eq!(response.status().as_u16(), 403, "{what}");
        assert_eq!(response.json::<Problem>().await.expect("a problem").code, "forbidden", "{what}");
    }
    for (what, role) in [
        ("an operator sees no personal data", Role::Operator { site: None, name: "o".into() }),
        ("a client that may only enter reads nobody's record", entry.clone()),
        ("another site's reader", client_role(SiteId(9), ClientRights::Read)),
    ] {
        assert_eq!(read_row(&site, role).await, 403, "{what}");
    }
    let bare =
        reqwest::Client::builder().use_preconfigured_tls(trusting(&site).with_no_client_auth()).no_proxy().build().expect("a client");
    assert!(post(bare, "k").await.is_err(), "no certificate");
    assert!(site.content().await.iter().all(|(_, seq, ..)| *seq == 0), "none of them changed anything");
    assert!(post(site.entry_client(), "k").await.expect("answers").status().is_success(), "the right one may");
    for rights in [ClientRights::Read, ClientRights::EnterAndRead] {
        assert_eq!(read_row(&site, client_role(SITE, rights)).await, 200, "who has the right reads the row");
    }
}

/// The status that a read of a row is answered with.
async fn read_row(site: &Site, role: Role) -> u16 {
    let answer = site.client(&site.root, "test", role, now(), 30).get(site.url("/v1/rows/person/P1")).send().await;
    answer.expect("answers").status().as_u16()
}

/// A client that trusts the site's root but shows a certificate of `authority`, valid for `days` from `from` on.
fn presenting(site: &Site, authority: &Authority, tree: &str, role: Role, from: SiteTime, days: u32) -> reqwest::Client {
    let request = CertificateRequest::for_person(PeerIdentity::new(tree, role).expect("well formed")).expect("a request");
    let issued = authority.sign(&VerifiedRequest::from_pem(&request.csr_pem).expect("own request"), from, days).expect("signed");
    let chain = CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes()).map(|der| der.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_slice(request.key_pem.as_bytes()).expect("PEM");
    let tls = trusting(site).with_client_auth_cert(chain, key).expect("fits");
    reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().build().expect("a client")
}

fn trusting(site: &Site) -> rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert> {
    let root_pem = std::fs::read_to_string(site.tree.dir().join("pki/root/root.crt")).expect("the root");
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("a root");
    }
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
}
