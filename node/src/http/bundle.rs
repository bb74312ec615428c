//! Signed and encrypted files for links that are down: the same segments, carried by hand. Nothing of them lies on a disk in plain:
//! an export is encrypted while it is written, and an import decrypts what it reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufWriter, Seek as _},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension, Json,
    body::Body,
    extract::{Query, State},
    http::{HeaderName, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures::StreamExt as _;
use kho_messages::Ordinal;
use kho_replication::{
    bundle::{BundleAuthor, BundleError, BundleOpener, BundleReader, BundleWriter, DecryptingReader, EncryptingWriter},
    identity::PeerIdentity,
};
use kho_storage::{
    checks::check_path,
    command::{Command, Outcome, Refusal},
    ids::{OriginId, SiteId, StreamSeq},
    register::VerifiedRegister,
    signature::SigningKey,
};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;

use super::{
    access::{Right, check},
    fault::RequestFault,
    reply::{HttpError, Reply, task_lost},
};
use crate::{
    api::{BundleImported, Problem},
    audit::AUDIT,
    node::Node,
    reasons,
};

/// Names the site that can read an exported bundle.
const BUNDLE_READER_HEADER: HeaderName = HeaderName::from_static("kho-bundle-for");
/// The longest bundle that is taken, in bytes.
const BUNDLE_BYTES_MAX: u64 = 64 << 30;
/// The longest parameter that a refusal repeats, in characters.
const GIVEN_CHARS_MAX: usize = 80;
const SEGMENT_BYTES_WANTED: usize = 4 << 20;
/// How long an export waits for the head of what stands, and between two looks.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const HEAD_LOOK: Duration = Duration::from_millis(5);

/// Query of an export.
#[derive(Debug, Deserialize)]
pub struct ExportQuery {
    /// Origins to export, comma-separated; all by default.
    origins: Option<String>,
    /// `ORIGIN:SEQ,…`: first batch wanted; by default what the active parent has not acknowledged.
    from: Option<String>,
    /// The site that shall read the file; by default the active parent.
    #[serde(rename = "for")]
    reader: Option<SiteId>,
}

/// Exports streams into a signed file that the nodes of one site can read.
#[utoipa::path(get, path = "/v1/bundle", params(("origins" = Option<String>, Query), ("from" = Option<String>, Query, description = "ORIGIN:SEQ, comma-separated"), ("for" = Option<u32>, Query, description = "the site that shall read it; by default the active parent")),
    responses((status = 200, description = "the encrypted and signed file; the header `kho-bundle-for` names its reader", content_type = "application/octet-stream"), (status = 400, body = Problem), (status = 409, body = Problem)))]
pub async fn export(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, HttpError> {
    check(&node, &who, Right::Operate)?;
    node.consensus.read_index().await?;
    heads_cover_what_stands(&node).await?;
    let register = node.warehouse.register().ok_or(RequestFault::NoRegister {})?;
    let reader = query.reader.or_else(|| register.active_parent(node.site())).ok_or(RequestFault::BundleReaderMissing {})?;
    let starts = starts(&node, &query, &register, reader)?;
    let origins = listed(starts.keys());
    let written = tokio::task::spawn_blocking(move || write_bundle(&node, &starts, &register, reader));
    let file = tokio::fs::File::from_std(written.await.map_err(task_lost)??);
    tracing::info!(target: AUDIT, who = %who, %reader, origins, "a bundle was exported");
    let headers = [(CONTENT_TYPE, "application/octet-stream".to_string()), (BUNDLE_READER_HEADER, reader.to_string())];
    Ok((headers, Body::from_stream(ReaderStream::new(file))).into_response())
}

/// Waits until heads cover every batch that stands now: nothing that was acknowledged before the call is left out. Without a head within
/// a bound, as when the leader can't sign, the export goes on with what is covered.
async fn heads_cover_what_stands(node: &Node) -> Result<(), HttpError> {
    let deadline = Instant::now() + HEAD_TIMEOUT;
    for (origin, stood) in node.warehouse.origins()? {
        while let Some(state) = node.warehouse.origin(origin)?
            && state.head_seq.is_none_or(|covered| covered < stood.last())
            && stood.last() > StreamSeq(0)
            && Instant::now() < deadline
        {
            tokio::time::sleep(HEAD_LOOK).await;
        }
    }
    Ok(())
}

/// First batch wanted of every stream that is to be exported: of those named, or of all that the register leads through `reader`.
fn starts(
    node: &Node,
    query: &ExportQuery,
    register: &VerifiedRegister,
    reader: SiteId,
) -> Result<BTreeMap<OriginId, StreamSeq>, HttpError> {
    let malformed = |text: &str| RequestFault::MalformedOrigins { given: text.chars().take(GIVEN_CHARS_MAX).collect() };
    let wanted: Option<BTreeSet<OriginId>> = match &query.origins {
        None => None,
        Some(text) => Some(text.split(',').map(|id| id.parse().map_err(|_| malformed(id))).collect::<Result<_, _>>()?),
    };
    let acknowledged = node.warehouse.read(|reading| reading.parent_cursors(reader))?;
    let mut starts = BTreeMap::new();
    for (origin, state) in node.warehouse.origins()? {
        if wanted.as_ref().map_or_else(|| register.leads_through(origin, reader), |wanted| wanted.contains(&origin)) {
            let held = acknowledged.iter().find(|cursor| cursor.origin == origin && cursor.epoch == state.epoch);
            starts.insert(origin, held.map_or(state.oldest_kept, |cursor| cursor.next).max(state.oldest_kept));
        }
    }
    for pair in query.from.iter().flat_map(|text| text.split(',')) {
        let (origin, seq) = pair.split_once(':').ok_or_else(|| malformed(pair))?;
        starts.insert(origin.parse().map_err(|_| malformed(pair))?, seq.parse().map_err(|_| malformed(pair))?);
    }
    starts.keys().try_for_each(|origin| check_path(*origin, reader, register)).map_err(off_path)?;
    Ok(starts)
}

/// The node's signing key, read where it lies.
pub(super) fn signing_key(node: &Node) -> Result<SigningKey, HttpError> {
    let unusable = |detail: String| RequestFault::SigningKeyUnusable { detail };
    let pem = std::fs::read_to_string(&node.config.identity.signing_key).map_err(|error| unusable(error.to_string()))?;
    Ok(SigningKey::from_pkcs8_pem(&zeroize::Zeroizing::new(pem)).map_err(|error| unusable(error.to_string()))?)
}

fn write_bundle(
    node: &Node,
    starts: &BTreeMap<OriginId, StreamSeq>,
    register: &VerifiedRegister,
    reader: SiteId,
) -> Result<File, HttpError> {
    let disk = |error: io::Error| RequestFault::BundleNotWritten { detail: error.to_string() };
    let key = signing_key(node)?;
    let dir = node.config.data_dir.join("bundles");
    std::fs::create_dir_all(&dir).map_err(disk)?;
    let place = dir.join(format!("export-{}.tmp", node.clock.now().0));
    let file = File::options().read(true).write(true).create_new(true).open(&place).map_err(disk)?;
    // The file lives on through its handle alone: nothing is left behind, whatever becomes of the request.
    std::fs::remove_file(&place).map_err(disk)?;
    let failed = |error: BundleError| match error {
        BundleError::NoReader(site) => RequestFault::BundleReaderUnknown { site: Ordinal(site.0.into()) },
        other => RequestFault::BundleFailed { detail: other.to_string() },
    };
    let encrypted = EncryptingWriter::start(BufWriter::new(file), register, reader).map_err(failed)?;
    let mut writer = BundleWriter::start(encrypted).map_err(failed)?;
    for (origin, start) in starts {
        let mut from = *start;
        while let Some(segment) = node.warehouse.segment(*origin, from, SEGMENT_BYTES_WANTED)? {
            let done = segment.batches.is_empty();
            from = segment.head.head.seq.next();
            writer.add(&segment).map_err(failed)?;
            if done {
                break;
            }
        }
    }
    let created_at = node.clock.now();
    let author = BundleAuthor { tree: &node.config.tree, reader, site: node.site(), node: node.config.node, key: &key, created_at };
    let (encrypted, _) = writer.finish(author).map_err(failed)?;
    let mut file = encrypted.finish().map_err(failed)?.into_inner().map_err(|e| disk(e.into_error()))?;
    file.rewind().map_err(disk)?;
    Ok(file)
}

/// Adopts a signed file's segments as if they had come over the link.
#[utoipa::path(post, path = "/v1/bundle", request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 200, body = BundleImported), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub async fn import(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>, body: Body) -> Reply<BundleImported> {
    check(&node, &who, Right::Operate)?;
    let file = receive(&node, body).await?;
    let register = node.warehouse.register().ok_or(RequestFault::NoRegister {})?;
    let opened = {
        let (node, register) = (Arc::clone(&node), Arc::clone(&register));
        tokio::task::spawn_blocking(move || open(&node, file, &register))
    };
    let mut reader = opened.await.map_err(task_lost)?.map_err(unfit)?;
    // BEFORE anything is proposed: what the register leads elsewhere does not enter by hand either.
    for stream in &reader.trailer().streams {
        check_path(stream.origin, node.site(), &register).map_err(off_path)?;
    }
    let mut imported = BundleImported { segments: 0, batches: 0, cursors: BTreeMap::new(), refused: vec![] };
    while let Some(received) = tokio::task::block_in_place(|| reader.next_segment()).map_err(unfit)? {
        imported.segments += 1;
        let segment = match received.verify(&register, node.site(), node.warehouse.level()) {
            Ok(verified) => verified.into_segment(),
            Err(refusal) => {
                imported.refused.push(reasons::refusal(&refusal));
                continue;
            }
        };
        let head = segment.head.head.clone();
        let held = node.warehouse.origin(segment.origin())?.map_or(1, |state| state.next.0);
        match node.consensus.propose(&Command::AdoptSegment { site_time: node.clock.now(), carrier: None, segment }).await? {
            Outcome::Adopted(cursor) => {
                node.watch_clock_of(&head);
                imported.batches += cursor.next.0.saturating_sub(held);
                imported.cursors.insert(cursor.origin.0, cursor.next.0);
            }
            other => imported.refused.push(reasons::outcome(&other)),
        }
    }
    let trailer = reader.trailer();
    let (origins, refused) = (listed(trailer.streams.iter().map(|stream| &stream.origin)), imported.refused.len());
    tracing::info!(target: AUDIT, who = %who, from = %trailer.site, origins, batches = imported.batches, refused, "a bundle was imported");
    Ok(Json(imported))
}

/// Origins, with commas between them.
fn listed<'a>(origins: impl Iterator<Item = &'a OriginId>) -> String {
    origins.map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Decrypts and checks the whole file BEFORE anything of it is used.
fn open(node: &Node, file: File, register: &VerifiedRegister) -> Result<BundleReader<DecryptingReader<File>>, BundleError> {
    let by = BundleOpener { tree: &node.config.tree, site: node.site(), node: node.config.node, key: &node.decryption_key };
    BundleReader::open(DecryptingReader::open(file, by)?, register, node.site())
}

fn unfit(error: BundleError) -> HttpError {
    match error {
        BundleError::ForOtherSite { given, wanted } => {
            RequestFault::BundleForOtherSite { given: Ordinal(given.0.into()), own: Ordinal(wanted.0.into()) }
        }
        BundleError::NotForThisNode { site, node } => {
            RequestFault::BundleNotForNode { site: Ordinal(site.0.into()), node: Ordinal(node.0) }
        }
        other => RequestFault::BundleRefused { detail: other.to_string() },
    }
    .into()
}

fn off_path(refusal: Refusal) -> HttpError {
    match refusal {
        Refusal::OffPath { origin, site } => {
            RequestFault::BundleOffPath { origin: Ordinal(origin.0.into()), site: Ordinal(site.0.into()) }.into()
        }
        other => RequestFault::BundleRefused { detail: other.to_string() }.into(),
    }
}

async fn receive(node: &Node, body: Body) -> Result<File, HttpError> {
    let disk = |error: io::Error| RequestFault::BundleNotKept { detail: error.to_string() };
    let dir = node.config.data_dir.join("bundles");
    std::fs::create_dir_all(&dir).map_err(disk)?;
    let place = dir.join(format!("import-{}.tmp", node.clock.now().0));
    let file = File::options().read(true).write(true).create_new(true).open(&place).map_err(disk)?;
    std::fs::remove_file(&place).map_err(disk)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut bytes = 0u64;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| RequestFault::BodyCutShort { detail: error.to_string() })?;
        bytes += chunk.len() as u64;
        if bytes > BUNDLE_BYTES_MAX {
            return Err(RequestFault::BundleTooLarge { bytes_max: BUNDLE_BYTES_MAX }.into());
        }
        file.write_all(&chunk).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    let mut file = file.into_std().await;
    file.rewind().map_err(disk)?;
    Ok(file)
}
