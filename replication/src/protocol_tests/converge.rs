//! Whatever happens to the link, to the parents' nodes and to the child's: in the end both hold the same, and nothing twice.

use std::collections::BTreeSet;

use kho_storage::ids::{OriginId, SiteId};

use super::{
    site::ModelSite,
    tree::{ADOPTED, OWN, PROVINCE, REGION},
    world::World,
};
use crate::{
    intake::{IntakeInput, ProposeFailure, SiteLeader},
    uplink::UplinkConfig,
};

const SEEDS: u64 = 400;
const STEPS: u32 = 400;
/// What must have happened in some seed, or the test tests less than it says.
const MUST_HAPPEN: [&str; 11] = [
    "3: dial site 4",
    "3: probe site 2",
    "3: disconnect: a parent that comes earlier",
    "3: send Piece",
    "wants batches",
    "was restored to an older state",
    "2: send Redirect",
    "2: send Busy",
    "2: send Refused",
    "2: send Cursors",
    " idle at ",
];
/// What honest peers never say of each other.
const MUST_NOT_HAPPEN: [&str; 5] = ["broke the protocol", "the site was set back", "keep evidence", "ALARM a segment", "does not belong"];

/// Replays one seed when `KHO_SEED` is set.
#[test]
fn promise_3_child_and_parent_converge_whatever_happens_in_between() {
    let one = std::env::var("KHO_SEED").ok().map(|text| text.parse::<u64>().expect("KHO_SEED is a number"));
    let mut happened = BTreeSet::new();
    for seed in one.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(|| live_through(seed, one.is_some()));
        match outcome {
            Ok(log) => happened.extend(MUST_HAPPEN.into_iter().filter(|event| log.iter().any(|line| line.contains(event)))),
            Err(panic) => {
                eprintln!("seed {seed} failed; replay it with KHO_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    if one.is_none() {
        assert_eq!(happened, BTreeSet::from(MUST_HAPPEN));
    }
}

/// Every draw hashes the seed and its own number.
struct Dice {
    seed: u64,
    draws: u64,
}

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.draws += 1;
        let hash = blake3::hash(format!("{} {}", self.seed, self.draws).as_bytes());
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("8 bytes")) % limit
    }
}

/// Returns the log.
fn live_through(seed: u64, verbose: bool) -> Vec<String> {
    let mut dice = Dice { seed, draws: 0 };
    let config = UplinkConfig {
        segment_bytes_max: 100 + dice.below(400) as usize,
        piece_bytes_max: 500,
        in_flight_bytes_max: 300 + dice.below(2000) as usize,
        in_flight_segments_max: 1 + dice.below(4) as usize,
        ..UplinkConfig::default()
    };
    let mut world = World::new(config);
    let mut snapshot = ModelSite::default();
    world.start_child();
    for _ in 0..STEPS {
        let steps = world.steps();
        match dice.below(100) {
            0..75 if !steps.is_empty() => world.take(steps[dice.below(steps.len() as u64) as usize]),
            dice_shown => disturb(&mut world, &mut dice, dice_shown, &mut snapshot),
        }
    }
    world.note("everything is well from here on");
    for parent in world.parents.values_mut() {
        parent.reachable = true;
        parent.leader = SiteLeader::ThisNode;
    }
    let mut settled = Err("never compared".into());
    for _ in 0..400 {
        world.settle();
        settled = world.is_equal_at(PROVINCE).and_then(|()| knows_it(&world));
        if settled.is_ok() {
            break;
        }
        world.pass(5_000);
    }
    if verbose {
        eprintln!("{}", world.log.join("\n"));
    }
    settled.unwrap_or_else(|why| panic!("{why}\n{:#?}", world.uplink.status()));
    if let Some(line) = world.log.iter().find(|line| MUST_NOT_HAPPEN.iter().any(|event| line.contains(event))) {
        panic!("honest peers fell out: {line}");
    }
    world.log
}

/// Whether the child's site has recorded that the province holds everything.
fn knows_it(world: &World) -> Result<(), String> {
    for author in world.held.values() {
        let recorded = world.recorded.get(&(PROVINCE, author.origin)).copied();
        if recorded != Some(author.position().cursor()) {
            return Err(format!("the child has recorded {recorded:?} of origin {}", author.origin));
        }
    }
    Ok(())
}

fn disturb(world: &mut World, dice: &mut Dice, shown: u64, snapshot: &mut ModelSite) {
    let origin = if dice.below(2) == 0 { OWN } else { ADOPTED };
    let site = if dice.below(3) == 0 { REGION } else { PROVINCE };
    match shown {
        0..80 => {
            let ms = 1 + dice.below(2_000);
            world.pass(ms);
        }
        80..88 => {
            let batches = dice.below(4) as u32;
            world.grow(origin, batches);
        }
        88..90 => {
            world.note("the link is cut");
            world.cut();
        }
        90 => world.parent(site).reachable ^= true,
        91 => *snapshot = world.parent(PROVINCE).store.clone(),
        92 if dice.below(3) == 0 => {
            world.note("the province is restored to an older state");
            let older = snapshot.clone();
            world.restore(PROVINCE, older);
        }
        93 => {
            world.note("the child's node restarts");
            world.start_child();
        }
        94 => change_leader(world, dice, site),
        95 => trim(world, origin),
        96..99 => {
            let failure = match dice.below(3) {
                0 => ProposeFailure::Busy { retry_after_ms: 300 },
                1 => ProposeFailure::OutcomeUnknown,
                _ => ProposeFailure::NotLeader { addresses: vec!["other:1".into()] },
            };
            world.commit(site, Some(failure));
        }
        _ => world.pass(60_000),
    }
}

fn change_leader(world: &mut World, dice: &mut Dice, site: SiteId) {
    let leader = match dice.below(3) {
        0 => SiteLeader::ThisNode,
        1 => SiteLeader::Unknown,
        _ => SiteLeader::OtherNode { addresses: vec!["other:1".into()] },
    };
    world.parent(site).leader = leader.clone();
    world.notify_intake(site, IntakeInput::LeaderChanged(leader));
}

/// The child forgets what the province has acknowledged.
fn trim(world: &mut World, origin: OriginId) {
    if let Some(cursor) = world.recorded.get(&(PROVINCE, origin)).copied() {
        let author = world.author(origin);
        author.oldest_kept = author.oldest_kept.max(cursor.next);
        world.stream_advanced(origin);
    }
}
