//! Promise 1, and 3: a leader dies twice in the middle of an import; every acknowledged row is there, once.

use std::time::Duration;

use kho_chaos_tests::{Import, People, Stage, SteadyEntry, entry::EntryRate, place::place, play, until};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, centre, district, id, nodes, plan};

const IMPORTED: u64 = 100_000;
/// One small batch after another, so that the import lasts.
const BATCH_ROWS: u64 = 100;
/// Single rows are entered at each node all the time, so that at any moment some were acknowledged just now.
const STEADY: [&str; 3] = ["steady-1", "steady-2", "steady-3"];
const PAUSE: Duration = Duration::from_millis(2);

#[tokio::test(flavor = "multi_thread")]
async fn promise_1_leader_killed_in_the_middle_of_an_import() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 3)]), async |stage| {
        stage.tree.start().await?;
        let imported = People::new("imported", BIEN_HOA.commune);
        let steady =
            STEADY.iter().enumerate().map(|(place, name)| enter_steadily(stage, name, place)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut import = stage.import(DISTRICT, &imported, IMPORTED, BATCH_ROWS, 1)?;
        for at_rows in [IMPORTED / 8, IMPORTED / 3] {
            kill_leader_at(stage, at_rows, &mut import).await?;
        }
        assert_eq!(import.rows().await?, IMPORTED, "every row of the file was acknowledged, none twice");
        let mut entered = Vec::new();
        for entry in steady {
            entered.push(entry.end().await?);
        }
        let rows = IMPORTED + entered.iter().map(|(_, count)| count).sum::<u64>();

        let everywhere = [nodes(DISTRICT, 3), nodes(CENTRE, 1)].concat();
        stage.until_equal(DISTRICT, rows, &everywhere).await?;
        for number in (0..IMPORTED).step_by(7_919).chain([IMPORTED - 1]) {
            stage.ensure_person(DISTRICT, &imported, number).await?;
        }
        for (people, count) in &entered {
            for number in (0..*count).step_by(50).chain([count - 1]) {
                stage.ensure_person(DISTRICT, people, number).await?;
            }
            ensure_retries_change_nothing(stage, people, *count).await?;
        }
        stage.until_equal(DISTRICT, rows, &everywhere).await?;
        stage.verify(&everywhere).await
    })
    .await;
}

/// Enters rows through node number `place` as long as it answers, then through the others.
fn enter_steadily(stage: &Stage, name: &'static str, place: usize) -> anyhow::Result<SteadyEntry> {
    let mut urls = stage.tree.urls(id(DISTRICT));
    urls.rotate_left(place);
    let client = stage.tree.client(&urls, &format!("client-{DISTRICT}"))?;
    Ok(SteadyEntry::start(client, DISTRICT, People::new(name, BIEN_HOA.commune), EntryRate::until_acknowledged(PAUSE)))
}

/// Kills the district's leader once the site holds so many rows, and starts it again when another leads.
async fn kill_leader_at(stage: &mut Stage, rows: u64, import: &mut Import) -> anyhow::Result<()> {
    let leader = stage.tree.leader(id(DISTRICT)).await?;
    stage.until_rows((id(DISTRICT), leader), DISTRICT, rows).await?;
    let leader = stage.tree.leader(id(DISTRICT)).await?;
    stage.kill((id(DISTRICT), leader))?;
    import.ensure_under_way()?;
    let next = stage.tree.leader(id(DISTRICT)).await?;
    assert_ne!(next, leader);
    stage.tree.start_node(id(DISTRICT), leader)?;
    until("the killed node takes part again", async || Ok(stage.status(place(DISTRICT, leader.0)).await?.consensus.leader)).await?;
    Ok(())
}

/// Promise 3: a request that was acknowledged before the leaders died is known, whoever leads now, and is not applied again.
async fn ensure_retries_change_nothing(stage: &Stage, steady: &People, entered: u64) -> anyhow::Result<()> {
    let client = stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?;
    let last = stage.stream(nodes(DISTRICT, 3)[0], DISTRICT).await?.seq;
    for number in (0..entered).step_by(50) {
        let again = client.enter(steady.batch(number..number + 1)).await?;
        anyhow::ensure!(again.repeated && again.seq <= last, "the request of row {number} was applied again: {again:?}");
    }
    let now = stage.stream(nodes(DISTRICT, 3)[0], DISTRICT).await?.seq;
    anyhow::ensure!(now == last, "retries moved the stream from batch {last} to {now}");
    Ok(())
}
