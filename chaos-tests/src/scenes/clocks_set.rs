//! Clocks that are set wrong while a site works: back by hours and by decades, forward by hours, on the leader and on a follower,
//! while running and over a restart. Rows flow on, site time never goes back, and a parent does not accept a time that lies
//! ahead of its own clock.

use std::time::Duration;

use anyhow::ensure;
use kho_node::api::AlarmKind;
use kho_storage::ids::SiteId;

use super::SOURCES;
use crate::{
    place::place,
    recorder::{Recorded, Recorder},
    shifted_clock::ClockLibrary,
    stage::Stage,
    trees::{CENTRE, DISTRICT},
    wait::until,
};

const HOUR: i64 = 3_600;
const YEAR: i64 = 365 * 24 * HOUR;
/// A parent's watermark may lie ahead of its clock by no more than this (`HEAD_AHEAD_MS_MAX`), with room for the time between two polls.
const AHEAD: Duration = Duration::from_secs(5 * 60 + 5);

/// # Errors
/// Whatever is broken.
pub async fn play(stage: &mut Stage) -> anyhow::Result<Recorded> {
    let library = ClockLibrary::build(&stage.folder("clocks"))?;
    let nodes: Vec<_> = stage.places().into_iter().filter(|at| at.0 == SiteId(DISTRICT)).collect();
    let mut clocks = Vec::new();
    for at in &nodes {
        clocks.push((*at, library.give(&mut stage.tree, *at)?));
    }
    stage.tree.start().await?;
    let recorder = Recorder::start(stage, &SOURCES)?;
    recorder.until_more(200).await?;

    // Back, under load: on the leader, then on all.
    let leader = (SiteId(DISTRICT), stage.tree.leader(SiteId(DISTRICT)).await?);
    let of = |at| &clocks.iter().find(|(place, _)| *place == at).expect("every node of the district has one").1;
    of(leader).set(-5 * HOUR)?;
    recorder.until_more(200).await?;
    for (_, clock) in &clocks {
        clock.set(-3 * HOUR)?;
    }
    recorder.until_more(200).await?;
    // A machine that lost its clock starts in the past: its certificates are of the future, and it takes part all the same.
    let follower = nodes.iter().copied().find(|at| *at != leader).expect("a site of three");
    of(follower).set(-20 * YEAR)?;
    stage.kill(follower)?;
    stage.tree.start_node(follower.0, follower.1)?;
    stage.until_takes_part(follower).await?;
    recorder.until_more(200).await?;
    for (_, clock) in &clocks {
        clock.set(0)?;
    }
    let before = watermark_ahead(stage).await?;
    ensure!(before < AHEAD, "the centre's watermark lies {before:?} ahead although no clock ever ran ahead");

    // Forward, under load, for a moment.
    let leader = (SiteId(DISTRICT), stage.tree.leader(SiteId(DISTRICT)).await?);
    of(leader).set(6 * HOUR)?;
    recorder.until_more(200).await?;
    until("the parent raises an alarm about the clock", async || {
        let alarms = stage.status(place(CENTRE, 1)).await?.alarms;
        Ok(alarms.iter().any(|alarm| matches!(alarm.kind, AlarmKind::ClockAhead { .. })).then_some(()))
    })
    .await?;
    of(leader).set(0)?;
    recorder.until_more(200).await?;
    let after = watermark_ahead(stage).await?;
    ensure!(after < AHEAD, "the centre believes that the district is complete {after:?} from now");
    recorder.conclude(stage, &stage.places()).await
}

/// How far the centre's watermark of the district lies ahead of the centre's clock.
async fn watermark_ahead(stage: &Stage) -> anyhow::Result<Duration> {
    let status = stage.status(place(CENTRE, 1)).await?;
    let stream = status.streams.iter().find(|stream| stream.origin == DISTRICT).expect("rows of it were adopted");
    let (watermark, now): (jiff::Timestamp, jiff::Timestamp) = (stream.watermark.parse()?, status.now.parse()?);
    Ok(Duration::try_from(watermark.duration_since(now)).unwrap_or_default())
}
