//! The parent's side of a link: carries out what an intake decides, as `node/src/intake_driver.rs` does.

use std::sync::Arc;

use kho_replication::{
    frames::{Goodbye, ParentFrame},
    intake::{CursorsHeld, IntakeAction, IntakeAlarm, IntakeInput, ProposeFailure},
};
use kho_storage::{
    command::{Refusal, TransferStatus},
    ids::{OriginId, SiteId},
    register::{RegisterChain, VerifiedRegister},
    warehouse::Transfer,
};

use super::{World, describe};
use crate::{
    agenda::{Event, LinkNo, Proposer},
    counts::{Fault, Step},
    ledger::HistoryAlarm,
    link::Caller,
    moves, tree,
};

impl World {
    pub(super) fn notify_intake(&mut self, number: LinkNo, input: IntakeInput) {
        let Some(parent) = self.links.get(&number).map(|link| link.parent) else { return };
        let (now, clock) = (self.now, self.clock(parent));
        let Some(intake) = self.links.get_mut(&number).and_then(|link| link.intake.as_mut()) else { return };
        let before = intake.phase();
        intake.handle(input, now, clock);
        self.counts.moved("intake", moves::intake(before), moves::intake(intake.phase()));
        let actions: Vec<IntakeAction> = std::iter::from_fn(|| intake.poll_action()).collect();
        let queued = intake.queued_bytes();
        if queued > self.plan.intake.queued_bytes_max {
            self.violated(format!("{queued} bytes are queued at {}", tree::name(parent)));
        }
        for action in actions {
            if self.links.get(&number).is_none_or(|link| link.intake.is_none()) {
                return;
            }
            self.note(|| format!("{}: {}", tree::name(parent), describe::intake_action(&action)));
            self.carry_out_intake(number, parent, action);
        }
    }

    fn carry_out_intake(&mut self, number: LinkNo, parent: SiteId, action: IntakeAction) {
        match action {
            IntakeAction::SendFrame(frame) => {
                self.count_sent_down(&frame);
                let dies = matches!(frame, ParentFrame::Adopted { .. }) && self.is_killed_at(parent, Fault::CrashBeforeAnswerSent);
                if !dies {
                    let bytes =
                        frame.encode().unwrap_or_else(|error| self.violated(format!("an intake made a frame that is too long: {error}")));
                    self.send_down(number, bytes);
                }
            }
            IntakeAction::ReadCursors { origins, authored } => {
                let ms = self.dice.between(1, self.plan.commit_ms_max);
                self.after(ms, Event::CursorsRead { link: number, origins, authored });
            }
            IntakeAction::Propose { id, command } => self.propose(parent, Proposer::Intake { link: number, id }, &command),
            IntakeAction::Close { .. } => self.parent_closes(number),
            IntakeAction::KeepEvidence(evidence) => self.violated(format!("honest bytes were taken for an attack: {}", evidence.refusal)),
            IntakeAction::RaiseAlarm(alarm) => self.intake_alarms(number, parent, &alarm),
            IntakeAction::ChildCaughtUp { .. } => self.counts.step(Step::ChildCaughtUp),
        }
    }

    fn intake_alarms(&mut self, number: LinkNo, parent: SiteId, alarm: &IntakeAlarm) {
        let is_old_machine = self.links.get(&number).is_some_and(|link| matches!(link.caller, Caller::OtherEpoch { .. }));
        match alarm {
            IntakeAlarm::StreamRefused {
                origin,
                refusal: Refusal::Forked { .. } | Refusal::BadChain { .. } | Refusal::DigestMismatch { .. },
                ..
            } => self.ledger.note_alarm(*origin, HistoryAlarm::Refused),
            // A child that is a step behind what it just sent by another path says so only where disks came back older, or where it is
            // an old machine that holds nothing of the site's own stream.
            IntakeAlarm::ChildSetBack { origin, .. } if is_old_machine || self.ledger.rolled_back.contains(&SiteId(origin.0)) => {
                self.counts.step(Step::AlarmChildSetBack);
            }
            IntakeAlarm::ChildSetBack { .. } => {
                self.violated(format!("a site that never went back is reported: {}: {alarm}", tree::name(parent)))
            }
            IntakeAlarm::StreamRefused { .. }
            | IntakeAlarm::PeerMisbehaved { .. }
            | IntakeAlarm::OutcomeOutOfPlace { .. }
            | IntakeAlarm::RegisterDiffers { .. } => {
                self.violated(format!("honest sites disagree: {}: {alarm}", tree::name(parent)));
            }
        }
    }

    fn count_sent_down(&mut self, frame: &ParentFrame) {
        let step = match frame {
            ParentFrame::Welcome(welcome) => {
                if !welcome.registers.is_empty() {
                    self.counts.step(Step::WelcomedWithRegister);
                }
                Step::Welcomed
            }
            ParentFrame::Redirect { .. } => Step::Redirected,
            ParentFrame::Cursors { .. } => Step::CursorsSent,
            ParentFrame::Adopted { .. } => Step::AdoptedSent,
            ParentFrame::TransferWants { status: TransferStatus::WantsPiece { .. }, .. } => Step::WantsPieceSent,
            ParentFrame::TransferWants { status: TransferStatus::WantsBatches { .. }, .. } => Step::WantsBatchesSent,
            ParentFrame::Refused { refusal, .. } => match refusal {
                Refusal::Gap { .. } => Step::GapRefused,
                Refusal::Transfer { .. } => Step::TransferRefused,
                Refusal::Forked { .. } | Refusal::BadChain { .. } | Refusal::DigestMismatch { .. } => Step::ForkRefused,
                Refusal::OtherEpoch { .. } => Step::EpochRefused,
                _ => return,
            },
            ParentFrame::Busy { .. } => Step::BusySent,
            ParentFrame::Registers(_) => Step::RegisterSent,
            ParentFrame::Goodbye(Goodbye::NoLeader) => Step::ByeNoLeader,
            ParentFrame::Goodbye(Goodbye::Busy { .. }) => Step::ByeBusy,
            ParentFrame::Goodbye(Goodbye::NotParent { .. }) => Step::ByeNotParent,
            ParentFrame::Goodbye(Goodbye::IdleTimeout) => Step::ByeIdleTimeout,
            ParentFrame::Goodbye(Goodbye::Stopping) => Step::ByeStopping,
            ParentFrame::Goodbye(Goodbye::LevelRaised { .. }) => Step::ByeLevelRaised,
            ParentFrame::Goodbye(_) | ParentFrame::Clock(_) => return,
        };
        self.counts.step(step);
    }

    /// The cursors after a read index. Only a site with a leader knows where it stands.
    pub(super) fn cursors_read(&mut self, number: LinkNo, origins: &[OriginId], authored: &[OriginId]) {
        let Some((child, parent)) = self.links.get(&number).map(|link| (link.child, link.parent)) else { return };
        let busy = self.comes_once_in(self.plan.loss_one_in);
        let result = if self.stops(parent) {
            Err(ProposeFailure::Stopping)
        } else if self.site(parent).leader.is_none() || busy {
            Err(ProposeFailure::Busy { retry_after_ms: 300 })
        } else {
            let site = self.site(parent);
            let cursors = origins.iter().filter_map(|origin| Some(site.disk.origin(*origin)?.cursor(*origin))).collect();
            let transfers = site.disk.warehouse.transfers().expect("a memory does not fail");
            let is_own = |transfer: &&Transfer| transfer.carrier == child && origins.contains(&transfer.start.origin);
            let transfers = transfers.iter().filter(is_own).map(Transfer::status).collect();
            let heads = authored.iter().filter_map(|origin| site.furthest_head(*origin)).collect();
            Ok(CursorsHeld { cursors, transfers, heads })
        };
        self.notify_intake(number, IntakeInput::CursorsRead(result));
    }

    /// The register as a site has it, with its signature.
    pub(super) fn registers_of(&mut self, id: SiteId) -> (Arc<VerifiedRegister>, Arc<RegisterChain>) {
        let warehouse = &self.site(id).disk.warehouse;
        let verified = warehouse.register().expect("every site got one by hand");
        let chain = warehouse.register_chain().expect("every site got one by hand");
        (verified, chain)
    }

    /// Notifies the intakes of a site's nodes of a newer register.
    pub(super) fn notify_intakes_of_register(&mut self, id: SiteId) {
        let links: Vec<_> =
            self.links.iter().filter(|(_, link)| link.parent == id && link.intake.is_some()).map(|(number, _)| *number).collect();
        for number in links {
            let (register, chain) = self.registers_of(id);
            self.notify_intake(number, IntakeInput::RegisterChanged { register, chain });
        }
    }

    /// Children greet the site again: what was settled with them holds no longer.
    pub(super) fn notify_intakes_of_level(&mut self, id: SiteId) {
        let level = self.site(id).disk.warehouse.level();
        let links: Vec<_> =
            self.links.iter().filter(|(_, link)| link.parent == id && link.intake.is_some()).map(|(number, _)| *number).collect();
        for number in links {
            self.notify_intake(number, IntakeInput::LevelRaised(level));
        }
    }

    /// Children that carry an origin to a site at the moment.
    pub(super) fn note_carrier(&mut self, id: SiteId, link: LinkNo, origin: OriginId) {
        let Some(Caller::Uplink { .. }) = self.links.get(&link).map(|link| &link.caller) else { return };
        let child = self.links[&link].child;
        let standing: Vec<SiteId> =
            self.links.values().filter(|link| link.parent == id && link.intake.is_some()).map(|link| link.child).collect();
        let carriers = self.site(id).carriers.entry(origin).or_default();
        carriers.retain(|carrier| standing.contains(carrier));
        if carriers.insert(child) && carriers.len() > 1 {
            self.counts.step(Step::TwoPaths);
        }
    }
}
