//! etcd as a peer: three members on this machine, and a client that speaks as much of its gRPC interface as writing needs.
//!
//! A record is a value of 256 bytes under a key of its own, the same bytes that Kho is given (`records`); several records are one
//! transaction of puts. Its syncs are as it has them by default; only its quota is raised, so that it takes what is written in a
//! long measurement.

mod client;
mod cluster;
mod messages;

pub use cluster::EtcdCluster;
