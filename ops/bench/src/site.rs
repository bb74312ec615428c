//! Measurements in a site of three nodes, of Kho and of etcd; who comes first changes from run to run.
//!
//! ```text
//!   loads                        Kho                                     etcd
//!   latency, singles, batches    site under the population schema        three members
//!   records                      site under a schema without cubes       three members, empty again
//! ```
//! etcd writes records of 256 bytes in all of them; a person takes about 150 as CSV, and is counted in cubes too.
//! Both have three processes on this machine, TLS with certificates on both sides, and a sync before anything is acknowledged.
//! Every client has a connection of its own; clients are spread evenly over the three nodes, so that most of them do not speak to the
//! leader. A client that measures alone writes to the three nodes in turn, so its median is that of a node that passes on.

mod in_turn;
mod kho;
pub mod nodes;

use std::{ops::Range, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::json;

use self::{
    in_turn::InTurn,
    kho::{KhoSite, Rows},
    nodes::{NODES, Site},
};
use crate::{
    etcd::EtcdCluster,
    figure::{Figure, Unit},
    load::{Load, LoadReport, LoadTime, run_load},
    measure::{Measure, SITE_BATCHES, SITE_LATENCY, SITE_RECORDS, SITE_SINGLES, Target},
    outcome::{Outcome, PeerFigure},
    progress,
    workbench::Workbench,
};

/// Records made in advance for one measurement; they are held in memory.
const RECORDS_MAX: u64 = 1_500_000;

/// How one of the measurements loads a site.
struct Kind {
    target: Target,
    /// Whether Kho writes persons; otherwise it writes records of 256 bytes, as the peer does in any case.
    of_persons: bool,
    clients: usize,
    write_records: u64,
    /// So many records a second are made in advance. A site that is faster ends earlier.
    records_per_second_max: u64,
}

/// In the order in which they are run: a site that holds more is slower, if anything.
const KINDS: [Kind; 4] = [
    Kind { target: SITE_LATENCY, of_persons: true, clients: 1, write_records: 1, records_per_second_max: 5_000 },
    Kind { target: SITE_SINGLES, of_persons: true, clients: 256, write_records: 1, records_per_second_max: 30_000 },
    Kind { target: SITE_BATCHES, of_persons: true, clients: 16, write_records: 100, records_per_second_max: 100_000 },
    // Records are made while they are written.
    Kind { target: SITE_RECORDS, of_persons: false, clients: 16, write_records: 100, records_per_second_max: 1_000_000 },
];

/// What one load came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct SiteReport {
    #[serde(flatten)]
    load: LoadReport,
    /// What the load added on the disks of all nodes together, a record.
    disk_bytes_per_record: f64,
}

/// Runs those of the measurements that are wanted.
///
/// # Errors
/// When a node can't be started or a write failed.
pub async fn measure_site(bench: &Workbench) -> anyhow::Result<Vec<Outcome>> {
    let kinds: Vec<&Kind> = KINDS.iter().filter(|kind| bench.wants(kind.target.measure)).collect();
    if kinds.is_empty() {
        return Ok(vec![]);
    }
    let length = bench.wanted.length;
    let time = LoadTime { warm_up: length / 5, measured: length };
    let loads = loads_of(&kinds, time.warm_up + time.measured);
    let persons = kinds.iter().filter(|kind| kind.of_persons).count();
    let mut reports = Vec::new();
    for place in [0..persons, persons..kinds.len()] {
        if !place.is_empty() {
            reports.extend(measure_both(bench, &kinds[place.clone()], &loads[place], time).await?);
        }
    }
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
            let records = kind.records_per_second_max * time.as_secs().max(1);
            end += if kind.of_persons { records.min(RECORDS_MAX) } else { records };
            Load { clients: kind.clients, write_records: kind.write_records, records: Range { start, end } }
        })
        .collect()
}

/// Runs one group of loads on a fresh site of each.
async fn measure_both(
    bench: &Workbench,
    kinds: &[&Kind],
    loads: &[Load],
    time: LoadTime,
) -> anyhow::Result<Vec<(SiteReport, Option<SiteReport>)>> {
    let etcd_first = bench.peer_goes_first();
    let mut of_etcd = None;
    if etcd_first {
        of_etcd = run_etcd(bench, kinds, loads, time).await?;
        bench.settle().await?;
    }
    let of_kho = run_kho(bench, kinds, loads, time).await?;
    bench.settle().await?;
    if !etcd_first {
        of_etcd = run_etcd(bench, kinds, loads, time).await?;
        bench.settle().await?;
    }
    Ok(of_kho.into_iter().enumerate().map(|(place, report)| (report, of_etcd.as_ref().map(|reports| reports[place]))).collect())
}

async fn run_kho(bench: &Workbench, kinds: &[&Kind], loads: &[Load], time: LoadTime) -> anyhow::Result<Vec<SiteReport>> {
    let of_persons = loads.last().filter(|_| kinds.iter().any(|kind| kind.of_persons));
    let mut site = if let Some(last) = of_persons {
        let count = last.records.end;
        progress::begin(format_args!("Making {count} synthetic persons"));
        let persons = Arc::new(bench.persons(count).await?);
        progress::begin("Kho: a site of three nodes");
        KhoSite::start(&bench.folder("kho-persons"), Rows::Persons(persons)).await?
    } else {
        progress::begin("Kho: a site of three nodes under a schema without cubes");
        KhoSite::start(&bench.folder("kho-records"), Rows::Records).await?
    };
    let reports = run_all(&site, kinds, loads, time).await?;
    site.stop()?;
    Ok(reports)
}

async fn run_etcd(bench: &Workbench, kinds: &[&Kind], loads: &[Load], time: LoadTime) -> anyhow::Result<Option<Vec<SiteReport>>> {
    let etcd = match &bench.etcd {
        Ok(etcd) => etcd,
        Err(why) => {
            progress::note(why);
            return Ok(None);
        }
    };
    progress::begin(format_args!("etcd {}: three members", etcd.version));
    let group = if kinds.iter().any(|kind| kind.of_persons) { "etcd-persons" } else { "etcd-records" };
    let cluster = EtcdCluster::start(etcd, &bench.folder(group)).await?;
    run_all(&cluster, kinds, loads, time).await.map(Some)
}

async fn run_all<S: Site>(site: &S, kinds: &[&Kind], loads: &[Load], time: LoadTime) -> anyhow::Result<Vec<SiteReport>> {
    let mut reports = Vec::new();
    for (kind, load) in kinds.iter().zip(loads) {
        let clients = clients_of(site, load).await?;
        let before = site.disk_bytes()?;
        let load = run_load(load, clients, time).await?;
        let added = site.disk_bytes()?.saturating_sub(before);
        let report = SiteReport { load, disk_bytes_per_record: added as f64 / load.records_written as f64 };
        progress::note(format_args!(
            "{}: {}; {:.0} bytes a record on all disks together",
            kind.target.what,
            figure(kind, &report),
            report.disk_bytes_per_record
        ));
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

fn figure(kind: &Kind, report: &SiteReport) -> Figure {
    match kind.target.measure {
        Measure::SiteLatency => Figure::new(report.load.write_seconds.p50, Unit::Seconds),
        Measure::SiteSingles => Figure::new(report.load.records_per_second, Unit::WritesPerSecond),
        _ => Figure::new(report.load.records_per_second, Unit::RowsPerSecond),
    }
}

fn outcome(kind: &Kind, kho: &SiteReport, etcd: Option<&SiteReport>) -> Outcome {
    let peer = etcd.map(|report| PeerFigure { name: "etcd", figure: figure(kind, report) });
    Outcome { target: kind.target, kho: figure(kind, kho), peer, details: json!({ "kho": kho, "peer": etcd }), note: None, spread: None }
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

    #[test]
    fn the_loads_of_persons_come_first_so_that_each_site_gets_its_own() {
        let first_of_records = KINDS.iter().position(|kind| !kind.of_persons).unwrap_or(KINDS.len());
        assert!(KINDS[first_of_records..].iter().all(|kind| !kind.of_persons));
    }
}
