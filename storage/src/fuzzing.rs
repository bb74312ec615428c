//! For the fuzz targets alone (`chaos-tests/fuzz`): decoders of what lies on this node's disk that are otherwise private. Nothing
//! else uses this module; it costs nothing that runs.

use crate::{
    log_db,
    warehouse::{StoredRow, StreamRecord, value},
};

/// A value of the log as it lies on disk: format, checksum, content.
pub fn log_value(key: &[u8], content: &[u8]) -> Vec<u8> {
    log_db::framed(key, &[], content)
}

/// What stands in a value of the log, when its checksum is right.
pub fn log_content<'v>(key: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    log_db::opened(key, value).ok()
}

/// A row's value, read and written again.
pub fn row_value(bytes: &[u8]) -> Option<(StoredRow<'_>, Vec<u8>)> {
    let row = value::decode_row_value(b"fuzzed", bytes).ok()?;
    Some((row, value::encode_row_value(&row)))
}

/// A kept batch, read and written again.
pub fn stream_record(bytes: &[u8]) -> Option<(StreamRecord, Vec<u8>)> {
    let record = value::decode_stream_record(b"fuzzed", bytes).ok()?;
    let written = value::encode_stream_record(&record);
    Some((record, written))
}
