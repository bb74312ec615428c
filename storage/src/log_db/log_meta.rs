//! The log's metadata, in a column family of its own: the hard state of the consensus, and the mark of the last purge.

use rocksdb::{ColumnFamily, WriteBatch};

use super::{LogDb, LogDbError, framed, opened, options::LOG_META};

const META: u8 = b'm';

/// A value of the hard state that is kept beside the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogMeta {
    /// Whom this node voted for last.
    Vote,
    /// How far the log is known to be committed.
    Committed,
}

/// Written by a purge alone, with the purged index in front.
pub(super) const PURGED: [u8; 2] = [META, b'p'];

impl LogMeta {
    pub(super) fn key(self) -> [u8; 2] {
        [
            META,
            match self {
                Self::Vote => b'v',
                Self::Committed => b'c',
            },
        ]
    }
}

impl std::fmt::Display for LogMeta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Vote => "the vote",
            Self::Committed => "the committed position",
        })
    }
}

impl LogDb {
    /// What was kept of `meta` last; `None` when nothing was.
    ///
    /// # Errors
    /// [`LogDbError::Io`] or [`LogDbError::Damaged`].
    pub fn meta(&self, meta: LogMeta) -> Result<Option<Vec<u8>>, LogDbError> {
        self.stored_meta(meta.key(), &meta)
    }

    /// The last index that was purged.
    ///
    /// # Errors
    /// [`LogDbError::Io`] or [`LogDbError::Damaged`].
    pub fn purged_to(&self) -> Result<Option<u64>, LogDbError> {
        Ok(self.purge_record()?.map(|(index, _)| index))
    }

    /// What the last purge left as a mark.
    ///
    /// # Errors
    /// [`LogDbError::Io`] or [`LogDbError::Damaged`].
    pub fn purged(&self) -> Result<Option<Vec<u8>>, LogDbError> {
        Ok(self.purge_record()?.map(|(_, mark)| mark))
    }

    /// Keeps `bytes` as the value of `meta`. With `durable` they outlast a power failure from the return on.
    ///
    /// # Errors
    /// [`LogDbError::Io`].
    pub fn put_meta(&self, meta: LogMeta, bytes: &[u8], durable: bool) -> Result<(), LogDbError> {
        let key = meta.key();
        let mut batch = WriteBatch::default();
        batch.put_cf(self.metas(), key, framed(&key, &[], bytes));
        if durable { self.write_synced(batch) } else { self.db.write(batch).map_err(|e| self.io("written", &e)) }
    }

    fn stored_meta(&self, key: [u8; 2], what: &dyn std::fmt::Display) -> Result<Option<Vec<u8>>, LogDbError> {
        let Some(value) = self.db.get_pinned_cf(self.metas(), key).map_err(|e| self.io("read", &e))? else { return Ok(None) };
        let bytes = opened(&key, &value).map_err(|why| self.unreadable(what.to_string(), why))?;
        Ok(Some(bytes.to_vec()))
    }

    fn purge_record(&self) -> Result<Option<(u64, Vec<u8>)>, LogDbError> {
        let Some(bytes) = self.stored_meta(PURGED, &"the purged position")? else { return Ok(None) };
        let (index, mark) = bytes.split_first_chunk::<8>().ok_or_else(|| self.damaged("the purged position".into(), "it is cut short"))?;
        Ok(Some((u64::from_le_bytes(*index), mark.to_vec())))
    }

    /// What a purge up to `index` writes.
    pub(super) fn purge_mark(&self, index: u64, mark: &[u8]) -> WriteBatch {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.metas(), PURGED, framed(&PURGED, &index.to_le_bytes(), mark));
        batch
    }

    pub(super) fn metas(&self) -> &ColumnFamily {
        self.family(LOG_META)
    }
}
