//! A stream as its author made it, with true chain hashes, digests and signatures; also what a child loads from.

use std::{collections::BTreeMap, sync::Arc};

use kho_storage::{
    codec::Blob,
    command::{PieceRow, RowPlace, TransferPiece, TransferStart},
    digest::{DigestSum, LogicalRow},
    ids::{ColumnId, Epoch, Hash32, OriginId, SiteId, SiteTime, StreamSeq, TableId},
    row::RowBuilder,
    schema::Value,
    signature::SigningKey,
    stream::{Batch, BatchBody, Change, Head, RowChange, Segment, SignedHead, chain_next, chain_start},
};

use super::tree::{NODE, Tree};
use crate::{
    frames::Cursor,
    uplink::{LoadFailure, StreamPosition},
};

pub(crate) type Rows = BTreeMap<RowPlace, PieceRow>;

#[derive(Clone)]
pub(crate) struct Author {
    pub origin: OriginId,
    pub epoch: Epoch,
    site: SiteId,
    key: Arc<SigningKey>,
    pub batches: Vec<Blob>,
    /// Chain hash, digest and rows after each batch; the first entry stands before batch 1.
    states: Vec<(Hash32, Hash32, u64)>,
    pub rows: Rows,
    /// Newest head time per sequence.
    heads: BTreeMap<u64, SiteTime>,
    /// First batch that the holder keeps.
    pub oldest_kept: StreamSeq,
}

impl Author {
    pub fn new(tree: &Tree, origin: OriginId, site: SiteId) -> Self {
        let epoch = Epoch::first("test", origin);
        let start = (chain_start(origin, epoch), DigestSum::default().digest(), 0);
        let key = tree.keys[&site].clone();
        let heads = BTreeMap::from([(0, SiteTime(0))]);
        Self { origin, epoch, site, key, batches: vec![], states: vec![start], rows: Rows::new(), heads, oldest_kept: StreamSeq(1) }
    }

    /// Commits a batch that sets (or takes away) the row `key`.
    pub fn append(&mut self, key: u32, text: Option<&str>, time: SiteTime) {
        self.change(key, text.map_or(RowChange::Removed, |text| row_of(&[(1, text)])), time);
    }

    /// Commits a batch that fills a column of the test level in the row `key`, and a head.
    pub fn note(&mut self, key: u32, time: SiteTime) {
        self.change(key, row_of(&[(1, "text"), (1_024, "note")]), time);
        self.commit_head(time);
    }

    fn change(&mut self, key: u32, row: RowChange, time: SiteTime) {
        let change = Change { table: TableId(1), key: Blob(key.to_be_bytes().to_vec()), row };
        let seq = StreamSeq(self.batches.len() as u64 + 1);
        let batch = Batch {
            origin: self.origin,
            epoch: self.epoch,
            seq,
            site_time: time,
            body: BatchBody::Rows { requests: vec![], changes: vec![change] },
        };
        replay(&batch, &mut self.rows);
        let bytes = batch.encode().expect("a batch always encodes");
        let chain = chain_next(self.states.last().expect("starts with one").0, &bytes);
        self.states.push((chain, digest(self.origin, &self.rows), self.rows.len() as u64));
        self.batches.push(bytes);
    }

    /// Commits a head over everything so far.
    pub fn commit_head(&mut self, time: SiteTime) {
        self.heads.insert(self.batches.len() as u64, time);
    }

    /// Appends `number` batches and a head.
    pub fn grow(&mut self, number: u32, time: SiteTime) {
        for _ in 0..number {
            let key = self.batches.len() as u32;
            self.append(key % 7, (key % 5 != 4).then_some("text"), time);
        }
        self.commit_head(time);
    }

    pub fn position(&self) -> StreamPosition {
        let (seq, head_time) = self.heads.last_key_value().expect("starts with one");
        StreamPosition {
            origin: self.origin,
            epoch: self.epoch,
            next: StreamSeq(seq + 1),
            oldest_kept: self.oldest_kept,
            head_time: *head_time,
        }
    }

    pub fn head_at(&self, seq: StreamSeq) -> SignedHead {
        let (chain, digest, rows) = self.states[seq.0 as usize];
        let site_time = self.heads.get(&seq.0).copied().unwrap_or_default();
        let head = Head { origin: self.origin, epoch: self.epoch, seq, chain, digest, rows, site_time };
        SignedHead::sign(head, self.site, NODE, &self.key).expect("system randomness")
    }

    /// Batches from `first` up to the head at `seq`.
    pub fn segment(&self, first: u64, seq: u64) -> Segment {
        let batches = self.batches[first as usize - 1..seq as usize].to_vec();
        Segment { first: StreamSeq(first), batches, head: self.head_at(StreamSeq(seq)) }
    }

    pub fn load_segment(&self, from: Cursor, bytes_max: usize) -> Result<Segment, LoadFailure> {
        if from.epoch != self.epoch || from.next > self.position().next {
            return Err(LoadFailure::NoSuchPlace);
        }
        if from.next < self.oldest_kept {
            return Err(LoadFailure::NoLongerKept { oldest_kept: self.oldest_kept });
        }
        let mut best = None;
        for seq in self.heads.range(from.next.0..).map(|(seq, _)| *seq) {
            let bytes: usize = self.batches[from.next.0 as usize - 1..seq as usize].iter().map(|batch| batch.len()).sum();
            if best.is_some() && bytes > bytes_max {
                break;
            }
            best = Some(seq);
        }
        Ok(self.segment(from.next.0, best.unwrap_or(from.next.0 - 1)))
    }

    pub fn load_transfer_start(&self) -> TransferStart {
        let kept_after = self.oldest_kept.previous();
        TransferStart { origin: self.origin, epoch: self.epoch, kept_after, kept_after_chain: self.states[kept_after.0 as usize].0 }
    }

    /// At most `rows_max` rows.
    pub fn load_piece(&self, from: &RowPlace, rows_max: usize) -> TransferPiece {
        let rows: Vec<PieceRow> = self.rows.range(from.clone()..).take(rows_max).map(|(_, row)| row.clone()).collect();
        let next = self.rows.range(from.clone()..).nth(rows_max).map(|(place, _)| place.clone());
        TransferPiece {
            origin: self.origin,
            epoch: self.epoch,
            from: from.clone(),
            next,
            read_at: StreamSeq(self.batches.len() as u64),
            rows,
        }
    }
}

fn row_of(cells: &[(u16, &str)]) -> RowChange {
    let mut row = RowBuilder::default();
    cells.iter().for_each(|(column, text)| row.push(ColumnId(*column), &Value::Text((*text).into())));
    RowChange::Whole(Blob(row.finish()))
}

/// Applies a batch to rows. A row that was read later than the batch stays.
pub(crate) fn replay(batch: &Batch, rows: &mut Rows) {
    let BatchBody::Rows { changes, .. } = &batch.body else { return };
    for change in changes {
        let place = RowPlace { table: change.table, key: change.key.clone() };
        if rows.get(&place).is_some_and(|row| row.seq >= batch.seq) {
            continue;
        }
        match &change.row {
            RowChange::Removed => {
                rows.remove(&place);
            }
            // These authors name every column.
            RowChange::Whole(cells) | RowChange::Columns { cells, .. } => {
                let row =
                    PieceRow { table: place.table, key: place.key.clone(), cells: cells.clone(), seq: batch.seq, time: batch.site_time };
                rows.insert(place, row);
            }
        }
    }
}

pub(crate) fn digest(origin: OriginId, rows: &Rows) -> Hash32 {
    let mut sum = DigestSum::default();
    for row in rows.values() {
        sum.add(&LogicalRow { origin, table: row.table, key: &row.key, cells: &row.cells, seq: row.seq, time: row.time });
    }
    sum.digest()
}
