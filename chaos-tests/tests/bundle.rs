//! A bundle carried by hand brings a parent up to date while the link is down; a damaged one changes nothing.

use std::path::Path;

use kho_chaos_tests::{People, Stage, play};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, centre, district, id, link_before, nodes, plan};

const BEFORE: u64 = 1_000;
const BATCHES: u64 = 20;
const BATCH_ROWS: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn promise_7_a_bundle_brings_the_parent_up_to_date_and_a_damaged_one_changes_nothing() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let (parent, child) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0]);
        let link = link_before(stage, parent)?;
        stage.tree.start().await?;
        let people = People::new("person", BIEN_HOA.commune);
        let client = stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?;
        client.enter(people.batch(0..BEFORE)).await?;
        stage.until_equal(DISTRICT, BEFORE, &[parent, child]).await?;

        link.cut();
        for batch in 0..BATCHES {
            let first = BEFORE + batch * BATCH_ROWS;
            client.enter(people.batch(first..first + BATCH_ROWS)).await?;
        }
        let file = stage.folder("district.kho");
        stage.run_kho("operator", &["bundle", "export", "--out", text(&file)], &stage.tree.urls(id(DISTRICT))).await?;

        let before = stage.stream(parent, DISTRICT).await?;
        let bytes = std::fs::read(&file)?;
        for place in [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 40, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            import_refused(stage, &damaged, &format!("byte {place} of {} was flipped", bytes.len())).await?;
        }
        import_refused(stage, &bytes[..bytes.len() / 2], "it was cut short").await?;
        let after = stage.stream(parent, DISTRICT).await?;
        assert_eq!((after.seq, after.rows, &after.digest), (before.seq, before.rows, &before.digest), "a refused bundle changed something");

        for _ in 0..2 {
            stage.run_kho("operator", &["bundle", "import", text(&file)], &stage.tree.urls(id(CENTRE))).await?;
        }
        let rows = BEFORE + BATCHES * BATCH_ROWS;
        stage.until_equal(DISTRICT, rows, &[parent, child]).await?;
        link.resume();
        client.enter(people.batch(rows..rows + 1)).await?;
        stage.until_equal(DISTRICT, rows + 1, &[parent, child]).await?;
        stage.verify(&[parent, child]).await
    })
    .await;
}

async fn import_refused(stage: &Stage, bytes: &[u8], why: &str) -> anyhow::Result<()> {
    let file = stage.folder("damaged.kho");
    std::fs::write(&file, bytes)?;
    let output = stage.kho("operator", ["bundle", "import", text(&file)], &stage.tree.urls(id(CENTRE))).output().await?;
    let printed = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.code() == Some(1), "{why}, and the import ended with {}: {printed}", output.status);
    Ok(())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the scene's folder has a UTF-8 name")
}
