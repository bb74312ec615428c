//! Orders in the audit log: who gave which, and what became of it.

use axum::{extract::Request, middleware::Next, response::Response};
use kho_replication::identity::PeerIdentity;

use crate::audit::AUDIT;

/// Logs every request that may change something.
pub async fn log_orders(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let who = request.extensions().get::<PeerIdentity>().map(ToString::to_string).unwrap_or_default();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    tracing::info!(target: AUDIT, who, %method, path, status = response.status().as_u16(), "an order was given");
    response
}
