//! Sites whose disks came back older, or that were founded anew on empty ones: how they learn of it, and the operator's remedy.

use kho_storage::{
    command::{Command, ShownBy},
    ids::{OriginId, SiteId, StreamSeq},
    stream::SignedHead,
    warehouse::HeadPosition,
};

use super::World;
use crate::{
    agenda::{Event, Proposer, Term},
    counts::{Fault, Step},
    disk::Disk,
    ledger::HistoryAlarm,
    tree,
};

/// When an operator comes with a bundle, if one comes.
const CARRIED_MS: (u64, u64) = (500, 4_000);
/// Short, so that a bundle has many segments.
const BUNDLE_SEGMENT_BYTES: usize = 150;

impl World {
    /// As `node/src/uplink_driver.rs`: a head that is held in this history says nothing.
    pub(super) fn compare_head(&mut self, id: SiteId, term: Term, parent: SiteId, head: SignedHead) {
        let position = self.site(id).disk.warehouse.head_position(&head).expect("a memory does not fail");
        if matches!(position, HeadPosition::Within | HeadPosition::Unknown) {
            return;
        }
        let command = Command::NoteSetBack { site_time: self.clock(id), shown_by: ShownBy::Site(parent), signed: head.clone() };
        self.propose(id, Proposer::SetBack { term, parent, head }, &command);
    }

    /// A note was committed. More often than not an operator comes with a bundle.
    pub(super) fn set_back_noted(&mut self, id: SiteId, signed: &SignedHead) {
        let origin = signed.head.origin;
        let Some(noted) = self.site(id).disk.warehouse.set_back(origin).expect("a memory does not fail") else { return };
        let is_this = |known: &SignedHead| (known.head.seq, known.head.chain) == (signed.head.seq, signed.head.chain);
        // One that can't be compared any more says nothing.
        if !std::iter::once(&noted.furthest).chain(&noted.others).any(is_this) {
            return;
        }
        self.counts.step(if signed.head.seq < noted.stood { Step::SetBackElsewhere } else { Step::SetBackNoted });
        self.ledger.word_came(origin, signed.head.chain);
        self.ledger.note_alarm(origin, HistoryAlarm::SetBack);
        if self.dice.chance(3, 4) {
            let ms = self.dice.between(CARRIED_MS.0, CARRIED_MS.1);
            self.after(ms, Event::CarryBundle(id));
        }
    }

    /// What another site holds of the site's stream is proposed to it, as `POST /v1/bundle` does.
    pub(super) fn carry_bundle(&mut self, id: SiteId) {
        let origin = OriginId(id.0);
        let Some(noted) = self.site(id).disk.warehouse.set_back(origin).expect("a memory does not fail") else { return };
        let from = noted.agreed.next();
        let Some(holder) = self.holder_of(origin, from) else { return };
        self.counts.step(Step::BundleCarried);
        self.note(|| format!("-- an operator carries a bundle from {} to {}", tree::name(holder), tree::name(id)));
        let holds = &self.site(holder).disk;
        let mut from = from;
        let mut segments = Vec::new();
        while let Some(segment) = holds.warehouse.segment(origin, from, BUNDLE_SEGMENT_BYTES).expect("a memory does not fail") {
            from = segment.head.head.seq.next();
            let ends = segment.batches.is_empty();
            segments.push(segment);
            if ends {
                break;
            }
        }
        for segment in segments {
            let command = Command::AdoptSegment { site_time: self.clock(id), carrier: None, segment };
            self.propose(id, Proposer::Maintenance, &command);
        }
    }

    /// The site that holds most of an origin among those that keep it from `from` on.
    fn holder_of(&self, origin: OriginId, from: StreamSeq) -> Option<SiteId> {
        let held = tree::sites().filter(|site| site.0 != origin.0).filter_map(|site| {
            let state = self.sites[site.0 as usize - 1].disk.origin(origin)?;
            (state.oldest_kept <= from).then_some((state.next, site))
        });
        held.max().map(|(_, site)| site)
    }

    /// An author's site lost its disks, and people found it anew while its parent can't be asked.
    pub(super) fn found_anew(&mut self, id: SiteId) {
        self.counts.fault(Fault::FoundAnew);
        self.note(|| format!("-- {}: founded anew, on empty disks", tree::name(id)));
        self.end_processes(id);
        let site = self.site(id);
        site.life += 1;
        site.order.clear();
        site.damaged = None;
        site.diverged.clear();
        site.disk = Disk::new(id);
        self.ledger.set_back(id);
        self.note_set_back(id);
        self.apply_registers(id);
    }
}
