//! The peers wing: the connections to the other nodes of the site, and what is sent to them.
//!
//! Invariants:
//!
//! - A request is worked on only when group, node, disk and certificate fit ([`wire::judge`]) and its sender belongs to the site
//!   ([`admission::admit`]).
//! - A follower is told a commit index only when this node's own disk has the log up to there, and a follower's response counts only then
//!   ([`append_pipeline`]).
//! - A follower that denies what it acknowledged to the same leader is left alone and named ([`acknowledged`]).
//! - A peer is looked for at every address that is known of it, and taken for what its certificate and its disk say ([`address_book`]).
//!
//! Reading order: `wire.rs` → `address_book.rs` → `reachability.rs` → `connections.rs` → `append_pipeline.rs` → `commit_notices.rs` → `acknowledged.rs` → `admission.rs` →
//! `newcomers.rs` → `refusal_log.rs`.
//! What a node does with a request stands in `serve.rs`, what openraft sends in `network.rs`.

pub(super) mod acknowledged;
pub(super) mod address_book;
pub(super) mod admission;
pub(super) mod append_pipeline;
pub(super) mod commit_notices;
mod connections;
pub(super) mod newcomers;
pub(super) mod reachability;
pub(super) mod refusal_log;
pub(super) mod wire;

pub(super) use connections::{LocalNode, PeerTarget, Peers};
