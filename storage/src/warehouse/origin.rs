//! Where an origin stands at this site.

use serde::{Deserialize, Serialize};

use crate::{
    command::{ParentCursor, RowPlace, StopReason, TransferStart, TransferStatus},
    digest::DigestSum,
    ids::{Epoch, Generation, Hash32, OriginId, SiteId, SiteTime, StreamSeq},
    register::VerifiedRegister,
    stream::{Head, chain_start},
};

/// Where an origin stands at this site; written in the same atomic write as the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginState {
    pub epoch: Epoch,
    /// Cursor: the first batch not yet held.
    pub next: StreamSeq,
    /// Chain hash after the batch before `next`.
    pub chain: Hash32,
    pub sum: DigestSum,
    pub rows: u64,
    /// The build of the replica that is read.
    pub generation: Generation,
    /// The next build's number.
    pub next_generation: Generation,
    /// First batch still kept; equals `next` when none is.
    pub oldest_kept: StreamSeq,
    /// Chain hash before `oldest_kept`.
    pub before_oldest_chain: Hash32,
    /// Bytes of all batches kept.
    pub kept_bytes: u64,
    /// Bytes of batches since the newest head.
    pub bytes_since_head: u64,
    /// Site time of the newest batch.
    pub batch_time: SiteTime,
    /// Last batch of the newest head; `None` before the first head.
    pub head_seq: Option<StreamSeq>,
    /// The replica is known complete up to here: time of the newest head, never beyond this site's own clock.
    pub watermark: SiteTime,
    /// Set while the origin is stopped; `kho origin resume` takes it away.
    pub stopped: Option<StoppedOrigin>,
}

/// An origin that this site adopts no more until an operator has reviewed the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedOrigin {
    /// Last batch of the head at which the origin was stopped.
    pub seq: StreamSeq,
    pub reason: StopReason,
}

impl OriginState {
    /// An origin of which nothing is held yet.
    pub fn empty(origin: OriginId, epoch: Epoch) -> Self {
        let chain = chain_start(origin, epoch);
        Self {
            epoch,
            next: StreamSeq(1),
            chain,
            sum: DigestSum::default(),
            rows: 0,
            generation: Generation(1),
            next_generation: Generation(2),
            oldest_kept: StreamSeq(1),
            before_oldest_chain: chain,
            kept_bytes: 0,
            bytes_since_head: 0,
            batch_time: SiteTime(0),
            head_seq: None,
            watermark: SiteTime(0),
            stopped: None,
        }
    }

    /// Last batch held; 0 before the first.
    pub fn last(&self) -> StreamSeq {
        self.next.previous()
    }

    /// The cursor of `origin` that this site names to its children: the first batch not yet held.
    pub fn cursor(&self, origin: OriginId) -> ParentCursor {
        ParentCursor { origin, epoch: self.epoch, next: self.next }
    }

    /// What a head over all that is held says of `origin`, complete up to `site_time`.
    pub fn head(&self, origin: OriginId, site_time: SiteTime) -> Head {
        Head { origin, epoch: self.epoch, seq: self.last(), chain: self.chain, digest: self.sum.digest(), rows: self.rows, site_time }
    }

    /// The first invariant that does not hold, if there is one.
    pub(super) fn broken_invariant(&self) -> Option<&'static str> {
        let invariants = [
            (self.oldest_kept >= StreamSeq(1), "batches are kept from before the first one"),
            (self.oldest_kept <= self.next, "the cursor lies before the oldest batch that is kept"),
            (self.head_seq.is_none_or(|seq| seq < self.next), "the newest head covers batches that are not held"),
            (self.bytes_since_head <= self.kept_bytes, "more bytes stand without a head than are kept"),
            (self.generation < self.next_generation, "the next generation's number is taken"),
        ];
        invariants.into_iter().find_map(|(holds, broken)| (!holds).then_some(broken))
    }
}

/// Stands in a [`StreamRecord`] where no digest is known: batches that a transfer replayed before its head decided.
pub(super) const UNKNOWN_DIGEST: Hash32 = Hash32::ZERO;

/// A batch as it is kept, with what stood after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord<B = Vec<u8>> {
    pub chain: Hash32,
    pub digest: Hash32,
    pub rows: u64,
    pub batch: B,
}

/// An applied client request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    pub body_hash: Hash32,
    pub epoch: Epoch,
    pub seq: StreamSeq,
    pub changes: u32,
}

/// A whole-origin transfer under way. Its carrier and the generation that it builds name it: nothing of another carrier, and nothing
/// that was sent for another generation, continues it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub start: TransferStart,
    /// The child that sends it.
    pub carrier: SiteId,
    pub generation: Generation,
    /// Site time at which it last came further.
    pub last_step: SiteTime,
    pub sum: DigestSum,
    pub rows: u64,
    /// Start of the next range wanted; `None` when all are here.
    pub wanted: Option<RowPlace>,
    /// The highest state at which a piece was read: a head below it can't decide.
    pub until: StreamSeq,
    /// Next batch to replay, and the chain before it.
    pub next: StreamSeq,
    pub chain: Hash32,
    pub kept_bytes: u64,
    /// The batch of the first divergent row: one that the replica which is read does not hold alike, though it holds that batch. It
    /// is a row of another history, if the head vouches for it.
    pub divergent_row: Option<StreamSeq>,
    /// The newest batch that the pieces show, and a time by which it was written.
    pub newest: (StreamSeq, SiteTime),
}

impl Transfer {
    /// Whether the pieces seem to be read from a history that the author does not have any more: its head is complete up to a time at
    /// which they hold more than it does. It may be so without that too, where `kho site confirm-time` took the time back.
    pub fn is_contradicted_by(&self, head: &Head) -> bool {
        let (seq, time) = self.newest;
        seq > head.seq && time < head.site_time
    }

    /// Whether another carrier has to wait for this one: the register still leads the origin through it, and it came further within
    /// `silent_ms` of site time. A site time that was taken back counts like one that went on, so that no clock holds a transfer.
    pub fn is_held(&self, site_time: SiteTime, silent_ms: u64, register: &VerifiedRegister) -> bool {
        register.leads_through(self.start.origin, self.carrier) && self.last_step.0.abs_diff(site_time.0) < silent_ms
    }

    pub fn status(&self) -> TransferStatus {
        let (origin, epoch, generation) = (self.start.origin, self.start.epoch, self.generation);
        match &self.wanted {
            Some(from) => TransferStatus::WantsPiece { origin, epoch, generation, from: from.clone() },
            None => TransferStatus::WantsBatches { origin, epoch, next: self.next, until: self.until },
        }
    }
}
