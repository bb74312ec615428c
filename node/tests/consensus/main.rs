//! Nodes of one site, as real consensus over QUIC on loopback.

mod addresses;
mod disks;
mod divergence;
mod install_stopped;
mod levels;
mod link;
mod members;
mod site;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kho_node::consensus::{Consensus, ConsensusLimits, MembersError, NodeAddress, ProposeError, ReadError, StartError};
use kho_storage::{
    command::{Command, Outcome, WriteOutcome},
    ids::NodeId,
};
use link::Link;
use site::{Site, TestNode, is_committed, leader_of, until, until_equal, write};

/// What the site aims at: after a leader is lost the next write commits within this, in 299 of 300 cases.
const FAILOVER_MAX: Duration = Duration::from_secs(2);

fn some_follower(nodes: &[TestNode], leader: usize) -> &TestNode {
    nodes.iter().enumerate().find(|(place, node)| *place != leader && node.is_running()).expect("a site of three").1
}

/// Writes as a client does: with one request key until the outcome is known.
async fn write_until_committed(node: &TestNode, key: &str) -> Outcome {
    write_through(Arc::clone(node.consensus()), key.to_owned()).await
}

async fn write_through(consensus: Arc<Consensus>, key: String) -> Outcome {
    loop {
        match consensus.propose(&write(&key, 1)).await {
            Ok(outcome) => return outcome,
            Err(
                ProposeError::NoLeader { .. }
                | ProposeError::LeaderUnreachable { .. }
                | ProposeError::Busy { .. }
                | ProposeError::Unknown { .. },
            ) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_a_write_and_all_nodes_hold_it() {
    let site = Site::new();
    let nodes = site.create(3).await;
    for (place, node) in nodes.iter().enumerate() {
        let outcome = node.consensus().propose(&write(&format!("from {place}"), 10)).await.expect("a leader");
        assert!(is_committed(&outcome), "{outcome:?}");
    }
    until_equal(&nodes).await;
    assert_eq!(nodes[0].origin().expect("written").rows, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_several_pieces_arrive_and_a_command_beyond_the_limit_is_refused() {
    let site = Site::new();
    let nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    // About 4 MiB, the largest write.
    let large = write("large", 6_500);
    let outcome = some_follower(&nodes, leader).consensus().propose(&large).await.expect("a leader");
    assert!(is_committed(&outcome));
    until_equal(&nodes).await;
    let too_large = write("too large", 40_000);
    assert!(matches!(nodes[leader].consensus().propose(&too_large).await, Err(ProposeError::TooLarge { .. })));
    assert_eq!(nodes[leader].origin().expect("written").rows, 6_500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_1_a_lost_leader_costs_no_acknowledged_write() {
    // How long a failover takes is judged only when it is measured on purpose: the tests promise nothing about the machine.
    let measured: Option<u32> = std::env::var("KHO_FAILOVERS").ok().and_then(|n| n.parse().ok());
    let failovers = measured.unwrap_or(4);
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let (mut acknowledged, mut slow) = (0, 0);
    for failover in 0..failovers {
        let leader = leader_of(&nodes).await;
        assert!(is_committed(&write_until_committed(&nodes[leader], &format!("before {failover}")).await));
        let (lost_at, through) = (Instant::now(), Arc::clone(some_follower(&nodes, leader).consensus()));
        let writing = tokio::spawn(async move { (write_through(through, format!("after {failover}")).await, lost_at.elapsed()) });
        nodes[leader].stop().await;
        let (outcome, took) = writing.await.expect("no panic");
        assert!(is_committed(&outcome));
        let survivor = some_follower(&nodes, leader);
        println!("failover {failover}: {} ms", took.as_millis());
        slow += u32::from(took > FAILOVER_MAX);
        acknowledged += 2;
        assert_eq!(survivor.consensus().read_index().await.map(|_| survivor.origin().expect("written").rows), Ok(acknowledged));
        nodes[leader].start(&site).await.expect("its own disk");
        until_equal(&nodes).await;
    }
    assert!(measured.is_none() || slow * 300 <= failovers, "{slow} of {failovers} failovers took more than {FAILOVER_MAX:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_1_nothing_is_acknowledged_or_applied_before_the_leaders_own_disk_has_it() {
    let site = Site::new();
    for (voters, learners) in [(1, 0), (1, 1), (3, 0)] {
        let size = format!("a site of {voters} and {learners} learning");
        let mut nodes = site.create(voters).await;
        for id in (1..=learners).map(|place| voters + place) {
            let mut learner = site.node(id);
            learner.start(&site).await.expect("a fresh disk");
            nodes[0].consensus().add_learner(NodeId(id), learner.address()).await.expect("catches up");
            nodes.push(learner);
        }
        let leader = nodes[leader_of(&nodes).await].consensus();
        let proposer = nodes.last().expect("a node").consensus();
        assert!(is_committed(&write_through(Arc::clone(proposer), "before".into()).await));
        until_equal(&nodes).await;
        // A sole voter sends nobody an entry that it calls committed before its disk has it.
        let last_entries = || nodes[..voters as usize].iter().map(|node| node.consensus().status().last_log).collect::<Vec<_>>();
        let before = last_entries();
        #[expect(clippy::async_yields_async, reason = "the write is awaited once the log goes on")]
        let write = leader.while_log_stalls(async {
            let write = tokio::spawn(write_through(Arc::clone(proposer), "while stalled".into()));
            until("the voters to have the entry", || last_entries().iter().zip(&before).all(|(now, before)| now > before)).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(!write.is_finished(), "acknowledged in {size}");
            for node in &nodes {
                assert_eq!(node.origin().expect("written").rows, 1, "applied at {} in {size}", node.id);
            }
            write
        });
        let write = write.await.expect("it runs");
        assert!(is_committed(&write.await.expect("it ran")));
        until_equal(&nodes).await;
        assert_eq!(nodes[0].origin().expect("written").rows, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_whose_disk_stalls_is_replaced_and_follows_once_it_writes_again() {
    let site = Site::new();
    let nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    assert!(is_committed(&write_until_committed(&nodes[leader], "before").await));
    let stalled = nodes[leader].consensus();
    let survivor = some_follower(&nodes, leader);
    let meanwhile = stalled.while_log_stalls(async {
        let stalled_write = tokio::spawn(write_through(Arc::clone(survivor.consensus()), "while stalled".into()));
        until("another leads", || nodes.iter().any(|node| node.id != nodes[leader].id && node.consensus().leadership().borrow().ready))
            .await;
        assert!(!stalled.leadership().borrow().ready, "it still takes itself for a leader that may give cursors");
        assert!(is_committed(&stalled_write.await.expect("it ran")));
        assert!(is_committed(&write_until_committed(survivor, "without it").await));
        assert_eq!(survivor.consensus().read_index().await.map(|_| survivor.origin().expect("written").rows), Ok(3));
    });
    meanwhile.await.expect("it runs");
    until_equal(&nodes).await;
    assert!(is_committed(&write_until_committed(&nodes[leader], "after").await));
    until_equal(&nodes).await;
    assert_eq!(nodes[leader].origin().expect("written").rows, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_a_leader_may_propose_is_never_passed_on_to_another() {
    let site = Site::new();
    let nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    let outcome = nodes[leader].consensus().propose_as_leader(&write("by the leader", 1)).await.expect("it leads");
    assert!(is_committed(&outcome));
    let refused = some_follower(&nodes, leader).consensus().propose_as_leader(&write("by a follower", 1)).await;
    assert!(matches!(refused, Err(ProposeError::NoLeader { .. })), "{refused:?}");
    until_equal(&nodes).await;
    assert_eq!(nodes[0].origin().expect("written").rows, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linearizable_read_on_a_follower_sees_the_last_acknowledged_write() {
    let site = Site::new();
    let nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    for round in 1..=20 {
        write_until_committed(&nodes[leader], &format!("round {round}")).await;
        let follower = some_follower(&nodes, leader);
        follower.consensus().read_index().await.expect("a leader");
        assert_eq!(follower.origin().expect("written").rows, round);
    }
}

/// One that led on at once would not know which of its last entries are committed, and would confirm reads that lie before them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_restarts_leads_again_only_after_an_election() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    write_until_committed(&nodes[leader], "before").await;
    let term_before = nodes[leader].consensus().leadership().borrow().term;
    nodes[leader].stop().await;
    nodes[leader].start(&site).await.expect("its own disk");
    let leading_term = || {
        nodes
            .iter()
            .map(|node| *node.consensus().leadership().borrow())
            .find(|leadership| leadership.is_self)
            .map(|leadership| leadership.term)
    };
    let mut term = None;
    until("a node leads", || {
        term = leading_term();
        term.is_some()
    })
    .await;
    assert!(term > Some(term_before), "it leads on in the term in which it had stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_acknowledged_and_no_read_is_linearizable() {
    let mut site = Site::new();
    site.limits = ConsensusLimits { propose_timeout: Duration::from_secs(2), read_timeout: Duration::from_secs(1), ..site.limits };
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    for place in (0..3).filter(|place| *place != leader) {
        nodes[place].stop().await;
    }
    let error = nodes[leader].consensus().propose(&Command::Trim { keep_bytes: 0 }).await.expect_err("one of three");
    assert!(matches!(error, ProposeError::Unknown { .. } | ProposeError::NoLeader { .. }), "{error}");
    assert!(matches!(nodes[leader].consensus().read_index().await, Err(ReadError::NoLeader { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_gets_no_heartbeats_does_not_depose_its_leader() {
    let site = Site::new();
    let (nodes, links) = site.create_over_links(3).await;
    let leader = leader_of(&nodes).await;
    let term = nodes[leader].consensus().status().term;
    let cut_off = (leader + 1) % nodes.len();
    // Nothing reaches it, but the others get what it sends.
    links[cut_off].break_after(0);
    until("the cut-off node to miss its leader", || nodes[cut_off].consensus().status().leader.is_none()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    write_until_committed(&nodes[leader], "meanwhile").await;
    links[cut_off].restore();
    write_until_committed(&nodes[leader], "afterwards").await;
    until_equal(&nodes).await;
    let status = nodes[cut_off].consensus().status();
    assert_eq!((status.leader, status.term), (Some(nodes[leader].id), term));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_request_is_committed_once() {
    let site = Site::new();
    let nodes = site.create(1).await;
    let first = write_until_committed(&nodes[0], "same key").await;
    let again = write_until_committed(&nodes[0], "same key").await;
    assert!(is_committed(&first));
    assert!(
        matches!(again, Outcome::Written(ref outcomes) if matches!(outcomes[..], [WriteOutcome::Committed { repeated: true, .. }])),
        "{again:?}"
    );
    assert_eq!(nodes[0].origin().expect("written").rows, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_far_behind_gets_a_log_snapshot_and_a_broken_transfer_goes_on() {
    let mut site = Site::new();
    site.limits = ConsensusLimits { snapshot_log_entries: 10, kept_log_entries: 1, lagging_log_bytes_max: 0, ..site.limits };
    let mut nodes = site.create(1).await;
    for part in 0..12 {
        let outcome = nodes[0].consensus().propose(&write(&format!("part {part}"), 4_000)).await.expect("the only node");
        assert!(is_committed(&outcome), "{outcome:?}");
        site.commit_head(&nodes[0]).await;
    }
    let complete = || {
        let status = nodes[0].consensus().status();
        status.snapshot.is_some() && status.snapshot == status.applied
    };
    while !complete() {
        nodes[0].consensus().make_snapshot().await.expect("runs");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until("the log to be purged", || nodes[0].consensus().status().purged.is_some_and(|purged| purged > 5)).await;

    let mut late = site.node(2);
    late.start(&site).await.expect("starts");
    let link = Link::to(late.addr()).await;
    link.break_after(16 << 20);
    let address = NodeAddress { quic: link.addr().to_string(), ..late.address() };
    let adding = tokio::spawn({
        let first = nodes[0].consensus().clone();
        async move { first.add_learner(NodeId(2), address).await }
    });
    until("the link to break", || link.is_broken()).await;
    let before_break = link.carried();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // The node restarts in the middle of it, too.
    late.stop().await;
    late.start(&site).await.expect("its own disk");
    link.restore();
    adding.await.expect("no panic").expect("caught up");
    nodes.push(late);
    until_equal(&nodes).await;
    assert_eq!(nodes[1].origin().expect("sent").rows, 48_000);
    assert!(nodes[1].consensus().status().snapshot.is_some());

    // Without the first part being kept, the second would be as large as the whole.
    let (second, whole) = (link.carried() - before_break, nodes[0].snapshot_bytes());
    println!("{before_break} of {whole} bytes before the link broke, {second} after");
    assert!(second < whole - (8 << 20), "{before_break} bytes of {whole}, then {second}");

    // Started again from its own disk, it goes on from there.
    nodes[1].stop().await;
    nodes[0].consensus().propose(&write("later", 1)).await.expect("the only voter");
    nodes[1].start(&site).await.expect("its own disk");
    until_equal(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_holds_in_memory_goes_to_its_disk_once_nothing_more_comes() {
    let site = Site::new();
    let nodes = site.create(1).await;
    for part in 0..5 {
        assert!(is_committed(&nodes[0].consensus().propose(&write(&format!("part {part}"), 1_000)).await.expect("the only node")));
    }
    let warehouse = nodes[0].warehouse();
    until("the state to be on disk", || warehouse.persisted_applied().expect("a good disk") == warehouse.applied().expect("a good disk"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_its_disk_and_a_removed_node_return_only_under_a_new_id() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    write_until_committed(&nodes[0], "before the loss").await;
    nodes[2].stop().await;
    nodes[2].lose_disk();
    nodes[2].start(&site).await.expect("an empty disk");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(nodes[2].consensus().status().last_log, None, "nobody takes it for the old node 3");
    let leader = leader_of(&nodes[..2]).await;
    let refused = nodes[leader].consensus().add_learner(NodeId(3), NodeAddress { quic: "127.0.0.1:9".into(), https: String::new() }).await;
    assert_eq!(refused, Err(MembersError::IdUsed(NodeId(3))));

    nodes[leader].consensus().remove(NodeId(3)).await.expect("two of three are there");
    let refused = nodes[leader].consensus().add_learner(NodeId(3), nodes[2].address()).await;
    assert_eq!(refused, Err(MembersError::IdUsed(NodeId(3))));

    nodes[2].stop().await;
    let mut fresh = site.node(4);
    fresh.start(&site).await.expect("an empty disk");
    nodes[2] = fresh;
    // Any member takes the change and passes it on.
    nodes[1 - leader].consensus().add_learner(NodeId(4), nodes[2].address()).await.expect("fresh");
    nodes[1 - leader].consensus().promote(NodeId(4)).await.expect("a learner");
    until_equal(&nodes).await;
    let members = nodes[2].consensus().status().members;
    assert_eq!(members.iter().filter(|member| member.voter).map(|member| member.node.0).collect::<Vec<_>>(), [1, 2, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_removed_hands_over_first() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    let id = nodes[leader].id;
    some_follower(&nodes, leader).consensus().remove(id).await.expect("three are there");
    let removed = nodes.remove(leader);
    let next = leader_of(&nodes).await;
    assert!(is_committed(&write_until_committed(&nodes[next], "after").await));
    until_equal(&nodes).await;
    assert!(nodes[next].consensus().status().members.iter().all(|member| member.node != id));
    drop(removed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_whose_state_and_log_do_not_fit_is_refused() {
    let site = Site::new();
    let mut nodes = site.create(1).await;
    write_until_committed(&nodes[0], "something").await;
    nodes[0].stop().await;
    nodes[0].lose_log();
    assert!(matches!(nodes[0].start(&site).await, Err(StartError::PartLost { .. })));
}
