//! Real processes under faults: one scene each, under the recorded workload, ended by every check of `kho_chaos_tests::invariants`
//! and by `kho verify`. `kho-soak-faults` plays them at random, as many rounds as wanted.

use kho_chaos_tests::{
    mounting::not_run,
    play,
    preload::may_build,
    scenes::{Round, Scene, power_cut},
};

/// Any other seed is another scene.
const SEED: u64 = 20_261_125;
/// Rounds of `kho-soak-faults` that found something once. The ninth: a leader that had been cut off handed the parent's
/// acknowledgement to its successor, where it replaced a newer one.
const ROUNDS_THAT_FOUND: [u64; 1] = [9];

async fn played(scene: Scene, seed: u64, length: usize) {
    if let Err(why) = scene.may_be_played() {
        return not_run(&format!("{scene:?}"), &why);
    }
    play(scene.plan(), async |stage| scene.play(stage, seed, length).await.map(drop)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_1_3_5_nodes_are_killed_and_links_degraded_at_every_tier_and_nothing_is_lost() {
    played(Scene::Storm, SEED, 14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_7_rounds_that_once_broke_a_promise_hold() {
    for number in ROUNDS_THAT_FOUND {
        let round = Round::drawn(number);
        played(round.scene, round.seed, round.length).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_1_what_was_acknowledged_outlasts_a_power_cut_of_the_whole_site() {
    played(Scene::PowerCut, SEED, 3).await;
}

/// If this were not detected, the test before it would show nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_on_disks_that_lie_about_their_syncs_is_detected() {
    if let Err(why) = Scene::PowerCut.may_be_played().and_then(|()| may_build()) {
        return not_run("a power cut on disks that lie", &why);
    }
    play(Scene::PowerCut.plan(), async |stage| {
        let detected = power_cut::play_on_lying_disks(stage, SEED)
            .await
            .expect_err("rows were acknowledged without a sync, the power was cut, and nothing was detected");
        let detected = format!("{detected:#}");
        println!("detected: {detected}");
        let names_a_loss = ["acknowledged", "lost:", "forgot its site"].iter().any(|loss| detected.contains(loss));
        anyhow::ensure!(names_a_loss, "it ended for another reason: {detected}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_1_a_node_whose_log_finds_no_room_stops_and_comes_back_with_room() {
    played(Scene::LogDiskFull, SEED, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_1_a_leader_whose_state_finds_no_room_stops_and_comes_back_with_room() {
    played(Scene::StateDiskFull, SEED, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_9_below_the_reserve_nodes_refuse_say_so_and_go_on_by_themselves() {
    played(Scene::ReserveReached, SEED, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_5_a_flipped_bit_in_a_database_file_is_never_served_nor_spread() {
    played(Scene::ByteFlipped, SEED, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_3_9_clocks_set_hours_back_and_forward_lose_nothing_and_are_not_believed() {
    played(Scene::ClocksSet, SEED, 1).await;
}
