//! Bounds, fairness, timeouts, and who may speak to whom.

use kho_storage::{
    command::{Refusal, TransferStart},
    ids::{NodeId, OriginId, SiteId, SiteTime, StreamSeq},
    level::LevelOffer,
    register::Register,
};

use super::{
    tree::{ADOPTED, COMMUNE, DISTRICT, NODE, OWN, PROVINCE, REGION, Tree},
    world::{Step, World},
};
use crate::{
    frames::{ChildFrame, FrameId, Goodbye, Hello, ParentFrame, StreamHeld},
    intake::{ChildIdentity, CursorsHeld, Intake, IntakeAction, IntakeConfig, IntakeInput, SiteLeader},
    link_time::LinkTime,
    uplink::{LinkStatus, UplinkConfig, UplinkInput},
};

#[test]
fn the_window_bounds_what_is_under_way_and_every_stream_gets_its_turn() {
    let config = UplinkConfig { segment_bytes_max: 60, piece_bytes_max: 60, in_flight_bytes_max: 150, ..UplinkConfig::default() };
    let mut world = World::new(config);
    for _ in 0..20 {
        world.author(OWN).grow(1, SiteTime(1_000_000));
        world.author(ADOPTED).grow(1, SiteTime(1_000_000));
    }
    world.start_child();
    // The window itself is checked by the world after every input.
    world.settle_but(|step| matches!(step, Step::Commit(_)));
    let mut turns = vec![];
    for _ in 0..12 {
        world.commit(PROVINCE, None);
        world.settle_but(|step| matches!(step, Step::Commit(_)));
    }
    turns.extend(
        world.log.iter().filter(|line| line.starts_with("3: send Segment")).map(|line| line.split(' ').nth(4).expect("origin").to_owned()),
    );
    let own = turns.iter().filter(|origin| *origin == "3").count();
    assert!(turns.len() >= 12 && own.abs_diff(turns.len() - own) <= 1, "turns alternate: {turns:?}");
    world.settle();
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn a_full_queue_says_busy_and_nothing_is_lost() {
    let mut world = World::new(UplinkConfig { segment_bytes_max: 60, ..UplinkConfig::default() });
    world.parent(PROVINCE).config = IntakeConfig { queued_frames_max: 1, ..IntakeConfig::default() };
    for _ in 0..5 {
        world.author(OWN).grow(1, SiteTime(1_000_000));
        world.author(ADOPTED).grow(1, SiteTime(1_000_000));
    }
    world.start_child();
    world.settle_but(|step| matches!(step, Step::Commit(_)));
    assert!(world.log.iter().any(|line| line.contains("send Busy")), "{:#?}", world.log);
    for _ in 0..40 {
        world.settle();
        world.pass(1_000);
    }
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn a_parent_that_never_answers_is_left_for_the_stand_in() {
    let mut world = World::new(UplinkConfig { idle_timeout_ms: 5_000, ..UplinkConfig::default() });
    world.author(OWN).grow(1, SiteTime(1_000_000));
    world.start_child();
    // The province takes proposals and commits nothing.
    for _ in 0..60 {
        world.settle_but(|step| step == Step::Commit(PROVINCE));
        world.pass(1_000);
    }
    assert_eq!(world.is_equal_at(REGION), Ok(()));
}

#[test]
fn a_dial_and_a_greeting_without_an_answer_time_out() {
    let mut world = World::new(UplinkConfig::default());
    world.start_child();
    world.pass(11_000);
    assert!(world.log.iter().any(|line| line.contains("disconnect: the peer sent nothing within the timeout")), "{:#?}", world.log);
    world.trace();
    world.settle_but(|step| step != Step::Open);
    world.pass(16_000);
    assert!(world.log.iter().any(|line| line.contains("disconnect: the peer sent nothing within the timeout")), "{:#?}", world.log);
}

#[test]
fn only_the_leader_of_a_site_with_a_parent_dials() {
    let mut world = World::new(UplinkConfig::default());
    world.start_child();
    world.settle();
    world.notify_uplink(UplinkInput::LostLeadership);
    world.trace();
    world.pass(100_000);
    assert_eq!(world.trace(), "");
    assert_eq!(world.uplink.status().link, LinkStatus::Standby);
}

#[test]
fn a_register_that_names_another_parent_moves_the_child_there() {
    let mut world = World::new(UplinkConfig::default());
    world.author(OWN).grow(1, SiteTime(1_000_000));
    world.start_child();
    world.settle();
    world.tree.register.version = 2;
    world.tree.register.sites.iter_mut().find(|site| site.site == DISTRICT).expect("there").parents = vec![REGION];
    let register = world.tree.verified();
    world.notify_uplink(UplinkInput::RegisterChanged(register));
    world.settle();
    assert_eq!(world.is_equal_at(REGION), Ok(()));
}

#[test]
fn a_greeting_that_takes_long_on_a_slow_link_is_awaited_as_long_as_bytes_move() {
    let silence_ms = UplinkConfig::default().welcome_timeout_ms;
    let mut world = World::new(UplinkConfig::default());
    world.start_child();
    world.take(Step::Open);
    let is_greeting = |world: &World| matches!(world.uplink.status().link, LinkStatus::Greeting);
    let link = world.link().expect("it is open");
    for _ in 0..4 {
        world.pass(silence_ms - 1_000);
        world.notify_uplink(UplinkInput::LinkMoves { link });
        world.notify_intake(PROVINCE, IntakeInput::LinkMoves);
    }
    assert!(is_greeting(&world), "{}", world.trace());
    assert!(!world.log.iter().any(|line| line.starts_with("2: close")), "{}", world.trace());
    world.settle();
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()), "the Hello came at last");

    let mut silent = World::new(UplinkConfig::default());
    silent.start_child();
    silent.take(Step::Open);
    silent.notify_uplink(UplinkInput::LinkMoves { link });
    silent.pass(silence_ms + 1_000);
    assert!(!is_greeting(&silent), "nothing came");
}

fn intake(tree: &Tree, site: SiteId, child: SiteId) -> Intake {
    let child = ChildIdentity { site: child, node: NODE };
    Intake::new(IntakeConfig::default(), site, child, tree.verified(), tree.chain(), SiteLeader::ThisNode, LinkTime(0))
}

fn hello(tree: &Tree, site: SiteId, node: NodeId) -> IntakeInput {
    let (register_version, register_hash) = (1, tree.verified().hash());
    IntakeInput::FrameReceived(ChildFrame::Hello(Hello {
        levels: LevelOffer::default(),
        site,
        node,
        register_version,
        register_hash,
        streams: vec![],
    }))
}

fn answer(intake: &mut Intake, input: IntakeInput) -> Vec<IntakeAction> {
    intake.handle(input, LinkTime(0), SiteTime(0));
    std::iter::from_fn(|| intake.poll_action()).collect()
}

#[test]
fn promise_4_a_child_must_be_who_its_certificate_says_and_a_child_by_the_register() {
    let tree = Tree::new();
    let farewell = |actions: Vec<IntakeAction>| match actions.into_iter().find(|action| matches!(action, IntakeAction::Close { .. })) {
        Some(IntakeAction::Close { reason }) => reason,
        _ => panic!("the connection was not closed"),
    };
    let mut unregistered = intake(&tree, PROVINCE, SiteId(6));
    let reason = farewell(answer(&mut unregistered, hello(&tree, SiteId(6), NODE)));
    assert_eq!(reason, Goodbye::NotParent { parent: PROVINCE, child: SiteId(6), register_version: 1 });
    for (site, node) in [(SiteId(6), NODE), (DISTRICT, NodeId(2))] {
        let mut impostor = intake(&tree, PROVINCE, DISTRICT);
        assert!(matches!(farewell(answer(&mut impostor, hello(&tree, site, node))), Goodbye::PeerMisbehaved(_)));
        assert!(impostor.is_closed());
    }
}

#[test]
fn a_frame_out_of_turn_or_of_a_stream_whose_cursor_was_never_requested_ends_the_connection() {
    let tree = Tree::new();
    let start = |origin| kho_storage::command::TransferStart {
        origin,
        epoch: kho_storage::ids::Epoch::first("test", origin),
        kept_after: StreamSeq(3),
        kept_after_chain: kho_storage::ids::Hash32::ZERO,
    };
    let frame = || IntakeInput::FrameReceived(ChildFrame::TransferStart { id: FrameId(1), start: start(OriginId(3)) });
    let mut early = intake(&tree, PROVINCE, DISTRICT);
    answer(&mut early, frame());
    assert!(early.is_closed());
    let mut open = intake(&tree, PROVINCE, DISTRICT);
    answer(&mut open, hello(&tree, DISTRICT, NODE));
    let held = crate::intake::CursorsHeld { cursors: vec![], transfers: vec![], heads: vec![] };
    let actions = answer(&mut open, IntakeInput::CursorsRead(Ok(held)));
    assert!(matches!(&actions[..], [IntakeAction::SendFrame(ParentFrame::Welcome(_))]), "{actions:?}");
    answer(&mut open, frame());
    assert!(open.is_closed());
}

#[test]
fn a_transfer_nobody_needs_is_refused() {
    let mut world = World::new(UplinkConfig::default());
    world.author(OWN).grow(3, SiteTime(1_000_000));
    world.start_child();
    world.settle();
    world.trace();
    let start = world.author(OWN).load_transfer_start();
    world.notify_intake(PROVINCE, IntakeInput::FrameReceived(ChildFrame::TransferStart { id: FrameId(50), start }));
    let trace = world.trace();
    assert!(trace.contains("Refused #50 3: the transfer of origin 3 does not fit"), "{trace}");
}

#[test]
fn promise_4_a_child_starts_no_transfer_of_an_origin_that_the_register_leads_past_it() {
    let mut tree = Tree::new();
    tree.register.sites.iter_mut().find(|site| site.site == COMMUNE).expect("there").parents = vec![PROVINCE];
    let epoch = kho_storage::ids::Epoch::first("test", ADOPTED);
    let streams = vec![StreamHeld { origin: ADOPTED, epoch, next: StreamSeq(9), oldest_kept: StreamSeq(9) }];
    let mut open = intake(&tree, PROVINCE, DISTRICT);
    let hello = Hello {
        levels: LevelOffer::default(),
        site: DISTRICT,
        node: NODE,
        register_version: 1,
        register_hash: tree.verified().hash(),
        streams,
    };
    answer(&mut open, IntakeInput::FrameReceived(ChildFrame::Hello(hello)));
    answer(&mut open, IntakeInput::CursorsRead(Ok(CursorsHeld { cursors: vec![], transfers: vec![], heads: vec![] })));
    let start = TransferStart { origin: ADOPTED, epoch, kept_after: StreamSeq(8), kept_after_chain: kho_storage::ids::Hash32::ZERO };
    let actions = answer(&mut open, IntakeInput::FrameReceived(ChildFrame::TransferStart { id: FrameId(1), start }));
    let refusal = Refusal::OffPath { origin: ADOPTED, site: DISTRICT };
    assert_eq!(actions, [IntakeAction::SendFrame(ParentFrame::Refused { id: Some(FrameId(1)), origin: ADOPTED, refusal })]);
}

#[test]
fn an_origin_unknown_to_the_parents_register_is_refused_alone() {
    let mut world = World::new(UplinkConfig::default());
    world.author(OWN).grow(1, SiteTime(1_000_000));
    world.author(ADOPTED).grow(1, SiteTime(1_000_000));
    world.start_child();
    // The parent has another register than the child.
    world.tree.register.origins.retain(|entry| entry.origin != ADOPTED);
    world.settle();
    let trace = world.trace();
    assert!(trace.contains("2: send Refused 6: the register does not know origin 6"), "{trace}");
    assert_eq!(world.parent(PROVINCE).store.next(OWN), StreamSeq(2));
}

/// A register by which the commune sends to the centre, past the district and both of its parents.
fn lead_adopted_elsewhere(world: &mut World) {
    world.tree.register.version += 1;
    world.tree.register.sites.iter_mut().find(|site| site.site == COMMUNE).expect("there").parents = vec![SiteId(1)];
}

#[test]
fn promise_4_a_stream_is_refused_alone_where_the_parents_register_no_longer_leads_it() {
    let mut world = World::new(UplinkConfig::default());
    world.author(OWN).grow(1, SiteTime(1_000_000));
    world.author(ADOPTED).grow(1, SiteTime(1_000_000));
    world.start_child();
    lead_adopted_elsewhere(&mut world);
    world.settle();
    let trace = world.trace();
    assert!(trace.contains("2: send Refused 6: the register does not lead the stream of origin 6 through site 2"), "{trace}");
    assert_eq!((world.parent(PROVINCE).store.next(OWN), world.parent(PROVINCE).store.next(ADOPTED)), (StreamSeq(2), StreamSeq(1)));
}

#[test]
fn promise_4_a_site_offers_a_parent_only_what_the_register_leads_through_it() {
    let mut world = World::new(UplinkConfig::default());
    world.author(OWN).grow(1, SiteTime(1_000_000));
    world.author(ADOPTED).grow(1, SiteTime(1_000_000));
    let first = world.tree.register.clone();
    lead_adopted_elsewhere(&mut world);
    world.start_child();
    world.settle();
    let trace = world.trace();
    assert!(!trace.contains("Refused") && world.parent(PROVINCE).store.next(OWN) == StreamSeq(2), "{trace}");
    world.grow(ADOPTED, 1);
    world.settle();
    assert_eq!(world.parent(PROVINCE).store.next(ADOPTED), StreamSeq(1));

    // A register that leads it here again has it sent on the link that stands.
    world.tree.register = Register { version: 3, ..first };
    let (register, chain) = (world.tree.verified(), world.tree.chain());
    world.notify_intake(PROVINCE, IntakeInput::RegisterChanged { register: register.clone(), chain });
    world.notify_uplink(UplinkInput::RegisterChanged(register));
    world.settle();
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}
