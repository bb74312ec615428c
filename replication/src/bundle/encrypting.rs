//! Encrypting a file chunk by chunk while it is written.

use std::io::{self, Write};

use kho_storage::{ids::SiteId, register::VerifiedRegister};

use super::{
    BundleError,
    envelope::{CHUNK_BYTES, ChunkCipher, TAG_BYTES, seal},
};

/// Encrypts what is written to it, to every node of one site. Holds one chunk in memory. Without [`EncryptingWriter::finish`] nothing
/// of the file can be read.
#[derive(Debug)]
pub struct EncryptingWriter<W> {
    out: W,
    cipher: ChunkCipher,
    chunk: Vec<u8>,
    /// Chunks written.
    chunks: u64,
}

impl<W: Write> EncryptingWriter<W> {
    /// Starts a file that the nodes of `reader` can read, by the keys that the register has of them.
    ///
    /// # Errors
    /// [`BundleError::NoReader`], or the file fails.
    pub fn start(mut out: W, register: &VerifiedRegister, reader: SiteId) -> Result<Self, BundleError> {
        let (start, cipher) = seal(register, reader)?;
        out.write_all(&start)?;
        Ok(Self { out, cipher, chunk: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES), chunks: 0 })
    }

    /// Writes the last chunk, and gives `W` back flushed.
    ///
    /// # Errors
    /// [`BundleError::Io`].
    pub fn finish(mut self) -> Result<W, BundleError> {
        self.write_chunk(true)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_chunk(&mut self, is_last: bool) -> io::Result<()> {
        self.cipher.encrypt(self.chunks, is_last, &mut self.chunk);
        self.out.write_all(&self.chunk)?;
        self.chunks += 1;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for EncryptingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits until more follows: the last one bears a mark.
        if self.chunk.len() == CHUNK_BYTES && !bytes.is_empty() {
            self.write_chunk(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// What is in the chunk under way stays there: it is encrypted as a whole.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
