//! How `kho` speaks to a site: HTTPS with both certificates, to one node after another until one answers.
//!
//! ```text
//! commands ─► NodeClient ─► Request ──► node 1 ──(503, dead)──► node 2 ──► answer
//!             calls.rs: one method for each request       retry.rs decides, without a clock or a socket
//! ```
//! Invariant: a non-idempotent request is never sent again after it may have arrived
//! (test `a_non_idempotent_request_is_not_repeated_after_it_may_have_arrived`).

mod calls;
mod connection;
mod node_client;
mod node_url;
mod request;
mod retry;
#[cfg(test)]
pub(crate) mod scripted_node;
#[cfg(test)]
mod tests;

pub use calls::{BatchUpload, BundleRange, IndicatorQuestion};
pub use connection::ConnectionArgs;
pub use node_client::{CallError, NodeClient};
pub use node_url::NodeUrl;
pub use request::{Payload, Request};
pub use retry::{Idempotency, RetryBudget};
