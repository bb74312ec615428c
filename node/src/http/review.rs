//! The review of evidence: an operator says that it was examined. The evidence stays.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use kho_messages::Ordinal;
use kho_replication::identity::PeerIdentity;
use kho_storage::{
    command::{Command, EvidenceReview, Outcome},
    error::StorageError,
    ids::{OriginId, StreamSeq},
};
use serde::Deserialize;

use super::{
    access::{Right, check},
    discard::check_reason,
    fault::RequestFault,
    reply::Reply,
};
use crate::{
    api::{EvidenceReviewed, Problem},
    audit::AUDIT,
    node::Node,
    reasons,
};

/// Query of a review.
#[derive(Debug, Deserialize)]
pub struct ReviewQuery {
    /// What was found out, for the audit log and whoever lists the evidence later.
    reason: String,
    /// Only tell what would count as reviewed.
    #[serde(default)]
    dry_run: bool,
}

/// Notes that an operator has examined the evidence that is kept of an origin. It stays, and no longer makes the site's nodes unhealthy;
/// newer evidence does so again.
#[utoipa::path(post, path = "/v1/origins/{origin}/review-evidence", params(("origin" = u32, Path), ("reason" = String, Query, description = "what was found out"), ("dry_run" = Option<bool>, Query, description = "only tell what would count as reviewed")), responses((status = 200, body = EvidenceReviewed), (status = 400, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn review_evidence(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(origin): Path<u32>,
    Query(ReviewQuery { reason, dry_run }): Query<ReviewQuery>,
) -> Reply<EvidenceReviewed> {
    check(&node, &who, Right::Operate)?;
    check_reason(&reason)?;
    node.consensus.read_index().await?;
    let (pieces, new_pieces) = kept(&node, OriginId(origin))?;
    if pieces.is_empty() {
        return Err(RequestFault::NoEvidence { origin: Ordinal(origin.into()) }.into());
    }
    let reviewed = EvidenceReviewed { origin, pieces: pieces.len() as u64, new_pieces, dry_run };
    if !dry_run {
        let review = EvidenceReview { reviewed_at: node.clock.now(), by: who.to_string(), reason: reason.clone(), pieces };
        match node.consensus.propose(&Command::ReviewEvidence { origin: OriginId(origin), review }).await? {
            Outcome::Recorded => {}
            other => return Err(RequestFault::CommandRefused { detail: reasons::outcome(&other).detail }.into()),
        }
    }
    tracing::info!(target: AUDIT, who = %who, origin, reason, dry_run, pieces = reviewed.pieces, new_pieces, "evidence was reviewed");
    Ok(Json(reviewed))
}

/// The names of all evidence that is kept of an origin, and how many of them no review names yet.
fn kept(node: &Node, origin: OriginId) -> Result<(Vec<(StreamSeq, u64)>, u64), StorageError> {
    node.warehouse.read(|reading| {
        let places = reading.evidence_places()?.into_iter().filter(|(of, ..)| *of == origin);
        let pieces: Vec<_> = places.map(|(_, seq, hash)| (seq, hash)).collect();
        let reviewed = reading.evidence_reviews()?.remove(&origin).map(|review| review.pieces).unwrap_or_default();
        let new_pieces = pieces.iter().filter(|piece| !reviewed.contains(piece)).count() as u64;
        Ok((pieces, new_pieces))
    })
}
