//! Disks of another founding of the site.

use kho_node::consensus::MembersError;
use kho_storage::ids::NodeId;

use crate::site::{Site, until_equal};

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
