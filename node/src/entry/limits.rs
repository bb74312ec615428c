//! How much one request may hold.

use kho_storage::{
    row::ROW_BYTES_MAX,
    stream::{BATCH_BYTES_MAX, BATCH_CHANGES_MAX, KEY_BYTES_MAX},
};

/// What a batch holds besides its changes: origin, epoch, sequence, time and request marks. Generous.
const BATCH_FRAME_BYTES: usize = 4 << 10;

/// Bounds of one request's body. All are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryLimits {
    /// Longest body, in bytes, both as it arrives and decompressed. Bounds what a small compressed body can unfold to.
    pub body_bytes_max: u64,
    /// Longest NDJSON line or CSV record, in bytes, without its line feed.
    pub line_bytes_max: usize,
    /// Most rows, puts and deletes together.
    pub rows_max: u64,
    /// Most bytes of changes, as they stand in a batch.
    pub batch_bytes_max: usize,
    /// Longest key of a row, in bytes of NFC text.
    pub key_bytes_max: usize,
    /// Longest canonical cells of a row, in bytes.
    pub row_bytes_max: usize,
    /// Most findings that a refusal lists; further ones are counted. What stops the reading is always listed.
    pub errors_max: usize,
}

impl Default for EntryLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 32 << 20,
            line_bytes_max: 64 << 10,
            rows_max: BATCH_CHANGES_MAX as u64,
            batch_bytes_max: BATCH_BYTES_MAX - BATCH_FRAME_BYTES,
            key_bytes_max: KEY_BYTES_MAX,
            row_bytes_max: ROW_BYTES_MAX,
            errors_max: 100,
        }
    }
}
