//! `kho-soak-linearizability`: records histories of a site under disturbance and judges each.
//!
//! Exit code 0 when every history is linearizable, 1 when one is not or the site did not come back.

use std::process::ExitCode;

use clap::Parser;
use kho_chaos_tests::{
    Stage,
    linearizability::{LinearizabilityReport, ReadMode, measure, plan},
    soak,
};

/// Record histories of at least 200 calls inside a site whose nodes are killed, paused and cut off; judge whether each is
/// linearizable.
#[derive(Debug, Parser)]
#[command(
    name = "kho-soak-linearizability",
    version,
    after_help = "Examples:\n  kho-soak-linearizability --histories 1000 --json\n  kho-soak-linearizability --histories 10 --read-local     shows that stale reads are found: ends with code 1"
)]
struct SoakArgs {
    /// How many histories
    #[arg(long, default_value_t = 1_000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    histories: u32,
    /// Seed of everything that is drawn [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Read what nodes have applied instead of linearizably
    #[arg(long)]
    read_local: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = SoakArgs::parse();
    soak::exit_code(run(&args).await.and_then(|measured| report(&measured, args.json)))
}

async fn run(args: &SoakArgs) -> anyhow::Result<LinearizabilityReport> {
    let seed = args.seed.unwrap_or_else(rand::random);
    eprintln!("seed {seed}");
    let read = if args.read_local { ReadMode::Local } else { ReadMode::Linearizable };
    let mut stage = Stage::create(plan())?;
    let histories = usize::try_from(args.histories)?;
    measure(&mut stage, histories, seed, read, |number, disturbance| eprintln!("history {number} of {histories}: {disturbance:?}")).await
}

fn report(measured: &LinearizabilityReport, json: bool) -> anyhow::Result<bool> {
    if json {
        println!("{}", serde_json::to_string_pretty(measured)?);
    } else {
        print!("{}", measured.text());
    }
    Ok(measured.holds)
}
