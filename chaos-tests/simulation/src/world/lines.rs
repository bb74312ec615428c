//! The simulated network: dialling, frames on their way, lines that end at one end before the other.

use kho_replication::{
    frames::{ChildFrame, ParentFrame},
    intake::{ChildIdentity, Intake, IntakeInput},
    link_time::LinkTime,
    uplink::{LinkFailure, LinkId, UplinkInput},
};
use kho_storage::ids::{NodeId, SiteId};

use super::World;
use crate::{
    agenda::{Event, LineNo, Reign},
    counts::{Fault, Step},
    line::{Caller, Line, Way},
    tree,
};

/// Between two ticks of an intake, as in `node/src/children.rs`.
const INTAKE_TICK_MS: u64 = 500;
/// What was said last has so long to arrive before the parent closes.
const CLOSE_GRACE_MS: u64 = 300;
/// The longest until an end notices that the other is gone.
const NOTICE_MS_MAX: u64 = 2_500;

impl World {
    pub(super) fn dials(&mut self, id: SiteId, reign: Reign, link: LinkId, parent: SiteId, addresses: &[String]) {
        self.counts.step(if addresses.len() == 1 { Step::Redialled } else { Step::Dialled });
        let reachable = self.is_reachable(id, parent);
        let down = self.site(parent).down.clone();
        let found = addresses
            .iter()
            .filter_map(|address| tree::node_at(address))
            .find(|(site, node)| reachable && *site == parent && !down.contains(node));
        let Some((_, node)) = found else {
            let ms = self.dice.between(50, 1_000);
            return self.after(ms, Event::DialFails { site: id, reign, link });
        };
        let number = self.opens_line(id, Caller::Uplink { reign, link, open: true, heard_until: LinkTime(0) }, parent, node);
        if let Some(leader) = self.site(id).leader_of(reign) {
            leader.lines.insert(link, number);
        }
    }

    pub(super) fn is_reachable(&self, from: SiteId, to: SiteId) -> bool {
        !self.sites[from.0 as usize - 1].cut_off && !self.sites[to.0 as usize - 1].cut_off
    }

    pub(super) fn opens_line(&mut self, child: SiteId, caller: Caller, parent: SiteId, node: NodeId) -> LineNo {
        self.last_line = LineNo(self.last_line.0 + 1);
        let number = self.last_line;
        let line = Line { child, caller, parent, node, intake: None, broken: false, up: Way::default(), down: Way::default(), slow_ms: 0 };
        self.lines.insert(number, line);
        let ms = self.dice.between(1, 2 * self.plan.latency_ms_max);
        self.after(ms, Event::Opens(number));
        number
    }

    pub(super) fn opens(&mut self, number: LineNo) {
        let now = self.now;
        let Some(line) = self.lines.get(&number) else { return };
        let (child, parent, node) = (line.child, line.parent, line.node);
        let stands = line.child_listens() && !line.broken && self.is_reachable(child, parent) && !self.site(parent).down.contains(&node);
        if !stands {
            return self.child_notices(number);
        }
        let child_node = match &self.lines[&number].caller {
            Caller::Uplink { .. } => self.site(child).leader.as_ref().map_or(NodeId(1), |leader| leader.node),
            Caller::Stranger { .. } => NodeId(tree::NODES),
        };
        if self.lines.values().any(|other| other.child == child && other.parent == parent && other.intake.is_some()) {
            self.counts.fault(Fault::TwoLines);
        }
        let (register, signed) = self.registers_of(parent);
        let leader = self.site(parent).leader_as_seen_by(node);
        let intake = Intake::new(self.plan.intake, parent, ChildIdentity { site: child, node: child_node }, register, signed, leader, now);
        let Some(line) = self.lines.get_mut(&number) else { return };
        line.intake = Some(intake);
        match self.listener(&self.lines[&number]) {
            Some((site, reign, link)) => self.notify_uplink(site, reign, UplinkInput::LinkOpened { link }),
            None => self.stranger_greets(number),
        }
    }

    pub(super) fn sends_up(&mut self, number: LineNo, bytes: Vec<u8>) {
        if let Some(at) = self.on_its_way(number, bytes, |line| &mut line.up) {
            self.agenda.add(at, Event::Up(number));
        }
    }

    pub(super) fn sends_down(&mut self, number: LineNo, bytes: Vec<u8>) {
        if let Some(at) = self.on_its_way(number, bytes, |line| &mut line.down) {
            self.agenda.add(at, Event::Down(number));
        }
    }

    /// A frame leaves; says when it arrives, never before one that left earlier.
    fn on_its_way(&mut self, number: LineNo, bytes: Vec<u8>, way: impl Fn(&mut Line) -> &mut Way) -> Option<LinkTime> {
        let ms = self.dice.between(1, self.plan.latency_ms_max);
        let now = self.now;
        let line = self.lines.get_mut(&number).filter(|line| !line.broken)?;
        let at = now.after_ms(ms + line.slow_ms);
        let way = way(line);
        way.frames.push_back(bytes);
        way.last_at = way.last_at.max(at);
        Some(way.last_at)
    }

    pub(super) fn arrives_up(&mut self, number: LineNo) {
        let Some(line) = self.lines.get_mut(&number) else { return };
        let Some(bytes) = line.up.frames.pop_front() else { return };
        if line.intake.is_none() {
            return;
        }
        if !line.child_listens() {
            self.counts.fault(Fault::LateFrame);
        }
        let input = match ChildFrame::decode(&bytes) {
            Ok(frame) => IntakeInput::FrameReceived(frame),
            Err(error) => IntakeInput::FrameRefused(error),
        };
        self.notify_intake(number, input);
    }

    pub(super) fn arrives_down(&mut self, number: LineNo) {
        let Some(line) = self.lines.get_mut(&number) else { return };
        let Some(bytes) = line.down.frames.pop_front() else { return };
        let frame = ParentFrame::decode(&bytes)
            .unwrap_or_else(|error| self.violated(format!("an intake made a frame that can't be read: {error}")));
        let line = &self.lines[&number];
        let (parent, listener) = (line.parent, self.listener(line));
        match listener {
            None => self.hears_late(number, frame),
            Some((site, reign, link)) => {
                if matches!(frame, ParentFrame::Adopted { .. }) && self.is_killed_at(site, Fault::CrashBeforeAnswerHeard) {
                    return;
                }
                if matches!(frame, ParentFrame::Welcome(_)) {
                    self.note_welcome(site, parent);
                }
                self.notify_uplink(site, reign, UplinkInput::FrameReceived { link, frame });
            }
        }
    }

    /// A frame for a child's end that has hung up: its node may still have it in a queue.
    fn hears_late(&mut self, number: LineNo, frame: ParentFrame) {
        let line = &self.lines[&number];
        match line.caller {
            Caller::Uplink { reign, link, heard_until, .. } => {
                if self.now <= heard_until {
                    self.counts.fault(Fault::OldAnswer);
                    self.notify_uplink(line.child, reign, UplinkInput::FrameReceived { link, frame });
                }
            }
            Caller::Stranger { .. } => self.stranger_hears(number, &frame),
        }
    }

    /// The child hangs up. What it sent still arrives; the parent notices later.
    pub(super) fn child_leaves(&mut self, number: LineNo) {
        let ms = self.dice.between(1, NOTICE_MS_MAX);
        let now = self.now;
        let Some(line) = self.lines.get_mut(&number) else { return };
        line.child_left(now);
        let last_at = line.up.last_at.max(now).after_ms(ms);
        self.agenda.add(last_at, Event::ParentNotices(number));
    }

    /// The parent closes. What it said still arrives.
    pub(super) fn parent_closes(&mut self, number: LineNo) {
        let now = self.now;
        let Some(line) = self.lines.get(&number) else { return };
        let last_at = line.down.last_at.max(now).after_ms(CLOSE_GRACE_MS);
        self.agenda.add(last_at, Event::ChildNotices(number));
    }

    /// The line breaks: of what is under way a first part still arrives, and each end notices in its time.
    pub(super) fn breaks(&mut self, number: LineNo) {
        let (up_ms, down_ms) = (self.dice.between(1, NOTICE_MS_MAX), self.dice.between(1, NOTICE_MS_MAX));
        let Some(line) = self.lines.get_mut(&number) else { return };
        line.broken = true;
        let mut lost = 0;
        for way in [&mut line.up, &mut line.down] {
            let arriving = self.dice.between(0, way.frames.len() as u64) as usize;
            lost += way.frames.len() - arriving;
            way.frames.truncate(arriving);
        }
        for _ in 0..lost {
            self.counts.fault(Fault::FrameLost);
        }
        self.after(up_ms, Event::ParentNotices(number));
        self.after(down_ms, Event::ChildNotices(number));
    }

    pub(super) fn parent_notices(&mut self, number: LineNo) {
        if let Some(line) = self.lines.get_mut(&number) {
            line.intake = None;
            line.up.frames.clear();
            let child_is_there = line.child_listens();
            if !child_is_there {
                self.lines.remove(&number);
            }
        }
    }

    pub(super) fn child_notices(&mut self, number: LineNo) {
        let now = self.now;
        let Some(line) = self.lines.get_mut(&number) else { return };
        line.down.frames.clear();
        let listener = match &line.caller {
            Caller::Uplink { reign, link, open: true, .. } => Some((line.child, *reign, *link)),
            _ => None,
        };
        line.child_left(now);
        line.broken = true;
        if line.intake.is_none() || matches!(line.caller, Caller::Stranger { .. }) {
            self.lines.remove(&number);
        } else {
            self.after(1, Event::ParentNotices(number));
        }
        if let Some((site, reign, link)) = listener {
            if let Some(leader) = self.site(site).leader_of(reign) {
                leader.lines.remove(&link);
            }
            self.notify_uplink(
                site,
                reign,
                UplinkInput::LinkLost { link, failure: LinkFailure::ConnectionLost { detail: "the link ended".into() } },
            );
        }
    }

    /// Lines that end at the site, at either end.
    pub(super) fn lines_of(&self, id: SiteId) -> Vec<LineNo> {
        self.lines.iter().filter(|(_, line)| line.child == id || line.parent == id).map(|(number, _)| *number).collect()
    }

    /// Ticks the intakes of a site's nodes.
    pub(super) fn tick_intakes(&mut self, id: SiteId) {
        if self.now.0 % INTAKE_TICK_MS >= super::TICK_MS {
            return;
        }
        let lines: Vec<_> = self
            .lines
            .iter()
            .filter(|(_, line)| line.parent == id && line.intake.is_some())
            .map(|(number, line)| (*number, line.node))
            .collect();
        for (number, node) in lines {
            let leader = self.site(id).leader_as_seen_by(node);
            self.notify_intake(number, IntakeInput::LeaderChanged(leader));
            self.notify_intake(number, IntakeInput::Tick);
        }
    }
}
