//! For tests: an HTTPS listener with a real node's certificate that answers as a script says. It stands in for a node only
//! where a fault must come at an exact moment; how a real node answers is tested with real processes.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use kho_replication::{
    identity::{ClientRights, Role},
    tls::{ALPN_HTTP, CertificateClock, ClientCertificate, CredentialFiles, Credentials, server_config},
};
use kho_storage::{
    ids::{NodeId, SiteId, SiteTime},
    signature::SignatureAlgorithm,
};
use serde_json::Value;
use tempfile::TempDir;

use super::ConnectionArgs;
use crate::pki::{NodeRequest, init_root, request_node, request_person, sign_file};

/// What arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// `METHOD /path?query`.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(at, _)| at == name).map(|(_, value)| value.as_str())
    }
}

/// What the script answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Json(u16, Value),
    Text(String),
    /// The request was read, and the connection is closed without a word.
    Nothing,
}

/// A tree of one root, with an entry client of site 7.
pub(crate) struct ScriptedTree {
    pub folder: TempDir,
}

impl ScriptedTree {
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a writable temporary folder");
        init_root("vn", &folder.path().join("ca"), now()).expect("a fresh root");
        let tree = Self { folder };
        let me = tree.path("me");
        request_person("vn", Role::Client { site: SiteId(7), name: "desk".into(), rights: ClientRights::Enter }, &me).expect("requested");
        tree.sign(me.join("client.csr"), me.join("client.crt"));
        std::fs::copy(tree.path("ca/root.crt"), me.join("root.crt")).expect("copied");
        tree
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sign(&self, csr: PathBuf, out: PathBuf) {
        sign_file(&self.path("ca"), &csr, &out, 30, now(), |_| Ok(())).expect("signed");
    }

    /// Connection options of the client to these addresses.
    pub fn connection(&self, nodes: &[SocketAddr]) -> ConnectionArgs {
        let nodes = nodes.iter().map(|node| format!("https://{node}").parse().expect("well formed")).collect();
        ConnectionArgs { nodes, identity: Some(self.path("me")), timeout: 10 }
    }

    /// An address at which nothing answers.
    pub fn dead_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
    }

    /// Starts node `node` of site 7. `script` is given every request and how many came before it. What arrived is kept.
    pub fn serve(
        &self,
        node: u64,
        script: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static,
    ) -> (SocketAddr, Arc<Mutex<Vec<Received>>>) {
        let dir = self.path(&format!("node-{node}"));
        let request = NodeRequest {
            tree: "vn".into(),
            site: SiteId(7),
            node: NodeId(node),
            reached_as: vec![],
            signing_algorithm: SignatureAlgorithm::default(),
        };
        request_node(&request, &dir).expect("requested");
        self.sign(dir.join("tls.csr"), dir.join("tls.crt"));
        let files = CredentialFiles { root_ca: self.path("ca/root.crt"), certificate_chain: dir.join("tls.crt"), key: dir.join("tls.key") };
        let credentials = Credentials::load(&files).expect("they fit");
        let config = Arc::new(
            server_config(&credentials, &[ALPN_HTTP], ClientCertificate::Required, CertificateClock::system()).expect("a configuration"),
        );
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let received = Arc::new(Mutex::new(Vec::new()));
        let (kept, script) = (Arc::clone(&received), Arc::new(script));
        // The thread ends with the test's process.
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (config, kept, script) = (Arc::clone(&config), Arc::clone(&kept), Arc::clone(&script));
                thread::spawn(move || {
                    let connection = rustls::ServerConnection::new(config).expect("a connection");
                    let mut stream = BufReader::new(rustls::StreamOwned::new(connection, socket));
                    let Some(request) = read_request(&mut stream) else { return };
                    let before = {
                        let mut kept = kept.lock().expect("no test panics while it holds this");
                        kept.push(request.clone());
                        kept.len() - 1
                    };
                    answer(stream.get_mut(), script(&request, before));
                });
            }
        });
        (address, received)
    }
}

type TlsStream = rustls::StreamOwned<rustls::ServerConnection, std::net::TcpStream>;

fn read_request(stream: &mut BufReader<TlsStream>) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Received { line: lines[0].trim_end_matches(" HTTP/1.1").to_owned(), headers, body })
}

fn answer(stream: &mut TlsStream, reply: Reply) {
    let (status, kind, body) = match reply {
        Reply::Json(status, value) => (status, "application/json", value.to_string()),
        Reply::Text(text) => (200, "application/x-ndjson", text),
        Reply::Nothing => return,
    };
    let head = format!("HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // A client that went away is the test's affair.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).and_then(|()| stream.flush());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

fn now() -> SiteTime {
    let elapsed = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    SiteTime(i64::try_from(elapsed.as_millis()).expect("before the year 292 million"))
}
