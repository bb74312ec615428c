//! Leaders whose disks are damaged: from the next change of a damaged row on they compute another digest than their site.
//!
//! ```text
//!   a row damaged ──▶ a batch changes it ──▶ a head is due ──▶ agreed? ──▶ the head enters the log
//!                                                                └─ no ──▶ noted, leads no more ──▶ an operator replaces it
//! ```
//! The damaged node applies every entry to a warehouse of its own. Whether a head may enter the log is decided by what a real leader asks the
//! members for (`node/src/consensus/agreement.rs`).
//!
//! Invariant: no head enters the log that honest nodes can't apply (`World::apply_next` ends the run there), and honest heads go on.

use std::collections::{BTreeMap, BTreeSet};

use kho_node::consensus::{Agreement, judge_agreement};
use kho_storage::{
    command::{Command, DivergedPlace},
    ids::{NodeId, OriginId, SiteId, TableId},
    stream::Head,
    warehouse::{AppliedMark, Warehouse},
};

use super::World;
use crate::{
    agenda::Event,
    counts::{Fault, Step},
    dice::Dice,
    members::RemovedNode,
    plan,
    site::DamagedNode,
    tree,
};

/// Between two damages.
const PAUSE_MS: (u64, u64) = (500, 2_000);
const PERSON: TableId = TableId(2);

/// Whether disks are damaged, and which. Drawn apart: what runs without it draw stays the same.
pub(super) struct Damages {
    dice: Dice,
    are_due: bool,
}

impl Damages {
    pub fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed.rotate_left(48)), are_due: seed % plan::DAMAGED_ONE_IN == plan::DAMAGED_REMAINDER }
    }

    pub fn are_due(&self) -> bool {
        self.are_due
    }
}

impl World {
    pub(super) fn begin_damaging(&mut self) {
        if self.damages.are_due {
            self.after(PAUSE_MS.1, Event::DamagesLeader);
        }
    }

    pub(super) fn damages_leader(&mut self) {
        if self.healing {
            return;
        }
        let id = self.damages.dice.pick(&tree::AUTHORS);
        let place = self.damages.dice.below(u64::from(u32::MAX)) as usize;
        self.replace_diverged(id);
        self.damage_leader(id, place);
        let ms = self.damages.dice.between(PAUSE_MS.0, PAUSE_MS.1);
        self.after(ms, Event::DamagesLeader);
    }

    /// One node of three: a majority computes what it should.
    fn damage_leader(&mut self, id: SiteId, place: usize) {
        let origin = OriginId(id.0);
        let site = self.site(id);
        let Some(node) = site.leader.as_ref().map(|leader| leader.node) else { return };
        if site.damaged.is_some() || site.members.nodes().iter().any(|member| site.diverged.contains(member)) {
            return;
        }
        let rows = older_rows(&site.disk.warehouse, origin);
        let Some((key, cells)) = rows.get(place % rows.len().max(1)) else { return };
        let warehouse = site.disk.warehouse.copy_in_memory().expect("a warehouse in memory");
        warehouse.tamper_with_row(origin, PERSON, key, cells).expect("a memory does not fail");
        site.damaged = Some(DamagedNode { node, warehouse });
        self.counts.fault(Fault::LeaderDamaged);
        self.note(|| format!("-- {}: the disk of node {node}, which leads, is damaged", tree::name(id)));
    }

    /// The damaged node applies what its site has just applied. One that can't stops.
    pub(super) fn apply_at_damaged_node(&mut self, id: SiteId, command: &Command) {
        let Some(damaged) = &self.site(id).damaged else { return };
        let (node, applied) = (damaged.node, damaged.warehouse.apply(&AppliedMark::default(), Some(command)));
        if applied.is_err() {
            self.after(1, Event::DivergedStops(id, node));
        }
    }

    pub(super) fn diverged_stops(&mut self, id: SiteId, node: NodeId) {
        if self.site(id).damaged.as_ref().is_some_and(|damaged| damaged.node == node) {
            self.leaves_as_diverged(id);
        }
    }

    /// Whether the head that the leader wants to propose may enter the log, as `Consensus::agree_on_head` decides. Who differs from a majority
    /// takes part no more.
    pub(super) fn agrees_on_head(&mut self, id: SiteId, head: &Head) -> bool {
        let site = self.site(id);
        let (Some(leader), Some(damaged)) = (&site.leader, &site.damaged) else { return true };
        let (leader, damaged) = (leader.node, damaged.node);
        let place = |node| site.computed_by(node).digest_at(head.origin, head.epoch, head.seq).expect("a memory does not fail");
        let Some(own) = place(leader) else { return false };
        let computed: BTreeMap<u64, _> = site.up().into_iter().filter_map(|node| Some((node.0, place(node)?))).collect();
        let voters: BTreeSet<u64> = site.members.nodes().iter().map(|node| node.0).collect();
        match judge_agreement(&computed, own, &[voters]) {
            Agreement::Agreed { differing } => {
                if differing.contains(&damaged) {
                    self.leaves_as_diverged(id);
                }
                true
            }
            Agreement::Outvoted => {
                self.counts.step(Step::HeadOutvoted);
                self.leaves_as_diverged(id);
                false
            }
            Agreement::Open { .. } => false,
        }
    }

    /// The damaged node is noted in the site's log, and takes part no more.
    fn leaves_as_diverged(&mut self, id: SiteId) {
        let Some(DamagedNode { node, warehouse }) = self.site(id).damaged.take() else { return };
        self.counts.step(Step::DivergedLeft);
        self.note(|| format!("-- {}: node {node} computed something else and takes part no more", tree::name(id)));
        self.site(id).diverged.insert(node);
        let origin = OriginId(id.0);
        let held = warehouse.origin(origin).expect("a memory does not fail").expect("a row of it was damaged");
        let leads = self.site(id).leader.as_ref().map(|leader| leader.node == node);
        if leads.is_some() {
            let place = DivergedPlace::Stream { origin, seq: held.last() };
            let site_time = self.clock(id);
            self.commit_now(id, &Command::NoteDiverged { site_time, node, disk: node.0, place });
        }
        if leads == Some(true) {
            self.kill_leader(id);
        } else {
            self.stop_node(id, node);
        }
    }

    /// The way out for the operator, as long as the tree has keys for another node.
    fn replace_diverged(&mut self, id: SiteId) {
        let site = self.site(id);
        let Some(node) = site.members.nodes().iter().copied().find(|member| site.diverged.contains(member)) else { return };
        if site.leader.is_none() {
            return;
        }
        let position = site.disk.entries() as u64;
        let Some(fresh) = site.members.replace(RemovedNode { node, image: None }, position) else { return };
        self.counts.step(Step::DivergedReplaced);
        self.note(|| format!("-- {}: node {node} is removed and node {fresh} takes its place", tree::name(id)));
    }
}

/// Rows of a site's own that an earlier batch than the newest wrote: keys and cells.
fn older_rows(warehouse: &Warehouse, origin: OriginId) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some(state) = warehouse.origin(origin).expect("a memory does not fail") else { return Vec::new() };
    let mut rows = Vec::new();
    let read = warehouse.read(|view| {
        view.rows(origin, &state, PERSON, &[], |key, row| {
            if row.seq < state.last() {
                rows.push((key.to_vec(), row.cells.to_vec()));
            }
            Ok(true)
        })
    });
    read.expect("a memory does not fail");
    rows
}
