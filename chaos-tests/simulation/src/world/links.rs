//! The simulated network: dialling, frames in flight, and links that end at one end before the other.

use kho_replication::{
    frames::{ChildFrame, ParentFrame},
    intake::{ChildIdentity, Intake, IntakeConfig, IntakeInput, IntakePhase},
    link_time::LinkTime,
    site_clock::Neighbour,
    uplink::{LinkFailure, LinkId, UplinkInput},
};
use kho_storage::ids::{NodeId, SiteId};

use super::World;
use crate::{
    agenda::{Event, LinkNo, Term},
    counts::{Fault, Step},
    link::{Caller, Link, Way},
    tree,
};

/// Between two ticks of an intake, as in `node/src/intake_driver.rs`.
const INTAKE_TICK_MS: u64 = 500;
/// The last frames have this long to arrive before the parent closes the link.
const CLOSE_GRACE_MS: u64 = 300;
/// The longest time until one end detects that the other is gone.
const DETECTION_MS_MAX: u64 = 2_500;

impl World {
    pub(super) fn dials(&mut self, id: SiteId, term: Term, link_id: LinkId, parent: SiteId, addresses: &[String]) {
        self.counts.step(if addresses.len() == 1 { Step::Redialled } else { Step::Dialled });
        let reachable = self.is_reachable(id, parent);
        let site = self.site(parent);
        let up = site.up();
        let found = addresses.iter().filter_map(|address| site.node_at(address)).find(|node| reachable && up.contains(node));
        let Some(node) = found else {
            let ms = self.dice.between(50, 1_000);
            return self.after(ms, Event::DialFails { site: id, term, link_id });
        };
        let number = self.opens_link(id, Caller::Uplink { term, link_id, open: true, queued_until: LinkTime(0) }, parent, node);
        if let Some(leader) = self.site(id).leader_in(term) {
            leader.links.insert(link_id, number);
        }
    }

    pub(super) fn is_reachable(&self, from: SiteId, to: SiteId) -> bool {
        !self.sites[from.0 as usize - 1].cut_off && !self.sites[to.0 as usize - 1].cut_off
    }

    pub(super) fn opens_link(&mut self, child: SiteId, caller: Caller, parent: SiteId, node: NodeId) -> LinkNo {
        self.last_link = LinkNo(self.last_link.0 + 1);
        let number = self.last_link;
        let link = Link { child, caller, parent, node, intake: None, broken: false, up: Way::default(), down: Way::default(), slow_ms: 0 };
        self.links.insert(number, link);
        let ms = self.dice.between(1, 2 * self.plan.latency_ms_max);
        self.after(ms, Event::Opens(number));
        number
    }

    pub(super) fn opens(&mut self, number: LinkNo) {
        let now = self.now;
        let Some(link) = self.links.get(&number) else { return };
        let (child, parent, node) = (link.child, link.parent, link.node);
        let stands = link.child_receives() && !link.broken && self.is_reachable(child, parent) && self.site(parent).is_up(node);
        if !stands {
            return self.child_detects_loss(number);
        }
        let child_node = match &self.links[&number].caller {
            Caller::Uplink { .. } => self.site(child).leader.as_ref().map_or(NodeId(1), |leader| leader.node),
            Caller::OtherEpoch { .. } => NodeId(tree::NODES),
        };
        if self.links.values().any(|other| other.child == child && other.parent == parent && other.intake.is_some()) {
            self.counts.fault(Fault::TwoLinks);
        }
        let (register, chain) = self.registers_of(parent);
        let leader = self.site(parent).leader_as_seen_by(node);
        let config = IntakeConfig { levels: self.site(parent).disk.warehouse.level_offer(), ..self.plan.intake };
        let intake = Intake::new(config, parent, ChildIdentity { site: child, node: child_node }, register, chain, leader, now);
        let Some(link) = self.links.get_mut(&number) else { return };
        link.intake = Some(intake);
        match self.receiver_of(&self.links[&number]) {
            Some((site, term, link_id)) => self.notify_uplink(site, term, UplinkInput::LinkOpened { link: link_id }),
            None => self.greet_from_other_epoch(number),
        }
    }

    pub(super) fn send_up(&mut self, number: LinkNo, bytes: Vec<u8>) {
        if let Some(at) = self.put_in_flight(number, bytes, |link| &mut link.up) {
            self.agenda.add(at, Event::Up(number));
        }
    }

    pub(super) fn send_down(&mut self, number: LinkNo, bytes: Vec<u8>) {
        if let Some(at) = self.put_in_flight(number, bytes, |link| &mut link.down) {
            self.agenda.add(at, Event::Down(number));
        }
    }

    /// Sends a frame and returns when it arrives. It never arrives before a frame that was sent earlier.
    fn put_in_flight(&mut self, number: LinkNo, bytes: Vec<u8>, way: impl Fn(&mut Link) -> &mut Way) -> Option<LinkTime> {
        let ms = self.dice.between(1, self.plan.latency_ms_max);
        let now = self.now;
        let link = self.links.get_mut(&number).filter(|link| !link.broken)?;
        let at = now.after_ms(ms + link.slow_ms);
        let way = way(link);
        way.frames.push_back(bytes);
        way.last_at = way.last_at.max(at);
        Some(way.last_at)
    }

    pub(super) fn arrives_up(&mut self, number: LinkNo) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(bytes) = link.up.frames.pop_front() else { return };
        if link.intake.is_none() {
            return;
        }
        if !link.child_receives() {
            self.counts.fault(Fault::LateFrame);
        }
        let input = match ChildFrame::decode(&bytes) {
            Ok(frame) => IntakeInput::FrameReceived(frame),
            Err(error) => IntakeInput::FrameRefused(error),
        };
        self.notify_intake(number, input);
    }

    pub(super) fn arrives_down(&mut self, number: LinkNo) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(bytes) = link.down.frames.pop_front() else { return };
        let frame = ParentFrame::decode(&bytes)
            .unwrap_or_else(|error| self.violated(format!("an intake made a frame that can't be read: {error}")));
        let link = &self.links[&number];
        let (parent, receiver) = (link.parent, self.receiver_of(link));
        match receiver {
            None => self.receives_late(number, frame),
            Some((site, term, link_id)) => {
                if matches!(frame, ParentFrame::Adopted { .. }) && self.is_killed_at(site, Fault::CrashBeforeAnswerReceived) {
                    return;
                }
                if matches!(frame, ParentFrame::Welcome(_)) {
                    self.note_welcome(site, parent);
                }
                self.notify_uplink(site, term, UplinkInput::FrameReceived { link: link_id, frame });
            }
        }
    }

    /// A frame for a child's end that has disconnected: its node may still have the frame in a queue.
    fn receives_late(&mut self, number: LinkNo, frame: ParentFrame) {
        let link = &self.links[&number];
        match link.caller {
            Caller::Uplink { term, link_id, queued_until, .. } => {
                if self.now <= queued_until {
                    self.counts.fault(Fault::OldAnswer);
                    self.notify_uplink(link.child, term, UplinkInput::FrameReceived { link: link_id, frame });
                }
            }
            Caller::OtherEpoch { .. } => self.receive_in_other_epoch(number, &frame),
        }
    }

    /// The child disconnects. What it sent still arrives; the parent detects the loss later.
    pub(super) fn child_leaves(&mut self, number: LinkNo) {
        let ms = self.dice.between(1, DETECTION_MS_MAX);
        let now = self.now;
        let Some(link) = self.links.get_mut(&number) else { return };
        link.child_left(now);
        let last_at = link.up.last_at.max(now).after_ms(ms);
        self.agenda.add(last_at, Event::ParentDetectsLoss(number));
    }

    /// The parent closes the link. What it sent still arrives.
    pub(super) fn parent_closes(&mut self, number: LinkNo) {
        let now = self.now;
        let Some(link) = self.links.get(&number) else { return };
        let last_at = link.down.last_at.max(now).after_ms(CLOSE_GRACE_MS);
        self.agenda.add(last_at, Event::ChildDetectsLoss(number));
    }

    /// The link breaks. The first part of what is in flight still arrives, and each end detects the loss at a time of its own.
    pub(super) fn breaks(&mut self, number: LinkNo) {
        let (up_ms, down_ms) = (self.dice.between(1, DETECTION_MS_MAX), self.dice.between(1, DETECTION_MS_MAX));
        let Some(link) = self.links.get_mut(&number) else { return };
        link.broken = true;
        let mut lost = 0;
        for way in [&mut link.up, &mut link.down] {
            let arriving = self.dice.between(0, way.frames.len() as u64) as usize;
            lost += way.frames.len() - arriving;
            way.frames.truncate(arriving);
        }
        for _ in 0..lost {
            self.counts.fault(Fault::FrameLost);
        }
        self.after(up_ms, Event::ParentDetectsLoss(number));
        self.after(down_ms, Event::ChildDetectsLoss(number));
    }

    pub(super) fn parent_detects_loss(&mut self, number: LinkNo) {
        if let Some(link) = self.links.get_mut(&number) {
            link.intake = None;
            link.up.frames.clear();
            let child_receives = link.child_receives();
            if !child_receives {
                self.links.remove(&number);
            }
        }
    }

    pub(super) fn child_detects_loss(&mut self, number: LinkNo) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&number) else { return };
        link.down.frames.clear();
        let receiver = match &link.caller {
            Caller::Uplink { term, link_id, open: true, .. } => Some((link.child, *term, *link_id)),
            _ => None,
        };
        link.child_left(now);
        link.broken = true;
        if link.intake.is_none() || matches!(link.caller, Caller::OtherEpoch { .. }) {
            self.links.remove(&number);
        } else {
            self.after(1, Event::ParentDetectsLoss(number));
        }
        if let Some((site, term, link_id)) = receiver {
            if let Some(leader) = self.site(site).leader_in(term) {
                leader.links.remove(&link_id);
            }
            self.notify_uplink(
                site,
                term,
                UplinkInput::LinkLost { link: link_id, failure: LinkFailure::ConnectionLost { detail: "the link ended".into() } },
            );
        }
    }

    /// Links that end at the site, at either end.
    pub(super) fn links_of(&self, id: SiteId) -> Vec<LinkNo> {
        self.links.iter().filter(|(_, link)| link.child == id || link.parent == id).map(|(number, _)| *number).collect()
    }

    /// Ticks the intakes of a site's nodes.
    pub(super) fn tick_intakes(&mut self, id: SiteId) {
        if self.now.0 % INTAKE_TICK_MS >= super::TICK_MS {
            return;
        }
        let links: Vec<_> = self
            .links
            .iter()
            .filter(|(_, link)| link.parent == id && link.intake.is_some())
            .map(|(number, link)| (*number, link.node))
            .collect();
        for (number, node) in links {
            let leader = self.site(id).leader_as_seen_by(node);
            self.notify_intake(number, IntakeInput::LeaderChanged(leader));
            self.notify_intake(number, IntakeInput::Tick);
        }
    }

    /// Both ends of the links that a site holds to its parents say what their clocks show, as `node/src/uplink_driver.rs` and
    /// `node/src/intake_driver.rs` do. That takes no time here.
    pub(super) fn exchange_clocks(&mut self, id: SiteId) {
        let now = self.now;
        let stands = |link: &Link| {
            link.child == id
                && !link.broken
                && link.child_receives()
                && matches!(link.caller, Caller::Uplink { .. })
                && link.intake.as_ref().is_some_and(|intake| intake.phase() == IntakePhase::Open)
        };
        let parents: Vec<SiteId> = self.links.values().filter(|link| stands(link)).map(|link| link.parent).collect();
        for parent in parents {
            let (ours, theirs) = (self.site(id).clock.machine(now), self.site(parent).clock.machine(now));
            self.site(id).hear_clock(Neighbour::Parent, theirs, now);
            self.site(parent).hear_clock(Neighbour::Other, ours, now);
        }
    }
}
