//! How a child comes to the registers that its parent has: offered by name, fetched beside the streams, adopted one after another.

use std::{slice, sync::Arc};

use kho_storage::{
    ids::Hash32,
    register::{RegisterChain, SignedRegister},
};

use super::{
    repairs::linked,
    tree::{OWN, PROVINCE},
    world::{Step, World},
};
use crate::{
    frames::{FrameCodecError, ParentFrame, RegisterReply},
    intake::IntakeInput,
    uplink::{LinkStatus, RegisterFetchFailure, UplinkConfig, UplinkInput},
};

impl World {
    /// Ends the oldest transfer of a register: with this failure, or with what the parent hands down.
    pub fn fetch(&mut self, failure: Option<RegisterFetchFailure>) {
        let (link, offer) = self.fetches.pop_front().expect("a step that is possible");
        let held = self.handed_down.iter().find(|signed| signed.hash() == offer.hash);
        let result = match (failure, held) {
            (Some(failure), _) => Err(failure),
            (None, None) => Err(RegisterFetchFailure::NotHeld),
            (None, Some(signed)) => {
                let body = RegisterReply::pack(signed).and_then(|reply| reply.encode()).expect("bounded");
                let reply = RegisterReply::decode(&body).expect("the parent's own reply");
                Ok(Arc::new(reply.unpack(offer.hash).expect("the parent's own register").expect("held")))
            }
        };
        self.notify_uplink(UplinkInput::RegisterFetched { link, offer, result });
    }
}

/// Has the province hand registers of these versions down; all but the last changed who signs registers.
fn hand_down(world: &mut World, versions: &[u64]) -> Vec<SignedRegister> {
    let mut issued: Vec<(u64, Arc<SignedRegister>)> = Vec::new();
    for version in versions {
        world.tree.register.version = *version;
        issued.push((*version, Arc::new(world.tree.signed())));
    }
    let all: Vec<SignedRegister> = issued.iter().map(|(_, signed)| (**signed).clone()).collect();
    world.handed_down.extend(all.iter().cloned());
    let (version, newest) = issued.pop().expect("at least one");
    let (register, chain) = (world.tree.verified(), Arc::new(RegisterChain::new(issued, version, newest)));
    world.notify_intake(PROVINCE, IntakeInput::RegisterChanged { register, chain });
    world.settle();
    all
}

#[test]
fn a_register_that_the_site_did_not_take_is_offered_to_it_again() {
    let mut world = linked();
    let register = hand_down(&mut world, &[2]).remove(0);
    assert_eq!(world.offered, slice::from_ref(&register));
    world.notify_uplink(UplinkInput::RegisterFailed(Arc::new(register.clone())));
    assert_eq!(world.offered.len(), 1);
    world.pass(UplinkConfig::default().register_retry_ms);
    assert_eq!(world.offered, [register.clone(), register]);
    world.pass(10_000);
    assert_eq!(world.offered.len(), 2, "once for each time it was not taken");
}

#[test]
fn a_child_that_was_away_is_offered_every_change_of_the_roots_one_after_another_before_the_newest_register() {
    let mut world = linked();
    let [second, third, newest]: [SignedRegister; 3] = hand_down(&mut world, &[2, 3, 4]).try_into().expect("three");
    assert_eq!(world.offered, slice::from_ref(&second), "the next is believed only when this one stands");
    let settle = |world: &mut World, register: &SignedRegister| {
        world.notify_uplink(UplinkInput::RegisterSettled(Arc::new(register.clone())));
        world.settle();
    };
    settle(&mut world, &second);
    world.notify_uplink(UplinkInput::RegisterFailed(Arc::new(third.clone())));
    world.pass(UplinkConfig::default().register_retry_ms);
    assert_eq!(world.offered[1..], [third.clone(), third.clone()]);
    settle(&mut world, &third);
    assert_eq!(world.offered[3..], *slice::from_ref(&newest));
    settle(&mut world, &newest);
    assert_eq!(world.offered.len(), 4);
}

#[test]
fn a_child_that_connects_is_welcomed_with_offers_of_all_registers_that_it_lacks() {
    let mut world = World::new(UplinkConfig::default());
    world.start_child();
    let issue = |world: &mut World, version: u64| {
        world.tree.register.version = version;
        (version, Arc::new(world.tree.signed()))
    };
    let changes = vec![issue(&mut world, 1), issue(&mut world, 5)];
    let (version, newest) = issue(&mut world, 7);
    let chain = Arc::new(RegisterChain::new(changes.clone(), version, newest.clone()));
    world.handed_down.extend([(*changes[1].1).clone(), (*newest).clone()]);
    world.take(Step::Open);
    let register = world.tree.verified();
    world.notify_intake(PROVINCE, IntakeInput::RegisterChanged { register, chain });
    world.settle();
    assert_eq!(world.offered, [(*changes[1].1).clone()], "the child stands at version 1");
    world.notify_uplink(UplinkInput::RegisterSettled(Arc::clone(&changes[1].1)));
    world.settle();
    assert_eq!(world.offered[1..], [(*newest).clone()]);
}

#[test]
fn a_parent_that_holds_another_register_of_the_childs_version_says_so_and_shows_its_own() {
    let mut world = World::new(UplinkConfig::default());
    world.start_child();
    world.tree.register.sites[0].name = "another".into();
    world.settle();
    assert_eq!(world.offered, [world.tree.signed()], "the child's site judges it");
    let trace = world.trace();
    assert!(trace.contains("2: ALARM site 3 says that it holds another register of version 1"), "{trace}");
}

#[test]
fn a_welcome_names_registers_and_stays_short_however_long_they_are() {
    fn is_short(frame: ParentFrame) -> ParentFrame {
        assert!(frame.encode().expect("bounded").len() < 1_000, "{} is long", frame.kind());
        frame
    }
    let mut world = World::new(UplinkConfig::default());
    world.alter_down = Some(is_short);
    world.start_child();
    world.take(Step::Open);
    world.tree.register.version = 2;
    let long = SignedRegister { text: "#".repeat(300_000), signatures: vec![] };
    world.handed_down.push(long.clone());
    let (register, chain) = (world.tree.verified(), Arc::new(RegisterChain::single(2, long.clone())));
    world.notify_intake(PROVINCE, IntakeInput::RegisterChanged { register, chain });
    world.settle();
    assert_eq!(world.offered, [long]);
}

#[test]
fn a_register_whose_transfer_goes_silent_is_fetched_again_and_the_link_goes_on() {
    let mut world = linked();
    let dials = |world: &mut World| world.trace().matches("dial site").count();
    dials(&mut world);
    world.hold_fetches = true;
    let register = hand_down(&mut world, &[2]).remove(0);
    // The transfer takes as long as it takes: streams go on beside it.
    world.pass(UplinkConfig::default().welcome_timeout_ms * 4);
    world.grow(OWN, 1);
    world.settle();
    assert!(world.is_equal_at(PROVINCE).is_ok(), "the stream waits for the register");
    world.fetch(Some(RegisterFetchFailure::Interrupted("the peer was silent on this stream for 60000 ms".into())));
    assert!(world.offered.is_empty());
    world.hold_fetches = false;
    world.pass(UplinkConfig::default().register_retry_ms);
    world.settle();
    assert_eq!(world.offered, [register]);
    assert!(matches!(world.uplink.status().link, LinkStatus::Open { .. }));
    assert_eq!(dials(&mut world), 0, "the link never ended");
}

#[test]
fn promise_4_a_parent_that_sends_something_else_than_the_register_that_it_offered_loses_the_link() {
    let mut world = linked();
    world.hold_fetches = true;
    hand_down(&mut world, &[2]);
    let error = FrameCodecError::OtherRegister { requested: Hash32::of(b"one"), given: Hash32::of(b"another") };
    world.fetch(Some(RegisterFetchFailure::Unreadable(error)));
    let trace = world.trace();
    assert!(trace.contains("3: ALARM parent 2 broke the protocol"), "{trace}");
    assert!(trace.contains("3: disconnect: "), "{trace}");
    assert!(world.offered.is_empty());
}
