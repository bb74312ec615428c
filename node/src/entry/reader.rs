//! The reader of one request's body: fed as bytes arrive, it ends in a checked batch or a refusal.

use std::sync::Arc;

use kho_storage::ids::Hash32;

use super::{
    area::EntryScope,
    batch::{BatchDraft, CheckedBatch},
    csv::Csv,
    fault::RowFault,
    format::{EntryEncoding, EntryFormat},
    gunzip::{Gunzip, GunzipError, GunzipStop},
    limits::EntryLimits,
    ndjson::Ndjson,
    refusal::{EntryRefusal, Place, Stopped, cut},
    schema::EntrySchema,
    unnamed::UnnamedColumns,
};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What a reader takes before it has read a row: a line, and the window of gzip.
const READER_BYTES: usize = 128 << 10;

/// Reads one body. Holds one line, the changes so far, and the findings so far.
pub struct EntryReader {
    /// `None` for a body that is not compressed.
    gunzip: Option<Gunzip>,
    /// Bytes that arrived, compressed or not.
    arrived: u64,
    body: Body,
    stopped: bool,
}

/// The decompressed side.
struct Body {
    rows: RowReader,
    batch: BatchDraft,
    hasher: blake3::Hasher,
    length: u64,
    length_max: u64,
    /// How much of a byte order mark was met; `None` once the text began.
    bom_met: Option<usize>,
}

enum RowReader {
    Ndjson(Ndjson),
    Csv(Csv),
}

impl EntryReader {
    /// A reader for one body.
    ///
    /// # Errors
    /// `unknown_table`, before a byte was read.
    pub fn new(
        schema: Arc<EntrySchema>,
        scope: EntryScope,
        format: EntryFormat,
        encoding: EntryEncoding,
        unnamed: UnnamedColumns,
        limits: EntryLimits,
    ) -> Result<Self, EntryRefusal> {
        let mut hasher = blake3::Hasher::new();
        for part in ["kho entry 2", format.word(), format.table(), unnamed.word()] {
            hasher.update(part.as_bytes()).update(b"\0");
        }
        let rows = match &format {
            EntryFormat::Ndjson => RowReader::Ndjson(Ndjson::new(Arc::clone(&schema), limits.line_bytes_max)),
            EntryFormat::Csv { table } => {
                let place = schema
                    .tables
                    .iter()
                    .position(|known| known.name == *table)
                    .ok_or_else(|| EntryRefusal::whole(RowFault::UnknownTable { given: cut(table), tables: schema.table_names() }))?;
                RowReader::Csv(Csv::new(Arc::clone(&schema), place, limits.line_bytes_max))
            }
        };
        let gunzip = (encoding == EntryEncoding::Gzip).then(Gunzip::new);
        let body = Body {
            rows,
            batch: BatchDraft::new(schema, scope, unnamed, limits),
            hasher,
            length: 0,
            length_max: limits.body_bytes_max,
            bom_met: Some(0),
        };
        Ok(Self { gunzip, arrived: 0, body, stopped: false })
    }

    /// Takes the next piece of the body, of any length. Findings about rows are gathered until the body ends.
    ///
    /// # Errors
    /// [`EntryRefusal`] when reading on is of no use: the caller drops the rest of the body. Every later call gives it again.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), EntryRefusal> {
        if !self.stopped && self.advance(chunk).is_err() {
            self.stopped = true;
        }
        if self.stopped { Err(self.body.batch.log.refusal()) } else { Ok(()) }
    }

    /// Roughly what was read so far takes in memory, in bytes. It never shrinks.
    pub fn memory_bytes(&self) -> usize {
        READER_BYTES + self.body.batch.memory_bytes()
    }

    /// The body ended.
    ///
    /// # Errors
    /// [`EntryRefusal`] with everything that was found; nothing of the body is taken.
    pub fn finish(mut self) -> Result<CheckedBatch, EntryRefusal> {
        if !self.stopped {
            self.stopped = self.end().is_err();
        }
        let Body { batch, hasher, .. } = self.body;
        if self.stopped || !batch.log.is_empty() {
            return Err(batch.log.refusal());
        }
        Ok(batch.finish(Hash32(*hasher.finalize().as_bytes())))
    }

    fn advance(&mut self, chunk: &[u8]) -> Result<(), Stopped> {
        self.arrived += chunk.len() as u64;
        if self.arrived > self.body.length_max {
            return Err(self.body.too_long());
        }
        let Self { gunzip, body, .. } = self;
        match gunzip {
            None => body.take(chunk),
            Some(gunzip) => match gunzip.feed(chunk, |piece| body.take(piece)) {
                Ok(()) => Ok(()),
                Err(GunzipStop::Sink(stopped)) => Err(stopped),
                Err(GunzipStop::Data(error)) => Err(body.bad_gzip(error)),
            },
        }
    }

    fn end(&mut self) -> Result<(), Stopped> {
        if let Some(Err(error)) = self.gunzip.as_ref().map(Gunzip::finish) {
            return Err(self.body.bad_gzip(error));
        }
        self.body.end()
    }
}

impl Body {
    /// Takes decompressed bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.length += bytes.len() as u64;
        if self.length > self.length_max {
            return Err(self.too_long());
        }
        self.hasher.update(bytes);
        let text = self.pass_bom(bytes)?;
        self.read(text)
    }

    fn end(&mut self) -> Result<(), Stopped> {
        if let Some(met) = self.bom_met.take() {
            self.read(&BOM[..met])?;
        }
        match &mut self.rows {
            RowReader::Ndjson(reader) => reader.finish(&mut self.batch)?,
            RowReader::Csv(reader) => reader.finish(&mut self.batch)?,
        }
        if self.batch.rows() == 0 && self.batch.log.is_empty() {
            return Err(self.batch.log.stop(Place::BODY, None, RowFault::EmptyBody {}));
        }
        Ok(())
    }

    /// What of `bytes` follows the byte order mark, which may come in pieces. What only looked like one is text.
    fn pass_bom<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Stopped> {
        let Some(met) = self.bom_met else { return Ok(bytes) };
        let same = bytes.iter().zip(&BOM[met..]).take_while(|(given, wanted)| given == wanted).count();
        if met + same == BOM.len() {
            self.bom_met = None;
            match &mut self.rows {
                RowReader::Ndjson(reader) => reader.skip(BOM.len() as u64),
                RowReader::Csv(reader) => reader.skip(BOM.len() as u64),
            }
        } else if same < bytes.len() {
            self.bom_met = None;
            self.read(&BOM[..met + same])?;
        } else {
            self.bom_met = Some(met + same);
        }
        Ok(&bytes[same..])
    }

    fn read(&mut self, text: &[u8]) -> Result<(), Stopped> {
        match &mut self.rows {
            RowReader::Ndjson(reader) => reader.feed(text, &mut self.batch),
            RowReader::Csv(reader) => reader.feed(text, &mut self.batch),
        }
    }

    fn too_long(&mut self) -> Stopped {
        self.batch.log.stop(Place::BODY, None, RowFault::BodyTooLong { bytes_max: self.length_max })
    }

    fn bad_gzip(&mut self, error: GunzipError) -> Stopped {
        let bytes = self.length;
        let fault = match error {
            GunzipError::NotGzip => RowFault::NotGzip {},
            GunzipError::Corrupt => RowFault::GzipCorrupt { bytes },
            GunzipError::Truncated => RowFault::GzipTruncated { bytes },
            GunzipError::Trailing => RowFault::GzipTrailing {},
        };
        self.batch.log.stop(Place::BODY, None, fault)
    }
}
