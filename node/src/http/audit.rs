//! Orders in the audit log: who gave which, and what became of it.

use axum::{extract::Request, middleware::Next, response::Response};
use kho_replication::identity::PeerIdentity;

use crate::audit::AUDIT;

/// Where clients enter batches. Entry is not told here: what was entered stands in the stream, under its request key.
const BATCHES: &str = "/v1/batches";

/// Logs every request that may change something, but entry.
pub async fn log_orders(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if request.method().is_safe() || path == BATCHES {
        return next.run(request).await;
    }
    let who = request.extensions().get::<PeerIdentity>().map(ToString::to_string).unwrap_or_default();
    let (method, path) = (request.method().clone(), path.to_owned());
    let response = next.run(request).await;
    tracing::info!(target: AUDIT, who, %method, path, status = response.status().as_u16(), "an order was given");
    response
}
