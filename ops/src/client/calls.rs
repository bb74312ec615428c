//! One method for each request: paths, parameters and types of the nodes' HTTP interface.

use std::path::Path;

use bytes::Bytes;
use futures::StreamExt as _;
use kho_node::{
    answer::IndicatorInfo,
    api::{
        BatchAccepted, BatchChecked, BranchRows, BundleImported, ComparedNode, ComparisonOrder, ComparisonTokens, DamageExamined, Done,
        EvidenceKept, EvidenceReviewed, IndicatorAnswer, NodePlace, OriginDiscarded, ProofLine, REQUEST_KEY_HEADER, RowAnswer, RowHash,
        RowNamed, SiteInit, SiteSetBack, StatusReport, StoodAt, UpgradeReport,
    },
    entry::UnnamedColumns,
};
use kho_storage::{
    ids::{NodeId, OriginId, SiteId, StreamSeq},
    register::SignedRegister,
    warehouse::{KeyBucket, OriginProof},
};
use reqwest::{Method, Response};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    node_client::{CallError, NodeClient, causes},
    request::{Payload, Request},
    retry::{Idempotency, RetryBudget},
};

/// The longest line of a proof's stream: one hundred differences fit many times over.
const PROOF_LINE_BYTES_MAX: usize = 1 << 20;

/// What is queried of an indicator; empty parts are the indicator's own defaults.
#[derive(Debug, Default, Clone)]
pub struct IndicatorQuestion {
    pub area: Option<String>,
    pub catalogue: Option<String>,
    pub level: Option<String>,
    pub by: Vec<String>,
    pub at: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub read: Option<String>,
}

/// One batch to be entered.
#[derive(Debug, Clone)]
pub struct BatchUpload {
    pub request_key: String,
    /// Needed for CSV.
    pub table: Option<String>,
    pub content_type: &'static str,
    /// What happens to columns that the body does not name.
    pub unnamed: UnnamedColumns,
    pub body: Bytes,
}

/// What a bundle shall hold.
#[derive(Debug, Default, Clone)]
pub struct BundleRange {
    /// The site that shall read it. `None`: the active parent.
    pub reader: Option<SiteId>,
    /// Empty: every origin that the site holds.
    pub origins: Vec<OriginId>,
    /// Per origin the first batch that the receiver lacks.
    pub from: Vec<(OriginId, StreamSeq)>,
}

impl NodeClient {
    /// Whether any node answers at all.
    pub async fn probe(&self) -> Result<(), CallError> {
        self.send(&Request::read(&["healthz"])).await.map(drop)
    }

    /// Whether the node can answer now. It is tried once, so that a caller who waits for it sees the moment.
    pub async fn ready(&self) -> Result<(), CallError> {
        self.send(&Request::read(&["readyz"]).retry_budget(RetryBudget::None)).await.map(drop)
    }

    pub async fn status(&self) -> Result<StatusReport, CallError> {
        self.send_json(&Request::read(&["v1", "status"])).await
    }

    /// What the node counts, in Prometheus' text form.
    pub async fn metrics(&self) -> Result<String, CallError> {
        let response = self.send(&Request::read(&["metrics"])).await?;
        response.text().await.map_err(|error| broken(&error, Idempotency::Read))
    }

    pub async fn indicators(&self) -> Result<Vec<IndicatorInfo>, CallError> {
        self.send_json(&Request::read(&["v1", "indicators"])).await
    }

    pub async fn indicator(&self, name: &str, question: &IndicatorQuestion) -> Result<IndicatorAnswer, CallError> {
        let query = question.clone();
        let by = (!query.by.is_empty()).then(|| query.by.join(","));
        let request = Request::read(&["v1", "indicators", name])
            .with("area", query.area)
            .with("catalogue", query.catalogue)
            .with("level", query.level)
            .with("by", by)
            .with("at", query.at)
            .with("from", query.from)
            .with("to", query.to)
            .with("read", query.read);
        self.send_json(&request).await
    }

    pub async fn row(&self, table: &str, key: &str, read: Option<&str>) -> Result<RowAnswer, CallError> {
        self.send_json(&Request::read(&["v1", "rows", table, key]).with("read", read)).await
    }

    /// Enters one batch. The key makes any repetition harmless.
    pub async fn enter(&self, batch: BatchUpload) -> Result<BatchAccepted, CallError> {
        self.send_json(&entry_request(batch).retry_budget(RetryBudget::Long)).await
    }

    /// Checks one batch and tells what it would empty. Nothing is entered.
    pub async fn check_batch(&self, batch: BatchUpload) -> Result<BatchChecked, CallError> {
        self.send_json(&batch_request(&["v1", "batches", "check"], batch)).await
    }

    /// The same in one attempt: for who wants to see what the node says now.
    pub async fn enter_once(&self, batch: BatchUpload) -> Result<BatchAccepted, CallError> {
        self.send_json(&entry_request(batch).retry_budget(RetryBudget::None)).await
    }

    /// Has the node recompute an origin; `progress` hears of rows done and rows expected.
    pub async fn proof(&self, origin: OriginId, mut progress: impl FnMut(u64, u64)) -> Result<Option<OriginProof>, CallError> {
        let response = self.send(&origin_request(origin, &["proof"])).await?;
        let mut stream = response.bytes_stream();
        let mut pending: Vec<u8> = Vec::new();
        while let Some(chunk) = stream.next().await {
            pending.extend_from_slice(&chunk.map_err(|error| broken(&error, Idempotency::Read))?);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                if let Some(proof) = proof_line(&line, &mut progress)? {
                    return Ok(proof);
                }
            }
            if pending.len() > PROOF_LINE_BYTES_MAX {
                return Err(CallError::Unreadable { why: format!("a line of the proof is longer than {PROOF_LINE_BYTES_MAX} bytes") });
            }
        }
        match proof_line(&pending, &mut progress)? {
            Some(proof) => Ok(proof),
            None => Err(CallError::Unreachable { why: format!("{} ended the proof of origin {origin} before its result", self.node()) }),
        }
    }

    /// What stood after a batch; `None` when the node keeps it no longer.
    pub async fn stood_at(&self, origin: OriginId, seq: StreamSeq) -> Result<Option<StoodAt>, CallError> {
        match self.send(&origin_request(origin, &["stood-at"]).with("seq", Some(seq.to_string()))).await {
            Ok(response) => json(response, Idempotency::Read).await.map(Some),
            Err(CallError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes an origin out that the register does not lead through the site, or only tells what would be taken out.
    pub async fn discard_origin(&self, origin: OriginId, reason: &str, dry_run: bool) -> Result<OriginDiscarded, CallError> {
        let path = ["v1", "origins", &origin.to_string(), "discard"];
        let request = Request::write(Method::POST, &path, Payload::None, Idempotency::NonIdempotent)
            .with("reason", Some(reason))
            .with("dry_run", Some(dry_run.to_string()));
        self.send_json(&request).await
    }

    /// A token for each of `nodes`, in their order, under which they compare the origin.
    pub async fn begin_comparison(&self, origin: OriginId, nodes: Vec<ComparedNode>) -> Result<Vec<String>, CallError> {
        let path = ["v1", "origins", &origin.to_string(), "comparison"];
        let answer: ComparisonTokens = self.write(Method::POST, &path, Some(&ComparisonOrder { nodes }), Idempotency::Idempotent).await?;
        Ok(answer.tokens)
    }

    pub async fn buckets(&self, origin: OriginId, token: &str) -> Result<Vec<KeyBucket>, CallError> {
        self.send_json(&origin_request(origin, &["buckets"]).with("token", Some(token))).await
    }

    pub async fn bucket_rows(&self, origin: OriginId, bucket: u8, token: &str) -> Result<Vec<RowHash>, CallError> {
        self.send_json(&origin_request(origin, &["buckets", &bucket.to_string()]).with("token", Some(token))).await
    }

    /// The row behind a hash of a comparison; needs the right to read rows.
    pub async fn row_of_hash(&self, origin: OriginId, hash: &str, token: &str) -> Result<RowNamed, CallError> {
        self.send_json(&origin_request(origin, &["row-of-hash"]).with("token", Some(token)).with("hash", Some(hash))).await
    }

    /// Notes that the evidence of an origin was examined, or only tells what would count as reviewed.
    pub async fn review_evidence(&self, origin: OriginId, reason: &str, dry_run: bool) -> Result<EvidenceReviewed, CallError> {
        let path = ["v1", "origins", &origin.to_string(), "review-evidence"];
        let request = Request::write(Method::POST, &path, Payload::None, Idempotency::Idempotent)
            .with("reason", Some(reason))
            .with("dry_run", Some(dry_run.to_string()));
        self.send_json(&request).await
    }

    pub async fn evidence(&self) -> Result<Vec<EvidenceKept>, CallError> {
        self.send_json(&Request::read(&["v1", "evidence"])).await
    }

    /// Own origins of the site that were set back.
    pub async fn set_backs(&self) -> Result<Vec<SiteSetBack>, CallError> {
        self.send_json(&Request::read(&["v1", "set-backs"])).await
    }

    /// Keys of the rows that were acknowledged on the branch, from batch `from` on, or from its first.
    pub async fn branch_rows(&self, origin: OriginId, from: Option<u64>) -> Result<BranchRows, CallError> {
        self.send_json(&origin_request(origin, &["branch-rows"]).with("from", from.map(|from| from.to_string()))).await
    }

    pub async fn resume_origin(&self, origin: OriginId) -> Result<Done, CallError> {
        self.write(Method::POST, &["v1", "origins", &origin.to_string(), "resume"], None::<&()>, Idempotency::Idempotent).await
    }

    pub async fn abandon_transfer(&self, origin: OriginId) -> Result<Done, CallError> {
        self.write(Method::POST, &["v1", "origins", &origin.to_string(), "abandon-transfer"], None::<&()>, Idempotency::NonIdempotent).await
    }

    pub async fn register(&self) -> Result<SignedRegister, CallError> {
        self.send_json(&Request::read(&["v1", "register"])).await
    }

    /// A register of the same version changes nothing, so this may be repeated.
    pub async fn apply_register(&self, signed: &SignedRegister) -> Result<Done, CallError> {
        self.write(Method::POST, &["v1", "register"], Some(signed), Idempotency::Idempotent).await
    }

    pub async fn init_site(&self, init: &SiteInit) -> Result<Done, CallError> {
        self.write(Method::POST, &["v1", "site", "init"], Some(init), Idempotency::NonIdempotent).await
    }

    /// Said twice it changes nothing more.
    pub async fn confirm_time(&self) -> Result<Done, CallError> {
        self.write(Method::POST, &["v1", "site", "confirm-time"], None::<&()>, Idempotency::Idempotent).await
    }

    /// Who holds the tree back.
    pub async fn upgrade_status(&self) -> Result<UpgradeReport, CallError> {
        self.send_json(&Request::read(&["v1", "upgrade"])).await
    }

    /// Raised twice to the same level changes nothing more, so this may be repeated.
    pub async fn raise_level(&self, to: Option<u16>, dry_run: bool) -> Result<Done, CallError> {
        let request = Request::write(Method::POST, &["v1", "upgrade", "raise"], Payload::None, Idempotency::Idempotent)
            .with("to", to.map(|to| to.to_string()))
            .with("dry_run", Some(dry_run.to_string()));
        self.send_json(&request).await
    }

    /// Keeps a note of a test of levels; refused below the level of tests.
    pub async fn note_test(&self, note: &str) -> Result<Done, CallError> {
        let request = Request::write(Method::POST, &["v1", "upgrade", "test-note"], Payload::None, Idempotency::Idempotent);
        self.send_json(&request.with("note", Some(note))).await
    }

    pub async fn add_node(&self, place: &NodePlace) -> Result<Done, CallError> {
        self.write(Method::POST, &["v1", "site", "nodes"], Some(place), Idempotency::NonIdempotent).await
    }

    pub async fn remove_node(&self, node: NodeId) -> Result<Done, CallError> {
        self.write::<(), Done>(Method::DELETE, &["v1", "site", "nodes", &node.to_string()], None, Idempotency::NonIdempotent).await
    }

    pub async fn confirm_node(&self, node: NodeId) -> Result<Done, CallError> {
        self.write(Method::POST, &["v1", "site", "nodes", &node.to_string(), "confirm"], None::<&()>, Idempotency::Idempotent).await
    }

    /// Says that the disk of this client's one node was examined, or only asks whether the order would be taken.
    pub async fn damage_examined(&self, node: NodeId, reason: &str, dry_run: bool) -> Result<DamageExamined, CallError> {
        let path = ["v1", "site", "nodes", &node.to_string(), "damage-examined"];
        let request = Request::write(Method::POST, &path, Payload::None, Idempotency::NonIdempotent)
            .with("reason", Some(reason))
            .with("dry_run", Some(dry_run.to_string()));
        self.send_json(&request).await
    }

    /// The bundle as a stream.
    pub async fn export_bundle(&self, range: &BundleRange) -> Result<Response, CallError> {
        let list = |parts: Vec<String>| (!parts.is_empty()).then(|| parts.join(","));
        let request = Request::read(&["v1", "bundle"])
            .with("for", range.reader.map(|site| site.to_string()))
            .with("origins", list(range.origins.iter().map(ToString::to_string).collect()))
            .with("from", list(range.from.iter().map(|(origin, seq)| format!("{origin}:{seq}")).collect()));
        self.send(&request).await
    }

    /// Segments that the site holds already are skipped, so this may be repeated.
    pub async fn import_bundle(&self, path: &Path, length: u64) -> Result<BundleImported, CallError> {
        let payload = Payload::File { content_type: "application/octet-stream", path: path.to_owned(), length };
        self.send_json(&Request::write(Method::POST, &["v1", "bundle"], payload, Idempotency::Idempotent)).await
    }

    async fn send_json<T: DeserializeOwned>(&self, request: &Request) -> Result<T, CallError> {
        json(self.send(request).await?, request.idempotency).await
    }

    async fn write<T: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&T>,
        idempotency: Idempotency,
    ) -> Result<A, CallError> {
        let payload = match body {
            None => Payload::None,
            Some(body) => {
                let bytes = serde_json::to_vec(body)
                    .map_err(|error| CallError::Unreadable { why: format!("the request can't be put into JSON: {error}") })?;
                Payload::Bytes { content_type: "application/json", body: bytes.into() }
            }
        };
        self.send_json(&Request::write(method, path, payload, idempotency)).await
    }
}

fn entry_request(batch: BatchUpload) -> Request {
    let request_key = batch.request_key.clone();
    batch_request(&["v1", "batches"], batch).header(REQUEST_KEY_HEADER, request_key)
}

fn batch_request(path: &[&str], batch: BatchUpload) -> Request {
    let payload = Payload::Bytes { content_type: batch.content_type, body: batch.body };
    Request::write(Method::POST, path, payload, Idempotency::Idempotent)
        .with("table", batch.table)
        .with("unnamed", Some(batch.unnamed).filter(|unnamed| *unnamed != UnnamedColumns::default()).map(UnnamedColumns::word))
}

fn origin_request(origin: OriginId, rest: &[&str]) -> Request {
    let origin = origin.to_string();
    let mut path = vec!["v1", "origins", origin.as_str()];
    path.extend_from_slice(rest);
    Request::read(&path)
}

/// `Some` for the line that holds the result.
fn proof_line(line: &[u8], progress: &mut impl FnMut(u64, u64)) -> Result<Option<Option<OriginProof>>, CallError> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice(line) {
        Ok(ProofLine::Progress { done, total }) => {
            progress(done, total);
            Ok(None)
        }
        Ok(ProofLine::Proof(proof)) => Ok(Some(proof)),
        Ok(ProofLine::Failed(problem)) => Err(CallError::Refused { status: 500, problem }),
        Err(error) => Err(CallError::Unreadable { why: format!("a line of the proof can't be read: {error}") }),
    }
}

async fn json<T: DeserializeOwned>(response: Response, idempotency: Idempotency) -> Result<T, CallError> {
    let url = response.url().clone();
    let body = response.bytes().await.map_err(|error| broken(&error, idempotency))?;
    serde_json::from_slice(&body).map_err(|error| CallError::Unreadable { why: format!("the answer of {url} can't be read: {error}") })
}

/// The beginning of the answer came and the rest did not: the request may have been carried out.
fn broken(error: &reqwest::Error, idempotency: Idempotency) -> CallError {
    let why = format!("the connection broke in the middle of the answer: {}", causes(error));
    if idempotency == Idempotency::Read { CallError::Unreachable { why } } else { CallError::Unknown { why } }
}
