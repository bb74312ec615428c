//! Adopting a segment of another origin: everything is checked again against state, the digest is computed before anything
//! is written, and what does not fit is kept as evidence instead.

use super::{
    Decided, EvidenceReason, Warehouse,
    evidence::Witness,
    meta::{put_meta, put_origin, read_meta, read_origin},
    origin::{OriginState, StoppedOrigin, StreamRecord, Transfer, UNKNOWN_DIGEST},
    rows::{Replay, RowsChange},
    value::decode_stream_record,
    write::advance,
};
use crate::{
    checks,
    command::{Outcome, Refusal, StopReason},
    db::{Db, WriteSet},
    error::StorageError,
    ids::{Hash32, OriginId, SiteId, SiteTime, StreamSeq},
    keys::{self, Meta, Space},
    level::Level,
    planted::{Bug, planted},
    stream::{Batch, BatchBody, Head, Segment, SignedHead, chain_next},
};

impl Warehouse {
    pub(super) fn adopt_segment(
        &self,
        db: &Db,
        site_time: SiteTime,
        carrier: Option<SiteId>,
        segment: &Segment,
        set: &mut WriteSet,
    ) -> Decided {
        let origin = segment.origin();
        let Some(register) = self.register() else { return Ok(Err(Refusal::NoRegister)) };
        let checked = checks::check_path(origin, self.site(), &register).and_then(|()| checks::check_author(&segment.head, &register));
        if let Err(refusal) = checked {
            return Ok(Err(refusal));
        }
        let state = read_origin(db, origin)?.unwrap_or_else(|| OriginState::empty(origin, register.first_epoch(origin)));
        if state.epoch != segment.head.head.epoch && !planted(Bug::EpochNotChecked) {
            return Ok(Err(Refusal::OtherEpoch { origin, ours: state.epoch, theirs: segment.head.head.epoch }));
        }
        if let Some(StoppedOrigin { seq, reason }) = state.stopped {
            return Ok(Err(Refusal::Stopped { origin, seq, reason }));
        }
        let transfer: Option<Transfer> = read_meta(db, &Meta::Transfer(origin))?;
        if let Some(transfer) = &transfer
            && carrier == Some(transfer.carrier)
            && segment.first > state.next
        {
            return self.replay_segment(db, site_time, state, transfer.clone(), segment, set);
        }
        let next = state.next;
        let own = (register.author(origin) == Some(self.site())).then(|| state.clone());
        let decided = self.adopt_in_order(db, site_time, state, segment, set)?;
        if let Some(before) = own {
            self.compare_with_shown(db, site_time, &before, segment, &decided, set)?;
        }
        // The stream moved on by another path: the pieces were compared with an older state of it, so a transfer starts anew, if it
        // is of use at all by now. Nobody can block an origin by starting one, nor a transfer for longer than there are batches.
        if let (Some(transfer), Ok(Outcome::Adopted(cursor))) = (&transfer, &decided)
            && cursor.next > next
        {
            self.drop_transfer(transfer, cursor.next, set);
        }
        Ok(decided)
    }

    fn adopt_in_order(&self, db: &Db, site_time: SiteTime, state: OriginState, segment: &Segment, set: &mut WriteSet) -> Decided {
        let origin = segment.origin();
        if segment.first > state.next {
            return Ok(Err(Refusal::Gap { origin, wanted: state.next, given: segment.first }));
        }
        if let Some(seq) = first_difference(db, &state, segment)? {
            return match witness_of_difference(db, &state, segment)? {
                Witness::Author => self.keep_fork(site_time, &state, segment, seq, set),
                Witness::Carrier => {
                    let ours = Some((state.chain, state.sum.digest()));
                    self.keep_evidence(site_time, segment, EvidenceReason::HeldBatchesAltered, ours, set)?;
                    Ok(Err(Refusal::BadChain { origin, seq: segment.head.head.seq }))
                }
            };
        }
        if segment.head.head.seq < state.next {
            return self.adopt_known_head(db, site_time, state, segment, set);
        }
        self.adopt_batches(db, site_time, state, segment, set)
    }

    /// Applies the batches not yet held. All of it is decided before anything is written.
    fn adopt_batches(&self, db: &Db, site_time: SiteTime, mut state: OriginState, segment: &Segment, set: &mut WriteSet) -> Decided {
        let (origin, head) = (segment.origin(), &segment.head.head);
        let held = usize::try_from(state.next.0 - segment.first.0).unwrap_or(usize::MAX);
        let before = state.clone();
        let mut rows = RowsChange::new(self, db, origin, state.generation, state.sum.clone(), state.rows);
        let mut adopted = WriteSet::default();
        let own = self.register().is_some_and(|register| register.author(origin) == Some(self.site()));
        for bytes in segment.batches.iter().skip(held) {
            let batch = match readable_batch(&state, origin, self.level(), bytes) {
                Ok(batch) => batch,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if let BatchBody::Rows { requests, changes } = &batch.body {
                rows.apply(changes, batch.seq, batch.site_time, Replay::InOrder)?;
                if own {
                    self.remember_requests(&batch, requests, &mut adopted)?;
                }
            }
            (state.sum, state.rows) = (rows.sum.clone(), rows.rows);
            advance(&mut state, &batch, bytes, &mut adopted);
        }
        if (state.chain != head.chain || state.last() != head.seq) && !planted(Bug::ChainNotChecked) {
            self.keep_evidence(site_time, segment, EvidenceReason::ChainMismatch, Some((state.chain, state.sum.digest())), set)?;
            return Ok(Err(Refusal::BadChain { origin, seq: head.seq }));
        }
        if state.sum.digest() != head.digest || state.rows != head.rows {
            return self.stop_on_digest(db, site_time, before, segment, state.sum.digest(), set);
        }
        *set = adopted;
        rows.finish(set);
        if own {
            forget_premature_head(db, &before, head, set)?;
        }
        self.adopt_head(site_time, &mut state, segment, set)?;
        put_origin(set, &before.cursor(origin), &state)?;
        Ok(Ok(Outcome::Adopted(state.cursor(origin))))
    }

    /// A head over batches that are all held: an idle head, or a redelivery.
    fn adopt_known_head(&self, db: &Db, site_time: SiteTime, mut state: OriginState, segment: &Segment, set: &mut WriteSet) -> Decided {
        let (origin, head) = (segment.origin(), &segment.head.head);
        if let Some((chain, digest, rows)) = stood_at(db, origin, &state, head.seq)? {
            if chain != head.chain {
                return self.keep_fork(site_time, &state, segment, head.seq, set);
            }
            if digest.is_some_and(|digest| digest != head.digest) || rows.is_some_and(|rows| rows != head.rows) {
                return self.stop_on_digest(db, site_time, state, segment, digest.unwrap_or_default(), set);
            }
        } else if head.ahead_of(site_time).is_none() && newest_head_time(db, origin, &state)?.is_some_and(|newest| head.site_time > newest)
        {
            // The batch to compare is forgotten here, but the heads contradict each other. This one says that nothing followed
            // up to its time; by the one that is held, more did follow before that time. One author can't have meant both, unless
            // the time was one of the future, which an operator takes back.
            return self.keep_fork(site_time, &state, segment, head.seq, set);
        }
        if head.seq == state.last() && head.site_time > state.watermark {
            let cursor = state.cursor(origin);
            self.adopt_head(site_time, &mut state, segment, set)?;
            put_origin(set, &cursor, &state)?;
        }
        Ok(Ok(Outcome::Adopted(state.cursor(origin))))
    }

    /// Keeps the head and raises the watermark, never beyond this site's own time. A head of the far future raises none.
    pub(super) fn adopt_head(
        &self,
        site_time: SiteTime,
        state: &mut OriginState,
        segment: &Segment,
        set: &mut WriteSet,
    ) -> Result<(), StorageError> {
        let head = &segment.head.head;
        if head.ahead_of(site_time).is_none() {
            let own_time = if planted(Bug::WatermarkBeyondClock) { head.site_time } else { site_time };
            state.watermark = state.watermark.max(head.site_time.min(own_time));
        }
        state.head_seq = Some(head.seq);
        state.bytes_since_head = 0;
        put_meta(set, &Meta::Head(head.origin, head.epoch.number, head.seq), &segment.head)
    }

    /// The rows do not come to the digest that the author signed. Where the rows that this node held before do not come to its own
    /// digest either, its disk is at fault and not the author: then the node stops, and what the site decides stays with those whose
    /// disks are whole.
    fn stop_on_digest(
        &self,
        db: &Db,
        site_time: SiteTime,
        mut state: OriginState,
        segment: &Segment,
        ours: Hash32,
        set: &mut WriteSet,
    ) -> Decided {
        let (origin, seq) = (segment.origin(), segment.head.head.seq);
        if !planted(Bug::OwnDiskNotDoubted) && !self.rows_agree(db, origin, &state)? {
            return Err(StorageError::Diverged { origin, seq, ours, theirs: segment.head.head.digest });
        }
        let refusal = Refusal::DigestMismatch { origin, seq };
        self.keep_evidence(site_time, segment, EvidenceReason::DigestMismatch, Some((state.chain, ours)), set)?;
        let cursor = state.cursor(origin);
        state.stopped = Some(StoppedOrigin { seq, reason: StopReason::DigestMismatch });
        put_origin(set, &cursor, &state)?;
        Ok(Err(refusal))
    }

    fn keep_fork(&self, site_time: SiteTime, state: &OriginState, segment: &Segment, seq: StreamSeq, set: &mut WriteSet) -> Decided {
        let origin = segment.origin();
        self.keep_evidence(site_time, segment, EvidenceReason::AnotherHistory, Some((state.chain, state.sum.digest())), set)?;
        Ok(Err(Refusal::Forked { origin, seq }))
    }
}

/// Decodes a batch and checks that it is the next of its origin, holds canonical rows, and no column above the level of the site.
pub(super) fn readable_batch(state: &OriginState, origin: OriginId, level: Level, bytes: &[u8]) -> Result<Batch, Refusal> {
    let malformed = |why: String| Refusal::Malformed { origin, seq: state.next, why };
    let batch = Batch::decode(bytes).map_err(|e| malformed(e.to_string()))?;
    if (batch.origin, batch.epoch, batch.seq) != (origin, state.epoch, state.next) {
        return Err(malformed(format!("it is batch {} of origin {} in epoch {}", batch.seq, batch.origin, batch.epoch)));
    }
    if let BatchBody::Rows { changes, .. } = &batch.body {
        for change in changes {
            checks::check_change(change).map_err(|e| malformed(e.to_string()))?;
        }
    }
    if !planted(Bug::LevelNotChecked) {
        checks::check_batch_level(&batch, level)?;
    }
    Ok(batch)
}

/// The first batch of the segment that differs from one that is held and kept.
fn first_difference(db: &Db, state: &OriginState, segment: &Segment) -> Result<Option<StreamSeq>, StorageError> {
    let mut seq = segment.first;
    for bytes in &segment.batches {
        if seq >= state.next {
            break;
        }
        if seq >= state.oldest_kept
            && let Some(record) = kept_batch(db, segment.origin(), state.epoch.number, seq)?
            && record.batch != bytes.0
        {
            return Ok(Some(seq));
        }
        seq = seq.next();
    }
    Ok(None)
}

/// Who is behind batches that differ from those held: the author, when its signed head contradicts what is held at the same place
/// or the batches lead to it; otherwise whoever carried them. A fork before the segment's start can't be distinguished from an
/// alteration here: it shows at the head, by chain or by the next cursor.
fn witness_of_difference(db: &Db, state: &OriginState, segment: &Segment) -> Result<Witness, StorageError> {
    let (origin, head) = (segment.origin(), &segment.head.head);
    let vouched = if head.seq < state.next {
        stood_at(db, origin, state, head.seq)?.is_some_and(|(chain, _, _)| chain != head.chain)
    } else {
        let before = stood_at(db, origin, state, segment.first.previous())?;
        before.is_some_and(|(before, _, _)| segment.batches.iter().fold(before, |chain, batch| chain_next(chain, batch)) == head.chain)
    };
    Ok(if vouched { Witness::Author } else { Witness::Carrier })
}

pub(super) fn kept_batch(db: &Db, origin: OriginId, epoch: u32, seq: StreamSeq) -> Result<Option<StreamRecord>, StorageError> {
    let key = keys::stream(origin, epoch, seq);
    db.value(Space::Streams, &key)?.map(|value| decode_stream_record(&key, &value)).transpose()
}

/// Removes the newest head of this site's own when what it gets back now was written before that head's time. The site signed it after its
/// disks had come back older: it says that nothing followed, and no parent would take a transfer that holds both.
fn forget_premature_head(db: &Db, before: &OriginState, head: &Head, set: &mut WriteSet) -> Result<(), StorageError> {
    let Some(seq) = before.head_seq.filter(|seq| *seq < head.seq) else { return Ok(()) };
    let meta = Meta::Head(head.origin, before.epoch.number, seq);
    if read_meta::<SignedHead>(db, &meta)?.is_some_and(|signed| signed.head.site_time > head.site_time) {
        set.delete(Space::Meta, meta.encode());
    }
    Ok(())
}

/// Time of the newest head that is held.
fn newest_head_time(db: &Db, origin: OriginId, state: &OriginState) -> Result<Option<SiteTime>, StorageError> {
    let Some(seq) = state.head_seq else { return Ok(None) };
    let head: Option<SignedHead> = read_meta(db, &Meta::Head(origin, state.epoch.number, seq))?;
    Ok(head.map(|signed| signed.head.site_time))
}

/// Chain, digest and row count after batch `seq`, as far as they are still known.
type StoodAt = (Hash32, Option<Hash32>, Option<u64>);

pub(super) fn stood_at(db: &Db, origin: OriginId, state: &OriginState, seq: StreamSeq) -> Result<Option<StoodAt>, StorageError> {
    if seq == state.last() {
        return Ok(Some((state.chain, Some(state.sum.digest()), Some(state.rows))));
    }
    if seq.next() == state.oldest_kept {
        return Ok(Some((state.before_oldest_chain, None, None)));
    }
    if seq < state.oldest_kept {
        return Ok(None);
    }
    Ok(kept_batch(db, origin, state.epoch.number, seq)?.map(|record| {
        let known = record.digest != UNKNOWN_DIGEST;
        (record.chain, known.then_some(record.digest), known.then_some(record.rows))
    }))
}
