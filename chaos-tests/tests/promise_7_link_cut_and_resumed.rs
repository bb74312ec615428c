//! Promise 7: the link to the parent is cut in the middle of an import; entry goes on, and when the link is whole again the parent
//! catches up from its cursors.

use std::time::Duration;

use kho_chaos_tests::{CursorWatch, People, SteadyEntry, entry::EntryRate, play, until};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, centre, district, id, link_before, nodes, plan};

const IMPORTED: u64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn promise_7_link_cut_and_resumed() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let (parent, child) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0]);
        let link = link_before(stage, parent)?;
        link.delay(Duration::from_millis(10));
        stage.tree.start().await?;
        let watch = CursorWatch::start(vec![stage.tree.operator(id(CENTRE))?, stage.tree.operator(id(DISTRICT))?]);
        let client = stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?;
        let steady = SteadyEntry::start(
            client,
            DISTRICT,
            People::new("steady", BIEN_HOA.commune),
            EntryRate::until_acknowledged(Duration::from_millis(50)),
        );
        let mut import = stage.import(DISTRICT, &People::new("imported", BIEN_HOA.commune), IMPORTED, 100, 1)?;

        stage.until_rows(parent, DISTRICT, IMPORTED / 10).await?;
        link.cut();
        import.ensure_under_way()?;
        assert_eq!(import.rows().await?, IMPORTED, "entry goes on without the parent");
        let at_cut = steady.acknowledged();
        until("the child reports that its link is down", async || {
            let status = stage.status(child).await?;
            Ok((!status.health.is_healthy() && status.uplink.state.is_down()).then_some(()))
        })
        .await?;
        let held_back = stage.stream(parent, DISTRICT).await?;
        let kept = stage.stream(child, DISTRICT).await?;
        assert!(
            kept.lag_batches.is_some_and(|lag| lag > 0) && kept.rows > held_back.rows,
            "the link was cut too late: {held_back:?} {kept:?}"
        );
        until("single rows are entered while the link is down", async || Ok((steady.acknowledged() > at_cut + 5).then_some(()))).await?;

        link.resume();
        let (_, entered) = steady.end().await?;
        stage.until_equal(DISTRICT, IMPORTED + entered, &[parent, child]).await?;
        until("the child is healthy again", async || Ok((stage.status(child).await?.health.is_healthy()).then_some(()))).await?;
        watch.end()?;
        stage.verify(&[parent, child]).await
    })
    .await;
}
