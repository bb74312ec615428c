//! An origin's stream: batches numbered without a gap, chained by hash, closed by signed heads.
//!
//! ```text
//! h(0) = BLAKE3("kho chain 1" ‖ origin ‖ epoch)        h(n) = BLAKE3(h(n-1) ‖ batch n)
//!
//!   batch 1 ── batch 2 ── batch 3 ── batch 4 ── …       numbers go on across epochs
//!                            ▲
//!                          head (seq 3, h(3), digest after batch 3, site time, signature)
//! ```

use std::borrow::Borrow;

use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, Blob, CodecError},
    ids::{ColumnId, Epoch, Hash32, NodeId, OriginId, SiteId, SiteTime, StreamSeq, TableId},
    row::RowCells,
    signature::{PublicKey, Signature, SignatureError, SigningKey},
};

/// The most changes that one batch holds.
pub const BATCH_CHANGES_MAX: usize = 20_000;
/// The longest encoded batch. An entry request is refused, and a group commit closed, before it is passed.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// What a decoded batch takes in memory at most: its bytes, and its changes and request marks.
const BATCH_MEMORY_BYTES_MAX: usize = 5 * BATCH_BYTES_MAX;
/// A leader signs a head at the latest after so many bytes of batches.
pub const HEAD_DISTANCE_BYTES_MAX: usize = 4 << 20;
/// A site takes no further batch while so much stands without a head; with the batch under way it still fits a segment.
pub const HEADLESS_BYTES_MAX: usize = 2 * HEAD_DISTANCE_BYTES_MAX;
/// The longest segment: what lies between two heads, plus one batch that was under way.
pub const SEGMENT_BYTES_MAX: usize = 16 << 20;
/// More than what a batch takes beside its requests and changes.
const BATCH_OVERHEAD_BYTES: usize = 256;
/// The longest key of a row, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// The longest request key, in bytes.
pub const REQUEST_KEY_BYTES_MAX: usize = 64;
/// How far a head's time may lie beyond the clock of the site that adopts it and still count.
pub const HEAD_AHEAD_MS_MAX: i64 = 5 * 60_000;

/// What happens to one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub table: TableId,
    pub key: Blob,
    pub row: RowChange,
}

/// What becomes of the row. What stands afterwards depends on these bytes and on the row before them, so it is the same at every
/// holder of the stream. Variants are only appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowChange {
    /// The row has these canonical cells and no others afterwards, whatever stood before.
    Whole(Blob),
    /// The columns that `cells` hold are set and those of `cleared` are emptied. All others stay as they are. Where no row stands,
    /// one begins with `cells`. A row that would become longer than [`ROW_BYTES_MAX`](crate::row::ROW_BYTES_MAX) stays as it is.
    Columns {
        cells: Blob,
        /// Ascending, none of them in `cells`.
        cleared: Vec<ColumnId>,
    },
    /// The row is taken away.
    Removed,
}

impl Change {
    /// The canonical cells that the change brings, of the whole row or of some columns; `None` when it takes the row away.
    pub fn cells(&self) -> Option<&Blob> {
        match &self.row {
            RowChange::Whole(cells) | RowChange::Columns { cells, .. } => Some(cells),
            RowChange::Removed => None,
        }
    }

    /// The column with the highest number that the change sets or clears.
    pub fn highest_column(&self) -> Option<ColumnId> {
        let set = self.cells().and_then(|cells| RowCells::trusted(cells).highest_column());
        let cleared = match &self.row {
            RowChange::Columns { cleared, .. } => cleared.iter().max().copied(),
            RowChange::Whole(_) | RowChange::Removed => None,
        };
        set.max(cleared)
    }

    /// Roughly what the change takes in a batch, in bytes.
    pub fn bytes(&self) -> usize {
        let cleared = match &self.row {
            RowChange::Columns { cleared, .. } => 3 + 3 * cleared.len(),
            RowChange::Whole(_) | RowChange::Removed => 0,
        };
        8 + self.key.len() + self.cells().map_or(0, |cells| cells.len()) + cleared
    }
}

/// A client's request inside a batch: what makes a retry harmless at every holder of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestMark {
    /// Chosen by the client; at most [`REQUEST_KEY_BYTES_MAX`] bytes.
    pub key: String,
    pub body_hash: Hash32,
    pub changes: u32,
}

impl RequestMark {
    /// Roughly what the mark takes in a batch, in bytes.
    fn bytes(&self) -> usize {
        40 + self.key.len()
    }
}

/// One committed batch. Its changes are its own, or lent to it by requests while it is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch<C = Change> {
    pub origin: OriginId,
    pub epoch: Epoch,
    pub seq: StreamSeq,
    pub site_time: SiteTime,
    pub body: BatchBody<C>,
}

/// What a batch is about. Variants are only appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchBody<C = Change> {
    Rows {
        requests: Vec<RequestMark>,
        changes: Vec<C>,
    },
    /// Opens `Batch::epoch` on the base it names.
    EpochOpened {
        base: EpochBase,
    },
}

/// Where a new epoch starts: the last batch of the old one that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochBase {
    pub epoch: Epoch,
    pub seq: StreamSeq,
    pub chain: Hash32,
    pub digest: Hash32,
}

impl<C: Serialize + Borrow<Change>> Batch<C> {
    pub fn encode(&self) -> Result<Blob, CodecError> {
        let bytes: usize = match &self.body {
            BatchBody::Rows { requests, changes } => {
                requests.iter().map(RequestMark::bytes).chain(changes.iter().map(|change| change.borrow().bytes())).sum()
            }
            BatchBody::EpochOpened { .. } => 0,
        };
        codec::encode_sized(self, BATCH_OVERHEAD_BYTES + bytes).map(Blob)
    }
}

impl Batch {
    /// Reads a batch that this site holds, or is about to apply: every build of every node reads it alike.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes)
    }

    /// Reads a batch that somebody sent, before it is proposed.
    ///
    /// # Errors
    /// [`CodecError`], also for one that would take more memory than any batch does.
    pub fn decode_received(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_within(bytes, BATCH_MEMORY_BYTES_MAX)
    }
}

/// Where the chain of an origin's first epoch starts.
pub fn chain_start(origin: OriginId, epoch: Epoch) -> Hash32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"kho chain 1").update(&origin.0.to_le_bytes()).update(&epoch.number.to_le_bytes()).update(&epoch.id.to_le_bytes());
    Hash32(*hasher.finalize().as_bytes())
}

/// The chain hash after `batch`.
pub fn chain_next(before: Hash32, batch: &[u8]) -> Hash32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before.0).update(batch);
    Hash32(*hasher.finalize().as_bytes())
}

/// The state of an origin after a batch, as its author claims it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub origin: OriginId,
    pub epoch: Epoch,
    /// Last batch that the head covers; 0 before the first.
    pub seq: StreamSeq,
    pub chain: Hash32,
    pub digest: Hash32,
    /// Rows in the replica at `seq`, over all tables.
    pub rows: u64,
    /// The origin is complete up to this time.
    pub site_time: SiteTime,
}

impl Head {
    /// How many milliseconds too far the head's time lies beyond `clock`, if it does. What such a head says of completeness is
    /// not believed: later, somebody who withholds the newer ones could pass it off as fresh.
    pub fn ahead_of(&self, clock: SiteTime) -> Option<i64> {
        Some(self.site_time.0.saturating_sub(clock.0)).filter(|ahead_ms| *ahead_ms > HEAD_AHEAD_MS_MAX)
    }
}

/// A head and the node that vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    pub head: Head,
    pub site: SiteId,
    pub node: NodeId,
    pub signature: Signature,
}

impl SignedHead {
    /// Signs `head` as `node` of `site`.
    ///
    /// # Errors
    /// [`SignatureError`] when the key can't sign.
    pub fn sign(head: Head, site: SiteId, node: NodeId, key: &SigningKey) -> Result<Self, SignatureError> {
        let signature = key.sign(&signed_bytes(&head, site, node))?;
        Ok(Self { head, site, node, signature })
    }

    /// Checks the signature under the key that the register pins for the node.
    ///
    /// # Errors
    /// [`SignatureError`]; whoever made the head is at fault.
    pub fn verify(&self, pinned: &PublicKey) -> Result<(), SignatureError> {
        pinned.verify(&signed_bytes(&self.head, self.site, self.node), &self.signature)
    }
}

fn signed_bytes(head: &Head, site: SiteId, node: NodeId) -> Vec<u8> {
    let mut bytes = Vec::from(*b"kho head 1\0");
    codec::encode_into(&(head, site, node), &mut bytes).expect("a head always encodes");
    bytes
}

/// Consecutive batches of one stream and the head that ends them: what travels and is archived.
/// Without batches it is an idle head: nothing new up to the head's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Sequence of the first batch; the head's sequence plus 1 when there is none.
    pub first: StreamSeq,
    /// Encoded batches in order; kept as bytes because the chain is over bytes.
    pub batches: Vec<Blob>,
    pub head: SignedHead,
}

impl Segment {
    pub fn origin(&self) -> OriginId {
        self.head.head.origin
    }

    /// Bytes of all batches.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::SignatureAlgorithm;

    #[test]
    fn promise_4_a_batch_of_endless_small_changes_is_refused_before_it_fills_the_memory() {
        let batch = |changes: usize| {
            let nothing = Change { table: TableId(1), key: Blob::default(), row: RowChange::Removed };
            let body = BatchBody::Rows { requests: vec![], changes: vec![nothing; changes] };
            let (origin, epoch) = (OriginId(3), Epoch::first("test", OriginId(3)));
            Batch { origin, epoch, seq: StreamSeq(1), site_time: SiteTime(1), body }.encode().expect("encodes")
        };
        assert!(Batch::decode_received(&batch(BATCH_CHANGES_MAX)).is_ok());
        let endless = batch(BATCH_BYTES_MAX / 8);
        assert!(endless.len() < BATCH_BYTES_MAX, "it has no more bytes than any batch may have");
        assert!(Batch::decode_received(&endless).is_err());
    }

    fn head() -> Head {
        Head {
            origin: OriginId(7),
            epoch: Epoch::first("vn", OriginId(7)),
            seq: StreamSeq(3),
            chain: Hash32::of(b"c"),
            digest: Hash32::of(b"d"),
            rows: 5,
            site_time: SiteTime(9),
        }
    }

    #[test]
    fn promise_4_a_head_altered_in_any_field_does_not_verify() {
        let key = SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        let signed = SignedHead::sign(head(), SiteId(7), NodeId(1), &key).expect("signs");
        assert_eq!(signed.verify(&key.public_key()), Ok(()));
        let alter: [fn(&mut SignedHead); 9] = [
            |s| s.head.origin = OriginId(8),
            |s| s.head.epoch.id ^= 1,
            |s| s.head.seq = StreamSeq(4),
            |s| s.head.chain = Hash32::ZERO,
            |s| s.head.digest = Hash32::ZERO,
            |s| s.head.rows = 6,
            |s| s.head.site_time = SiteTime(10),
            |s| s.site = SiteId(8),
            |s| s.node = NodeId(2),
        ];
        for change in alter {
            let mut altered = signed.clone();
            change(&mut altered);
            assert!(altered.verify(&key.public_key()).is_err(), "{altered:?}");
        }
    }

    #[test]
    fn the_chain_depends_on_origin_epoch_order_and_every_byte() {
        let start = chain_start(OriginId(7), Epoch::first("vn", OriginId(7)));
        assert_ne!(start, chain_start(OriginId(8), Epoch::first("vn", OriginId(7))));
        let ab = chain_next(chain_next(start, b"a"), b"b");
        assert_ne!(ab, chain_next(chain_next(start, b"b"), b"a"));
        assert_ne!(ab, chain_next(start, b"ab"));
    }
}
