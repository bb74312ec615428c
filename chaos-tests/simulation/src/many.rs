//! Many runs, on as many threads as wanted.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use parking_lot::Mutex;

use crate::{
    counts::Counts,
    run::{Run, run},
};

/// Broken runs that are remembered one by one; more are only counted.
const BROKEN_MAX: usize = 20;

/// What many runs came to.
#[derive(Debug, Default)]
pub struct Many {
    pub runs: u64,
    pub counts: Counts,
    /// Virtual time, in milliseconds.
    pub lasted_ms: u64,
    pub broken: u64,
    /// Seed, and what was broken; in the order of seeds.
    pub first_broken: Vec<(u64, String)>,
}

impl Many {
    fn add(&mut self, run: Run) {
        self.runs += 1;
        self.counts.add(&run.counts);
        self.lasted_ms += run.lasted_ms;
        if let Some(what) = run.broken {
            self.broken += 1;
            self.first_broken.push((run.seed, what));
            self.first_broken.sort();
            self.first_broken.truncate(BROKEN_MAX);
        }
    }

    /// What to do about the first broken run.
    pub fn advice(&self) -> Option<String> {
        let (seed, what) = self.first_broken.first()?;
        Some(format!(
            "seed {seed} broke a promise: {what}\nsee its log with `kho-soak-simulation --seed {seed} --trace`, or KHO_SEED={seed} and the test"
        ))
    }
}

/// Runs `seeds` seeds from `from` on, `threads` at a time. `report_progress` receives the result so far after every run; when it returns
/// `false`, no further run is started.
pub fn run_many(from: u64, seeds: u64, threads: usize, report_progress: impl Fn(&Many) -> bool + Sync) -> Many {
    let (next, end) = (AtomicU64::new(from), from.saturating_add(seeds));
    let many = Mutex::new(Many::default());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let run = run(seed, false);
                    let mut many = many.lock();
                    many.add(run);
                    if !report_progress(&many) {
                        next.store(end, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    many.into_inner()
}

/// As many threads as the machine has cores.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
