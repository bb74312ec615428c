//! The site's log: when a proposal is committed, whether at all, and what its asker hears of it.

use kho_replication::{
    intake::{IntakeInput, ProposeFailure},
    uplink::UplinkInput,
};
use kho_storage::{
    codec,
    command::{Command, Outcome},
    ids::SiteId,
};

use super::{World, describe};
use crate::{
    agenda::{Asker, Event, Proposal},
    counts::{Fault, Step},
    site::Source,
    tree,
};

/// After so long an asker gives up waiting: its proposal may or may not have been committed.
const TIMEOUT_MS: (u64, u64) = (500, 3_000);
/// What children are told while the disk is full.
const DISK_RETRY_MS: u32 = 1_000;

impl World {
    pub(super) fn propose(&mut self, id: SiteId, asker: Asker, command: &Command) {
        let entry = codec::encode(command).unwrap_or_else(|error| self.violated(format!("a command can't be encoded: {error}")));
        let from_child = matches!(asker, Asker::Intake { .. });
        if from_child && self.site(id).disk_full {
            return self.decides(id, asker, 1, Err(ProposeFailure::Busy { retry_after_ms: DISK_RETRY_MS }));
        }
        if self.site(id).leader.is_none() {
            let ms = self.dice.between(100, 900);
            return self.decides(id, asker, ms, Err(ProposeFailure::NotLeader { addresses: vec![] }));
        }
        if self.stops(id) {
            return self.decides(id, asker, 1, Err(ProposeFailure::Stopping));
        }
        let rough = self.plan.loss_one_in;
        if self.comes_once_in(rough) {
            self.counts.fault(Fault::SiteBusy);
            return self.decides(id, asker, 1, Err(ProposeFailure::Busy { retry_after_ms: 100 }));
        }
        if self.comes_once_in(rough) {
            self.counts.fault(Fault::ProposalLost);
            let ms = self.dice.between(TIMEOUT_MS.0, TIMEOUT_MS.1);
            return self.decides(id, asker, ms, Err(ProposeFailure::OutcomeUnknown));
        }
        let life = self.site(id).life;
        self.proposals += 1;
        let stream = match command {
            Command::AdoptSegment { segment, .. } => Some((segment.origin(), self.proposals)),
            _ => None,
        };
        self.enters_log(Proposal { site: id, asker, entry, life, survived: false, stream });
    }

    /// A proposal is on its way into the log. Those of one source keep their order, save when a node passes them on to its leader.
    fn enters_log(&mut self, proposal: Proposal) {
        let source = source_of(&proposal.asker);
        let ms = self.dice.between(1, self.plan.commit_ms_max);
        let passed_on = self.is_passed_on(&proposal);
        let now = self.now;
        let site = self.site(proposal.site);
        let last = site.order.entry(source).or_default();
        let mut at = now.after_ms(ms);
        if !passed_on {
            at = at.max(*last);
        }
        *last = at.max(*last);
        self.agenda.add(at, Event::Commits(proposal));
    }

    /// Whether the proposal came to a node that no longer leads and passes it on: each on a stream of its own.
    fn is_passed_on(&self, proposal: &Proposal) -> bool {
        let Asker::Intake { line, .. } = proposal.asker else { return false };
        let Some(line) = self.lines.get(&line) else { return false };
        self.sites[proposal.site.0 as usize - 1].leader.as_ref().is_some_and(|leader| leader.node != line.node)
    }

    /// The log's majority takes the entry, or its leader is gone.
    pub(super) fn commits(&mut self, mut proposal: Proposal) {
        let id = proposal.site;
        if proposal.life != self.site(id).life {
            return self.decides(id, proposal.asker, TIMEOUT_MS.0, Err(ProposeFailure::OutcomeUnknown));
        }
        if self.site(id).leader.is_none() {
            // What a dead leader had appended is committed by its successor, or was never held by a majority.
            if self.dice.chance(1, 2) {
                proposal.survived = true;
                let ms = self.dice.between(100, 800);
                return self.after(ms, Event::Commits(proposal));
            }
            self.counts.fault(Fault::ProposalLost);
            return self.decides(id, proposal.asker, TIMEOUT_MS.0, Err(ProposeFailure::OutcomeUnknown));
        }
        if let Some((origin, place)) = proposal.stream {
            let last = self.site(id).committed.entry(origin).or_default();
            let overtaken = place < *last;
            *last = place.max(*last);
            if overtaken {
                self.counts.fault(Fault::ProposalsReordered);
            }
        }
        if proposal.survived {
            self.counts.fault(Fault::ProposalSurvived);
        }
        let is_record = matches!(proposal.asker, Asker::Recorder { .. });
        if self.is_killed_at(id, if is_record { Fault::CrashBeforeRecorded } else { Fault::CrashBeforeAppend }) {
            return self.decides(id, proposal.asker, TIMEOUT_MS.0, Err(ProposeFailure::OutcomeUnknown));
        }
        self.site(id).disk.append(proposal.entry);
        // A majority holds it now: whoever leads next applies it, though nobody is told.
        if self.is_killed_at(id, Fault::CrashBeforeApply) {
            return self.decides(id, proposal.asker, TIMEOUT_MS.0, Err(ProposeFailure::OutcomeUnknown));
        }
        let outcome = self.apply_newest(id);
        if let (Asker::Intake { line, .. }, Outcome::Adopted(cursor)) = (&proposal.asker, &outcome) {
            self.note_carrier(id, *line, cursor.origin);
        }
        let ms = self.dice.between(1, 20);
        if self.is_killed_at(id, Fault::CrashBeforeOutcome) {
            return self.decides(id, proposal.asker, TIMEOUT_MS.0, Err(ProposeFailure::OutcomeUnknown));
        }
        if self.comes_once_in(self.plan.loss_one_in) {
            self.counts.fault(Fault::OutcomeLost);
            let ms = self.dice.between(TIMEOUT_MS.0, TIMEOUT_MS.1);
            return self.decides(id, proposal.asker, ms, Err(ProposeFailure::OutcomeUnknown));
        }
        self.decides(id, proposal.asker, ms, Ok(outcome));
    }

    fn decides(&mut self, site: SiteId, asker: Asker, ms: u64, result: Result<Outcome, ProposeFailure>) {
        let life = self.site(site).life;
        self.after(ms, Event::Decided { site, life, asker, result });
    }

    /// The asker hears what became of its proposal, if it is still there.
    pub(super) fn decided(&mut self, id: SiteId, life: u64, asker: Asker, result: Result<Outcome, ProposeFailure>) {
        // Processes whose disks came back older answer nothing of what they knew.
        let result = if life == self.site(id).life { result } else { Err(ProposeFailure::OutcomeUnknown) };
        if let Err(failure) = &result {
            self.note(|| format!("{}: {} failed: {failure:?}", tree::name(id), describe::asker(&asker)));
        }
        match asker {
            Asker::Intake { line, id: frame } => {
                if self.lines.get(&line).is_none_or(|line| line.intake.is_none()) {
                    self.counts.fault(Fault::LateAnswer);
                    return;
                }
                if let Ok(outcome) = &result {
                    self.note(|| format!("{}: {frame} came to: {}", tree::name(id), describe::outcome(outcome)));
                }
                self.notify_intake(line, IntakeInput::Proposed { id: frame, result });
            }
            Asker::Recorder { reign, parent, cursors } => {
                let Some(leader) = self.site(id).leader_of(reign) else { return };
                leader.recording = false;
                if !matches!(result, Ok(Outcome::Recorded)) {
                    self.counts.step(Step::RecordRepeated);
                    self.notify_uplink(id, reign, UplinkInput::RecordFailed { parent, cursors });
                }
                self.records_next(id, reign);
            }
            Asker::Register { reign, signed } => {
                if result.is_err() {
                    self.counts.step(Step::RegisterRepeated);
                    self.notify_uplink(id, reign, UplinkInput::RegisterFailed(signed));
                }
            }
            Asker::Clients { requests } => self.clients_hear(id, &requests, result),
            Asker::Maintenance => {}
        }
    }
}

fn source_of(asker: &Asker) -> Source {
    match asker {
        Asker::Intake { line, .. } => Source::Line(*line),
        Asker::Recorder { .. } => Source::Recorder,
        Asker::Maintenance => Source::Signer,
        Asker::Register { .. } => Source::Other(0),
        Asker::Clients { requests } => Source::Other(requests.first().map_or(0, |request| *request as u64 + 1)),
    }
}
