//! Sends requests to a site: one node after another, as `retry` decides.

use std::{
    error::Error as _,
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::StreamExt as _;
use kho_node::api::Problem;
use kho_replication::identity::PeerIdentity;
use reqwest::{Response, header};
use tokio_util::io::ReaderStream;

use super::{
    NodeUrl,
    request::{Payload, Request},
    retry::{Attempt, GiveUp, Next, Retry},
};
use crate::failure::{Failure, FailureKind};

/// The longest refusal that is read.
const PROBLEM_BYTES_MAX: usize = 1 << 20;
/// The code by which a node says that it does not reach its site's leader.
const LEADER_UNREACHABLE: &str = "leader_unreachable";

/// A site as one identity reaches it, through any of the named nodes.
#[derive(Debug)]
pub struct NodeClient {
    http: reqwest::Client,
    nodes: Vec<NodeUrl>,
    /// Place of the node that answered last.
    current: AtomicUsize,
    identity: PeerIdentity,
}

/// Why a request brought no answer that can be used.
#[derive(Debug, Clone, PartialEq)]
pub enum CallError {
    /// A node answered, and no.
    Refused { status: u16, problem: Problem },
    /// None was reached; nothing was changed.
    Unreachable { why: String },
    /// It may have been done, or not.
    Unknown { why: String },
    /// The certificate of one side was refused by the other.
    Untrusted { why: String },
    /// A node answered what this build can't read.
    Unreadable { why: String },
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { status, problem } => write!(f, "refused ({status} {}): {}; {}", problem.code, problem.message, problem.hint),
            Self::Unreachable { why } => write!(f, "not reached: {why}"),
            Self::Unknown { why } => write!(f, "outcome unknown: {why}"),
            Self::Untrusted { why } => write!(f, "not trusted: {why}"),
            Self::Unreadable { why } => write!(f, "not understood: {why}"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { problem, .. } => Self::of_problem(&problem),
            CallError::Unreachable { why } => Self::new(
                FailureKind::Unreachable,
                why,
                "check address and network; on the node, `systemctl status khod` says whether it runs",
            ),
            CallError::Unknown { why } => {
                Self::new(FailureKind::Unknown, why, "check with `kho status` whether it was done before you give the same command again")
            }
            CallError::Untrusted { why } => Self::refused(why, "check both certificates with `kho pki show`, and both clocks"),
            CallError::Unreadable { why } => Self::refused(why, "compare the versions of `kho --version` and `kho status`"),
        }
    }
}

impl NodeClient {
    pub(super) fn new(http: reqwest::Client, nodes: Vec<NodeUrl>, identity: PeerIdentity) -> Self {
        Self { http, nodes, current: AtomicUsize::new(0), identity }
    }

    /// Who sends the requests.
    pub fn identity(&self) -> &PeerIdentity {
        &self.identity
    }

    /// The node that answered last, or the first to be tried.
    pub fn node(&self) -> &NodeUrl {
        &self.nodes[self.current.load(Ordering::Relaxed) % self.nodes.len()]
    }

    /// Sends `request` until it is answered, refused, or given up. Gives successful answers only.
    ///
    /// # Errors
    /// [`CallError`]: `Unknown` only for requests that may have arrived and changed something.
    pub async fn send(&self, request: &Request) -> Result<Response, CallError> {
        let mut retry = Retry::new(request.idempotency, request.retry_budget, self.nodes.len());
        let mut place = self.current.load(Ordering::Relaxed) % self.nodes.len();
        loop {
            let node = &self.nodes[place];
            let (attempt, answer) = self.attempt(node, request).await?;
            match (retry.after(attempt), answer) {
                (Next::Take, Answer::Good(response)) => {
                    self.current.store(place, Ordering::Relaxed);
                    return Ok(response);
                }
                (Next::Again { wait, other_node }, answer) => {
                    tracing::debug!(%node, ?attempt, ?wait, why = answer.why(), "tried, and trying again");
                    if other_node {
                        place = (place + 1) % self.nodes.len();
                        self.current.store(place, Ordering::Relaxed);
                    }
                    tokio::time::sleep(wait).await;
                }
                (Next::GiveUp(give_up), answer) => return Err(given_up(give_up, format!("{node}: {}", answer.why()), self.nodes.len())),
                (_, Answer::Bad(status, problem)) => return Err(CallError::Refused { status, problem }),
                (_, answer) => return Err(CallError::Unreadable { why: format!("{node} answered what can't be read: {}", answer.why()) }),
            }
        }
    }

    async fn attempt(&self, node: &NodeUrl, request: &Request) -> Result<(Attempt, Answer), CallError> {
        let mut builder = self.http.request(request.method.clone(), node.resource(&request.path, &request.query));
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        builder = match &request.payload {
            Payload::None => builder,
            Payload::Bytes { content_type, body } => builder.header(header::CONTENT_TYPE, *content_type).body(body.clone()),
            Payload::File { content_type, path, length } => {
                let file = tokio::fs::File::open(path)
                    .await
                    .map_err(|error| CallError::Unreadable { why: format!("{} could not be read: {error}", path.display()) })?;
                let body = reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, 256 << 10));
                builder.header(header::CONTENT_TYPE, *content_type).header(header::CONTENT_LENGTH, *length).body(body)
            }
        };
        Ok(match builder.send().await {
            Ok(response) if response.status().is_success() => {
                (Attempt::Answered { status: response.status().as_u16(), retry_after: None }, Answer::Good(response))
            }
            Ok(response) => {
                let (status, named) = (response.status().as_u16(), retry_after(&response));
                let problem = read_problem(response).await;
                let retry_after = problem.retry_after_ms.map(Duration::from_millis).or(named);
                let attempt = match problem.code.as_str() {
                    LEADER_UNREACHABLE => Attempt::LeaderUnreachable { retry_after },
                    _ => Attempt::Answered { status, retry_after },
                };
                (attempt, Answer::Bad(status, problem))
            }
            Err(error) => (attempt_of(&error), Answer::None(causes(&error))),
        })
    }
}

/// What an attempt brought.
enum Answer {
    Good(Response),
    Bad(u16, Problem),
    /// Nothing, for this reason.
    None(String),
}

impl Answer {
    fn why(&self) -> &str {
        match self {
            Self::Good(_) => "answered",
            Self::Bad(_, problem) => &problem.message,
            Self::None(why) => why,
        }
    }
}

fn given_up(give_up: GiveUp, why: String, nodes: usize) -> CallError {
    match give_up {
        GiveUp::Unreachable if nodes == 1 => CallError::Unreachable { why: format!("the node does not answer: {why}") },
        GiveUp::Unreachable => CallError::Unreachable { why: format!("none of {nodes} nodes answers; the last one tried: {why}") },
        GiveUp::Unknown => CallError::Unknown { why: format!("the request was sent, but no answer came: {why}") },
        GiveUp::Untrusted => CallError::Untrusted { why: format!("no trusted connection: {why}") },
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// A refusal in the node's own words, or in ours where it has none.
async fn read_problem(response: Response) -> Problem {
    let status = response.status();
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(Ok(chunk)) = stream.next().await {
        body.extend_from_slice(&chunk[..chunk.len().min(PROBLEM_BYTES_MAX - body.len())]);
    }
    serde_json::from_slice(&body).unwrap_or_else(|_| Problem {
        code: format!("http_{}", status.as_u16()),
        message: format!("the node answered {status}: {}", String::from_utf8_lossy(&body).chars().take(200).collect::<String>().trim()),
        hint: "read the node's log".into(),
        retry_after_ms: None,
        errors: Vec::new(),
        more: 0,
    })
}

fn attempt_of(error: &reqwest::Error) -> Attempt {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if is_of_tls(inner) {
            return Attempt::Untrusted;
        }
        cause = inner.source();
    }
    if error.is_connect() { Attempt::NotConnected } else { Attempt::Lost }
}

/// I/O errors wrap others in a way that `source` passes over.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = || error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped().is_some_and(|inner| is_of_tls(inner))
}

/// The chain of causes without the address, which is named anyway, and without repetitions.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        cause = inner.source();
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}
