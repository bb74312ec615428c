//! The words of `kho bench`: what is measured, for how long, and how it ends.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum as _};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    machine::Machine,
    measure::Measure,
    outcome::Outcome,
    progress,
    report::{Report, Settings},
    workbench::Workbench,
};
use crate::{
    commands::print,
    failure::{Failure, Verdict},
};

const EXAMPLES: &str = "\
Examples:
  kho bench
  kho bench site-latency site-singles --seconds 30
  kho bench tree-rows memory wire --no-peers --persons 1000000 --dir /var/tmp
  kho bench --json

Everything runs on this machine, on free ports of 127.0.0.1: Kho first, then the peer, under the
same load. Peers are etcd (three members) and PostgreSQL (logical replication through four tiers)
where they are installed; servers that run already are left alone. Syncs to the disk and TLS are on
everywhere. A missed goal is no error: the exit code tells only whether all was measured.";

/// Measure Kho and its peers in turn on this machine, and print how they compare.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// What to measure [default: all]
    #[arg(value_enum, value_name = "NAME")]
    measures: Vec<Measure>,

    /// Seconds of each measurement that takes a given time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    /// Persons that go through the tree
    #[arg(long, value_name = "N", default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1_000..=2_000_000))]
    persons: u64,

    /// Measure Kho alone
    #[arg(long)]
    no_peers: bool,

    /// Print every figure as JSON
    #[arg(long)]
    json: bool,

    /// Folder on the disk that is measured; what is made in it is removed at the end [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// What could not be measured. Everything that was started has ended by then.
pub async fn run(args: BenchArgs) -> Result<Verdict, Failure> {
    let measures = if args.measures.is_empty() { Measure::value_variants().to_vec() } else { args.measures };
    let parent = args.dir.unwrap_or_else(std::env::temp_dir);
    let bench = Workbench::new(measures.iter().copied().collect(), Duration::from_secs(args.seconds), args.persons, !args.no_peers, &parent)
        .map_err(|error| Failure::usage(format!("{error:#}"), "name a folder on a disk with --dir"))?;
    let machine = Machine::here(bench.dir());
    progress::begin(machine.text());
    if !machine.syncs_to_a_disk() {
        progress::note(format_args!("{} lies in memory, where syncs cost nothing; name a folder on a disk with --dir", parent.display()));
    }
    // The measurement is dropped when it is stopped, and with it every process that it started.
    let outcomes = tokio::select! {
        outcomes = bench.measure() => outcomes?,
        () = asked_to_stop() => return Err(Failure::refused("stopped before all was measured; everything that was started has ended", "give the same command again")),
    };
    let report = report(&bench, machine, Settings { measures: bench.measures.iter().copied().collect(), seconds: args.seconds, persons: args.persons }, outcomes);
    if args.json {
        print::json(&report)?
    } else {
        print::line(report.text())?
    }
    Ok(Verdict::Good)
}

fn report(bench: &Workbench, machine: Machine, settings: Settings, outcomes: Vec<Outcome>) -> Report {
    let version = |found: Result<&String, &String>| found.map_or_else(|why| format!("not measured: {why}"), String::clone);
    let peers = BTreeMap::from([("etcd", version(bench.etcd.as_ref().map(|etcd| &etcd.version))), ("PostgreSQL", version(bench.postgres.as_ref().map(|postgres| &postgres.version)))]);
    Report { date: jiff::Timestamp::now().strftime("%FT%TZ").to_string(), kho: env!("CARGO_PKG_VERSION"), machine, settings, peers, outcomes }
}

/// Returns on Ctrl-C and on SIGTERM.
async fn asked_to_stop() {
    let mut terminated = match signal(SignalKind::terminate()) {
        Ok(terminated) => terminated,
        Err(_) => return std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}
