//! At the end: where sites hold two histories of an origin, or where an author holds less than its parent, an alarm was raised, and the
//! author knows that it was set back.
//! Neither history is lost: the site that held it still holds it, which [`super::entry`] checks.

use kho_storage::{
    ids::{Hash32, OriginId, SiteId, StreamSeq},
    warehouse::HeadPosition,
};

use crate::{
    ledger::{HistoryAlarm, start},
    tree,
    world::World,
};

/// How a site's history of an origin relates to the history that its author continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryRelation {
    /// The author's, as far as it goes.
    Along,
    /// The author's, and beyond what the author holds by now.
    Ahead,
    /// Another one.
    Apart,
}

pub fn judge(world: &World) -> Result<(), String> {
    for origin in tree::origins() {
        let author = SiteId(origin.0);
        let parent = world.parents().of(author).first().copied();
        for site in tree::sites().filter(|site| *site != author) {
            match relation_of(world, site, origin) {
                // A known limit: a holder that is no longer on the way up is compared with nobody who remembers as much.
                HistoryRelation::Apart if world.parents().above(author).contains(&site) && !world.ledger.has_alarm(origin) => {
                    return Err(format!(
                        "promise 6: {} holds another history of origin {origin} than its author goes on with, and no alarm was raised",
                        tree::name(site)
                    ));
                }
                HistoryRelation::Ahead if Some(site) == parent && !world.ledger.has_alarm_of(origin, HistoryAlarm::SetBack) => {
                    return Err(format!(
                        "promise 6: the author of origin {origin} is behind its parent {}, and no alarm was raised",
                        tree::name(site)
                    ));
                }
                relation if Some(site) == parent && relation != HistoryRelation::Along => knows(world, site, origin)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// The author knows of what its parent holds, as far as it can compare it: further than itself, or elsewhere at a batch that it keeps.
fn knows(world: &World, parent: SiteId, origin: OriginId) -> Result<(), String> {
    let author = &world.sites()[origin.0 as usize - 1];
    let Some(head) = world.sites()[parent.0 as usize - 1].newest_head(origin) else { return Ok(()) };
    let position = author.disk.warehouse.head_position(&head).map_err(|error| error.to_string())?;
    let noted = author.disk.warehouse.set_back(origin).map_err(|error| error.to_string())?;
    if noted.is_none() && matches!(position, HeadPosition::Further | HeadPosition::Elsewhere) {
        return Err(format!("promise 6: {} was set back, and does not know it", tree::name(author.id)));
    }
    Ok(())
}

/// Whether sites disagree on an origin, or its author knows that it was set back: then it does not come together without an operator.
pub fn is_disputed(world: &World, origin: OriginId) -> bool {
    is_set_back(world, origin)
        || tree::sites()
            .any(|site| relation_of(world, site, origin) != HistoryRelation::Along || waits_for_what_was_forgotten(world, site, origin))
}

/// Whoever showed it may have lost it since: the author is closed all the same.
fn is_set_back(world: &World, origin: OriginId) -> bool {
    let author = &world.sites()[origin.0 as usize - 1];
    author.disk.warehouse.set_back(origin).expect("a memory does not fail").is_some()
}

/// A known limit: a transfer that began before its author was set back wants batches that nobody has any more. Whoever holds fewer
/// sends it nothing, so that no head can contradict it either.
fn waits_for_what_was_forgotten(world: &World, site: SiteId, origin: OriginId) -> bool {
    let held = world.sites()[origin.0 as usize - 1].disk.origin(origin).map_or(StreamSeq(1), |state| state.next);
    let transfers = world.sites()[site.0 as usize - 1].disk.warehouse.transfers().expect("a memory does not fail");
    transfers.iter().any(|transfer| transfer.start.origin == origin && transfer.next > held)
}

fn relation_of(world: &World, site: SiteId, origin: OriginId) -> HistoryRelation {
    let theirs = tip(world, SiteId(origin.0), origin);
    let held = tip(world, site, origin);
    match () {
        () if world.ledger.goes_on(origin, held, theirs) => HistoryRelation::Along,
        () if world.ledger.goes_on(origin, theirs, held) => HistoryRelation::Ahead,
        () => HistoryRelation::Apart,
    }
}

fn tip(world: &World, site: SiteId, origin: OriginId) -> Hash32 {
    world.sites()[site.0 as usize - 1].disk.origin(origin).map_or(start(origin), |state| state.chain)
}
