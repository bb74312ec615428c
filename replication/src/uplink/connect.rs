//! The link to a parent: dialled, greeted, lost, probed. All transitions of [`LinkState`] stand here.

use std::collections::BTreeMap;

use kho_storage::{
    command::{ParentCursor, TransferStatus},
    ids::{Hash32, OriginId, SiteId},
    level::Level,
    planted::{Bug, planted},
    stream::SignedHead,
};

use super::{
    LinkFailure, LinkId, LinkWait, ParkReason, Uplink, UplinkAction, UplinkAlarm,
    link::{LinkState, OpenLink},
    parents::backoff_ms,
    stream::{CursorPosition, Want},
};
use crate::{
    frames::{ChildFrame, Cursor, FrameCodecError, FrameKind, Goodbye, Hello, ProtocolViolation, STREAMS_MAX, ViolationDetail, Welcome},
    link_time::LinkTime,
};

impl Uplink {
    /// Dials when there is a reason to and nothing under way.
    pub(super) fn settle(&mut self, now: LinkTime) {
        if self.leads && matches!(self.link, LinkState::Standby) && self.parents.current().is_some() {
            self.dial(now);
        }
    }

    fn dial(&mut self, now: LinkTime) {
        let Some(parent) = self.parents.current().map(|parent| parent.site) else {
            self.link = LinkState::Standby;
            return;
        };
        self.last_link = LinkId(self.last_link.0 + 1);
        self.link = LinkState::Dialling { link: self.last_link, parent, until: now.after_ms(self.config.dial_timeout_ms) };
        self.actions.push_back(UplinkAction::Dial { link: self.last_link, site: parent, addresses: self.parents.addresses() });
    }

    pub(super) fn link_opened(&mut self, opened: LinkId, now: LinkTime) {
        let LinkState::Dialling { link, parent, .. } = self.link else { return };
        if link != opened {
            return;
        }
        let mut streams = Vec::new();
        let led: Vec<OriginId> = self.streams.keys().copied().filter(|origin| self.is_led_up(*origin)).take(STREAMS_MAX).collect();
        for origin in led {
            let Some(stream) = self.streams.get_mut(&origin) else { continue };
            streams.push(stream.held.held());
            stream.under_way(&Want::Cursor, now, &self.config);
        }
        let (register_version, register_hash) =
            self.register.as_ref().map_or((0, Hash32::ZERO), |register| (register.version(), register.hash()));
        let hello = Hello { levels: self.config.levels, site: self.site, node: self.node, register_version, register_hash, streams };
        self.link = LinkState::Greeting { link, parent, until: now.after_ms(self.config.welcome_timeout_ms) };
        self.actions.push_back(UplinkAction::SendFrame { link, frame: ChildFrame::Hello(hello) });
    }

    pub(super) fn link_lost(&mut self, lost: LinkId, failure: LinkFailure, now: LinkTime) {
        if self.link.id() == Some(lost) {
            self.fail(failure, 0, false, now);
        }
    }

    /// What is awaited may still be on its way: timeouts count silence.
    pub(super) fn link_moves(&mut self, moving: LinkId, now: LinkTime) {
        match &mut self.link {
            LinkState::Greeting { link, until, .. } if *link == moving => *until = now.after_ms(self.config.welcome_timeout_ms).max(*until),
            LinkState::Open(open) if open.link == moving => open.last_moved = now,
            _ => {}
        }
    }

    pub(super) fn frame_refused(&mut self, link: LinkId, error: &FrameCodecError, now: LinkTime) {
        if self.link.id() == Some(link) {
            let detail = ViolationDetail::new(&error.to_string());
            self.peer_misbehaved(ProtocolViolation::FrameUnreadable { detail }, now);
        }
    }

    /// The parent broke the protocol: an alarm, and the next parent.
    pub(super) fn peer_misbehaved(&mut self, violation: ProtocolViolation, now: LinkTime) {
        if let Some(parent) = self.parents.current().map(|parent| parent.site) {
            self.actions.push_back(UplinkAction::RaiseAlarm(UplinkAlarm::PeerMisbehaved { parent, violation: violation.clone() }));
        }
        self.disconnect(Goodbye::PeerMisbehaved(violation.clone()));
        self.fail(LinkFailure::ProtocolBroken { violation }, self.config.parked_retry_ms, true, now);
    }

    /// Closes the connection, if there is one. The caller sets the next state.
    pub(super) fn disconnect(&mut self, reason: Goodbye) {
        if let Some(link) = self.link.id() {
            self.actions.push_back(UplinkAction::Disconnect { link, reason });
        }
    }

    /// The link failed; another attempt comes after a pause, of at least `pause_ms_min` when it is with the same parent.
    pub(super) fn fail(&mut self, failure: LinkFailure, pause_ms_min: u64, for_good: bool, now: LinkTime) {
        if let LinkState::Open(open) = &self.link
            && (open.proved || now.ms_since(open.opened_at) >= self.config.stable_ms)
        {
            self.parents.proved();
        }
        self.flush_records(now);
        self.forget_link();
        let before = self.parents.current().map(|parent| parent.site);
        let failed = self.parents.failed(self.config.failures_max, for_good);
        let stays = failed.all_failed || before == self.parents.current().map(|parent| parent.site);
        if failed.all_failed && !self.unreachable_alarmed {
            self.unreachable_alarmed = true;
            let alarm = UplinkAlarm::NoParentAnswers { tried: self.parents.number(), last: failure.clone() };
            self.actions.push_back(UplinkAction::RaiseAlarm(alarm));
        }
        self.last_failure = Some(failure);
        let pause_ms = backoff_ms(&self.config, failed.in_a_row, self.jitter.draw()).max(if stays { pause_ms_min } else { 0 });
        self.link = LinkState::Waiting { until: now.after_ms(pause_ms) };
    }

    /// What was known of the parent's side is worth nothing on the next link.
    pub(super) fn forget_link(&mut self) {
        self.ready.clear();
        self.timers.clear();
        self.registers.link_lost();
        for stream in self.streams.values_mut() {
            stream.queued = false;
            stream.forget_link();
        }
    }

    /// Moves on what only waited: a pause, a dial, a welcome, an answer, a probe.
    pub(super) fn check_link(&mut self, now: LinkTime) {
        match &self.link {
            LinkState::Waiting { until } if *until <= now => self.dial(now),
            LinkState::Dialling { until, .. } if *until <= now => {
                self.disconnect(Goodbye::IdleTimeout);
                self.fail(LinkFailure::TimedOut { waiting_for: LinkWait::Connection }, 0, false, now);
            }
            LinkState::Greeting { until, .. } if *until <= now => {
                self.disconnect(Goodbye::IdleTimeout);
                self.fail(LinkFailure::TimedOut { waiting_for: LinkWait::Welcome }, 0, false, now);
            }
            LinkState::Open(open) if open.answer_is_overdue(&self.config, now) => {
                self.disconnect(Goodbye::IdleTimeout);
                self.fail(LinkFailure::TimedOut { waiting_for: LinkWait::Answer }, 0, false, now);
            }
            LinkState::Open(_) => self.probe_preferred(now),
            LinkState::Standby | LinkState::Waiting { .. } | LinkState::Dialling { .. } | LinkState::Greeting { .. } => {}
        }
    }

    fn probe_preferred(&mut self, now: LinkTime) {
        if let Some(parent) = self.parents.preferred()
            && self.probe.is_due(now)
        {
            self.probe.sent(now);
            self.actions.push_back(UplinkAction::Probe { site: parent.site, addresses: parent.addresses.clone() });
        }
    }

    pub(super) fn probe_answered(&mut self, site: SiteId, reachable: bool, now: LinkTime) {
        let is_preferred = self.parents.preferred().is_some_and(|parent| parent.site == site);
        if reachable && is_preferred && matches!(self.link, LinkState::Open(_)) {
            self.disconnect(Goodbye::PreferredParentBack);
            self.flush_records(now);
            self.forget_link();
            self.parents.prefer_first();
            self.dial(now);
        }
    }

    /// The parent's site took something: the link is good, and so is the parent.
    pub(super) fn link_proved(&mut self) {
        let LinkState::Open(open) = &mut self.link else { return };
        if !open.proved {
            open.proved = true;
            self.parents.proved();
            self.unreachable_alarmed = false;
            self.last_failure = None;
            if self.parents.preferred().is_none() {
                self.probe.reset();
            }
        }
    }

    pub(super) fn redirected(&mut self, addresses: Vec<String>, now: LinkTime) {
        self.disconnect(Goodbye::Elsewhere);
        self.flush_records(now);
        if self.parents.redirected(addresses, self.config.redirects_max) {
            self.forget_link();
            self.dial(now);
        } else {
            self.fail(LinkFailure::RedirectLoop, 0, false, now);
        }
    }

    /// What was settled on the link holds no longer: it is opened again.
    pub(super) fn level_raised(&mut self, level: Level, now: LinkTime) {
        if level <= self.config.levels.level {
            return;
        }
        self.config.levels.level = level;
        if matches!(self.link, LinkState::Greeting { .. } | LinkState::Open(_)) {
            self.disconnect(Goodbye::LevelRaised { level });
            self.flush_records(now);
            self.forget_link();
            self.dial(now);
        }
    }

    pub(super) fn parent_left(&mut self, reason: &Goodbye, now: LinkTime) {
        let (pause_ms, for_good) = match reason {
            Goodbye::Busy { retry_after_ms } => (u64::from(*retry_after_ms).min(self.config.backoff_ms_max), false),
            Goodbye::NoCommonLevel { .. } | Goodbye::NotParent { .. } | Goodbye::PeerMisbehaved(_) => (0, true),
            _ => (0, false),
        };
        // Closing an already ended connection does no harm, and one that the parent left half open ends.
        self.disconnect(reason.clone());
        self.fail(LinkFailure::EndedByParent { reason: reason.clone() }, pause_ms, for_good, now);
    }

    pub(super) fn welcomed(&mut self, welcome: Welcome, now: LinkTime) {
        let LinkState::Greeting { link, parent, .. } = self.link else {
            return self.peer_misbehaved(ProtocolViolation::FrameOutOfTurn { frame: FrameKind::Welcome }, now);
        };
        if welcome.site != parent || self.config.levels.common(welcome.levels) != Some(welcome.level) {
            let violation = ProtocolViolation::WelcomeMismatch { site: welcome.site, level: welcome.level };
            return self.peer_misbehaved(violation, now);
        }
        let window = usize::try_from(welcome.in_flight_bytes_max).unwrap_or(usize::MAX).max(1);
        let in_flight_bytes_max = self.config.in_flight_bytes_max.min(window);
        self.link = LinkState::Open(OpenLink::new(link, &welcome, in_flight_bytes_max, now));
        if welcome.level >= ChildFrame::TestLevel.level() {
            self.actions.push_back(UplinkAction::SendFrame { link, frame: ChildFrame::TestLevel });
        }
        self.parents.welcomed();
        self.probe.link_opened(now);
        self.registers_offered(welcome.registers);
        // BEFORE anything else: a site that was set back must take no more entries.
        self.heads_shown(welcome.heads);
        self.cursors_received(&welcome.cursors, &welcome.transfers, now);
        // BEFORE anything is sent: a parent set back must not find that the child trimmed by its old word.
        self.flush_records(now);
        for origin in self.streams.keys().copied().collect::<Vec<_>>() {
            self.set_timer(origin);
            self.enqueue(origin);
        }
    }

    /// The parent shows how far it holds what this site itself authors.
    pub(super) fn heads_shown(&mut self, heads: Vec<SignedHead>) {
        let LinkState::Open(open) = &self.link else { return };
        let parent = open.parent;
        for head in heads.into_iter().filter(|shown| self.is_own(shown.head.origin)).collect::<Vec<_>>() {
            self.actions.push_back(UplinkAction::CompareHead { parent, head });
        }
    }

    /// The parent says where it stands with streams whose cursors were requested.
    pub(super) fn cursors_received(&mut self, cursors: &[ParentCursor], transfers: &[TransferStatus], now: LinkTime) {
        let mut under_transfer: BTreeMap<OriginId, &TransferStatus> = BTreeMap::new();
        for status in transfers {
            let (TransferStatus::WantsPiece { origin, .. } | TransferStatus::WantsBatches { origin, .. }) = status;
            under_transfer.insert(*origin, status);
        }
        for cursor in cursors {
            let placed = self.cursor_received(cursor.origin, Cursor::of(cursor), now);
            if let (true, Some(status), Some(stream)) = (placed, under_transfer.get(&cursor.origin), self.streams.get_mut(&cursor.origin))
                // What can go on from the cursor needs no transfer, whoever started one.
                && cursor.next < stream.held.oldest_kept
            {
                stream.place_in_transfer(status);
            }
        }
    }

    /// Returns whether the stream goes on from the cursor.
    fn cursor_received(&mut self, origin: OriginId, cursor: Cursor, now: LinkTime) -> bool {
        let LinkState::Open(open) = &self.link else { return false };
        let parent = open.parent;
        let own = self.is_own(origin);
        let Some(stream) = self.streams.get_mut(&origin).filter(|stream| stream.awaits_cursor()) else { return false };
        let held = stream.held.cursor();
        match stream.judge(cursor) {
            CursorPosition::InOtherHistory => {
                let reason = ParkReason::Forked { ours: held.epoch, theirs: cursor.epoch };
                if stream.park(reason, now, &self.config).is_some() {
                    let alarm = UplinkAlarm::Forked { parent, origin, ours: held.epoch, theirs: cursor.epoch };
                    self.actions.push_back(UplinkAction::RaiseAlarm(alarm));
                }
                self.set_timer(origin);
                return false;
            }
            CursorPosition::Beyond if own => {
                let alarm = UplinkAlarm::SiteBehindParent { parent, origin, held, claimed: cursor };
                self.actions.push_back(UplinkAction::RaiseAlarm(alarm));
                stream.place(cursor);
                self.enqueue(origin);
                return false;
            }
            CursorPosition::Beyond | CursorPosition::Within => stream.place(cursor),
        }
        if planted(Bug::CursorAcknowledges) {
            stream.learn(parent, cursor);
            self.record(parent, origin, cursor, now);
            self.enqueue(origin);
            return true;
        }
        // A cursor says how far the parent is, not in which history: it takes back what was acknowledged and never adds to it.
        if let Some(before) = stream.known_at(parent).filter(|before| *before > cursor) {
            stream.learn(parent, cursor);
            self.actions.push_back(UplinkAction::RaiseAlarm(UplinkAlarm::ParentWentBack { parent, origin, before, now: cursor }));
            self.record(parent, origin, cursor, now);
        }
        self.enqueue(origin);
        true
    }
}
