//! Nothing reads healthy beside something that stands still: a node that died in an idle site, a child from which nothing comes.

use std::time::{Duration, Instant};

use kho_chaos_tests::{People, place::place, play, until};
use kho_node::api::{AlarmKind, Finding, Health};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, centre, district, id, nodes, plan};

/// 8 seconds without an answer, and the 5 seconds between two rounds of maintenance; the rest is for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread")]
async fn promise_9_a_node_that_died_in_an_idle_site_is_named_within_seconds() {
    play(plan(vec![district(DISTRICT, &BIEN_HOA, &[], 3)]), async |stage| {
        stage.tree.start().await?;
        let leader = (id(DISTRICT), stage.tree.leader(id(DISTRICT)).await?);
        until("the site is healthy", async || Ok(stage.status(leader).await?.health.is_healthy().then_some(()))).await?;
        let dead = nodes(DISTRICT, 3).into_iter().find(|at| *at != leader).expect("three nodes");
        stage.kill(dead)?;
        let killed = Instant::now();
        until("the leader names the dead node", async || {
            let is_it = |alarm: &AlarmKind| matches!(alarm, AlarmKind::MemberUnreachable { node, .. } if *node == dead.1.0);
            Ok(matches!(stage.status(leader).await?.health, Health::AlarmRaised { alarm } if is_it(&alarm)).then_some(()))
        })
        .await?;
        assert!(killed.elapsed() < NOTICED_WITHIN, "{:?}", killed.elapsed());
        let status = stage.status(leader).await?;
        let member = status.consensus.nodes.iter().find(|node| node.node == dead.1.0).expect("it is still a member");
        assert_eq!(member.lag_entries, None, "nobody knows how far a dead node is behind");
        assert!(member.silent_seconds.is_some_and(|seconds| seconds >= 8), "{member:?}");
        let url = [stage.tree.url(leader.0, leader.1)];
        let shown = stage.run_kho("operator", &["status"], &url).await;
        assert!(shown.is_err_and(|error| error.to_string().contains("unknown, silent for")), "kho status must end with 1 and say it");
        stage.tree.start_node(dead.0, dead.1)?;
        until("the site is healthy again", async || Ok(stage.status(leader).await?.health.is_healthy().then_some(()))).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_9_a_parent_names_its_only_child_when_nothing_newer_comes_from_it() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let (parent, child) = (place(CENTRE, 1), place(DISTRICT, 1));
        stage.configure(parent, "idle_head_seconds = 5\n", "idle_head_seconds = 5\nchild_silent_seconds = 15\n")?;
        stage.tree.start().await?;
        let people = People::new("person", BIEN_HOA.commune);
        stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?.enter(people.batch(0..10)).await?;
        stage.until_equal(DISTRICT, 10, &[parent, child]).await?;
        until("the parent is healthy", async || Ok(stage.status(parent).await?.health.is_healthy().then_some(()))).await?;
        stage.kill(child)?;
        until("the parent names its child", async || {
            let is_it = |finding: &Finding| matches!(finding, Finding::ChildStill { child: DISTRICT, silent_seconds: 16.., .. });
            Ok(matches!(stage.status(parent).await?.health, Health::FindingStands { finding } if is_it(&finding)).then_some(()))
        })
        .await?;
        let url = [stage.tree.url(parent.0, parent.1)];
        let shown = stage.run_kho("operator", &["status"], &url).await;
        assert!(shown.is_err_and(|error| error.to_string().contains("the child site")), "kho status must end with 1 and say it");
        stage.tree.start_node(child.0, child.1)?;
        until("the parent is healthy again", async || Ok(stage.status(parent).await?.health.is_healthy().then_some(()))).await
    })
    .await;
}
