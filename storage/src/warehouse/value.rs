//! Values with a layout of their own, for space and speed; everything else goes through [`crate::codec`].
//! Golden bytes: test `golden_bytes_of_rows_and_batches`.

use super::origin::StreamRecord;
use crate::{
    codec::{FORMAT, behind_format, put_varint, take_varint, unzigzag, zigzag},
    error::StorageError,
    ids::{Hash32, SiteTime, StreamSeq},
};

/// A row as stored: its cells and the batch that wrote it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRow<'a> {
    pub seq: StreamSeq,
    pub time: SiteTime,
    pub cells: &'a [u8],
}

pub(crate) fn encode_row_value(row: &StoredRow<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + row.cells.len());
    bytes.push(FORMAT);
    put_varint(&mut bytes, row.seq.0);
    put_varint(&mut bytes, zigzag(row.time.0));
    bytes.extend_from_slice(row.cells);
    bytes
}

/// Reads what [`encode_row_value`] wrote. `key` is for the error's text alone.
pub(crate) fn decode_row_value<'a>(key: &[u8], value: &'a [u8]) -> Result<StoredRow<'a>, StorageError> {
    let name = || format!("row {}", data_encoding::HEXLOWER.encode(key));
    let mut rest = behind_format(value).map_err(|e| StorageError::unreadable(name(), e))?;
    let mut read = || Some((take_varint(&mut rest)?, take_varint(&mut rest)?));
    let (seq, time) = read().ok_or_else(|| StorageError::damaged(name(), "not a value of a row"))?;
    Ok(StoredRow { seq: StreamSeq(seq), time: SiteTime(unzigzag(time)), cells: rest })
}

pub(crate) fn encode_stream_record<B: AsRef<[u8]>>(record: &StreamRecord<B>) -> Vec<u8> {
    let batch = record.batch.as_ref();
    let mut bytes = Vec::with_capacity(80 + batch.len());
    bytes.push(FORMAT);
    bytes.extend(record.chain.0);
    bytes.extend(record.digest.0);
    put_varint(&mut bytes, record.rows);
    bytes.extend_from_slice(batch);
    bytes
}

/// Reads what [`encode_stream_record`] wrote.
pub(crate) fn decode_stream_record(key: &[u8], value: &[u8]) -> Result<StreamRecord, StorageError> {
    let name = || format!("batch {}", data_encoding::HEXLOWER.encode(key));
    let body = behind_format(value).map_err(|e| StorageError::unreadable(name(), e))?;
    let read = || {
        let (chain, rest) = body.split_first_chunk::<32>()?;
        let (digest, mut rest) = rest.split_first_chunk::<32>()?;
        let rows = take_varint(&mut rest)?;
        Some(StreamRecord { chain: Hash32(*chain), digest: Hash32(*digest), rows, batch: rest.to_vec() })
    };
    read().ok_or_else(|| StorageError::damaged(name(), "not a record of a batch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_rows_and_batches() {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let row = StoredRow { seq: StreamSeq(300), time: SiteTime(5), cells: &[0xaa] };
        assert_eq!(hex(&encode_row_value(&row)), "01ac020aaa");
        assert_eq!(decode_row_value(b"", &encode_row_value(&row)).expect("own bytes"), row);

        let record = StreamRecord { chain: Hash32([1; 32]), digest: Hash32([2; 32]), rows: 3, batch: vec![0xbb] };
        let bytes = encode_stream_record(&record);
        assert_eq!(hex(&bytes), format!("01{}{}03bb", "01".repeat(32), "02".repeat(32)));
        assert_eq!(decode_stream_record(b"", &bytes).expect("own bytes"), record);
    }

    #[test]
    fn a_value_of_a_newer_build_is_named_as_such_and_not_as_damage() {
        let newer = &[FORMAT + 1, 0, 0];
        assert!(matches!(decode_row_value(b"k", newer), Err(StorageError::NewerFormat { found: 2, .. })));
        assert!(matches!(decode_stream_record(b"k", newer), Err(StorageError::NewerFormat { found: 2, .. })));
    }

    #[test]
    fn damaged_values_are_errors() {
        for value in [&[][..], &[1, 0x80]] {
            assert!(decode_row_value(b"k", value).is_err());
            assert!(decode_stream_record(b"k", value).is_err());
        }
    }
}
