//! Reading a bundle: first all of it is checked, then segments come out one at a time.

use std::io::{Read, Seek, SeekFrom};

use kho_storage::{
    codec::{self, Blob},
    ids::SiteId,
    register::VerifiedRegister,
};

use super::{
    BundleError, BundleTrailer, CONTENT_MAGIC, END_MAGIC, FOOTER_BYTES, HEADER_BYTES, SignedTrailer, TRAILER_BYTES_MAX, VERSION,
    signed_bytes,
};
use crate::{
    frames::{CHILD_FRAME_BYTES_MAX, Compressed, SEGMENT_PLAIN_BYTES_MAX},
    verified::ReceivedSegment,
};

/// A trailer's list of streams takes no more than a few times its bytes.
const TRAILER_MEMORY_BYTES_MAX: usize = 8 * TRAILER_BYTES_MAX as usize;
const HASH_BUFFER_BYTES: usize = 64 << 10;

/// The content of a bundle that was found whole and signed by a node of the register. It comes from a [`super::DecryptingReader`]. Only [`BundleReader::open`] makes one.
#[derive(Debug)]
pub struct BundleReader<R> {
    file: R,
    trailer: BundleTrailer,
    /// Bytes of the body not read yet.
    rest: u64,
    yielded: u64,
}

impl<R: Read + Seek> BundleReader<R> {
    /// Checks all of the content, for `reader` to read: form, length, signature, hash. Reads it once from end to end.
    ///
    /// # Errors
    /// [`BundleError`] names what is wrong with the file.
    pub fn open(mut file: R, register: &VerifiedRegister, reader: SiteId) -> Result<Self, BundleError> {
        let file_bytes = file.seek(SeekFrom::End(0))?;
        check_header(&mut file, file_bytes)?;
        let signed = read_trailer(&mut file, file_bytes)?;
        let trailer: BundleTrailer = codec::decode_within(&signed.trailer, TRAILER_MEMORY_BYTES_MAX)?;
        check_signer(&trailer, &signed, register)?;
        if trailer.reader != reader {
            return Err(BundleError::ForOtherSite { given: trailer.reader, wanted: reader });
        }
        let trailer_bytes = codec::encode(&signed)?.len() as u64;
        if trailer.body_bytes < HEADER_BYTES || trailer.body_bytes.checked_add(trailer_bytes + FOOTER_BYTES) != Some(file_bytes) {
            return Err(BundleError::NotWhole("its length is another than what was signed"));
        }
        check_hash(&mut file, &trailer)?;
        file.seek(SeekFrom::Start(HEADER_BYTES))?;
        let rest = trailer.body_bytes - HEADER_BYTES;
        Ok(Self { file, trailer, rest, yielded: 0 })
    }

    pub fn trailer(&self) -> &BundleTrailer {
        &self.trailer
    }

    /// The next segment; none at the end. Holds one segment in memory.
    ///
    /// # Errors
    /// [`BundleError`] when the file changed under the reader, or its author wrote what is not a segment.
    pub fn next_segment(&mut self) -> Result<Option<ReceivedSegment>, BundleError> {
        if self.rest == 0 {
            let all = self.yielded == self.trailer.segments;
            return if all { Ok(None) } else { Err(BundleError::NotWhole("it holds fewer segments than it names")) };
        }
        let plain_bytes = self.take_number()?;
        let length = self.take_number()?;
        let length_bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if u64::from(length) > self.rest || length_bytes > CHILD_FRAME_BYTES_MAX {
            return Err(BundleError::NotWhole("a segment is longer than the file or than any may be"));
        }
        let mut zstd = vec![0; length_bytes];
        self.file.read_exact(&mut zstd)?;
        self.rest -= u64::from(length);
        let index = self.yielded;
        let segment = Compressed::received(plain_bytes, Blob(zstd))
            .unpack(SEGMENT_PLAIN_BYTES_MAX)
            .map_err(|error| BundleError::Segment { index, error })?;
        self.yielded += 1;
        Ok(Some(ReceivedSegment::new(segment)))
    }

    fn take_number(&mut self) -> Result<u32, BundleError> {
        self.rest = self.rest.checked_sub(4).ok_or(BundleError::NotWhole("a segment's length is cut short"))?;
        let mut number = [0; 4];
        self.file.read_exact(&mut number)?;
        Ok(u32::from_le_bytes(number))
    }
}

fn check_header<R: Read + Seek>(file: &mut R, file_bytes: u64) -> Result<(), BundleError> {
    if file_bytes < HEADER_BYTES {
        return Err(BundleError::NotABundle);
    }
    let mut header = [0; HEADER_BYTES as usize];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut header)?;
    let (magic, version) = header.split_at(CONTENT_MAGIC.len());
    match version {
        _ if magic != CONTENT_MAGIC => Err(BundleError::NotABundle),
        version if version == VERSION.to_le_bytes() => Ok(()),
        version => Err(BundleError::Version(u16::from_le_bytes([version[0], version[1]]))),
    }
}

fn read_trailer<R: Read + Seek>(file: &mut R, file_bytes: u64) -> Result<SignedTrailer, BundleError> {
    let footer_at = file_bytes.checked_sub(FOOTER_BYTES).ok_or(BundleError::NotWhole("its end is missing"))?;
    let mut footer = [0; FOOTER_BYTES as usize];
    file.seek(SeekFrom::Start(footer_at))?;
    file.read_exact(&mut footer)?;
    let (length, magic) = footer.split_at(4);
    if magic != END_MAGIC {
        return Err(BundleError::NotWhole("its end is missing"));
    }
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
    let trailer_at = footer_at.checked_sub(u64::from(length)).filter(|_| length <= TRAILER_BYTES_MAX);
    let trailer_at = trailer_at.ok_or(BundleError::NotWhole("its trailer is longer than the file or than any may be"))?;
    file.seek(SeekFrom::Start(trailer_at))?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact(&mut bytes)?;
    Ok(codec::decode_within(&bytes, TRAILER_MEMORY_BYTES_MAX)?)
}

/// The signer must be a node that the register pins and that is not revoked for anything: another node can export as well.
fn check_signer(trailer: &BundleTrailer, signed: &SignedTrailer, register: &VerifiedRegister) -> Result<(), BundleError> {
    if trailer.tree != register.tree() {
        return Err(BundleError::OtherTree { given: trailer.tree.chars().take(64).collect(), wanted: register.tree().into() });
    }
    let entry = register.site(trailer.site).and_then(|site| site.nodes.iter().find(|entry| entry.node == trailer.node));
    let pinned =
        entry.filter(|entry| entry.revoked.is_empty()).ok_or(BundleError::UnknownSigner { site: trailer.site, node: trailer.node })?;
    Ok(pinned.signing_key.verify(&signed_bytes(&signed.trailer), &signed.signature)?)
}

fn check_hash<R: Read + Seek>(file: &mut R, trailer: &BundleTrailer) -> Result<(), BundleError> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    let mut body = file.take(trailer.body_bytes);
    loop {
        match body.read(&mut buffer)? {
            0 => break,
            bytes => hasher.update(&buffer[..bytes]),
        };
    }
    if hasher.finalize().as_bytes() == &trailer.body_hash.0 { Ok(()) } else { Err(BundleError::Altered) }
}
