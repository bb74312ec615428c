//! `kho status`: how a node, its site and its streams are.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use clap::Args;
use kho_node::api::{Alarm, StatusReport, StreamReport, text};

use super::print::{self, number};
use crate::{
    client::{ConnectionArgs, NodeClient},
    failure::{Failure, Verdict},
};

const EXAMPLES: &str = "\
Examples:
  kho status --node https://10.0.0.5:7443
  kho status --each --node https://10.0.0.5:7443 --node https://10.0.1.5:7443
  kho status --watch 2

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
        (false, _) => reports.iter().try_for_each(|report| print::line(report_text(report)))?,
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
                    text.push_str(&report_text(&report));
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

fn report_text(report: &StatusReport) -> String {
    let mut parts = vec![
        format!("{} (site {}, {}) of tree {}: {}", report.site_name, report.site, report.tier, report.tree, text::health(&report.health)),
        format!(
            "answered by node {} (khod {}) at {}, register version {}",
            report.node, report.version, report.now, report.register_version
        ),
    ];
    parts.extend(
        report.findings.iter().map(|finding| format!("FINDING {}: {}", text::severity(finding.severity()), text::finding(finding))),
    );
    parts.extend(report.alarms.iter().map(alarm_text));
    parts.push(nodes_text(report));
    parts.push(streams_text(&report.streams));
    parts.push(uplink_text(report));
    if !report.children.is_empty() {
        parts.push(children_text(report));
    }
    let disk = &report.disk;
    let spaces: Vec<String> = disk.spaces.iter().map(|(name, size)| format!("{name} {}", print::bytes(*size))).collect();
    parts.push(format!(
        "disk: {} free of {}; log {}; {}",
        print::bytes(disk.free_bytes),
        print::bytes(disk.total_bytes),
        print::bytes(disk.log_bytes),
        spaces.join(", ")
    ));
    parts.join("\n")
}

fn alarm_text(alarm: &Alarm) -> String {
    let (severity, subject) = (text::severity(alarm.severity), text::subject(&alarm.subject));
    format!("ALARM {severity}, {subject}, since {}: {}", alarm.since, text::alarm(&alarm.kind))
}

fn nodes_text(report: &StatusReport) -> String {
    let consensus = &report.consensus;
    let mut table = print::table(&["node", "role", "QUIC", "HTTPS", "behind the leader"]);
    for node in &consensus.nodes {
        let role = match (consensus.leader == Some(node.node), node.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        let lag = node.lag_entries.map_or_else(|| "–".into(), print::grouped);
        table.add_row([number(node.node), role.into(), node.quic_address.as_str().into(), node.https_address.as_str().into(), number(lag)]);
    }
    let leader = consensus.leader.map_or_else(|| "no leader".into(), |leader| format!("leader {leader}"));
    format!(
        "this node: {}; {leader}, term {}, log {}, applied {}, log snapshot {}\n{table}",
        text::role(consensus.role),
        consensus.term,
        consensus.last_log,
        consensus.applied,
        consensus.snapshot
    )
}

fn streams_text(streams: &[StreamReport]) -> String {
    if streams.is_empty() {
        return "no stream is held yet".into();
    }
    let mut table = print::table(&["origin", "author", "state", "last batch", "rows", "complete up to", "age", "lag", "kept", "digest"]);
    for stream in streams {
        table.add_row([
            number(stream.origin),
            stream.author_name.as_str().into(),
            text::stream_state(&stream.state).into(),
            number(print::grouped(stream.seq)),
            number(print::grouped(stream.rows)),
            stream.watermark.as_str().into(),
            number(print::age(stream.watermark_age_seconds)),
            number(lag_text(stream)),
            number(format!("{} / {}", print::grouped(stream.kept_batches), print::bytes(stream.kept_bytes))),
            stream.digest.chars().take(12).collect::<String>().into(),
        ]);
    }
    table.to_string()
}

/// Batches and seconds that the active parent has not acknowledged.
fn lag_text(stream: &StreamReport) -> String {
    match (stream.lag_batches, stream.lag_seconds) {
        (None, _) => "–".into(),
        (Some(0), _) => "0".into(),
        (Some(batches), None) => format!("{} batches", print::grouped(batches)),
        (Some(batches), Some(seconds)) => format!("{} batches, {}", print::grouped(batches), print::age(seconds)),
    }
}

fn uplink_text(report: &StatusReport) -> String {
    let uplink = &report.uplink;
    let to =
        uplink.parent.map_or_else(String::new, |parent| format!(" to site {parent}{}", if uplink.stand_in { " (a stand-in)" } else { "" }));
    let mut text = format!("uplink: {}{to}", text::uplink_state(&uplink.state));
    for parked in &uplink.parked {
        text.push_str(&format!("\n  parked: {}", text::parked(parked)));
    }
    text
}

fn children_text(report: &StatusReport) -> String {
    let mut table = print::table(&["child", "site", "node", "connected", "last heard"]);
    for child in &report.children {
        let connected = if child.connected { "yes" } else { "no" };
        table.add_row([
            child.name.as_str().into(),
            number(child.site),
            number(child.node),
            connected.into(),
            child.last_heard.as_str().into(),
        ]);
    }
    table.to_string()
}
