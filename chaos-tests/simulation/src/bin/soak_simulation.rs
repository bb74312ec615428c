//! `kho-soak-simulation`: the tree of sites in virtual time, for as many seeds as wanted, or one of them with its log.

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use clap::Parser;
use kho_simulation::{
    many::{Many, cores, run_many},
    run,
};
use serde_json::json;

/// Simulate a tree of seven sites under faults, one run for each seed, and report which promise was broken, if any.
///
/// Exit code: 0 when every promise held, 1 when one was broken, 2 for a wrong call.
#[derive(Debug, Parser)]
#[command(name = "kho-soak-simulation", version)]
struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this seed
    #[arg(long, conflicts_with_all = ["seeds", "from", "threads"])]
    seed: Option<u64>,
    /// Print the log of the one seed
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Runs at a time [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// The result as JSON on standard output
    #[arg(long)]
    json: bool,
}

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let args = Args::parse();
    match args.seed {
        Some(seed) => one(seed, &args),
        None => many(&args),
    }
}

fn one(seed: u64, args: &Args) -> ExitCode {
    let run = run(seed, args.trace);
    if args.json {
        println!("{}", json!({ "seed": seed, "virtual_ms": run.lasted_ms, "broken": run.broken, "trace": run.trace }));
    } else {
        run.trace.iter().for_each(|line| println!("{line}"));
        match &run.broken {
            Some(what) => println!("seed {seed}: broken: {what}"),
            None => println!("seed {seed}: every promise held over {} s of virtual time", run.lasted_ms / 1000),
        }
    }
    exit_code(run.broken.is_none())
}

fn many(args: &Args) -> ExitCode {
    let started = Instant::now();
    let reported_at = AtomicU64::new(0);
    let many = run_many(args.from, args.seeds, args.threads.unwrap_or_else(cores), |many| {
        let due = started.elapsed().as_secs() / PROGRESS.as_secs();
        if reported_at.fetch_max(due, Ordering::Relaxed) < due {
            let broken = match many.first_broken.first() {
                Some((seed, _)) => format!("{} broken, the first by seed {seed}", many.broken),
                None => "none broken".into(),
            };
            eprintln!("{} of {} runs, {broken}, {} s", many.runs, args.seeds, started.elapsed().as_secs());
        }
        true
    });
    if args.json {
        println!("{}", report(&many, args, started.elapsed()));
    } else {
        println!("{}", many.counts.table());
        println!(
            "{} runs in {:.0} s: {:.1} days of virtual time, {} broken",
            many.runs,
            started.elapsed().as_secs_f64(),
            many.lasted_ms as f64 / 86_400_000.0,
            many.broken
        );
        println!("known limit, a transfer over an indistinguishable history: {}", many.counts.indistinguishable);
        many.counts.unforeseen().iter().for_each(|way| println!("unforeseen: {way}"));
        many.first_broken.iter().for_each(|(seed, what)| println!("seed {seed}: {what}"));
        many.advice().iter().for_each(|advice| println!("{advice}"));
    }
    exit_code(many.broken == 0 && many.counts.unforeseen().is_empty())
}

fn report(many: &Many, args: &Args, took: Duration) -> serde_json::Value {
    let counts: Vec<_> =
        many.counts.rows().into_iter().map(|(kind, what, times)| json!({ "kind": kind, "what": what, "times": times })).collect();
    let broken: Vec<_> = many.first_broken.iter().map(|(seed, what)| json!({ "seed": seed, "what": what })).collect();
    json!({
        "from": args.from,
        "runs": many.runs,
        "seconds": took.as_secs_f64(),
        "virtual_ms": many.lasted_ms,
        "broken": many.broken,
        "first_broken": broken,
        "counts": counts,
        "indistinguishable": many.counts.indistinguishable,
        "unforeseen": many.counts.unforeseen(),
    })
}

fn exit_code(held: bool) -> ExitCode {
    if held { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
