//! Histories inside a site: rows used as registers, by clients on every node, while leaders and followers are killed, paused and cut
//! off. `kho-soak-linearizability --histories 1000` is the long form.

use kho_chaos_tests::{
    linearizability::{ReadMode, measure, plan},
    play,
};

const HISTORIES: usize = 28;
const SEED: u64 = 20_261_125;

#[tokio::test(flavor = "multi_thread")]
async fn promise_1_histories_inside_a_site_are_linearizable_whatever_happens_to_its_nodes() {
    play(plan(), async |stage| {
        let report = measure(stage, HISTORIES, SEED, ReadMode::Linearizable, |_, _| {}).await?;
        println!("{}", report.text());
        assert!(report.holds && report.calls_min >= 200, "{report:#?}");
        Ok(())
    })
    .await;
}

/// The same clients, reading what followers have applied without a read index: if this were not found, the judge or the clients
/// could not find a stale read at all.
#[tokio::test(flavor = "multi_thread")]
async fn stale_reads_of_followers_that_lag_are_found_not_linearizable() {
    play(plan(), async |stage| {
        let report = measure(stage, 5, SEED, ReadMode::Local, |_, _| {}).await?;
        println!("{}", report.text());
        assert!(report.not_linearizable > 0, "local reads promise no order, and none was found out of order: {report:#?}");
        Ok(())
    })
    .await;
}
