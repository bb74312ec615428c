//! How `kho` speaks to a site: HTTPS with both certificates, to one node after another until one answers.
//!
//! ```text
//! commands ─► NodeClient ─► Request ──► node 1 ──(503, dead)──► node 2 ──► answer
//!             calls.rs: one method a question       retry.rs decides, without a clock or a socket
//! ```
//! Invariant: an order that may not be given twice is never sent again after it may have arrived
//! (test `an_order_is_not_repeated_once_it_may_have_arrived`).

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
pub use retry::{Repeat, RetryBudget};
