//! A stored value with its format byte and checksum.

pub(crate) const FORMAT: u8 = 1;
/// The first bytes of a BLAKE3 hash: enough against accidents, which is all that a local disk is suspected of.
const CHECKSUM_BYTES: usize = 8;
const FRAME_BYTES: usize = 1 + CHECKSUM_BYTES;

/// The checksum covers the key too: a value under another's key is damage.
fn checksum(key: &[u8], body: &[&[u8]]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes()).update(key);
    body.iter().for_each(|part| {
        hasher.update(part);
    });
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    sum
}

/// A value as stored: format byte, checksum, then `head` and `body`.
pub(crate) fn framed(key: &[u8], head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(FRAME_BYTES + head.len() + body.len());
    value.push(FORMAT);
    value.extend_from_slice(&checksum(key, &[head, body]));
    value.extend_from_slice(head);
    value.extend_from_slice(body);
    value
}

/// Why a stored value can't be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unopened {
    Damaged(&'static str),
    /// A newer build wrote it, or its first byte is damaged.
    OtherFormat(u8),
}

/// What stands behind format byte and checksum, or why it can't be trusted.
pub(crate) fn opened<'v>(key: &[u8], value: &'v [u8]) -> Result<&'v [u8], Unopened> {
    let body = match value.split_first() {
        None => return Err(Unopened::Damaged("it is empty")),
        Some((&FORMAT, body)) => body,
        Some((&other, _)) => return Err(Unopened::OtherFormat(other)),
    };
    let (sum, body) = body.split_first_chunk::<CHECKSUM_BYTES>().ok_or(Unopened::Damaged("it is cut short"))?;
    if *sum == checksum(key, &[body]) { Ok(body) } else { Err(Unopened::Damaged("its checksum differs")) }
}
