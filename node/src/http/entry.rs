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
use kho_messages::Ordinal;
use kho_replication::identity::PeerIdentity;
use kho_storage::{
    command::{WriteOutcome, WriteRequest},
    ids::{OriginId, StreamSeq},
    register::AreaScope,
    stream::REQUEST_KEY_BYTES_MAX,
};
use serde::Deserialize;

use super::{
    access::{Right, check},
    fault::RequestFault,
    reply::{HttpError, Reply},
};
use crate::{
    api::{BatchAccepted, LeftOut, Problem, REQUEST_KEY_HEADER},
    entry::{BodyPlace, CheckedBatch, EntryEncoding, EntryFormat, EntryLimits, EntryReader, EntryScope, UnnamedColumns, unmet},
    maintenance,
    node::Node,
};

/// Query of an entry request.
#[derive(Debug, Deserialize)]
pub struct EntryQuery {
    /// The table, for CSV.
    table: Option<String>,
    #[serde(default)]
    unnamed: UnnamedColumns,
}

/// Enters a batch of rows. Give the same request key again to retry safely.
///
/// A row that stands already keeps the columns that the body does not name: CSV names them in its header, NDJSON in each row. A column
/// that is named and empty is cleared. A new row needs every required column. With `unnamed=clear` rows are replaced whole.
#[utoipa::path(post, path = "/v1/batches", params(("table" = Option<String>, Query, description = "table of a CSV body"), ("unnamed" = Option<String>, Query, description = "what happens to the columns of a row that the body does not name: `stay` (the default) leaves them as they are, `clear` empties them"), ("kho-request-key" = String, Header, description = "names the request; at most 64 printable ASCII characters")),
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
    let reader = EntryReader::new(Arc::clone(&node.entry_schema), scope, format, encoding, query.unnamed, limits)?;
    let CheckedBatch { changes, needs, places, left_out, body_hash, rows } = read_body(reader, body).await?;
    let outcome = node.writer.write(origin, WriteRequest { key: request_key.clone(), body_hash, changes, needs }).await?;
    metrics::counter!("kho_entry_rows_total").increment(u64::from(rows));
    answer(&node, origin, Answered { request_key, places, left_out }, outcome)
}

/// Why entry is closed, and what to do.
fn site_set_back(node: &Node, origin: OriginId) -> Result<HttpError, HttpError> {
    let number = |seq: StreamSeq| Ordinal(seq.0);
    // It may have ended since: then the same request is taken when it comes again.
    let Some(noted) = node.warehouse.set_back(origin)? else { return Ok(RequestFault::Busy {}.into()) };
    let fault = RequestFault::SiteSetBack {
        origin: Ordinal(origin.0.into()),
        shown: number(noted.furthest.head.seq),
        held: number(noted.stood.previous()),
        wanted_from: number(noted.agreed.next()),
    };
    Ok(fault.into())
}

fn disk_full(node: &Node) -> HttpError {
    let folder = &node.config.data_dir;
    let free_mib = maintenance::disk_space(folder).map_or(0, |(free, _)| free >> 20);
    let fault = RequestFault::DiskFull { folder: folder.display().to_string(), free_mib, reserve_mib: node.config.limits.disk_reserve_mib };
    HttpError::from(fault).retry_after(maintenance::INTERVAL_MS)
}

async fn read_body(mut reader: EntryReader, body: Body) -> Result<CheckedBatch, HttpError> {
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| RequestFault::BodyCutShort { detail: error.to_string() })?;
        reader.feed(&chunk)?;
        tokio::task::consume_budget().await;
    }
    Ok(reader.finish()?)
}

/// What the answer to a batch says beside the outcome.
struct Answered {
    request_key: String,
    places: Vec<BodyPlace>,
    left_out: Vec<LeftOut>,
}

fn answer(node: &Node, origin: OriginId, batch: Answered, outcome: WriteOutcome) -> Reply<BatchAccepted> {
    let Answered { request_key, places, left_out } = batch;
    match outcome {
        WriteOutcome::Committed { epoch, seq: StreamSeq(seq), changes, repeated } => {
            Ok(Json(BatchAccepted { origin: origin.0, epoch: epoch.to_string(), seq, rows: changes, repeated, request_key, left_out }))
        }
        WriteOutcome::RequestKeyReused { first_body_hash, seq } => {
            Err(RequestFault::RequestKeyReused { key: request_key, first_hash: first_body_hash.to_string(), batch: Ordinal(seq.0) }.into())
        }
        WriteOutcome::RowRefused { index, why } => {
            let place = usize::try_from(index).ok().and_then(|index| places.get(index));
            Err(unmet(&node.entry_schema, place, &why).into())
        }
        WriteOutcome::Busy => Err(HttpError::from(crate::consensus::ProposeError::Busy { retry_after_ms: 500 })),
        WriteOutcome::SetBack => Err(site_set_back(node, origin)?),
        WriteOutcome::NotAuthor => Err(RequestFault::NotAuthor { origin: Ordinal(origin.0.into()) }.into()),
    }
}

fn request_key(headers: &HeaderMap) -> Result<String, HttpError> {
    let (header, bytes_max) = (REQUEST_KEY_HEADER, REQUEST_KEY_BYTES_MAX);
    let value = headers.get(REQUEST_KEY_HEADER).ok_or(RequestFault::RequestKeyMissing { header, bytes_max })?;
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= REQUEST_KEY_BYTES_MAX && key.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok(key.to_string())
        }
        _ => Err(RequestFault::RequestKeyMalformed { header, bytes_max }.into()),
    }
}

/// The origin that this site writes, and the units whose records it may author.
fn scope(node: &Node) -> Result<(OriginId, EntryScope), HttpError> {
    let register = node.warehouse.register().ok_or(RequestFault::NoRegister {})?;
    let areas: Vec<AreaScope> = register.site(node.site()).map(|site| site.areas.clone()).unwrap_or_default();
    match register.origins_of(node.site()).next() {
        Some(origin) => Ok((origin, EntryScope { areas })),
        None => Err(RequestFault::NoOriginToWrite { site: Ordinal(node.site().0.into()) }.into()),
    }
}
