//! `kho upgrade`: who holds the tree back, and raising the level of a site.

mod report;

use clap::{Args, Subcommand};
use kho_node::api::UpgradeReport;

use super::print;
use crate::{
    client::ConnectionArgs,
    failure::{Failure, Verdict},
    language,
};

/// Upgrade a site: see who holds the tree back, and raise the level at which the site works.
#[derive(Debug, Subcommand)]
pub enum UpgradeCommand {
    /// Show which levels the nodes of the site, its parent and its children support, and who holds the tree back.
    #[command(
        after_help = "Example:\n  kho upgrade status --node https://10.0.0.5:7443\n\nExit code 1 when somebody holds the tree back, or does not say what it supports."
    )]
    Status(StatusArgs),
    /// Raise the level of the site, for good. It is refused unless every node supports the level and the parent works at it.
    #[command(
        after_help = "Examples:\n  kho upgrade raise --dry-run --node https://10.0.0.5:7443\n  kho upgrade raise --node https://10.0.0.5:7443\n\nA level is never lowered: once raised, an older Kho starts no node of the site any more."
    )]
    Raise(RaiseArgs),
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub struct RaiseArgs {
    /// The level to raise to [default: the highest that the node supports which answers]
    #[arg(long, value_name = "LEVEL")]
    to: Option<u16>,
    /// Only check whether it could be raised
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Shows who holds the tree back, or raises a level.
///
/// # Errors
/// When no node answers, or the level is not raised.
pub async fn run(command: UpgradeCommand) -> Result<Verdict, Failure> {
    match command {
        UpgradeCommand::Status(args) => status(&args).await,
        UpgradeCommand::Raise(args) => {
            let done = args.connection.open()?.raise_level(args.to, args.dry_run).await?;
            if args.json {
                print::json(&done)?;
            } else {
                print::line(&done.done)?;
            }
            Ok(Verdict::Good)
        }
    }
}

async fn status(args: &StatusArgs) -> Result<Verdict, Failure> {
    let mut report = args.connection.open()?.upgrade_status().await?;
    // The leader knows more. When it does not answer, what is known here is still worth showing.
    if let Some(leader) = report.leader_https.as_deref().and_then(|leader| leader.parse().ok()) {
        let connection = ConnectionArgs { nodes: vec![leader], ..args.connection.clone() };
        report = connection.open()?.upgrade_status().await.unwrap_or(report);
    }
    if args.json {
        print::json(&report)?;
    } else {
        print::line(report::text(&report, language::current()))?;
    }
    Ok(verdict(&report))
}

fn verdict(report: &UpgradeReport) -> Verdict {
    if report.held_back.is_empty() { Verdict::Good } else { Verdict::Bad }
}
