//! What a site that was set back had acknowledged: by batch, and by the keys of its rows.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use kho_messages::Ordinal;
use kho_replication::identity::PeerIdentity;
use kho_storage::{
    ids::{OriginId, SiteId, StreamSeq, TableId},
    warehouse::SetBack,
};
use serde::Deserialize;

use super::{
    access::{Right, check},
    fault::RequestFault,
    reply::{Reply, task_lost},
};
use crate::{
    api::{BranchRow, BranchRows, Problem, SiteSetBack},
    audit::AUDIT,
    node::Node,
    reasons,
};

/// An answer ends with the batch that passes this many rows.
const ROWS_MAX: usize = 10_000;

/// Every own origin that was set back, and the batches that were acknowledged on the branch.
#[utoipa::path(get, path = "/v1/set-backs", responses((status = 200, body = Vec<SiteSetBack>)))]
pub async fn set_backs(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> Reply<Vec<SiteSetBack>> {
    check(&node, &who, Right::Operate)?;
    let noted = node.warehouse.read(|reading| reading.set_backs())?;
    Ok(Json(noted.iter().map(|(origin, noted)| describe(node.site(), *origin, noted)).collect()))
}

fn describe(site: SiteId, origin: OriginId, noted: &SetBack) -> SiteSetBack {
    let (shown, branch) = (&noted.furthest.head, noted.branch());
    let batches = (branch.start < branch.end).then(|| (branch.start.0, branch.end.previous().0));
    SiteSetBack {
        site: site.0,
        origin: origin.0,
        noted_at: noted.noted_at.to_rfc3339(),
        shown_by: reasons::shown_by(noted.shown_by),
        shown_seq: shown.seq.0,
        shown_chain: shown.chain.to_hex(),
        shown_time: shown.site_time.to_rfc3339(),
        seq: noted.stood.previous().0,
        agreed: noted.agreed.0,
        acknowledged_from: batches.map(|(first, _)| first),
        acknowledged_to: batches.map(|(_, last)| last),
        compared: noted.differs_at.is_some(),
    }
}

/// Query of the rows of a branch.
#[derive(Debug, Deserialize)]
pub struct BranchQuery {
    /// First batch wanted; by default the first of the branch.
    from: Option<u64>,
}

/// Keys of the rows that the batches of the branch changed, without what the rows say. Needs the right to read rows.
#[utoipa::path(get, path = "/v1/origins/{origin}/branch-rows", params(("origin" = u32, Path), ("from" = Option<u64>, Query)), responses((status = 200, body = BranchRows), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn branch_rows(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(origin): Path<u32>,
    Query(query): Query<BranchQuery>,
) -> Reply<BranchRows> {
    check(&node, &who, Right::ReadRows)?;
    let origin = OriginId(origin);
    let noted = node.warehouse.set_back(origin)?.ok_or(RequestFault::NotSetBack { origin: Ordinal(origin.0.into()) })?;
    let mut branch = noted.branch();
    branch.start = branch.start.max(query.from.map_or(StreamSeq(0), StreamSeq));
    let read = {
        let node = Arc::clone(&node);
        tokio::task::spawn_blocking(move || read_rows(&node, origin, branch))
    };
    let found = read.await.map_err(task_lost)??;
    for row in &found.rows {
        tracing::info!(target: AUDIT, who = %who, table = row.table, key_hash = node.audit_key.hash(&row.table, &row.key), "a row was named");
    }
    Ok(Json(found))
}

fn read_rows(node: &Node, origin: OriginId, branch: std::ops::Range<StreamSeq>) -> Result<BranchRows, kho_storage::error::StorageError> {
    let schema = node.warehouse.schema();
    let table = |table: TableId| schema.table(table).map_or_else(|| format!("#{table}"), |table| table.name.clone());
    let (mut rows, mut next): (Vec<BranchRow>, _) = (Vec::new(), None);
    node.warehouse.read(|reading| {
        reading.branch_rows(origin, branch, |row| {
            if rows.len() >= ROWS_MAX && rows.last().is_some_and(|last| last.batch != row.seq.0) {
                next = Some(row.seq.0);
                return false;
            }
            rows.push(BranchRow {
                batch: row.seq.0,
                time: row.time.to_rfc3339(),
                table: table(row.table),
                key: String::from_utf8_lossy(&row.key).into_owned(),
                removed: row.removed,
            });
            true
        })
    })?;
    Ok(BranchRows { rows, next })
}
