//! Promise 7: the parent dies in the middle of a large import; the child goes on at its stand-in, and returns when the parent is back.

use kho_chaos_tests::{CursorWatch, People, play, until};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, REGION, centre, district, id, nodes, plan, region};

const IMPORTED: u64 = 80_000;
const MORE: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn promise_7_parent_switched_mid_segment() {
    play(plan(vec![centre(1), region(), district(DISTRICT, &BIEN_HOA, &[REGION, CENTRE], 1)]), async |stage| {
        stage.tree.start().await?;
        let (top, middle, child) = (nodes(CENTRE, 1)[0], nodes(REGION, 1)[0], nodes(DISTRICT, 1)[0]);
        // Only the parents are watched: what a child shows as acknowledged is about its active parent.
        let watch = CursorWatch::start(vec![stage.tree.operator(id(CENTRE))?, stage.tree.operator(id(REGION))?]);
        let people = People::new("imported", BIEN_HOA.commune);
        let mut import = stage.import(DISTRICT, &people, IMPORTED, 100, 1)?;
        stage.until_rows(middle, DISTRICT, IMPORTED / 10).await?;
        stage.kill(middle)?;
        import.ensure_under_way()?;
        assert_eq!(import.rows().await?, IMPORTED);
        assert!(stage.stream(top, DISTRICT).await.map_or(0, |stream| stream.rows) < IMPORTED, "the parent was killed too late");

        stage.until_equal(DISTRICT, IMPORTED, &[top, child]).await?;
        let uplink = stage.status(child).await?.uplink;
        assert!(uplink.stand_in && uplink.parent == Some(CENTRE), "{uplink:?}");

        stage.tree.start_node(middle.0, middle.1)?;
        until("the child is back at its own parent", async || {
            let uplink = stage.status(child).await?.uplink;
            Ok((uplink.state == kho_node::api::UplinkState::Connected && uplink.parent == Some(REGION) && !uplink.stand_in).then_some(()))
        })
        .await?;
        let client = stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?;
        client.enter(people.batch(IMPORTED..IMPORTED + MORE)).await?;
        stage.until_equal(DISTRICT, IMPORTED + MORE, &[top, middle, child]).await?;
        until("everything is acknowledged", async || Ok((stage.stream(child, DISTRICT).await?.lag_batches == Some(0)).then_some(())))
            .await?;
        watch.end()?;
        stage.verify(&[top, middle, child]).await
    })
    .await;
}
