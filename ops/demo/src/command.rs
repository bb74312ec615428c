//! The words of `kho demo`, and how the tree of a demonstration is started again and stopped.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::{Args, Parser};
use kho_local_tree::{LocalTree, ask_to_stop, khod_beside};
use kho_ops::failure::{Failure, Verdict};

use crate::{addresses::print_addresses, demonstration::demonstrate, plan::RunArgs, step::is_khod};

/// How long nodes may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// The demonstration: a local tree that is entered, replicated, broken on the way, proven and queried.
#[derive(Debug, Parser)]
#[command(name = "kho-demo", bin_name = "kho demo", version, propagate_version = true, arg_required_else_help = true)]
pub enum DemoCommand {
    /// Create a tree, enter a province, kill a leader on the way, prove all replicas equal, query the centre.
    #[command(
        after_help = "Example:\n  kho demo run --dir local-tree\n  kho demo run --dir local-tree --province 75 --persons 200000 --districts 3 --leave-running"
    )]
    Run(RunArgs),
    /// Start a tree again that a demonstration left stopped.
    #[command(after_help = "Example:\n  kho demo start --dir local-tree")]
    Start(DirArgs),
    /// Stop a tree that a demonstration left running.
    #[command(after_help = "Example:\n  kho demo stop --dir local-tree")]
    Stop(DirArgs),
}

/// Which tree.
#[derive(Debug, Args)]
pub struct DirArgs {
    /// Folder of the tree.
    #[arg(long, default_value = "local-tree", value_name = "DIR")]
    dir: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// The step that failed.
pub async fn run(command: DemoCommand) -> Result<Verdict, Failure> {
    let done = match command {
        DemoCommand::Run(args) => demonstrate(args).await,
        DemoCommand::Start(args) => start(&args.dir).await,
        DemoCommand::Stop(args) => stop(&args.dir),
    };
    done.map(|()| Verdict::Good).map_err(Failure::from)
}

async fn start(dir: &Path) -> anyhow::Result<()> {
    let mut tree = LocalTree::open(dir, &khod_beside()?)?;
    tree.start().await?;
    print_addresses(&tree)?;
    tree.leave_running()
}

fn stop(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join("running.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("no tree runs in {}", dir.display()))?;
    let ids: Vec<u32> = serde_json::from_str(&text).with_context(|| format!("{} can't be read", path.display()))?;
    let running: Vec<u32> = ids.into_iter().filter(|id| is_khod(*id) && ask_to_stop(*id).is_ok()).collect();
    let deadline = Instant::now() + STOP_TIMEOUT;
    while running.iter().any(|id| is_khod(*id)) {
        if Instant::now() > deadline {
            bail!("some nodes did not stop in {} s; see khod.log in the folders below {}", STOP_TIMEOUT.as_secs(), dir.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::remove_file(&path)?;
    println!("{} nodes have stopped", running.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_every_command_shows_an_example_and_all_are_accepted() {
        assert_eq!(kho_ops::help_rules::check::<DemoCommand>("kho demo"), 4);
    }
}
