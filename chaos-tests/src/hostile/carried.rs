//! Bundles that a hostile site makes with the keys of one of its nodes: well encrypted and well signed, of real segments, for a site
//! that has no right to them.

use std::path::Path;

use kho_node::{
    config::NodeConfig,
    daemon::{Checked, check},
};
use kho_replication::bundle::{BundleAuthor, BundleWriter, EncryptingWriter};
use kho_storage::ids::{OriginId, SiteId, SiteTime};

use super::HonestData;

/// A bundle of all that the stopped node with its configuration in `dir` keeps of `origin`, made for `reader` whatever the register says.
///
/// # Errors
/// When the node's files can't be read, or `reader` has no node.
pub fn bundle_for(dir: &Path, origin: OriginId, reader: SiteId) -> anyhow::Result<Vec<u8>> {
    let Checked { config, signing_key, .. } = check(NodeConfig::load(&dir.join("khod.toml"))?)?;
    let held = HonestData::copied_from(&config)?;
    let mut writer = BundleWriter::start(EncryptingWriter::start(Vec::new(), held.register(), reader)?)?;
    let from = held.origin(origin)?.oldest_kept;
    writer.add(&held.segment_within(origin, from, usize::MAX)?)?;
    let created_at = SiteTime(jiff::Timestamp::now().as_millisecond());
    let author = BundleAuthor { tree: &config.tree, reader, site: config.site, node: config.node, key: &signing_key, created_at };
    Ok(writer.finish(author)?.0.finish()?)
}
