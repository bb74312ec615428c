//! Two ends of a link work at a level that both support.

use kho_storage::{
    ids::SiteTime,
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
const NEWER: LevelOffer = LevelOffer { supported: SUPPORTED_IN_TESTS, level: Level::FOUNDING };
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
    let there = LevelOffer { supported: LevelRange { min: Level(7), max: Level(9) }, level: Level(8) };
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
