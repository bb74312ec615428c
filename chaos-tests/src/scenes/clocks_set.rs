//! Clocks that are set wrong while a site works: back by hours and by decades, forward by hours, a month and years, on the leader and on
//! a follower, while running and over a restart of one node and of all, in the district and at the centre. Rows flow on, site time never
//! goes back, nothing is stamped in the future, the node whose clock is wrong says so, and once it is right everything goes on by itself.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kho_node::api::{AlarmKind, StatusReport};
use kho_storage::ids::{NodeId, SiteId};

use super::SOURCES;
use crate::{
    place::{Place, place},
    recorder::{Recorded, Recorder},
    shifted_clock::{ClockLibrary, ShiftedClock},
    stage::Stage,
    trees::{CENTRE, DISTRICT},
    wait::until,
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// No watermark may lie further ahead of a right clock (`HEAD_AHEAD_MS_MAX`), with room for the time between two polls.
const AHEAD: Duration = Duration::from_secs(5 * 60 + 5);
/// A watermark that moves is no older than this: heads are signed every 5 seconds, and what was missed while a clock was wrong comes first.
const AGE_SECONDS_MAX: u64 = 60;

/// The nodes whose clocks are set.
struct Clocks(Vec<(Place, ShiftedClock)>);

impl Clocks {
    fn set(&self, at: Place, seconds: i64) -> anyhow::Result<()> {
        let (_, clock) = self.0.iter().find(|(place, _)| *place == at).context("a node without a clock of its own")?;
        clock.set(seconds)
    }
}

/// # Errors
/// Whatever is broken.
pub async fn play(stage: &mut Stage) -> anyhow::Result<Recorded> {
    let library = ClockLibrary::build(&stage.folder("clocks"))?;
    let mut clocks = Clocks(Vec::new());
    for at in stage.places() {
        clocks.0.push((at, library.give(&mut stage.tree, at)?));
    }
    stage.tree.start().await?;
    let recorder = Recorder::start(stage, &SOURCES)?;
    recorder.until_more(200).await?;
    back(stage, &clocks, &recorder).await?;
    for jump in [6 * HOUR, 30 * DAY, 3 * YEAR] {
        ahead_while_running(stage, &clocks, &recorder, jump).await?;
    }
    all_restarted(stage, &recorder).await?;
    ahead_at_start(stage, &clocks, &recorder).await?;
    centre_ahead(stage, &clocks, &recorder).await?;
    recorder.conclude(stage, &stage.places()).await
}

/// Back, under load: on the leader, then on all, then a follower that starts decades ago.
async fn back(stage: &mut Stage, clocks: &Clocks, recorder: &Recorder) -> anyhow::Result<()> {
    let leader = leader(stage).await?;
    clocks.set(leader, -5 * HOUR)?;
    recorder.until_more(200).await?;
    until_named(stage, leader, |kind| matches!(kind, AlarmKind::MachineClockBehind { .. })).await?;
    let nodes = district(stage);
    for at in &nodes {
        clocks.set(*at, -3 * HOUR)?;
    }
    recorder.until_more(200).await?;
    // A machine that lost its clock starts in the past: its certificates are of the future, and it takes part all the same.
    let follower = nodes.iter().copied().find(|at| *at != leader).context("a site of three")?;
    clocks.set(follower, -20 * YEAR)?;
    stage.kill(follower)?;
    stage.tree.start_node(follower.0, follower.1)?;
    stage.until_takes_part(follower).await?;
    recorder.until_more(200).await?;
    for at in nodes {
        clocks.set(at, 0)?;
    }
    goes_on(stage, recorder).await
}

/// Forward, under load, for a moment.
async fn ahead_while_running(stage: &mut Stage, clocks: &Clocks, recorder: &Recorder, jump: i64) -> anyhow::Result<()> {
    let leader = leader(stage).await?;
    clocks.set(leader, jump)?;
    recorder.until_more(100).await?;
    until_named(stage, leader, |kind| matches!(kind, AlarmKind::MachineClockAhead { .. })).await?;
    clocks.set(leader, 0)?;
    goes_on(stage, recorder).await
}

/// All nodes of the district start again, with what was stamped while its leader's clock was years ahead: nobody is locked out.
async fn all_restarted(stage: &mut Stage, recorder: &Recorder) -> anyhow::Result<()> {
    let nodes = district(stage);
    for at in &nodes {
        stage.kill(*at)?;
    }
    for at in &nodes {
        stage.tree.start_node(at.0, at.1)?;
    }
    for at in &nodes {
        stage.until_takes_part(*at).await?;
    }
    goes_on(stage, recorder).await
}

/// A node that boots years ahead and is set right before its next start, and the only one of the centre, which is set right while it runs.
async fn ahead_at_start(stage: &mut Stage, clocks: &Clocks, recorder: &Recorder) -> anyhow::Result<()> {
    for (at, is_restarted) in [(leader(stage).await?, true), (place(CENTRE, 1), false)] {
        clocks.set(at, 3 * YEAR)?;
        stage.kill(at)?;
        stage.tree.start_node(at.0, at.1)?;
        until_named(stage, at, |kind| matches!(kind, AlarmKind::MachineClockAhead { .. })).await?;
        recorder.until_more(100).await?;
        if is_restarted {
            stage.kill(at)?;
        }
        clocks.set(at, 0)?;
        stage.tree.start_node(at.0, at.1)?;
        goes_on(stage, recorder).await?;
    }
    Ok(())
}

async fn centre_ahead(stage: &mut Stage, clocks: &Clocks, recorder: &Recorder) -> anyhow::Result<()> {
    let centre = place(CENTRE, 1);
    clocks.set(centre, 3 * YEAR)?;
    until_named(stage, centre, |kind| matches!(kind, AlarmKind::MachineClockAhead { .. })).await?;
    let age_seconds = stage.stream(centre, DISTRICT).await?.watermark_age_seconds;
    ensure!(age_seconds < AGE_SECONDS_MAX, "the centre says that the district is complete as of {age_seconds} s ago");
    clocks.set(centre, 0)?;
    goes_on(stage, recorder).await
}

/// The clocks are right: every node admits its operators and names no clock, rows flow, watermarks move, and none is of the future.
async fn goes_on(stage: &mut Stage, recorder: &Recorder) -> anyhow::Result<()> {
    recorder.until_more(100).await?;
    let mut places = district(stage);
    places.push(place(CENTRE, 1));
    for at in places {
        until("a node names no clock any more, and its watermarks move", async || {
            let status = stage.status(at).await?;
            let now: jiff::Timestamp = jiff::Timestamp::now();
            let names_a_clock = status.alarms.iter().any(|alarm| is_about_clocks(&alarm.kind));
            for stream in &status.streams {
                let watermark: jiff::Timestamp = stream.watermark.parse()?;
                let ahead = Duration::try_from(watermark.duration_since(now)).unwrap_or_default();
                ensure!(ahead < AHEAD, "origin {} is said to be complete {ahead:?} from now", stream.origin);
            }
            let moves = status.streams.iter().all(|stream| stream.watermark_age_seconds < AGE_SECONDS_MAX);
            Ok((!names_a_clock && moves).then_some(()))
        })
        .await?;
    }
    Ok(())
}

fn is_about_clocks(kind: &AlarmKind) -> bool {
    matches!(kind, AlarmKind::ClockAhead { .. } | AlarmKind::MachineClockAhead { .. } | AlarmKind::MachineClockBehind { .. })
}

/// Waits until a node raises an alarm about its own clock, and is not healthy for it.
async fn until_named(stage: &Stage, at: Place, is_named: impl Fn(&AlarmKind) -> bool) -> anyhow::Result<StatusReport> {
    until("the node whose clock is wrong says so", async || {
        let status = stage.status(at).await?;
        let named = status.alarms.iter().any(|alarm| is_named(&alarm.kind)) && !status.health.is_healthy();
        Ok(named.then_some(status))
    })
    .await
}

async fn leader(stage: &Stage) -> anyhow::Result<Place> {
    Ok((SiteId(DISTRICT), stage.tree.leader(SiteId(DISTRICT)).await?))
}

fn district(stage: &Stage) -> Vec<(SiteId, NodeId)> {
    stage.places().into_iter().filter(|at| at.0 == SiteId(DISTRICT)).collect()
}
