//! Who belongs to the site: nodes that were removed, and nodes that were away while members came and went.

use std::{sync::Arc, time::Duration};

use kho_node::consensus::{MembersError, ProposeError, ReadError};
use kho_storage::ids::NodeId;

use crate::{
    site::{Site, TestNode, is_committed, leader_of, until, until_equal, write},
    write_through, write_until_committed,
};

/// A fresh node of the site, added and given a vote through `through`.
pub async fn added(site: &Site, through: &TestNode, id: u64) -> TestNode {
    let mut node = site.node(id);
    node.start(site).await.expect("an empty disk");
    through.consensus().add_learner(NodeId(id), node.address()).await.expect("fresh");
    through.consensus().promote(NodeId(id)).await.expect("a learner");
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_that_returns_with_its_old_data_changes_nothing_and_says_that_it_was_removed() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    write_until_committed(&nodes[leader], "before").await;
    until_equal(&nodes).await;
    let mut removed = nodes.remove((leader + 1) % 3);
    removed.stop().await;
    let leader = leader_of(&nodes).await;
    nodes[leader].consensus().remove(removed.id).await.expect("two of three are there");
    write_until_committed(&nodes[leader], "without it").await;
    let before = nodes[leader].consensus().status();

    removed.start(&site).await.expect("its own disk");
    until("it to say that it was removed", || removed.consensus().status().removed_by.is_some()).await;
    let proposed = removed.consensus().propose(&write("of the removed", 1)).await;
    assert!(matches!(proposed, Err(ProposeError::NoLeader { .. })), "{proposed:?}");
    assert!(matches!(removed.consensus().read_index().await, Err(ReadError::NoLeader { .. })));
    let change = removed.consensus().remove(nodes[0].id).await;
    assert!(matches!(change, Err(MembersError::NoLeader { .. })), "{change:?}");

    let after = nodes[leader].consensus().status();
    assert_eq!((after.leader, after.term, after.last_log), (before.leader, before.term, before.last_log), "it moved something");
    assert_eq!(after.members.len(), 2);
    until_equal(&nodes).await;
    assert_eq!(nodes[leader].origin().expect("written").rows, 2);
    assert_eq!(removed.origin().expect("its old data").rows, 1);
    assert!(nodes.iter().all(|node| node.consensus().status().removed_by.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_never_was_a_member_can_not_be_removed_and_a_removed_one_only_once() {
    let site = Site::new();
    let nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    let follower = (leader + 1) % 3;
    let through = nodes[follower].consensus();
    assert_eq!(through.remove(NodeId(9)).await, Err(MembersError::NotAMember(NodeId(9))));
    let gone = nodes[3 - leader - follower].id;
    assert_eq!(through.remove(gone).await, Ok(()));
    assert_eq!(nodes[leader].consensus().remove(gone).await, Err(MembersError::NotAMember(gone)));
}

/// Three nodes, of which the third went away before a fourth was added. Returns the place of the leader among the first two.
async fn one_away_and_one_added(site: &Site) -> (Vec<TestNode>, usize) {
    let mut nodes = site.create(3).await;
    write_until_committed(&nodes[0], "before").await;
    until_equal(&nodes).await;
    nodes[2].stop().await;
    let leader = leader_of(&nodes[..2]).await;
    nodes.push(added(site, &nodes[leader], 4).await);
    (nodes, leader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_was_away_carries_the_site_on_with_one_that_was_added_meanwhile() {
    let site = Site::new();
    let (mut nodes, leader) = one_away_and_one_added(&site).await;
    let gone = 1 - leader;
    nodes[leader].consensus().remove(nodes[gone].id).await.expect("three of four are there");
    nodes[gone].stop().await;
    write_until_committed(&nodes[leader], "with node 4").await;
    // The leader's disk stalls: node 4 can lead by the vote of node 3, which has never heard of it, or node 3 itself, if the leader still
    // told it who is a member.
    let stalled = Arc::clone(nodes[leader].consensus());
    let four = Arc::clone(nodes[3].consensus());
    let meanwhile = stalled.while_log_stalls(async {
        let pending = tokio::spawn(write_through(Arc::clone(&four), "while stalled".into()));
        nodes[2].start(&site).await.expect("its own disk");
        let three = Arc::clone(nodes[2].consensus());
        until("node 3 or node 4 leads", || three.leadership().borrow().ready || four.leadership().borrow().ready).await;
        assert!(is_committed(&pending.await.expect("it ran")));
        until("node 3 holds what was written", || nodes[2].origin().is_some_and(|origin| origin.rows == 3)).await;
    });
    meanwhile.await.expect("it runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_member_to_confirm_it_a_newcomer_is_refused_and_named_until_an_operator_confirms_it() {
    let site = Site::new();
    let (mut nodes, leader) = one_away_and_one_added(&site).await;
    let gone = nodes[1 - leader].id;
    nodes[leader].consensus().remove(gone).await.expect("three of four are there");
    write_until_committed(&nodes[leader], "with node 4").await;
    nodes[0].stop().await;
    nodes[1].stop().await;

    // Nodes 3 and 4 are a majority of the site's three, but node 3 knows nobody who could say so.
    nodes[2].start(&site).await.expect("its own disk");
    let away = Arc::clone(nodes[2].consensus());
    until("node 4 is named", || away.status().unconfirmed == Some(NodeId(4))).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!nodes[3].consensus().leadership().borrow().is_self, "it leads by the vote of a node that does not know it");
    assert_eq!(away.confirm_node(NodeId(4)), Ok(()));
    until("node 4 leads", || nodes[3].consensus().leadership().borrow().ready).await;
    assert!(is_committed(&write_until_committed(&nodes[3], "after").await));
    until("node 3 to know the members", || away.status().members.iter().all(|member| member.node != gone)).await;
    assert_eq!(away.status().unconfirmed, None);
    assert_eq!(away.confirm_node(gone), Err(MembersError::IdUsed(gone)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_may_lead_no_more_hands_over_and_a_node_that_may_not_lead_is_never_elected() {
    let site = Site::new();
    let nodes = site.create(3).await;
    let first = leader_of(&nodes).await;
    write_until_committed(&nodes[first], "before").await;
    nodes[first].consensus().permit_leading(false);
    until("another leads", || (0..3).any(|place| place != first && nodes[place].consensus().leadership().borrow().ready)).await;
    assert!(is_committed(&write_until_committed(&nodes[first], "through the one that may not").await));
    until_equal(&nodes).await;

    for node in &nodes {
        node.consensus().permit_leading(false);
    }
    until("nobody leads", || nodes.iter().all(|node| !node.consensus().leadership().borrow().ready)).await;
    let refused = nodes[first].consensus().propose(&write("while nobody may", 1)).await;
    assert!(matches!(refused, Err(ProposeError::NoLeader { .. })), "{refused:?}");
    assert!(nodes.iter().all(|node| node.origin().expect("written").rows == 2));

    let chosen = (first + 1) % 3;
    nodes[chosen].consensus().permit_leading(true);
    until("the one that may leads", || nodes[chosen].consensus().leadership().borrow().ready).await;
    assert!(is_committed(&write_until_committed(&nodes[first], "after").await));
    until_equal(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_voter_takes_nothing_while_it_may_not_lead() {
    let site = Site::new();
    let nodes = site.create(1).await;
    write_until_committed(&nodes[0], "before").await;
    nodes[0].consensus().permit_leading(false);
    until("it is not ready", || !nodes[0].consensus().leadership().borrow().ready).await;
    assert!(matches!(nodes[0].consensus().propose(&write("meanwhile", 1)).await, Err(ProposeError::NoLeader { .. })));
    nodes[0].consensus().permit_leading(true);
    assert!(is_committed(&write_until_committed(&nodes[0], "after").await));
    assert_eq!(nodes[0].origin().expect("written").rows, 2);
}
