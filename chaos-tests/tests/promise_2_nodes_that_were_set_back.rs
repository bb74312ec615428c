//! Promise 2: machines of one site are set back to an older image while another node of the site is not. Two of three are told by the third;
//! one of three is left alone by every leader to come.

use std::time::{Duration, Instant};

use anyhow::ensure;
use kho_chaos_tests::{Stage, place::Place, play, until};
use kho_node::api::{AlarmKind, Finding, Role};

use crate::{
    promise_2_a_site_that_was_set_back::{enter, enter_at, put_image, set_back, start_with_two_persons, take_image},
    trees::{BIEN_HOA, DISTRICT, district, id, nodes, plan},
};

/// How long a node alone beside one that was set back is watched: several elections fit in.
const WATCHED: Duration = Duration::from_secs(4);

/// The nodes of the district, the one that leads first.
async fn leader_first(stage: &Stage) -> anyhow::Result<[Place; 3]> {
    let leader = (id(DISTRICT), stage.tree.leader(id(DISTRICT)).await?);
    let mut site = nodes(DISTRICT, 3);
    site.sort_by_key(|at| *at != leader);
    Ok([site[0], site[1], site[2]])
}

/// Waits until a node that is killed now would apply all that it holds: it knows that an entry is committed once it has written the next one.
async fn until_known_as_committed(stage: &Stage, at: Place) -> anyhow::Result<()> {
    for _ in 0..2 {
        let watermark = stage.stream(at, DISTRICT).await?.watermark;
        until("a head more is committed", async || Ok((stage.stream(at, DISTRICT).await?.watermark != watermark).then_some(()))).await?;
    }
    Ok(())
}

fn urls(stage: &Stage, at: &[Place]) -> Vec<String> {
    at.iter().map(|(site, node)| stage.tree.url(*site, *node)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_two_of_three_nodes_that_were_set_back_take_nothing_more_once_the_third_is_there() {
    play(plan(vec![district(DISTRICT, &BIEN_HOA, &[], 3)]), async |stage| {
        let people = start_with_two_persons(stage, &nodes(DISTRICT, 3)).await?;
        // The leader keeps its disk.
        let [kept, back @ ..] = leader_first(stage).await?;
        for at in back {
            take_image(stage, at)?;
            stage.until_ready(at).await?;
        }
        for number in 2..4 {
            enter(stage, &people, number).await.map_err(anyhow::Error::msg)?;
        }
        stage.until_equal(DISTRICT, 4, &[kept, back[0], back[1]]).await?;
        until_known_as_committed(stage, kept).await?;

        for at in [kept, back[0], back[1]] {
            stage.kill(at)?;
        }
        for at in back {
            put_image(stage, at)?;
        }
        for at in back {
            stage.tree.start_node(at.0, at.1)?;
        }
        let two = urls(stage, &back);
        until("the two go on, on a dead branch", async || Ok(enter_at(stage, &two, &people, 10).await.ok())).await?;

        stage.tree.start_node(kept.0, kept.1)?;
        for at in back {
            until("both have been told that the site was set back", async || {
                let status = stage.status(at).await?;
                let told = status.findings.iter().any(|finding| matches!(finding, Finding::SiteSetBack { origin: DISTRICT, .. }));
                Ok((told && !status.health.is_healthy()).then_some(()))
            })
            .await?;
        }
        let answer = until("the two answer a client", async || match enter_at(stage, &two, &people, 11).await {
            Err(code) if !code.starts_with("409") => anyhow::bail!(code),
            answer => Ok(Some(answer)),
        })
        .await?;
        ensure!(answer == Err("409 site_set_back".into()), "{answer:?}");
        until("the third says that the others were set back", async || {
            let status = stage.status(kept).await?;
            let named = status.alarms.iter().any(|alarm| matches!(alarm.kind, AlarmKind::MembersSetBack { .. }));
            Ok((named && !status.health.is_healthy()).then_some(()))
        })
        .await?;
        ensure!(stage.runs(kept), "the third goes on");
        ensure!(stage.stream(kept, DISTRICT).await?.rows == 4, "and holds what it held");
        Ok(())
    })
    .await;
}

/// Waits until each of these nodes names `back`, and is not healthy for it.
async fn until_named(stage: &Stage, at: &[Place], back: Place) -> anyhow::Result<()> {
    for place in at {
        until(&format!("node {} names the node that was set back", place.1), async || {
            let status = stage.status(*place).await?;
            let named = status.findings.contains(&Finding::NodeTurnedBack { node: back.1.0 });
            Ok((named && !status.health.is_healthy()).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_a_follower_that_was_set_back_is_named_by_both_others_and_left_alone_by_the_next_leader_too() {
    play(plan(vec![district(DISTRICT, &BIEN_HOA, &[], 3)]), async |stage| {
        let people = start_with_two_persons(stage, &nodes(DISTRICT, 3)).await?;
        let [leader, left, back] = leader_first(stage).await?;
        until_known_as_committed(stage, back).await?;
        take_image(stage, back)?;
        stage.until_ready(back).await?;
        for number in 2..4 {
            enter(stage, &people, number).await.map_err(anyhow::Error::msg)?;
        }
        stage.until_equal(DISTRICT, 4, &[leader, left, back]).await?;
        set_back(stage, back)?;
        until_named(stage, &[leader, left], back).await?;

        // The leader that detected it is lost. The two that are left are no majority.
        stage.kill(leader)?;
        let watched = Instant::now();
        while watched.elapsed() < WATCHED {
            for at in [left, back] {
                if let Ok(status) = stage.status(at).await {
                    ensure!(status.consensus.role != Role::Leader, "node {} leads with the vote of a node that was set back", at.1);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        until_named(stage, &[left], back).await?;
        stage.tree.start_node(leader.0, leader.1)?;
        until_named(stage, &[leader, left], back).await?;
        let two = urls(stage, &[leader, left]);
        until("two nodes are a majority", async || Ok(enter_at(stage, &two, &people, 4).await.ok())).await?;
        ensure!(stage.tree.leader(id(DISTRICT)).await? != back.1, "a node that was set back leads");
        stage.until_equal(DISTRICT, 5, &[leader, left]).await?;
        let rows = stage.stream(back, DISTRICT).await?.rows;
        ensure!(rows == 2, "it gets nothing, and holds {rows} rows");
        ensure!(!stage.status(back).await?.health.is_healthy(), "and does not read healthy");

        // Removed, it is named no more.
        stage.run_kho("operator", &["node", "remove", &back.1.to_string()], &two).await?;
        for at in [leader, left] {
            until("nobody names it any more", async || {
                let named = stage.status(at).await?.findings.contains(&Finding::NodeTurnedBack { node: back.1.0 });
                Ok((!named).then_some(()))
            })
            .await?;
        }
        Ok(())
    })
    .await;
}
