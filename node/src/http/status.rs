//! How the node and its site are: for people, for probes, for Prometheus.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use kho_replication::identity::PeerIdentity;
use kho_storage::schema::Schema;

use super::{
    access::{Right, check},
    fault::{OrderDone, RequestFault},
    reply::{HttpError, OrderReply, Reply, Told, task_lost},
};
use crate::{
    api::{Done, Problem, StatusReport},
    health,
    node::Node,
};

/// The node's and its site's state.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = StatusReport)))]
pub async fn status(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> Reply<StatusReport> {
    check(&node, &who, Right::Operate)?;
    let report = tokio::task::spawn_blocking(move || health::report(&node));
    Ok(Json(report.await.map_err(task_lost)??))
}

/// The schema that this node checks entries against.
#[utoipa::path(get, path = "/v1/schema", responses((status = 200, body = Object)))]
pub async fn schema(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> Reply<Schema> {
    check(&node, &who, Right::Watch)?;
    Ok(Json(node.warehouse.schema().as_ref().clone()))
}

/// Whether the process is alive and takes part.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Done), (status = 500, body = Problem)))]
pub async fn health(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> OrderReply {
    check(&node, &who, Right::Watch)?;
    match node.consensus.failed().borrow().clone() {
        None => Ok(Told(OrderDone::Alive {})),
        Some(why) => Err(RequestFault::NodeStopped { detail: why }.into()),
    }
}

/// Whether the node can answer: it has a register and a linearizable read succeeds.
#[utoipa::path(get, path = "/readyz", responses((status = 200, body = Done), (status = 503, body = Problem)))]
pub async fn ready(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> OrderReply {
    check(&node, &who, Right::Watch)?;
    if node.warehouse.register().is_none() {
        return Err(RequestFault::NoRegister {}.into());
    }
    node.consensus.read_index().await?;
    Ok(Told(OrderDone::Ready {}))
}

/// Metrics in Prometheus' text form.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "Prometheus text", content_type = "text/plain")))]
pub async fn metrics(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> Result<String, HttpError> {
    check(&node, &who, Right::Watch)?;
    let gathered = tokio::task::spawn_blocking(move || crate::metering::render(&node));
    Ok(gathered.await.map_err(task_lost)??)
}
