//! Measurements in a site of three nodes: of Kho, then of etcd.
//!
//! Both have three processes on this machine, TLS with certificates on both sides, and a sync before anything is acknowledged.
//! Every client has a connection of its own; clients are spread evenly over the three nodes, so that most of them do not speak to the
//! leader. A client that measures alone writes to the three nodes in turn, so its median is that of a node that passes on.

mod in_turn;
mod kho;

use std::{ops::Range, sync::Arc, time::Duration};

use serde_json::json;

use self::{in_turn::InTurn, kho::KhoSite};
use super::{
    etcd::EtcdCluster,
    figure::{Figure, Unit},
    load::{Load, LoadReport, LoadTime, Writer, run_load},
    measure::{Measure, SITE_BATCHES, SITE_LATENCY, SITE_SINGLES, Target},
    outcome::{Outcome, PeerFigure},
    progress,
    workbench::Workbench,
};

/// Nodes of the site, and members of the peer.
pub const NODES: usize = 3;

/// Records made in advance for one measurement; they are held in memory.
const RECORDS_MAX: u64 = 1_500_000;

/// Three nodes that take writes.
pub trait Site {
    type Writer: Writer;

    /// A client with a connection of its own to one of the nodes, `0..NODES`.
    async fn writer(&self, node: usize) -> anyhow::Result<Self::Writer>;
}

/// How one of the measurements loads a site.
struct Kind {
    target: Target,
    clients: usize,
    write_records: u64,
    /// So many records a second are made in advance. A site that is faster ends earlier.
    records_per_second_max: u64,
}

/// In the order in which they are run: a site that holds more is slower, if anything.
const KINDS: [Kind; 3] = [
    Kind { target: SITE_LATENCY, clients: 1, write_records: 1, records_per_second_max: 5_000 },
    Kind { target: SITE_SINGLES, clients: 256, write_records: 1, records_per_second_max: 30_000 },
    Kind { target: SITE_BATCHES, clients: 16, write_records: 100, records_per_second_max: 100_000 },
];

/// Runs those of the three measurements that are wanted.
///
/// # Errors
/// When a node can't be started or a write failed.
pub async fn measure_site(bench: &Workbench) -> anyhow::Result<Vec<Outcome>> {
    let kinds: Vec<&Kind> = KINDS.iter().filter(|kind| bench.wants(kind.target.measure)).collect();
    if kinds.is_empty() {
        return Ok(vec![]);
    }
    let time = LoadTime { warm_up: bench.length / 5, measured: bench.length };
    let loads = loads_of(&kinds, time.warm_up + time.measured);
    let count = loads.last().map_or(0, |load| load.records.end);
    progress::begin(format_args!("Making {count} synthetic persons"));
    let persons = Arc::new(bench.persons(count).await?);

    progress::begin("Kho: a site of three nodes");
    let mut site = KhoSite::start(&bench.folder("kho-site"), Arc::clone(&persons)).await?;
    let of_kho = run_all(&site, &kinds, &loads, time).await?;
    site.stop()?;
    drop(site);

    let of_etcd = match &bench.etcd {
        Ok(etcd) => {
            progress::begin(format_args!("etcd {}: three members", etcd.version));
            let cluster = EtcdCluster::start(etcd, &bench.folder("etcd")).await?;
            Some(run_all(&cluster, &kinds, &loads, time).await?)
        }
        Err(why) => {
            progress::note(why);
            None
        }
    };
    let reports = of_kho.into_iter().enumerate().map(|(place, report)| (report, of_etcd.as_ref().map(|reports| reports[place])));
    let mut outcomes: Vec<Outcome> = kinds.iter().zip(reports).map(|(kind, (kho, etcd))| outcome(kind, &kho, etcd.as_ref())).collect();
    outcomes.sort_by_key(|outcome| outcome.target.measure);
    Ok(outcomes)
}

/// Every load writes records of its own.
fn loads_of(kinds: &[&Kind], time: Duration) -> Vec<Load> {
    let mut end = 0;
    kinds
        .iter()
        .map(|kind| {
            let start = end;
            end += (kind.records_per_second_max * time.as_secs().max(1)).min(RECORDS_MAX);
            Load { clients: kind.clients, write_records: kind.write_records, records: Range { start, end } }
        })
        .collect()
}

async fn run_all<S: Site>(site: &S, kinds: &[&Kind], loads: &[Load], time: LoadTime) -> anyhow::Result<Vec<LoadReport>> {
    let mut reports = Vec::new();
    for (kind, load) in kinds.iter().zip(loads) {
        let report = run_load(load, clients_of(site, load).await?, time).await?;
        progress::note(format_args!("{}: {}", kind.target.what, figure(kind, &report)));
        reports.push(report);
    }
    Ok(reports)
}

async fn clients_of<S: Site>(site: &S, load: &Load) -> anyhow::Result<Vec<InTurn<S::Writer>>> {
    let mut clients = Vec::new();
    for client in 0..load.clients {
        let nodes = if load.clients == 1 { 0..NODES } else { client % NODES..client % NODES + 1 };
        let mut writers = Vec::new();
        for node in nodes {
            writers.push(site.writer(node).await?);
        }
        clients.push(InTurn::new(writers));
    }
    Ok(clients)
}

fn figure(kind: &Kind, report: &LoadReport) -> Figure {
    match kind.target.measure {
        Measure::SiteLatency => Figure::new(report.write_seconds.p50, Unit::Seconds),
        Measure::SiteSingles => Figure::new(report.records_per_second, Unit::WritesPerSecond),
        _ => Figure::new(report.records_per_second, Unit::RowsPerSecond),
    }
}

fn outcome(kind: &Kind, kho: &LoadReport, etcd: Option<&LoadReport>) -> Outcome {
    let peer = etcd.map(|report| PeerFigure { name: "etcd", figure: figure(kind, report) });
    Outcome { target: kind.target, kho: figure(kind, kho), peer, details: json!({ "kho": kho, "peer": etcd }), note: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_written_by_two_loads() {
        let loads = loads_of(&KINDS.iter().collect::<Vec<_>>(), Duration::from_secs(12));
        assert_eq!(loads[0].records, 0..60_000);
        assert!(loads.windows(2).all(|pair| pair[0].records.end == pair[1].records.start));
    }
}
