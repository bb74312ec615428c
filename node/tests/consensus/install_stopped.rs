//! A node that is stopped while it installs a log snapshot.

use std::time::{Duration, Instant};

use kho_node::consensus::ConsensusLimits;
use kho_storage::ids::NodeId;

use crate::site::{Site, TestNode, is_committed, until, until_equal, write};

/// How long a node may take to stop, whatever it does.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// An installation takes some tens of milliseconds: the node is told to stop so long after the last byte came.
const STOPPED_AFTER_MS: [u64; 4] = [0, 5, 20, 60];

/// Has the site go on without its follower, until the leader's log lacks what the follower needs next.
async fn leave_behind(site: &Site, leader: &TestNode, follower_last: u64, round: usize) {
    for part in 0..4 {
        let outcome = leader.consensus().propose(&write(&format!("round {round}, part {part}"), 100)).await.expect("the only voter");
        assert!(is_committed(&outcome), "{outcome:?}");
        site.commit_head(leader).await;
    }
    let covers_all = || {
        let status = leader.consensus().status();
        status.snapshot.is_some() && status.snapshot == status.applied
    };
    while !covers_all() {
        leader.consensus().make_snapshot().await.expect("runs");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until("the log to be purged", || leader.consensus().status().purged.is_some_and(|purged| purged > follower_last)).await;
}

/// Waits until a log snapshot has come to the node as a whole, as closely as can be.
async fn until_received(node: &TestNode) {
    let start = Instant::now();
    for comes in [true, false] {
        while node.is_receiving() != comes {
            assert!(start.elapsed() < Duration::from_secs(30), "no log snapshot comes");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_stopped_while_it_installs_a_log_snapshot_stops_within_seconds_and_goes_on_from_its_disk() {
    let mut site = Site::new();
    site.limits = ConsensusLimits { kept_log_entries: 1, lagging_log_bytes_max: 0, ..site.limits };
    let mut nodes = site.create(1).await;
    // Large enough to be seen on its way.
    for part in 0..6 {
        let outcome = nodes[0].consensus().propose(&write(&format!("part {part}"), 4_000)).await.expect("the only node");
        assert!(is_committed(&outcome), "{outcome:?}");
        site.commit_head(&nodes[0]).await;
    }
    let mut second = site.node(2);
    second.start(&site).await.expect("starts");
    nodes[0].consensus().add_learner(NodeId(2), second.address()).await.expect("fresh");
    nodes.push(second);
    until_equal(&nodes).await;

    for (round, after_ms) in STOPPED_AFTER_MS.into_iter().enumerate() {
        let last = nodes[1].consensus().status().last_log.expect("it holds something");
        nodes[1].stop().await;
        leave_behind(&site, &nodes[0], last, round).await;
        nodes[1].start(&site).await.expect("its own disk");
        until_received(&nodes[1]).await;
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        let stopping = tokio::time::timeout(STOPPED_WITHIN, nodes[1].stop());
        assert!(stopping.await.is_ok(), "stopped {after_ms} ms after a log snapshot came, it does not end");
        nodes[1].start(&site).await.expect("log and state fit together");
        until_equal(&nodes).await;
    }
    assert_eq!(nodes[1].origin().expect("sent").rows, 6 * 4_000 + 4 * 4 * 100);
}
