//! Own heads, what parents acknowledged, and forgetting by promise 2.

use super::{
    Decided, Warehouse,
    adopt::{kept_batch, stood_at},
    meta::{decode_meta, put_meta, put_origin, read_meta, read_origin},
    origin::OriginState,
};
use crate::{
    command::{Outcome, ParentCursor, Refusal},
    db::{Db, WriteSet},
    error::StorageError,
    ids::{OriginId, SiteId, SiteTime, StreamSeq},
    keys::{self, Meta, MetaKind, Space},
    planted::{Bug, planted},
    stream::{Batch, HEAD_AHEAD_MS_MAX, Head, SignedHead},
};

/// How many batches one trim forgets at most, so that it never holds up writes for long.
const TRIMMED_MAX: u64 = 2_000;

impl Warehouse {
    /// Commits a head that one of this site's nodes signed. A node whose rows differ from the head's digest stops.
    pub(super) fn commit_head(&self, db: &Db, signed: &SignedHead, set: &mut WriteSet) -> Decided {
        let head = &signed.head;
        let (origin, seq) = (head.origin, head.seq);
        let Some(register) = self.register() else { return Ok(Err(Refusal::NoRegister)) };
        let key = register.head_key(origin, signed.site, signed.node, head.epoch.number, seq);
        if signed.site != self.site() || key.is_none_or(|key| signed.verify(key).is_err()) {
            return Ok(Err(Refusal::BadSignature { origin, seq }));
        }
        let mut state = read_origin(db, origin)?.unwrap_or_else(|| OriginState::empty(origin, register.first_epoch(origin)));
        if state.epoch != head.epoch {
            return Ok(Err(Refusal::OtherEpoch { origin, ours: state.epoch, theirs: head.epoch }));
        }
        let Some((chain, digest, _)) = stood_at(db, origin, &state, seq)? else {
            return Ok(Err(Refusal::Gap { origin, wanted: state.next, given: seq }));
        };
        if chain != head.chain || digest.is_some_and(|digest| digest != head.digest) {
            return Err(StorageError::Diverged { origin, seq, ours: digest.unwrap_or(chain), theirs: head.digest });
        }
        let newest = state.head_seq.is_none_or(|held| seq >= held) && head.site_time >= state.watermark;
        if newest && (planted(Bug::HeadClaimsTooMuch) || !claims_too_much(db, origin, &state, head)?) {
            state.watermark = head.site_time;
            state.head_seq = Some(seq);
            state.bytes_since_head = bytes_after(db, origin, &state, seq)?;
            put_meta(set, &Meta::Head(origin, head.epoch.number, seq), signed)?;
            put_origin(set, &state.cursor(origin), &state)?;
        }
        Ok(Ok(Outcome::HeadCommitted))
    }

    /// Notes what a parent acknowledged. A parent that was restored may say less than before; that is noted too, so that
    /// nothing is trimmed which it needs again.
    pub(super) fn record_parent(&self, parent: SiteId, cursors: &[ParentCursor], set: &mut WriteSet) -> Decided {
        for cursor in cursors {
            put_meta(set, &Meta::Parent(parent, cursor.origin), cursor)?;
        }
        Ok(Ok(Outcome::Recorded))
    }

    /// Takes an origin up again that was stopped. Its evidence stays; the same fault stops it again.
    pub(super) fn resume_origin(&self, db: &Db, origin: OriginId, set: &mut WriteSet) -> Decided {
        let Some(mut state) = read_origin(db, origin)? else { return Ok(Err(Refusal::UnknownOrigin(origin))) };
        state.stopped = None;
        put_origin(set, &state.cursor(origin), &state)?;
        Ok(Ok(Outcome::Recorded))
    }

    /// Takes back what lies so far beyond `site_time` that no parent believes it: watermarks, and the time of the newest own batch, which
    /// the next one would follow. Batches and heads of the future stay as they were signed; the next head says what is true.
    pub(super) fn confirm_time(&self, db: &Db, site_time: SiteTime, set: &mut WriteSet) -> Decided {
        let Some(register) = self.register() else { return Ok(Err(Refusal::NoRegister)) };
        for (origin, mut state) in origins(db)? {
            let is_own = register.author(origin) == Some(self.site());
            let (watermark, batch_time) = (state.watermark, state.batch_time);
            let ahead_ms_max = if planted(Bug::BelievedTimeTakenBack) { 0 } else { HEAD_AHEAD_MS_MAX };
            let taken_back = |time: SiteTime| if time.0.saturating_sub(site_time.0) > ahead_ms_max { site_time } else { time };
            state.watermark = taken_back(watermark);
            state.batch_time = if is_own && !planted(Bug::BatchTimeNotTakenBack) { taken_back(batch_time) } else { batch_time };
            if (state.watermark, state.batch_time) != (watermark, batch_time) {
                put_origin(set, &state.cursor(origin), &state)?;
            }
        }
        Ok(Ok(Outcome::Recorded))
    }

    /// Forgets batches that the active parent holds, but keeps the newest `keep_bytes` of every stream and everything after
    /// the oldest head that can still end a segment. A site without a parent forgets nothing.
    pub(super) fn trim(&self, db: &Db, keep_bytes: u64, set: &mut WriteSet) -> Decided {
        let register = self.register();
        let mut parent = register.as_ref().and_then(|register| register.active_parent(self.site()));
        if planted(Bug::TrimmedByStandIn) {
            parent = register.as_ref().and_then(|register| register.site(self.site())?.parents.last().copied());
        }
        let mut trimmed = 0;
        if let Some(parent) = parent {
            for (origin, state) in origins(db)? {
                let Some(acknowledged) = read_meta::<ParentCursor>(db, &Meta::Parent(parent, origin))? else { continue };
                if acknowledged.epoch == state.epoch && trimmed < TRIMMED_MAX {
                    let up_to = if planted(Bug::TrimmedBeyondParent) { state.next } else { acknowledged.next };
                    trimmed += trim_stream(db, origin, state, up_to, keep_bytes, TRIMMED_MAX - trimmed, set)?;
                }
            }
        }
        Ok(Ok(Outcome::Trimmed { batches: trimmed }))
    }
}

/// Whether a batch that the head does not cover is older than the head's time: it was applied after the head was signed, and
/// the head must not say that the origin is complete up to then. The signer signs again.
fn claims_too_much(db: &Db, origin: OriginId, state: &OriginState, head: &Head) -> Result<bool, StorageError> {
    let Some(record) = kept_batch(db, origin, state.epoch.number, head.seq.next())? else { return Ok(false) };
    let batch =
        Batch::decode(&record.batch).map_err(|e| StorageError::damaged(format!("batch {} of origin {origin}", head.seq.next()), e))?;
    Ok(head.site_time > batch.site_time)
}

/// Bytes of the batches after `seq`: few, for heads follow closely.
fn bytes_after(db: &Db, origin: OriginId, state: &OriginState, seq: StreamSeq) -> Result<u64, StorageError> {
    let mut bytes = 0;
    for later in seq.0 + 1..state.next.0 {
        bytes += kept_batch(db, origin, state.epoch.number, StreamSeq(later))?.map_or(0, |record| record.batch.len() as u64);
    }
    Ok(bytes)
}

/// Every origin held, in order.
pub(super) fn origins(db: &Db) -> Result<Vec<(OriginId, OriginState)>, StorageError> {
    let (from, to) = MetaKind::Origin.range();
    let mut found = Vec::new();
    db.view().scan(Space::Meta, &from, &to, |key, value| {
        if let Some(meta @ Meta::Origin(origin)) = Meta::decode(key) {
            found.push((origin, decode_meta(&meta, value)?));
        }
        Ok(true)
    })?;
    Ok(found)
}

/// Trims one stream up to a head boundary below both the acknowledged cursor and the bytes to keep.
fn trim_stream(
    db: &Db,
    origin: OriginId,
    mut state: OriginState,
    acknowledged: StreamSeq,
    keep_bytes: u64,
    batches_max: u64,
    set: &mut WriteSet,
) -> Result<u64, StorageError> {
    let epoch = state.epoch.number;
    let (from, to) = (keys::stream(origin, epoch, state.oldest_kept), keys::stream(origin, epoch, acknowledged.min(state.next)));
    let view = db.view();
    let mut kept = state.kept_bytes;
    let mut last = None;
    let mut count = 0;
    view.scan(Space::Streams, &from, &to, |key, value| {
        let record = super::value::decode_stream_record(key, value)?;
        let Some((_, _, seq)) = keys::decode_stream(key) else { return Ok(true) };
        kept = kept.saturating_sub(record.batch.len() as u64);
        if kept < keep_bytes || count >= batches_max {
            return Ok(false);
        }
        count += 1;
        // A segment must start right after a head, so streams are cut at heads only.
        if view.value(Space::Meta, &Meta::Head(origin, epoch, seq).encode())?.is_some() {
            last = Some((seq, record.chain, kept, count));
        }
        Ok(true)
    })?;
    let Some((seq, chain, kept_bytes, count)) = last else { return Ok(0) };
    let end = seq.next();
    set.delete_range(Space::Streams, keys::stream(origin, epoch, state.oldest_kept), keys::stream(origin, epoch, end));
    // The newest head stays, even when all batches are gone: it vouches for the rows.
    let last_head = state.head_seq.unwrap_or(seq).min(seq);
    set.delete_range(Space::Meta, Meta::Head(origin, epoch, StreamSeq(0)).encode(), Meta::Head(origin, epoch, last_head).encode());
    (state.oldest_kept, state.before_oldest_chain, state.kept_bytes) = (end, chain, kept_bytes);
    put_origin(set, &state.cursor(origin), &state)?;
    Ok(count)
}
