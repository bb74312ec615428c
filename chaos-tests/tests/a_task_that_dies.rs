//! A task of khod that panics ends its node, which says which one it was; the service manager starts it again, and nothing is lost.

use anyhow::{Context as _, ensure};
use kho_chaos_tests::{People, Stage, place::place, play, until};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, centre, district, id, plan};

const ROWS: u64 = 200;
/// How khod ends when it failed.
const FAILED: i32 = 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_which_a_task_or_a_job_panics_ends_with_code_1_and_names_it() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let (parent, child) = (place(CENTRE, 1), place(DISTRICT, 1));
        stage.tree.start().await?;
        // What is entered now is loaded for the parent once it runs again.
        stage.kill(parent)?;
        let people = People::new("person", BIEN_HOA.commune);
        stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?.enter(people.batch(0..ROWS)).await?;
        ends_naming(stage, "maintenance").await?;
        stage.tree.start_node(parent.0, parent.1)?;
        stage.until_ready(parent).await?;
        ends_naming(stage, "connection to the parent").await?;
        ends_naming(stage, "loads a segment").await?;

        start_with_panic_in(stage, "")?;
        stage.until_ready(child).await?;
        stage.until_equal(DISTRICT, ROWS, &[parent, child]).await
    })
    .await;
}

/// Starts the district's node, of which `task` panics, and waits for its end.
async fn ends_naming(stage: &mut Stage, task: &str) -> anyhow::Result<()> {
    start_with_panic_in(stage, task)?;
    let (site, node) = place(DISTRICT, 1);
    let ended = until(&format!("the node ends with its task `{task}`"), async || {
        Ok(stage.tree.process(site, node).context("it was started")?.ended())
    })
    .await?;
    ensure!(ended.code() == Some(FAILED), "it ended with {ended}");
    let log = stage.tree.process(site, node).context("it was started")?.log_tail();
    ensure!(log.contains(&format!("the task `{task}` panicked: a test had it panic")), "{log}");
    Ok(())
}

fn start_with_panic_in(stage: &mut Stage, task: &str) -> anyhow::Result<()> {
    let (site, node) = place(DISTRICT, 1);
    let process = stage.tree.process(site, node).context("it was started")?;
    if process.runs() {
        process.stop()?;
    }
    stage.tree.set_variable(site, node, "KHO_TEST_PANIC", task);
    stage.tree.start_node(site, node)
}
