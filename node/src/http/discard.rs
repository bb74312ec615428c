//! Taking out what entered wrongly: an origin that the register does not lead through this site.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use kho_messages::Ordinal;
use kho_replication::identity::PeerIdentity;
use kho_storage::{
    command::{Command, Outcome, Refusal},
    error::StorageError,
    ids::OriginId,
    warehouse::StoredEvidence,
};
use serde::Deserialize;

use super::{
    access::{Right, check},
    fault::RequestFault,
    reply::{HttpError, Reply},
};
use crate::{
    api::{OriginDiscarded, Problem},
    audit::AUDIT,
    node::Node,
    reasons,
};

/// The longest reason that an order gives, in characters.
const REASON_CHARS_MAX: usize = 200;

/// Whether an order gives a reason that the audit log can hold.
///
/// # Errors
/// [`RequestFault::ReasonMissing`].
pub(super) fn check_reason(reason: &str) -> Result<(), RequestFault> {
    if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        return Err(RequestFault::ReasonMissing { chars_max: REASON_CHARS_MAX });
    }
    Ok(())
}

/// Query of a discard.
#[derive(Debug, Deserialize)]
pub struct DiscardQuery {
    /// Why, for the audit log.
    reason: String,
    /// Only tell what would be taken out.
    #[serde(default)]
    dry_run: bool,
}

/// Takes an origin out of this site that the register does not lead through it: rows, batches and evidence.
#[utoipa::path(post, path = "/v1/origins/{origin}/discard", params(("origin" = u32, Path), ("reason" = String, Query, description = "why, for the audit log"), ("dry_run" = Option<bool>, Query, description = "only tell what would be taken out")), responses((status = 200, body = OriginDiscarded), (status = 400, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn discard(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(origin): Path<u32>,
    Query(DiscardQuery { reason, dry_run }): Query<DiscardQuery>,
) -> Reply<OriginDiscarded> {
    check(&node, &who, Right::Operate)?;
    check_reason(&reason)?;
    node.consensus.read_index().await?;
    let held = held(&node, OriginId(origin), dry_run)?.ok_or(RequestFault::UnknownOrigin { origin: Ordinal(origin.into()) })?;
    let register = node.warehouse.register().ok_or(RequestFault::NoRegister {})?;
    if register.leads_through(OriginId(origin), node.site()) {
        return Err(led(origin, &node));
    }
    if !dry_run {
        match node.consensus.propose(&Command::DiscardOrigin { origin: OriginId(origin) }).await? {
            Outcome::Recorded => {}
            Outcome::Refused(Refusal::OnPath { .. }) => return Err(led(origin, &node)),
            other => return Err(RequestFault::OriginNotDiscarded { detail: reasons::outcome(&other).detail }.into()),
        }
    }
    tracing::info!(target: AUDIT, who = %who, origin, reason, dry_run, rows = held.rows, "an origin was taken out");
    Ok(Json(held))
}

fn led(origin: u32, node: &Node) -> HttpError {
    RequestFault::OriginLed { origin: Ordinal(origin.into()), site: Ordinal(node.site().0.into()) }.into()
}

/// What the site holds of an origin; `None` when it is nothing.
fn held(node: &Node, origin: OriginId, dry_run: bool) -> Result<Option<OriginDiscarded>, StorageError> {
    node.warehouse.read(|reading| {
        let mut evidence = 0;
        reading.evidence(|kept: StoredEvidence| evidence += u64::from(kept.segment.origin() == origin))?;
        let state = reading.origin(origin)?;
        Ok((state.is_some() || evidence > 0).then(|| OriginDiscarded {
            origin: origin.0,
            rows: state.as_ref().map_or(0, |state| state.rows),
            batches: state.as_ref().map_or(0, |state| state.next.0 - state.oldest_kept.0),
            evidence,
            dry_run,
        }))
    })
}
