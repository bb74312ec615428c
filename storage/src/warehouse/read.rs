//! Reading: a consistent picture of the warehouse at one moment. Every read of a row goes through here.

use std::sync::Arc;

use super::{
    OriginState, StoredEvidence, StoredRow, StreamRecord, Transfer, Warehouse, maintenance,
    meta::{decode_meta, put_meta, read_origin},
    value::{decode_row_value, decode_stream_record},
};
use crate::{
    codec::Blob,
    command::{ParentCursor, PieceRow, RowPlace, TransferPiece, TransferStart},
    db::{Db, View, WriteSet, amount},
    error::StorageError,
    ids::{CubeId, Hash32, OriginId, SiteId, SiteTime, StreamSeq, TableId},
    keys::{self, Meta, MetaKind, Space},
    register::{SignedRegister, VerifiedRegister},
    stream::{Segment, SignedHead},
};

/// A row of one origin, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub origin: OriginId,
    pub table: TableId,
    pub key: Vec<u8>,
    pub seq: StreamSeq,
    pub time: SiteTime,
    pub cells: Vec<u8>,
}

/// One cell of a cube.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CubeCell {
    /// Catalogue number of the area.
    pub catalogue: u32,
    /// Unit code in that catalogue, at the finest area.
    pub area: u32,
    /// Numbers of the dimensions, in the schema's order; see [`crate::schema::DimensionSource`].
    pub dimensions: Vec<u16>,
    pub amount: i64,
}

/// A consistent picture of the warehouse at one moment.
pub struct ReadView<'a> {
    view: View<'a>,
    register: Option<Arc<VerifiedRegister>>,
}

impl Warehouse {
    /// Runs `read` over a consistent picture. Keep it short: a picture pins old data on disk.
    pub fn read<T>(&self, read: impl FnOnce(&ReadView<'_>) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let db = self.db.load_full();
        let view = ReadView { view: db.view(), register: self.register() };
        self.told_of_damage(read(&view))
    }

    /// An origin's state by itself; cheaper than a whole picture.
    pub fn origin(&self, origin: OriginId) -> Result<Option<OriginState>, StorageError> {
        self.told_of_damage(read_origin(&self.db.load(), origin))
    }

    /// Every origin held, in order.
    pub fn origins(&self) -> Result<Vec<(OriginId, OriginState)>, StorageError> {
        self.told_of_damage(maintenance::origins(&self.db.load()))
    }

    /// Transfers under way at this site.
    pub fn transfers(&self) -> Result<Vec<Transfer>, StorageError> {
        self.read(|view| view.transfers())
    }

    /// The adopted register with its signature, to be handed down.
    pub fn signed_register(&self) -> Result<Option<SignedRegister>, StorageError> {
        Ok(self.register_chain().map(|chain| chain.newest().clone()))
    }

    /// The next segment of `origin` from `from` on: as many batches as fit `bytes_max`, at least up to the next head; an idle
    /// head when every batch was read. `None` when no head ends a segment there, or the batches are no longer kept.
    pub fn segment(&self, origin: OriginId, from: StreamSeq, bytes_max: usize) -> Result<Option<Segment>, StorageError> {
        self.read(|view| view.segment(origin, from, bytes_max))
    }

    /// The newest time that the site has committed: of any watermark, for none is raised beyond the site's own time, and of the batches
    /// of its own origins. `None` when there is none yet.
    pub fn committed_time(&self) -> Result<Option<SiteTime>, StorageError> {
        let (register, site) = (self.register(), self.site());
        let is_own = |origin| register.as_ref().is_some_and(|register| register.author(origin) == Some(site));
        let time = |(origin, state): (OriginId, OriginState)| {
            if is_own(origin) { state.watermark.max(state.batch_time) } else { state.watermark }
        };
        Ok(self.origins()?.into_iter().map(time).max().filter(|time| *time > SiteTime(0)))
    }

    /// For tests of `verify` alone: writes a row without changing the digest.
    #[doc(hidden)]
    pub fn tamper_with_row(&self, origin: OriginId, table: TableId, key: &[u8], cells: &[u8]) -> Result<(), StorageError> {
        let db: Arc<Db> = self.db.load_full();
        let state = read_origin(&db, origin)?.ok_or_else(|| StorageError::damaged(origin, "no such origin"))?;
        let mut set = WriteSet::default();
        let row = StoredRow { seq: state.last(), time: state.batch_time, cells };
        set.put(Space::Rows, keys::row(table, origin, state.generation, key), super::value::encode_row_value(&row));
        put_meta(&mut set, &Meta::Origin(origin), &state)?;
        db.write(set)?;
        db.flush()
    }
}

impl ReadView<'_> {
    pub fn register(&self) -> Option<&VerifiedRegister> {
        self.register.as_deref()
    }

    pub fn origin(&self, origin: OriginId) -> Result<Option<OriginState>, StorageError> {
        self.meta(&Meta::Origin(origin))
    }

    /// Every origin held, in order.
    pub fn origins(&self) -> Result<Vec<(OriginId, OriginState)>, StorageError> {
        let (from, to) = MetaKind::Origin.range();
        let mut found = Vec::new();
        self.scan_meta(&from, &to, |meta, state| {
            if let Meta::Origin(origin) = meta {
                found.push((*origin, state));
            }
        })?;
        Ok(found)
    }

    pub fn transfers(&self) -> Result<Vec<Transfer>, StorageError> {
        let (from, to) = MetaKind::Transfer.range();
        let mut found = Vec::new();
        self.scan_meta(&from, &to, |_, transfer| found.push(transfer))?;
        Ok(found)
    }

    /// Visits what was refused and kept, one piece at a time: each may be as long as a segment.
    pub fn evidence(&self, mut visit: impl FnMut(StoredEvidence)) -> Result<(), StorageError> {
        let (from, to) = MetaKind::Evidence.range();
        self.scan_meta(&from, &to, |_, evidence| visit(evidence))
    }

    /// Origin, batch of the head and hash of every piece of evidence, by origin. Cheaper than reading the pieces.
    pub fn evidence_places(&self) -> Result<Vec<(OriginId, StreamSeq, u64)>, StorageError> {
        let (from, to) = MetaKind::Evidence.range();
        let mut found = Vec::new();
        self.view.scan(Space::Meta, &from, &to, |key, _| {
            if let Some(Meta::Evidence(origin, seq, hash)) = Meta::decode(key) {
                found.push((origin, seq, hash));
            }
            Ok(true)
        })?;
        Ok(found)
    }

    /// What `parent` acknowledged of every stream.
    pub fn parent_cursors(&self, parent: SiteId) -> Result<Vec<ParentCursor>, StorageError> {
        let prefix = &Meta::Parent(parent, OriginId(0)).encode()[..5];
        let mut found = Vec::new();
        self.scan_meta(prefix, &keys::successor(prefix), |_, cursor| found.push(cursor))?;
        Ok(found)
    }

    /// The newest head of an origin.
    pub fn newest_head(&self, origin: OriginId, state: &OriginState) -> Result<Option<SignedHead>, StorageError> {
        match state.head_seq {
            Some(seq) => self.meta(&Meta::Head(origin, state.epoch.number, seq)),
            None => Ok(None),
        }
    }

    /// The furthest head of an origin that this site can show: of its stream, or of a transfer that has not ended yet. It proves how far
    /// the author stood.
    pub fn furthest_head(&self, origin: OriginId, state: &OriginState) -> Result<Option<SignedHead>, StorageError> {
        let place = |seq| Meta::Head(origin, state.epoch.number, seq).encode();
        let Some((key, value)) = self.view.last_before(Space::Meta, &place(StreamSeq(0)), &place(StreamSeq(u64::MAX)))? else {
            return Ok(None);
        };
        Meta::decode(&key).map(|meta| decode_meta(&meta, &value)).transpose()
    }

    /// A row by key.
    pub fn row(&self, origin: OriginId, state: &OriginState, table: TableId, key: &[u8]) -> Result<Option<Row>, StorageError> {
        let stored = keys::row(table, origin, state.generation, key);
        let Some(value) = self.view.value(Space::Rows, &stored)? else { return Ok(None) };
        let row = decode_row_value(&stored, &value)?;
        Ok(Some(Row { origin, table, key: key.to_vec(), seq: row.seq, time: row.time, cells: row.cells.to_vec() }))
    }

    /// Visits the rows of one table of an origin from `from_key` on, in key order, until `visit` returns `false`.
    pub fn rows(
        &self,
        origin: OriginId,
        state: &OriginState,
        table: TableId,
        from_key: &[u8],
        mut visit: impl FnMut(&[u8], StoredRow<'_>) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        let prefix = keys::row_prefix(table, origin, state.generation);
        let from = keys::row(table, origin, state.generation, from_key);
        self.view.scan(Space::Rows, &from, &keys::successor(&prefix), |key, value| {
            visit(&key[keys::ROW_PREFIX_BYTES..], decode_row_value(key, value)?)
        })
    }

    /// Visits the cells of a cube of one origin, in key order, zero cells left out.
    pub fn cube_cells(
        &self,
        cube: CubeId,
        origin: OriginId,
        state: &OriginState,
        mut visit: impl FnMut(CubeCell),
    ) -> Result<(), StorageError> {
        let prefix = keys::cube_prefix(cube, origin, state.generation);
        self.view.scan(Space::Cubes, &prefix, &keys::successor(&prefix), |key, value| {
            let damaged = |why| StorageError::damaged(format!("cell {}", data_encoding::HEXLOWER.encode(key)), why);
            let (_, _, _, area, dimensions) = keys::decode_cube(key).ok_or_else(|| damaged("not a key of a cell"))?;
            let amount = amount(value).ok_or_else(|| damaged("not an amount"))?;
            if amount != 0 {
                visit(CubeCell { catalogue: area >> 24, area: area & 0x00ff_ffff, dimensions, amount });
            }
            Ok(true)
        })
    }

    /// Batch `seq` as it is kept.
    pub fn batch(&self, origin: OriginId, epoch: u32, seq: StreamSeq) -> Result<Option<StreamRecord>, StorageError> {
        let key = keys::stream(origin, epoch, seq);
        self.view.value(Space::Streams, &key)?.map(|value| decode_stream_record(&key, &value)).transpose()
    }

    /// Chain hash, digest and rows after batch `seq`, as far as they are still known: to compare replicas along the tree.
    pub fn stood_at(&self, origin: OriginId, state: &OriginState, seq: StreamSeq) -> Result<Option<(Hash32, Hash32, u64)>, StorageError> {
        if seq == state.last() {
            return Ok(Some((state.chain, state.sum.digest(), state.rows)));
        }
        if seq < state.oldest_kept {
            return Ok(None);
        }
        let record = self.batch(origin, state.epoch.number, seq)?.filter(|record| record.digest != super::origin::UNKNOWN_DIGEST);
        Ok(record.map(|record| (record.chain, record.digest, record.rows)))
    }

    /// See [`Warehouse::segment`].
    pub fn segment(&self, origin: OriginId, from: StreamSeq, bytes_max: usize) -> Result<Option<Segment>, StorageError> {
        let Some(state) = self.origin(origin)? else { return Ok(None) };
        let Some(newest) = self.newest_head(origin, &state)? else { return Ok(None) };
        if from.0 == newest.head.seq.0 + 1 {
            return Ok(Some(Segment { first: from, batches: vec![], head: newest }));
        }
        if from < state.oldest_kept || from > newest.head.seq {
            return Ok(None);
        }
        let epoch = state.epoch.number;
        let mut batches: Vec<Blob> = Vec::new();
        let mut bytes = 0;
        let mut ended: Option<(usize, SignedHead)> = None;
        self.view.scan(
            Space::Streams,
            &keys::stream(origin, epoch, from),
            &keys::stream(origin, epoch, newest.head.seq.next()),
            |key, value| {
                let record = decode_stream_record(key, value)?;
                bytes += record.batch.len();
                if ended.is_some() && bytes > bytes_max {
                    return Ok(false);
                }
                batches.push(Blob(record.batch));
                let seq = keys::decode_stream(key).map_or(StreamSeq(0), |(_, _, seq)| seq);
                if let Some(head) = self.meta(&Meta::Head(origin, epoch, seq))? {
                    ended = Some((batches.len(), head));
                }
                Ok(true)
            },
        )?;
        Ok(ended.map(|(count, head)| {
            batches.truncate(count);
            Segment { first: from, batches, head }
        }))
    }

    /// How a whole-origin transfer of `origin` would start.
    pub fn transfer_start(&self, origin: OriginId) -> Result<Option<TransferStart>, StorageError> {
        Ok(self.origin(origin)?.map(|state| TransferStart {
            origin,
            epoch: state.epoch,
            kept_after: state.oldest_kept.previous(),
            kept_after_chain: state.before_oldest_chain,
        }))
    }

    /// The rows of `origin` from `from` on that fit `bytes_max`, at least one.
    pub fn piece(&self, origin: OriginId, from: &RowPlace, bytes_max: usize) -> Result<Option<TransferPiece>, StorageError> {
        let Some(state) = self.origin(origin)? else { return Ok(None) };
        let mut rows: Vec<PieceRow> = Vec::new();
        let mut bytes = 0;
        let mut next = None;
        for table in from.table.0..=u8::MAX {
            let table = TableId(table);
            let from_key: &[u8] = if table == from.table { &from.key } else { &[] };
            self.rows(origin, &state, table, from_key, |key, row| {
                if bytes >= bytes_max {
                    next = Some(RowPlace { table, key: key.to_vec().into() });
                    return Ok(false);
                }
                bytes += key.len() + row.cells.len() + 24;
                rows.push(PieceRow { table, key: key.to_vec().into(), cells: row.cells.to_vec().into(), seq: row.seq, time: row.time });
                Ok(true)
            })?;
            if next.is_some() {
                break;
            }
        }
        Ok(Some(TransferPiece { origin, epoch: state.epoch, from: from.clone(), next, read_at: state.last(), rows }))
    }

    fn meta<T: serde::de::DeserializeOwned>(&self, meta: &Meta) -> Result<Option<T>, StorageError> {
        self.view.value(Space::Meta, &meta.encode())?.map(|bytes| decode_meta(meta, &bytes)).transpose()
    }

    pub(super) fn scan_meta<T: serde::de::DeserializeOwned>(
        &self,
        from: &[u8],
        to: &[u8],
        mut visit: impl FnMut(&Meta, T),
    ) -> Result<(), StorageError> {
        self.view.scan(Space::Meta, from, to, |key, value| {
            if let Some(meta) = Meta::decode(key) {
                visit(&meta, decode_meta(&meta, value)?);
            }
            Ok(true)
        })
    }
}
