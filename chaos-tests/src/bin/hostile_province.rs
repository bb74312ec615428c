//! `kho-hostile-province`: does, by hand, what no honest province does, and tells whether the parent saw through it.
//!
//! Exit code 0 when every attack came to what it must come to, 1 when the parent answered otherwise or could not be asked.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use kho_chaos_tests::hostile::{Attack, Ending, HostileProvince};
use kho_storage::ids::OriginId;

const EXAMPLES: &str = "\
Example, on the tree of a demonstration (`./ops/scripts/demo`), after the province's nodes were stopped:
  kho-hostile-province local-tree/site-3/node-1 --origin 4 --attack edit-row --attack transfer-extra-row

Most attacks need at least three batches of the origin that the parent lacks: stop the parent, enter some, stop the province, start
the parent. The node's folder is only read. Evidence and alarms stay at the parent: never use it on a tree that serves anybody.";

/// Lie to a parent with the keys and the data of a stopped node, and see what the parent makes of it.
#[derive(Debug, Parser)]
#[command(name = "kho-hostile-province", version, after_help = EXAMPLES)]
struct HostileArgs {
    /// Folder of the stopped node: khod.toml, its keys and its data
    dir: PathBuf,
    /// Origin to lie about
    #[arg(long, value_name = "ORIGIN")]
    origin: OriginId,
    /// What to do; may be repeated
    #[arg(long = "attack", value_enum, value_name = "ATTACKS", required = true)]
    attacks: Vec<Attack>,
    /// Where the parent answers [default: its first address in the register]
    #[arg(long, value_name = "HOST:PORT")]
    at: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match lie(&HostileArgs::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does all attacks; false when one came to another end than it must.
async fn lie(args: &HostileArgs) -> anyhow::Result<bool> {
    let province = HostileProvince::open(&args.dir, args.at)?;
    let mut as_expected = true;
    for attack in &args.attacks {
        let answer = province.perform(*attack, args.origin).await?;
        let (ending, expected) = (Ending::of(&answer), attack.ending());
        let verdict = if ending == expected { "as it must".to_string() } else { format!("but must be {expected:?}") };
        println!("{}: {ending:?}, {verdict}: {answer:?}", attack.name());
        as_expected &= ending == expected;
    }
    Ok(as_expected)
}
