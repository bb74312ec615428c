//! Promise 9: an answer names the site that is oldest, and sites of which nothing ever arrived.

use kho_chaos_tests::{People, play, until};
use kho_node::api::{IndicatorAnswer, IndicatorRow};
use kho_ops::client::IndicatorQuestion;

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, LONG_KHANH, REGION, TAN_PHU, centre, district, id, link_before, nodes, plan, region};

/// Its link goes straight to the centre.
const OTHER: u32 = 4;
const NEVER_STARTED: u32 = 5;
/// Heads of an idle stream come every 5 seconds: a site so much older than that is cut off.
const OLD_SECONDS: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn promise_9_an_answer_names_what_it_lacks() {
    let sites = vec![
        centre(1),
        region(),
        district(DISTRICT, &BIEN_HOA, &[REGION], 1),
        district(OTHER, &LONG_KHANH, &[CENTRE], 1),
        district(NEVER_STARTED, &TAN_PHU, &[CENTRE], 1),
    ];
    play(plan(sites), async |stage| {
        let link = link_before(stage, nodes(REGION, 1)[0])?;
        for (site, node) in [CENTRE, REGION, DISTRICT, OTHER].map(|site| nodes(site, 1)[0]) {
            stage.tree.start_node(site, node)?;
            stage.tree.bootstrap_site(site).await?;
        }
        for (site, unit, rows) in [(DISTRICT, &BIEN_HOA, 300), (OTHER, &LONG_KHANH, 200)] {
            let client = stage.tree.client(&stage.tree.urls(id(site)), &format!("client-{site}"))?;
            client.enter(People::new(unit.code, unit.commune).batch(0..rows)).await?;
            stage.until_equal(site, rows, &[nodes(CENTRE, 1)[0], nodes(site, 1)[0]]).await?;
        }
        let centre = stage.tree.operator(id(CENTRE))?;
        let query =
            async || -> anyhow::Result<IndicatorAnswer> { Ok(centre.indicator("population", &IndicatorQuestion::default()).await?) };

        let whole = query().await?;
        assert_eq!(total(&whole.rows), 500.0);
        assert_eq!((whole.completeness.included, whole.completeness.expected), (2, 3), "{:?}", whole.completeness);
        let missing = &whole.completeness.missing;
        assert!(missing.len() == 1 && missing[0].site == NEVER_STARTED, "a site of which nothing ever arrived is named: {missing:?}");

        link.cut();
        let answer = until("the answer says that its oldest site is old", async || {
            let answer = query().await?;
            let old = answer.completeness.oldest.as_ref().is_some_and(|oldest| oldest.age_seconds >= OLD_SECONDS);
            Ok(old.then_some(answer))
        })
        .await?;
        let oldest = answer.completeness.oldest.clone().expect("it was just seen");
        assert_eq!(oldest.site, DISTRICT, "the district whose link is cut is the oldest, not {oldest:?}");
        assert_eq!(answer.completeness.complete_up_to, Some(oldest.up_to), "an answer is no newer than its oldest site");
        assert_eq!(total(&answer.rows), 500.0, "what is held still counts");

        link.resume();
        until("no site is old any more", async || Ok(query().await?.completeness.oldest.filter(|oldest| oldest.age_seconds < OLD_SECONDS)))
            .await?;
        Ok(())
    })
    .await;
}

fn total(rows: &[IndicatorRow]) -> f64 {
    rows.iter().filter_map(|row| row.values.first().copied().flatten()).sum()
}
