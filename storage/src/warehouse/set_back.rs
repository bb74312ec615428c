//! A site whose disks came back older than what others hold of its own stream: a machine image, a copy, a second founding.
//!
//! ```text
//!            a head of this site's own, signed, further on or in another history
//!  entry open ──────────────────────────────────────────────────────────────────▶ SetBack stands: entry refused
//!       ▲                                                                              │
//!       └─────────── the stream has come to that very head, by adopted segments ───────┘
//! ```
//! Nobody's word is needed: the head is signed by a node of this site, and this site commits what it signs before it leaves. So a
//! parent can prove that the site stood further, and can't invent it.
//!
//! Invariants: while it stands nothing is acknowledged that the shown history does not hold (test
//! `promise_2_a_site_that_was_set_back_acknowledges_nothing_that_cannot_go_up`); nothing but the shown history itself ends it (test
//! `promise_6_only_the_history_that_was_shown_ends_a_set_back`).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{
    Decided, ReadView, Warehouse,
    adopt::stood_at,
    meta::{decode_meta, put_meta, read_meta, read_origin},
    origin::OriginState,
};
use crate::{
    checks,
    codec::Blob,
    command::{Outcome, ParentCursor, Refusal, ShownBy},
    db::{Db, WriteSet},
    error::StorageError,
    ids::{Hash32, NodeId, OriginId, SiteTime, StreamSeq, TableId},
    keys::{Meta, MetaKind, Space},
    planted::{Bug, planted},
    stream::{Batch, BatchBody, Segment, SignedHead, chain_next},
};

/// That this site stood further with an origin of its own, or elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetBack {
    /// The furthest head of this site's own that was shown to it and that it has not come to.
    pub furthest: SignedHead,
    /// More such heads: they may be of other histories. At most [`OTHERS_MAX`].
    pub others: Vec<SignedHead>,
    /// Who showed the furthest.
    pub shown_by: ShownBy,
    /// Site time of the command that brought the first such head.
    pub noted_at: SiteTime,
    /// Cursor of the stream here when the word came, and the chain hash there: nothing was entered since.
    pub stood: StreamSeq,
    pub chain: Hash32,
    /// Last batch that both histories surely have: whoever showed a head had acknowledged it in this one. 0: none.
    pub agreed: StreamSeq,
    /// First batch that surely differs, when a segment of the shown history was compared.
    pub differs_at: Option<StreamSeq>,
}

/// Heads kept of one origin beside the furthest. While entry is closed, more of one history only lie further on.
const OTHERS_MAX: usize = 7;

impl SetBack {
    /// Adds a head, unless it is known. Where there is no room for it, the one that lies furthest back goes.
    fn add(&mut self, signed: &SignedHead, shown_by: ShownBy) {
        let place = |signed: &SignedHead| (signed.head.epoch, signed.head.seq, signed.head.chain);
        if std::iter::once(&self.furthest).chain(&self.others).any(|known| place(known) == place(signed)) {
            return;
        }
        let mut other = signed.clone();
        if further(signed) > further(&self.furthest) {
            std::mem::swap(&mut other, &mut self.furthest);
            self.shown_by = shown_by;
        }
        self.others.push(other);
        if self.others.len() > OTHERS_MAX
            && let Some(at) = (0..self.others.len()).min_by_key(|at| further(&self.others[*at]))
        {
            self.others.remove(at);
        }
    }

    /// What is left of it when the stream has come to some of the heads; `None` when it is over.
    fn without(self, has_come_to: impl Fn(&SignedHead) -> bool) -> Option<Self> {
        let mut left: Vec<SignedHead> = std::iter::once(self.furthest).chain(self.others).filter(|shown| !has_come_to(shown)).collect();
        let at = (0..left.len()).max_by_key(|at| further(&left[*at]))?;
        let furthest = left.remove(at);
        Some(Self { furthest, others: left, ..self })
    }

    /// Batches that were acknowledged here and that the shown history may lack. Half-open. Exact once a segment was compared.
    pub fn branch(&self) -> Range<StreamSeq> {
        let from = self.differs_at.unwrap_or(self.agreed.next());
        from.min(self.stood)..self.stood
    }
}

/// Where a head of an origin lies, seen from what this site holds of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadPosition {
    /// In the history that is held.
    Within,
    /// Beyond what is held.
    Further,
    /// At a batch that is held, in another history.
    Elsewhere,
    /// At a batch that is no longer kept, or in an epoch that is closed: it can't be compared.
    Unknown,
}

/// A row that a batch of a branch changed, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchRow {
    pub seq: StreamSeq,
    pub time: SiteTime,
    pub table: TableId,
    pub key: Blob,
    /// The row was taken away.
    pub removed: bool,
}

impl Warehouse {
    /// Notes that this site stood further, or elsewhere. A head that says no more than is known changes nothing.
    pub(super) fn note_set_back(
        &self,
        db: &Db,
        site_time: SiteTime,
        shown_by: ShownBy,
        signed: &SignedHead,
        set: &mut WriteSet,
    ) -> Decided {
        let origin = signed.head.origin;
        let Some(register) = self.register() else { return Ok(Err(Refusal::NoRegister)) };
        if register.author(origin) != Some(self.site()) {
            return Ok(Err(Refusal::UnknownOrigin(origin)));
        }
        if let Err(refusal) = checks::check_author(signed, &register) {
            return Ok(Err(refusal));
        }
        let state = read_origin(db, origin)?.unwrap_or_else(|| OriginState::empty(origin, register.first_epoch(origin)));
        note_shown(db, &Shown { signed, shown_by, site_time, differs_at: None }, &state, set)?;
        Ok(Ok(Outcome::Recorded))
    }

    /// After a segment of this site's own was decided on: what it shows is noted, and what it caught up with is over. `before` is where
    /// the stream stood.
    pub(super) fn compare_with_shown(
        &self,
        db: &Db,
        site_time: SiteTime,
        before: &OriginState,
        segment: &Segment,
        decided: &Result<Outcome, Refusal>,
        set: &mut WriteSet,
    ) -> Result<(), StorageError> {
        let origin = segment.origin();
        match decided {
            Ok(Outcome::Adopted(_)) => {
                let Some(noted) = read_meta::<SetBack>(db, &Meta::SetBack(origin))? else { return Ok(()) };
                match noted.without(|shown| leads_to(before, segment, shown)) {
                    Some(left) => put_meta(set, &Meta::SetBack(origin), &left),
                    None => {
                        set.delete(Space::Meta, Meta::SetBack(origin).encode());
                        Ok(())
                    }
                }
            }
            Ok(_) => Ok(()),
            Err(refusal) => {
                let differs_at = match refusal {
                    Refusal::Forked { seq, .. } if !segment.batches.is_empty() => Some(*seq),
                    _ => None,
                };
                note_shown(db, &Shown { signed: &segment.head, shown_by: ShownBy::File, site_time, differs_at }, before, set)
            }
        }
    }
}

impl ReadView<'_> {
    /// Every origin of this site's own that was set back, in order.
    pub fn set_backs(&self) -> Result<Vec<(OriginId, SetBack)>, StorageError> {
        let (from, to) = MetaKind::SetBack.range();
        let mut found = Vec::new();
        self.scan_meta(&from, &to, |meta, set_back| {
            if let Meta::SetBack(origin) = meta {
                found.push((*origin, set_back));
            }
        })?;
        Ok(found)
    }

    /// Nodes of this site whose disks lost what they had acknowledged, each with its disk.
    pub fn turned_back(&self) -> Result<Vec<(NodeId, u64)>, StorageError> {
        let (from, to) = MetaKind::TurnedBack.range();
        let mut found = Vec::new();
        self.scan_meta::<SiteTime>(&from, &to, |meta, _| {
            if let Meta::TurnedBack(node, disk) = meta {
                found.push((*node, *disk));
            }
        })?;
        Ok(found)
    }

    /// Visits the rows that the batches of `branch` changed, in the order of the stream, until `visit` returns `false`. A batch that is
    /// no longer kept is left out.
    pub fn branch_rows(
        &self,
        origin: OriginId,
        branch: Range<StreamSeq>,
        mut visit: impl FnMut(BranchRow) -> bool,
    ) -> Result<(), StorageError> {
        let Some(state) = self.origin(origin)? else { return Ok(()) };
        for seq in (branch.start.0..branch.end.0.min(state.next.0)).map(StreamSeq) {
            let Some(record) = self.batch(origin, state.epoch.number, seq)? else { continue };
            let batch: Batch =
                Batch::decode(&record.batch).map_err(|e| StorageError::damaged(format!("batch {seq} of origin {origin}"), e))?;
            let BatchBody::Rows { changes, .. } = batch.body else { continue };
            for change in changes {
                let removed = change.cells().is_none();
                if !visit(BranchRow { seq, time: batch.site_time, table: change.table, key: change.key, removed }) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Warehouse {
    /// Whether the node's disk lost what it had acknowledged to the site.
    pub fn is_turned_back(&self, node: NodeId, disk: u64) -> Result<bool, StorageError> {
        Ok(self.db.load().value(Space::Meta, &Meta::TurnedBack(node, disk).encode())?.is_some())
    }

    /// That the origin was set back; `None` while it was not.
    pub fn set_back(&self, origin: OriginId) -> Result<Option<SetBack>, StorageError> {
        read_meta(&self.db.load(), &Meta::SetBack(origin))
    }

    /// Where a head lies, seen from what this site holds of its origin. Its signature is not looked at.
    pub fn head_position(&self, signed: &SignedHead) -> Result<HeadPosition, StorageError> {
        let db = self.db.load_full();
        let origin = signed.head.origin;
        let state = match read_origin(&db, origin)? {
            Some(state) => state,
            None => match self.register() {
                Some(register) => OriginState::empty(origin, register.first_epoch(origin)),
                None => return Ok(HeadPosition::Unknown),
            },
        };
        position_of(&db, &state, signed)
    }
}

/// A head of this site's own whose author was checked.
struct Shown<'a> {
    signed: &'a SignedHead,
    shown_by: ShownBy,
    site_time: SiteTime,
    /// The first batch that was seen to differ.
    differs_at: Option<StreamSeq>,
}

/// Notes a head that lies further than `state`, or elsewhere.
fn note_shown(db: &Db, shown: &Shown<'_>, state: &OriginState, set: &mut WriteSet) -> Result<(), StorageError> {
    let head = &shown.signed.head;
    let position = position_of(db, state, shown.signed)?;
    if !matches!(position, HeadPosition::Further | HeadPosition::Elsewhere) {
        return Ok(());
    }
    let known: Option<SetBack> = read_meta(db, &Meta::SetBack(head.origin))?;
    let agreed = acknowledged(db, head.origin, state, shown.shown_by)?;
    let mut noted = match known {
        Some(known) => SetBack { agreed: known.agreed.min(agreed), ..known },
        None => SetBack {
            furthest: shown.signed.clone(),
            others: vec![],
            shown_by: shown.shown_by,
            noted_at: shown.site_time,
            stood: state.next,
            chain: state.chain,
            agreed,
            differs_at: None,
        },
    };
    noted.add(shown.signed, shown.shown_by);
    if position == HeadPosition::Elsewhere {
        noted.agreed = noted.agreed.min(head.seq.previous());
    }
    noted.differs_at = noted.differs_at.into_iter().chain(shown.differs_at).min();
    put_meta(set, &Meta::SetBack(head.origin), &noted)
}

/// By what the furthest of several heads is found.
fn further(signed: &SignedHead) -> (u32, StreamSeq) {
    (signed.head.epoch.number, signed.head.seq)
}

fn position_of(db: &Db, state: &OriginState, signed: &SignedHead) -> Result<HeadPosition, StorageError> {
    let head = &signed.head;
    if head.epoch != state.epoch {
        return Ok(match head.epoch.number.cmp(&state.epoch.number) {
            std::cmp::Ordering::Less => HeadPosition::Unknown,
            std::cmp::Ordering::Equal => HeadPosition::Elsewhere,
            std::cmp::Ordering::Greater => HeadPosition::Further,
        });
    }
    if head.seq >= state.next {
        return Ok(HeadPosition::Further);
    }
    Ok(match stood_at(db, head.origin, state, head.seq)? {
        Some((chain, _, _)) if chain == head.chain => HeadPosition::Within,
        Some(_) => HeadPosition::Elsewhere,
        None => HeadPosition::Unknown,
    })
}

/// Last batch of the origin that whoever shows a head acknowledged in the history that is held: the site itself, and otherwise every parent
/// that acknowledged any. What another parent acknowledged says nothing: it may have been given this history alone.
fn acknowledged(db: &Db, origin: OriginId, state: &OriginState, shown_by: ShownBy) -> Result<StreamSeq, StorageError> {
    let (from, to) = MetaKind::Parent.range();
    let mut agreed: Option<StreamSeq> = None;
    db.view().scan(Space::Meta, &from, &to, |key, value| {
        if let Some(meta @ Meta::Parent(parent, of)) = Meta::decode(key)
            && of == origin
            && !matches!(shown_by, ShownBy::Site(site) if site != parent)
        {
            let cursor: ParentCursor = decode_meta(&meta, value)?;
            if cursor.epoch == state.epoch {
                let held = cursor.next.previous();
                agreed = Some(agreed.map_or(held, |agreed| agreed.min(held)));
            }
        }
        Ok(true)
    })?;
    Ok(agreed.unwrap_or(StreamSeq(0)).min(state.last()))
}

/// Whether the stream, grown from `before` by the segment, has come to the head that was shown, or passes through it.
fn leads_to(before: &OriginState, segment: &Segment, shown: &SignedHead) -> bool {
    let shown = &shown.head;
    if shown.epoch != before.epoch {
        return false;
    }
    if planted(Bug::SetBackEndedByAnySegment) {
        return true;
    }
    let held = usize::try_from(before.next.0.saturating_sub(segment.first.0)).unwrap_or(usize::MAX);
    let mut at = (before.last(), before.chain);
    for batch in segment.batches.iter().skip(held) {
        if at.0 == shown.seq {
            break;
        }
        at = (at.0.next(), chain_next(at.1, batch));
    }
    at == (shown.seq, shown.chain)
}
