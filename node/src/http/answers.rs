//! Questions: numbers for operators and clients, rows for clients.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use kho_replication::identity::PeerIdentity;

use super::{
    access::{Right, check},
    fault::RequestFault,
    reply::{HttpError, Reply, task_lost},
};
use crate::{
    answer::{IndicatorInfo, IndicatorQuery, ReadMode, answer_indicator, find_row, indicator_list},
    api::{IndicatorAnswer, Problem, RowAnswer},
    audit::AUDIT,
    node::Node,
};

/// Lists the indicators and how they can be grouped.
#[utoipa::path(get, path = "/v1/indicators", responses((status = 200, description = "name, label and groupings of every indicator", body = Vec<Object>)))]
pub async fn list(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> Reply<Vec<IndicatorInfo>> {
    check(&node, &who, Right::ReadIndicators)?;
    Ok(Json(indicator_list()))
}

/// Answers an indicator, with what the answer rests on.
#[utoipa::path(get, path = "/v1/indicators/{name}", params(("name" = String, Path, description = "such as `population`"), ("area" = Option<String>, Query, description = "unit code"), ("catalogue" = Option<String>, Query), ("level" = Option<String>, Query, description = "commune, district, province, region or country"), ("by" = Option<String>, Query, description = "groupings, comma-separated"), ("at" = Option<String>, Query, description = "date at which ages are taken"), ("from" = Option<String>, Query), ("to" = Option<String>, Query), ("read" = Option<String>, Query, description = "linearizable (default) or local")),
    responses((status = 200, body = IndicatorAnswer), (status = 400, body = Problem), (status = 403, body = Problem), (status = 503, body = Problem)))]
pub async fn indicator(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(name): Path<String>,
    Query(mut parameters): Query<BTreeMap<String, String>>,
) -> Reply<IndicatorAnswer> {
    check(&node, &who, Right::ReadIndicators)?;
    let read = ready_to_read(&node, parameters.remove("read").as_deref()).await?;
    let query = IndicatorQuery::parse(&name, &parameters, node.clock.now())?;
    let answered = tokio::task::spawn_blocking(move || {
        let context = node.answer_context(read);
        node.warehouse.read(|reading| answer_indicator(reading, node.warehouse.schema(), &query, &context))
    });
    Ok(Json(answered.await.map_err(task_lost)???))
}

/// Finds a row by key in every origin that holds it.
#[utoipa::path(get, path = "/v1/rows/{table}/{key}", params(("table" = String, Path), ("key" = String, Path), ("read" = Option<String>, Query)),
    responses((status = 200, body = RowAnswer), (status = 400, body = Problem), (status = 403, body = Problem), (status = 503, body = Problem)))]
pub async fn row(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path((table, key)): Path<(String, String)>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Reply<RowAnswer> {
    check(&node, &who, Right::ReadRows)?;
    let read = ready_to_read(&node, parameters.get("read").map(String::as_str)).await?;
    // Who read whose record is told, not what it says.
    tracing::info!(target: AUDIT, who = %who, table, key_hash = node.audit_key.hash(&table, &key), "a row was read");
    let answered = tokio::task::spawn_blocking(move || {
        let context = node.answer_context(read);
        node.warehouse.read(|reading| find_row(reading, node.warehouse.schema(), &table, &key, &context))
    });
    Ok(Json(answered.await.map_err(task_lost)???))
}

/// Makes sure that the node has applied what the mode promises.
async fn ready_to_read(node: &Node, mode: Option<&str>) -> Result<ReadMode, HttpError> {
    let mode = ReadMode::parse(mode)?;
    if mode == ReadMode::Linearizable {
        node.consensus.read_index().await?;
    } else if node.consensus.status().applied.is_none() {
        return Err(RequestFault::NotReady {}.into());
    }
    Ok(mode)
}
