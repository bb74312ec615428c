//! How long it takes until a new node holds everything that its site holds, and what is moved for it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kho_node::api::NodePlace;
use kho_ops::commands::print::grouped;

use super::site::{FIRST, RecoverySite, SECOND};
use crate::{
    figure::{Figure, Unit},
    loopback::loopback_bytes,
    measure::Measure,
    observation::{Observation, Point},
    progress,
};

/// How long a node may take to join.
const TIMEOUT: Duration = Duration::from_secs(1_800);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Lets a second node join; both run at the end.
///
/// # Errors
/// When it never holds what the first does, or holds something else.
pub async fn measure_join(site: &mut RecoverySite) -> anyhow::Result<Observation> {
    let rows = site.rows();
    let place = site.prepare_second().await?;
    let (moved_before, begun) = (loopback_bytes()?, Instant::now());
    let (votes_after, level_after) = tokio::try_join!(time_until_it_votes(site, &place, begun), time_until_level(site, begun))?;
    let moved = loopback_bytes()?.saturating_sub(moved_before);
    ensure_equal(site).await?;
    let figures = vec![
        ("level_after", Figure::new(level_after, Unit::Seconds)),
        ("votes_after", Figure::new(votes_after, Unit::Seconds)),
        ("rate", Figure::new(rows as f64 / level_after, Unit::RowsPerSecond)),
        ("moved", Figure::new(moved as f64, Unit::Bytes)),
        ("disk", Figure::new(site.disk_bytes(SECOND)? as f64, Unit::Bytes)),
        ("resident", Figure::new(site.memory(SECOND)?.resident_bytes as f64, Unit::Bytes)),
    ];
    progress::note(format_args!("join: {}", figures[0].1));
    Ok(Observation {
        measure: Measure::Join,
        what: format!("join: a new node joins a site of one with {} rows", grouped(rows)),
        points: vec![Point { at: "the new node".into(), figures }],
        notes: vec!["level: it has applied what the first had; moved: all that went over the loopback interface meanwhile; disk: what the new node takes".into()],
    })
}

/// Adds the node to the site, again and again, until it has a vote. A request may take longer than the timeout of its answer; repeated,
/// it goes on where it was.
async fn time_until_it_votes(site: &RecoverySite, place: &NodePlace, begun: Instant) -> anyhow::Result<f64> {
    let operator = site.operator()?;
    loop {
        let added = operator.add_node(place).await;
        if site.status(FIRST).await?.consensus.nodes.iter().any(|node| node.node == SECOND.0 && node.voter) {
            return Ok(begun.elapsed().as_secs_f64());
        }
        ensure!(
            begun.elapsed() < TIMEOUT,
            "the second node has no vote after {} s; the last request to add it ended with: {added:?}",
            TIMEOUT.as_secs()
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn time_until_level(site: &RecoverySite, begun: Instant) -> anyhow::Result<f64> {
    while !is_level(site).await? {
        ensure!(begun.elapsed() < TIMEOUT, "the second node does not hold what the first does after {} s", TIMEOUT.as_secs());
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Whether the second node has applied all that the first had a moment before.
async fn is_level(site: &RecoverySite) -> anyhow::Result<bool> {
    let first = site.status(FIRST).await?.consensus.applied;
    // A node that takes a whole state over does not answer for a while.
    let second = site.status(SECOND).await.map_or(0, |status| status.consensus.applied);
    Ok(second >= first)
}

/// The digest decides whether the second node holds the same rows.
async fn ensure_equal(site: &RecoverySite) -> anyhow::Result<()> {
    let stream = async |node| {
        let streams = site.status(node).await?.streams;
        streams.into_iter().next().context("the site has a stream")
    };
    let (first, second) = (stream(FIRST).await?, stream(SECOND).await?);
    ensure!(
        (first.seq, first.rows, &first.digest) == (second.seq, second.rows, &second.digest),
        "the new node holds {} rows at batch {}, the first {} at {}, or their digests differ",
        second.rows,
        second.seq,
        first.rows,
        first.seq
    );
    Ok(())
}
