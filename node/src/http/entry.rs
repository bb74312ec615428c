//! Entry: a batch is taken whole or refused whole.

use std::{sync::Arc, time::Duration};

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
    error::StorageError,
    ids::{OriginId, StreamSeq},
    register::AreaScope,
    stream::REQUEST_KEY_BYTES_MAX,
};
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    access::{Right, check},
    fault::RequestFault,
    reply::{HttpError, Reply, task_lost},
};
use crate::{
    api::{BatchAccepted, BatchChecked, EmptiedFields, LeftOut, Problem, REQUEST_KEY_HEADER},
    byte_budget::{ByteBudget, ByteShare},
    entry::{BodyPlace, CheckedBatch, EntryEncoding, EntryFormat, EntryLimits, EntryReader, EntryScope, UnnamedColumns, unmet},
    maintenance,
    node::Node,
};

/// A body is read in pieces so small that what one of them unfolds to, at most a thousand times as much, is little beside the budget.
const PIECE_BYTES: usize = 2 << 10;
/// A client that sends nothing for so long does not keep its room.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client should wait when all room is taken: a few commits.
const FULL_RETRY_MS: u64 = 1_000;

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
    let reader = reader_of(&node, scope, &query, &headers)?;
    // On the heap: the router moves this future about, which holds all that reading needs.
    let (batch, share) = Box::pin(read_body(reader, body, node.writer.budget(), CHUNK_TIMEOUT)).await?;
    let CheckedBatch { changes, needs, places, left_out, body_hash, rows } = batch;
    let outcome = node.writer.write(origin, WriteRequest { key: request_key.clone(), body_hash, changes, needs }, share).await?;
    metrics::counter!("kho_entry_rows_total").increment(u64::from(rows));
    answer(&node, origin, Answered { request_key, places, left_out }, outcome)
}

/// Checks a batch of rows as entry does, and counts the fields that it would empty. Nothing is entered, and needs no request key.
///
/// The rows that stand are read after everything that was acknowledged. What a row asks of one that stands is not checked here.
#[utoipa::path(post, path = "/v1/batches/check", params(("table" = Option<String>, Query, description = "table of a CSV body"), ("unnamed" = Option<String>, Query, description = "as for `/v1/batches`")),
    request_body(content = String, description = "as for `/v1/batches`", content_type = "application/x-ndjson"),
    responses((status = 200, body = BatchChecked), (status = 400, body = Problem), (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn check_batch(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Query(query): Query<EntryQuery>,
    headers: HeaderMap,
    body: Body,
) -> Reply<BatchChecked> {
    check(&node, &who, Right::Enter)?;
    let (origin, scope) = scope(&node)?;
    let reader = reader_of(&node, scope, &query, &headers)?;
    let (batch, share) = Box::pin(read_body(reader, body, node.writer.budget(), CHUNK_TIMEOUT)).await?;
    node.consensus.read_index().await?;
    let CheckedBatch { changes, left_out, rows, .. } = batch;
    let counted = tokio::task::spawn_blocking(move || {
        let _room = share;
        let emptied = node.warehouse.read(|reading| reading.emptied_by(origin, &changes))?;
        let named = emptied.into_iter().filter_map(|((table, column), fields)| {
            let table = node.warehouse.schema().table(table)?;
            let column = table.column(column)?.name.clone();
            Some(EmptiedFields { table: table.name.clone(), column, fields })
        });
        Ok::<_, StorageError>(named.collect())
    });
    Ok(Json(BatchChecked { rows, emptied: counted.await.map_err(task_lost)??, left_out }))
}

/// What reads the body of a request.
fn reader_of(node: &Node, scope: EntryScope, query: &EntryQuery, headers: &HeaderMap) -> Result<EntryReader, HttpError> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = EntryFormat::of_media_type(header(CONTENT_TYPE), query.table.as_deref())?;
    let encoding = EntryEncoding::of_content_encoding(header(CONTENT_ENCODING))?;
    let limits = EntryLimits { body_bytes_max: node.config.limits.entry_body_mib << 20, ..EntryLimits::default() };
    Ok(EntryReader::new(Arc::clone(node.entry_schema()), scope, format, encoding, query.unnamed, limits)?)
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

/// Reads a body, and takes room for it while it grows.
async fn read_body(
    mut reader: EntryReader,
    body: Body,
    budget: &ByteBudget,
    silent_for_max: Duration,
) -> Result<(CheckedBatch, ByteShare), HttpError> {
    let full = || HttpError::from(RequestFault::EntryFull { mib_max: budget.bytes_max() >> 20 }).retry_after(FULL_RETRY_MS);
    let mut share = budget.try_take(reader.memory_bytes()).ok_or_else(full)?;
    let mut chunks = body.into_data_stream();
    let cut_short = |detail: String| RequestFault::BodyCutShort { detail };
    let silent = |_| cut_short(format!("no byte came for {} ms", silent_for_max.as_millis()));
    while let Some(chunk) = timeout(silent_for_max, chunks.next()).await.map_err(silent)? {
        let chunk = chunk.map_err(|error| cut_short(error.to_string()))?;
        for piece in chunk.chunks(PIECE_BYTES) {
            reader.feed(piece)?;
            if !share.try_grow_to(reader.memory_bytes()) {
                return Err(full());
            }
        }
        tokio::task::consume_budget().await;
    }
    Ok((reader.finish()?, share))
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
            Err(unmet(node.entry_schema(), place, &why).into())
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

#[cfg(test)]
mod tests {
    use axum::{http::header::RETRY_AFTER, response::IntoResponse as _};
    use kho_messages::Lang;
    use kho_storage::{level::Level, schema::population};

    use super::*;
    use crate::entry::EntrySchema;

    fn reader(encoding: EntryEncoding) -> EntryReader {
        let (schema, scope) = (Arc::new(EntrySchema::compile(population(), Level::FOUNDING)), EntryScope { areas: vec![] });
        EntryReader::new(schema, scope, EntryFormat::Ndjson, encoding, UnnamedColumns::Stay, EntryLimits::default())
            .expect("a known format")
    }

    fn removals(rows: usize) -> String {
        (0..rows).map(|row| format!("{{\"table\":\"person\",\"delete\":\"P{row}\"}}\n")).collect()
    }

    #[tokio::test]
    async fn an_entry_for_which_there_is_no_room_is_refused_with_a_time_to_come_back_and_keeps_none() {
        let budget = ByteBudget::new(1 << 20);
        let read = async |rows| read_body(reader(EntryEncoding::Identity), Body::from(removals(rows)), &budget, CHUNK_TIMEOUT).await;
        let (batch, held) = read(1_000).await.expect("there is room");
        assert_eq!(batch.rows, 1_000);
        let refused = read(2_000).await.map(drop).expect_err("the first one is not answered yet");
        assert_eq!(refused.problem(Lang::En).code, "entry_full");
        let response = refused.into_response();
        assert_eq!((response.status().as_u16(), response.headers()[RETRY_AFTER].to_str().ok()), (503, Some("1")));
        drop(held);
        assert!(read(2_000).await.is_ok());
        assert!(budget.try_take(1 << 20).is_some(), "all of it was given back");
    }

    #[tokio::test]
    async fn what_a_small_body_unfolds_to_takes_room_too() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packed, removals(10_000).as_bytes()).expect("in memory");
        let packed = packed.finish().expect("in memory");
        assert!(packed.len() < 128 << 10, "{} bytes", packed.len());
        let budget = ByteBudget::new(1 << 20);
        let refused = read_body(reader(EntryEncoding::Gzip), Body::from(packed), &budget, CHUNK_TIMEOUT)
            .await
            .map(drop)
            .expect_err("it takes 2.5 MiB");
        assert_eq!(refused.problem(Lang::En).code, "entry_full");
    }

    #[tokio::test]
    async fn a_client_that_falls_silent_does_not_keep_its_room() {
        let budget = ByteBudget::new(1 << 20);
        let body = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let silent_for_max = Duration::from_millis(20);
        let refused =
            read_body(reader(EntryEncoding::Identity), body, &budget, silent_for_max).await.map(drop).expect_err("no byte ever comes");
        assert_eq!(refused.problem(Lang::En).code, "body_cut_short");
        assert!(budget.try_take(1 << 20).is_some());
    }
}
