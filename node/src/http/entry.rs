//! Entry: a batch is taken whole or refused whole.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Query, State},
    http::{
        HeaderMap,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use futures::StreamExt as _;
use kho_replication::identity::PeerIdentity;
use kho_storage::{
    command::{WriteOutcome, WriteRequest},
    ids::{Hash32, OriginId, StreamSeq},
    register::AreaScope,
    stream::REQUEST_KEY_BYTES_MAX,
};
use serde::Deserialize;

use super::{
    access::{Right, check},
    reply::{HttpError, Reply, refused, retry_later},
};
use crate::{
    api::{BatchAccepted, Problem, REQUEST_KEY_HEADER, RowProblem},
    entry::{CheckedBatch, EntryEncoding, EntryFormat, EntryLimits, EntryReader, EntryRefusal, EntryScope},
    maintenance,
    node::Node,
};

/// Query of an entry request.
#[derive(Debug, Deserialize)]
pub struct EntryQuery {
    /// The table, for CSV.
    table: Option<String>,
}

/// Enters a batch of rows. Give the same request key again to retry safely.
#[utoipa::path(post, path = "/v1/batches", params(("table" = Option<String>, Query, description = "table of a CSV body"), ("kho-request-key" = String, Header, description = "names the request; at most 64 printable ASCII characters")),
    request_body(content = String, description = "NDJSON (application/x-ndjson) or CSV (text/csv); Content-Encoding gzip is understood", content_type = "application/x-ndjson"),
    responses((status = 200, body = BatchAccepted), (status = 400, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem), (status = 504, body = Problem)))]
pub async fn enter_batch(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Query(query): Query<EntryQuery>,
    headers: HeaderMap,
    body: Body,
) -> Reply<BatchAccepted> {
    check(&node, &who, Right::Enter)?;
    let request_key = request_key(&headers)?;
    let (origin, scope) = scope(&node)?;
    if !node.disk.room().takes_entry() {
        return Err(disk_full(&node));
    }
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = EntryFormat::of_media_type(header(CONTENT_TYPE), query.table.as_deref())?;
    let encoding = EntryEncoding::of_content_encoding(header(CONTENT_ENCODING))?;
    let limits = EntryLimits { body_bytes_max: node.config.limits.entry_body_mib << 20, ..EntryLimits::default() };
    let reader = EntryReader::new(Arc::clone(&node.entry_schema), scope, format, encoding, limits)?;
    let batch = read_body(reader, body).await?;
    let (rows, body_hash) = (batch.rows, batch.body_hash);
    let outcome = node.writer.write(origin, WriteRequest { key: request_key.clone(), body_hash, changes: batch.changes }).await?;
    metrics::counter!("kho_entry_rows_total").increment(u64::from(rows));
    answer(origin, request_key, outcome)
}

fn disk_full(node: &Node) -> HttpError {
    let folder = &node.config.data_dir;
    let free_mib = maintenance::disk_space(folder).map_or(0, |(free, _)| free >> 20);
    let reserve_mib = node.config.limits.disk_reserve_mib;
    let message =
        format!("{free_mib} MiB are free on the disk of {}: entry is refused until {reserve_mib} MiB are free again", folder.display());
    retry_later(503, "disk_full", message, maintenance::INTERVAL_MS)
}

async fn read_body(mut reader: EntryReader, body: Body) -> Result<CheckedBatch, HttpError> {
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| refused(400, "body_cut_short", format!("the body ended early: {error}"), "send it again"))?;
        reader.feed(&chunk)?;
        tokio::task::consume_budget().await;
    }
    Ok(reader.finish()?)
}

fn answer(origin: OriginId, request_key: String, outcome: WriteOutcome) -> Reply<BatchAccepted> {
    match outcome {
        WriteOutcome::Committed { epoch, seq: StreamSeq(seq), changes, repeated } => {
            Ok(Json(BatchAccepted { origin: origin.0, epoch: epoch.to_string(), seq, rows: changes, repeated, request_key }))
        }
        WriteOutcome::RequestKeyReused { first_body_hash, seq } => Err(key_reused(&request_key, first_body_hash, seq)),
        WriteOutcome::RowMissing { index } => {
            let mut refused = refused(
                422,
                "batch_refused",
                "the batch takes away a row that does not exist; nothing was changed",
                "correct the batch and send it again under a new request key",
            );
            refused.problem.errors.push(RowProblem {
                row: Some(u64::from(index) + 1),
                line: None,
                column: None,
                code: "row_missing".into(),
                message: "there is no such row to take away".into(),
                hint: "check the key, or leave the row out".into(),
            });
            Err(refused)
        }
        WriteOutcome::Busy => Err(HttpError::from(crate::consensus::ProposeError::Busy { retry_after_ms: 500 })),
        WriteOutcome::NotAuthor => Err(refused(
            409,
            "not_author",
            format!("this site does not write origin {origin}"),
            "enter the records at the site that does; see `kho register show`",
        )),
    }
}

fn key_reused(request_key: &str, first: Hash32, seq: StreamSeq) -> HttpError {
    refused(
        409,
        "request_key_reused",
        format!("the request key `{request_key}` came before with another body (hash {first}, batch {seq}); nothing was changed"),
        "give every new body a request key of its own",
    )
}

fn request_key(headers: &HeaderMap) -> Result<String, HttpError> {
    let hint = format!(
        "send a header `{REQUEST_KEY_HEADER}` of 1 to {REQUEST_KEY_BYTES_MAX} printable ASCII characters, the same again for a retry"
    );
    let Some(value) = headers.get(REQUEST_KEY_HEADER) else {
        return Err(refused(400, "request_key_missing", "the request has no request key", hint));
    };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= REQUEST_KEY_BYTES_MAX && key.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok(key.to_string())
        }
        _ => Err(refused(400, "request_key_malformed", "the request key is empty, too long, or holds other characters", hint)),
    }
}

/// The origin that this site writes, and the units whose records it may author.
fn scope(node: &Node) -> Result<(OriginId, EntryScope), HttpError> {
    let Some(register) = node.warehouse.register() else {
        return Err(refused(503, "no_register", "this site has no register yet", "give it one with `kho register apply`"));
    };
    let areas: Vec<AreaScope> = register.site(node.site()).map(|site| site.areas.clone()).unwrap_or_default();
    match register.origins_of(node.site()).next() {
        Some(origin) => Ok((origin, EntryScope { areas })),
        None => Err(refused(
            409,
            "not_author",
            format!("the register gives site {} no origin to write", node.site()),
            "enter the records at the site that authors them; see `kho register show`",
        )),
    }
}

impl From<EntryRefusal> for HttpError {
    fn from(refusal: EntryRefusal) -> Self {
        let first = refusal.errors.first();
        let mut refused = refused(
            refusal.status.http(),
            "batch_refused",
            format!("the batch was refused whole, nothing was changed{}", first.map(|e| format!(": {}", e.message)).unwrap_or_default()),
            first.map_or_else(|| "correct the body and send it again".into(), |e| e.hint.clone()),
        );
        refused.problem.more = refusal.more;
        refused.problem.errors = refusal
            .errors
            .into_iter()
            .map(|e| RowProblem { row: e.row, line: e.line, column: e.column, code: e.code.into(), message: e.message, hint: e.hint })
            .collect();
        refused
    }
}
