//! A segment in the hands of somebody who brings it to a site through which the register does not lead its stream, as a carrier with
//! the wrong bundle would. What stands in the way at the site's door is passed over here: the state itself must refuse it.

use std::collections::BTreeMap;

use kho_storage::{
    command::{Command, EvidenceReview},
    error::StorageError,
    ids::{OriginId, SiteId, StreamSeq},
};

use super::World;
use crate::{counts::Fault, site::Site, tree};

impl World {
    /// Whose segment goes where follows from the time.
    pub(super) fn bring_off_path(&mut self) {
        let turn = self.now.0 as usize;
        let author = tree::AUTHORS[turn % tree::AUTHORS.len()];
        let origin = OriginId(author.0);
        let disk = &self.sites()[author.0 as usize - 1].disk;
        let segment = |oldest| disk.warehouse.segment(origin, oldest, usize::MAX).expect("a memory does not fail");
        let Some(segment) = disk.origin(origin).and_then(|state| segment(state.oldest_kept)) else { return };
        let is_beside = |site: &SiteId| {
            let register = self.sites()[site.0 as usize - 1].disk.warehouse.register();
            register.is_some_and(|register| !register.leads_through(origin, *site))
        };
        let beside: Vec<SiteId> = tree::sites().filter(is_beside).collect();
        let Some(site) = beside.get(turn / tree::AUTHORS.len() % beside.len().max(1)).copied() else { return };
        if self.site(site).leader.is_none() {
            return;
        }
        self.counts.fault(Fault::OffPath);
        self.note(|| format!("-- {}: a segment of {} is brought here", tree::name(site), tree::name(author)));
        let command = Command::AdoptSegment { site_time: self.clock(site), carrier: None, segment };
        self.commit_now(site, &command);
        self.take_out_off_path();
    }

    /// An operator reviews what nobody has reviewed yet.
    pub(super) fn review_evidence(&mut self) {
        let mut found = Vec::new();
        for site in self.sites().iter().filter(|site| site.leader.is_some()) {
            let read = site.disk.warehouse.read(|reading| Ok::<_, StorageError>((reading.evidence_places()?, reading.evidence_reviews()?)));
            let (places, reviews) = read.expect("a memory does not fail");
            let mut kept: BTreeMap<OriginId, Vec<(StreamSeq, u64)>> = BTreeMap::new();
            for (origin, seq, hash) in places {
                kept.entry(origin).or_default().push((seq, hash));
            }
            kept.retain(|origin, pieces| reviews.get(origin).is_none_or(|review| review.pieces != *pieces));
            found.extend(kept.into_iter().map(|(origin, pieces)| (site.id, origin, pieces)));
        }
        for (site, origin, pieces) in found {
            let (by, reason) = ("an operator".into(), "examined".into());
            let review = EvidenceReview { reviewed_at: self.clock(site), by, reason, pieces };
            self.commit_now(site, &Command::ReviewEvidence { origin, review });
        }
    }

    /// What sites hold of streams that a newer register leads elsewhere, an operator takes out.
    fn take_out_off_path(&mut self) {
        let is_beside = |site: &Site, origin: OriginId| {
            let register = site.disk.warehouse.register();
            site.leader.is_some() && register.is_some_and(|register| !register.leads_through(origin, site.id))
        };
        let mut found = Vec::new();
        for site in self.sites() {
            found.extend(site.origins().into_iter().filter(|origin| is_beside(site, *origin)).map(|origin| (site.id, origin)));
        }
        for (site, origin) in found {
            self.note(|| format!("-- {}: origin {origin} is taken out", tree::name(site)));
            self.commit_now(site, &Command::DiscardOrigin { origin });
        }
    }
}
