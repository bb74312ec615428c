//! Segments in a signed and encrypted file, carried by hand while a link is down: the same segments that would have travelled.
//!
//! ```text
//! file    := "KHOBUNDL" | version (2) | header length (4) | header | chunk+
//! header  := encoded Envelope: tree, the site that shall read it, and the content key wrapped for each node of that site
//! chunk   := 65,536 bytes of the content, in the last one fewer or as many, by ChaCha20-Poly1305 with a tag of 16 bytes
//!            key   = BLAKE3, keyed by the content key, over everything before the first chunk
//!            nonce = 0 (3) | number of the chunk (8, big endian) | 1 in the last chunk, 0 in the others (1)
//! content := "KHOSEGMT" | version (2) | section* | trailer | trailer length (4) | "KHOBUEND"
//! section := plain length (4) | zstd length (4) | zstd of the encoded segment
//! trailer := encoded SignedTrailer: tree, reader, site, node, time, streams, and the BLAKE3 over all of the content before it, signed
//! ```
//! Integers are little endian where nothing else is said. Keys are wrapped as [`kho_storage::encryption`] says; the chunks are the
//! STREAM construction (<https://eprint.iacr.org/2015/189>), as in age. The trailer stands last, so that a writer needs no second
//! pass; it is read first, so that nothing comes out of a file that is not whole. The signature says who made the file, and for
//! whom: who may read it can't pass it off as made for another. What the segments are worth is judged one by one as if they had come
//! over a link ([`crate::verified`]).
//!
//! Invariants:
//! - a truncated file or a flipped bit is refused before anything is yielded
//!   (tests `promise_7_a_bundle_with_any_bit_flipped_yields_nothing`, `promise_7_a_bundle_with_any_byte_cut_off_or_added_yields_nothing`);
//! - only the nodes of the site that it was made for read it (test `promise_4_a_bundle_opens_for_the_nodes_of_its_site_alone`).

mod decrypting;
mod encrypting;
mod envelope;
mod reader;
mod writer;

use kho_storage::{
    codec::{Blob, CodecError},
    encryption::EncryptionError,
    ids::{Epoch, Hash32, NodeId, OriginId, SiteId, SiteTime, StreamSeq},
    signature::{Signature, SignatureError, SigningKey},
};
use serde::{Deserialize, Serialize};

pub use self::{
    decrypting::DecryptingReader, encrypting::EncryptingWriter, envelope::BundleOpener, reader::BundleReader, writer::BundleWriter,
};
use crate::frames::FrameCodecError;

const MAGIC: &[u8; 8] = b"KHOBUNDL";
const CONTENT_MAGIC: &[u8; 8] = b"KHOSEGMT";
const END_MAGIC: &[u8; 8] = b"KHOBUEND";
const VERSION: u16 = 2;
const HEADER_BYTES: u64 = 10;
/// Trailer length and end magic.
const FOOTER_BYTES: u64 = 12;
/// The longest trailer: a stream takes some 20 bytes.
const TRAILER_BYTES_MAX: u32 = 4 << 20;

/// What a bundle says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleTrailer {
    pub tree: String,
    /// The site that shall read the file.
    pub reader: SiteId,
    /// The node that exported the file.
    pub site: SiteId,
    pub node: NodeId,
    pub created_at: SiteTime,
    pub segments: u64,
    /// In order of origin.
    pub streams: Vec<BundleStream>,
    /// Bytes before the trailer, and their BLAKE3.
    body_bytes: u64,
    body_hash: Hash32,
}

/// What a bundle holds of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleStream {
    pub origin: OriginId,
    /// The epoch of the last batch.
    pub epoch: Epoch,
    /// First batch in the file.
    pub first: StreamSeq,
    /// First batch that is not in the file any more.
    pub next: StreamSeq,
}

#[derive(Debug, Serialize, Deserialize)]
struct SignedTrailer {
    trailer: Blob,
    signature: Signature,
}

/// Why a bundle was not written or not taken.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("the file is not a bundle: it does not start with the mark of one")]
    NotABundle,
    #[error("the bundle has version {0}, this build reads version {VERSION}; upgrade this node")]
    Version(u16),
    #[error("the bundle is not whole ({0}); copy it again, or export it again with `kho bundle export`")]
    NotWhole(&'static str),
    #[error("the start or the end of the bundle can't be read: {0}; copy the file again")]
    Trailer(#[from] CodecError),
    #[error("the bundle's content differs from what was signed; copy it again, or export it again with `kho bundle export`")]
    Altered,
    #[error("the bundle is of tree `{given}`, this node is of `{wanted}`")]
    OtherTree { given: String, wanted: String },
    #[error("the bundle was made for site {given} and can be read by its nodes alone, this node is of site {wanted}")]
    ForOtherSite { given: SiteId, wanted: SiteId },
    #[error(
        "the bundle was not encrypted to node {node} of site {site}; import it at another node of the site, or export it again now that the register has this node"
    )]
    NotForThisNode { site: SiteId, node: NodeId },
    #[error("the register has no node of site {0} that could read the bundle; add its nodes with `kho register add-node`")]
    NoReader(SiteId),
    #[error("the bundle's key could not be used: {0}")]
    Encryption(#[from] EncryptionError),
    #[error(
        "the bundle was signed by node {node} of site {site}, which the register does not know or has revoked; export it at another node"
    )]
    UnknownSigner { site: SiteId, node: NodeId },
    #[error("the bundle's signature was refused: {0}")]
    Signature(#[from] SignatureError),
    #[error("segment {index} of the bundle can't be read: {error}")]
    Segment { index: u64, error: FrameCodecError },
    #[error("segment of origin {origin} from {given} on does not follow the one before it, which ends at {wanted}")]
    OutOfOrder { origin: OriginId, wanted: StreamSeq, given: StreamSeq },
    #[error("the bundle's file failed: {0}")]
    Io(#[source] std::io::Error),
}

impl From<std::io::Error> for BundleError {
    fn from(error: std::io::Error) -> Self {
        let is_altered = error.get_ref().is_some_and(|inner| inner.is::<decrypting::AlteredChunk>());
        if is_altered { Self::Altered } else { Self::Io(error) }
    }
}

/// Who makes a bundle, and for whom.
#[derive(Clone, Copy)]
pub struct BundleAuthor<'a> {
    pub tree: &'a str,
    /// The site that shall read it.
    pub reader: SiteId,
    pub site: SiteId,
    pub node: NodeId,
    pub key: &'a SigningKey,
    pub created_at: SiteTime,
}

/// The content of a bundle around any body, well signed: what a node of the register could hand over that means no good; for the fuzz targets.
///
/// # Errors
/// [`BundleError`] when the trailer can't be written.
#[doc(hidden)]
pub fn sealed(body: &[u8], segments: u64, streams: Vec<BundleStream>, by: BundleAuthor<'_>) -> Result<Vec<u8>, BundleError> {
    let mut file = [CONTENT_MAGIC.as_slice(), &VERSION.to_le_bytes(), body].concat();
    let (body_bytes, body_hash) = (file.len() as u64, Hash32::of(&file));
    let trailer = BundleTrailer {
        tree: by.tree.into(),
        reader: by.reader,
        site: by.site,
        node: by.node,
        created_at: by.created_at,
        segments,
        streams,
        body_bytes,
        body_hash,
    };
    writer::write_trailer(&mut file, &trailer, by.key)?;
    Ok(file)
}

fn signed_bytes(trailer: &[u8]) -> Vec<u8> {
    [b"kho bundle 2\0".as_slice(), trailer].concat()
}

#[cfg(test)]
mod tests;
