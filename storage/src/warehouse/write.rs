//! Clients' requests become one batch of the site's own origin.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use super::{
    REQUEST_KEPT_MS, Warehouse,
    meta::{put_meta, put_origin, read_meta, read_metas, read_origin},
    needs::unmet_need,
    origin::{OriginState, RequestRecord, StreamRecord},
    rows::{Replay, RowsChange},
    set_back::SetBack,
    value::encode_stream_record,
};
use crate::{
    command::{WriteOutcome, WriteRequest},
    db::{Db, WriteSet},
    error::StorageError,
    ids::{OriginId, SiteTime},
    keys::{self, Meta, MetaKind, Space},
    planted::{Bug, planted},
    stream::{Batch, BatchBody, Change, HEADLESS_BYTES_MAX, RequestMark, chain_next},
};

/// A write forgets so many aged request keys, or twice as many as it brings, whichever is more: no write is slow, and aged keys
/// never pile up.
const FORGOTTEN_MIN: usize = 64;

impl Warehouse {
    /// Commits every request that can be committed as one batch. A refused request leaves no trace.
    pub(super) fn write_requests(
        &self,
        db: &Db,
        site_time: SiteTime,
        origin: OriginId,
        requests: &[WriteRequest],
        set: &mut WriteSet,
    ) -> Result<Vec<WriteOutcome>, StorageError> {
        let Some(register) = self.register().filter(|register| register.author(origin) == Some(self.site())) else {
            return Ok(vec![WriteOutcome::NotAuthor; requests.len()]);
        };
        let mut state = read_origin(db, origin)?.unwrap_or_else(|| OriginState::empty(origin, register.first_epoch(origin)));
        // Site time never goes back, whatever a new leader's clock says.
        let time = site_time.max(state.batch_time).max(state.watermark);
        let mut rows = RowsChange::new(self, db, origin, state.generation, state.sum.clone(), state.rows);
        // Decided by state, so that segments stay bounded whatever the nodes that propose believe.
        let full = state.bytes_since_head >= HEADLESS_BYTES_MAX as u64;
        let set_back: Option<SetBack> = read_meta(db, &Meta::SetBack(origin))?;
        let set_back = set_back.filter(|_| !planted(Bug::SetBackTakesEntry));
        let answered = read_metas(db, requests.iter().map(|request| Meta::Request(origin, request.key.clone())))?;
        let held = rows.read(requests.iter().flat_map(|request| &request.changes))?;
        let held = held.by_request(requests.iter().map(|request| request.changes.len()));
        let mut outcomes = Vec::with_capacity(requests.len());
        let mut accepted: BTreeMap<&str, (RequestRecord, usize)> = BTreeMap::new();
        let mut marks = Vec::new();
        let mut changes: Vec<&Change> = Vec::new();
        for ((request, answered), held) in requests.iter().zip(answered).zip(held) {
            let earlier = accepted.get(request.key.as_str()).map(|(record, _): &(RequestRecord, usize)| record.clone()).or(answered);
            // What was answered before is answered so again only where it surely went up.
            if let Some(set_back) = &set_back
                && earlier.as_ref().is_none_or(|earlier| earlier.seq > set_back.agreed)
            {
                outcomes.push(WriteOutcome::SetBack);
                continue;
            }
            if let Some(earlier) = earlier {
                outcomes.push(repeated(&earlier, request));
                continue;
            }
            if full {
                outcomes.push(WriteOutcome::Busy);
                continue;
            }
            if let Some(refused) = unmet_need(&rows, &held, request)? {
                outcomes.push(refused);
                continue;
            }
            rows.apply_to(held, &request.changes, state.next, time, Replay::InOrder)?;
            let count = u32::try_from(request.changes.len()).unwrap_or(u32::MAX);
            let record = RequestRecord { body_hash: request.body_hash, epoch: state.epoch, seq: state.next, changes: count };
            accepted.insert(&request.key, (record, outcomes.len()));
            marks.push(RequestMark { key: request.key.clone(), body_hash: request.body_hash, changes: count });
            changes.extend(&request.changes);
            outcomes.push(WriteOutcome::Committed { epoch: state.epoch, seq: state.next, changes: count, repeated: false });
        }
        if accepted.is_empty() {
            return Ok(outcomes);
        }
        for (key, (record, place)) in &accepted {
            if planted(Bug::RequestKeyForgotten) && *place > 0 {
                continue;
            }
            put_meta(set, &Meta::Request(origin, (*key).into()), record)?;
            put_meta(set, &Meta::RequestAge(time, origin, (*key).into()), &())?;
        }
        self.forget_old_requests(db, time, FORGOTTEN_MIN.max(2 * accepted.len()), set)?;
        let batch =
            Batch { origin, epoch: state.epoch, seq: state.next, site_time: time, body: BatchBody::Rows { requests: marks, changes } };
        let bytes = batch.encode()?;
        (state.sum, state.rows) = rows.finish(set);
        let before = state.cursor(origin);
        advance(&mut state, &batch, &bytes, set);
        put_origin(set, &before, &state)?;
        Ok(outcomes)
    }

    /// Remembers the requests of a batch of this site's own that comes back to it, so that clients' retries stay harmless.
    pub(super) fn remember_requests(&self, batch: &Batch, requests: &[RequestMark], set: &mut WriteSet) -> Result<(), StorageError> {
        for mark in requests {
            let record = RequestRecord { body_hash: mark.body_hash, epoch: batch.epoch, seq: batch.seq, changes: mark.changes };
            put_meta(set, &Meta::Request(batch.origin, mark.key.clone()), &record)?;
            put_meta(set, &Meta::RequestAge(batch.site_time, batch.origin, mark.key.clone()), &())?;
        }
        self.oldest_request.fetch_min(batch.site_time.0, Ordering::Relaxed);
        Ok(())
    }

    /// Forgets request keys that are too old at `now`, which is the time of those that this write brings.
    fn forget_old_requests(&self, db: &Db, now: SiteTime, forgotten_max: usize, set: &mut WriteSet) -> Result<(), StorageError> {
        let kept_from = now.0.saturating_sub(REQUEST_KEPT_MS);
        if self.oldest_request.fetch_min(now.0, Ordering::Relaxed) >= kept_from {
            return Ok(());
        }
        let (from, to) = MetaKind::RequestAge.range();
        let (mut forgotten, mut oldest) = (0, now.0);
        db.view().scan(Space::Meta, &from, &to, |key, _| {
            let Some(Meta::RequestAge(time, origin, request)) = Meta::decode(key) else { return Ok(true) };
            if time.0 >= kept_from || forgotten == forgotten_max {
                oldest = time.0;
                return Ok(false);
            }
            set.delete(Space::Meta, Meta::Request(origin, request).encode());
            set.delete(Space::Meta, key.to_vec());
            forgotten += 1;
            Ok(true)
        })?;
        // A write that fails stops the node, so what this set deletes is deleted indeed.
        self.oldest_request.store(oldest.min(now.0), Ordering::Relaxed);
        Ok(())
    }
}

fn repeated(earlier: &RequestRecord, request: &WriteRequest) -> WriteOutcome {
    if earlier.body_hash == request.body_hash {
        WriteOutcome::Committed { epoch: earlier.epoch, seq: earlier.seq, changes: earlier.changes, repeated: true }
    } else {
        WriteOutcome::RequestKeyReused { first_body_hash: earlier.body_hash, seq: earlier.seq }
    }
}

/// Moves an origin's state past `batch` and keeps the batch. The digest sum must already stand after it.
pub(super) fn advance<C>(state: &mut OriginState, batch: &Batch<C>, bytes: &[u8], set: &mut WriteSet) {
    state.chain = chain_next(state.chain, bytes);
    let record = StreamRecord { chain: state.chain, digest: state.sum.digest(), rows: state.rows, batch: bytes };
    set.put(Space::Streams, keys::stream(batch.origin, batch.epoch.number, batch.seq), encode_stream_record(&record));
    state.next = batch.seq.next();
    state.kept_bytes += bytes.len() as u64;
    state.bytes_since_head += bytes.len() as u64;
    state.batch_time = batch.site_time;
}
