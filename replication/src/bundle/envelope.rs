//! What a carrier sees of a bundle: its tree, the site that shall read it, the content key wrapped for each node of that site, and the
//! length of what is encrypted under it.

use std::io::{Read, Seek, SeekFrom};

use kho_storage::{
    codec,
    encryption::{ContentKey, DecryptionKey, WrappedKey, random_content_key},
    ids::{NodeId, SiteId},
    register::VerifiedRegister,
};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use super::{BundleError, MAGIC, VERSION};

/// Bytes of the content in every chunk but the last.
pub(super) const CHUNK_BYTES: usize = 64 << 10;
/// What the cipher adds to each chunk.
pub(super) const TAG_BYTES: usize = 16;
/// Magic, version and the header's length.
const START_BYTES: usize = 14;
/// The longest header: a node takes some 100 bytes.
const HEADER_BYTES_MAX: u32 = 1 << 20;
const PURPOSE: &[u8] = b"kho bundle 2";

#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    tree: String,
    /// The site that shall read the content.
    reader: SiteId,
    keys: Vec<NodeKey>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NodeKey {
    node: NodeId,
    content_key: WrappedKey,
}

/// A node that opens what was encrypted to it.
#[derive(Debug, Clone, Copy)]
pub struct BundleOpener<'a> {
    pub tree: &'a str,
    pub site: SiteId,
    pub node: NodeId,
    pub key: &'a DecryptionKey,
}

/// The start of a file for every node of `reader` that the register pins and that is not revoked, and the cipher of its chunks.
pub(super) fn seal(register: &VerifiedRegister, reader: SiteId) -> Result<(Vec<u8>, ChunkCipher), BundleError> {
    let content_key = random_content_key()?;
    let mut keys = Vec::new();
    for entry in register.site(reader).into_iter().flat_map(|site| &site.nodes).filter(|entry| entry.revoked.is_empty()) {
        keys.push(NodeKey { node: entry.node, content_key: entry.encryption_key.wrap(&content_key, PURPOSE)? });
    }
    if keys.is_empty() {
        return Err(BundleError::NoReader(reader));
    }
    let header = codec::encode(&Envelope { tree: register.tree().into(), reader, keys })?;
    let length = u32::try_from(header.len()).ok().filter(|length| *length <= HEADER_BYTES_MAX).ok_or(BundleError::NoReader(reader))?;
    let start = [MAGIC.as_slice(), &VERSION.to_le_bytes(), &length.to_le_bytes(), &header].concat();
    let cipher = ChunkCipher::new(&content_key, &start);
    Ok((start, cipher))
}

/// Reads the start of a file of `file_bytes` bytes: where its chunks begin, and their cipher.
pub(super) fn unseal<R: Read + Seek>(file: &mut R, file_bytes: u64, by: BundleOpener<'_>) -> Result<(u64, ChunkCipher), BundleError> {
    let mut start = vec![0; START_BYTES];
    if file_bytes < START_BYTES as u64 {
        return Err(BundleError::NotABundle);
    }
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut start)?;
    if !start.starts_with(MAGIC) {
        return Err(BundleError::NotABundle);
    }
    let version = u16::from_le_bytes([start[8], start[9]]);
    if version != VERSION {
        return Err(BundleError::Version(version));
    }
    let length = u32::from_le_bytes([start[10], start[11], start[12], start[13]]);
    if length > HEADER_BYTES_MAX || u64::from(length) > file_bytes - START_BYTES as u64 {
        return Err(BundleError::NotWhole("its start is longer than the file or than any may be"));
    }
    let mut header = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact(&mut header)?;
    let envelope: Envelope = codec::decode_within(&header, 4 * HEADER_BYTES_MAX as usize)?;
    if envelope.tree != by.tree {
        return Err(BundleError::OtherTree { given: envelope.tree.chars().take(64).collect(), wanted: by.tree.into() });
    }
    if envelope.reader != by.site {
        return Err(BundleError::ForOtherSite { given: envelope.reader, wanted: by.site });
    }
    let own = envelope.keys.iter().find(|key| key.node == by.node);
    let own = own.ok_or(BundleError::NotForThisNode { site: by.site, node: by.node })?;
    let content_key = by.key.unwrap(&own.content_key, PURPOSE)?;
    start.extend(header);
    Ok((start.len() as u64, ChunkCipher::new(&content_key, &start)))
}

/// Encrypts and decrypts chunks by their number.
#[derive(Debug)]
pub(super) struct ChunkCipher(LessSafeKey);

impl ChunkCipher {
    /// `start` is everything before the first chunk: with one bit of it changed, no chunk decrypts.
    fn new(content_key: &ContentKey, start: &[u8]) -> Self {
        let key = zeroize::Zeroizing::new(*blake3::keyed_hash(content_key, start).as_bytes());
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*key).expect("a key of this cipher has 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `chunk` in place and appends its tag.
    pub fn encrypt(&self, number: u64, is_last: bool, chunk: &mut Vec<u8>) {
        self.0
            .seal_in_place_append_tag(nonce(number, is_last), Aad::empty(), chunk)
            .expect("a chunk is far shorter than the cipher's limit");
    }

    /// Decrypts a chunk and its tag in place; the length of the content, or none when it is not this chunk of this file.
    pub fn decrypt(&self, number: u64, is_last: bool, chunk: &mut [u8]) -> Option<usize> {
        self.0.open_in_place(nonce(number, is_last), Aad::empty(), chunk).ok().map(|content| content.len())
    }
}

/// The number and the mark of the last chunk: a chunk in another place, and an end before the end, do not decrypt.
fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&number.to_be_bytes());
    bytes[11] = u8::from(is_last);
    Nonce::assume_unique_for_key(bytes)
}
