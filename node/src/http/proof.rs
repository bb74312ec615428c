//! Proofs: what stood where, recomputed from disk. Where two sites differ is found in `comparison.rs`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::StreamExt as _;
use kho_messages::Ordinal;
use kho_replication::identity::PeerIdentity;
use kho_storage::{
    command::{Command, Outcome},
    error::StorageError,
    ids::{OriginId, StreamSeq},
    warehouse::StoredEvidence,
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{
    access::{Right, check},
    fault::{OrderDone, RequestFault},
    reply::{HttpError, OrderReply, Reply, Told, language},
};
use crate::{
    api::{AlarmKind, Done, EvidenceKept, Problem, ProofLine, Review, StoodAt},
    node::Node,
    reasons,
};

/// Lines of progress that may wait for a slow client.
const LINES_MAX: usize = 64;

/// Recomputes an origin's digest and cubes from the rows on this node's disk; answers with lines of progress, then the proof.
#[utoipa::path(get, path = "/v1/origins/{origin}/proof", params(("origin" = u32, Path)), responses((status = 200, description = "NDJSON: progress lines, then the proof", body = ProofLine)))]
pub async fn proof(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(origin): Path<u32>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    check(&node, &who, Right::Operate)?;
    let lang = language(&headers);
    let (lines, written) = mpsc::channel::<ProofLine>(LINES_MAX);
    tokio::task::spawn_blocking(move || {
        let mut progress = |done, total| drop(lines.try_send(ProofLine::Progress { done, total }));
        let begun = node.damage_found.proof_begins();
        let last = match node.warehouse.recompute(OriginId(origin), &mut progress) {
            Ok(proof) => {
                node.damage_found.note_proof(begun, OriginId(origin), proof.as_ref());
                if let Err(error) = node.failed_proofs.note(OriginId(origin), proof.as_ref(), node.clock.now()) {
                    let error = format!("what a proof found could not be kept: {error}");
                    node.alarms.raise(AlarmKind::StorageFailed { error }, node.clock.now());
                }
                ProofLine::Proof(proof)
            }
            Err(error) => ProofLine::Failed(HttpError::from(error).problem(lang)),
        };
        // A client that went away needs no answer.
        let _ = lines.blocking_send(last);
    });
    let lines = futures::stream::unfold(written, |mut written| async move { written.recv().await.map(|line| (line, written)) });
    let body = lines.map(|line| {
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        Ok::<_, serde_json::Error>(Bytes::from(text))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response())
}

/// Query of a comparison.
#[derive(Debug, Deserialize)]
pub struct SeqQuery {
    seq: u64,
}

/// Chain, digest and rows of an origin after a batch.
#[utoipa::path(get, path = "/v1/origins/{origin}/stood-at", params(("origin" = u32, Path), ("seq" = u64, Query)), responses((status = 200, body = StoodAt), (status = 404, body = Problem)))]
pub async fn stood_at(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(origin): Path<u32>,
    Query(query): Query<SeqQuery>,
) -> Reply<StoodAt> {
    check(&node, &who, Right::Operate)?;
    let (origin, seq) = (OriginId(origin), StreamSeq(query.seq));
    let stood = node.warehouse.read(|reading| {
        let Some(state) = reading.origin(origin)? else { return Ok::<_, StorageError>(None) };
        Ok(reading.stood_at(origin, &state, seq)?.map(|stood| (state.epoch, stood)))
    })?;
    match stood {
        Some((epoch, (chain, digest, rows))) => Ok(Json(StoodAt {
            origin: origin.0,
            epoch: epoch.to_string(),
            seq: seq.0,
            chain: chain.to_hex(),
            digest: digest.to_hex(),
            rows,
        })),
        None => Err(RequestFault::BatchNotKept { origin: Ordinal(origin.0.into()), batch: Ordinal(seq.0) }.into()),
    }
}

/// What was refused and kept for review.
#[utoipa::path(get, path = "/v1/evidence", responses((status = 200, body = Vec<EvidenceKept>)))]
pub async fn evidence(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> Reply<Vec<EvidenceKept>> {
    check(&node, &who, Right::Operate)?;
    let told = node.warehouse.read(|reading| {
        let (reviews, mut told) = (reading.evidence_reviews()?, Vec::new());
        let mut tell = |evidence: StoredEvidence, name: (StreamSeq, u64)| {
            let review = reviews.get(&evidence.segment.origin()).filter(|review| review.pieces.contains(&name));
            told.push(EvidenceKept {
                origin: evidence.segment.origin().0,
                seq: evidence.segment.head.head.seq.0,
                why: reasons::evidence(evidence.reason),
                found_at: evidence.found_at.to_rfc3339(),
                signed_by: format!("node {} of site {}", evidence.segment.head.node, evidence.segment.head.site),
                batches: evidence.segment.batches.len() as u64,
                bytes: evidence.segment.bytes() as u64,
                their_chain: evidence.segment.head.head.chain.to_hex(),
                our_chain: evidence.ours.map(|(chain, _)| chain.to_hex()),
                review: review.map(|review| Review {
                    by: review.by.clone(),
                    reviewed_at: review.reviewed_at.to_rfc3339(),
                    reason: review.reason.clone(),
                }),
            });
        };
        let mut unnamed = None;
        reading.evidence(|evidence| match evidence.name() {
            Ok(name) => tell(evidence, name),
            Err(error) => unnamed = Some(error),
        })?;
        unnamed.map_or(Ok(told), Err)
    })?;
    Ok(Json(told))
}

/// Adopts an origin again that was stopped; its evidence stays.
#[utoipa::path(post, path = "/v1/origins/{origin}/resume", params(("origin" = u32, Path)), responses((status = 200, body = Done), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub async fn resume(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>, Path(origin): Path<u32>) -> OrderReply {
    check(&node, &who, Right::Operate)?;
    match node.consensus.propose(&Command::ResumeOrigin { origin: OriginId(origin) }).await? {
        Outcome::Recorded => {
            node.alarms.end(|kind| {
                matches!(kind, AlarmKind::SegmentRefused { origin: of, .. } | AlarmKind::ChildSetBack { origin: of, .. } if *of == origin)
            });
            Ok(Told(OrderDone::OriginResumed { origin: Ordinal(origin.into()) }))
        }
        _ => Err(RequestFault::UnknownOrigin { origin: Ordinal(origin.into()) }.into()),
    }
}

/// Gives up a whole-origin transfer under way; it starts anew when it is still needed.
#[utoipa::path(post, path = "/v1/origins/{origin}/abandon-transfer", params(("origin" = u32, Path)), responses((status = 200, body = Done), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub async fn abandon_transfer(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(origin): Path<u32>,
) -> OrderReply {
    check(&node, &who, Right::Operate)?;
    match node.consensus.propose(&Command::AbandonTransfer { origin: OriginId(origin) }).await? {
        Outcome::Recorded => Ok(Told(OrderDone::TransferAbandoned { origin: Ordinal(origin.into()) })),
        _ => Err(RequestFault::NoTransfer { origin: Ordinal(origin.into()) }.into()),
    }
}
