//! Whole-origin transfer: a new generation is built beside the one that is read, from key ranges read at any state of the
//! sender, then from the batches it still keeps; a signed head's digest decides, and one write switches over.
//!
//! ```text
//!   pieces     rows of [from, next) as of state S1, S2, … (each ≥ the one before)
//!   replay     batches kept_after+1 …, a row written by the same or a later batch stays
//!   head H     H.seq ≥ every S, chain and digest equal  ──►  generation switched, the old one removed
//! ```
//! Replay may start before the first piece's state: every batch after it follows, so deletes are repeated too.
//!
//! A transfer is bound to the carrier that began it and to the generation that it builds. A second carrier waits until the first has
//! ended, has been silent for a time that the command names, or is left out by a newer register; then it begins anew.
//!
//! Invariants: only its own carrier continues or replaces a transfer (test
//! `promise_4_a_transfer_is_continued_and_replaced_by_its_own_carrier_alone`); another history never replaces the one that is read (test
//! `promise_6_a_transfer_of_another_history_is_refused_and_kept_as_evidence`). Batches can't be compared, for the sender keeps none
//! that are held here; so rows are: one that was last written by a batch held here must be held here alike. Limit: where the other
//! history has since changed or taken away every row in which the two differ, nothing is left to tell them apart.

use super::{
    Decided, EvidenceReason, Warehouse,
    adopt::readable_batch,
    meta::{put_meta, put_origin, read_meta, read_origin},
    origin::{OriginState, StreamRecord, Transfer, UNKNOWN_DIGEST},
    rows::{Replay, RowsChange},
    value::{StoredRow, decode_row_value, encode_stream_record},
};
use crate::{
    checks,
    command::{Outcome, PieceRow, Refusal, RowPlace, TransferPiece, TransferStart},
    db::{Db, WriteSet},
    digest::DigestSum,
    error::StorageError,
    ids::{Generation, OriginId, SiteId, SiteTime, StreamSeq},
    keys::{self, Meta, Space},
    planted::{Bug, planted},
    stream::{BatchBody, Head, Segment, SignedHead, chain_next},
};

impl Warehouse {
    /// Starts building a new generation from what `carrier` sends, or answers where its transfer under way stands.
    pub(super) fn begin_transfer(
        &self,
        db: &Db,
        site_time: SiteTime,
        carrier: SiteId,
        silent_ms: u64,
        start: &TransferStart,
        set: &mut WriteSet,
    ) -> Decided {
        let origin = start.origin;
        let Some(register) = self.register() else { return Ok(Err(Refusal::NoRegister)) };
        for on_its_way in [self.site(), carrier] {
            if let Err(refusal) = checks::check_path(origin, on_its_way, &register) {
                return Ok(Err(refusal));
            }
        }
        let mut state = read_origin(db, origin)?.unwrap_or_else(|| OriginState::empty(origin, register.first_epoch(origin)));
        if state.epoch != start.epoch {
            return Ok(Err(Refusal::OtherEpoch { origin, ours: state.epoch, theirs: start.epoch }));
        }
        if register.author(origin) == Some(self.site()) || start.kept_after < state.next {
            return Ok(Err(Refusal::Transfer { origin, why: format!("batches from {} on are held or can be sent", state.next) }));
        }
        let under_way: Option<Transfer> = read_meta(db, &Meta::Transfer(origin))?;
        if let Some(transfer) = &under_way {
            if transfer.carrier == carrier && transfer.start == *start {
                return Ok(Ok(Outcome::Transfer(transfer.status())));
            }
            if transfer.carrier != carrier && transfer.is_held(site_time, silent_ms, &register) {
                return Ok(Err(Refusal::TransferTaken { origin, carrier: transfer.carrier }));
            }
            self.drop_transfer(transfer, transfer.start.kept_after.next(), set);
        }
        // Beginning anew is no step: else a carrier that does nothing else would keep its turn for ever.
        let last_step = under_way.filter(|transfer| transfer.carrier == carrier).map_or(site_time, |transfer| transfer.last_step);
        let transfer = Transfer {
            start: start.clone(),
            carrier,
            generation: state.next_generation,
            last_step,
            sum: DigestSum::default(),
            rows: 0,
            wanted: Some(RowPlace::default()),
            until: start.kept_after,
            next: start.kept_after.next(),
            chain: start.kept_after_chain,
            kept_bytes: 0,
            divergent_row: None,
            newest: Default::default(),
        };
        state.next_generation = Generation(state.next_generation.0 + 1);
        put_origin(set, &state.cursor(origin), &state)?;
        put_meta(set, &Meta::Transfer(origin), &transfer)?;
        Ok(Ok(Outcome::Transfer(transfer.status())))
    }

    /// Adopts the range that is wanted; any other of the same carrier is answered with what is wanted.
    pub(super) fn adopt_piece(
        &self,
        db: &Db,
        site_time: SiteTime,
        carrier: SiteId,
        generation: Generation,
        piece: &TransferPiece,
        set: &mut WriteSet,
    ) -> Decided {
        let origin = piece.origin;
        let Some(register) = self.register() else { return Ok(Err(Refusal::NoRegister)) };
        if let Err(refusal) = checks::check_path(origin, carrier, &register) {
            return Ok(Err(refusal));
        }
        let Some(mut transfer) = read_meta::<Transfer>(db, &Meta::Transfer(origin))? else {
            return Ok(Err(Refusal::Transfer { origin, why: "none is under way".into() }));
        };
        if transfer.carrier != carrier {
            // BEFORE anything is answered of it: its carrier alone learns where it stands.
            return Ok(Err(Refusal::Transfer { origin, why: "the one under way is another carrier's".into() }));
        }
        if transfer.start.epoch != piece.epoch {
            return Ok(Err(Refusal::OtherEpoch { origin, ours: transfer.start.epoch, theirs: piece.epoch }));
        }
        if transfer.generation != generation || transfer.wanted.as_ref() != Some(&piece.from) {
            return Ok(Ok(Outcome::Transfer(transfer.status())));
        }
        if piece.read_at < transfer.start.kept_after {
            // Its sender was set back since the transfer began, and can never end it: the next one begins anew.
            self.drop_transfer(&transfer, transfer.start.kept_after.next(), set);
            return Ok(Err(Refusal::Transfer { origin, why: "the piece was read before the batches that follow it start".into() }));
        }
        if let Err(why) = checks::check_piece(piece) {
            return Ok(Err(Refusal::Transfer { origin, why }));
        }
        if let (None, Some(held)) = (transfer.divergent_row, read_origin(db, origin)?) {
            transfer.divergent_row = first_divergent_row(db, &held, piece)?;
        }
        let mut rows = RowsChange::new(self, db, origin, transfer.generation, transfer.sum, transfer.rows);
        for row in &piece.rows {
            rows.place(row.table, &row.key, &StoredRow { seq: row.seq, time: row.time, cells: &row.cells });
        }
        (transfer.sum, transfer.rows) = rows.finish(set);
        transfer.wanted = piece.next.clone();
        transfer.until = transfer.until.max(piece.read_at);
        transfer.last_step = site_time;
        transfer.newest = newest_shown(transfer.newest, piece, site_time);
        put_meta(set, &Meta::Transfer(origin), &transfer)?;
        Ok(Ok(Outcome::Transfer(transfer.status())))
    }

    pub(super) fn abandon_transfer(&self, db: &Db, origin: OriginId, set: &mut WriteSet) -> Decided {
        let Some(transfer) = read_meta::<Transfer>(db, &Meta::Transfer(origin))? else {
            return Ok(Err(Refusal::Transfer { origin, why: "none is under way".into() }));
        };
        self.drop_transfer(&transfer, transfer.start.kept_after.next(), set);
        Ok(Ok(Outcome::Recorded))
    }

    /// Removes what a transfer built. Batches below `keep_below` belong to the stream by now and stay.
    pub(super) fn drop_transfer(&self, transfer: &Transfer, keep_below: StreamSeq, set: &mut WriteSet) {
        let (origin, epoch) = (transfer.start.origin, transfer.start.epoch.number);
        self.remove_generation(origin, transfer.generation, set);
        let from = transfer.start.kept_after.next().max(keep_below);
        if from < transfer.next {
            set.delete_range(Space::Streams, keys::stream(origin, epoch, from), keys::stream(origin, epoch, transfer.next));
            set.delete_range(Space::Meta, Meta::Head(origin, epoch, from).encode(), Meta::Head(origin, epoch, transfer.next).encode());
        }
        set.delete(Space::Meta, Meta::Transfer(origin).encode());
    }

    /// Replays a segment over the pieces; its head may be the one that decides.
    pub(super) fn replay_segment(
        &self,
        db: &Db,
        site_time: SiteTime,
        state: OriginState,
        mut transfer: Transfer,
        segment: &Segment,
        set: &mut WriteSet,
    ) -> Decided {
        let (origin, head) = (segment.origin(), &segment.head.head);
        if transfer.wanted.is_some() {
            return Ok(Err(Refusal::Transfer { origin, why: "ranges of rows are still wanted".into() }));
        }
        if segment.first > transfer.next {
            return Ok(Err(Refusal::Gap { origin, wanted: transfer.next, given: segment.first }));
        }
        if head.seq.next() < transfer.next {
            // A redelivery of what was replayed already.
            return Ok(Ok(Outcome::Transfer(transfer.status())));
        }
        let held = usize::try_from(transfer.next.0 - segment.first.0).unwrap_or(usize::MAX);
        let mut rows = RowsChange::new(self, db, origin, transfer.generation, transfer.sum.clone(), transfer.rows);
        let mut at = OriginState { next: transfer.next, chain: transfer.chain, ..state.clone() };
        let mut replayed = WriteSet::default();
        for bytes in segment.batches.iter().skip(held) {
            let batch = match readable_batch(&at, origin, self.level(), bytes) {
                Ok(batch) => batch,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if let BatchBody::Rows { changes, .. } = &batch.body {
                rows.apply(changes, batch.seq, batch.site_time, Replay::OverPieces)?;
            }
            at.chain = chain_next(at.chain, bytes);
            at.next = batch.seq.next();
            at.batch_time = batch.site_time;
            transfer.kept_bytes += bytes.len() as u64;
            // Below `until` rows of later states lie among these: the sum stands for no state.
            let known = batch.seq >= transfer.until;
            let digest = if known { rows.sum.digest() } else { UNKNOWN_DIGEST };
            let record = StreamRecord { chain: at.chain, digest, rows: if known { rows.rows } else { 0 }, batch: &bytes.0 };
            replayed.put(Space::Streams, keys::stream(origin, batch.epoch.number, batch.seq), encode_stream_record(&record));
        }
        if at.chain != head.chain || at.last() != head.seq {
            self.keep_evidence(site_time, segment, EvidenceReason::TransferChainMismatch, None, set)?;
            self.abandon_transfer(db, origin, set)?.ok();
            return Ok(Err(Refusal::BadChain { origin, seq: head.seq }));
        }
        let (sum, count) = (rows.sum.clone(), rows.rows);
        let decides = head.seq >= transfer.until || planted(Bug::SwitchedBeforeHeadDecides);
        if decides && !planted(Bug::SwitchedBeforeHeadDecides) && (sum.digest() != head.digest || count != head.rows) {
            self.keep_evidence(site_time, segment, EvidenceReason::TransferDigestMismatch, Some((at.chain, sum.digest())), set)?;
            self.abandon_transfer(db, origin, set)?.ok();
            return Ok(Err(Refusal::DigestMismatch { origin, seq: head.seq }));
        }
        // AFTER the digest: only rows that the author vouches for are another history; any others are a carrier's invention.
        if let (true, Some(seq)) = (decides, transfer.divergent_row) {
            let ours = Some((state.chain, state.sum.digest()));
            self.keep_evidence(site_time, segment, EvidenceReason::TransferOfAnotherHistory, ours, set)?;
            self.abandon_transfer(db, origin, set)?.ok();
            return Ok(Err(Refusal::Forked { origin, seq }));
        }
        // Neither a head that ends batches is a sign of it nor one of the future: its time may have been taken back, so that what follows
        // is older.
        let tells_of_now = at.next == transfer.next && head.ahead_of(site_time).is_none();
        if !decides && tells_of_now && transfer.is_contradicted_by(head) && is_newer_head(db, head)? {
            // The author was set back since: no head of its present history can decide, so the next transfer begins anew.
            self.drop_transfer(&transfer, transfer.start.kept_after.next(), set);
            return Ok(Err(Refusal::Transfer { origin, why: "its rows are newer than all that the author had written later".into() }));
        }
        *set = replayed;
        rows.finish(set);
        (transfer.sum, transfer.rows, transfer.next, transfer.chain) = (sum, count, at.next, at.chain);
        transfer.last_step = site_time;
        if decides {
            return self.switch_generation(site_time, state, at, transfer, segment, set);
        }
        put_meta(set, &Meta::Head(origin, head.epoch.number, head.seq), &segment.head)?;
        put_meta(set, &Meta::Transfer(origin), &transfer)?;
        Ok(Ok(Outcome::Transfer(transfer.status())))
    }

    /// The one write that makes the new generation the one that is read.
    fn switch_generation(
        &self,
        site_time: SiteTime,
        old: OriginState,
        at: OriginState,
        transfer: Transfer,
        segment: &Segment,
        set: &mut WriteSet,
    ) -> Decided {
        let origin = segment.origin();
        let epoch = old.epoch.number;
        self.remove_generation(origin, old.generation, set);
        set.delete_range(
            Space::Streams,
            keys::stream(origin, epoch, StreamSeq(0)),
            keys::stream(origin, epoch, transfer.start.kept_after.next()),
        );
        set.delete_range(
            Space::Meta,
            Meta::Head(origin, epoch, StreamSeq(0)).encode(),
            Meta::Head(origin, epoch, transfer.start.kept_after).encode(),
        );
        set.delete(Space::Meta, Meta::Transfer(origin).encode());
        let mut state = OriginState {
            sum: transfer.sum,
            rows: transfer.rows,
            generation: transfer.generation,
            oldest_kept: transfer.start.kept_after.next(),
            before_oldest_chain: transfer.start.kept_after_chain,
            kept_bytes: transfer.kept_bytes,
            ..at
        };
        self.adopt_head(site_time, &mut state, segment, set)?;
        put_origin(set, &old.cursor(origin), &state)?;
        Ok(Ok(Outcome::Adopted(state.cursor(origin))))
    }

    pub(super) fn remove_generation(&self, origin: OriginId, generation: Generation, set: &mut WriteSet) {
        // Rows of tables that this schema does not know are removed too: every table number is covered.
        for table in 0..=u8::MAX {
            let prefix = keys::row_prefix(crate::ids::TableId(table), origin, generation);
            let end = keys::successor(&prefix);
            set.delete_range(Space::Rows, prefix, end);
        }
        for cube in &self.schema().cubes {
            let prefix = keys::cube_prefix(cube.id, origin, generation);
            let end = keys::successor(&prefix);
            set.delete_range(Space::Cubes, prefix.to_vec(), end);
        }
    }
}

/// Whether the head says more than one that is held of the same batch: idle heads follow each other as long as nothing follows the batch.
fn is_newer_head(db: &Db, head: &Head) -> Result<bool, StorageError> {
    let held: Option<SignedHead> = read_meta(db, &Meta::Head(head.origin, head.epoch.number, head.seq))?;
    Ok(held.is_some_and(|held| held.head.site_time < head.site_time))
}

/// The newest batch that this piece or those before show, and a time by which it was written: a row says it of its own batch. Of the batch
/// at which the piece was read no row may be left; it was written before the piece came.
fn newest_shown(known: (StreamSeq, SiteTime), piece: &TransferPiece, came_at: SiteTime) -> (StreamSeq, SiteTime) {
    let rows = piece.rows.iter().map(|row| (row.seq, row.time));
    rows.chain([(piece.read_at, came_at)]).fold(known, |newest, shown| if shown.0 > newest.0 { shown } else { newest })
}

/// The batch of the first row of the piece that was last written by a batch held here and is not held here alike.
fn first_divergent_row(db: &Db, held: &OriginState, piece: &TransferPiece) -> Result<Option<StreamSeq>, StorageError> {
    let old: Vec<&PieceRow> = piece.rows.iter().filter(|row| row.seq < held.next).collect();
    let stored_keys: Vec<Vec<u8>> = old.iter().map(|row| keys::row(row.table, piece.origin, held.generation, &row.key)).collect();
    let values = db.values(Space::Rows, stored_keys.iter().map(Vec::as_slice))?;
    for ((row, key), value) in old.into_iter().zip(&stored_keys).zip(values) {
        let theirs = StoredRow { seq: row.seq, time: row.time, cells: &row.cells };
        let ours = value.as_deref().map(|value| decode_row_value(key, value)).transpose()?;
        if ours != Some(theirs) {
            return Ok(Some(row.seq));
        }
    }
    Ok(None)
}
