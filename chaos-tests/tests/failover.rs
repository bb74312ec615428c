//! A leader is killed under load: the next write comes through soon, and no acknowledged row is lost or doubled. How soon, in 300
//! rounds, is what `kho-soak-failover` measures and judges; here a few rounds show that it can.

use std::time::Duration;

use kho_chaos_tests::{
    failover::{measure, plan},
    play,
};

const ROUNDS: usize = 10;
/// Judged loosely: a test machine has other work to do.
const LONGEST: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn after_a_leader_is_killed_writes_go_on_and_none_is_lost() {
    play(plan(3), async |stage| {
        let report = measure(stage, ROUNDS, |_, _| {}).await?;
        println!("{}", report.text());
        let longest = u128::from(report.max_ms);
        assert!(longest < LONGEST.as_millis(), "{report:?}");
        Ok(())
    })
    .await;
}
