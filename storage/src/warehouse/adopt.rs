//! Adopting a segment of another origin: everything is checked again against state, the digest is computed before anything
//! is written, and what does not fit is kept as evidence instead.

use super::{
    Decided, Warehouse,
    origin::{Evidence, OriginState, Stopped, StreamRecord, Transfer, UNKNOWN_DIGEST},
    put_meta, read_meta, read_origin,
    rows::{Replay, RowsChange},
    value::decode_stream_record,
    write::advance,
};
use crate::{
    codec,
    command::{Outcome, Refusal},
    db::{Db, WriteSet},
    error::StorageError,
    ids::{Hash32, OriginId, SiteTime, StreamSeq},
    keys::{self, Meta, Space},
    planted::{Bug, planted},
    register::VerifiedRegister,
    row::RowCells,
    stream::{Batch, BatchBody, Change, Segment, SignedHead, chain_next},
};

/// Evidence kept of one origin at most: the first of many like it are what a review needs, and a hostile carrier must not
/// fill the disk.
const EVIDENCE_MAX: usize = 16;
/// How much of it may be what a carrier could have made up. The rest is left for what an author signed: a second history must not
/// be thrown away because somebody filled the room with inventions.
const INVENTED_EVIDENCE_MAX: usize = EVIDENCE_MAX / 2;

/// Who stands behind a piece of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Witness {
    /// The head that the author signed contradicts what is held.
    Author,
    /// The author's head is good, what came with it is not: any carrier could have made that up.
    Carrier,
}

impl Warehouse {
    pub(super) fn adopt_segment(&self, db: &Db, site_time: SiteTime, segment: &Segment, set: &mut WriteSet) -> Decided {
        let origin = segment.origin();
        let register = self.register.load();
        let Some(register) = register.as_ref().as_ref() else { return Ok(Err(Refusal::NoRegister)) };
        if let Err(refusal) = self.check_claim(register, segment) {
            return Ok(Err(refusal));
        }
        let state = read_origin(db, origin)?.unwrap_or_else(|| OriginState::empty(origin, register.first_epoch(origin)));
        if state.epoch != segment.head.head.epoch && !planted(Bug::EpochNotChecked) {
            return Ok(Err(Refusal::OtherEpoch { origin, ours: state.epoch, theirs: segment.head.head.epoch }));
        }
        if let Some(Stopped { seq, why }) = &state.stopped {
            return Ok(Err(Refusal::Stopped { origin, seq: *seq, why: why.clone() }));
        }
        let transfer: Option<Transfer> = read_meta(db, &Meta::Transfer(origin))?;
        if let Some(transfer) = &transfer
            && segment.first > state.next
        {
            return self.replay_segment(db, site_time, state, transfer.clone(), segment, set);
        }
        let next = state.next;
        let decided = self.adopt_in_order(db, site_time, state, segment, set)?;
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
                    self.keep_evidence(
                        site_time,
                        segment,
                        Witness::Carrier,
                        "batches that are held were altered: they do not lead to the head's chain hash",
                        ours,
                        set,
                    )?;
                    Ok(Err(Refusal::BadChain { origin, seq: segment.head.head.seq }))
                }
            };
        }
        if segment.head.head.seq < state.next {
            return self.adopt_known_head(db, site_time, state, segment, set);
        }
        self.adopt_batches(db, site_time, state, segment, set)
    }

    /// What the register alone decides: origin, author, key.
    fn check_claim(&self, register: &VerifiedRegister, segment: &Segment) -> Result<(), Refusal> {
        let (origin, head) = (segment.origin(), &segment.head.head);
        if register.author(origin).is_none() {
            return Err(Refusal::UnknownOrigin(origin));
        }
        let key = register.head_key(origin, segment.head.site, segment.head.node, head.epoch.number, head.seq);
        let good = key.is_some_and(|key| segment.head.verify(key).is_ok());
        if good { Ok(()) } else { Err(Refusal::BadSignature { origin, seq: head.seq }) }
    }

    /// Applies the batches not yet held. All of it is decided before anything is written.
    fn adopt_batches(&self, db: &Db, site_time: SiteTime, mut state: OriginState, segment: &Segment, set: &mut WriteSet) -> Decided {
        let (origin, head) = (segment.origin(), &segment.head.head);
        let held = usize::try_from(state.next.0 - segment.first.0).unwrap_or(usize::MAX);
        let before = state.clone();
        let mut rows = RowsChange::new(self, db, origin, state.generation, state.sum.clone(), state.rows);
        let mut adopted = WriteSet::default();
        for bytes in segment.batches.iter().skip(held) {
            let batch = match readable_batch(&state, origin, bytes) {
                Ok(batch) => batch,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if let BatchBody::Rows { changes, .. } = &batch.body {
                rows.apply(changes, batch.seq, batch.site_time, Replay::InOrder)?;
            }
            (state.sum, state.rows) = (rows.sum.clone(), rows.rows);
            advance(&mut state, &batch, bytes, &mut adopted);
        }
        if (state.chain != head.chain || state.last() != head.seq) && !planted(Bug::ChainNotChecked) {
            self.keep_evidence(
                site_time,
                segment,
                Witness::Carrier,
                "the batches do not lead to the head's chain hash",
                Some((state.chain, state.sum.digest())),
                set,
            )?;
            return Ok(Err(Refusal::BadChain { origin, seq: head.seq }));
        }
        if state.sum.digest() != head.digest || state.rows != head.rows {
            return self.stop_on_digest(site_time, before, segment, state.sum.digest(), set);
        }
        *set = adopted;
        rows.finish(set);
        self.adopt_head(site_time, &mut state, segment, set)?;
        let cursor = state.cursor(origin);
        put_meta(set, &Meta::Origin(origin), &state)?;
        Ok(Ok(Outcome::Adopted(cursor)))
    }

    /// A head over batches that are all held: an idle head, or a redelivery.
    fn adopt_known_head(&self, db: &Db, site_time: SiteTime, mut state: OriginState, segment: &Segment, set: &mut WriteSet) -> Decided {
        let (origin, head) = (segment.origin(), &segment.head.head);
        if let Some((chain, digest, rows)) = stood_at(db, origin, &state, head.seq)? {
            if chain != head.chain {
                return self.keep_fork(site_time, &state, segment, head.seq, set);
            }
            if digest.is_some_and(|digest| digest != head.digest) || rows.is_some_and(|rows| rows != head.rows) {
                return self.stop_on_digest(site_time, state, segment, digest.unwrap_or_default(), set);
            }
        } else if newest_head_time(db, origin, &state)?.is_some_and(|newest| head.site_time > newest) {
            // The batch to compare is forgotten here, but heads tell too: by this one nothing followed it up to its time, by the one
            // that is held more did, and before that time. One author can't have meant both.
            return self.keep_fork(site_time, &state, segment, head.seq, set);
        }
        if head.seq == state.last() && head.site_time > state.watermark {
            self.adopt_head(site_time, &mut state, segment, set)?;
            put_meta(set, &Meta::Origin(origin), &state)?;
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

    fn stop_on_digest(&self, site_time: SiteTime, mut state: OriginState, segment: &Segment, ours: Hash32, set: &mut WriteSet) -> Decided {
        let (origin, seq) = (segment.origin(), segment.head.head.seq);
        let refusal = Refusal::DigestMismatch { origin, seq };
        self.keep_evidence(
            site_time,
            segment,
            Witness::Author,
            "the rows do not have the digest that the head claims",
            Some((state.chain, ours)),
            set,
        )?;
        state.stopped = Some(Stopped { seq, why: "digest mismatch".into() });
        put_meta(set, &Meta::Origin(origin), &state)?;
        Ok(Err(refusal))
    }

    fn keep_fork(&self, site_time: SiteTime, state: &OriginState, segment: &Segment, seq: StreamSeq, set: &mut WriteSet) -> Decided {
        let origin = segment.origin();
        self.keep_evidence(
            site_time,
            segment,
            Witness::Author,
            "another history of this origin",
            Some((state.chain, state.sum.digest())),
            set,
        )?;
        Ok(Err(Refusal::Forked { origin, seq }))
    }

    pub(super) fn keep_evidence(
        &self,
        site_time: SiteTime,
        segment: &Segment,
        witness: Witness,
        why: &str,
        ours: Option<(Hash32, Hash32)>,
        set: &mut WriteSet,
    ) -> Result<(), StorageError> {
        let room = match witness {
            Witness::Author => EVIDENCE_MAX,
            Witness::Carrier => INVENTED_EVIDENCE_MAX,
        };
        if evidence_kept(&self.db.load(), segment.origin())? >= room {
            return Ok(());
        }
        let name = if planted(Bug::EvidenceOverwritten) { 0 } else { keys::evidence_hash(&codec::encode(segment)?) };
        let evidence = Evidence { why: why.into(), found_at: site_time, segment: segment.clone(), ours };
        put_meta(set, &Meta::Evidence(segment.origin(), segment.head.head.seq, name), &evidence)
    }
}

/// Pieces of evidence kept of one origin.
fn evidence_kept(db: &Db, origin: OriginId) -> Result<usize, StorageError> {
    let from = Meta::Evidence(origin, StreamSeq(0), 0).encode();
    let to = Meta::Evidence(OriginId(origin.0.saturating_add(1)), StreamSeq(0), 0).encode();
    let mut kept = 0;
    db.view().scan(Space::Meta, &from, &to, |_, _| {
        kept += 1;
        Ok(true)
    })?;
    Ok(kept)
}

/// Decodes a batch and checks that it is the next of its origin and holds canonical rows.
pub(super) fn readable_batch(state: &OriginState, origin: OriginId, bytes: &[u8]) -> Result<Batch, Refusal> {
    let malformed = |why: String| Refusal::Malformed { origin, seq: state.next, why };
    let batch = Batch::decode(bytes).map_err(|e| malformed(e.to_string()))?;
    if (batch.origin, batch.epoch, batch.seq) != (origin, state.epoch, state.next) {
        return Err(malformed(format!("it is batch {} of origin {} in epoch {}", batch.seq, batch.origin, batch.epoch)));
    }
    if let BatchBody::Rows { changes, .. } = &batch.body {
        check_changes(changes).map_err(malformed)?;
    }
    Ok(batch)
}

fn check_changes(changes: &[Change]) -> Result<(), String> {
    for change in changes {
        if change.key.is_empty() || change.key.len() > crate::stream::KEY_BYTES_MAX {
            return Err(format!("a key of {} bytes", change.key.len()));
        }
        if let Some(cells) = &change.cells {
            RowCells::check(cells).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
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
/// or the batches lead to it; otherwise whoever carried them. A fork before the segment's start can't be told from an alteration
/// here: it shows at the head, by chain or by the next cursor.
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
