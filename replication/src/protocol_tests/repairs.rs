//! What the two sides do when things are not as they were: another leader, a parent set back, batches trimmed, a dishonest parent.

use kho_storage::{
    command::ParentCursor,
    ids::{SiteTime, StreamSeq},
};

use super::{
    compare::assert_trace,
    site::ModelSite,
    tree::{ADOPTED, OWN, PROVINCE, REGION},
    world::{Step, World},
};
use crate::{
    frames::{FrameId, ParentFrame},
    intake::{IntakeInput, ProposeFailure, SiteLeader},
    uplink::UplinkConfig,
};

/// A world in which only the own stream has batches, and the parent holds three.
pub(super) fn linked() -> World {
    let mut world = World::new(UplinkConfig::default());
    world.held.remove(&ADOPTED);
    world.author(OWN).grow(3, SiteTime(1_000_000));
    world.start_child();
    world.settle();
    world.pass(2_000);
    world.trace();
    world
}

#[test]
fn a_parents_new_leader_is_dialled_where_the_old_one_says() {
    let mut world = linked();
    world.grow(OWN, 1);
    world.settle_but(|step| matches!(step, Step::Commit(_)));
    let leader = SiteLeader::OtherNode { addresses: vec!["leader:1".into()] };
    world.notify_intake(PROVINCE, IntakeInput::LeaderChanged(leader));
    world.settle();
    world.pass(1_000);
    assert_trace(
        &mut world,
        "
        3: load 3 from 1/4
        3: send Segment #2 3 batch 4
        2: propose #2 3 batch 4
        2: send Redirect to leader:1
        2: close: the node no longer leads its site
        2: #2 committed: 3@1/5
        3: disconnect: the child continues at another node
        3: dial site 2 at leader:1
        3: send Hello 3@1/5
        2: read cursors of 3
        2: send Welcome 3@1/5
        3: load 3 from 1/5
        3: send Segment #1 3 idle at 4, complete up to 1002000
        2: propose #1 3 idle at 4, complete up to 1002000
        2: #1 committed: 3@1/5
        2: send Adopted #1 3@1/5
        3: record: site 2 holds 3@1/5
        ",
    );
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn nodes_that_pass_the_child_on_to_each_other_are_not_followed_for_ever() {
    let mut world = linked();
    world.cut();
    world.parent(PROVINCE).leader = SiteLeader::OtherNode { addresses: vec!["other:1".into()] };
    world.trace();
    world.pass(500);
    world.settle();
    let dials = world.trace().lines().filter(|line| line.contains("dial")).count();
    assert_eq!(dials, 1 + UplinkConfig::default().redirects_max as usize);
}

#[test]
fn a_parent_set_back_gets_everything_since_again() {
    let mut world = linked();
    let older = world.parent(PROVINCE).store.clone();
    world.grow(OWN, 2);
    world.settle();
    world.pass(2_000);
    world.trace();
    world.restore(PROVINCE, older);
    world.pass(1_000);
    world.settle();
    world.pass(2_000);
    assert_trace(
        &mut world,
        "
        3: dial site 2 at site2:1
        3: send Hello 3@1/6
        2: read cursors of 3
        2: send Welcome 3@1/4
        3: ALARM parent 2 stands at 1/4 of origin 3, it acknowledged 1/6 before: it was restored to an older state; everything since is sent again
        3: record: site 2 holds 3@1/4
        3: load 3 from 1/4
        3: send Segment #1 3 batches 4 to 5
        2: propose #1 3 batches 4 to 5
        2: #1 committed: 3@1/6
        2: send Adopted #1 3@1/6
        3: record: site 2 holds 3@1/6
        ",
    );
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn promise_7_a_parent_behind_the_oldest_batch_kept_gets_the_whole_origin() {
    let mut world = linked();
    world.grow(OWN, 9);
    world.settle();
    world.pass(2_000);
    world.author(OWN).oldest_kept = StreamSeq(11);
    world.stream_advanced(OWN);
    world.trace();
    world.restore(PROVINCE, Default::default());
    world.pass(1_000);
    world.settle();
    world.pass(2_000);
    assert_trace(
        &mut world,
        "
        3: dial site 2 at site2:1
        3: send Hello 3@1/13 kept from 11
        2: read cursors of 3
        2: send Welcome 3@1/1
        3: ALARM parent 2 stands at 1/1 of origin 3, it acknowledged 1/13 before: it was restored to an older state; everything since is sent again
        3: record: site 2 holds 3@1/1
        3: load transfer start of 3
        3: send TransferStart #1 3 kept after 10
        2: propose #1 transfer of 3
        2: #1 committed: 3 wants rows from start
        2: send TransferWants #1 3 wants rows from start
        3: load rows of 3 from start
        3: send Piece #2 3 3 rows from start to key 00000004
        2: propose #2 3 rows of 3
        2: #2 committed: 3 wants rows from key 00000004
        2: send TransferWants #2 3 wants rows from key 00000004
        3: load rows of 3 from key 00000004
        3: send Piece #3 3 3 rows from key 00000004 to the end
        2: propose #3 3 rows of 3
        2: #3 committed: 3 wants batches 11 to 12
        2: send TransferWants #3 3 wants batches 11 to 12
        3: load 3 from 1/11
        3: send Segment #4 3 batches 11 to 12
        2: propose #4 3 batches 11 to 12
        2: #4 committed: 3@1/13
        2: send Adopted #4 3@1/13
        3: record: site 2 holds 3@1/13
        ",
    );
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn promise_7_a_transfer_goes_on_where_it_was_after_a_cut_and_a_restart() {
    let mut world = linked();
    world.rows_per_piece = 1;
    world.grow(OWN, 9);
    world.author(OWN).oldest_kept = StreamSeq(11);
    world.restore(PROVINCE, Default::default());
    world.pass(1_000);
    while !world.log.iter().any(|line| line.contains("Piece #3")) {
        let step = world.steps()[0];
        world.take(step);
    }
    world.note("the child's node restarts and enters more");
    world.trace();
    let clock = world.clock();
    world.author(OWN).grow(2, clock);
    world.start_child();
    world.settle();
    let trace = world.trace();
    assert!(trace.contains("Welcome 3@1/1, 3 wants rows from key"), "{trace}");
    assert!(!trace.contains("TransferStart"), "{trace}");
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn promise_7_a_carrier_whose_turn_to_transfer_has_not_come_waits_and_is_not_refused() {
    let mut world = linked();
    world.grow(OWN, 9);
    world.author(OWN).oldest_kept = StreamSeq(11);
    world.restore(PROVINCE, ModelSite::default());
    world.parent(PROVINCE).store.taken_by = Some(REGION);
    world.trace();
    world.pass(1_000);
    world.settle();
    for _ in 0..2 {
        world.pass(31_000);
        world.settle();
    }
    let trace = world.trace();
    assert_eq!(trace.matches("send Busy").count(), 3, "once in half a minute: {trace}");
    assert!(!trace.contains("Refused"), "{trace}");
    world.parent(PROVINCE).store.taken_by = None;
    world.pass(31_000);
    world.settle();
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn a_head_that_moves_on_while_its_origin_is_transferred_is_reached_too() {
    let mut world = linked();
    world.rows_per_piece = 1;
    world.grow(OWN, 9);
    world.author(OWN).oldest_kept = StreamSeq(11);
    world.restore(PROVINCE, Default::default());
    world.pass(1_000);
    for _ in 0..200 {
        let Some(step) = world.steps().first().copied() else { break };
        world.take(step);
        if world.log.len().is_multiple_of(7) && world.author(OWN).batches.len() < 40 {
            world.grow(OWN, 1);
        }
    }
    world.settle();
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn promise_2_an_acknowledgement_beyond_what_is_held_is_not_believed_and_reported_as_a_set_back() {
    let mut world = linked();
    world.alter_down = Some(|frame| match frame {
        ParentFrame::Adopted { id, cursor } => {
            ParentFrame::Adopted { id, cursor: ParentCursor { next: StreamSeq(cursor.next.0 + 5), ..cursor } }
        }
        other => other,
    });
    world.grow(OWN, 1);
    world.settle();
    assert_trace(
        &mut world,
        "
        3: load 3 from 1/4
        3: send Segment #2 3 batch 4
        2: propose #2 3 batch 4
        2: #2 committed: 3@1/5
        2: send Adopted #2 3@1/5
        3: ALARM parent 2 stands at 1/10 of this site's own origin 3, but the site only at 1/5: the site was set back: entry is closed; see `kho fork list` for what to do
        3: send Streams 3@1/5
        3: load 3 from 1/5
        3: send Segment #3 3 idle at 4, complete up to 1002000
        2: read cursors of 3
        2: propose #3 3 idle at 4, complete up to 1002000
        2: send Cursors 3@1/5
        2: #3 committed: 3@1/5
        2: send Adopted #3 3@1/5
        ",
    );
    assert_eq!(world.recorded[&(PROVINCE, OWN)].next, StreamSeq(4));
}

#[test]
fn promise_2_an_answer_to_what_was_never_sent_ends_the_link() {
    let mut world = linked();
    world.alter_down = Some(|frame| match frame {
        ParentFrame::Adopted { cursor, .. } => ParentFrame::Adopted { id: FrameId(99), cursor },
        other => other,
    });
    world.grow(OWN, 1);
    world.settle();
    let trace = world.trace();
    assert!(trace.contains("ALARM parent 2 broke the protocol (it answers #99, which awaits no answer)"), "{trace}");
    assert!(trace.contains("disconnect: the peer broke the protocol"), "{trace}");
}

#[test]
fn a_busy_parent_is_given_the_time_it_asks_for() {
    let mut world = linked();
    world.grow(OWN, 1);
    world.settle_but(|step| matches!(step, Step::Commit(_)));
    world.commit(PROVINCE, Some(ProposeFailure::Busy { retry_after_ms: 3_000 }));
    world.settle();
    world.pass(2_000);
    world.settle();
    world.note("three seconds later");
    world.pass(1_000);
    world.settle();
    assert_trace(
        &mut world,
        "
        3: load 3 from 1/4
        3: send Segment #2 3 batch 4
        2: propose #2 3 batch 4
        2: #2 failed: Busy { retry_after_ms: 3000 }
        2: send Busy #2 for 3000 ms
        -- three seconds later
        3: load 3 from 1/4
        3: send Segment #3 3 batch 4
        2: propose #3 3 batch 4
        2: #3 committed: 3@1/5
        2: send Adopted #3 3@1/5
        ",
    );
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn the_cursor_of_a_new_stream_is_requested_on_the_link_that_stands() {
    let mut world = linked();
    let mut adopted = super::author::Author::new(&world.tree, ADOPTED, super::tree::COMMUNE);
    adopted.grow(1, SiteTime(1_000_000));
    world.held.insert(ADOPTED, adopted);
    world.stream_advanced(ADOPTED);
    world.settle();
    assert_trace(
        &mut world,
        "
        3: send Streams 6@1/2
        2: read cursors of 6
        2: send Cursors 6@1/1
        3: load 6 from 1/1
        3: send Segment #2 6 batch 1
        2: propose #2 6 batch 1
        2: #2 committed: 6@1/2
        2: send Adopted #2 6@1/2
        ",
    );
    assert_eq!(world.is_equal_at(PROVINCE), Ok(()));
}

#[test]
fn promise_7_a_request_for_cursors_that_nobody_answers_ends_the_link() {
    let mut world = linked();
    let mut adopted = super::author::Author::new(&world.tree, ADOPTED, super::tree::COMMUNE);
    adopted.grow(1, SiteTime(1_000_000));
    world.held.insert(ADOPTED, adopted);
    world.stream_advanced(ADOPTED);
    let unread = |step| matches!(step, Step::Read(_));
    for _ in 0..UplinkConfig::default().answer_timeout_ms / 60_000 + 1 {
        world.settle_but(unread);
        world.pass(60_000);
        world.grow(OWN, 0);
    }
    let trace = world.trace();
    assert!(trace.contains("2: send Adopted"), "other streams went on meanwhile: {trace}");
    assert!(trace.contains("3: disconnect: "), "{trace}");
}
