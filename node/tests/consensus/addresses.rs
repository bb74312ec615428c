//! Nodes that moved, one of a site or all at once, and members that do not answer.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use kho_node::consensus::{NodeAddress, ProposeError, ReadError};
use kho_storage::ids::NodeId;

use crate::{
    members::added,
    site::{Site, TestNode, is_committed, leader_of, until, until_equal, write},
    some_follower, write_until_committed,
};

/// Longer than elections and dialling take, and shorter than anybody waits.
const BOUND: Duration = Duration::from_secs(30);

fn addresses_of(nodes: &[TestNode]) -> BTreeMap<NodeId, NodeAddress> {
    nodes.iter().map(|node| (node.id, node.address())).collect()
}

/// Waits until the membership at every node says where the nodes are. The leader is asked to record it, as its maintenance does.
async fn until_recorded(nodes: &[TestNode]) {
    let (start, wanted) = (Instant::now(), addresses_of(nodes));
    let recorded = |node: &TestNode| -> BTreeMap<NodeId, NodeAddress> {
        let members = node.consensus().status().members.into_iter();
        members.map(|member| (member.node, NodeAddress { quic: member.quic_address, https: member.https_address })).collect()
    };
    while !nodes.iter().all(|node| recorded(node) == wanted) {
        assert!(start.elapsed() < BOUND, "the record does not follow: {:?}", nodes.iter().map(recorded).collect::<Vec<_>>());
        for node in nodes {
            // Of two changes at once one is refused; it is asked for again.
            let _ = node.consensus().record_moves().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_site_all_of_whose_nodes_moved_goes_on_once_each_is_told_where_they_are() {
    let mut site = Site::new();
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    assert!(is_committed(&write_until_committed(&nodes[leader], "before").await));
    until_equal(&nodes).await;
    for node in &mut nodes {
        node.stop().await;
        node.move_away();
    }
    for node in &mut nodes {
        node.start(&site).await.expect("its own disk");
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(nodes.iter().all(|node| node.consensus().status().leader.is_none()), "they can't know where the others are");

    site.addresses = addresses_of(&nodes);
    for node in &mut nodes {
        node.stop().await;
        node.start(&site).await.expect("its own disk");
    }
    let leader = leader_of(&nodes).await;
    assert!(is_committed(&write_until_committed(&nodes[leader], "after").await));
    until_recorded(&nodes).await;

    // The record is enough from now on.
    site.addresses.clear();
    for node in &mut nodes {
        node.stop().await;
    }
    for node in &mut nodes {
        node.start(&site).await.expect("its own disk");
    }
    let leader = leader_of(&nodes).await;
    assert!(is_committed(&write_until_committed(some_follower(&nodes, leader), "by the record").await));
    until_equal(&nodes).await;
    assert_eq!(nodes[0].origin().expect("written").rows, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_of_three_that_moved_is_reached_and_recorded_by_its_own_word_alone() {
    let mut site = Site::new();
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    assert!(is_committed(&write_until_committed(&nodes[leader], "before").await));
    let moved = (leader + 1) % 3;
    nodes[moved].stop().await;
    nodes[moved].move_away();
    site.addresses = BTreeMap::from([(nodes[moved].id, nodes[moved].address())]);
    nodes[moved].start(&site).await.expect("its own disk");
    until_recorded(&nodes).await;
    assert!(is_committed(&write_until_committed(&nodes[moved], "after").await));
    until_equal(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_does_not_reach_its_leader_says_so_in_bounded_time_until_the_leader_announces_where_it_is() {
    let mut site = Site::new();
    let mut nodes = site.create(1).await;
    assert!(is_committed(&write_until_committed(&nodes[0], "before").await));
    nodes[0].stop().await;
    nodes[0].move_away();
    nodes[0].start(&site).await.expect("its own disk");
    leader_of(&nodes).await;
    // The leader dials node 2, which knows only where node 1 was.
    let second = added(&site, &nodes[0], 2).await;
    nodes.push(second);
    let asked = Instant::now();
    let refused = nodes[1].consensus().propose(&write("through node 2", 1)).await;
    assert!(matches!(refused, Err(ProposeError::LeaderUnreachable { leader: NodeId(1), .. })), "{refused:?}");
    let unread = nodes[1].consensus().read_index().await;
    assert!(matches!(unread, Err(ReadError::LeaderUnreachable { leader: NodeId(1), .. })), "{unread:?}");
    assert!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
    until("node 2 to name its leader", || nodes[1].consensus().status().unreachable.contains_key(&NodeId(1))).await;
    assert!(nodes[0].consensus().status().unreachable.is_empty(), "the leader reaches node 2");

    site.addresses = BTreeMap::from([(nodes[0].id, nodes[0].address())]);
    nodes[0].stop().await;
    nodes[0].start(&site).await.expect("its own disk");
    until_recorded(&nodes).await;
    assert!(is_committed(&write_until_committed(&nodes[1], "through node 2").await));
    assert!(nodes[1].consensus().read_index().await.is_ok());
    until_equal(&nodes).await;
    assert_eq!(nodes[1].origin().expect("written").rows, 2);
    until("all to answer", || nodes.iter().all(|node| node.consensus().status().unreachable.is_empty())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_9_a_member_that_ended_is_named_by_the_others_though_nothing_is_entered() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    until_equal(&nodes).await;
    let ended = (leader + 1) % 3;
    let id = nodes[ended].id;
    nodes[ended].stop().await;
    let asked = Instant::now();
    let others = || nodes.iter().filter(|node| node.is_running());
    until("the others to name it", || others().all(|node| node.consensus().status().unreachable.contains_key(&id))).await;
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    let named = nodes[leader].consensus().status().unreachable;
    assert!(named.len() == 1 && named[&id].seconds >= 8 && !named[&id].why.is_empty(), "{named:?}");
    nodes[ended].start(&site).await.expect("its own disk");
    until("all to answer", || nodes.iter().all(|node| node.consensus().status().unreachable.is_empty())).await;
}
