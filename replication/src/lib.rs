//! What travels between Kho nodes and sites: frames, uplink, intake, QUIC.
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
pub mod quic;
pub mod tls;
pub mod frames;
pub mod intake;
pub mod link_time;
pub mod uplink;
pub mod verified;
pub mod bundle;
#[cfg(test)]
mod protocol_tests;
