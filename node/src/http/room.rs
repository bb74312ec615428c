//! Room for the largest bodies that orders carry: registers. It is taken before the first byte is read, and only for who may give one.

use axum::{
    extract::{Request, State},
    http::header::CONTENT_LENGTH,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use kho_replication::identity::PeerIdentity;
use kho_storage::{ids::SiteId, register::REGISTER_BYTES_MAX};

use super::{
    access::{Right, may, refusal},
    fault::RequestFault,
    reply::HttpError,
};
use crate::byte_budget::ByteBudget;

/// A register in JSON: two hexadecimal digits a byte, and what stands around them.
pub const REGISTER_JSON_BYTES_MAX: usize = 3 * REGISTER_BYTES_MAX;
/// Registers that are being received or read at a time, in bytes: two of the longest.
const REGISTERS_BYTES_MAX: u32 = 192 << 20;
/// How long an operator's program should wait for room.
const RETRY_MS: u64 = 2_000;

/// Whose site it is, and what room there is.
#[derive(Debug, Clone)]
pub struct RegisterRoom {
    site: SiteId,
    budget: ByteBudget,
}

impl RegisterRoom {
    pub fn new(site: SiteId) -> Self {
        Self { site, budget: ByteBudget::new(REGISTERS_BYTES_MAX) }
    }
}

/// Passes an order on that carries a register, once it has room.
pub async fn take_room(State(room): State<RegisterRoom>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match request.extensions().get::<PeerIdentity>() {
        Some(who) if !may(who.role(), room.site, Right::Operate) => return refusal(who, room.site, Right::Operate).into_response(),
        _ => {}
    }
    // Without a length it may be as long as any. A longer one is refused when it is read.
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match room.budget.try_take(declared.unwrap_or(REGISTER_JSON_BYTES_MAX).min(REGISTER_JSON_BYTES_MAX)) {
        Some(_share) => next.run(request).await,
        None => HttpError::from(RequestFault::Busy {}).retry_after(RETRY_MS).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, http::header::RETRY_AFTER, middleware::from_fn_with_state, routing::post};
    use tower::ServiceExt as _;

    use super::*;

    const HERE: SiteId = SiteId(3);

    /// Sends an order of so many bytes, declared or not, while `held` bytes are under way.
    async fn ask(who: &str, held: u32, declared: Option<usize>) -> Response {
        let room = RegisterRoom::new(HERE);
        let _held = room.budget.try_take(held as usize).expect("room");
        let router = Router::new().route("/", post(|| async { "taken" })).layer(from_fn_with_state(room, take_room));
        let mut request = Request::builder().method("POST").uri("/");
        if let Some(bytes) = declared {
            request = request.header(CONTENT_LENGTH, bytes);
        }
        let mut request = request.body(Body::empty()).expect("a request");
        request.extensions_mut().insert(who.parse::<PeerIdentity>().expect("a name"));
        router.oneshot(request).await.expect("an answer")
    }

    #[tokio::test]
    async fn an_order_with_a_register_waits_outside_until_there_is_room_for_it() {
        let operator = "kho://vn/operator/an";
        let full = REGISTERS_BYTES_MAX - 1_000;
        assert_eq!(ask(operator, full, Some(1_000)).await.status(), 200);
        for (held, declared) in [(full, Some(1_001)), (full, None), (REGISTERS_BYTES_MAX, Some(usize::MAX))] {
            let response = ask(operator, held, declared).await;
            assert_eq!((response.status().as_u16(), response.headers().contains_key(RETRY_AFTER)), (429, true), "{held} {declared:?}");
        }
        assert_eq!(ask(operator, 0, None).await.status(), 200);
    }

    #[tokio::test]
    async fn who_gives_no_orders_takes_no_room_for_them() {
        assert_eq!(ask("kho://vn/site/3/client/desk", 0, Some(1_000)).await.status(), 403);
    }
}
