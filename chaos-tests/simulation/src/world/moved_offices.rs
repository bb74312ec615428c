//! Offices that move: all nodes of a site have other addresses from one moment to the next.
//!
//! Inside the site the nodes find each other again by what an operator wrote into their configurations
//! (`node/src/consensus/addresses.rs`); here that takes a restart. What the simulation shows is the tree around the site: its children dial
//! addresses at which nobody answers until they have the next register.

use kho_storage::ids::SiteId;

use super::World;
use crate::{
    agenda::Event,
    counts::{Fault, Step},
    tree,
};

/// How long operators take until they have given the next register to the children of a site that moved.
const BY_HAND_MS: (u64, u64) = (500, 6_000);
/// Between two attempts to give a register to a site without a leader.
const RETRY_MS: u64 = 500;

impl World {
    /// All nodes of a site stop and start again at other addresses. Its entry in the register is changed as usual.
    pub(super) fn move_office(&mut self, id: SiteId) {
        // Who issues the next register has the newest.
        if self.site(tree::CENTRE).register_version() < self.parents.version() {
            return;
        }
        self.counts.fault(Fault::SiteMoved);
        self.parents = self.parents.relocated(id);
        self.issued = self.issue();
        self.counts.fault(Fault::RootsChanged);
        let (version, relocations) = (self.parents.version(), self.parents.relocations_of(id));
        self.note(|| format!("-- register {version}: {} has moved {relocations} times", tree::name(id)));
        self.apply_registers(tree::CENTRE);
        self.site(id).relocations = relocations;
        self.restart_site(id);
        for child in self.parents.children_of(id) {
            let ms = self.dice.between(BY_HAND_MS.0, BY_HAND_MS.1);
            self.after(ms, Event::RegisterByHand(child));
        }
    }

    /// An operator applies the newest register at a site that may not have it yet.
    pub(super) fn register_by_hand(&mut self, id: SiteId) {
        if self.site(id).register_version() >= self.parents.version() {
            return;
        }
        if self.site(id).leader.is_none() {
            return self.after(RETRY_MS, Event::RegisterByHand(id));
        }
        self.counts.step(Step::RegisterByHand);
        self.apply_registers(id);
    }
}
