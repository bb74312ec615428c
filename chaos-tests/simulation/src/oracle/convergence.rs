//! After the faults have ended: every site on the way up holds what the author holds, has recorded so, and knows up to which time. A
//! stream in dispute does not delay the others.

use kho_replication::uplink::{LinkStatus, StreamState};
use kho_storage::ids::{OriginId, SiteId, SiteTime};

use super::histories::is_disputed;
use crate::{site::Site, tree, world::World};

/// Returns what is still missing. `healing_since` is when the faults ended, by a clock that is right.
pub fn judge(world: &World, healing_since: SiteTime) -> Result<(), String> {
    if world.clients().unanswered() > 0 {
        return Err(format!("{} requests are unanswered", world.clients().unanswered()));
    }
    let roots = world.parents().roots();
    for site in world.sites() {
        if site.register_version() != world.parents().version() {
            return Err(format!("{} has register {}", tree::name(site.id), site.register_version()));
        }
        if !roots.is_empty() && site.disk.warehouse.trusted_roots().is_none_or(|trusted| trusted.next.0 != roots) {
            return Err(format!("{} believes other roots than its register names", tree::name(site.id)));
        }
    }
    let disputed: Vec<OriginId> = tree::origins().filter(|origin| is_disputed(world, *origin)).collect();
    for origin in tree::origins().filter(|origin| !disputed.contains(origin)) {
        has_converged(world, origin, healing_since)?;
    }
    world.sites().iter().filter(|site| !world.parents().of(site.id).is_empty()).try_for_each(|site| is_at_rest(world, site, &disputed))
}

fn has_converged(world: &World, origin: OriginId, healing_since: SiteTime) -> Result<(), String> {
    let author = SiteId(origin.0);
    let Some(newest) = world.sites()[author.0 as usize - 1].disk.origin(origin) else { return Ok(()) };
    if newest.head_seq != Some(newest.last()) {
        return Err(format!("origin {origin} has batches without a head"));
    }
    for site in world.parents().above(author) {
        let named = |why: String| Err(format!("{}: {why} of origin {origin}", tree::name(site)));
        let Some(held) = world.sites()[site.0 as usize - 1].disk.origin(origin) else { return named("nothing is held".into()) };
        if (held.next, held.chain, held.sum.digest(), held.rows) != (newest.next, newest.chain, newest.sum.digest(), newest.rows) {
            return named(format!("it stands at {}, the author at {}", held.next, newest.next));
        }
        if held.stopped.is_some() {
            return named("adoption is stopped".into());
        }
        if held.watermark < healing_since {
            return named("nothing is known of the time since the faults ended".into());
        }
    }
    Ok(())
}

/// The uplink stands with its active parent, every stream is caught up there, and the site has recorded so.
fn is_at_rest(world: &World, site: &Site, disputed: &[OriginId]) -> Result<(), String> {
    let named = |why: String| Err(format!("{}: {why}", tree::name(site.id)));
    let Some(leader) = &site.leader else { return named("nobody leads".into()) };
    let parent = world.parents().of(site.id)[0];
    let status = &leader.status;
    if status.parent != Some(parent) || status.stand_in || !matches!(status.link, LinkStatus::Open { .. }) {
        return named(format!("the uplink stands with {:?}: {:?}", status.parent.map(tree::name), status.link));
    }
    let recorded = site.disk.warehouse.read(|reading| reading.parent_cursors(parent)).map_err(|error| error.to_string())?;
    for stream in status.streams.iter().filter(|stream| !disputed.contains(&stream.origin)) {
        // A site that is no longer on an origin's way up holds an older part of it, and gets no more.
        let on_the_way = site.id.0 == stream.origin.0 || world.parents().above(SiteId(stream.origin.0)).contains(&site.id);
        if !on_the_way {
            continue;
        }
        if stream.state != StreamState::CaughtUp {
            return named(format!("origin {} is {:?}", stream.origin, stream.state));
        }
        if !recorded.iter().any(|cursor| cursor.origin == stream.origin && cursor.next == stream.held.next) {
            return named(format!("it has not recorded that its parent holds origin {}", stream.origin));
        }
    }
    Ok(())
}
