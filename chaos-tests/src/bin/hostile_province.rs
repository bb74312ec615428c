//! `kho-hostile-province`: attacks a parent by hand, as no honest province does, and reports whether the parent refused each attack.
//!
//! Exit code 0 when every attack ended as it must, 1 when the parent answered otherwise or could not be reached.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use kho_chaos_tests::hostile::{Attack, Ending, HostileProvince};
use kho_storage::ids::OriginId;

const EXAMPLES: &str = "\
Example, on the tree of a demonstration (`./ops/scripts/demo`), after the province's nodes were stopped:
  kho-hostile-province local-tree/site-3/node-1 --origin 4 --attack edit-row --attack transfer-extra-row

Most attacks need at least three batches of the origin that the parent lacks: stop the parent, enter some, stop the province, start
the parent. The node's folder is only read. Evidence and alarms stay at the parent: never use it on a tree that is in use.";

/// Attack a parent with the keys and the data of a stopped node, and check how the parent answers.
#[derive(Debug, Parser)]
#[command(name = "kho-hostile-province", version, after_help = EXAMPLES)]
struct HostileArgs {
    /// Folder of the stopped node: khod.toml, its keys and its data
    dir: PathBuf,
    /// Origin to attack
    #[arg(long, value_name = "ORIGIN")]
    origin: OriginId,
    /// Attack to carry out; may be repeated
    #[arg(long = "attack", value_enum, value_name = "ATTACK", required = true)]
    attacks: Vec<Attack>,
    /// Where the parent answers [default: its first address in the register]
    #[arg(long, value_name = "HOST:PORT")]
    at: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match attack(&HostileArgs::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Carries out all attacks. Returns false when one ended otherwise than it must.
async fn attack(args: &HostileArgs) -> anyhow::Result<bool> {
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
