//! Two ends of a link work at a level that both support.

use kho_storage::{
    build::Build,
    ids::{SiteTime, StreamSeq},
    level::{Level, LevelOffer, LevelRange, SUPPORTED_IN_TESTS},
};

use super::{
    tree::{ADOPTED, DISTRICT, NODE, OWN, PROVINCE, Tree},
    world::World,
};
use crate::{
    frames::{ChildFrame, Goodbye, Hello},
    intake::{ChildIdentity, Intake, IntakeAction, IntakeConfig, IntakeInput, SiteLeader},
    link_time::LinkTime,
    uplink::{LinkStatus, UplinkConfig, UplinkInput},
};

/// A newer build whose site still works at the first level.
const NEWER: LevelOffer = LevelOffer { supported: SUPPORTED_IN_TESTS, level: Level::FOUNDING, build: Build::THIS };
/// A newer build of a site that was raised.
const RAISED: LevelOffer = LevelOffer { level: Level::TEST, ..NEWER };

/// A child and its parent that say this of themselves, linked.
fn linked(child: LevelOffer, parent: LevelOffer) -> World {
    let mut world = World::new(UplinkConfig { levels: child, ..UplinkConfig::default() });
    world.parent(PROVINCE).config = IntakeConfig { levels: parent, ..IntakeConfig::default() };
    world.author(OWN).grow(3, SiteTime(1_000_000));
    world.author(ADOPTED).grow(1, SiteTime(1_000_000));
    world.start_child();
    world.settle();
    world
}

fn sends_frames_of_the_test_level(world: &World) -> bool {
    world.log.iter().any(|line| line.contains("send TestLevel"))
}

#[test]
fn two_builds_without_a_common_level_are_told_so_with_both_ranges() {
    let tree = Tree::new();
    let there = LevelOffer { supported: LevelRange { min: Level(7), max: Level(9) }, level: Level(8), build: Build::THIS };
    let child = ChildIdentity { site: DISTRICT, node: NODE };
    let mut intake =
        Intake::new(IntakeConfig::default(), PROVINCE, child, tree.verified(), tree.chain(), SiteLeader::ThisNode, LinkTime(0));
    let register_hash = tree.verified().hash();
    let hello = Hello { levels: there, site: DISTRICT, node: NODE, register_version: 1, register_hash, streams: vec![] };
    intake.handle(IntakeInput::FrameReceived(ChildFrame::Hello(hello)), LinkTime(0), SiteTime(0));
    let reason = std::iter::from_fn(|| intake.poll_action()).find_map(|action| match action {
        IntakeAction::Close { reason } => Some(reason),
        _ => None,
    });
    let refused = Goodbye::NoCommonLevel { here: LevelOffer::default(), there };
    assert_eq!(reason.as_ref(), Some(&refused));
    let text = refused.to_string();
    assert!(text.contains("supports 1,") && text.contains("supports 7-9") && text.contains("install a newer Kho"), "{text}");
}

#[test]
fn no_frame_above_the_common_level_is_sent_whichever_end_is_lower() {
    for (child, parent) in [(LevelOffer::default(), RAISED), (RAISED, LevelOffer::default()), (NEWER, RAISED), (RAISED, NEWER)] {
        let mut world = linked(child, parent);
        assert!(!sends_frames_of_the_test_level(&world), "{child:?} {parent:?}: {:?}", world.log);
        assert_eq!(world.is_equal_at(PROVINCE), Ok(()), "an older end takes all that exists at its level");
        world.pass(2_000);
    }
    assert!(sends_frames_of_the_test_level(&linked(RAISED, RAISED)), "both ends work at it");
}

/// The parent's site is raised to the test level, and the link opened again.
fn raise_parent(world: &mut World) {
    world.parent(PROVINCE).config.levels = RAISED;
    world.notify_intake(PROVINCE, IntakeInput::LevelRaised(Level::TEST));
    for _ in 0..5 {
        world.settle();
        world.pass(2_000);
    }
    world.settle();
}

fn says(world: &World, what: &str, of: &str) -> bool {
    world.log.iter().any(|line| line.contains(what) && line.contains(of))
}

const ABOVE: &str = "names column 1024, which exists from level 2 on";

#[test]
fn a_column_above_the_level_of_the_link_is_not_sent_and_its_stream_goes_on_once_the_parent_was_raised() {
    let mut world = linked(RAISED, NEWER);
    let clock = world.clock();
    world.author(OWN).note(1, clock);
    world.stream_advanced(OWN);
    world.grow(ADOPTED, 2);
    world.settle();
    assert!(says(&world, "ALARM", ABOVE), "{:?}", world.log);
    assert!(!says(&world, "send Refused", "") && !says(&world, "send Segment", "3 batch 4"), "{:?}", world.log);
    let next = |world: &World, origin| world.parents[&PROVINCE].store.next(origin);
    assert_eq!(next(&world, OWN), StreamSeq(4), "what came before it is there");
    assert_eq!(next(&world, ADOPTED), StreamSeq(4), "another stream goes on");
    raise_parent(&mut world);
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn a_row_above_the_level_of_the_link_is_sent_in_no_piece() {
    let mut world = World::new(UplinkConfig { levels: RAISED, ..UplinkConfig::default() });
    world.parent(PROVINCE).config = IntakeConfig { levels: NEWER, ..IntakeConfig::default() };
    world.author(ADOPTED).grow(1, SiteTime(1_000_000));
    let own = world.author(OWN);
    own.grow(3, SiteTime(1_000_000));
    own.note(1, SiteTime(1_000_000));
    // Its batches are no longer kept: the parent wants the rows.
    own.oldest_kept = StreamSeq(5);
    world.start_child();
    world.settle();
    assert!(says(&world, "ALARM", ABOVE) && !says(&world, "send Piece", ""), "{:?}", world.log);
    raise_parent(&mut world);
    assert!(says(&world, "send Piece", ""), "{:?}", world.log);
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn a_column_above_the_level_of_the_link_is_refused_whoever_sends_it() {
    let mut world = linked(LevelOffer::default(), RAISED);
    let clock = world.clock();
    world.author(OWN).note(1, clock);
    world.stream_advanced(OWN);
    world.settle();
    assert!(says(&world, "send Refused", ABOVE), "{:?}", world.log);
    assert_eq!(world.parents[&PROVINCE].store.next(OWN), StreamSeq(4));
}

#[test]
fn a_frame_above_the_common_level_ends_the_link() {
    let mut world = World::new(UplinkConfig::default());
    world.author(OWN).grow(3, SiteTime(1_000_000));
    world.author(ADOPTED).grow(1, SiteTime(1_000_000));
    world.alter_up = Some(|frame| if matches!(frame, ChildFrame::Segment { .. }) { ChildFrame::TestLevel } else { frame });
    world.start_child();
    world.settle();
    assert!(world.log.iter().any(|line| line.contains("which does not exist at level 1")), "{:?}", world.log);
}

#[test]
fn a_site_whose_level_was_raised_greets_its_parent_again() {
    let mut world = linked(NEWER, RAISED);
    world.log.clear();
    world.notify_uplink(UplinkInput::LevelRaised(Level::TEST));
    world.settle();
    assert!(world.log.iter().any(|line| line.contains("send Hello")), "{:?}", world.log);
    assert!(sends_frames_of_the_test_level(&world), "{:?}", world.log);
    let LinkStatus::Open { parent_levels, .. } = world.uplink.status().link else { panic!("the link stands again") };
    assert_eq!(parent_levels, RAISED);
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}
