//! What a system is for these measurements: three nodes that take writes.

use crate::load::Writer;

/// Nodes of the site, and members of the peer.
pub const NODES: usize = 3;

/// Three nodes that take writes.
pub trait Site {
    type Writer: Writer;

    /// A client with a connection of its own to one of the nodes, `0..NODES`.
    async fn writer(&self, node: usize) -> anyhow::Result<Self::Writer>;

    /// What all nodes together take on the disk.
    fn disk_bytes(&self) -> anyhow::Result<u64>;
}
