//! PostgreSQL as a peer: four servers on this machine, each of which subscribes to the one below it.
//!
//! ```text
//!   district ──publication──► province ──publication──► region ──publication──► centre
//! ```
//! The table has the columns and the key of Kho's; rows come in by COPY, a transaction a batch, through `psql` over TLS. Syncs are on
//! everywhere: `fsync` and `synchronous_commit` at every server, and `synchronous_commit` of every subscription, so that a tier
//! reports only what lies on its disk.

mod server;
mod session;
mod tree;

pub use tree::PostgresTree;
