//! The child's side of a link: carries out what an uplink decides, as `node/src/uplink_driver.rs` does.

use kho_replication::{
    frames::{ChildFrame, Goodbye},
    uplink::{LinkId, LinkStatus, LoadFailure, UplinkAction, UplinkAlarm, UplinkInput, UplinkStatus},
};
use kho_storage::{
    command::{Command, Refusal},
    ids::{OriginId, SiteId},
    stream::Segment,
};

use super::{World, describe};
use crate::{
    agenda::{Event, Proposer, Term},
    counts::{Fault, Step},
    ledger::HistoryAlarm,
    link::{Caller, Link},
    moves, tree,
};

impl World {
    /// Gives an input to the uplink of that term, if it still exists, and carries out what it decides.
    pub(super) fn notify_uplink(&mut self, id: SiteId, term: Term, input: UplinkInput) {
        let now = self.now;
        let Some(leader) = self.site(id).leader_in(term) else { return };
        leader.uplink.handle(input, now);
        let actions: Vec<UplinkAction> = std::iter::from_fn(|| leader.uplink.poll_action()).collect();
        let status = leader.uplink.status();
        let before = std::mem::replace(&mut leader.status, status.clone());
        if matches!(before.link, LinkStatus::Open { .. }) && !matches!(status.link, LinkStatus::Open { .. }) {
            leader.cut_mid_segment =
                before.streams.iter().filter(|stream| stream.in_flight_bytes > 0).map(|stream| stream.origin).collect();
        }
        self.observe_uplink(id, &before, &status);
        for action in actions {
            // An action may be the last thing that its node did.
            if self.site(id).term() == Some(term) {
                self.note(|| format!("{}: {}", tree::name(id), describe::uplink_action(&action)));
                self.carry_out(id, term, action);
            }
        }
    }

    /// Counts how the machine moved and checks what it bounds.
    fn observe_uplink(&mut self, id: SiteId, before: &UplinkStatus, after: &UplinkStatus) {
        self.counts.moved("link", moves::link(&before.link), moves::link(&after.link));
        for stream in &after.streams {
            if let Some(was) = before.streams.iter().find(|was| was.origin == stream.origin) {
                self.counts.moved("stream", moves::stream(&was.state), moves::stream(&stream.state));
            }
        }
        let config = &self.plan.uplink;
        // A load reserves the bytes that it requests. A segment is longer where its heads are further apart.
        let load_bytes = config.segment_bytes_max.min(config.piece_bytes_max);
        let longest = config.segment_bytes_max.max(2 * config.piece_bytes_max).max(self.longest_segment);
        if after.in_flight_bytes > longest * (config.in_flight_bytes_max / load_bytes + 1) {
            self.violated(format!("{} bytes are under way from {}", after.in_flight_bytes, tree::name(id)));
        }
    }

    fn carry_out(&mut self, id: SiteId, term: Term, action: UplinkAction) {
        match action {
            UplinkAction::Dial { link: link_id, site, addresses } => self.dials(id, term, link_id, site, &addresses),
            UplinkAction::Disconnect { link: link_id, reason } => self.disconnects(id, term, link_id, &reason),
            UplinkAction::SendFrame { link: link_id, frame } => {
                self.count_sent(&frame);
                let bytes =
                    frame.encode().unwrap_or_else(|error| self.violated(format!("an uplink made a frame that is too long: {error}")));
                let link = self.site(id).leader_in(term).and_then(|leader| leader.links.get(&link_id).copied());
                if let Some(link) = link {
                    self.send_up(link, bytes);
                }
            }
            action @ (UplinkAction::LoadSegment { .. } | UplinkAction::LoadTransferStart { .. } | UplinkAction::LoadPiece { .. }) => {
                let ms = self.dice.below(20);
                self.after(ms, Event::Load { site: id, term, action });
            }
            UplinkAction::RecordParent { parent, cursors } => {
                self.counts.step(Step::Recorded);
                if self.is_killed_at(id, Fault::CrashBeforeRecord) {
                    return;
                }
                if let Some(leader) = self.site(id).leader_in(term) {
                    leader.records.push_back((parent, cursors));
                    self.records_next(id, term);
                }
            }
            UplinkAction::FetchRegister { link: link_id, offer } => self.fetches_register(id, term, link_id, offer),
            UplinkAction::AdoptRegister(signed) => self.propose_register(id, term, signed),
            UplinkAction::CompareHead { parent, head } => self.compare_head(id, term, parent, head),
            UplinkAction::Probe { site, addresses } => {
                self.counts.step(Step::Probed);
                let ms = self.dice.between(1, 2 * self.plan.latency_ms_max);
                let is_there = addresses.iter().any(|address| self.site(site).node_at(address).is_some());
                self.after(ms, Event::Probed { site: id, term, parent: site, is_there });
            }
            UplinkAction::RaiseAlarm(alarm) => self.uplink_alarms(id, &alarm),
        }
    }

    fn disconnects(&mut self, id: SiteId, term: Term, link_id: LinkId, reason: &Goodbye) {
        match reason {
            Goodbye::Elsewhere => self.counts.step(Step::DisconnectedElsewhere),
            Goodbye::PreferredParentBack => self.counts.step(Step::DisconnectedPreferred),
            Goodbye::IdleTimeout => self.counts.step(Step::DisconnectedIdleTimeout),
            Goodbye::NoLongerLeader => self.counts.step(Step::DisconnectedNotLeading),
            Goodbye::LevelRaised { .. } => self.counts.step(Step::DisconnectedLevelRaised),
            _ => {}
        }
        let link = self.site(id).leader_in(term).and_then(|leader| leader.links.remove(&link_id));
        if let Some(link) = link {
            self.child_leaves(link);
        }
    }

    fn count_sent(&mut self, frame: &ChildFrame) {
        match frame {
            ChildFrame::Streams(_) => self.counts.step(Step::StreamsSent),
            ChildFrame::TransferStart { .. } => self.counts.step(Step::TransferStartSent),
            ChildFrame::Piece { .. } => self.counts.step(Step::PieceSent),
            ChildFrame::Segment { .. } | ChildFrame::Hello(_) | ChildFrame::Goodbye(_) | ChildFrame::Clock(_) | ChildFrame::TestLevel => {}
        }
    }

    /// Records are proposed one after another: an earlier record must not overtake a later one.
    pub(super) fn records_next(&mut self, id: SiteId, term: Term) {
        let Some(leader) = self.site(id).leader_in(term) else { return };
        if leader.recording {
            return;
        }
        let Some((parent, cursors)) = leader.records.pop_front() else { return };
        (leader.recording, leader.has_recorded) = (true, true);
        let command = Command::RecordParent { parent, cursors: cursors.clone() };
        self.propose(id, Proposer::Recorder { term, parent, cursors }, &command);
    }

    fn uplink_alarms(&mut self, id: SiteId, alarm: &UplinkAlarm) {
        match alarm {
            UplinkAlarm::ParentWentBack { .. } => self.counts.step(Step::AlarmWentBack),
            UplinkAlarm::SiteBehindParent { origin, .. } => {
                self.counts.step(Step::AlarmSetBack);
                self.ledger.note_alarm(*origin, HistoryAlarm::SetBack);
            }
            // The parent was not raised yet.
            UplinkAlarm::StreamRefused { refusal: Refusal::ColumnAboveLevel { .. }, .. } => self.counts.step(Step::KeptBack),
            // Where disks came back older, two carriers that transfer one origin may undo each other's steps for a while. It is no
            // sign of another history.
            UplinkAlarm::StreamRefused { parent, origin, refusal: Refusal::Transfer { .. } }
            | UplinkAlarm::NoCommonCursor { parent, origin, .. }
                if [*parent, SiteId(origin.0)].iter().any(|site| self.ledger.rolled_back.contains(site)) => {}
            UplinkAlarm::StreamRefused { origin, .. } | UplinkAlarm::Forked { origin, .. }
                if self.ledger.rolled_back.contains(&SiteId(origin.0)) =>
            {
                self.counts.step(Step::AlarmRefused);
                self.ledger.note_alarm(*origin, HistoryAlarm::Refused);
            }
            // The parent has a newer register, which is on its way.
            UplinkAlarm::StreamRefused { refusal: Refusal::OffPath { .. }, .. } => {}
            UplinkAlarm::NoParentAnswers { .. } => self.counts.step(Step::AlarmNoParent),
            UplinkAlarm::LocalStorage { .. } if self.site(id).reads_fail => self.counts.step(Step::AlarmUnreadable),
            UplinkAlarm::PeerMisbehaved { .. }
            | UplinkAlarm::LocalStorage { .. }
            | UplinkAlarm::StreamRefused { .. }
            | UplinkAlarm::NoCommonCursor { .. }
            | UplinkAlarm::Forked { .. } => self.violated(format!("honest sites disagree: {}: {alarm}", tree::name(id))),
        }
    }

    pub(super) fn loads(&mut self, id: SiteId, term: Term, action: UplinkAction) {
        if self.site(id).term() != Some(term) {
            return;
        }
        let site = &self.sites[id.0 as usize - 1];
        let warehouse = &site.disk.warehouse;
        let unreadable = || LoadFailure::LocalStorage("the disk can't be read".into());
        let input = match action {
            UplinkAction::LoadSegment { load, .. } if site.reads_fail => UplinkInput::SegmentLoaded { load, result: Err(unreadable()) },
            UplinkAction::LoadTransferStart { load, .. } if site.reads_fail => {
                UplinkInput::TransferStartLoaded { load, result: Err(unreadable()) }
            }
            UplinkAction::LoadPiece { load, .. } if site.reads_fail => UplinkInput::PieceLoaded { load, result: Err(unreadable()) },
            UplinkAction::LoadSegment { load, origin, from, bytes_max } => {
                let state = site.disk.origin(origin).filter(|state| state.epoch == from.epoch);
                let result = match (state, warehouse.segment(origin, from.next, bytes_max).expect("a memory does not fail")) {
                    (None, _) => Err(LoadFailure::NoSuchPlace),
                    (Some(_), Some(segment)) => Ok(segment),
                    (Some(state), None) if from.next < state.oldest_kept => {
                        Err(LoadFailure::NoLongerKept { oldest_kept: state.oldest_kept })
                    }
                    (Some(_), None) => Err(LoadFailure::NoSuchPlace),
                };
                self.count_loaded(&result);
                UplinkInput::SegmentLoaded { load, result }
            }
            UplinkAction::LoadTransferStart { load, origin } => {
                let start = warehouse.read(|reading| reading.transfer_start(origin)).expect("a memory does not fail");
                UplinkInput::TransferStartLoaded { load, result: start.ok_or(LoadFailure::NoSuchPlace) }
            }
            UplinkAction::LoadPiece { load, origin, epoch, from, bytes_max } => {
                let piece = warehouse.read(|reading| reading.piece(origin, &from, bytes_max)).expect("a memory does not fail");
                UplinkInput::PieceLoaded { load, result: piece.filter(|piece| piece.epoch == epoch).ok_or(LoadFailure::NoSuchPlace) }
            }
            _ => return,
        };
        self.notify_uplink(id, term, input);
    }

    fn count_loaded(&mut self, result: &Result<Segment, LoadFailure>) {
        match result {
            Ok(segment) if segment.batches.is_empty() => self.counts.step(Step::IdleHeadSent),
            Ok(segment) => {
                self.longest_segment = self.longest_segment.max(segment.bytes());
                self.counts.step(Step::SegmentSent);
            }
            Err(_) => self.counts.step(Step::LoadFailed),
        }
    }

    /// `is_there`: the parent was at one of the addresses that were probed.
    pub(super) fn probed(&mut self, id: SiteId, term: Term, parent: SiteId, is_there: bool) {
        let reachable = is_there && self.is_reachable(id, parent) && !self.site(parent).up().is_empty();
        self.notify_uplink(id, term, UplinkInput::ProbeAnswered { site: parent, reachable });
    }

    pub(super) fn became_leader(&mut self, id: SiteId) -> UplinkInput {
        let site = self.site(id);
        let streams = site.origins().into_iter().filter_map(|origin| site.position(origin)).collect();
        let register = site.disk.warehouse.register();
        let parents = register.and_then(|register| Some(register.site(id)?.parents.clone())).unwrap_or_default();
        let recorded = |parent| site.disk.warehouse.read(|reading| reading.parent_cursors(parent)).expect("a memory does not fail");
        UplinkInput::BecameLeader { streams, recorded: parents.into_iter().map(|parent| (parent, recorded(parent))).collect() }
    }

    pub(super) fn notify_register(&mut self, id: SiteId, term: Term) {
        if let Some(register) = self.site(id).disk.warehouse.register() {
            self.notify_uplink(id, term, UplinkInput::RegisterChanged(register));
        }
    }

    pub(super) fn notify_moved(&mut self, id: SiteId, term: Term, origins: impl IntoIterator<Item = OriginId>) {
        for origin in origins {
            if let Some(position) = self.site(id).position(origin) {
                self.notify_uplink(id, term, UplinkInput::StreamAdvanced(position));
            }
        }
    }

    /// After a welcome: whether the child came from another parent in the middle of a segment.
    pub(super) fn note_welcome(&mut self, id: SiteId, parent: SiteId) {
        let Some(leader) = self.site(id).leader.as_mut() else { return };
        let was_sending = std::mem::take(&mut leader.cut_mid_segment);
        let Some(before) = leader.welcomed_by.replace(parent).filter(|before| *before != parent) else { return };
        let next = |world: &Self, site: SiteId, origin| world.sites[site.0 as usize - 1].disk.origin(origin).map(|state| state.next);
        if was_sending.into_iter().any(|origin| next(self, before, origin) != next(self, parent, origin)) {
            self.counts.fault(Fault::SwitchedMidSegment);
        }
    }

    /// The site, the term and the link id of the uplink that still receives at the child's end, if there is one.
    pub(super) fn receiver_of(&self, link: &Link) -> Option<(SiteId, Term, LinkId)> {
        match &link.caller {
            Caller::Uplink { term, link_id, open: true, .. } => Some((link.child, *term, *link_id)),
            _ => None,
        }
    }
}
