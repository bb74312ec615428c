//! Bugs planted on purpose are found: a simulation that finds nothing proves nothing.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use kho_simulation::{many::cores, run};
use kho_storage::planted::{Bug, plant};

/// So many seeds are tried for each bug.
const SEEDS_MAX: u64 = 3_000;

/// Seeds that found the rarest ones are tried first: as long as the simulation draws what it drew then, they find them again.
fn first_seed(bug: Bug) -> u64 {
    match bug {
        Bug::EvidenceOverwritten => 1_088,
        Bug::BeyondTakenForCompared => 2_031,
        _ => 0,
    }
}

/// The first seed that finds the bug, and what it says.
fn found_by(bug: Bug) -> Option<(u64, String)> {
    plant(Some(bug));
    let found = (first_seed(bug)..SEEDS_MAX).chain(0..first_seed(bug)).find_map(|seed| run(seed, false).broken.map(|what| (seed, what)));
    plant(None);
    found
}

#[test]
fn every_planted_bug_is_found_by_a_seed_that_finds_nothing_without_it() {
    let next = AtomicUsize::new(0);
    let take = || Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)).copied();
    let missed: Vec<Bug> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..cores()).map(|_| scope.spawn(|| std::iter::from_fn(take).filter(|bug| is_missed(*bug)).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a panic is a failed test")).collect()
    });
    assert_eq!(missed, [], "not found within {SEEDS_MAX} seeds");
}

fn is_missed(bug: Bug) -> bool {
    let Some((seed, what)) = found_by(bug) else { return true };
    println!("{bug:?}: seed {seed}: {what}");
    assert_eq!(run(seed, false).broken, None, "seed {seed} without {bug:?}");
    false
}
