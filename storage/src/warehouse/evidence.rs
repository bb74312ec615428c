//! What was refused and must not be lost: a second history, or rows that do not match their signed head.
//!
//! Invariant: what a carrier made up never takes the room of what an author signed (test
//! `promise_6_what_carriers_make_up_leaves_room_for_the_second_history_that_an_author_signed`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Decided, Warehouse,
    meta::{put_meta, read_meta},
    read::ReadView,
};
use crate::{
    codec,
    command::{EvidenceReview, Outcome},
    db::{Db, WriteSet},
    error::StorageError,
    ids::{Hash32, OriginId, SiteTime, StreamSeq},
    keys::{self, Meta, MetaKind, Space},
    planted::{Bug, planted},
    stream::Segment,
};

/// Pieces of evidence of one origin that nobody has reviewed are kept up to this number. The first of many like it are what a review
/// needs, and a hostile carrier must not fill the disk.
const UNREVIEWED_MAX: usize = 16;
/// How many of them may be what a carrier could have made up. The rest is left for what an author signed: a second history must
/// not be thrown away because somebody filled the room with inventions.
const INVENTED_UNREVIEWED_MAX: usize = UNREVIEWED_MAX / 2;
/// All pieces of one origin, those that were reviewed among them.
pub(crate) const EVIDENCE_MAX: usize = 8 * UNREVIEWED_MAX;

/// A refused segment as it is kept for review. It is never removed by machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvidence {
    pub reason: EvidenceReason,
    /// Site time of the command that brought the segment.
    pub found_at: SiteTime,
    /// The segment as it came.
    pub segment: Segment,
    /// Chain hash and digest that this site held, or had computed, at the same place; `None` when it knows neither.
    pub ours: Option<(Hash32, Hash32)>,
}

impl StoredEvidence {
    /// By what a review names the piece: batch of the head, and hash.
    ///
    /// # Errors
    /// When the segment can't be encoded.
    pub fn name(&self) -> Result<(StreamSeq, u64), StorageError> {
        name_of(&self.segment)
    }
}

fn name_of(segment: &Segment) -> Result<(StreamSeq, u64), StorageError> {
    Ok((segment.head.head.seq, keys::evidence_hash(&codec::encode(segment)?)))
}

/// Why a segment was refused and kept. Variants are only appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum EvidenceReason {
    #[error("another history of this origin")]
    AnotherHistory,
    #[error("the rows do not have the digest that the head claims")]
    DigestMismatch,
    #[error("the batches do not lead to the head's chain hash")]
    ChainMismatch,
    #[error("batches that are held were altered: they do not lead to the head's chain hash")]
    HeldBatchesAltered,
    #[error("the rows of a transfer belong to another history than those held")]
    TransferOfAnotherHistory,
    #[error("the rows of a transfer do not have the digest that the head claims")]
    TransferDigestMismatch,
    #[error("the batches of a transfer do not lead to the head's chain hash")]
    TransferChainMismatch,
}

impl EvidenceReason {
    pub const ALL: [Self; 7] = [
        Self::AnotherHistory,
        Self::DigestMismatch,
        Self::ChainMismatch,
        Self::HeldBatchesAltered,
        Self::TransferOfAnotherHistory,
        Self::TransferDigestMismatch,
        Self::TransferChainMismatch,
    ];

    /// The stable name of the reason, for programs and message files.
    pub fn code(self) -> &'static str {
        match self {
            Self::AnotherHistory => "another_history",
            Self::DigestMismatch => "digest_mismatch",
            Self::ChainMismatch => "chain_mismatch",
            Self::HeldBatchesAltered => "held_batches_altered",
            Self::TransferOfAnotherHistory => "transfer_of_another_history",
            Self::TransferDigestMismatch => "transfer_digest_mismatch",
            Self::TransferChainMismatch => "transfer_chain_mismatch",
        }
    }

    fn witness(self) -> Witness {
        match self {
            Self::AnotherHistory | Self::DigestMismatch | Self::TransferOfAnotherHistory => Witness::Author,
            Self::ChainMismatch | Self::HeldBatchesAltered | Self::TransferDigestMismatch | Self::TransferChainMismatch => Witness::Carrier,
        }
    }
}

/// Who stands behind a piece of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Witness {
    /// The head that the author signed contradicts what is held.
    Author,
    /// The author's head is good, what came with it is not: any carrier could have made that up.
    Carrier,
}

impl Warehouse {
    /// Keeps `segment` as evidence as long as there is room for its kind. `ours`: see [`StoredEvidence::ours`].
    pub(super) fn keep_evidence(
        &self,
        found_at: SiteTime,
        segment: &Segment,
        reason: EvidenceReason,
        ours: Option<(Hash32, Hash32)>,
        set: &mut WriteSet,
    ) -> Result<(), StorageError> {
        let unreviewed_max = match reason.witness() {
            Witness::Author => UNREVIEWED_MAX,
            Witness::Carrier => INVENTED_UNREVIEWED_MAX,
        };
        let (kept, unreviewed) = evidence_kept(&self.db.load(), segment.origin())?;
        if unreviewed >= unreviewed_max || kept >= EVIDENCE_MAX {
            return Ok(());
        }
        let (seq, hash) = name_of(segment)?;
        let hash = if planted(Bug::EvidenceOverwritten) { 0 } else { hash };
        let evidence = StoredEvidence { reason, found_at, segment: segment.clone(), ours };
        put_meta(set, &Meta::Evidence(segment.origin(), seq, hash), &evidence)
    }
}

/// Notes that the evidence of an origin was reviewed. What is kept does not change, and is not looked at: nodes need not keep the same.
pub(super) fn review_evidence(origin: OriginId, review: &EvidenceReview, set: &mut WriteSet) -> Decided {
    put_meta(set, &Meta::EvidenceReview(origin), review)?;
    Ok(Ok(Outcome::Recorded))
}

impl ReadView<'_> {
    /// What an operator reviewed last, by origin.
    ///
    /// # Errors
    /// A fault of the local disk.
    pub fn evidence_reviews(&self) -> Result<BTreeMap<OriginId, EvidenceReview>, StorageError> {
        let (from, to) = MetaKind::EvidenceReview.range();
        let mut found = BTreeMap::new();
        self.scan_meta(&from, &to, |meta, review| {
            if let Meta::EvidenceReview(origin) = meta {
                found.insert(*origin, review);
            }
        })?;
        Ok(found)
    }
}

/// Pieces of evidence of an origin: all, and those that nobody has reviewed.
fn evidence_kept(db: &Db, origin: OriginId) -> Result<(usize, usize), StorageError> {
    let review: Option<EvidenceReview> = read_meta(db, &Meta::EvidenceReview(origin))?;
    let reviewed: BTreeSet<(StreamSeq, u64)> = review.into_iter().flat_map(|review| review.pieces).collect();
    let from = Meta::Evidence(origin, StreamSeq(0), 0).encode();
    let to = Meta::Evidence(OriginId(origin.0.saturating_add(1)), StreamSeq(0), 0).encode();
    let (mut kept, mut unreviewed) = (0, 0);
    db.view().scan(Space::Meta, &from, &to, |key, _| {
        kept += 1;
        if !matches!(Meta::decode(key), Some(Meta::Evidence(_, seq, hash)) if reviewed.contains(&(seq, hash))) {
            unreviewed += 1;
        }
        Ok(true)
    })?;
    Ok((kept, unreviewed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_of_its_own() {
        let codes: BTreeSet<_> = EvidenceReason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), EvidenceReason::ALL.len());
    }
}
