//! Nodes that are replaced, and nodes that come back with their old data after they were removed.
//!
//! Invariant: what a removed node sends changes nothing, whether it proposes, appends, votes or sends a snapshot.

use kho_node::consensus::Subject;
use kho_storage::{
    command::Command,
    ids::{NodeId, SiteId},
};

use super::World;
use crate::{
    counts::{Fault, Step},
    members::RemovedNode,
    tree,
};

/// What a node asks others for that takes itself for a member, or for the leader.
const SUBJECTS: [Subject; 4] = [Subject::Propose, Subject::AppendEntries, Subject::Vote, Subject::Snapshot];

impl World {
    /// A follower is removed for good, and a fresh node takes its place.
    pub(super) fn replace_node(&mut self, id: SiteId) {
        let site = self.site(id);
        let Some(leader) = site.leader.as_ref().map(|leader| leader.node) else { return };
        let followers: Vec<NodeId> = site.members.nodes().iter().copied().filter(|node| *node != leader).collect();
        let node = self.dice.pick(&followers);
        let site = self.site(id);
        if site.members.nodes().iter().any(|other| *other != node && !site.is_up(*other)) {
            // No majority would be left without it.
            return;
        }
        let (image, position) = (site.disk.images().next_back().cloned(), site.disk.entries() as u64);
        let Some(fresh) = site.members.replace(RemovedNode { node, image }, position) else { return };
        self.counts.fault(Fault::NodeReplaced);
        self.note(|| format!("-- {}: node {node} is removed and node {fresh} takes its place", tree::name(id)));
        let site = self.site(id);
        site.damaged = site.damaged.take().filter(|damaged| damaged.node != node);
        self.stop_node(id, node);
    }

    /// A removed node acts as the member, or the leader, that it once was.
    pub(super) fn removed_node_acts(&mut self, id: SiteId) {
        let count = self.site(id).members.removed.len() as u64;
        if count == 0 {
            return;
        }
        let (place, subject) = (self.dice.below(count) as usize, self.dice.pick(&SUBJECTS));
        let removed = self.site(id).members.removed[place].clone();
        self.counts.fault(Fault::RemovedNodeReturned);
        self.note(|| format!("-- {}: removed node {} comes back: {subject:?}", tree::name(id), removed.node));
        let before = self.what_stands(id);
        if self.site(id).members.admits(subject, removed.node) {
            self.obey(id, &removed, subject);
        }
        if self.what_stands(id) != before {
            self.violated(format!("{}: node {} was removed, and its {subject:?} changed something", tree::name(id), removed.node));
        }
        self.counts.step(Step::RemovedNodeRefused);
    }

    /// The site does what the node wants.
    fn obey(&mut self, id: SiteId, removed: &RemovedNode, subject: Subject) {
        match (subject, &removed.image) {
            (Subject::Propose, _) => {
                self.commit_now(id, &Command::Trim { keep_bytes: 0 });
            }
            (Subject::Vote, _) => self.elect(id, removed.node),
            // Entries and snapshots of an old leader replace what followed them.
            (_, Some(image)) => {
                if let Err(why) = self.site(id).disk.roll_back(image) {
                    self.violated(why);
                }
            }
            (_, None) => {}
        }
    }

    /// How long the site's log is, who leads, and in which term.
    fn what_stands(&mut self, id: SiteId) -> (usize, Option<NodeId>, u64) {
        let site = self.site(id);
        (site.disk.entries(), site.leader.as_ref().map(|leader| leader.node), site.last_term.0)
    }
}
