//! The level of the site: who holds the tree back, and raising it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Query, State},
};
use kho_messages::Ordinal;
use kho_replication::identity::PeerIdentity;
use kho_storage::{
    command::{Command, Outcome},
    level::Level,
};
use serde::Deserialize;

use super::{
    access::{Right, check},
    fault::{OrderDone, RequestFault},
    reply::{OrderReply, Reply, Told},
};
use crate::{
    api::{Done, Problem, UpgradeReport},
    audit::AUDIT,
    node::Node,
    reasons, upgrade,
};

/// The longest note of a test, in bytes.
const NOTE_BYTES_MAX: usize = 200;

/// Query of a raise.
#[derive(Debug, Deserialize)]
pub struct RaiseQuery {
    /// The level to raise to; without it the highest that the answering node supports.
    to: Option<u16>,
    /// Only check whether it could be raised.
    #[serde(default)]
    dry_run: bool,
}

/// Query of a note.
#[derive(Debug, Deserialize)]
pub struct NoteQuery {
    note: String,
}

/// How far the site is with an upgrade, and who holds it back. Every node of the site is asked.
#[utoipa::path(get, path = "/v1/upgrade", responses((status = 200, body = UpgradeReport)))]
pub async fn status(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> Reply<UpgradeReport> {
    check(&node, &who, Right::Operate)?;
    Ok(Json(upgrade::report(&node).await?))
}

/// Raises the level of the site for good, once every member supports it.
#[utoipa::path(post, path = "/v1/upgrade/raise", params(("to" = Option<u16>, Query, description = "the level; without it the highest that this node supports"), ("dry_run" = Option<bool>, Query, description = "only check whether it could be raised")), responses((status = 200, body = Done), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn raise(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Query(RaiseQuery { to, dry_run }): Query<RaiseQuery>,
) -> OrderReply {
    check(&node, &who, Right::Operate)?;
    let to = to.map_or(node.warehouse.supported_levels().max, Level);
    node.consensus.raise_level(to, dry_run).await?;
    tracing::info!(target: AUDIT, %who, level = %to, dry_run, "the level of the site was raised");
    let (level, site) = (Ordinal(to.0.into()), Ordinal(node.site().0.into()));
    Ok(Told(if dry_run { OrderDone::LevelCouldRise { level, site } } else { OrderDone::LevelRaised { level, site } }))
}

/// Keeps a note of a test. Exists from the level of tests on; every product refuses it.
#[utoipa::path(post, path = "/v1/upgrade/test-note", params(("note" = String, Query)), responses((status = 200, body = Done), (status = 409, body = Problem)))]
pub async fn note_test(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Query(NoteQuery { note }): Query<NoteQuery>,
) -> OrderReply {
    check(&node, &who, Right::Operate)?;
    if note.len() > NOTE_BYTES_MAX {
        return Err(RequestFault::Unreadable { detail: format!("a note has at most {NOTE_BYTES_MAX} bytes") }.into());
    }
    match node.consensus.propose(&Command::NoteTest { note }).await? {
        Outcome::Recorded => Ok(Told(OrderDone::TestNoted {})),
        other => Err(RequestFault::NodeStopped { detail: reasons::outcome(&other).detail }.into()),
    }
}
