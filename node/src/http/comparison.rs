//! Where two sites differ: rows by keyed hashes. An operator learns that rows differ, and not whose they are; who may read rows finds the
//! key of a hash.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use kho_messages::Ordinal;
use kho_replication::identity::PeerIdentity;
use kho_storage::{
    encryption::ContentKey,
    ids::{Hash32, NodeId, OriginId, SiteId, TableId},
    warehouse::{ComparisonKey, KeyBucket},
};
use serde::Deserialize;

use super::{
    access::{Right, check},
    bundle::signing_key,
    fault::RequestFault,
    reply::{HttpError, Reply, task_lost},
};
use crate::{
    api::{ComparisonOrder, ComparisonTokens, Problem, RowHash, RowNamed},
    audit::AUDIT,
    comparison::{ComparisonError, NODES_MAX, NodeRef, issue, open},
    node::Node,
};

/// Begins a comparison of an origin: a secret for each node, which that node alone opens.
#[utoipa::path(post, path = "/v1/origins/{origin}/comparison", params(("origin" = u32, Path)), request_body = ComparisonOrder, responses((status = 200, body = ComparisonTokens), (status = 404, body = Problem)))]
pub async fn begin(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(origin): Path<u32>,
    Json(order): Json<ComparisonOrder>,
) -> Reply<ComparisonTokens> {
    check(&node, &who, Right::Operate)?;
    if order.nodes.len() > NODES_MAX {
        return Err(RequestFault::ComparisonTooWide { nodes_max: NODES_MAX }.into());
    }
    let register = node.warehouse.register().ok_or(RequestFault::NoRegister {})?;
    let readers: Vec<NodeRef> = order.nodes.iter().map(|at| (SiteId(at.site), NodeId(at.node))).collect();
    let tokens = issue(&register, OriginId(origin), own(&node), &signing_key(&node)?, &readers).map_err(fault)?;
    Ok(Json(ComparisonTokens { tokens }))
}

/// Query of what belongs to a comparison.
#[derive(Debug, Deserialize)]
pub struct TokenQuery {
    token: String,
}

/// Keyed digests of an origin's rows by bucket of their keys.
#[utoipa::path(get, path = "/v1/origins/{origin}/buckets", params(("origin" = u32, Path), ("token" = String, Query, description = "this node's token of the comparison")), responses((status = 200, description = "256 buckets", body = Vec<Object>), (status = 403, body = Problem)))]
pub async fn buckets(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(origin): Path<u32>,
    Query(query): Query<TokenQuery>,
) -> Reply<Vec<KeyBucket>> {
    check(&node, &who, Right::Operate)?;
    let secret = secret(&node, origin, &query.token)?;
    let found = tokio::task::spawn_blocking(move || node.warehouse.key_buckets(OriginId(origin), ComparisonKey(&secret)));
    Ok(Json(found.await.map_err(task_lost)??))
}

/// Keyed hashes of the rows in one bucket.
#[utoipa::path(get, path = "/v1/origins/{origin}/buckets/{bucket}", params(("origin" = u32, Path), ("bucket" = u8, Path), ("token" = String, Query)), responses((status = 200, body = Vec<RowHash>), (status = 403, body = Problem)))]
pub async fn bucket_rows(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path((origin, bucket)): Path<(u32, u8)>,
    Query(query): Query<TokenQuery>,
) -> Reply<Vec<RowHash>> {
    check(&node, &who, Right::Operate)?;
    let secret = secret(&node, origin, &query.token)?;
    let found = {
        let node = Arc::clone(&node);
        tokio::task::spawn_blocking(move || node.warehouse.bucket_rows(OriginId(origin), bucket, ComparisonKey(&secret)))
    };
    let rows = found.await.map_err(task_lost)??;
    let hashes = |row: kho_storage::warehouse::ComparedRow| RowHash {
        table: table_name(&node, row.table),
        key_hash: row.key.to_hex(),
        hash: row.content.to_hex(),
    };
    Ok(Json(rows.into_iter().map(hashes).collect()))
}

/// Query for the row behind a hash.
#[derive(Debug, Deserialize)]
pub struct HashQuery {
    token: String,
    hash: String,
}

/// Table and key of the row that a comparison named by a hash. Needs the right to read rows.
#[utoipa::path(get, path = "/v1/origins/{origin}/row-of-hash", params(("origin" = u32, Path), ("token" = String, Query), ("hash" = String, Query)), responses((status = 200, body = RowNamed), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn row_of_hash(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(origin): Path<u32>,
    Query(query): Query<HashQuery>,
) -> Reply<RowNamed> {
    check(&node, &who, Right::ReadRows)?;
    let secret = secret(&node, origin, &query.token)?;
    let unknown = || RequestFault::RowHashUnknown { origin: Ordinal(origin.into()) };
    let hash: Hash32 = query.hash.parse().map_err(|_| unknown())?;
    let found = {
        let node = Arc::clone(&node);
        tokio::task::spawn_blocking(move || node.warehouse.row_of_hash(OriginId(origin), hash, ComparisonKey(&secret)))
    };
    let (table, key) = found.await.map_err(task_lost)??.ok_or_else(unknown)?;
    let named = RowNamed { table: table_name(&node, table), key: String::from_utf8_lossy(&key).into_owned() };
    tracing::info!(target: AUDIT, who = %who, table = named.table, key_hash = node.audit_key.hash(&named.table, &named.key), "a row was named");
    Ok(Json(named))
}

fn own(node: &Node) -> NodeRef {
    (node.site(), node.config.node)
}

fn secret(node: &Node, origin: u32, token: &str) -> Result<ContentKey, HttpError> {
    let register = node.warehouse.register().ok_or(RequestFault::NoRegister {})?;
    Ok(open(&register, OriginId(origin), own(node), &node.decryption_key, token).map_err(fault)?)
}

fn fault(error: ComparisonError) -> RequestFault {
    match error {
        ComparisonError::NotAHolder(site, node) => {
            RequestFault::ComparisonNodeUnknown { site: Ordinal(site.0.into()), node: Ordinal(node.0) }
        }
        ComparisonError::Refused(why) => RequestFault::ComparisonRefused { detail: why.into() },
        ComparisonError::Failed(detail) => RequestFault::ComparisonFailed { detail },
    }
}

fn table_name(node: &Node, table: TableId) -> String {
    node.warehouse.schema().table(table).map_or_else(|| format!("#{table}"), |table| table.name.clone())
}
