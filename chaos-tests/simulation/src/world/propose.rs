//! The site's log: whether a proposal is committed, when, and which outcome its proposer learns.

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
    agenda::{Event, Proposal, Proposer},
    counts::{Fault, Step},
    site::Source,
    tree,
};

/// A proposer stops waiting after this long. Its proposal may or may not have been committed.
const TIMEOUT_MS: (u64, u64) = (500, 3_000);
/// Children are asked to retry after this long while the disk is full.
const DISK_RETRY_MS: u32 = 1_000;

impl World {
    pub(super) fn propose(&mut self, id: SiteId, proposer: Proposer, command: &Command) {
        let entry = codec::encode(command).unwrap_or_else(|error| self.violated(format!("a command can't be encoded: {error}")));
        let from_child = matches!(proposer, Proposer::Intake { .. });
        if from_child && self.site(id).disk_full {
            return self.decides(id, proposer, 1, Err(ProposeFailure::Busy { retry_after_ms: DISK_RETRY_MS }));
        }
        if self.site(id).leader.is_none() {
            let ms = self.dice.between(100, 900);
            return self.decides(id, proposer, ms, Err(ProposeFailure::NotLeader { addresses: vec![] }));
        }
        if self.stops(id) {
            return self.decides(id, proposer, 1, Err(ProposeFailure::Stopping));
        }
        let one_in = self.plan.loss_one_in;
        if self.comes_once_in(one_in) {
            self.counts.fault(Fault::SiteBusy);
            return self.decides(id, proposer, 1, Err(ProposeFailure::Busy { retry_after_ms: 100 }));
        }
        if self.comes_once_in(one_in) {
            self.counts.fault(Fault::ProposalLost);
            let ms = self.dice.between(TIMEOUT_MS.0, TIMEOUT_MS.1);
            return self.decides(id, proposer, ms, Err(ProposeFailure::OutcomeUnknown));
        }
        let life = self.site(id).life;
        self.proposals += 1;
        let stream = match command {
            Command::AdoptSegment { segment, .. } => Some((segment.origin(), self.proposals)),
            _ => None,
        };
        self.enters_log(Proposal { site: id, proposer, entry, life, survived: false, stream });
    }

    /// A proposal enters the log after a while. Proposals of one source keep their order, unless a node passes them on to its leader.
    fn enters_log(&mut self, proposal: Proposal) {
        let source = source_of(&proposal.proposer);
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
        let Proposer::Intake { link, .. } = proposal.proposer else { return false };
        let Some(link) = self.links.get(&link) else { return false };
        self.sites[proposal.site.0 as usize - 1].leader.as_ref().is_some_and(|leader| leader.node != link.node)
    }

    /// The log's majority takes the entry, or its leader is gone.
    pub(super) fn commits(&mut self, mut proposal: Proposal) {
        let id = proposal.site;
        if proposal.life != self.site(id).life {
            return self.decides(id, proposal.proposer, TIMEOUT_MS.0, Err(ProposeFailure::OutcomeUnknown));
        }
        if self.site(id).leader.is_none() {
            // What a dead leader had appended is committed by its successor, or was never held by a majority.
            if self.dice.chance(1, 2) {
                proposal.survived = true;
                let ms = self.dice.between(100, 800);
                return self.after(ms, Event::Commits(proposal));
            }
            self.counts.fault(Fault::ProposalLost);
            return self.decides(id, proposal.proposer, TIMEOUT_MS.0, Err(ProposeFailure::OutcomeUnknown));
        }
        // What a dead leader had appended stands in the log before all that its successor appends. A record of it that would come after one
        // of the successor's was never held by a majority.
        let is_late_record = proposal.survived && matches!(proposal.proposer, Proposer::Recorder { .. });
        if is_late_record && self.site(id).leader.as_ref().is_some_and(|leader| leader.has_recorded) {
            self.counts.fault(Fault::ProposalLost);
            return self.decides(id, proposal.proposer, TIMEOUT_MS.0, Err(ProposeFailure::OutcomeUnknown));
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
        let is_record = matches!(proposal.proposer, Proposer::Recorder { .. });
        if self.is_killed_at(id, if is_record { Fault::CrashBeforeRecorded } else { Fault::CrashBeforeAppend }) {
            return self.decides(id, proposal.proposer, TIMEOUT_MS.0, Err(ProposeFailure::OutcomeUnknown));
        }
        self.site(id).disk.append(proposal.entry);
        // A majority holds it now: the next leader applies it, although nobody learns the outcome.
        if self.is_killed_at(id, Fault::CrashBeforeApply) {
            return self.decides(id, proposal.proposer, TIMEOUT_MS.0, Err(ProposeFailure::OutcomeUnknown));
        }
        let outcome = self.apply_newest(id);
        if let (Proposer::Intake { link, .. }, Outcome::Adopted(cursor)) = (&proposal.proposer, &outcome) {
            self.note_carrier(id, *link, cursor.origin);
        }
        let ms = self.dice.between(1, 20);
        if self.is_killed_at(id, Fault::CrashBeforeOutcome) {
            return self.decides(id, proposal.proposer, TIMEOUT_MS.0, Err(ProposeFailure::OutcomeUnknown));
        }
        if self.comes_once_in(self.plan.loss_one_in) {
            self.counts.fault(Fault::OutcomeLost);
            let ms = self.dice.between(TIMEOUT_MS.0, TIMEOUT_MS.1);
            return self.decides(id, proposal.proposer, ms, Err(ProposeFailure::OutcomeUnknown));
        }
        self.decides(id, proposal.proposer, ms, Ok(outcome));
    }

    fn decides(&mut self, site: SiteId, proposer: Proposer, ms: u64, result: Result<Outcome, ProposeFailure>) {
        let life = self.site(site).life;
        self.after(ms, Event::Decided { site, life, proposer, result });
    }

    /// The proposer learns the outcome of its proposal, if it still exists.
    pub(super) fn decided(&mut self, id: SiteId, life: u64, proposer: Proposer, result: Result<Outcome, ProposeFailure>) {
        // Processes whose disks came back older answer nothing of what they knew.
        let result = if life == self.site(id).life { result } else { Err(ProposeFailure::OutcomeUnknown) };
        if let Err(failure) = &result {
            self.note(|| format!("{}: {} failed: {failure:?}", tree::name(id), describe::proposer(&proposer)));
        }
        match proposer {
            Proposer::Intake { link, id: frame } => {
                if self.links.get(&link).is_none_or(|link| link.intake.is_none()) {
                    self.counts.fault(Fault::LateAnswer);
                    return;
                }
                if let Ok(outcome) = &result {
                    self.note(|| format!("{}: {frame} came to: {}", tree::name(id), describe::outcome(outcome)));
                }
                self.notify_intake(link, IntakeInput::Proposed { id: frame, result });
            }
            Proposer::Recorder { term, parent, cursors } => {
                let Some(leader) = self.site(id).leader_in(term) else { return };
                leader.recording = false;
                if !matches!(result, Ok(Outcome::Recorded)) {
                    self.counts.step(Step::RecordRepeated);
                    self.notify_uplink(id, term, UplinkInput::RecordFailed { parent, cursors });
                }
                self.records_next(id, term);
            }
            Proposer::Register { term, signed } => {
                let input = if result.is_ok() {
                    UplinkInput::RegisterSettled(signed)
                } else {
                    self.counts.step(Step::RegisterRepeated);
                    UplinkInput::RegisterFailed(signed)
                };
                self.notify_uplink(id, term, input);
            }
            Proposer::SetBack { term, parent, head } => {
                if !matches!(result, Ok(Outcome::Recorded)) {
                    self.counts.step(Step::SetBackRepeated);
                    self.notify_uplink(id, term, UplinkInput::HeadNotCompared { parent, head });
                }
            }
            Proposer::Clients { requests } => self.answer_clients(id, &requests, result),
            Proposer::Maintenance => {}
        }
    }
}

fn source_of(proposer: &Proposer) -> Source {
    match proposer {
        Proposer::Intake { link, .. } => Source::Link(*link),
        Proposer::Recorder { .. } => Source::Recorder,
        Proposer::Maintenance => Source::Signer,
        Proposer::Register { .. } | Proposer::SetBack { .. } => Source::Other(0),
        Proposer::Clients { requests } => Source::Other(requests.first().map_or(0, |request| *request as u64 + 1)),
    }
}
