//! A node that lost its disk can't come back under its old id; a fresh one under a new id takes its place.

use std::time::{Duration, Instant};

use kho_chaos_tests::{People, place::place, play, until};
use kho_node::api::Health;
use kho_storage::ids::NodeId;

use crate::trees::{BIEN_HOA, CENTRE, district, id, nodes, plan};

const SITE: u32 = CENTRE;
const ROWS: u64 = 5_000;
/// How long a node that lost its disk is watched: many elections fit in.
const WATCHED: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_disk_is_replaced_under_a_new_id_and_never_under_its_own() {
    play(plan(vec![district(SITE, &BIEN_HOA, &[], 3)]), async |stage| {
        stage.tree.start().await?;
        let people = People::new("person", BIEN_HOA.commune);
        let urls = stage.tree.urls(id(SITE));
        let client = stage.tree.client(&urls, &format!("client-{SITE}"))?;
        client.enter(people.batch(0..ROWS)).await?;
        stage.until_equal(SITE, ROWS, &nodes(SITE, 3)).await?;

        // A follower, so that the scene is about its disk and not about an election.
        let leader = stage.tree.leader(id(SITE)).await?;
        let lost = nodes(SITE, 3).into_iter().find(|(_, node)| *node != leader).expect("three nodes");
        let others: Vec<_> = nodes(SITE, 3).into_iter().filter(|place| *place != lost).collect();
        let other_urls: Vec<String> = others.iter().map(|(site, node)| stage.tree.url(*site, *node)).collect();
        stage.kill(lost)?;
        stage.lose_disk(lost)?;
        // Somebody takes the empty folder for that of a first start.
        stage.tree.take_data_folder(lost.0, lost.1)?;
        stage.tree.start_node(lost.0, lost.1)?;
        let watched = Instant::now();
        let mut batch = ROWS;
        while watched.elapsed() < WATCHED {
            client.enter(people.batch(batch..batch + 1)).await?;
            batch += 1;
            if let Ok(status) = stage.status(lost).await {
                assert!(status.streams.is_empty(), "a node without its disk was given data under its old id");
                assert_ne!(status.consensus.role, kho_node::api::Role::Leader);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let member = |place: kho_node::api::NodePlace| format!("{}={},{}", place.node, place.quic_address, place.https_address);
        let again = member(stage.tree.node_place(lost.0, lost.1));
        stage.run_kho("operator", &["node", "remove", &lost.1.to_string()], &other_urls).await?;
        let back = stage.run_kho("operator", &["node", "add", "--member", &again], &other_urls).await;
        assert!(back.is_err(), "an id was used twice: {back:?}");
        stage.tree.leave_out_node(lost.0, lost.1)?;

        let fresh = place(SITE, 4);
        stage.tree.add_node_files(fresh.0, fresh.1)?;
        stage.tree.start_node(fresh.0, fresh.1)?;
        stage.tree.wait_for_answer(fresh.0, fresh.1).await?;
        stage.tree.operator(id(SITE))?.apply_register(&stage.tree.register()?).await?;
        let member = member(stage.tree.node_place(fresh.0, fresh.1));
        stage.run_kho("operator", &["node", "add", "--member", &member], &other_urls).await?;
        let now = [others.clone(), vec![fresh]].concat();
        stage.until_equal(SITE, batch, &now).await?;
        let voters: Vec<NodeId> =
            stage.status(fresh).await?.consensus.nodes.iter().filter(|node| node.voter).map(|node| NodeId(node.node)).collect();
        assert_eq!(voters.len(), 3, "{voters:?}");
        assert!(voters.contains(&fresh.1) && !voters.contains(&lost.1), "{voters:?}");

        // The fresh node counts: without it, one of the old ones could not be spared.
        stage.kill(others[0])?;
        let client = stage.tree.client(&[stage.tree.url(fresh.0, fresh.1)], &format!("client-{SITE}"))?;
        client.enter(people.batch(batch..batch + 10)).await?;
        stage.tree.start_node(others[0].0, others[0].1)?;
        until("the killed node takes part again", async || Ok(stage.status(others[0]).await?.consensus.leader)).await?;
        stage.until_equal(SITE, batch + 10, &now).await?;
        stage.verify(&now).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_key_leaves_the_register_hands_over_and_says_why_and_a_removed_node_says_that_it_was_removed() {
    play(plan(vec![district(SITE, &BIEN_HOA, &[], 3)]), async |stage| {
        stage.tree.start().await?;
        let people = People::new("person", BIEN_HOA.commune);
        let client = stage.tree.client(&stage.tree.urls(id(SITE)), &format!("client-{SITE}"))?;
        client.enter(people.batch(0..100)).await?;
        let unpinned = (id(SITE), stage.tree.leader(id(SITE)).await?);
        let mut entry = None;
        stage.tree.change_register(|register| {
            let nodes = &mut register.sites[0].nodes;
            entry = nodes.iter().find(|node| node.node == unpinned.1).cloned();
            nodes.retain(|node| node.node != unpinned.1);
        })?;
        stage.tree.operator(id(SITE))?.apply_register(&stage.tree.register()?).await?;
        until("another node leads", async || Ok((stage.tree.leader(id(SITE)).await? != unpinned.1).then_some(()))).await?;
        until("the node says why", async || Ok((stage.status(unpinned).await?.health == Health::KeyNotInRegister).then_some(()))).await?;
        client.enter(people.batch(100..200)).await?;

        // It is removed while it is down, and comes back with its old data.
        let others: Vec<_> = nodes(SITE, 3).into_iter().filter(|place| *place != unpinned).collect();
        let other_urls: Vec<String> = others.iter().map(|(site, node)| stage.tree.url(*site, *node)).collect();
        stage.kill(unpinned)?;
        let number = unpinned.1.to_string();
        let said = stage.run_kho("operator", &["node", "remove", &number], &other_urls).await?;
        let revoke =
            |node: &str| format!("kho register revoke register.toml --identity kho://scene/site/{SITE}/node/{node} --last-good {SITE}=1/");
        assert!(said.contains(&revoke(&number)), "{said}");
        // Of a node that is not there, and of one that never was, is told what is left to revoke, as by a removal.
        for missing in [number.as_str(), "9"] {
            let refused = stage.kho("operator", ["node", "remove", missing], &other_urls).output().await?;
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && said.contains("not a member") && said.contains(&revoke(missing)), "{said}");
        }
        stage.tree.change_register(|register| register.sites[0].nodes.extend(entry.take()))?;
        stage.tree.start_node(unpinned.0, unpinned.1)?;
        until("the node says that it was removed", async || {
            Ok(matches!(stage.status(unpinned).await?.health, Health::Removed { .. }).then_some(()))
        })
        .await?;
        client.enter(people.batch(200..300)).await?;
        stage.until_equal(SITE, 300, &others).await
    })
    .await;
}
