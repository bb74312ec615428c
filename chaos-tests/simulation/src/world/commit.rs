//! A committed entry is applied, and every promise that can be judged by one entry is judged at once.

use std::collections::BTreeMap;

use kho_storage::{
    codec,
    command::{Command, Outcome, Refusal, TransferStatus, WriteOutcome},
    ids::{OriginId, SiteId},
    stream::Segment,
    warehouse::{OriginState, Transfer},
};

use super::{World, describe};
use crate::{
    counts::{Fault, Step},
    ledger::{HistoryAlarm, start},
    moves, oracle, tree,
};

/// What an entry may have changed.
pub struct AppliedEntry<'a> {
    pub site: SiteId,
    pub command: &'a Command,
    pub outcome: &'a Outcome,
    /// States of the origins that it touches, before and after.
    pub before: &'a BTreeMap<OriginId, Option<OriginState>>,
    pub after: &'a BTreeMap<OriginId, Option<OriginState>>,
    /// Version of the register before.
    pub register_before: u64,
}

impl World {
    /// Commits a command at a site at once, as when the site is created.
    pub(super) fn commit_now(&mut self, id: SiteId, command: &Command) -> Outcome {
        let entry = codec::encode(command).unwrap_or_else(|error| self.violated(format!("a command can't be encoded: {error}")));
        self.site(id).disk.append(entry);
        self.apply_newest(id)
    }

    /// Applies all that is committed, to the entry that was just appended. What that came to.
    pub(super) fn apply_newest(&mut self, id: SiteId) -> Outcome {
        self.apply_all(id).unwrap_or_else(|| self.violated("an entry was applied without an outcome".into()))
    }

    /// Applies whatever is committed and not applied yet. What the last of it came to.
    pub(super) fn apply_all(&mut self, id: SiteId) -> Option<Outcome> {
        let mut last = None;
        while let Some(entry) = self.site(id).disk.next_entry() {
            let command: Command =
                codec::decode(entry).unwrap_or_else(|error| self.violated(format!("an entry can't be decoded: {error}")));
            last = Some(self.apply_next(id, &command));
        }
        last
    }

    /// Applies the next entry, which is `command`, and judges what it did.
    fn apply_next(&mut self, id: SiteId, command: &Command) -> Outcome {
        let touched = self.touched(id, command);
        let states =
            |world: &mut Self| touched.iter().map(|origin| (*origin, world.site(id).disk.origin(*origin))).collect::<BTreeMap<_, _>>();
        let before = states(self);
        let register_before = self.site(id).register_version();
        self.count_record(id, command);
        let transfer_before = self.transfer_under_way(id, command);
        let was_set_back = self.is_set_back(id);
        let decided_damaged = self.decided_on_a_damaged_disk(id, command);
        let outcome = match self.site(id).disk.apply_next() {
            Ok(Some(outcome)) => outcome,
            Ok(None) => self.violated("an entry was applied without an outcome".into()),
            Err(error) => self.violated(format!("a node of {} stopped: {error}", tree::name(id))),
        };
        self.judge_damaged(id, decided_damaged, &outcome);
        let after = states(self);
        let transfer_after = self.transfer_under_way(id, command);
        if let Err(why) = oracle::entry::transfer_is_bound(self, id, command, transfer_before.as_ref(), transfer_after.as_ref()) {
            self.violated(format!("{}: {why}", tree::name(id)));
        }
        let [transfer_before, transfer_after] = [transfer_before, transfer_after].map(|of| of.as_ref().map(Transfer::status));
        self.counts.moved("transfer", moves::transfer(transfer_before.as_ref()), moves::transfer(transfer_after.as_ref()));
        self.note(|| format!("{}: = {} → {}", tree::name(id), describe::command(command), describe::outcome(&outcome)));
        let applied = AppliedEntry { site: id, command, outcome: &outcome, before: &before, after: &after, register_before };
        if let Err(why) = oracle::entry::judge(self, &applied) {
            self.violated(format!("{}: {why}", tree::name(id)));
        }
        self.count_applied(&applied, transfer_before);
        if was_set_back && !self.is_set_back(id) {
            self.counts.step(Step::SetBackEnded);
        }
        self.apply_at_damaged_node(id, command);
        self.after_entry(id);
        outcome
    }

    fn is_set_back(&mut self, id: SiteId) -> bool {
        self.site(id).disk.warehouse.set_back(OriginId(id.0)).expect("a memory does not fail").is_some()
    }

    fn touched(&mut self, id: SiteId, command: &Command) -> Vec<OriginId> {
        match command {
            Command::Write { origin, .. }
            | Command::AbandonTransfer { origin }
            | Command::ResumeOrigin { origin }
            | Command::ReviewEvidence { origin, .. }
            | Command::DiscardOrigin { origin } => {
                vec![*origin]
            }
            Command::CommitHead { signed } | Command::NoteSetBack { signed, .. } => vec![signed.head.origin],
            Command::AdoptSegment { segment, .. } => vec![segment.origin()],
            Command::BeginTransfer { start, .. } => vec![start.origin],
            Command::AdoptPiece { piece, .. } => vec![piece.origin],
            Command::Trim { .. } | Command::ConfirmTime { .. } => self.site(id).origins(),
            Command::AdoptRegister { .. }
            | Command::RecordParent { .. }
            | Command::NoteTurnedBack { .. }
            | Command::RaiseLevel { .. }
            | Command::NoteTest { .. }
            | Command::NoteDiverged { .. } => vec![],
        }
    }

    /// The transfer that the command bears on.
    fn transfer_under_way(&mut self, id: SiteId, command: &Command) -> Option<Transfer> {
        let origin = match command {
            Command::AdoptSegment { segment, .. } => segment.origin(),
            Command::BeginTransfer { start, .. } => start.origin,
            Command::AdoptPiece { piece, .. } => piece.origin,
            _ => return None,
        };
        self.transfer_of(id, origin)
    }

    fn transfer_of(&mut self, id: SiteId, origin: OriginId) -> Option<Transfer> {
        let transfers = self.site(id).disk.warehouse.transfers().expect("a memory does not fail");
        transfers.into_iter().find(|transfer| transfer.start.origin == origin)
    }

    fn count_applied(&mut self, applied: &AppliedEntry<'_>, transfer_before: Option<TransferStatus>) {
        match (applied.command, applied.outcome) {
            (_, Outcome::Refused(refusal)) => self.count_refused(applied.site, refusal),
            (Command::Write { .. }, Outcome::Written(outcomes))
                if outcomes.iter().any(|outcome| matches!(outcome, WriteOutcome::Committed { repeated: false, .. })) =>
            {
                self.counts.step(Step::BatchCommitted);
            }
            (Command::CommitHead { signed }, Outcome::HeadCommitted) => {
                let head = |states: &BTreeMap<OriginId, Option<OriginState>>| {
                    states[&signed.head.origin].as_ref().map(|state| (state.head_seq, state.watermark))
                };
                let (before, after) = (head(applied.before), head(applied.after));
                self.counts.step(match (before, after) {
                    _ if before == after => Step::HeadHeldBack,
                    (Some((before, _)), Some((after, _))) if before == after => Step::IdleHeadCommitted,
                    _ => Step::HeadCommitted,
                });
            }
            (Command::AdoptSegment { segment, .. }, Outcome::Adopted(_)) => self.count_adopted(applied, segment, transfer_before.is_some()),
            (Command::AdoptSegment { .. }, Outcome::Transfer(_)) => self.counts.step(Step::Replayed),
            (Command::BeginTransfer { .. }, _) => {
                self.counts.step(if transfer_before.is_some() { Step::TransferAnew } else { Step::TransferBegun });
            }
            (Command::AdoptPiece { piece, .. }, Outcome::Transfer(_)) => {
                let wanted = matches!(transfer_before, Some(TransferStatus::WantsPiece { from, .. }) if from == piece.from);
                self.counts.step(if wanted { Step::PieceTaken } else { Step::PieceKnown });
            }
            (Command::RecordParent { .. }, _) => self.counts.step(Step::RecordTaken),
            (Command::Trim { .. }, Outcome::Trimmed { batches: 1.. }) => self.counts.step(Step::Trimmed),
            (Command::AdoptRegister { .. }, _) => self.counts.step(Step::RegisterAdopted),
            (Command::RaiseLevel { .. }, Outcome::LevelStands { .. }) => self.counts.step(Step::LevelRaised),
            (Command::NoteTest { .. }, Outcome::Recorded) => self.counts.step(Step::TestNoted),
            (Command::ReviewEvidence { .. }, Outcome::Recorded) => self.counts.step(Step::EvidenceReviewed),
            (Command::NoteSetBack { signed, .. }, Outcome::Recorded) => self.set_back_noted(applied.site, signed),
            _ => {}
        }
    }

    fn count_record(&mut self, id: SiteId, command: &Command) {
        let Command::RecordParent { parent, cursors } = command else { return };
        let recorded = self.site(id).disk.warehouse.read(|reading| reading.parent_cursors(*parent)).expect("a memory does not fail");
        if cursors.iter().any(|cursor| recorded.iter().any(|before| before.origin == cursor.origin && before.next > cursor.next)) {
            self.counts.step(Step::RecordWentBack);
        }
    }

    fn count_adopted(&mut self, applied: &AppliedEntry<'_>, segment: &Segment, transfer_before: bool) {
        let origin = segment.origin();
        let next = |states: &BTreeMap<OriginId, Option<OriginState>>| states[&origin].as_ref().map_or(1, |state| state.next.0);
        let watermark = |states: &BTreeMap<OriginId, Option<OriginState>>| states[&origin].as_ref().map_or(0, |state| state.watermark.0);
        let generation = |states: &BTreeMap<OriginId, Option<OriginState>>| states[&origin].as_ref().map(|state| state.generation);
        let (before, after) = (next(applied.before), next(applied.after));
        let first = segment.first.0;
        if applied.before[&origin].is_some() && generation(applied.before) != generation(applied.after) {
            self.counts.step(Step::GenerationSwitched);
        } else if after > before {
            self.counts.step(if first < before { Step::OverlapSkipped } else { Step::Adopted });
            if transfer_before && self.transfer_of(applied.site, origin).is_none() {
                self.counts.step(Step::TransferPassed);
            }
        } else if !segment.batches.is_empty() {
            self.counts.step(Step::Redelivered);
        }
        if segment.batches.is_empty() && watermark(applied.after) > watermark(applied.before) {
            self.counts.step(Step::WatermarkRaised);
        }
        let Command::AdoptSegment { site_time, .. } = applied.command else { return };
        if segment.head.head.ahead_of(*site_time).is_some() {
            self.counts.step(Step::WatermarkHeld);
        }
    }

    fn count_refused(&mut self, site: SiteId, refusal: &Refusal) {
        match refusal {
            Refusal::Forked { origin, .. } | Refusal::BadChain { origin, .. } | Refusal::DigestMismatch { origin, .. } => {
                // An author that was set back contradicts what it signed before, even before it writes on.
                let stopped = self.site(site).disk.origin(*origin).is_some_and(|state| state.stopped.is_some());
                if !self.ledger.rolled_back.contains(&SiteId(origin.0)) || stopped {
                    self.violated(format!("{}: origin {origin} has one history and is reported to have two: {refusal}", tree::name(site)));
                }
                self.ledger.note_alarm(*origin, HistoryAlarm::Refused);
                self.counts.step(Step::ForkRefused);
            }
            Refusal::Gap { .. } => self.counts.step(Step::GapRefused),
            Refusal::Transfer { .. } => self.counts.step(Step::TransferRefused),
            Refusal::TransferTaken { .. } => self.counts.step(Step::TransferTaken),
            Refusal::OtherEpoch { .. } => self.counts.step(Step::EpochRefused),
            // Of a command; or of a bundle for a site that was set back behind its level. What a link brings is judged by its intake.
            Refusal::AboveLevel { .. } | Refusal::ColumnAboveLevel { .. } => self.counts.step(Step::AboveLevelRefused),
            // A hand brought it, which `give_double` judges.
            Refusal::RegisterDoubled { .. } => {}
            // Who sent it had not the newest register yet, or a hand brought it.
            Refusal::OffPath { .. } => {}
            other => self.violated(format!("{} refuses what honest sites sent: {other}", tree::name(site))),
        }
    }

    /// After a rollback the ledger's stretches begin anew, and answers about what is gone bind nobody any more.
    pub(super) fn note_set_back(&mut self, id: SiteId) {
        for origin in tree::origins() {
            let state = self.site(id).disk.origin(origin);
            let (chain, last) = state.map_or((start(origin), 0), |state| (state.chain, state.last().0));
            self.ledger.stands(id, origin, chain, true);
            if OriginId(id.0) == origin {
                for (key, place) in self.ledger.forget_acknowledged(origin) {
                    if place.seq.0 <= last {
                        self.ledger.acknowledge(origin, &key, place).expect("nothing is known of it any more");
                    }
                }
            }
        }
        let author = tree::AUTHORS.contains(&id);
        self.counts.fault(if author { Fault::AuthorRolledBack } else { Fault::AdopterRolledBack });
    }
}
