//! `kho-soak-faults`: plays fault scenes at random, one after another, each on a tree of its own, under the recorded workload and
//! ended by all checks.
//!
//! Exit code 0 when every scene held, 1 when one did not. What this machine can't play is counted as not run, never as held.

use std::{collections::BTreeMap, process::ExitCode, time::Instant};

use clap::Parser;
use kho_chaos_tests::{
    Stage,
    recorder::Recorded,
    scenes::{Round, Scene},
};
use serde::Serialize;

/// Play fault scenes at random on real processes: kills, cut and degraded links, full disks, clocks, flipped bits, power cuts.
#[derive(Debug, Parser)]
#[command(
    name = "kho-soak-faults",
    version,
    after_help = "Examples:\n  kho-soak-faults --rounds 50 --json\n  kho-soak-faults --rounds 1 --seed 4711     plays a scene that failed again"
)]
struct SoakArgs {
    /// How many scenes
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Seed of the first round; each round has the next one [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What the scenes came to.
#[derive(Debug, Default, Serialize)]
struct FaultsReport {
    first_seed: u64,
    rounds: u32,
    held: BTreeMap<Scene, u32>,
    not_run: BTreeMap<Scene, u32>,
    /// Over all scenes: requests acknowledged and unknown, sightings of nodes, batches read back and compared.
    acknowledged: usize,
    unknown: usize,
    sightings: usize,
    batches_read_back: usize,
    failed: Vec<FailedScene>,
    holds: bool,
}

#[derive(Debug, Serialize)]
struct FailedScene {
    seed: u64,
    scene: Scene,
    why: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = SoakArgs::parse();
    let report = soak(&args).await;
    let text = if args.json { serde_json::to_string_pretty(&report).unwrap_or_default() } else { report.text() };
    println!("{text}");
    if report.holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn soak(args: &SoakArgs) -> FaultsReport {
    let first_seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut report = FaultsReport { first_seed, rounds: args.rounds, ..FaultsReport::default() };
    for round in 0..args.rounds {
        let seed = first_seed + u64::from(round);
        let drawn = Round::drawn(seed);
        let scene = drawn.scene;
        if let Err(why) = scene.may_be_played() {
            eprintln!("round {} of {}, seed {seed}, {scene:?}: not run: {why}", round + 1, args.rounds);
            *report.not_run.entry(scene).or_default() += 1;
            continue;
        }
        let begun = Instant::now();
        let outcome = play(drawn).await;
        let took = begun.elapsed().as_secs_f64();
        eprintln!(
            "round {} of {}, seed {seed}, {scene:?}: {} after {took:.0} s",
            round + 1,
            args.rounds,
            if outcome.is_ok() { "held" } else { "BROKEN" }
        );
        match outcome {
            Ok(recorded) => {
                *report.held.entry(scene).or_default() += 1;
                report.acknowledged += recorded.acknowledged;
                report.unknown += recorded.unknown;
                report.sightings += recorded.sightings;
                report.batches_read_back += recorded.batches_read_back;
            }
            Err(why) => report.failed.push(FailedScene { seed, scene, why }),
        }
    }
    report.holds = report.failed.is_empty();
    report
}

/// Plays one round. A failure comes with the ends of the nodes' logs.
async fn play(round: Round) -> Result<Recorded, String> {
    let mut stage = Stage::create(round.scene.plan()).map_err(|error| format!("{error:#}"))?;
    let outcome = round.play(&mut stage).await;
    outcome.map_err(|error| format!("{error:#}\n{}", stage.logs()))
}

impl FaultsReport {
    fn text(&self) -> String {
        let counts =
            |of: &BTreeMap<Scene, u32>| of.iter().map(|(scene, times)| format!("{scene:?} {times}")).collect::<Vec<_>>().join(", ");
        let mut text = format!("{} rounds from seed {}\nheld: {}\n", self.rounds, self.first_seed, counts(&self.held));
        if !self.not_run.is_empty() {
            text.push_str(&format!("not run: {}\n", counts(&self.not_run)));
        }
        text.push_str(&format!(
            "{} requests acknowledged and kept, {} of unknown outcome, {} sightings of nodes, {} batches read back\n",
            self.acknowledged, self.unknown, self.sightings, self.batches_read_back
        ));
        for failed in &self.failed {
            text.push_str(&format!("BROKEN: seed {}, {:?}: {}\n", failed.seed, failed.scene, failed.why));
        }
        text
    }
}
