//! A month's backlog after a link was down: how long until the parent holds everything, for one district and for ten at once.
//!
//! ```text
//!   districts ─► parent        all persons held at both ends
//!   districts    (stopped)     a month is entered at the districts
//!   districts ─► parent        the links are up again ──► the parent holds everything
//! ```
//! The time runs from the moment when the first link is up. How long a child takes to detect that its parent is back is another matter:
//! at most a minute, the longest pause between two attempts of its uplink; here the districts' nodes are started when the parent is
//! back, so that all links come up at once.

mod month;
mod tree;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::ensure;
use kho_ops::commands::print::grouped;
use kho_storage::ids::SiteId;

use self::{
    month::District,
    tree::{BacklogTree, Position},
};
use crate::{
    figure::{Figure, Unit},
    measure::Measure,
    observation::{Observation, Point},
    progress,
    workbench::Workbench,
};

/// Districts whose links come back at once, after one alone.
const DISTRICTS: usize = 10;
/// A district has the units of one of these, of the legacy catalogue, and the persons of a district.
const PROVINCES: [&str; DISTRICTS + 1] = ["01", "02", "04", "06", "08", "10", "11", "12", "14", "15", "17"];
/// How long the parent may take to hold everything.
const TIMEOUT: Duration = Duration::from_secs(600);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Measures both.
///
/// # Errors
/// When a node can't be started, rows were refused, or the parent never held everything.
pub async fn measure_backlog(bench: &Workbench) -> anyhow::Result<Observation> {
    let persons = bench.wanted.district_persons;
    progress::begin(format_args!("Kho: {} districts of {} persons each and their parent", PROVINCES.len(), grouped(persons)));
    let districts = make_districts(bench, persons).await?;
    let mut tree = BacklogTree::start(&bench.folder("backlog"), &PROVINCES).await?;
    let sites = tree.districts();
    tree.enter_persons(&districts).await?;
    let mut wanted = BTreeMap::new();
    for site in &sites {
        wanted.insert(*site, tree.position(*site).await?);
    }
    wait_until_held(&tree, &wanted).await?;
    let (alone, together) = sites.split_last().map(|(last, others)| (std::slice::from_ref(last), others)).unwrap_or_default();
    let points = vec![
        catch_up(&mut tree, &districts, alone, "1 district").await?,
        catch_up(&mut tree, &districts, together, &format!("{DISTRICTS} districts")).await?,
    ];
    tree.stop()?;
    Ok(Observation {
        measure: Measure::Backlog,
        what: format!("backlog: a month of a district of {} persons, after its link was down", grouped(persons)),
        points,
        notes: vec![
            "events by the rates of `kho synth`, and a correction of a person's row for each that changes one; a request a collaborator".into(),
            "caught up: from the first link that is up until the parent holds everything; a child dials a parent that is away at least once a minute".into(),
        ],
    })
}

async fn make_districts(bench: &Workbench, persons: u64) -> anyhow::Result<BTreeMap<SiteId, District>> {
    let dir = bench.folder("population");
    let made = tokio::task::spawn_blocking(move || {
        let sites = BacklogTree::sites_of(PROVINCES.len());
        sites
            .into_iter()
            .zip(PROVINCES)
            .map(|(site, province)| Ok((site, District::make(&dir.join(province), province, persons)?)))
            .collect()
    });
    made.await?
}

/// Enters a month at these districts while the parent is stopped, and lets it catch up.
async fn catch_up(tree: &mut BacklogTree, districts: &BTreeMap<SiteId, District>, sites: &[SiteId], at: &str) -> anyhow::Result<Point> {
    tree.stop_parent()?;
    tree.wait_for_districts(sites).await?;
    let (mut rows, mut wanted) = (0, BTreeMap::new());
    for site in sites {
        tree.enter_month(*site, &districts[site].month).await?;
        rows += districts[site].month.rows();
        wanted.insert(*site, tree.position(*site).await?);
    }
    tree.start_parent_alone().await?;
    let begun = Instant::now();
    tree.start_districts(sites)?;
    let link_up_after = wait_for_a_link(tree, begun).await?;
    wait_until_held(tree, &wanted).await?;
    let seconds = begun.elapsed().as_secs_f64() - link_up_after;
    let sent = tree.sent_bytes(sites).await?;
    let figures = vec![
        ("rows", Figure::new(rows as f64, Unit::Rows)),
        ("link_up_after", Figure::new(link_up_after, Unit::Seconds)),
        ("caught_up_after", Figure::new(seconds, Unit::Seconds)),
        ("rate", Figure::new(rows as f64 / seconds, Unit::RowsPerSecond)),
        ("sent", Figure::new(sent as f64, Unit::Bytes)),
    ];
    progress::note(format_args!("backlog: {at}, {} rows caught up after {}", grouped(rows), figures[2].1));
    Ok(Point { at: at.into(), figures })
}

async fn wait_for_a_link(tree: &BacklogTree, begun: Instant) -> anyhow::Result<f64> {
    while !tree.has_a_link().await? {
        ensure!(begun.elapsed() < TIMEOUT, "no district has reached the parent for {} s", TIMEOUT.as_secs());
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Waits until the parent stands where districts stood, and holds the same.
async fn wait_until_held(tree: &BacklogTree, wanted: &BTreeMap<SiteId, Position>) -> anyhow::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let held = tree.held().await?;
        let behind: Vec<&SiteId> = wanted
            .iter()
            .filter(|(site, position)| held.get(site).is_none_or(|held| held.seq < position.seq))
            .map(|(site, _)| site)
            .collect();
        if behind.is_empty() {
            let differs = wanted.iter().find(|(site, position)| held.get(site) != Some(position));
            return differs.map_or(Ok(()), |(site, position): (_, &Position)| {
                Err(anyhow::anyhow!("the parent holds {:?} of site {site}, which is at {position:?}", held.get(site)))
            });
        }
        ensure!(Instant::now() < deadline, "the parent does not hold everything of the sites {behind:?} after {} s", TIMEOUT.as_secs());
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
