//! A value on the wire as zstd. Its plain size is declared, and bounded whatever was declared.
//!
//! Invariant: unpacking allocates in step with what really comes out of the decoder and stops one byte past the bound, and decoding
//! stops where the value would take out of proportion more memory than bytes, so that a few kilobytes can't be made to fill a memory
//! (tests `promise_4_a_bomb_is_refused_before_it_unfolds`, `promise_4_a_frame_of_endless_lists_is_refused_before_it_fills_the_memory`).

use std::{
    io::{Read, Write},
    marker::PhantomData,
};

use kho_storage::codec::{self, Blob};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::error::FrameCodecError;

/// The level that pays on slow links without holding up an old office PC.
const ZSTD_LEVEL: i32 = 3;
/// Largest window a decoder sets aside, as a power of two: 8 MiB. What this build packs needs 2 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// How much more memory than plain bytes a value may take. Rows of a piece are the smallest honest things: three times as much.
const MEMORY_FACTOR_MAX: usize = 4;
/// What is set aside for the plain bytes before the first of them is seen.
const PLAIN_BYTES_START_MAX: usize = 64 << 10;

/// A value as zstd over its encoded bytes. What `T` is stands in the type only; the bytes may hold anything.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Compressed<T> {
    /// Size of the encoded value, as its sender says.
    pub plain_bytes: u32,
    pub zstd: Blob,
    #[serde(skip)]
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Compressed<T> {
    fn clone(&self) -> Self {
        Self { plain_bytes: self.plain_bytes, zstd: self.zstd.clone(), value: PhantomData }
    }
}

impl<T> PartialEq for Compressed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.plain_bytes == other.plain_bytes && self.zstd == other.zstd
    }
}

impl<T> Eq for Compressed<T> {}

impl<T> std::fmt::Debug for Compressed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compressed({} of {} bytes)", self.zstd.len(), self.plain_bytes)
    }
}

impl<T> Compressed<T> {
    /// Takes bytes as they came; [`Self::unpack`] finds out what they are.
    pub fn received(plain_bytes: u32, zstd: Blob) -> Self {
        Self { plain_bytes, zstd, value: PhantomData }
    }
}

impl<T: Serialize> Compressed<T> {
    /// Encodes and compresses `value`.
    ///
    /// # Errors
    /// [`FrameCodecError`] when the value is longer than `plain_bytes_max` or can't be expressed.
    pub fn pack(value: &T, plain_bytes_max: usize) -> Result<Self, FrameCodecError> {
        let plain = codec::encode(value)?;
        let Some(plain_bytes) = u32::try_from(plain.len()).ok().filter(|_| plain.len() <= plain_bytes_max) else {
            return Err(FrameCodecError::PlainTooLong { bytes: plain.len() as u64, bytes_max: plain_bytes_max });
        };
        let compress = || {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::with_capacity(plain.len() / 4), ZSTD_LEVEL)?;
            // So that what is set aside and cleared for it is as small as the value.
            encoder.set_pledged_src_size(Some(plain.len() as u64))?;
            encoder.write_all(&plain)?;
            encoder.finish()
        };
        let zstd = compress().map_err(|e: std::io::Error| FrameCodecError::Compression(e.to_string()))?;
        Ok(Self::received(plain_bytes, Blob(zstd)))
    }
}

impl<T: DeserializeOwned> Compressed<T> {
    /// Decompresses and decodes the value.
    ///
    /// # Errors
    /// [`FrameCodecError`]; the sender is at fault.
    pub fn unpack(&self, plain_bytes_max: usize) -> Result<T, FrameCodecError> {
        let declared = usize::try_from(self.plain_bytes).unwrap_or(usize::MAX);
        if declared > plain_bytes_max {
            return Err(FrameCodecError::PlainTooLong { bytes: u64::from(self.plain_bytes), bytes_max: plain_bytes_max });
        }
        // One byte more than declared, so that a longer content shows.
        let plain = unfold(&self.zstd, u64::from(self.plain_bytes) + 1).map_err(|e| FrameCodecError::Compression(e.to_string()))?;
        if plain.len() != declared {
            return Err(FrameCodecError::PlainLength { declared: self.plain_bytes, found_longer: plain.len() > declared });
        }
        Ok(codec::decode_within(&plain, plain_bytes_max.saturating_mul(MEMORY_FACTOR_MAX))?)
    }
}

/// Decompresses at most the first `plain_bytes_max` bytes; the rest is not read.
pub(super) fn unfold(zstd: &[u8], plain_bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(zstd)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    let mut plain = Vec::with_capacity(usize::try_from(plain_bytes_max).unwrap_or(usize::MAX).min(PLAIN_BYTES_START_MAX));
    decoder.take(plain_bytes_max).read_to_end(&mut plain)?;
    Ok(plain)
}
