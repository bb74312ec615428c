//! What travels between Kho nodes and sites: frames, uplink, intake, QUIC.
pub mod bundle;
pub mod frames;
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
pub mod intake;
pub mod link_time;
#[cfg(test)]
mod protocol_tests;
pub mod quic;
pub mod tls;
pub mod uplink;
pub mod verified;
