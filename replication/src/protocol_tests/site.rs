//! A model of a parent's committed state: small, but as strict about epoch, place, chain and digest as the real one.

use std::collections::BTreeMap;

use kho_storage::{
    codec::Blob,
    command::{Command, Outcome, ParentCursor, Refusal, RowPlace, TransferPiece, TransferStart, TransferStatus},
    ids::{Epoch, Generation, Hash32, OriginId, SiteId, SiteTime, StreamSeq},
    stream::{Batch, Segment, SignedHead, chain_next, chain_start},
};

use super::author::{Rows, digest, replay};
use crate::intake::CursorsHeld;

/// The model builds one generation at a time and calls each the same.
const BUILT: Generation = Generation(2);

#[derive(Clone, Default)]
pub(crate) struct ModelSite {
    pub replicas: BTreeMap<OriginId, Replica>,
    transfers: BTreeMap<OriginId, Transfer>,
    /// Another carrier, whose transfer of every origin is under way.
    pub taken_by: Option<SiteId>,
}

#[derive(Clone)]
pub(crate) struct Replica {
    pub epoch: Epoch,
    /// First batch held, and the chain hash before it.
    pub first: StreamSeq,
    chain_before: Hash32,
    pub batches: Vec<Blob>,
    /// Chain hash after the last batch held.
    chain: Hash32,
    pub rows: Rows,
    pub head_time: SiteTime,
    /// The newest head.
    pub head: Option<SignedHead>,
}

#[derive(Clone)]
struct Transfer {
    building: Replica,
    wants: TransferStatus,
    until: StreamSeq,
}

impl Replica {
    pub fn next(&self) -> StreamSeq {
        StreamSeq(self.first.0 + self.batches.len() as u64)
    }

    /// Chain hash after batch `seq`, if that is held.
    fn chain_at(&self, seq: StreamSeq) -> Option<Hash32> {
        let held = usize::try_from(seq.next().0.checked_sub(self.first.0)?).ok()?;
        Some(self.batches.get(..held)?.iter().fold(self.chain_before, |chain, bytes| chain_next(chain, bytes)))
    }

    /// Overlap is compared and skipped; the rest is appended when chain and digest are right.
    fn adopt(&mut self, segment: &Segment) -> Result<(), Refusal> {
        let head = &segment.head.head;
        if head.epoch != self.epoch {
            return Err(Refusal::OtherEpoch { origin: head.origin, ours: self.epoch, theirs: head.epoch });
        }
        if segment.first > self.next() {
            return Err(Refusal::Gap { origin: head.origin, wanted: self.next(), given: segment.first });
        }
        let mut grown = self.clone();
        for (seq, bytes) in (segment.first.0..).zip(&segment.batches) {
            if seq < grown.first.0 {
                continue;
            }
            match grown.batches.get((seq - grown.first.0) as usize) {
                Some(held) if held == bytes => {}
                Some(_) => return Err(Refusal::Forked { origin: head.origin, seq: StreamSeq(seq) }),
                None => {
                    grown.chain = chain_next(grown.chain, bytes);
                    grown.batches.push(bytes.clone());
                    replay(&Batch::decode(bytes).expect("verified"), &mut grown.rows);
                }
            }
        }
        if self.chain_at(head.seq).is_some_and(|chain| chain != head.chain) {
            return Err(Refusal::Forked { origin: head.origin, seq: head.seq });
        }
        if grown.next() == head.seq.next() {
            if grown.chain != head.chain {
                return Err(Refusal::BadChain { origin: head.origin, seq: head.seq });
            }
            if digest(head.origin, &grown.rows) != head.digest {
                return Err(Refusal::DigestMismatch { origin: head.origin, seq: head.seq });
            }
            grown.head_time = grown.head_time.max(head.site_time);
            grown.head = Some(segment.head.clone());
        }
        *self = grown;
        Ok(())
    }
}

impl ModelSite {
    pub fn next(&self, origin: OriginId) -> StreamSeq {
        self.replicas.get(&origin).map_or(StreamSeq(1), Replica::next)
    }

    pub fn held(&self, origins: &[OriginId], authored: &[OriginId]) -> CursorsHeld {
        let cursor =
            |origin: &OriginId| self.replicas.get(origin).map(|r| ParentCursor { origin: *origin, epoch: r.epoch, next: r.next() });
        let transfers = origins.iter().filter_map(|origin| self.transfers.get(origin)).map(|transfer| transfer.wants.clone()).collect();
        let heads = authored.iter().filter_map(|origin| self.replicas.get(origin)?.head.clone()).collect();
        CursorsHeld { cursors: origins.iter().filter_map(cursor).collect(), transfers, heads }
    }

    pub fn apply(&mut self, command: Command) -> Outcome {
        match command {
            Command::AdoptSegment { segment, .. } => self.adopt(&segment),
            Command::BeginTransfer { start, .. } => self.begin(&start),
            Command::AdoptPiece { piece, .. } => self.adopt_piece(piece),
            other => panic!("an intake never proposes {other:?}"),
        }
    }

    fn adopt(&mut self, segment: &Segment) -> Outcome {
        let head = &segment.head.head;
        let origin = head.origin;
        if let Some(transfer) = self.transfers.get_mut(&origin) {
            let TransferStatus::WantsBatches { .. } = transfer.wants else { return Outcome::Transfer(transfer.wants.clone()) };
            // Only the head that ends a transfer decides: until then rows are ahead of batches.
            if head.seq < transfer.until {
                let mut without_digest = transfer.building.clone();
                for (seq, bytes) in (segment.first.0..).zip(&segment.batches) {
                    if seq == without_digest.next().0 {
                        without_digest.chain = chain_next(without_digest.chain, bytes);
                        without_digest.batches.push(bytes.clone());
                        replay(&Batch::decode(bytes).expect("verified"), &mut without_digest.rows);
                    }
                }
                transfer.building = without_digest;
                transfer.wants =
                    TransferStatus::WantsBatches { origin, epoch: head.epoch, next: transfer.building.next(), until: transfer.until };
                return Outcome::Transfer(transfer.wants.clone());
            }
            return match transfer.building.adopt(segment) {
                Err(refusal) => Outcome::Refused(refusal),
                Ok(()) => {
                    let transfer = self.transfers.remove(&origin).expect("just seen");
                    self.replicas.insert(origin, transfer.building);
                    self.adopted(origin)
                }
            };
        }
        let replica = self.replicas.entry(origin).or_insert_with(|| Replica {
            epoch: head.epoch,
            first: StreamSeq(1),
            chain_before: chain_start(origin, head.epoch),
            batches: vec![],
            chain: chain_start(origin, head.epoch),
            rows: Rows::new(),
            head_time: SiteTime(0),
            head: None,
        });
        match replica.adopt(segment) {
            Ok(()) => self.adopted(origin),
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn adopted(&self, origin: OriginId) -> Outcome {
        let replica = &self.replicas[&origin];
        Outcome::Adopted(ParentCursor { origin, epoch: replica.epoch, next: replica.next() })
    }

    fn begin(&mut self, start: &TransferStart) -> Outcome {
        if let Some(carrier) = self.taken_by {
            return Outcome::Refused(Refusal::TransferTaken { origin: start.origin, carrier });
        }
        let wants = TransferStatus::WantsPiece { origin: start.origin, epoch: start.epoch, generation: BUILT, from: RowPlace::default() };
        let building = Replica {
            epoch: start.epoch,
            first: start.kept_after.next(),
            chain_before: start.kept_after_chain,
            batches: vec![],
            chain: start.kept_after_chain,
            rows: Rows::new(),
            head_time: SiteTime(0),
            head: None,
        };
        self.transfers.insert(start.origin, Transfer { building, wants: wants.clone(), until: StreamSeq(0) });
        Outcome::Transfer(wants)
    }

    fn adopt_piece(&mut self, piece: TransferPiece) -> Outcome {
        let origin = piece.origin;
        let Some(transfer) = self.transfers.get_mut(&origin) else {
            return Outcome::Refused(Refusal::Transfer { origin, why: "none is under way".into() });
        };
        match &transfer.wants {
            TransferStatus::WantsPiece { from, .. } if *from == piece.from => {}
            wants => return Outcome::Transfer(wants.clone()),
        }
        transfer.until = transfer.until.max(piece.read_at);
        for row in piece.rows {
            transfer.building.rows.insert(RowPlace { table: row.table, key: row.key.clone() }, row);
        }
        transfer.wants = match piece.next {
            Some(from) => TransferStatus::WantsPiece { origin, epoch: piece.epoch, generation: BUILT, from },
            None => TransferStatus::WantsBatches { origin, epoch: piece.epoch, next: transfer.building.next(), until: transfer.until },
        };
        Outcome::Transfer(transfer.wants.clone())
    }
}
