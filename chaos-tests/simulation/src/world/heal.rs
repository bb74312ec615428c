//! The faults end, the links work again, and all sites must converge within a bound of virtual time.

use kho_replication::{link_time::LinkTime, site_clock::ClockStanding};
use kho_storage::ids::SiteId;

use super::World;
use crate::{
    oracle,
    site::{OWN_CERTIFICATE, right_time},
    tree,
};

/// Everything converges within this time after the last fault.
const HEALED_MS_MAX: u64 = 180_000;
/// Between two polls.
const POLL_MS: u64 = 1_000;

impl World {
    pub(super) fn heal(&mut self) {
        self.note(|| "-- everything is well from here on".into());
        self.healing = true;
        for id in tree::sites() {
            let site = self.site(id);
            (site.cut_off, site.disk_full, site.reads_fail) = (false, false, false);
            site.down.clear();
            site.clock.skew_ms = 0;
        }
        self.links.values_mut().for_each(|link| link.slow_ms = 0);
        self.issue_again();
        self.raises_who_lies_below();
        let since = right_time(self.now);
        let until = self.now.after_ms(HEALED_MS_MAX);
        loop {
            self.run_until(self.now.after_ms(POLL_MS));
            let judged = self.judge_clocks().and_then(|()| oracle::convergence::judge(self, since));
            match judged.and_then(|()| oracle::histories::judge(self)) {
                Ok(()) => break,
                Err(why) if self.now >= until => self.violated(format!("{} s after the last fault: {why}", HEALED_MS_MAX / 1000)),
                Err(_) => {}
            }
        }
        self.judge_the_end();
    }

    /// All clocks are right again: every site believes its own and accepts certificates.
    fn judge_clocks(&mut self) -> Result<(), String> {
        let now = self.now;
        for id in tree::sites() {
            let reading = self.site(id).read_clock(now);
            if reading.standing != ClockStanding::Plausible {
                return Err(format!("promise 9: {} does not believe its clock: {reading:?}", tree::name(id)));
            }
            let judged_at = reading.certificate_time(OWN_CERTIFICATE);
            if !(OWN_CERTIFICATE.not_before..=OWN_CERTIFICATE.not_after).contains(&judged_at) {
                return Err(format!("promise 9: {} judges certificates at {}", tree::name(id), judged_at.to_rfc3339()));
            }
        }
        Ok(())
    }

    /// Sites that were set back may have lost their newest register. Whoever issued it applies it again at the centre, and where a site
    /// knows none of its parents any more, or not where they are: a known limit, nobody can hand the register to such a site.
    fn issue_again(&mut self) {
        for id in tree::sites() {
            if self.site(id).register_version() < self.parents.version() && !self.knows_a_parent(id) {
                self.apply_registers(id);
            }
        }
    }

    fn knows_a_parent(&mut self, id: SiteId) -> bool {
        let Some(register) = self.site(id).disk.warehouse.register() else { return false };
        let known = register.site(id).map(|site| site.parents.clone()).unwrap_or_default();
        let mut addresses = known.iter().filter(|parent| self.parents.of(id).contains(parent)).filter_map(|parent| register.site(*parent));
        addresses.any(|parent| parent.addresses.iter().any(|address| self.sites[parent.site.0 as usize - 1].node_at(address).is_some()))
    }

    fn judge_the_end(&mut self) {
        let judged = oracle::replicas::judge(self).and_then(|()| oracle::requests::judge(self));
        if let Err(why) = judged {
            self.violated(why);
        }
    }

    /// How long the run took in virtual time.
    pub fn ended_at(&self) -> LinkTime {
        self.now
    }
}
