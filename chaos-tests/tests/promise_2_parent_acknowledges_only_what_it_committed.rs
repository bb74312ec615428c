//! Promises 2 and 9: a parent without a majority acknowledges nothing, its child keeps everything, and both report that something
//! is wrong.

use std::time::{Duration, Instant};

use kho_chaos_tests::{People, play, until};
use kho_node::api::{Health, StreamReport};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, centre, district, id, nodes, plan};

const BEFORE: u64 = 2_000;
const BATCHES: u64 = 40;
const BATCH_ROWS: u64 = 250;
/// How long nothing must be acknowledged.
const WATCHED: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_parent_acknowledges_only_what_it_committed() {
    play(plan(vec![centre(3), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let child = nodes(DISTRICT, 1)[0];
        // The child forgets as soon as it may, so that it shows when it forgets too much.
        stage.configure(child, "idle_head_seconds = 5\n", "idle_head_seconds = 5\nstream_keep_mib = 0\n")?;
        stage.tree.start().await?;
        let people = People::new("person", BIEN_HOA.commune);
        let client = stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?;
        client.enter(people.batch(0..BEFORE)).await?;
        let before = until("the parent acknowledged the first rows", async || {
            let stream = stage.stream(child, DISTRICT).await?;
            Ok((stream.rows == BEFORE && stream.lag_batches == Some(0)).then_some(stream))
        })
        .await?;

        // The leader is left over: it holds the child's link and could acknowledge what it can't commit.
        let leader = stage.tree.leader(id(CENTRE)).await?;
        let (left_over, killed): (Vec<_>, Vec<_>) = nodes(CENTRE, 3).into_iter().partition(|(_, node)| *node == leader);
        for follower in &killed {
            stage.kill(*follower)?;
        }
        for batch in 0..BATCHES {
            let first = BEFORE + batch * BATCH_ROWS;
            client.enter(people.batch(first..first + BATCH_ROWS)).await?;
        }
        until("promise 9: the leader that was left over reports at once that it has no majority", async || {
            Ok(matches!(stage.status(left_over[0]).await?.health, Health::NoMajority { .. }).then_some(()))
        })
        .await?;
        let rows = BEFORE + BATCHES * BATCH_ROWS;
        let watched = Instant::now();
        while watched.elapsed() < WATCHED {
            let now = stage.stream(child, DISTRICT).await?;
            assert_eq!(acknowledged(&now), acknowledged(&before), "acknowledged by a parent that can commit nothing");
            assert!(now.kept_batches >= now.seq - before.seq, "the child keeps what its parent has not acknowledged: {now:?}");
            let parent = stage.stream(left_over[0], DISTRICT).await?;
            assert_eq!(parent.rows, BEFORE, "applied without a majority");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(stage.stream(child, DISTRICT).await?.rows, rows, "entry at the child goes on");
        for place in [left_over[0], child] {
            until(&format!("promise 9: site {} reports that a checkpoint does not move", place.0), async || {
                Ok((!stage.status(place).await?.health.is_healthy()).then_some(()))
            })
            .await?;
        }

        stage.tree.start_node(id(CENTRE), killed[0].1)?;
        until("everything is acknowledged", async || Ok((stage.stream(child, DISTRICT).await?.lag_batches == Some(0)).then_some(())))
            .await?;
        stage.tree.start_node(id(CENTRE), killed[1].1)?;
        let everywhere = [nodes(CENTRE, 3), vec![child]].concat();
        stage.until_equal(DISTRICT, rows, &everywhere).await?;
        until("all is healthy again", async || Ok((stage.status(child).await?.health.is_healthy()).then_some(()))).await?;
        stage.verify(&everywhere).await
    })
    .await;
}

/// The last batch that the parent acknowledged, as the child recorded it.
fn acknowledged(stream: &StreamReport) -> u64 {
    stream.seq - stream.lag_batches.unwrap_or(0)
}
