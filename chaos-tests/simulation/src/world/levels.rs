//! A tree is upgraded while everything else goes wrong: builds are installed node by node and rolled back, levels are raised from the root
//! down, and what a level brings is tried at every site all the time. What stands in the way at the leader is passed over here: the state
//! itself must refuse it.

use kho_storage::{
    command::Command,
    ids::{OriginId, SiteId},
    level::Level,
};

use super::World;
use crate::{agenda::Event, counts::Fault, dice::Dice, plan, tree};

/// Between two steps of an upgrade.
const PAUSE_MS: (u64, u64) = (40, 160);

/// How far the upgrade of the tree is. It draws apart: what runs without an upgrade draw stays the same.
pub(super) struct Upgrades {
    dice: Dice,
    is_due: bool,
    /// A site that is not upgraded while faults come: in every second run it lies below sites that send to it when it stands in.
    late: Option<SiteId>,
    /// Nodes of each site with the newer build.
    newer: Vec<u64>,
}

impl Upgrades {
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed.rotate_left(32)),
            is_due: seed % plan::UPGRADED_ONE_IN == 1,
            late: (seed % (2 * plan::UPGRADED_ONE_IN) == 1).then_some(tree::Q),
            newer: vec![0; tree::SITES as usize],
        }
    }
}

impl World {
    pub(super) fn begin_upgrades(&mut self) {
        if self.upgrades.is_due {
            self.after(PAUSE_MS.1, Event::Upgrades);
        }
    }

    pub(super) fn upgrades(&mut self) {
        if self.healing {
            return;
        }
        let id = SiteId(self.upgrades.dice.between(1, tree::SITES.into()) as u32);
        match self.upgrades.dice.below(10) {
            0..=4 => self.installs(id),
            5 => self.rolls_back(id),
            6..=7 => self.raises(id),
            _ => self.tries_the_new_level(id),
        }
        let ms = self.upgrades.dice.between(PAUSE_MS.0, PAUSE_MS.1);
        self.after(ms, Event::Upgrades);
    }

    fn level(&mut self, id: SiteId) -> Level {
        self.site(id).disk.warehouse.level()
    }

    fn installs(&mut self, id: SiteId) {
        if self.upgrades.late == Some(id) {
            return;
        }
        let newer = &mut self.upgrades.newer[id.0 as usize - 1];
        *newer = (*newer + 1).min(tree::NODES);
    }

    /// Only before the level is raised: an older build would not start after.
    fn rolls_back(&mut self, id: SiteId) {
        if self.level(id) == Level::FOUNDING && self.upgrades.newer[id.0 as usize - 1] > 0 {
            self.upgrades.newer[id.0 as usize - 1] -= 1;
            self.counts.fault(Fault::BuildRolledBack);
        }
    }

    /// A site whose every node supports the level, and whose parent works at it, is raised.
    fn raises(&mut self, id: SiteId) {
        let parent = self.parents.of(id).first().copied();
        let parent_allows = parent.is_none_or(|parent| self.level(parent) >= Level::TEST);
        let all_support = self.upgrades.newer[id.0 as usize - 1] == tree::NODES;
        if all_support && parent_allows && self.level(id) < Level::TEST && self.site(id).leader.is_some() {
            self.note(|| format!("-- {}: an operator raises the level", tree::name(id)));
            self.commit_now(id, &Command::RaiseLevel { to: Level::TEST });
        }
    }

    fn tries_the_new_level(&mut self, id: SiteId) {
        if self.site(id).leader.is_some() {
            self.commit_now(id, &Command::NoteTest { note: format!("at {}", self.now.0) });
            if tree::AUTHORS.contains(&id) {
                self.enters_the_new_column(id);
            }
        }
    }

    /// What a client of a site that was not raised yet is refused before, the state itself must refuse.
    fn enters_the_new_column(&mut self, id: SiteId) {
        let request = self.clients.submit_of_the_test_level(id, &mut self.upgrades.dice);
        let requests = vec![self.clients.submitted[request].request.clone()];
        let command = Command::Write { site_time: self.clock(id), origin: OriginId(id.0), requests };
        let outcome = self.commit_now(id, &command);
        self.answer_clients(id, &[request], Ok(outcome));
    }

    /// A site that was set back, or is the parent of others now, may lie below one that sends to it: what lies above its level waits.
    /// An operator raises it, from the root down.
    pub(super) fn raises_who_lies_below(&mut self) {
        let raised: Vec<SiteId> = tree::sites().filter(|id| self.level(*id) >= Level::TEST).collect();
        for id in tree::sites() {
            let is_above_one = raised.iter().any(|below| self.parents.above(*below).contains(&id));
            if is_above_one && self.level(id) < Level::TEST {
                self.note(|| format!("-- {}: an operator raises the level", tree::name(id)));
                self.commit_now(id, &Command::RaiseLevel { to: Level::TEST });
            }
        }
    }
}
