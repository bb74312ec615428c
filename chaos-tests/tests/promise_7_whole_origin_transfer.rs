//! Promise 7: a child that forgot what its parent acknowledged, and a parent that then lost its disk: the whole origin travels, in
//! pieces, while entry goes on, through a kill at either end.

use std::time::Duration;

use kho_chaos_tests::{People, Stage, SteadyEntry, entry::EntryRate, place::Place, play, until};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, centre, district, id, nodes, plan};

/// Several pieces of 4 MiB.
const IMPORTED: u64 = 240_000;

#[tokio::test(flavor = "multi_thread")]
async fn promise_7_whole_origin_transfer() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let (parent, child) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0]);
        stage.configure(child, "idle_head_seconds = 5\n", "idle_head_seconds = 5\nstream_keep_mib = 0\n")?;
        stage.tree.start().await?;
        let imported = People::new("imported", BIEN_HOA.commune);
        let import = stage.import(DISTRICT, &imported, IMPORTED, 5_000, 4)?;
        assert_eq!(import.rows().await?, IMPORTED);
        stage.until_equal(DISTRICT, IMPORTED, &[parent, child]).await?;
        until("the child has forgotten what its parent acknowledged", async || {
            let stream = stage.stream(child, DISTRICT).await?;
            Ok((stream.kept_batches < stream.seq / 2).then_some(()))
        })
        .await?;

        let client = stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?;
        let steady = SteadyEntry::start(
            client,
            DISTRICT,
            People::new("steady", BIEN_HOA.commune),
            EntryRate::until_acknowledged(Duration::from_millis(50)),
        );
        stage.kill(parent)?;
        stage.lose_disk(parent)?;
        stage.tree.take_data_folder(parent.0, parent.1)?;
        stage.tree.start_node(parent.0, parent.1)?;
        stage.tree.bootstrap_site(parent.0).await?;
        assert_eq!(stage.status(parent).await?.streams.len(), 0, "the parent has lost everything");

        until_transferring(stage, parent).await?;
        stage.kill(parent)?;
        stage.tree.start_node(parent.0, parent.1)?;
        stage.tree.wait_for_answer(parent.0, parent.1).await?;
        // The transfer may have been decided by the killed process' last write; then there is nothing more to disturb.
        if stage.stream(parent, DISTRICT).await.is_ok_and(|stream| stream.state.is_transferring()) {
            stage.kill(child)?;
            stage.tree.start_node(child.0, child.1)?;
            println!("both ends were killed in the middle of the transfer");
        }

        stage.until_rows(parent, DISTRICT, IMPORTED).await?;
        let (steady, entered) = steady.end().await?;
        stage.until_equal(DISTRICT, IMPORTED + entered, &[parent, child]).await?;
        stage.ensure_person(DISTRICT, &steady, entered - 1).await?;
        stage.verify(&[parent, child]).await
    })
    .await;
}

async fn until_transferring(stage: &Stage, parent: Place) -> anyhow::Result<()> {
    until("the whole origin is being transferred", async || {
        let stream = stage.stream(parent, DISTRICT).await?;
        anyhow::ensure!(stream.rows == 0, "the transfer was over before it was seen; this scene needs more rows");
        Ok((stream.state.is_transferring()).then_some(()))
    })
    .await
}
