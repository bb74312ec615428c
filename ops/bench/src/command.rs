//! The words of `kho bench`: what is measured, for how long, and how it ends.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::Parser;
use kho_ops::{
    commands::print,
    failure::{Failure, Verdict},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    machine::Machine,
    measure::Measure,
    progress,
    report::{Report, Settings},
    run::{Measured, measure},
    workbench::{Wanted, Workbench},
};

const EXAMPLES: &str = "\
Examples:
  kho bench
  kho bench site-latency site-singles --seconds 30 --runs 5
  kho bench tree-rows memory wire --no-peers --persons 1000000 --dir /var/tmp
  kho bench start join --rows-held 1000000
  kho bench --long --json

Without names, what has a goal is measured, some five minutes a run. --long adds start, join,
backlog, idle-children and growth, which have none and take some 20 minutes and 20 GB of disk at
their full size.

Everything runs on this machine, on free ports of 127.0.0.1: Kho and its peer in turn, under the
same load. Peers are etcd (three members) and PostgreSQL (logical replication through four tiers)
where they are installed; servers that run already are left alone. Syncs to the disk and TLS are on
everywhere. A missed goal is no error: the exit code tells only whether all was measured.";

/// Measure Kho and its peers in turn on this machine, and print how they compare.
#[derive(Debug, Parser)]
#[command(name = "kho-bench", bin_name = "kho bench", version, after_help = EXAMPLES)]
pub struct BenchArgs {
    /// What to measure [default: all that has a goal]
    #[arg(value_enum, value_name = "NAME")]
    measures: Vec<Measure>,

    /// Measure what takes long and has no goal too
    #[arg(long)]
    long: bool,

    /// Seconds of each measurement that takes a given time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    /// Persons that go through the tree
    #[arg(long, value_name = "N", default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1_000..=2_000_000))]
    persons: u64,

    /// How often to measure what has a goal, Kho and its peers in turn; the medians are compared
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=25))]
    runs: u16,

    /// Rows of the site of `start` and `join`
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
    rows_held: u64,

    /// Rows up to which `growth` goes
    #[arg(long, value_name = "N", default_value_t = 30_000_000, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
    rows_max: u64,

    /// Persons of a district of `backlog`
    #[arg(long, value_name = "N", default_value_t = 170_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    district_persons: u64,

    /// Children of `idle-children`
    #[arg(long, value_name = "N", default_value_t = 700, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    children: u32,

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

impl BenchArgs {
    fn wanted(&self) -> Wanted {
        let named = self.measures.iter().copied();
        let measures = if self.measures.is_empty() {
            Measure::usual(self.long).collect()
        } else {
            named.chain(Measure::LONG.into_iter().filter(|_| self.long)).collect()
        };
        Wanted {
            measures,
            length: Duration::from_secs(self.seconds),
            persons: self.persons,
            runs: self.runs.into(),
            with_peers: !self.no_peers,
            rows_held: self.rows_held,
            rows_max: self.rows_max,
            district_persons: self.district_persons,
            children: self.children,
        }
    }
}

/// Measures and prints.
///
/// # Errors
/// What could not be measured. Everything that was started has ended by then.
pub async fn run(args: BenchArgs) -> Result<Verdict, Failure> {
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut bench = Workbench::new(args.wanted(), &parent)
        .map_err(|error| Failure::usage(format!("{error:#}"), "name a folder on a disk with --dir"))?;
    let machine = Machine::here(bench.dir());
    progress::begin(machine.text());
    if !machine.syncs_to_a_disk() {
        progress::note(format_args!("{} lies in memory, where syncs cost nothing; name a folder on a disk with --dir", parent.display()));
    }
    // The measurement is dropped when it is stopped, and with it every process that it started.
    let measured = tokio::select! {
        measured = measure(&mut bench) => measured?,
        () = asked_to_stop() => return Err(Failure::refused("stopped before all was measured; everything that was started has ended", "give the same command again")),
    };
    let report = report(&bench, machine, measured);
    if args.json {
        print::json(&report)?;
    } else {
        print::line(report.text())?;
    }
    Ok(Verdict::Good)
}

fn report(bench: &Workbench, machine: Machine, measured: Measured) -> Report {
    let version = |found: Result<&String, &String>| found.map_or_else(|why| format!("not measured: {why}"), String::clone);
    let peers = BTreeMap::from([
        ("etcd", version(bench.etcd.as_ref().map(|etcd| &etcd.version))),
        ("PostgreSQL", version(bench.postgres.as_ref().map(|postgres| &postgres.version))),
    ]);
    let wanted = &bench.wanted;
    let settings = Settings {
        measures: wanted.measures.iter().copied().collect(),
        seconds: wanted.length.as_secs(),
        persons: wanted.persons,
        runs: wanted.runs,
        rows_held: wanted.rows_held,
        rows_max: wanted.rows_max,
        district_persons: wanted.district_persons,
        children: wanted.children,
    };
    let Measured { outcomes, observations } = measured;
    Report {
        date: jiff::Timestamp::now().strftime("%FT%TZ").to_string(),
        kho: env!("CARGO_PKG_VERSION"),
        machine,
        settings,
        peers,
        outcomes,
        observations,
    }
}

/// Returns on Ctrl-C and on SIGTERM.
async fn asked_to_stop() {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_shows_examples_and_all_are_accepted() {
        assert_eq!(kho_ops::help_rules::check::<BenchArgs>("kho bench"), 5);
    }
}
