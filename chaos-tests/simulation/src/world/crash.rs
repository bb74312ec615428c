//! Processes that end: a leader alone, or every node of a site. Machines live in memory and are gone; what was committed is not.

use kho_replication::{link_time::LinkTime, uplink::UplinkInput};
use kho_storage::ids::{NodeId, SiteId};

use super::World;
use crate::{
    agenda::{Event, LinkNo},
    counts::Fault,
    disk::Image,
    link::Caller,
    tree,
};

/// How long a site is without a leader.
const ELECTION_MS: (u64, u64) = (150, 1_500);
/// How long a node is down.
const DOWN_MS: (u64, u64) = (500, 4_000);

impl World {
    /// At a point where a process may be killed: it is, now and then.
    pub(super) fn is_killed_at(&mut self, id: SiteId, point: Fault) -> bool {
        if !self.comes_once_in(self.plan.crash_one_in) || self.site(id).leader.is_none() {
            return false;
        }
        self.counts.fault(point);
        self.note(|| format!("-- {}: {}", tree::name(id), point.text()));
        if self.dice.chance(1, 2) {
            self.kill_leader(id);
        } else {
            self.restart_site(id);
        }
        true
    }

    pub(super) fn kill_leader(&mut self, id: SiteId) {
        let Some(leader) = self.site(id).leader.take() else { return };
        self.counts.fault(Fault::LeaderCrashed);
        self.site(id).clock.process_ended();
        self.stop_node(id, leader.node);
        self.await_election(id);
    }

    /// The leader's disk fails. The leader answers every request with `Stopping`, and stops soon.
    pub(super) fn fail_writes(&mut self, id: SiteId) {
        let Some(leader) = self.site(id).leader.as_mut() else { return };
        leader.stops = true;
        let term = leader.term;
        self.counts.fault(Fault::DiskFailed);
        self.note(|| format!("-- {}: the leader's disk fails", tree::name(id)));
        let ms = self.dice.between(1, 800);
        self.after(ms, Event::Stops { site: id, term });
    }

    /// Whether the site's leader is about to stop.
    pub(super) fn stops(&mut self, id: SiteId) -> bool {
        self.site(id).leader.as_ref().is_some_and(|leader| leader.stops)
    }

    /// The leader steps down in good order: its machines send a goodbye.
    pub(super) fn change_leader(&mut self, id: SiteId) {
        let Some(term) = self.site(id).term() else { return };
        self.counts.fault(Fault::LeaderStepped);
        self.note(|| format!("-- {}: the leader steps down", tree::name(id)));
        self.notify_uplink(id, term, UplinkInput::LostLeadership);
        self.site(id).leader = None;
        // A successor to which leadership was handed over leads at once.
        let ms = if self.dice.chance(1, 2) { 5 } else { self.dice.between(ELECTION_MS.0, ELECTION_MS.1) };
        self.after(ms, Event::Elects(id));
    }

    /// A node is down for a while. Links that end at it break.
    pub(super) fn stop_node(&mut self, id: SiteId, node: NodeId) {
        self.note(|| format!("-- {}: node {node} is down", tree::name(id)));
        self.site(id).down.insert(node);
        for number in self.links_of(id) {
            let Some(link) = self.links.get_mut(&number) else { continue };
            if link.parent == id && link.node == node {
                link.intake = None;
                self.breaks(number);
            } else if link.child == id && self.is_orphaned(number, id) {
                self.breaks(number);
                if let Some(link) = self.links.get_mut(&number) {
                    link.child_left(LinkTime(0));
                }
            }
        }
        let ms = self.dice.between(DOWN_MS.0, DOWN_MS.1);
        self.after(ms, Event::NodeReturns(id, node));
    }

    /// Whether the link's child end was held by a leader of `id` that is gone.
    fn is_orphaned(&self, number: LinkNo, id: SiteId) -> bool {
        let Some(link) = self.links.get(&number) else { return false };
        match &link.caller {
            Caller::Uplink { term, open, .. } => *open && self.sites[id.0 as usize - 1].term() != Some(*term),
            Caller::OtherEpoch { .. } => false,
        }
    }

    /// Every process of the site is killed, and starts again from the disks.
    pub(super) fn restart_site(&mut self, id: SiteId) {
        self.counts.fault(Fault::SiteRestarted);
        self.note(|| format!("-- {}: all nodes are killed", tree::name(id)));
        self.end_processes(id);
        if let Err(why) = self.site(id).disk.restart() {
            self.violated(format!("{}: {why}", tree::name(id)));
        }
    }

    pub(super) fn end_processes(&mut self, id: SiteId) {
        let site = self.site(id);
        site.leader = None;
        site.clock.process_ended();
        for node in self.site(id).members.nodes().clone() {
            self.stop_node(id, node);
        }
        self.await_election(id);
    }

    /// A majority of the site's disks comes back as they were when `image` was taken.
    pub(super) fn roll_back(&mut self, id: SiteId, image: &Image) {
        let lost = self.site(id).disk.entries() - image.entries;
        self.note(|| format!("-- {}: the disks come back older by {lost} entries", tree::name(id)));
        self.end_processes(id);
        let site = self.site(id);
        site.life += 1;
        site.order.clear();
        site.damaged = None;
        if let Err(why) = site.disk.roll_back(image) {
            self.violated(format!("{}: {why}", tree::name(id)));
        }
        self.ledger.set_back(id);
        self.note_set_back(id);
    }

    fn await_election(&mut self, id: SiteId) {
        self.site(id).carriers.clear();
        let ms = self.dice.between(ELECTION_MS.0, ELECTION_MS.1);
        self.after(ms, Event::Elects(id));
    }

    pub(super) fn elects(&mut self, id: SiteId) {
        if self.site(id).leader.is_some() {
            return;
        }
        let up = self.site(id).up();
        if up.len() * 2 > self.site(id).members.nodes().len() {
            let node = self.dice.pick(&up);
            self.elect(id, node);
        } else {
            self.await_election(id);
        }
    }
}
