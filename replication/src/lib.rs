//! What travels between nodes and sites. This crate keeps one sentence true: *a parent acknowledges only what its site committed, and a
//! child records only what its parent acknowledged, whatever the link between them loses, repeats or delays.*
//!
//! Reading order: the words of the protocol ([`frames`]) and what a site believes of them ([`verified`]); the child's side
//! ([`uplink`]) and the parent's side ([`intake`]), both without clock and I/O; then how two nodes know each other ([`identity`],
//! [`tls`]), which time they believe ([`site_clock`]) and how they are connected ([`quic`], with [`connection_places`]); last, segments in a file instead of over a link ([`bundle`]). How both sides work together
//! is shown by the traces in `protocol_tests`.
pub mod bundle;
pub mod connection_places;
pub mod frames;
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
pub mod intake;
pub mod link_time;
#[cfg(test)]
mod protocol_tests;
pub mod quic;
pub mod site_clock;
pub mod tls;
pub mod uplink;
pub mod verified;
