//! Disks of another founding of the site, and disks that came back older.

use std::time::Duration;

use kho_node::consensus::{MembersError, NodeRole};
use kho_storage::{
    command::{Outcome, WriteOutcome},
    ids::NodeId,
};

use crate::{
    site::{BELIEVED, ORIGIN, Site, leader_of, until, until_equal, write},
    write_until_committed,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_founding_is_refused_at_both_ends() {
    let site = Site::new();
    let mut nodes = site.create(1).await;
    let mut second = site.node(2);
    second.start(&site).await.expect("starts");
    second.consensus().initialize(&[(NodeId(2), second.address())].into()).await.expect("nobody can tell it better");
    assert_ne!(second.consensus().incarnation(), nodes[0].consensus().incarnation(), "two foundings of one site");
    let error = nodes[0].consensus().add_learner(NodeId(2), second.address()).await.expect_err("another founding");
    assert_eq!(error, MembersError::NotFresh(NodeId(2)));
    let members = [(NodeId(1), nodes[0].address()), (NodeId(2), second.address())].into();
    assert_eq!(
        second.consensus().initialize(&members).await,
        Err(MembersError::AlreadyInitialised),
        "a running site is never founded again"
    );
    assert_eq!(nodes[0].consensus().initialize(&members).await, Err(MembersError::AlreadyInitialised));
    assert_eq!(nodes[0].consensus().status().members.len(), 1);

    // A founding finds a node of the site that runs already, wherever the register says it may be.
    let mut third = site.node(3);
    third.start(&site).await.expect("starts");
    let addresses = [second.address().quic, nodes[0].address().quic];
    assert_eq!(third.consensus().founded_member(&[NodeId(1), NodeId(3)], &addresses).await, Some(NodeId(1)));

    // The founding stands on the disk.
    let founding = nodes[0].consensus().incarnation();
    nodes[0].stop().await;
    nodes[0].start(&site).await.expect("its own disk");
    assert!(founding.is_some() && nodes[0].consensus().incarnation() == founding);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_added_learns_the_founding_of_its_site() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let founding = nodes[0].consensus().incarnation();
    assert!(founding.is_some() && nodes.iter().all(|node| node.consensus().incarnation() == founding));
    let mut fourth = site.node(4);
    fourth.start(&site).await.expect("starts");
    assert_eq!(fourth.consensus().incarnation(), None);
    nodes[1].consensus().add_learner(NodeId(4), fourth.address()).await.expect("fresh");
    assert_eq!(fourth.consensus().incarnation(), founding);
    nodes.push(fourth);
    until_equal(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_set_back_is_noted_by_the_site_and_no_later_leader_takes_it_back_in() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    let back = (0..3).find(|node| *node != leader).expect("three nodes");
    write_until_committed(&nodes[leader], "before the image").await;
    until_equal(&nodes).await;
    nodes[back].stop().await;
    let image = nodes[back].image();
    nodes[back].start(&site).await.expect("its own disk");
    write_until_committed(&nodes[leader], "after the image").await;
    until_equal(&nodes).await;
    assert_eq!(leader_of(&nodes).await, leader, "the same leader, which knows what was acknowledged to it");

    nodes[back].stop().await;
    nodes[back].set_back(&image);
    nodes[back].start(&site).await.expect("an older disk");
    let (id, disk) = (nodes[back].id, nodes[back].consensus().disk());
    let others: Vec<usize> = (0..3).filter(|node| *node != back).collect();
    until("both others know of it", || others.iter().all(|node| nodes[*node].warehouse().is_turned_back(id, disk.0).expect("a good disk")))
        .await;

    // Another leader, which saw nothing of it, builds on it no more: neither entries nor votes.
    let held = nodes[back].consensus().status().last_log;
    nodes[leader].stop().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let left = others.iter().find(|node| **node != leader).copied().expect("two others");
    assert_ne!(nodes[left].consensus().status().role, NodeRole::Leader, "its vote counts for nothing");
    nodes[leader].start(&site).await.expect("its own disk");
    let next = leader_of(&nodes).await;
    assert_ne!(next, back);
    write_until_committed(&nodes[next], "two are a majority").await;
    assert_eq!(nodes[back].consensus().status().last_log, held, "it gets nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_6_two_of_three_that_were_set_back_learn_of_it_from_the_third_which_keeps_what_it_holds() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    write_until_committed(&nodes[leader], "before the image").await;
    until_equal(&nodes).await;
    site.commit_head(&nodes[leader]).await;
    let (kept, back): (usize, Vec<usize>) = (leader, (0..3).filter(|node| *node != leader).collect());
    let mut images = Vec::new();
    for node in &back {
        nodes[*node].stop().await;
        images.push(nodes[*node].image());
        nodes[*node].start(&site).await.expect("its own disk");
    }
    let leader = leader_of(&nodes).await;
    write_until_committed(&nodes[leader], "lost").await;
    write_until_committed(&nodes[leader], "lost too").await;
    site.commit_head(&nodes[leader]).await;
    until_equal(&nodes).await;
    let held = nodes[kept].origin();

    nodes[kept].stop().await;
    for (node, image) in back.iter().zip(&images) {
        nodes[*node].stop().await;
        nodes[*node].set_back(image);
    }
    for node in &back {
        nodes[*node].start(&site).await.expect("an older disk");
    }
    let leader = leader_of(&nodes).await;
    write_until_committed(&nodes[leader], "on the dead branch").await;

    nodes[kept].start(&site).await.expect("its own disk");
    until("the two know that the site was set back", || {
        back.iter().all(|node| nodes[*node].warehouse().set_back(ORIGIN).expect("a good disk").is_some())
    })
    .await;
    for node in &back {
        let noted = nodes[*node].warehouse().set_back(ORIGIN).expect("a good disk").expect("just seen");
        assert_eq!(noted.noted_at, BELIEVED, "a machine's clock that is wrong is not stamped");
    }
    let refused = nodes[leader_of(&nodes).await].consensus().propose(&write("later", 1)).await.expect("a majority");
    assert!(matches!(&refused, Outcome::Written(outcomes) if outcomes[..] == [WriteOutcome::SetBack]), "{refused:?}");
    assert_eq!(nodes[kept].origin(), held, "the third holds what it held");
    assert_eq!(nodes[kept].consensus().failed().borrow().clone(), None, "and goes on");
    assert!(nodes[kept].consensus().contradicted_by().is_some());
}
