//! Injects faults from outside, one after another.

use std::sync::Arc;

use kho_replication::site_clock::ClockStanding;
use kho_storage::{
    command::{Outcome, Refusal},
    ids::{NodeId, OriginId, SiteId},
    register::RegisterChain,
};

use super::World;
use crate::{
    agenda::{Event, LinkNo},
    counts::Fault,
    disk::Image,
    plan::InjectedFault,
    tree,
};

/// How far clocks differ that people take for right, in milliseconds; and how far a clock may jump.
pub const SKEW_MS: (u64, u64) = (1_000, 20_000);
const FAR_OFF_MS: [i64; 4] = [10 * 60_000, 3_600_000, 30 * 86_400_000, 3 * 365 * 86_400_000];
/// How long a clock is far off.
const FAR_OFF_FOR_MS: (u64, u64) = (500, 8_000);

impl World {
    /// Injects the next fault and sets when another one comes.
    pub(super) fn inject_fault(&mut self) {
        if self.healing || self.plan.injected_faults.is_empty() {
            return;
        }
        let fault = self.dice.pick(&self.plan.injected_faults);
        self.inject(fault);
        let ms = self.dice.between(1, 2 * self.plan.fault_interval_ms);
        self.after(ms, Event::InjectFault);
    }

    fn inject(&mut self, fault: InjectedFault) {
        let any = SiteId(self.dice.between(1, u64::from(tree::SITES)) as u32);
        match fault {
            InjectedFault::CutLink => self.cut_some_link(),
            InjectedFault::SlowLink => self.slow_some_link(),
            InjectedFault::CutOffSite => self.cut_off(any),
            InjectedFault::KillLeader => self.kill_leader(any),
            InjectedFault::ChangeLeader => self.change_leader(any),
            InjectedFault::StopNode => self.stop_follower(any),
            InjectedFault::RestartSite => self.restart_site(any),
            InjectedFault::RollBackAdopter => {
                let site = self.dice.pick(&tree::ADOPTERS);
                self.roll_back_some(site);
            }
            InjectedFault::RollBackAuthor => {
                let site = self.dice.pick(&tree::AUTHORS);
                self.roll_back_some(site);
            }
            InjectedFault::FoundAnew => {
                let site = self.dice.pick(&tree::AUTHORS);
                self.found_anew(site);
            }
            InjectedFault::SetClock => self.set_clock(any),
            InjectedFault::SetClockFarOff => self.set_clock_far_off(any),
            InjectedFault::FillDisk => {
                let parent = self.dice.pick(&tree::PARENTS);
                self.counts.fault(Fault::DiskFull);
                self.note(|| format!("-- {}: the disk is full", tree::name(parent)));
                self.site(parent).disk_full = true;
                let ms = self.dice.between(1_000, 6_000);
                self.after(ms, Event::HasSpace(parent));
            }
            InjectedFault::FailReads => {
                let child = self.dice.pick(&tree::CHILDREN);
                self.counts.fault(Fault::DiskUnreadable);
                self.note(|| format!("-- {}: the disk can't be read", tree::name(child)));
                self.site(child).reads_fail = true;
                let ms = self.dice.between(1_000, 4_000);
                self.after(ms, Event::Readable(child));
            }
            InjectedFault::FailWrites => self.fail_writes(any),
            InjectedFault::SwapParents => {
                let site = self.dice.pick(&[tree::A, tree::B, tree::D, tree::P, tree::Q]);
                // Who changes the register looks at what was refused, too.
                self.review_evidence();
                self.swap_parents(site);
            }
            InjectedFault::CrossTransfers => self.cross_transfers(),
            InjectedFault::SendOtherEpoch => {
                self.connect_other_epoch();
                self.bring_off_path();
                self.review_evidence();
            }
            InjectedFault::MoveOffice => self.move_office(any),
            InjectedFault::ReplaceNode => self.replace_node(any),
            InjectedFault::RemovedNodeActs => {
                let with_removed: Vec<SiteId> =
                    self.sites.iter().filter(|site| !site.members.removed.is_empty()).map(|site| site.id).collect();
                if !with_removed.is_empty() {
                    let site = self.dice.pick(&with_removed);
                    self.removed_node_acts(site);
                }
            }
        }
    }

    fn some_link(&mut self) -> Option<LinkNo> {
        let standing: Vec<_> =
            self.links.iter().filter(|(_, link)| link.intake.is_some() && !link.broken).map(|(number, _)| *number).collect();
        if standing.is_empty() { None } else { Some(self.dice.pick(&standing)) }
    }

    fn cut_some_link(&mut self) {
        let Some(number) = self.some_link() else { return };
        self.counts.fault(Fault::LinkCut);
        self.note_link(number, "is cut");
        self.breaks(number);
    }

    fn slow_some_link(&mut self) {
        let Some(number) = self.some_link() else { return };
        self.counts.fault(Fault::LinkSlow);
        self.note_link(number, "is slow");
        let ms = self.dice.between(500, 6_000);
        if let Some(link) = self.links.get_mut(&number) {
            link.slow_ms = ms;
        }
    }

    fn note_link(&mut self, number: LinkNo, what: &str) {
        let ends = self.links.get(&number).map(|link| (link.child, link.parent));
        self.note(|| {
            ends.map_or_else(String::new, |(child, parent)| {
                format!("-- the link from {} to {} {what}", tree::name(child), tree::name(parent))
            })
        });
    }

    fn cut_off(&mut self, id: SiteId) {
        self.counts.fault(Fault::SiteCutOff);
        self.note(|| format!("-- {}: cut off", tree::name(id)));
        self.site(id).cut_off = true;
        for number in self.links_of(id) {
            self.breaks(number);
        }
        let ms = self.dice.between(1_000, 8_000);
        self.after(ms, Event::Reachable(id));
    }

    fn stop_follower(&mut self, id: SiteId) {
        let leader = self.site(id).leader.as_ref().map(|leader| leader.node);
        let up: Vec<NodeId> = self.site(id).up().into_iter().filter(|node| Some(*node) != leader).collect();
        if !up.is_empty() {
            self.counts.fault(Fault::NodeDown);
            let node = self.dice.pick(&up);
            self.stop_node(id, node);
        }
    }

    fn roll_back_some(&mut self, id: SiteId) {
        let images: Vec<Image> = self.site(id).disk.images().cloned().collect();
        if !images.is_empty() {
            let place = self.dice.below(images.len() as u64) as usize;
            self.roll_back(id, &images[place]);
        }
    }

    /// D's stream reaches the region directly and by Q, which was D's parent once and holds less of it; the region's disks come back
    /// older than what either still keeps, so that both transfer it. Until the tree is such, D changes its parents.
    fn cross_transfers(&mut self) {
        let is_direct = self.parents.of(tree::D).first() == Some(&tree::REGION);
        let held_at = |site: SiteId| self.sites[site.0 as usize - 1].disk.origin(OriginId(tree::D.0));
        let (Some(author), Some(carrier)) = (held_at(tree::D), held_at(tree::Q)) else { return self.swap_parents(tree::D) };
        if !is_direct || carrier.next == author.next {
            self.swap_parents(tree::D);
        } else if carrier.next < author.oldest_kept {
            let oldest = self.site(tree::REGION).disk.images().next().cloned();
            oldest.iter().for_each(|image| self.roll_back(tree::REGION, image));
        }
    }

    fn set_clock(&mut self, id: SiteId) {
        let ms = i64::try_from(self.dice.between(SKEW_MS.0, SKEW_MS.1)).unwrap_or(0);
        let ahead = self.dice.chance(1, 2);
        self.counts.fault(if ahead { Fault::ClockAhead } else { Fault::ClockBehind });
        self.skew(id, if ahead { ms } else { -ms });
    }

    /// One clock at a time jumps, for two that are wrong alike would be believed; none before the site has committed anything, and none
    /// where an operator has confirmed a time of the future.
    fn set_clock_far_off(&mut self, id: SiteId) {
        let committed = self.site(id).disk.warehouse.committed_time().expect("a memory does not fail");
        let is_misled = self.ledger.misled.contains(&id);
        if committed.is_none() || is_misled || self.sites.iter().any(|site| site.clock.is_far_off()) {
            return;
        }
        let ms = self.dice.pick(&FAR_OFF_MS);
        let ahead = self.dice.chance(1, 2);
        self.counts.fault(if ahead { Fault::ClockFarAhead } else { Fault::ClockFarBehind });
        self.skew(id, if ahead { ms } else { -ms });
        let now = self.now;
        if self.site(id).read_clock(now).standing == ClockStanding::Plausible {
            self.violated(format!("promise 9: {} does not name its clock, which is {ms} ms off", tree::name(id)));
        }
        let right_ms = self.dice.between(FAR_OFF_FOR_MS.0, FAR_OFF_FOR_MS.1);
        self.after(right_ms, Event::ClockSet(id));
    }

    pub(super) fn set_right(&mut self, id: SiteId) {
        if self.site(id).clock.is_far_off() {
            self.skew(id, 0);
        }
    }

    pub(super) fn skew(&mut self, id: SiteId, ms: i64) {
        self.note(|| format!("-- {}: the clock is set {ms} ms off", tree::name(id)));
        self.site(id).clock.skew_ms = ms;
    }

    /// The centre issues a register in which the site has another active parent.
    fn swap_parents(&mut self, site: SiteId) {
        // A known limit: a site that knows none of its parents by the newest register can't be handed that register by any.
        let newest = self.parents.version();
        if self.site(tree::CENTRE).register_version() < newest || self.site(site).register_version() < newest {
            return;
        }
        self.give_double(site);
        let has_stand_in = self.parents.of(site).len() > 1;
        self.parents = if !has_stand_in {
            self.counts.fault(Fault::ParentRegained);
            self.parents.swapped(site)
        } else if self.dice.chance(1, 3) {
            self.counts.fault(Fault::ParentLost);
            self.parents.without_active(site)
        } else {
            self.counts.fault(Fault::ParentsSwapped);
            self.parents.swapped(site)
        };
        self.issued = self.issue();
        self.counts.fault(Fault::RootsChanged);
        let (version, parent) = (self.parents.version(), self.parents.of(site)[0]);
        self.note(|| format!("-- register {version}: the active parent of {} is {}", tree::name(site), tree::name(parent)));
        self.apply_registers(tree::CENTRE);
    }

    /// Somebody who has the root's key signs another register of the version that stands, and gives it to a site.
    fn give_double(&mut self, site: SiteId) {
        self.counts.fault(Fault::RegisterDoubled);
        self.note(|| format!("-- {}: is given another register of the version that it has", tree::name(site)));
        let command = self.register_command(site, self.parents.doubled());
        let outcome = self.commit_now(site, &command);
        let held = self.site(site).disk.warehouse.signed_register().expect("a memory does not fail");
        if !matches!(outcome, Outcome::Refused(Refusal::RegisterDoubled { .. })) || held.as_ref() != Some(self.issued.newest()) {
            self.violated(format!("promise 6: a second register of one version came to {outcome:?}"));
        }
    }

    /// The register that says who sends to whom now, behind all before it: every one from the second on changes who signs registers.
    pub(super) fn issue(&self) -> RegisterChain {
        let mut changes: Vec<_> = self.issued.changes().map(|(version, signed)| (version, Arc::new(signed.clone()))).collect();
        let newest = Arc::new(self.parents.register());
        changes.push((self.parents.version(), Arc::clone(&newest)));
        RegisterChain::new(changes, self.parents.version(), newest)
    }
}
