//! What an answer rests on (promise 9): which origins it counts, which sites it lacks and why, and how old the oldest is.
//!
//! Expected are the sites of the register below the answering one that author data: they have areas, or rows of theirs are
//! held. Included are those of which every origin stands: held, not stopped, not empty, and vouched for by a signed head. An
//! origin that does not stand is not counted at all, so numbers and completeness never say different things.

use std::collections::BTreeMap;

use kho_storage::{
    error::StorageError,
    ids::{OriginId, SiteId, SiteTime},
    register::{SiteEntry, VerifiedRegister},
    warehouse::{OriginState, ReadView, Transfer},
};

use super::{AnswerContext, Territory};
use crate::{
    api::{Completeness, MissingReason, MissingSite, SiteAge},
    reasons,
};

/// What an answer rests on.
#[derive(Debug, Clone)]
pub struct Basis {
    /// Origins that are counted, in order.
    origins: Vec<(OriginId, OriginState)>,
    /// Expected sites, in order.
    sites: Vec<SiteStanding>,
}

#[derive(Debug, Clone)]
struct SiteStanding {
    site: SiteId,
    name: String,
    /// Complete up to this time, or why the site is missing.
    standing: Result<SiteTime, MissingReason>,
}

impl Basis {
    /// Judges every site below `site`. With an area, only sites that author records of it are expected.
    ///
    /// # Errors
    /// [`StorageError`] when the disk fails.
    pub fn of(reading: &ReadView<'_>, site: SiteId, area: Option<&Territory>) -> Result<Self, StorageError> {
        let mut basis = Self { origins: vec![], sites: vec![] };
        let Some(register) = reading.register() else { return Ok(basis) };
        let mut held = Held::read(reading)?;
        let authored = origins_by_author(register);
        for below in register.subtree(site) {
            let (Some(entry), Some(origins)) = (register.site(below), authored.get(&below)) else { continue };
            let expected = match area {
                Some(area) => entry.areas.iter().any(|scope| area.meets(scope)),
                None => !entry.areas.is_empty() || origins.iter().any(|origin| held.rows(*origin) > 0),
            };
            basis.judge(entry, origins, below == site, expected, &mut held);
        }
        basis.origins.sort_by_key(|(origin, _)| *origin);
        Ok(basis)
    }

    /// Origins that are counted, in order.
    pub fn origins(&self) -> &[(OriginId, OriginState)] {
        &self.origins
    }

    /// The completeness that an answer on this basis carries.
    pub fn completeness(&self, context: &AnswerContext) -> Completeness {
        let included = self.sites.iter().filter_map(|site| Some((site, *site.standing.as_ref().ok()?)));
        let oldest = included.clone().min_by_key(|(site, up_to)| (*up_to, site.site));
        let missing = self.sites.iter().filter_map(|site| {
            let reason = site.standing.as_ref().err()?;
            Some(MissingSite { site: site.site.0, name: site.name.clone(), reason: reason.clone() })
        });
        Completeness {
            included: count(included.count()),
            expected: count(self.sites.len()),
            complete_up_to: oldest.map(|(_, up_to)| up_to.to_rfc3339()),
            oldest: oldest.map(|(site, up_to)| SiteAge {
                site: site.site.0,
                name: site.name.clone(),
                up_to: up_to.to_rfc3339(),
                age_seconds: context.now.seconds_since(up_to),
            }),
            missing: missing.collect(),
            read: context.read.word().into(),
            applied: context.applied,
            answered_by: context.answered_by.clone(),
        }
    }

    fn judge(&mut self, entry: &SiteEntry, origins: &[OriginId], own: bool, expected: bool, held: &mut Held) {
        let mut up_to: Option<SiteTime> = None;
        let mut missing = None;
        for origin in origins {
            match held.standing(*origin, own) {
                Ok((state, watermark)) => {
                    up_to = Some(up_to.map_or(watermark, |earlier| earlier.min(watermark)));
                    self.origins.push((*origin, state));
                }
                Err(reason) => missing = missing.or(Some(reason)),
            }
        }
        if expected {
            let standing = match (missing, up_to) {
                (None, Some(up_to)) => Ok(up_to),
                (reason, _) => Err(reason.unwrap_or(MissingReason::NoStream)),
            };
            self.sites.push(SiteStanding { site: entry.site, name: entry.name.clone(), standing });
        }
    }
}

/// What this site holds of every origin.
struct Held {
    states: BTreeMap<OriginId, OriginState>,
    transfers: BTreeMap<OriginId, Transfer>,
}

impl Held {
    fn read(reading: &ReadView<'_>) -> Result<Self, StorageError> {
        let transfers = reading.transfers()?.into_iter().map(|transfer| (transfer.start.origin, transfer)).collect();
        Ok(Self { states: reading.origins()?.into_iter().collect(), transfers })
    }

    fn rows(&self, origin: OriginId) -> u64 {
        self.states.get(&origin).map_or(0, |state| state.rows)
    }

    /// The state of an origin that stands and up to when it is complete, or why it does not stand.
    fn standing(&mut self, origin: OriginId, own: bool) -> Result<(OriginState, SiteTime), MissingReason> {
        let transfer = self.transfers.get(&origin);
        let Some(state) =
            self.states.get(&origin).filter(|state| state.stopped.is_some() || state.head_seq.is_some() || state.last().0 > 0)
        else {
            return Err(match transfer {
                Some(transfer) => MissingReason::FirstTransfer { origin: origin.0, rows: transfer.rows },
                None if own => MissingReason::NothingEntered { origin: origin.0 },
                None => MissingReason::NothingArrived { origin: origin.0 },
            });
        };
        if let Some(stopped) = &state.stopped {
            return Err(MissingReason::Stopped { origin: origin.0, seq: stopped.seq.0, reason: reasons::stopped(stopped) });
        }
        if state.last().0 == 0 {
            return Err(MissingReason::Empty { origin: origin.0, up_to: state.watermark.to_rfc3339() });
        }
        // What was committed here needs no head to be true here.
        let up_to = if own { state.watermark.max(state.batch_time) } else { state.watermark };
        if !own && state.head_seq.is_none() {
            return Err(MissingReason::NoHead { origin: origin.0 });
        }
        let state = self.states.remove(&origin).expect("it was found above");
        Ok((state, up_to))
    }
}

fn origins_by_author(register: &VerifiedRegister) -> BTreeMap<SiteId, Vec<OriginId>> {
    let mut found: BTreeMap<SiteId, Vec<OriginId>> = BTreeMap::new();
    for entry in &register.register().origins {
        found.entry(entry.author).or_default().push(entry.origin);
    }
    found
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
