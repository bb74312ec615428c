//! Promise 9: a site without any neighbour, whose clock is a month ahead. It does not believe it until an operator says that it is right, and
//! when that was a mistake, the same order takes back what was stamped by it.

use anyhow::{Context as _, ensure};
use kho_chaos_tests::{
    People, Stage,
    mounting::not_run,
    place::{Place, place},
    play,
    preload::may_build,
    shifted_clock::ClockLibrary,
    until,
};
use kho_node::api::{AlarmKind, Finding, Health, StatusReport};

use crate::{
    promise_2_a_site_that_was_set_back::enter,
    trees::{BIEN_HOA, DISTRICT, district, id, plan},
};

const MONTH_SECONDS: i64 = 30 * 24 * 3_600;
const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// Waits until status is as wanted.
async fn until_status(stage: &Stage, at: Place, what: &str, is_it: impl Fn(&StatusReport) -> bool) -> anyhow::Result<StatusReport> {
    until(what, async || {
        let status = stage.status(at).await?;
        Ok(is_it(&status).then_some(status))
    })
    .await
}

/// By how much a time that status names lies beyond this machine's.
fn beyond_now(time: &str) -> anyhow::Result<jiff::SignedDuration> {
    Ok(time.parse::<jiff::Timestamp>()?.duration_since(jiff::Timestamp::now()))
}

/// The district's operator says that its clock is right.
async fn confirm(stage: &Stage) -> anyhow::Result<()> {
    let said = stage.run_kho("operator", &["site", "confirm-time"], &stage.tree.urls(id(DISTRICT))).await?;
    ensure!(said.contains("by this node's clock"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_9_a_lone_site_whose_clock_is_a_month_ahead_goes_by_it_once_an_operator_confirmed_it_and_back_likewise() {
    if let Err(why) = may_build() {
        return not_run("an operator confirms the time", &why);
    }
    play(plan(vec![district(DISTRICT, &BIEN_HOA, &[], 1)]), async |stage| {
        let at = place(DISTRICT, 1);
        let clock = ClockLibrary::build(&stage.folder("clocks"))?.give(&mut stage.tree, at)?;
        stage.tree.start().await?;
        let people = People::new("person", BIEN_HOA.commune);
        let healthy = |status: &StatusReport| status.health.is_healthy();
        enter(stage, &people, 0).await.map_err(anyhow::Error::msg)?;
        until_status(stage, at, "the site is healthy", healthy).await?;

        clock.set(MONTH_SECONDS)?;
        let is_ahead = |status: &StatusReport| matches!(&status.health, Health::AlarmRaised { alarm: AlarmKind::MachineClockAhead { .. } });
        until_status(stage, at, "the node says that its clock is ahead", is_ahead).await?;
        enter(stage, &people, 1).await.map_err(anyhow::Error::msg)?;
        ensure!(beyond_now(&stage.stream(at, DISTRICT).await?.watermark)? < DAY, "nothing is stamped by the clock yet");

        confirm(stage).await?;
        until_status(stage, at, "the site is healthy by the clock that was confirmed", healthy).await?;
        enter(stage, &people, 2).await.map_err(anyhow::Error::msg)?;
        until("it is stamped by that clock", async || Ok((beyond_now(&stage.stream(at, DISTRICT).await?.watermark)? > DAY).then_some(())))
            .await?;

        // It was wrong all the same. Somebody sets it right, and the node admits who confirms it.
        clock.set(0)?;
        let names_both = |status: &StatusReport| {
            let behind = status.alarms.iter().any(|alarm| matches!(alarm.kind, AlarmKind::MachineClockBehind { .. }));
            behind && status.findings.iter().any(|finding| matches!(finding, Finding::WatermarkAhead { origin: DISTRICT, .. }))
        };
        until_status(stage, at, "the node names its clock and the time that has not come", names_both).await?;
        confirm(stage).await?;
        until_status(stage, at, "the site is healthy by the right clock", healthy).await?;
        enter(stage, &people, 3).await.map_err(anyhow::Error::msg)?;
        let stream = stage.stream(at, DISTRICT).await?;
        ensure!(beyond_now(&stream.watermark)? < DAY && stream.rows == 4, "{stream:?}");
        let log = stage.tree.process(at.0, at.1).context("it runs")?.log();
        let orders = log.lines().filter(|line| line.contains("kho_audit") && line.contains("/v1/site/confirm-time"));
        ensure!(orders.count() == 2, "the audit log tells of both orders");
        stage.verify(&[at]).await
    })
    .await;
}
