//! `kho-soak-failover`: kills the leader of a site under load many times and reports how long no write went through.
//!
//! Exit code 0 when at most one of 300 rounds took longer than 2 s, 1 when more did or a row was lost or doubled.

use std::process::ExitCode;

use clap::Parser;
use kho_chaos_tests::{
    Stage,
    failover::{FailoverReport, measure, plan},
    soak,
};

/// Kill the leader of a site under load many times; report how long it takes until the next write is acknowledged.
#[derive(Debug, Parser)]
#[command(name = "kho-soak-failover", version, after_help = "Example:\n  kho-soak-failover --rounds 300 --json")]
struct SoakArgs {
    /// How often the leader is killed
    #[arg(long, default_value_t = 300, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Nodes of the site: 3 or 5
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(3..=5))]
    nodes: u64,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = SoakArgs::parse();
    soak::exit_code(run(&args).await.and_then(|measured| report(&measured, args.json)))
}

async fn run(args: &SoakArgs) -> anyhow::Result<FailoverReport> {
    anyhow::ensure!(args.nodes % 2 == 1, "a site has 3 or 5 nodes, not {}", args.nodes);
    let mut stage = Stage::create(plan(args.nodes))?;
    let rounds = usize::try_from(args.rounds)?;
    measure(&mut stage, rounds, |round, time| eprintln!("round {round} of {rounds}: {} ms", time.as_millis())).await
}

fn report(measured: &FailoverReport, json: bool) -> anyhow::Result<bool> {
    println!("{}", if json { serde_json::to_string_pretty(measured)? } else { measured.text() });
    Ok(measured.holds)
}
