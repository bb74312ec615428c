//! The promises between tiers, as logs. `3:` is the child, `2:` its parent, `4:` the stand-in.

use kho_storage::{
    command::{Refusal, StopReason},
    ids::StreamSeq,
};

use super::{
    compare::assert_trace,
    tree::{ADOPTED, OWN, PROVINCE, REGION},
    world::{Step, World},
};
use crate::{
    frames::{ChildFrame, Compressed, ParentFrame, SEGMENT_PLAIN_BYTES_MAX},
    intake::ProposeFailure,
    uplink::{StreamState, UplinkConfig},
};

/// A world in which the parent holds three batches of the own stream and one of the adopted.
fn linked() -> World {
    let mut world = World::new(UplinkConfig::default());
    world.author(OWN).grow(3, kho_storage::ids::SiteTime(1_000_000));
    world.author(ADOPTED).grow(1, kho_storage::ids::SiteTime(1_000_000));
    world.start_child();
    world.settle();
    world.pass(2_000);
    world.settle();
    world
}

#[test]
fn streams_flow_from_the_cursors_that_the_parent_names() {
    let mut world = linked();
    assert_trace(
        &mut world,
        "
        3: dial site 2 at site2:1
        3: send Hello 3@1/4 6@1/2
        2: read cursors of 3 6
        2: send Welcome 3@1/1 6@1/1
        3: load 3 from 1/1
        3: load 6 from 1/1
        3: send Segment #1 3 batches 1 to 3
        3: send Segment #2 6 batch 1
        2: propose #1 3 batches 1 to 3
        2: propose #2 6 batch 1
        2: #1 committed: 3@1/4
        2: send Adopted #1 3@1/4
        2: #2 committed: 6@1/2
        2: send Adopted #2 6@1/2
        3: record: site 2 holds 3@1/4 6@1/2
        ",
    );
}

#[test]
fn promise_2_the_parent_acknowledges_only_what_its_site_committed() {
    let mut world = linked();
    world.trace();
    world.grow(OWN, 2);
    world.settle_but(|step| matches!(step, Step::Commit(_)));
    world.note("the province's site has not committed yet");
    world.commit(PROVINCE, None);
    world.settle();
    assert_trace(
        &mut world,
        "
        3: load 3 from 1/4
        3: send Segment #3 3 batches 4 to 5
        2: propose #3 3 batches 4 to 5
        -- the province's site has not committed yet
        2: #3 committed: 3@1/6
        2: send Adopted #3 3@1/6
        ",
    );
}

#[test]
fn promise_2_the_child_records_only_what_the_parent_committed() {
    let mut world = linked();
    world.trace();
    world.grow(OWN, 2);
    world.settle_but(|step| matches!(step, Step::Commit(_)));
    world.pass(5_000);
    assert_eq!(world.recorded[&(PROVINCE, OWN)].next, StreamSeq(4), "sent is not acknowledged");
    world.settle();
    world.pass(5_000);
    assert_eq!(world.recorded[&(PROVINCE, OWN)].next, StreamSeq(6));
}

#[test]
fn promise_3_an_outcome_that_nobody_received_is_sent_again_and_changes_nothing() {
    let mut world = linked();
    world.trace();
    world.grow(OWN, 2);
    world.settle_but(|step| matches!(step, Step::Commit(_)));
    world.commit(PROVINCE, Some(ProposeFailure::OutcomeUnknown));
    world.settle();
    world.pass(1_000);
    world.settle();
    assert_trace(
        &mut world,
        "
        3: load 3 from 1/4
        3: send Segment #3 3 batches 4 to 5
        2: propose #3 3 batches 4 to 5
        2: #3 failed: OutcomeUnknown
        2: send Busy #3 for 500 ms
        3: load 3 from 1/4
        3: send Segment #4 3 batches 4 to 5
        2: propose #4 3 batches 4 to 5
        2: #4 committed: 3@1/6
        2: send Adopted #4 3@1/6
        ",
    );
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn promise_7_a_cut_line_resumes_from_the_parents_cursor() {
    let mut world = linked();
    world.trace();
    world.grow(OWN, 2);
    world.settle_but(|step| step == Step::Up);
    world.note("the link is cut with the segment on it, and stays down for two weeks");
    world.parent(PROVINCE).reachable = false;
    world.parent(REGION).reachable = false;
    world.cut();
    world.trace();
    for _ in 0..200 {
        world.pass(6_000_000);
        world.settle();
    }
    world.grow(OWN, 1);
    world.parent(PROVINCE).reachable = true;
    world.trace();
    for _ in 0..20 {
        world.pass(10_000);
        world.settle();
    }
    let resumed: Vec<String> = world.trace().lines().skip_while(|line| !line.contains("Hello")).map(Into::into).collect();
    world.log = resumed;
    assert_trace(
        &mut world,
        "
        3: send Hello 3@1/7 6@1/2
        2: read cursors of 3 6
        2: send Welcome 3@1/4 6@1/2
        3: load 3 from 1/4
        3: load 6 from 1/2
        3: send Segment #1 3 batches 4 to 6
        3: send Segment #2 6 idle at 1, complete up to 1000000
        2: propose #1 3 batches 4 to 6
        2: propose #2 6 idle at 1, complete up to 1000000
        2: #1 committed: 3@1/7
        2: send Adopted #1 3@1/7
        2: #2 committed: 6@1/2
        2: send Adopted #2 6@1/2
        3: record: site 2 holds 3@1/7
        ",
    );
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn promise_7_a_parent_lost_in_the_middle_of_a_segment_is_replaced_by_the_stand_in() {
    let mut world = linked();
    world.trace();
    world.grow(OWN, 2);
    world.settle_but(|step| step == Step::Down);
    world.note("the province has committed the segment, and is lost before it says so");
    world.parent(PROVINCE).reachable = false;
    world.cut();
    for _ in 0..10 {
        world.pass(2_000);
        world.settle();
    }
    assert_eq!(world.is_equal_at(REGION), Ok(()));
    world.note("the province is back");
    world.parent(PROVINCE).reachable = true;
    world.pass(60_000);
    world.settle();
    world.pass(1_000);
    assert_trace(
        &mut world,
        "
        3: load 3 from 1/4
        3: send Segment #3 3 batches 4 to 5
        2: propose #3 3 batches 4 to 5
        2: #3 committed: 3@1/6
        2: send Adopted #3 3@1/6
        -- the province has committed the segment, and is lost before it says so
        3: dial site 2 at site2:1
        -- site 2 does not answer
        3: dial site 2 at site2:1
        -- site 2 does not answer
        3: dial site 4 at site4:1
        3: send Hello 3@1/6 6@1/2
        4: read cursors of 3 6
        4: send Welcome 3@1/1 6@1/1
        3: load 3 from 1/1
        3: load 6 from 1/1
        3: send Segment #1 3 batches 1 to 5
        3: send Segment #2 6 batch 1
        4: propose #1 3 batches 1 to 5
        4: propose #2 6 batch 1
        4: #1 committed: 3@1/6
        4: send Adopted #1 3@1/6
        4: #2 committed: 6@1/2
        4: send Adopted #2 6@1/2
        3: record: site 4 holds 3@1/6 6@1/2
        -- the province is back
        3: probe site 2
        3: disconnect: a parent that comes earlier in the register answers again
        3: dial site 2 at site2:1
        3: send Hello 3@1/6 6@1/2
        2: read cursors of 3 6
        2: send Welcome 3@1/6 6@1/2
        3: load 3 from 1/6
        3: load 6 from 1/2
        3: send Segment #1 3 idle at 5, complete up to 1002000
        3: send Segment #2 6 idle at 1, complete up to 1000000
        2: propose #1 3 idle at 5, complete up to 1002000
        2: propose #2 6 idle at 1, complete up to 1000000
        2: #1 committed: 3@1/6
        2: send Adopted #1 3@1/6
        2: #2 committed: 6@1/2
        2: send Adopted #2 6@1/2
        3: record: site 2 holds 3@1/6
        ",
    );
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn promise_7_a_refused_stream_does_not_hold_up_the_other() {
    let mut world = linked();
    world.trace();
    world.alter_up = Some(|frame| match frame {
        ChildFrame::Segment { id, origin, segment } if origin == ADOPTED => {
            let mut damaged = segment.unpack(SEGMENT_PLAIN_BYTES_MAX).expect("own segment");
            damaged.head.head.rows += 1;
            ChildFrame::Segment { id, origin, segment: Compressed::pack(&damaged, SEGMENT_PLAIN_BYTES_MAX).expect("small") }
        }
        other => other,
    });
    world.grow(ADOPTED, 1);
    world.grow(OWN, 1);
    world.settle();
    world.grow(OWN, 1);
    world.settle();
    let parked =
        |world: &World| world.uplink.status().streams.into_iter().filter(|s| matches!(s.state, StreamState::Parked { .. })).count();
    assert_eq!(parked(&world), 1);
    world.note("what damaged the stream is fixed");
    world.alter_up = None;
    world.pass(UplinkConfig::default().parked_retry_ms);
    world.settle();
    assert_trace(
        &mut world,
        "
        3: load 6 from 1/2
        3: load 3 from 1/4
        3: send Segment #3 6 batch 2
        3: send Segment #4 3 batch 4
        2: keep evidence against origin 6 carried by site 3
        2: ALARM a segment of origin 6, carried by site 3, was refused: the head of origin 6 at 2 is not signed by a key that the register pins
        2: send Refused #3 6: the head of origin 6 at 2 is not signed by a key that the register pins
        2: propose #4 3 batch 4
        2: #4 committed: 3@1/5
        2: send Adopted #4 3@1/5
        3: ALARM parent 2 refuses origin 6: the head of origin 6 at 2 is not signed by a key that the register pins
        3: load 3 from 1/5
        3: send Segment #5 3 batch 5
        2: propose #5 3 batch 5
        2: #5 committed: 3@1/6
        2: send Adopted #5 3@1/6
        -- what damaged the stream is fixed
        3: record: site 2 holds 3@1/6
        3: send Streams 6@1/3
        2: read cursors of 6
        2: send Cursors 6@1/2
        3: load 6 from 1/2
        3: send Segment #6 6 batch 2
        2: propose #6 6 batch 2
        2: #6 committed: 6@1/3
        2: send Adopted #6 6@1/3
        ",
    );
    assert_eq!(parked(&world), 0);
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn promise_7_a_stopped_stream_is_tried_again_until_it_goes_on() {
    let mut world = linked();
    let refusal = Refusal::Stopped { origin: OWN, seq: StreamSeq(3), reason: StopReason::DigestMismatch };
    world.trace();
    world.alter_down = Some(|frame| match frame {
        ParentFrame::Adopted { id, cursor } if cursor.origin == OWN => {
            let refusal = Refusal::Stopped { origin: OWN, seq: StreamSeq(3), reason: StopReason::DigestMismatch };
            ParentFrame::Refused { id: Some(id), origin: OWN, refusal }
        }
        other => other,
    });
    world.grow(OWN, 1);
    world.settle();
    let alarms = |world: &mut World| world.trace().lines().filter(|line| line.contains("ALARM")).map(String::from).collect::<Vec<_>>();
    assert_eq!(alarms(&mut world), [format!("3: ALARM parent 2 refuses origin 3: {refusal}")]);
    for _ in 0..20 {
        world.pass(60_000);
        world.settle();
    }
    assert_eq!(alarms(&mut world), [""; 0], "a retry without success raises nothing new");
    world.alter_down = None;
    world.pass(120_000);
    world.settle();
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn promise_9_an_idle_head_follows_one_of_the_future_that_an_operator_took_back() {
    let mut world = linked();
    world.author(OWN).grow(1, kho_storage::ids::SiteTime(9_000_000));
    world.stream_advanced(OWN);
    world.settle();
    let clock = world.clock();
    world.author(OWN).commit_head(clock);
    world.trace();
    world.stream_advanced(OWN);
    world.settle();
    assert_trace(
        &mut world,
        "
        3: load 3 from 1/5
        3: send Segment #4 3 idle at 4, complete up to 1002000
        2: propose #4 3 idle at 4, complete up to 1002000
        2: #4 committed: 3@1/5
        2: send Adopted #4 3@1/5
        ",
    );
}

#[test]
fn promise_9_an_idle_head_follows_one_of_the_future_that_is_acknowledged_after_it_was_taken_back() {
    let mut world = linked();
    world.author(OWN).grow(1, kho_storage::ids::SiteTime(9_000_000));
    world.stream_advanced(OWN);
    world.settle_but(|step| matches!(step, Step::Commit(_)));
    let clock = world.clock();
    world.author(OWN).commit_head(clock);
    world.stream_advanced(OWN);
    world.settle();
    let idle = format!("3 idle at 4, complete up to {clock}");
    let trace = world.trace();
    assert!(trace.lines().any(|line| line.starts_with("3: send Segment") && line.ends_with(&idle)), "{trace}");
}

#[test]
fn an_idle_stream_shows_the_time_up_to_which_it_is_complete() {
    let mut world = linked();
    world.trace();
    for _ in 0..3 {
        // Heads come faster than the link takes them: one is under way, the newest follows.
        world.pass(1_000);
        world.grow(OWN, 0);
        world.settle_but(|step| matches!(step, Step::Commit(_)));
    }
    world.settle();
    assert_trace(
        &mut world,
        "
        3: load 3 from 1/4
        3: send Segment #3 3 idle at 3, complete up to 1003000
        2: propose #3 3 idle at 3, complete up to 1003000
        2: #3 committed: 3@1/4
        2: send Adopted #3 3@1/4
        3: load 3 from 1/4
        3: send Segment #4 3 idle at 3, complete up to 1005000
        2: propose #4 3 idle at 3, complete up to 1005000
        2: #4 committed: 3@1/4
        2: send Adopted #4 3@1/4
        ",
    );
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}
