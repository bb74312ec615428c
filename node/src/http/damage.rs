//! Damage that a read of this node's disk found, and an operator's word that the disk was examined.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use kho_messages::Ordinal;
use kho_replication::identity::PeerIdentity;
use serde::Deserialize;

use super::{
    access::{Right, check},
    discard::check_reason,
    fault::RequestFault,
    reply::Reply,
};
use crate::{
    api::{DamageExamined, Finding, Problem},
    audit::AUDIT,
    node::Node,
};

/// Origins that a refusal names.
const NAMED_MAX: usize = 10;

/// Query of the order.
#[derive(Debug, Deserialize)]
pub struct ExaminedQuery {
    /// What was found out, for the audit log.
    reason: String,
    /// Only tell whether the order would be taken.
    #[serde(default)]
    dry_run: bool,
}

/// Ends the finding about damage on this node's own disk. Refused until every origin that is held was proved since.
#[utoipa::path(post, path = "/v1/site/nodes/{node}/damage-examined", params(("node" = u64, Path, description = "the node that is asked"), ("reason" = String, Query, description = "what was found out, for the audit log"), ("dry_run" = Option<bool>, Query, description = "only tell whether the order would be taken")), responses((status = 200, body = DamageExamined), (status = 400, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn damage_examined(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(named): Path<u64>,
    Query(ExaminedQuery { reason, dry_run }): Query<ExaminedQuery>,
) -> Reply<DamageExamined> {
    check(&node, &who, Right::Operate)?;
    check_reason(&reason)?;
    let own = node.config.node.0;
    if named != own {
        return Err(RequestFault::OtherNode { node: Ordinal(named), own: Ordinal(own) }.into());
    }
    let Some(Finding::DamageFound { found_at, what }) = node.damage_found.finding() else {
        return Err(RequestFault::NoDamage { node: Ordinal(own) }.into());
    };
    let held = node.warehouse.origins()?.into_iter().map(|(origin, _)| origin);
    let unproved = if dry_run {
        node.damage_found.unproved(held)
    } else {
        node.damage_found.end(held).map_err(|error| RequestFault::LocalStorage { detail: error.to_string() })?
    };
    if !unproved.is_empty() {
        let origins: Vec<String> = unproved.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        return Err(RequestFault::DamageUnproved { count: unproved.len() as u64, origins: origins.join(", ") }.into());
    }
    // Not what was found: it may name a row by its key.
    tracing::info!(target: AUDIT, who = %who, reason, dry_run, found_at, "damage was examined");
    Ok(Json(DamageExamined { node: own, found_at, what, dry_run }))
}
