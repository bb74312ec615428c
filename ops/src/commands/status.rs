//! `kho status`: how a node, its site and its streams are.

mod report;

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use clap::Args;
use kho_node::api::StatusReport;

use super::print;
use crate::{
    client::{ConnectionArgs, NodeClient},
    failure::{Failure, Verdict},
    language,
};

const EXAMPLES: &str = "\
Examples:
  kho status --node https://10.0.0.5:7443
  kho status --each --node https://10.0.0.5:7443 --node https://10.0.1.5:7443
  kho status --watch 2
  kho status --lang vi

Exit code 1 when a node is not healthy.";

/// Show site, nodes, leader, streams with their lag, watermarks, uplink, children, disk and alarms.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// Ask every --node instead of the first that answers
    #[arg(long)]
    each: bool,

    /// Ask again every so many seconds, until stopped
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600), conflicts_with = "json")]
    watch: Option<u64>,

    /// Print JSON: one report, or a list with --each
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Shows how nodes are.
///
/// # Errors
/// When a node does not answer.
pub async fn run(args: StatusArgs) -> Result<Verdict, Failure> {
    let clients = if args.each { args.connection.open_each()? } else { vec![args.connection.open()?] };
    match args.watch {
        Some(seconds) => watch(&clients, Duration::from_secs(seconds)).await,
        None => once(&clients, args.json, args.each).await,
    }
}

async fn once(clients: &[NodeClient], json: bool, each: bool) -> Result<Verdict, Failure> {
    let (mut reports, mut failed) = (Vec::new(), None);
    for client in clients {
        match client.status().await {
            Ok(report) => reports.push(report),
            // The other nodes are still worth showing; the first failure decides the exit code.
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match (json, each) {
        (true, true) => print::json(&reports)?,
        (true, false) => reports.iter().try_for_each(print::json)?,
        (false, _) => reports.iter().try_for_each(|report| print::line(report::text(report, language::current())))?,
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(verdict(&reports)),
    }
}

/// Shows reports until the user stops it.
async fn watch(clients: &[NodeClient], pause: Duration) -> Result<Verdict, Failure> {
    loop {
        let mut text = String::new();
        let mut reports = Vec::new();
        for client in clients {
            match client.status().await {
                Ok(report) => {
                    text.push_str(&report::text(&report, language::current()));
                    text.push('\n');
                    reports.push(report);
                }
                Err(error) => text.push_str(&format!("{}\n", Failure::from(error))),
            }
        }
        // Clears the screen and goes to its top left.
        let clear = if io::stdout().is_terminal() { "\x1b[2J\x1b[H" } else { "" };
        print::line(format!("{clear}{text}"))?;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = tokio::signal::ctrl_c() => return Ok(if reports.len() < clients.len() { Verdict::Bad } else { verdict(&reports) }),
        }
    }
}

fn verdict(reports: &[StatusReport]) -> Verdict {
    if reports.iter().all(|report| report.health.is_healthy()) { Verdict::Good } else { Verdict::Bad }
}
