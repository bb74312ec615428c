//! Reading an encrypted file as if it were plain, from any place, one chunk in memory.

use std::io::{self, Read, Seek, SeekFrom};

use super::{
    BundleError, BundleOpener,
    envelope::{CHUNK_BYTES, ChunkCipher, TAG_BYTES, unseal},
};

/// The content of a file that was encrypted to this node. No byte of a chunk comes out before all of the chunk was authenticated.
#[derive(Debug)]
pub struct DecryptingReader<R> {
    file: R,
    cipher: ChunkCipher,
    /// Where the first chunk starts in the file.
    chunks_at: u64,
    last_chunk: u64,
    content_bytes: u64,
    /// Place in the content.
    position: u64,
    /// The number of the chunk in `chunk`.
    opened: Option<u64>,
    chunk: Vec<u8>,
}

/// A chunk that is not what the author of the file wrote there.
#[derive(Debug, thiserror::Error)]
#[error("the content was altered or cut short")]
pub(super) struct AlteredChunk;

impl<R: Read + Seek> DecryptingReader<R> {
    /// Reads the file's start. What follows is authenticated as it is read.
    ///
    /// # Errors
    /// [`BundleError`] names what is wrong: not a bundle, of another tree, for another site or node, altered, or not whole.
    pub fn open(mut file: R, by: BundleOpener<'_>) -> Result<Self, BundleError> {
        let file_bytes = file.seek(SeekFrom::End(0))?;
        let (chunks_at, cipher) = unseal(&mut file, file_bytes, by)?;
        let encrypted = file_bytes - chunks_at;
        let chunks = encrypted.div_ceil((CHUNK_BYTES + TAG_BYTES) as u64);
        let content_bytes = encrypted.checked_sub(chunks * TAG_BYTES as u64).filter(|_| chunks > 0);
        let content_bytes = content_bytes.ok_or(BundleError::NotWhole("its end is missing"))?;
        Ok(Self { file, cipher, chunks_at, last_chunk: chunks - 1, content_bytes, position: 0, opened: None, chunk: Vec::new() })
    }

    fn open_chunk(&mut self, number: u64) -> io::Result<()> {
        if self.opened == Some(number) {
            return Ok(());
        }
        self.opened = None;
        let is_last = number == self.last_chunk;
        let content = if is_last { self.content_bytes.saturating_sub(number * CHUNK_BYTES as u64) } else { CHUNK_BYTES as u64 };
        self.file.seek(SeekFrom::Start(self.chunks_at + number * (CHUNK_BYTES + TAG_BYTES) as u64))?;
        self.chunk.resize(usize::try_from(content).unwrap_or(CHUNK_BYTES) + TAG_BYTES, 0);
        self.file.read_exact(&mut self.chunk)?;
        let altered = || io::Error::new(io::ErrorKind::InvalidData, AlteredChunk);
        let content = self.cipher.decrypt(number, is_last, &mut self.chunk).ok_or_else(altered)?;
        self.chunk.truncate(content);
        self.opened = Some(number);
        Ok(())
    }
}

impl<R: Read + Seek> Read for DecryptingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.content_bytes {
            return Ok(0);
        }
        self.open_chunk(self.position / CHUNK_BYTES as u64)?;
        let within = usize::try_from(self.position % CHUNK_BYTES as u64).unwrap_or(CHUNK_BYTES);
        let rest = self.chunk.get(within..).unwrap_or_default();
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        self.position += bytes as u64;
        Ok(bytes)
    }
}

impl<R: Read + Seek> Seek for DecryptingReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.content_bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the start"))?;
        Ok(self.position)
    }
}
