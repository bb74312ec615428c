//! Greeting a child, and answering where this site stands.

use std::collections::{BTreeMap, BTreeSet};

use kho_storage::{
    checks::check_path,
    command::TransferStatus,
    ids::{OriginId, StreamSeq},
};

use super::{ChildIdentity, CursorsHeld, Intake, IntakeAction, IntakeAlarm, Open, ProposeFailure, State, lane::Lane};
use crate::frames::{Cursor, Goodbye, HEADS_MAX, Hello, ParentFrame, ProtocolViolation, RegisterOffer, STREAMS_MAX, StreamHeld, Welcome};

impl Intake {
    pub(super) fn hello_received(&mut self, hello: Hello) {
        if (hello.site, hello.node) != (self.child.site, self.child.node) {
            let ChildIdentity { site, node } = self.child;
            let violation = ProtocolViolation::IdentityMismatch { claimed_site: hello.site, claimed_node: hello.node, site, node };
            return self.peer_misbehaved(violation);
        }
        let (here, there) = (self.config.levels, hello.levels);
        let Some(level) = here.common(there) else {
            return self.close(Goodbye::NoCommonLevel { here, there });
        };
        if !self.register.is_parent_of(self.site, self.child.site) {
            return self.close(self.not_parent());
        }
        if self.pass_on_unless_leader() {
            return;
        }
        let origins = self.led_origins(&hello.streams);
        self.state = State::ReadingCursors { level, register: (hello.register_version, hello.register_hash), streams: hello.streams };
        self.read_cursors(origins);
    }

    /// Reads where this site stands, and what it has to show the child of the child's own.
    pub(super) fn read_cursors(&mut self, origins: Vec<OriginId>) {
        let authored = self.register.origins_of(self.child.site).take(HEADS_MAX).collect();
        self.actions.push_back(IntakeAction::ReadCursors { origins, authored });
    }

    /// Streams that the child holds only now, or whose cursors it requests again.
    pub(super) fn streams_received(&mut self, streams: &[StreamHeld]) {
        self.refuse_others(streams);
        let origins = self.led_origins(streams);
        let State::Open(open) = &mut self.state else { return };
        if open.requested.len() + origins.len() > STREAMS_MAX {
            let streams_max = u32::try_from(STREAMS_MAX).unwrap_or(u32::MAX);
            return self.peer_misbehaved(ProtocolViolation::TooManyStreams { streams_max });
        }
        open.requested.extend(origins);
        self.read_requested();
    }

    /// Origins that the register leads through this site, each once. Who carries them does not matter.
    fn led_origins(&self, streams: &[StreamHeld]) -> Vec<OriginId> {
        let led = streams.iter().map(|held| held.origin).filter(|origin| check_path(*origin, self.site, &self.register).is_ok());
        led.collect::<BTreeSet<OriginId>>().into_iter().collect()
    }

    fn refuse_others(&mut self, streams: &[StreamHeld]) {
        for origin in streams.iter().map(|held| held.origin).collect::<BTreeSet<OriginId>>() {
            let Err(refusal) = check_path(origin, self.site, &self.register) else { continue };
            self.actions.push_back(IntakeAction::SendFrame(ParentFrame::Refused { id: None, origin, refusal }));
        }
    }

    fn read_requested(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        if open.reading.is_empty() && !open.requested.is_empty() {
            open.reading = std::mem::take(&mut open.requested);
            let origins = open.reading.clone();
            self.read_cursors(origins);
        }
    }

    pub(super) fn cursors_read(&mut self, result: Result<CursorsHeld, ProposeFailure>) {
        match (result, &mut self.state) {
            (Ok(held), State::ReadingCursors { .. }) => self.welcome(held),
            (Ok(held), State::Open(open)) => {
                let origins = std::mem::take(&mut open.reading);
                let CursorsHeld { cursors, transfers, heads } = self.place_lanes(&origins, held);
                self.actions.push_back(IntakeAction::SendFrame(ParentFrame::Cursors { cursors, transfers, heads }));
                self.read_requested();
            }
            (Err(ProposeFailure::NotLeader { addresses }), _) => self.redirect(addresses),
            (Err(ProposeFailure::Stopping), _) => self.close(Goodbye::Stopping),
            // The next tick reads again; what is under way goes on meanwhile.
            (Err(_), State::Open(open)) => open.read_again = true,
            (Err(ProposeFailure::Busy { retry_after_ms }), _) => self.close(Goodbye::Busy { retry_after_ms }),
            (Err(ProposeFailure::OutcomeUnknown), _) => self.close(Goodbye::Busy { retry_after_ms: self.config.busy_retry_ms }),
            (Ok(_), State::AwaitingHello { .. } | State::Closed) => {}
        }
    }

    fn welcome(&mut self, held: CursorsHeld) {
        let State::ReadingCursors { level, register, streams } = &mut self.state else { return };
        let (level, (child_register, hash), streams) = (*level, *register, std::mem::take(streams));
        let newest = self.register.version();
        self.state = State::Open(Open { level, register_version: child_register.max(newest), ..Open::default() });
        let origins = self.led_origins(&streams);
        let held = self.place_lanes(&origins, held);
        self.compare_child(&streams, &held.heads);
        let mut registers = self.offers_newer_than(child_register);
        if child_register == newest && hash != self.register.hash() {
            // The child judges it by whom its own site believes.
            registers.push(RegisterOffer { version: newest, hash: self.register.hash() });
            let (child, here) = (self.child.site, self.register.hash());
            self.actions.push_back(IntakeAction::RaiseAlarm(IntakeAlarm::RegisterDiffers { child, version: newest, held: hash, here }));
        }
        let welcome = Welcome {
            levels: self.config.levels,
            level,
            site: self.site,
            registers,
            cursors: held.cursors,
            transfers: held.transfers,
            heads: held.heads,
            in_flight_bytes_max: self.config.in_flight_bytes_max(),
        };
        self.actions.push_back(IntakeAction::SendFrame(ParentFrame::Welcome(welcome)));
        self.refuse_others(&streams);
    }

    /// Sets the lanes of `origins` to what was read. A stream that this site does not hold starts at its beginning.
    fn place_lanes(&mut self, origins: &[OriginId], held: CursorsHeld) -> CursorsHeld {
        let State::Open(open) = &mut self.state else { return held };
        let wanted: BTreeSet<OriginId> = origins.iter().copied().collect();
        let mut read: BTreeMap<OriginId, Cursor> = held.cursors.iter().map(|cursor| (cursor.origin, Cursor::of(cursor))).collect();
        read.retain(|origin, _| wanted.contains(origin));
        for origin in &wanted {
            let cursor = *read.entry(*origin).or_insert_with(|| Cursor { epoch: self.register.first_epoch(*origin), next: StreamSeq(1) });
            open.lanes.insert(*origin, Lane::at(cursor));
        }
        for status in &held.transfers {
            open.transfer_moved(status);
        }
        let cursors = read.into_iter().map(|(origin, cursor)| cursor.for_origin(origin)).collect();
        CursorsHeld { cursors, ..held }
    }
}

impl Open {
    /// A transfer that wants batches takes them from its own place on.
    pub(super) fn transfer_moved(&mut self, status: &TransferStatus) {
        if let TransferStatus::WantsBatches { origin, epoch, next, .. } = status
            && let Some(lane) = self.lanes.get_mut(origin)
        {
            lane.transfer_wants(Cursor { epoch: *epoch, next: *next });
        }
    }
}
