//! What can go wrong with a site's own storage. Every one of these stops the node: nothing is guessed over a bad disk.

use crate::{
    codec::CodecError,
    db,
    ids::{Hash32, OriginId, SiteId, StreamSeq},
    level::{Level, LevelRange},
};

/// A fault of the local disk, its contents, or of the way the node was started.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("the database in {place} failed: {source}; check disk and file rights, then start the node again")]
    Database { place: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the file {path} could not be used: {source}; check disk and file rights, then start the node again")]
    File { path: String, source: std::io::Error },
    #[error(
        "the stored value of {key} is damaged ({why}); take this node out of its site and let a fresh node id join: `kho node remove`, `kho node add`"
    )]
    Damaged { key: String, why: String },
    #[error(
        "origin {origin} has digest {ours} here but the site committed {theirs} at {seq}; this node's data differ from its site's. Keep the disk as evidence, then `kho node remove` and let a fresh node id join"
    )]
    Diverged { origin: OriginId, seq: StreamSeq, ours: Hash32, theirs: Hash32 },
    #[error("the data in {place} belong to site {found}, but the configuration says site {configured}; correct `site` or `data_dir`")]
    OtherSite { place: String, found: SiteId, configured: SiteId },
    #[error(
        "the state in {place} counts other cubes (fingerprint {found}) than this node's schema declares ({declared}), and no number of it would be right; give `[schema] file` in the configuration as all nodes of the site have it, or `kho node remove` this node and let a fresh node id join"
    )]
    OtherCubes { place: String, found: Hash32, declared: Hash32 },
    #[error(
        "the site of the data in {place} works at level {level}, and this build of khod supports {supported}: install a build on this node that supports level {level}, see `kho upgrade status` at another node. Nothing was applied that this build does not understand"
    )]
    LevelNotSupported { place: String, level: Level, supported: LevelRange },
    #[error(
        "the stored value of {key} has format {found}, and this build reads format {}: a newer Kho wrote it. Install that Kho on this node again; nothing is damaged",
        crate::codec::FORMAT
    )]
    NewerFormat { key: String, found: u8 },
    #[error("a value could not be written: {0}")]
    Unwritable(#[from] CodecError),
}

impl StorageError {
    /// Why a stored value could not be read: it is damaged, or a newer build wrote it.
    pub(crate) fn unreadable(key: impl std::fmt::Display, why: CodecError) -> Self {
        match why {
            CodecError::Format(found) => Self::NewerFormat { key: key.to_string(), found },
            why => Self::damaged(key, why),
        }
    }

    /// Whether what was read from the disk is not what was written there: a block whose checksum does not fit, or a value that is none.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Database { source, .. } => db::is_corruption(source.as_ref()),
            _ => false,
        }
    }

    pub(crate) fn damaged(key: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self::Damaged { key: key.to_string(), why: why.to_string() }
    }

    pub(crate) fn file(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), source }
    }
}
