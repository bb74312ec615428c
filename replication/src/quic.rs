//! QUIC between nodes: one UDP port for everything a node says to another.
//!
//! ```text
//!  Endpoint ── connect(addr, server name, Alpn) ──► Connection ── open_bi / call ──► FrameSender, FrameReceiver
//!     └─────── accept() ──────────────────────────► Connection ── accept_bi ───────► FrameSender, FrameReceiver
//! ```
//!
//! A [`Connection`] exists only after both ends proved a certificate of the tree's root, the certificate named one node
//! of the same tree, and the accepting end said so: when `connect` returns, the peer has let us in. Which node it is
//! and whether that node may say what it says, the caller checks against the register.
//!
//! Bounds: handshakes under way, streams, windows, frames and idle time all have a limit in [`TransportLimits`], and a
//! frame takes memory only as its bytes arrive.
//!
//! Only this module names quinn. It knows no message: frames are bytes.

mod admission;
mod connection;
mod endpoint;
mod error;
mod frames;
mod limits;
mod socket;

#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use endpoint::Endpoint;
pub use error::{BindError, CloseCode, ConnectError, ConnectionLost, FrameIoError, LocalFault, Misbehaviour};
#[doc(hidden)]
pub use frames::assembled;
pub use frames::{FrameReceiver, FrameSender};
pub use limits::TransportLimits;

use std::fmt;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alpn {
    /// Raft between the nodes of one site.
    Site,
    /// Replication between a child and its parent.
    Link,
}

impl Alpn {
    pub const ALL: [Self; 2] = [Self::Site, Self::Link];

    /// The protocol's name on the wire; its number rises with an incompatible change.
    pub const fn wire_name(self) -> &'static [u8] {
        match self {
            Self::Site => b"kho-site/1",
            Self::Link => b"kho-link/1",
        }
    }

    pub(crate) fn from_wire_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|alpn| alpn.wire_name() == name)
    }
}

impl fmt::Display for Alpn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.wire_name()))
    }
}
