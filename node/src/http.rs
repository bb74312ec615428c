//! HTTPS on every node: entry, answers, and what operators do. Mutual TLS; the role in the certificate decides what its bearer may
//! do (`access.rs`; as a table in `docs/register-and-rights.md`).
//!
//! Invariant: the description served at `/v1/openapi.json` names every route (test `the_description_names_every_route`).

mod access;
mod answers;
mod audit;
mod bundle;
mod comparison;
mod damage;
mod describe;
mod discard;
mod entry;
mod fault;
mod proof;
mod reply;
mod review;
mod revocable;
mod room;
mod set_back;
mod site;
mod status;
mod upgrade;

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodRouter, delete, get, post},
};
use axum_server::{
    Handle,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use kho_replication::{
    connection_places::ConnectionPlaces,
    tls::{ALPN_HTTP, ClientCertificate, server_config},
};

use crate::node::Node;
pub use describe::description;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of one certificate at a time, each with one request: a program that sends much at once opens some dozens.
const CONNECTIONS_EACH_MAX: usize = 256;
/// Requests under way get this long when the node stops.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// The longest body of an order that carries no register.
const ORDER_BYTES_MAX: usize = 64 << 10;

/// The routes of a node.
pub fn router(node: Arc<Node>) -> Router {
    let room = room::RegisterRoom::new(node.site());
    let with_register = |orders: MethodRouter<Arc<Node>>| {
        orders.layer(DefaultBodyLimit::max(room::REGISTER_JSON_BYTES_MAX)).layer(from_fn_with_state(room.clone(), room::take_room))
    };
    let orders = Router::new()
        .route("/v1/batches/check", post(entry::check_batch))
        .route("/v1/indicators", get(answers::list))
        .route("/v1/indicators/{name}", get(answers::indicator))
        .route("/v1/rows/{table}/{key}", get(answers::row))
        .route("/v1/status", get(status::status))
        .route("/v1/schema", get(status::schema))
        .route("/v1/origins/{origin}/proof", get(proof::proof))
        .route("/v1/origins/{origin}/stood-at", get(proof::stood_at))
        .route("/v1/origins/{origin}/comparison", post(comparison::begin))
        .route("/v1/origins/{origin}/buckets", get(comparison::buckets))
        .route("/v1/origins/{origin}/buckets/{bucket}", get(comparison::bucket_rows))
        .route("/v1/origins/{origin}/row-of-hash", get(comparison::row_of_hash))
        .route("/v1/origins/{origin}/resume", post(proof::resume))
        .route("/v1/origins/{origin}/abandon-transfer", post(proof::abandon_transfer))
        .route("/v1/origins/{origin}/discard", post(discard::discard))
        .route("/v1/origins/{origin}/review-evidence", post(review::review_evidence))
        .route("/v1/evidence", get(proof::evidence))
        .route("/v1/set-backs", get(set_back::set_backs))
        .route("/v1/origins/{origin}/branch-rows", get(set_back::branch_rows))
        .route("/v1/register", with_register(get(site::register).post(site::adopt_register)))
        .route("/v1/site/init", with_register(post(site::init)))
        .route("/v1/site/confirm-time", post(site::confirm_time))
        .route("/v1/site/nodes", post(site::add_node))
        .route("/v1/site/nodes/{node}", delete(site::remove_node))
        .route("/v1/site/nodes/{node}/confirm", post(site::confirm_node))
        .route("/v1/site/nodes/{node}/damage-examined", post(damage::damage_examined))
        .route("/v1/upgrade", get(upgrade::status))
        .route("/v1/upgrade/raise", post(upgrade::raise))
        .route("/v1/upgrade/test-note", post(upgrade::note_test))
        .route("/v1/bundle", get(bundle::export).post(bundle::import))
        .route("/v1/openapi.json", get(describe::openapi))
        .route("/healthz", get(status::health))
        .route("/readyz", get(status::ready))
        .route("/metrics", get(status::metrics))
        .layer(from_fn(audit::log_orders));
    // Entry is not told in the audit log: what was entered stands in the stream, under its request key.
    let entry = Router::new().route("/v1/batches", post(entry::enter_batch));
    // The outermost first; given together, because each `layer` costs every request an allocation.
    entry.merge(orders).layer((from_fn(reply::in_language), DefaultBodyLimit::max(ORDER_BYTES_MAX))).with_state(node)
}

/// Serves until the node stops.
///
/// # Errors
/// When the address can't be bound, or TLS not be set up.
pub async fn serve(node: Arc<Node>) -> io::Result<()> {
    let tls = server_config(&node.credentials, &[ALPN_HTTP], ClientCertificate::Required, node.certificate_clock.clone())
        .map_err(io::Error::other)?;
    let acceptor = access::IdentityAcceptor::new(
        RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(tls))).handshake_timeout(HANDSHAKE_TIMEOUT),
        node.config.tree.clone(),
        Arc::clone(node.endpoint.revocations()),
        ConnectionPlaces::new(CONNECTIONS_EACH_MAX),
    );
    let handle = Handle::new();
    let (stopping, stopped) = (node.stopping.clone(), handle.clone());
    tokio::spawn(async move {
        stopping.cancelled().await;
        stopped.graceful_shutdown(Some(STOP_GRACE));
    });
    axum_server::bind(node.config.listen.https).acceptor(acceptor).handle(handle).serve(router(Arc::clone(&node)).into_make_service()).await
}
