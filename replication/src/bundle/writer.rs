//! Writing a bundle, segment by segment.

use std::{collections::BTreeMap, io::Write};

use kho_storage::{
    codec::{self, Blob},
    ids::{Hash32, OriginId, StreamSeq},
    signature::SigningKey,
    stream::Segment,
};

use super::{BundleAuthor, BundleError, BundleStream, BundleTrailer, CONTENT_MAGIC, END_MAGIC, SignedTrailer, VERSION, signed_bytes};
use crate::frames::{Compressed, SEGMENT_PLAIN_BYTES_MAX};

/// Writes the content of a bundle to `W`, which encrypts it ([`super::EncryptingWriter`]). Without [`BundleWriter::finish`] the file is not a bundle.
#[derive(Debug)]
pub struct BundleWriter<W> {
    out: W,
    hasher: blake3::Hasher,
    body_bytes: u64,
    segments: u64,
    streams: BTreeMap<OriginId, BundleStream>,
}

impl<W: Write> BundleWriter<W> {
    /// Starts a bundle. `out` is best buffered.
    ///
    /// # Errors
    /// [`BundleError::Io`].
    pub fn start(out: W) -> Result<Self, BundleError> {
        let mut writer = Self { out, hasher: blake3::Hasher::new(), body_bytes: 0, segments: 0, streams: BTreeMap::new() };
        writer.put(CONTENT_MAGIC)?;
        writer.put(&VERSION.to_le_bytes())?;
        Ok(writer)
    }

    /// Adds a segment. Segments of one origin follow each other without a gap; origins may alternate.
    ///
    /// # Errors
    /// [`BundleError::OutOfOrder`], or [`BundleError::Io`].
    pub fn add(&mut self, segment: &Segment) -> Result<(), BundleError> {
        let head = &segment.head.head;
        let stream =
            BundleStream { origin: head.origin, epoch: head.epoch, first: segment.first, next: StreamSeq(head.seq.0.saturating_add(1)) };
        let stream = match self.streams.get(&head.origin) {
            Some(before) if before.next != segment.first => {
                return Err(BundleError::OutOfOrder { origin: head.origin, wanted: before.next, given: segment.first });
            }
            Some(before) => BundleStream { first: before.first, ..stream },
            None => stream,
        };
        let index = self.segments;
        let unwritable = |error| BundleError::Segment { index, error };
        let packed = Compressed::pack(segment, SEGMENT_PLAIN_BYTES_MAX).map_err(unwritable)?;
        let length = u32::try_from(packed.zstd.len()).map_err(|_| BundleError::NotWhole("a segment is longer than any may be"))?;
        self.put(&packed.plain_bytes.to_le_bytes())?;
        self.put(&length.to_le_bytes())?;
        self.put(&packed.zstd)?;
        self.streams.insert(stream.origin, stream);
        self.segments += 1;
        Ok(())
    }

    /// Ends the bundle with its trailer, signed by the exporting node, and gives `W` back flushed.
    ///
    /// # Errors
    /// [`BundleError::Signature`] or [`BundleError::Io`].
    pub fn finish(mut self, by: BundleAuthor<'_>) -> Result<(W, BundleTrailer), BundleError> {
        let trailer = BundleTrailer {
            tree: by.tree.into(),
            reader: by.reader,
            site: by.site,
            node: by.node,
            created_at: by.created_at,
            segments: self.segments,
            streams: self.streams.into_values().collect(),
            body_bytes: self.body_bytes,
            body_hash: Hash32(*self.hasher.finalize().as_bytes()),
        };
        write_trailer(&mut self.out, &trailer, by.key)?;
        self.out.flush()?;
        Ok((self.out, trailer))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        self.body_bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Ends a bundle: the trailer, signed, its length and the mark of the end.
pub(super) fn write_trailer(out: &mut impl Write, trailer: &BundleTrailer, key: &SigningKey) -> Result<(), BundleError> {
    let bytes = Blob(codec::encode(trailer)?);
    let signature = key.sign(&signed_bytes(&bytes))?;
    let signed = codec::encode(&SignedTrailer { trailer: bytes, signature })?;
    let length = u32::try_from(signed.len()).map_err(|_| BundleError::NotWhole("the trailer is too long"))?;
    out.write_all(&signed)?;
    out.write_all(&length.to_le_bytes())?;
    Ok(out.write_all(END_MAGIC)?)
}
