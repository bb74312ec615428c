//! What tests set for one node: how others reach it, and the environment of its process.

use std::{ffi::OsString, net::SocketAddr};

/// Of one node. Without any, a node is reached at its own address and its process inherits this one's environment.
#[derive(Debug, Default, Clone)]
pub struct NodeOverrides {
    /// Where its site and its children dial it instead of its own address.
    pub reached_at: Option<SocketAddr>,
    /// Set for its process, beside what is inherited.
    pub environment: Vec<(OsString, OsString)>,
}
