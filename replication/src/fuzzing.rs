//! For the fuzz targets alone (`chaos-tests/fuzz`): what stands between a wire or a file and a decoder, and is otherwise private.
//! Nothing else uses this module; it costs nothing that runs.

use kho_storage::{
    ids::{NodeId, SiteId, SiteTime},
    signature::SigningKey,
};

pub use crate::{bundle::sealed, quic::assembled};

/// Who seals a bundle of any content.
#[derive(Clone, Copy)]
pub struct Sealer<'a> {
    pub tree: &'a str,
    pub site: SiteId,
    pub node: NodeId,
    pub key: &'a SigningKey,
    pub created_at: SiteTime,
}
