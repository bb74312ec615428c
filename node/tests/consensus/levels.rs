//! Builds of different levels inside one site.

use std::collections::BTreeMap;

use kho_node::consensus::{MembersError, ProposeError, StartError};
use kho_storage::{
    command::{Command, Outcome},
    error::StorageError,
    level::{Level, LevelRange, SUPPORTED, SUPPORTED_IN_TESTS},
};

use super::site::{Site, TestNode, is_committed, leader_of, until, write};

fn note() -> Command {
    Command::NoteTest { note: "a level higher".into() }
}

/// Starts the node again with a build that supports other levels.
async fn install(node: &mut TestNode, site: &Site, levels: LevelRange) {
    node.stop().await;
    node.levels = levels;
    node.start(site).await.expect("starts");
}

async fn raise(nodes: &[TestNode]) -> Result<(), MembersError> {
    // The way over a follower is the same for the caller.
    nodes[(leader_of(nodes).await + 1) % nodes.len()].consensus().raise_level(Level::TEST, false).await
}

fn is_level_fault(error: &StartError) -> bool {
    matches!(error, StartError::State(StorageError::LevelNotSupported { level: Level::TEST, .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_is_raised_only_once_every_member_supports_it_and_what_it_brings_is_refused_before() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    let first = leader_of(&nodes).await;
    for place in (0..3).filter(|place| *place != first).chain([first]) {
        let refused = nodes[place].consensus().propose(&note()).await;
        assert_eq!(refused, Err(ProposeError::AboveLevel { command: Level::TEST, site: Level::FOUNDING }));
        let error = raise(&nodes).await.expect_err("an older build is left");
        assert!(matches!(error, MembersError::LevelNotSupported { level: Level::TEST, supported: SUPPORTED, .. }), "{error}");
        install(&mut nodes[place], &site, SUPPORTED_IN_TESTS).await;
        leader_of(&nodes).await;
    }
    let leader = leader_of(&nodes).await;
    assert_eq!(nodes[leader].consensus().raise_level(Level::TEST, true).await, Ok(()), "it could be raised");
    assert_eq!(nodes[leader].warehouse().level(), Level::FOUNDING, "and was not");
    assert_eq!(raise(&nodes).await, Ok(()));
    assert_eq!(nodes[leader].consensus().propose(&note()).await, Ok(Outcome::Recorded));
    let noted = |node: &TestNode| node.warehouse().test_note().expect("reads").is_some() && node.warehouse().level() == Level::TEST;
    until("every node to hold the note", || nodes.iter().all(noted)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_is_not_raised_while_a_member_does_not_say_what_it_supports() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    for node in &mut nodes {
        install(node, &site, SUPPORTED_IN_TESTS).await;
    }
    let leader = leader_of(&nodes).await;
    let silent = (leader + 1) % 3;
    nodes[silent].stop().await;
    let error = nodes[leader].consensus().raise_level(Level::TEST, false).await.expect_err("one is down");
    assert!(matches!(error, MembersError::LevelsUnknown { node, .. } if node == nodes[silent].id), "{error}");
    assert_eq!(nodes[leader].warehouse().level(), Level::FOUNDING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_a_register_is_not_raised_since_it_does_not_know_whether_a_parent_comes_first() {
    let site = Site::new();
    let mut node = site.node(1);
    node.levels = SUPPORTED_IN_TESTS;
    node.start(&site).await.expect("starts");
    node.consensus().initialize(&BTreeMap::from([(node.id, node.address())])).await.expect("it is fresh");
    let nodes = [node];
    leader_of(&nodes).await;
    for dry_run in [true, false] {
        assert_eq!(nodes[0].consensus().raise_level(Level::TEST, dry_run).await, Err(MembersError::ParentUnknown));
    }
    assert_eq!(nodes[0].warehouse().level(), Level::FOUNDING);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_build_serves_beside_newer_ones_until_the_level_is_raised_and_never_starts_again_after() {
    let site = Site::new();
    let mut nodes = site.create(3).await;
    for node in &mut nodes {
        install(node, &site, SUPPORTED_IN_TESTS).await;
    }
    // Rolled back before the level is raised: nothing is lost.
    install(&mut nodes[0], &site, SUPPORTED).await;
    let leader = leader_of(&nodes).await;
    assert!(is_committed(&nodes[leader].consensus().propose(&write("mixed", 2)).await.expect("a leader")));
    install(&mut nodes[0], &site, SUPPORTED_IN_TESTS).await;
    let leader = leader_of(&nodes).await;
    nodes[leader].consensus().raise_level(Level::TEST, false).await.expect("all support it");
    until("the level everywhere", || nodes.iter().all(|node| node.warehouse().level() == Level::TEST)).await;
    nodes[0].stop().await;
    nodes[0].levels = SUPPORTED;
    let error = nodes[0].start(&site).await.expect_err("an older build");
    assert!(is_level_fault(&error), "{error}");
    nodes[0].levels = SUPPORTED_IN_TESTS;
    nodes[0].start(&site).await.expect("the newer build finds everything as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_support_the_level_of_the_site_is_not_taken_in() {
    let site = Site::new();
    let mut nodes = site.create(1).await;
    install(&mut nodes[0], &site, SUPPORTED_IN_TESTS).await;
    leader_of(&nodes).await;
    nodes[0].consensus().raise_level(Level::TEST, false).await.expect("it supports it");
    let mut older = site.node(2);
    older.start(&site).await.expect("starts");
    let error = nodes[0].consensus().add_learner(older.id, older.address()).await.expect_err("an older build");
    assert!(matches!(error, MembersError::LevelNotSupported { level: Level::TEST, supported: SUPPORTED, .. }), "{error}");
    install(&mut older, &site, SUPPORTED_IN_TESTS).await;
    nodes[0].consensus().add_learner(older.id, older.address()).await.expect("a newer build");
}
