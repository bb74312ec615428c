//! After every entry: cursors only move on, along one history that an author wrote; digests are the author's; a watermark says no
//! more than clocks and heads; a record says no more than the parent held; nothing is forgotten that the parent does not hold.

use std::collections::BTreeSet;

use kho_replication::site_clock::CLOCK_TOLERANCE_MS;
use kho_storage::{
    checks::check_segment_level,
    codec,
    command::{Command, Outcome, ParentCursor, Refusal, WriteOutcome},
    error::StorageError,
    ids::{Hash32, OriginId, SiteId, SiteTime, StreamSeq},
    stream::{Batch, HEAD_AHEAD_MS_MAX, Segment},
    warehouse::{OriginState, Transfer},
};

use super::replicas::replay;
use crate::{
    ledger::{ChainLink, start},
    site::right_time,
    tree,
    world::{AppliedEntry, SKEW_MS, World},
};

/// No clock that is believed is further ahead.
const STAMPED_AHEAD_MS_MAX: i64 = SKEW_MS.1 as i64 + CLOCK_TOLERANCE_MS;
/// So much evidence of an origin is kept whoever may have made it up.
const EVIDENCE_SURELY_KEPT: usize = 8;

pub fn judge(world: &mut World, applied: &AppliedEntry<'_>) -> Result<(), String> {
    if let Command::Write { origin, .. } = applied.command {
        note_batch(world, applied, *origin)?;
    }
    for (origin, after) in applied.after {
        let Some(after) = after else { continue };
        let before = applied.before[origin].as_ref();
        stands_in_a_history(world, *origin, after)?;
        let replaced = !moves_on(world, *origin, before, after)?;
        match applied.command {
            Command::ConfirmTime { site_time } => takes_time_back(*site_time, applied.site, *origin, before, after)?,
            _ => keeps_time(applied, *origin, before, after)?,
        }
        is_not_of_the_future(world, applied.site, *origin, after)?;
        world.ledger.stands(applied.site, *origin, after.chain, replaced);
    }
    stays_on_its_path(world, applied)?;
    keeps_its_level(world, applied)?;
    if let (Command::DiscardOrigin { origin }, Outcome::Recorded) = (applied.command, applied.outcome) {
        world.ledger.discards(applied.site, *origin);
        return if applied.after[origin].is_none() { Ok(()) } else { Err(format!("something of origin {origin} is left")) };
    }
    match (applied.command, applied.outcome) {
        (Command::Write { origin, .. }, Outcome::Written(outcomes)) => {
            outcomes.iter().try_for_each(|outcome| can_go_up(world, applied, *origin, outcome))
        }
        (Command::AdoptRegister { .. }, _) => keeps_newest_register(world, applied),
        (Command::AdoptSegment { segment, .. }, Outcome::Refused(Refusal::Forked { .. } | Refusal::BadChain { .. })) => {
            keeps_evidence(world, applied.site, segment)
        }
        (Command::ReviewEvidence { origin, .. }, Outcome::Recorded) => leaves_evidence(world, applied.site, *origin),
        (Command::RecordParent { parent, cursors }, _) => {
            cursors.iter().try_for_each(|cursor| record_is_true(world, applied.site, *parent, cursor))
        }
        (Command::Trim { .. }, Outcome::Trimmed { batches: 1.. }) => trimmed_is_held(world, applied),
        (_, Outcome::Adopted(cursor)) => {
            let state = applied.after.get(&cursor.origin).and_then(Option::as_ref);
            // Of an origin that has no batch yet nothing need be kept.
            let stands = state.map_or(StreamSeq(1), |state| state.next) == cursor.next;
            if !stands {
                return Err(format!("it acknowledges {} of origin {}, but does not stand there", cursor.next, cursor.origin));
            }
            state.map_or(Ok(()), |state| super::replicas::is_complete(cursor.origin, state, world))
        }
        _ => Ok(()),
    }
}

/// Rows of an origin are taken only by its author and the sites above it, by the register that the site has.
fn stays_on_its_path(world: &World, applied: &AppliedEntry<'_>) -> Result<(), String> {
    let (Command::AdoptSegment { .. } | Command::BeginTransfer { .. }) = applied.command else { return Ok(()) };
    let (Outcome::Adopted(_) | Outcome::Transfer(_)) = applied.outcome else { return Ok(()) };
    let register = world.sites()[applied.site.0 as usize - 1].disk.warehouse.register().ok_or("it adopts without a register")?;
    match applied.after.keys().find(|origin| !register.leads_through(**origin, applied.site)) {
        Some(origin) => Err(format!("promise 4: it takes origin {origin}, which the register does not lead through it")),
        None => Ok(()),
    }
}

/// Promise 4: nothing of another carrier continues a transfer, and none replaces one whose carrier is at work.
pub fn transfer_is_bound(
    world: &World,
    site: SiteId,
    command: &Command,
    before: Option<&Transfer>,
    after: Option<&Transfer>,
) -> Result<(), String> {
    let Some(before) = before else { return Ok(()) };
    let carrier = match command {
        Command::BeginTransfer { carrier, .. } | Command::AdoptPiece { carrier, .. } => Some(*carrier),
        Command::AdoptSegment { carrier, .. } => *carrier,
        _ => return Ok(()),
    };
    if carrier == Some(before.carrier) || after == Some(before) {
        return Ok(());
    }
    let gives_way = match command {
        Command::BeginTransfer { site_time, silent_ms, start, .. } => {
            let register = world.sites()[site.0 as usize - 1].disk.warehouse.register();
            let is_left_out = register.is_some_and(|register| !register.leads_through(start.origin, before.carrier));
            is_left_out || before.last_step.0.abs_diff(site_time.0) >= *silent_ms
        }
        // The stream itself has passed it.
        Command::AdoptSegment { .. } => after.is_none(),
        _ => false,
    };
    if gives_way { Ok(()) } else { Err(format!("promise 4: {carrier:?} moves a transfer that {} carries", tree::name(before.carrier))) }
}

/// Promise 2: once a site knows that it stood further, or elsewhere, it acknowledges nothing but what lies in that history.
fn can_go_up(world: &World, applied: &AppliedEntry<'_>, origin: OriginId, outcome: &WriteOutcome) -> Result<(), String> {
    let WriteOutcome::Committed { seq, .. } = outcome else { return Ok(()) };
    let Some(state) = &applied.after[&origin] else { return Ok(()) };
    let Some(chain) = chain_at(world, origin, state.chain, *seq) else { return Ok(()) };
    if world.ledger.is_in_every_shown_history(origin, chain) {
        return Ok(());
    }
    Err(format!("promise 2: batch {seq} of origin {origin} is acknowledged on a branch that can't go up, after the site was told so"))
}

/// What exists from a level on is taken by sites that work at it, and by no other.
fn keeps_its_level(world: &World, applied: &AppliedEntry<'_>) -> Result<(), String> {
    let level = world.sites()[applied.site.0 as usize - 1].disk.warehouse.level();
    let needed = applied.command.level();
    let is_refused = matches!(applied.outcome, Outcome::Refused(Refusal::AboveLevel { .. }));
    if is_refused != (needed > level) {
        let what = if is_refused { "refused" } else { "applied" };
        return Err(format!("a command of level {needed} was {what} at level {level}"));
    }
    match (applied.command, applied.outcome) {
        (Command::AdoptSegment { segment, .. }, Outcome::Adopted(_) | Outcome::Transfer(_)) => {
            check_segment_level(segment, level).map_err(|above| format!("a segment was taken at level {level} although {above}"))
        }
        _ => Ok(()),
    }
}

/// The ledger takes note of what the author's site wrote.
fn note_batch(world: &mut World, applied: &AppliedEntry<'_>, origin: OriginId) -> Result<(), String> {
    let Some(after) = &applied.after[&origin] else { return Ok(()) };
    let before = applied.before[&origin].as_ref().map_or(start(origin), |state| state.chain);
    if after.chain == before {
        return Ok(());
    }
    let warehouse = &world.sites()[applied.site.0 as usize - 1].disk.warehouse;
    let kept = warehouse.read(|reading| reading.batch(origin, after.epoch.number, after.last())).map_err(|error| error.to_string())?;
    let kept = kept.ok_or_else(|| format!("batch {} of origin {origin} was committed and is not kept", after.last()))?;
    let batch = Batch::decode(&kept.batch).map_err(|error| error.to_string())?;
    let chain_link = ChainLink { seq: after.last(), before, digest: after.sum.digest(), rows: after.rows, batch };
    if world.ledger.committed(origin, after.chain, chain_link)? {
        world.trace.note(world.now, || format!("-- origin {origin} has two histories from batch {} on", after.last()));
    }
    Ok(())
}

/// Promises 4 and 5: whatever a site holds is what an author wrote, with the author's digest.
fn stands_in_a_history(world: &World, origin: OriginId, state: &OriginState) -> Result<(), String> {
    if state.chain == start(origin) {
        return if state.next == StreamSeq(1) { Ok(()) } else { Err(format!("origin {origin} stands at {} without a batch", state.next)) };
    }
    let chain_link = world
        .ledger
        .chain_link(origin, state.chain)
        .ok_or_else(|| format!("origin {origin} stands in a history that nobody wrote, at {}", state.next))?;
    if chain_link.seq.next() != state.next {
        return Err(format!("origin {origin} stands at {}, its history at {}", state.next, chain_link.seq.next()));
    }
    if chain_link.digest != state.sum.digest() || chain_link.rows != state.rows {
        return Err(format!("promise 5: origin {origin} has another digest at {} than its author had there", chain_link.seq));
    }
    Ok(())
}

/// Promise 6: a site never goes back, and never over to another history. Returns `false` when it did, but nothing could
/// distinguish the two.
fn moves_on(world: &mut World, origin: OriginId, before: Option<&OriginState>, after: &OriginState) -> Result<bool, String> {
    let Some(before) = before else { return Ok(true) };
    if !world.ledger.goes_on(origin, before.chain, after.chain) {
        if before.generation != after.generation && is_indistinguishable(world, origin, before, after) {
            world.counts.indistinguishable += 1;
            return Ok(false);
        }
        return Err(format!("promise 6: origin {origin} went from {} to {} in another history", before.next, after.next));
    }
    if after.oldest_kept > after.next {
        return Err(format!("origin {origin} keeps from {} on and stands at {}", after.oldest_kept, after.next));
    }
    Ok(true)
}

/// The known limit of transfers (`storage/src/warehouse/transfer.rs`): in the other history every row in which the two differed was
/// changed again or taken away, and no batch is left to compare.
fn is_indistinguishable(world: &World, origin: OriginId, before: &OriginState, after: &OriginState) -> bool {
    let held = replay(&world.ledger, origin, before.chain);
    let replaced = replay(&world.ledger, origin, after.chain);
    replaced.iter().filter(|(_, (seq, _))| *seq < before.next.0).all(|(place, row)| held.get(place) == Some(row))
}

/// A watermark never goes back, and never beyond the clock that stands in the command.
fn keeps_time(applied: &AppliedEntry<'_>, origin: OriginId, before: Option<&OriginState>, after: &OriginState) -> Result<(), String> {
    let earlier = before.map_or(0, |state| state.watermark.0);
    if after.watermark.0 < earlier {
        return Err(format!("the watermark of origin {origin} went back by {} ms", earlier - after.watermark.0));
    }
    if let Command::AdoptSegment { site_time, segment, .. } = applied.command
        && after.watermark.0 > earlier
    {
        let head = &segment.head.head;
        if after.watermark > *site_time || after.watermark > head.site_time {
            return Err(format!("promise 9: the watermark of origin {origin} lies beyond the site's clock or the head"));
        }
    }
    Ok(())
}

/// When an operator confirms the time, what no parent believes is taken back, and nothing else.
fn takes_time_back(
    confirmed: SiteTime,
    site: SiteId,
    origin: OriginId,
    before: Option<&OriginState>,
    after: &OriginState,
) -> Result<(), String> {
    let is_believed = |time: SiteTime| time.0.saturating_sub(confirmed.0) <= HEAD_AHEAD_MS_MAX;
    let earlier = before.map_or(SiteTime(0), |state| state.watermark);
    if is_believed(earlier) && after.watermark != earlier {
        return Err(format!("promise 9: parents believe origin {origin} up to {earlier}, and it went back to {}", after.watermark));
    }
    let is_own = site.0 == origin.0;
    if is_believed(after.watermark) && (!is_own || is_believed(after.batch_time)) {
        Ok(())
    } else {
        Err(format!("promise 9: origin {origin} is stamped in the future, although an operator confirmed that it is {confirmed}"))
    }
}

/// Promise 9: whatever clocks showed, nothing was stamped further ahead than clocks differ that people take for right. Where an operator
/// confirmed a time of the future, that site alone says it, and nobody else believes it; its batches bear it wherever they are.
fn is_not_of_the_future(world: &World, site: SiteId, origin: OriginId, after: &OriginState) -> Result<(), String> {
    let author = SiteId(origin.0);
    let stamped = match world.ledger.misled.contains(&author) {
        true if site == author => return Ok(()),
        true => after.watermark,
        false => after.watermark.max(after.batch_time),
    };
    let ahead_ms = stamped.0.saturating_sub(right_time(world.now).0);
    if ahead_ms > STAMPED_AHEAD_MS_MAX {
        return Err(format!("promise 9: origin {origin} is stamped {ahead_ms} ms ahead of the right time"));
    }
    Ok(())
}

/// Promise 2: what a child records was committed by that parent, in the child's own history.
fn record_is_true(world: &World, child: SiteId, parent: SiteId, cursor: &ParentCursor) -> Result<(), String> {
    let origin = cursor.origin;
    let Some(state) = world.sites()[child.0 as usize - 1].disk.origin(origin) else { return Ok(()) };
    let place = chain_at(world, origin, state.chain, cursor.next.previous());
    let Some(place) = place else {
        // The child itself was set back since: what it records lies beyond what it holds.
        let set_back = world.ledger.rolled_back.contains(&child);
        return if set_back {
            Ok(())
        } else {
            Err(format!("promise 2: it records {} of origin {origin} and stands at {}", cursor.next, state.next))
        };
    };
    if world.ledger.ever_held(parent, origin, place) {
        return Ok(());
    }
    Err(format!(
        "promise 2: it records that {} holds {} of origin {origin}, which that site never committed in this history",
        tree::name(parent),
        cursor.next
    ))
}

/// Promise 2: what is forgotten, the active parent committed in the same history.
fn trimmed_is_held(world: &World, applied: &AppliedEntry<'_>) -> Result<(), String> {
    let register = world.sites()[applied.site.0 as usize - 1].disk.warehouse.register();
    let parent = register.and_then(|register| register.active_parent(applied.site));
    let parent = parent.ok_or("a site without a parent forgets batches")?;
    for (origin, after) in applied.after {
        let (Some(before), Some(after)) = (&applied.before[origin], after) else { continue };
        if after.oldest_kept == before.oldest_kept {
            continue;
        }
        let place = chain_at(world, *origin, after.chain, after.oldest_kept.previous()).ok_or("a site forgets what it does not hold")?;
        if place != after.before_oldest_chain {
            return Err(format!("origin {origin}: the chain before the oldest batch kept is another"));
        }
        if !world.ledger.ever_held(parent, *origin, place) {
            return Err(format!(
                "promise 2: batches of origin {origin} below {} are forgotten, which {} never committed",
                after.oldest_kept,
                tree::name(parent)
            ));
        }
    }
    Ok(())
}

/// A register is only replaced by a newer one.
fn keeps_newest_register(world: &World, applied: &AppliedEntry<'_>) -> Result<(), String> {
    let after = world.sites()[applied.site.0 as usize - 1].register_version();
    if after >= applied.register_before {
        Ok(())
    } else {
        Err(format!("register {} was replaced by register {after}", applied.register_before))
    }
}

/// Promise 6: what is refused as another history is kept, beside all that was kept before.
fn keeps_evidence(world: &mut World, site: SiteId, refused: &Segment) -> Result<(), String> {
    let origin = refused.origin();
    let kept = evidence_of(world, site, origin)?;
    // There is room for some evidence of each origin; more of the same kind adds nothing.
    if !kept.contains(&evidence_name(refused)) && kept.len() < EVIDENCE_SURELY_KEPT {
        return Err(format!("promise 6: a second history of origin {origin} was refused and thrown away"));
    }
    world.ledger.keeps(site, origin, kept)
}

/// Promise 6: a review takes nothing away, and names nothing that is not kept.
fn leaves_evidence(world: &mut World, site: SiteId, origin: OriginId) -> Result<(), String> {
    let kept = evidence_of(world, site, origin)?;
    let warehouse = &world.sites()[site.0 as usize - 1].disk.warehouse;
    let read = warehouse.read(|reading| Ok::<_, StorageError>((reading.evidence_places()?, reading.evidence_reviews()?)));
    let (places, mut reviews) = read.map_err(|error| error.to_string())?;
    let review = reviews.remove(&origin).ok_or_else(|| format!("the review of origin {origin} was recorded and is not kept"))?;
    if !review.pieces.iter().all(|(seq, hash)| places.contains(&(origin, *seq, *hash))) {
        return Err(format!("evidence of origin {origin} counts as reviewed that is not kept"));
    }
    world.ledger.keeps(site, origin, kept)
}

/// The evidence that a site keeps of an origin.
fn evidence_of(world: &World, site: SiteId, origin: OriginId) -> Result<BTreeSet<Hash32>, String> {
    let mut kept = BTreeSet::new();
    let read = world.sites()[site.0 as usize - 1].disk.warehouse.read(|reading| {
        reading.evidence(|evidence| {
            if evidence.segment.origin() == origin {
                kept.insert(evidence_name(&evidence.segment));
            }
        })
    });
    read.map_err(|error| error.to_string())?;
    Ok(kept)
}

fn evidence_name(segment: &Segment) -> Hash32 {
    Hash32::of(&codec::encode(segment).expect("a segment always encodes"))
}

fn chain_at(world: &World, origin: OriginId, chain: Hash32, seq: StreamSeq) -> Option<Hash32> {
    world.ledger.ancestor(origin, chain, seq)
}
