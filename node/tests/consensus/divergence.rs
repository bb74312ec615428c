//! A node whose data are damaged stops itself and no other, and what would stop every node never enters the log.

use std::time::Duration;

use kho_node::consensus::{ConsensusLimits, ProposeError, StartError};
use kho_storage::{
    codec::{self, Blob},
    command::{Command, DivergedPlace, Outcome},
    command_check::CommandFault,
    ids::{ColumnId, Hash32, NodeId, SiteTime, StreamSeq, TableId},
    row::RowBuilder,
    schema::Value,
    stream::Change,
};
use tokio::time::timeout;

use crate::{
    site::{BELIEVED, ORIGIN, Site, TestNode, is_committed, leader_of, until, until_equal, write},
    some_follower, write_until_committed,
};

/// Alters the row that `write("row", 1)` wrote, behind the digest.
fn damage(node: &TestNode) {
    let mut cells = RowBuilder::default();
    cells.push(ColumnId(1), &Value::Text("damaged".into()));
    node.warehouse().tamper_with_row(ORIGIN, TableId(1), b"row-0", &cells.finish()).expect("writable");
}

/// The row of `write("row", 1)` under another request key.
fn write_again(key: &str) -> Command {
    let Command::Write { site_time, origin, mut requests } = write("row", 1) else { panic!("a write") };
    requests[0].key = key.into();
    Command::Write { site_time, origin, requests }
}

fn has_failed(node: &TestNode) -> bool {
    node.consensus().failed().borrow().is_some()
}

fn noted(at: &TestNode, of: NodeId, disk: u64) -> Option<DivergedPlace> {
    at.warehouse().divergence_of(of, disk).expect("a good disk")
}

fn noted_at(at: &TestNode, of: NodeId, disk: u64) -> Option<SiteTime> {
    at.warehouse().diverged_since(of, disk).expect("a good disk")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_5_a_leader_whose_rows_are_damaged_stops_and_the_others_go_on() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let damaged = leader_of(&nodes).await;
    write_until_committed(&nodes[damaged], "row").await;
    until_equal(&nodes).await;
    damage(&nodes[damaged]);
    let outcome = nodes[damaged].consensus().propose(&write_again("again")).await.expect("a leader");
    assert!(is_committed(&outcome));

    // It signs what it computed, and the head never enters the log.
    let head = Command::CommitHead { signed: site.signed_head(&nodes[damaged], |_| {}) };
    let refused = nodes[damaged].consensus().propose(&head).await;
    assert!(refused.is_err(), "{refused:?}");
    until("the damaged leader has stopped", || has_failed(&nodes[damaged])).await;
    let next = leader_of(&nodes).await;
    assert_ne!(next, damaged);
    site.commit_head(&nodes[next]).await;
    write_until_committed(&nodes[next], "later").await;

    let (id, disk) = (nodes[damaged].id, nodes[damaged].consensus().disk());
    for (place, node) in nodes.iter().enumerate().filter(|(place, _)| *place != damaged) {
        assert!(!has_failed(node), "node {place} is sound");
        until("the others know of it", || noted(node, id, disk.0).is_some()).await;
        assert_eq!(noted(node, id, disk.0), Some(DivergedPlace::Stream { origin: ORIGIN, seq: StreamSeq(2) }));
        assert_eq!(noted_at(node, id, disk.0), Some(BELIEVED), "a machine's clock that is wrong is not stamped");
    }

    // It never takes part again on this disk; a fresh node takes its place.
    nodes[damaged].stop().await;
    let again = nodes[damaged].start(&site).await;
    assert!(matches!(again, Err(StartError::Diverged(_))), "{again:?}");
    until_equal(&nodes).await;
    let next = leader_of(&nodes).await;
    nodes[next].consensus().remove(id).await.expect("two others");
    let mut fresh = site.node(4);
    fresh.start(&site).await.expect("a fresh disk");
    nodes[next].consensus().add_learner(NodeId(4), fresh.address()).await.expect("catches up");
    nodes.push(fresh);
    until_equal(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_5_a_follower_whose_rows_are_damaged_stops_alone_and_is_named() {
    let site = Site::new();
    let nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    let damaged = (leader + 1) % 3;
    write_until_committed(&nodes[leader], "row").await;
    until_equal(&nodes).await;
    damage(&nodes[damaged]);
    let outcome = nodes[leader].consensus().propose(&write_again("again")).await.expect("a leader");
    assert!(is_committed(&outcome));
    let (id, disk) = (nodes[damaged].id, nodes[damaged].consensus().disk());
    site.commit_head(&nodes[leader]).await;
    until("the damaged follower has stopped", || has_failed(&nodes[damaged])).await;
    for node in nodes.iter().filter(|node| node.id != id) {
        until("the others know of it", || noted(node, id, disk.0).is_some()).await;
        assert_eq!(noted_at(node, id, disk.0), Some(BELIEVED));
        assert!(!has_failed(node), "node {} is sound", node.id);
    }
    write_until_committed(&nodes[leader_of(&nodes).await], "later").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_5_of_two_nodes_that_differ_neither_decides_and_no_head_is_committed() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    let (damaged, away) = ((leader + 1) % 3, (leader + 2) % 3);
    write_until_committed(&nodes[leader], "row").await;
    until_equal(&nodes).await;
    damage(&nodes[damaged]);
    nodes[away].stop().await;
    let outcome = nodes[leader].consensus().propose(&write_again("again")).await.expect("a majority");
    assert!(is_committed(&outcome));
    let head = Command::CommitHead { signed: site.signed_head(&nodes[leader], |_| {}) };
    let disputed = nodes[leader].consensus().propose(&head).await;
    assert_eq!(disputed, Err(ProposeError::Disputed { differing: vec![nodes[damaged].id] }));
    assert_eq!(nodes[leader].consensus().disputed_with(), [nodes[damaged].id].into());
    assert!(!has_failed(&nodes[leader]) && !has_failed(&nodes[damaged]), "nobody knows which of the two is right");

    // The third one decides.
    nodes[away].start(&site).await.expect("its own disk");
    until("the third has caught up", || nodes[away].origin().is_some_and(|state| state.last() == StreamSeq(2))).await;
    assert_eq!(leader_of(&nodes).await, leader);
    site.commit_head(&nodes[leader]).await;
    assert!(nodes[leader].consensus().disputed_with().is_empty());
    until("the damaged one has stopped", || has_failed(&nodes[damaged])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_no_majority_answers_for_waits_and_is_named_until_one_does() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    write_until_committed(&nodes[leader], "row").await;
    until_equal(&nodes).await;
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    for other in others {
        nodes[other].stop().await;
    }
    let head = Command::CommitHead { signed: site.signed_head(&nodes[leader], |_| {}) };
    let waits = nodes[leader].consensus().propose_as_leader(&head).await;
    assert!(matches!(waits, Err(ProposeError::Busy { .. })), "{waits:?}");
    let unanswered = nodes[leader].consensus().unanswered_heads(Duration::ZERO);
    assert_eq!(unanswered.iter().map(|(origin, _)| *origin).collect::<Vec<_>>(), [ORIGIN]);
    assert_eq!(nodes[leader].consensus().unanswered_heads(Duration::from_secs(60)), [], "not for long yet");

    for other in others {
        nodes[other].start(&site).await.expect("its own disk");
    }
    let next = leader_of(&nodes).await;
    write_until_committed(&nodes[next], "later").await;
    let mut tries = 0;
    loop {
        let head = Command::CommitHead { signed: site.signed_head(&nodes[next], |_| {}) };
        match nodes[next].consensus().propose(&head).await {
            Ok(outcome) => break assert_eq!(outcome, Outcome::HeadCommitted),
            Err(error) => assert!(tries < 50, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        tries += 1;
    }
    let next = leader_of(&nodes).await;
    assert_eq!(nodes[next].consensus().unanswered_heads(Duration::ZERO), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_5_a_dispute_about_the_state_outlasts_other_rounds_and_a_change_of_leader() {
    let mut site = Site::new();
    site.limits = ConsensusLimits { compared_entries: 10, ..site.limits };
    let mut nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    write_until_committed(&nodes[leader], "row").await;
    site.commit_head(&nodes[leader]).await;
    until_equal(&nodes).await;
    let (damaged, away) = ((leader + 1) % 3, (leader + 2) % 3);
    nodes[away].stop().await;
    nodes[damaged].warehouse().tamper_with_cell(ORIGIN, 5).expect("writable");
    let applied = || nodes[leader].consensus().status().applied.unwrap_or(0);
    let mut rounds = 0;
    while nodes[leader].consensus().disputed_with().is_empty() {
        let before = applied();
        nodes[leader].consensus().propose(&Command::Trim { keep_bytes: 0 }).await.expect("a majority");
        until("the entry is applied", || applied() > before).await;
        if applied().is_multiple_of(10) {
            // Every round compares another cube, and the node that is away is asked in vain.
            assert!(rounds < 20, "{rounds} rounds and nobody found it");
            let _ = timeout(Duration::from_secs(4), until("a dispute", || !nodes[leader].consensus().disputed_with().is_empty())).await;
            rounds += 1;
        }
    }

    // Rounds about other cubes settle nothing.
    for _ in 0..20 {
        nodes[leader].consensus().propose(&Command::Trim { keep_bytes: 0 }).await.expect("a majority");
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(nodes[leader].consensus().disputed_with(), [nodes[damaged].id].into());

    // Nothing is entered any more. Another node leads, and says the same about the dispute.
    nodes[leader].consensus().permit_leading(false);
    until("the other one leads", || nodes[damaged].consensus().leadership().borrow().ready).await;
    let other = [nodes[leader].id].into();
    until("it knows of the dispute", || nodes[damaged].consensus().disputed_with() == other).await;
    assert!(!has_failed(&nodes[leader]) && !has_failed(&nodes[damaged]), "nobody knows which of the two is right");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_enter_the_log_is_refused_to_its_proposer_and_stops_nobody() {
    let site = Site::new();
    let nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    write_until_committed(&nodes[leader], "row").await;
    until_equal(&nodes).await;
    let follower = some_follower(&nodes, leader).consensus();
    for bytes in [vec![], vec![1, 255, 255, 7], vec![9; 200_000]] {
        let refused = follower.propose_unchecked(bytes).await;
        assert!(matches!(refused, Err(ProposeError::Refused(CommandFault::Unreadable(_)))), "{refused:?}");
    }
    let Command::Write { site_time, origin, mut requests } = write("other", 1) else { panic!("a write") };
    let keyless = Change { key: Blob(vec![]), ..requests[0].changes[0].clone() };
    requests[0].changes.push(keyless);
    let place = DivergedPlace::State { position: 1 };
    let signed = site.signed_head(&nodes[leader], |head| head.digest = Hash32::of(b"made up"));
    let refused = [
        Command::Write { site_time, origin, requests },
        Command::NoteTurnedBack { site_time: SiteTime(1), node: NodeId(1), disk: 1 },
        Command::NoteDiverged { site_time: SiteTime(1), node: nodes[leader].id, disk: 1, place },
        // It would stop every node whose disk is sound.
        Command::CommitHead { signed },
    ];
    for command in refused {
        let bytes = codec::encode(&command).expect("encodes");
        let passed_on = follower.propose_unchecked(bytes).await;
        assert!(matches!(passed_on, Err(ProposeError::Refused(_))), "{command:?}: {passed_on:?}");
        for node in [leader, (leader + 1) % 3] {
            let proposed = nodes[node].consensus().propose(&command).await;
            let by_itself = matches!(&command, Command::NoteDiverged { .. }) && node == leader;
            assert!(by_itself || matches!(proposed, Err(ProposeError::Refused(_))), "{command:?}: {proposed:?}");
        }
    }
    assert!(is_committed(&write_until_committed(&nodes[leader], "later").await));
    until_equal(&nodes).await;
    assert!(nodes.iter().all(|node| !has_failed(node)), "everybody goes on");
    assert_eq!(follower.propose(&Command::Trim { keep_bytes: 0 }).await, Ok(Outcome::Trimmed { batches: 0 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_5_a_node_whose_cubes_differ_is_named_although_every_head_agrees() {
    let mut site = Site::new();
    site.limits = ConsensusLimits { compared_entries: 3, ..site.limits };
    let nodes = site.create(3).await;
    let leader = leader_of(&nodes).await;
    write_until_committed(&nodes[leader], "row").await;
    until_equal(&nodes).await;
    let damaged = (leader + 1) % 3;
    nodes[damaged].warehouse().tamper_with_cell(ORIGIN, 5).expect("writable");
    site.commit_head(&nodes[leader]).await;
    let mut entries = 0;
    while !has_failed(&nodes[damaged]) {
        // Every round compares another cube.
        assert!(entries < 600, "{entries} entries and nobody found it");
        nodes[leader].consensus().propose(&Command::Trim { keep_bytes: 0 }).await.expect("a majority");
        tokio::time::sleep(Duration::from_millis(10)).await;
        entries += 1;
    }
    let (id, disk) = (nodes[damaged].id, nodes[damaged].consensus().disk());
    for node in nodes.iter().filter(|node| node.id != id) {
        assert!(!has_failed(node));
        until("the others know of it", || matches!(noted(node, id, disk.0), Some(DivergedPlace::State { .. }))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_whose_log_could_not_be_written_stops_leading_at_once() {
    let site = Site::new();
    let nodes = site.create(3).await;
    let broken = leader_of(&nodes).await;
    assert!(is_committed(&write_until_committed(&nodes[broken], "before").await));
    until_equal(&nodes).await;
    nodes[broken].consensus().fail_log();
    until("another leads", || nodes.iter().any(|node| node.id != nodes[broken].id && node.consensus().leadership().borrow().ready)).await;
    let leadership = *nodes[broken].consensus().leadership().borrow();
    assert!(!leadership.is_self && !leadership.ready, "{leadership:?}");
    assert!(has_failed(&nodes[broken]), "and its process ends");
    let survivor =
        nodes.iter().find(|node| node.id != nodes[broken].id && node.consensus().leadership().borrow().ready).expect("one leads");
    assert!(is_committed(&write_until_committed(survivor, "after").await));
}
