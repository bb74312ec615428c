//! A site whose disk was set back, and which perhaps writes on: its parent holds more, or another history.

use kho_storage::{
    command::{Outcome, ParentCursor},
    ids::{Epoch, SiteTime, StreamSeq},
    level::LevelOffer,
};

use super::{
    author::Author,
    compare::assert_trace,
    repairs::linked,
    tree::{DISTRICT, NODE, OWN, PROVINCE},
    world::World,
};
use crate::{
    frames::{ChildFrame, Compressed, Cursor, FrameId, Hello, SEGMENT_PLAIN_BYTES_MAX, StreamHeld},
    intake::{ChildIdentity, Intake, IntakeAction, IntakeAlarm, IntakeConfig, IntakeInput, SiteLeader},
    link_time::LinkTime,
    uplink::{StreamState, UplinkInput},
};

#[test]
fn a_site_set_back_behind_its_parent_alarms_and_shows_where_it_stands() {
    let mut world = linked();
    world.grow(OWN, 2);
    world.settle();
    world.pass(2_000);
    let mut older = Author::new(&world.tree, OWN, DISTRICT);
    older.grow(3, SiteTime(1_000_000));
    world.held.insert(OWN, older);
    world.start_child();
    world.trace();
    world.settle();
    assert_trace(
        &mut world,
        "
        3: send Hello 3@1/4
        2: read cursors of 3
        2: send Welcome 3@1/6
        3: ALARM parent 2 stands at 1/6 of this site's own origin 3, but the site only at 1/4: the site was set back: entry is closed; see `kho fork list` for what to do
        3: load 3 from 1/4
        3: send Segment #1 3 idle at 3, complete up to 1000000
        2: propose #1 3 idle at 3, complete up to 1000000
        2: #1 committed: 3@1/6
        2: send Adopted #1 3@1/6
        ",
    );
    let state = world.uplink.status().streams.remove(0).state;
    let cursor = Cursor { epoch: Epoch::first("test", OWN), next: StreamSeq(6) };
    assert_eq!(state, StreamState::ParentAhead { cursor });
}

/// The site's disk is set back to three batches; `other` batches of another history follow. The parent holds five.
fn set_back(other: u32) -> World {
    let mut world = linked();
    world.grow(OWN, 2);
    world.settle();
    world.pass(2_000);
    write_on(&mut world, other);
    world
}

/// The child comes back with three batches, and writes `other` ones.
fn write_on(world: &mut World, other: u32) {
    world.recorded.get_mut(&(PROVINCE, OWN)).expect("recorded").next = StreamSeq(4);
    let mut second = Author::new(&world.tree, OWN, DISTRICT);
    second.grow(3, SiteTime(1_000_000));
    for n in 0..other {
        second.append(100 + n, Some("another history"), SiteTime(1_000_000));
    }
    second.commit_head(SiteTime(1_000_001));
    world.held.insert(OWN, second);
    world.start_child();
    world.trace();
}

#[test]
fn promise_2_a_cursor_in_another_history_is_never_recorded_as_acknowledged() {
    let mut world = set_back(4);
    for _ in 0..10 {
        world.settle();
        world.pass(60_000);
    }
    assert_eq!(world.recorded[&(PROVINCE, OWN)].next, StreamSeq(4), "the parent holds as many batches, but not these");
}

#[test]
fn promise_2_a_parent_that_forgot_what_it_would_have_to_compare_acknowledges_nothing() {
    let mut world = linked();
    world.grow(OWN, 4);
    world.settle();
    world.pass(2_000);
    let replica = world.parent(PROVINCE).store.replicas.get_mut(&OWN).expect("it holds seven batches");
    replica.batches.drain(..6);
    replica.first = StreamSeq(7);
    write_on(&mut world, 2);
    for _ in 0..10 {
        world.settle();
        world.pass(60_000);
    }
    assert!(world.log.iter().any(|line| line.contains("send Adopted")), "the parent takes the shorter history for a redelivery");
    assert_eq!(world.recorded[&(PROVINCE, OWN)].next, StreamSeq(4), "and the child knows better");
}

#[test]
fn promise_6_a_history_shorter_than_the_parents_is_shown_to_it_and_found() {
    let mut world = set_back(1);
    world.settle();
    let trace = world.trace();
    let refusal = "two histories of origin 3 differ at 4; the second is kept as evidence: see `kho fork list`";
    assert!(trace.contains(&format!("2: ALARM a segment of origin 3, carried by site 3, was refused: {refusal}")), "{trace}");
    assert!(trace.contains(&format!("3: ALARM parent 2 refuses origin 3: {refusal}")), "{trace}");
    assert_eq!(world.recorded[&(PROVINCE, OWN)].next, StreamSeq(4));
}

#[test]
fn promise_6_what_a_site_behind_its_parent_adopts_is_compared_each_time_and_once() {
    let mut world = linked();
    world.grow(OWN, 4);
    world.settle();
    let shown = |world: &mut World| world.trace().lines().filter(|line| line.contains("3: send Segment")).count();
    let mut behind = Author::new(&world.tree, OWN, DISTRICT);
    behind.grow(3, SiteTime(1_000_000));
    world.held.insert(OWN, behind);
    world.trace();
    world.start_child();
    world.settle();
    assert_eq!(shown(&mut world), 1);
    for _ in 0..3 {
        world.pass(10_000);
        world.stream_advanced(OWN);
        world.settle();
    }
    assert_eq!(shown(&mut world), 0, "nothing new to compare");
    world.grow(OWN, 1);
    world.settle();
    assert_eq!(shown(&mut world), 1);
}

#[test]
fn promise_2_a_parent_shows_a_child_the_child_s_own_heads_before_anything_is_sent() {
    let mut world = set_back(0);
    world.shown.clear();
    world.start_child();
    world.settle();
    let shown: Vec<_> = world.shown.iter().map(|(parent, head)| (*parent, head.head.origin, head.head.seq)).collect();
    assert_eq!(shown, [(PROVINCE, OWN, StreamSeq(5))], "its own, and not the commune's");

    // What could not be compared is compared again, by this leader alone.
    let (parent, head) = world.shown.remove(0);
    world.notify_uplink(UplinkInput::HeadNotCompared { parent, head: head.clone() });
    assert_eq!(world.shown, []);
    world.pass(3_000);
    assert_eq!(world.shown, [(parent, head.clone())]);
    world.shown.clear();
    world.notify_uplink(UplinkInput::HeadNotCompared { parent, head });
    world.notify_uplink(UplinkInput::LostLeadership);
    world.pass(10_000);
    assert_eq!(world.shown, []);
}

#[test]
fn promise_2_a_child_that_names_no_stream_is_shown_what_it_wrote_before_it_was_founded_anew() {
    let mut world = set_back(0);
    world.held.clear();
    world.shown.clear();
    world.start_child();
    world.settle();
    assert_eq!(world.shown.len(), 1);
}

/// A connection of the child to the province on which it holds `held` batches of its own; the province holds five.
fn connected(world: &World, held: u64) -> (Intake, Vec<IntakeAction>) {
    let identity = ChildIdentity { site: DISTRICT, node: NODE };
    let (register, chain) = (world.tree.verified(), world.tree.chain());
    let mut intake = Intake::new(IntakeConfig::default(), PROVINCE, identity, register, chain, SiteLeader::ThisNode, LinkTime(0));
    let streams = vec![StreamHeld { origin: OWN, epoch: Epoch::first("test", OWN), next: StreamSeq(held + 1), oldest_kept: StreamSeq(1) }];
    let hello = Hello {
        levels: LevelOffer::default(),
        site: DISTRICT,
        node: NODE,
        register_version: 1,
        register_hash: world.tree.verified().hash(),
        streams,
    };
    answer(&mut intake, IntakeInput::FrameReceived(ChildFrame::Hello(hello)));
    let read = world.parents[&PROVINCE].store.held(&[OWN], &[OWN]);
    let actions = answer(&mut intake, IntakeInput::CursorsRead(Ok(read)));
    (intake, actions)
}

fn answer(intake: &mut Intake, input: IntakeInput) -> Vec<IntakeAction> {
    intake.handle(input, LinkTime(0), SiteTime(9_000_000));
    std::iter::from_fn(|| intake.poll_action()).collect()
}

fn reported(actions: &[IntakeAction]) -> bool {
    actions.iter().any(|action| matches!(action, IntakeAction::RaiseAlarm(IntakeAlarm::ChildSetBack { origin: OWN, .. })))
}

/// The child sends its stream up to batch `end`, and the province adopts what is new of it and stands at `stands`.
fn sends(intake: &mut Intake, world: &World, id: u64, end: u64, stands: u64) -> Vec<IntakeAction> {
    let segment = world.held[&OWN].segment(end + 1, end);
    let segment = Compressed::pack(&segment, SEGMENT_PLAIN_BYTES_MAX).expect("short");
    answer(intake, IntakeInput::FrameReceived(ChildFrame::Segment { id: FrameId(id), origin: OWN, segment }));
    let cursor = ParentCursor { origin: OWN, epoch: Epoch::first("test", OWN), next: StreamSeq(stands + 1) };
    answer(intake, IntakeInput::Proposed { id: FrameId(id), result: Ok(Outcome::Adopted(cursor)) })
}

#[test]
fn promise_6_an_honest_head_of_a_site_does_not_end_the_report_about_its_double() {
    let mut world = linked();
    world.grow(OWN, 2);
    world.settle();
    let ((mut double, _), (mut honest, _)) = (connected(&world, 3), connected(&world, 5));
    let tick = |intake: &mut Intake, ms: u64| {
        intake.handle(IntakeInput::Tick, LinkTime(ms), SiteTime(9_000_000));
        reported(&std::iter::from_fn(|| intake.poll_action()).collect::<Vec<_>>())
    };
    assert!(!tick(&mut double, 1_000) && !tick(&mut double, 60_000), "a connection that the child has left says nothing of it");
    // An old head of the double is known, and says nothing of what it lacks.
    let actions = sends(&mut double, &world, 1, 3, 5);
    assert!(!actions.contains(&IntakeAction::ChildCaughtUp { origin: OWN }));
    assert!(tick(&mut double, 61_000) && tick(&mut double, 62_000), "it is said again and again");
    let actions = sends(&mut honest, &world, 1, 5, 5);
    assert!(!actions.contains(&IntakeAction::ChildCaughtUp { origin: OWN }), "it was never reported");
    assert!(tick(&mut double, 63_000) && !tick(&mut honest, 63_000));

    let actions = sends(&mut double, &world, 2, 5, 5);
    assert!(actions.contains(&IntakeAction::ChildCaughtUp { origin: OWN }));
    assert!(!tick(&mut double, 64_000));
}
