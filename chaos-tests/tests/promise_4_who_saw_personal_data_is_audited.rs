//! Promise 4: who read a row, who had one named and who was refused stands in the audit log. Rows stand in it by hashes under a key of the
//! node's own: whoever has the log alone learns nobody's number.

use anyhow::{Context as _, ensure};
use kho_chaos_tests::{People, Stage, place::place, play};
use kho_node::api::ComparedNode;
use kho_ops::client::CallError;
use kho_storage::ids::OriginId;

use crate::trees::{BIEN_HOA, DISTRICT, district, id, plan};

const ROWS: u64 = 20;
const READ: u64 = 3;
/// Asked for by somebody who may not read rows.
const REFUSED: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn promise_4_rows_read_rows_named_and_refusals_are_audited_and_no_key_stands_in_the_log() {
    play(plan(vec![district(DISTRICT, &BIEN_HOA, &[], 1)]), async |stage| {
        stage.tree.start().await?;
        let people = People::new("person", BIEN_HOA.commune);
        let (reader, operator) =
            (stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?, stage.tree.operator(id(DISTRICT))?);
        reader.enter(people.batch(0..ROWS)).await?;

        stage.ensure_person(DISTRICT, &people, READ).await?;
        let not_held = people.key(ROWS);
        ensure!(reader.row("person", &not_held, None).await?.found.is_empty(), "nobody entered it");
        let refused = operator.row("person", &people.key(REFUSED), None).await.map(drop);
        ensure!(is_forbidden(&refused), "{refused:?}");

        // A comparison names a row by a hash; who may read rows has it named.
        let (origin, node) = (OriginId(DISTRICT), place(DISTRICT, 1).1);
        let tokens = operator.begin_comparison(origin, vec![ComparedNode { site: DISTRICT, node: node.0 }]).await?;
        let token = tokens.first().context("one node was named")?;
        let bucket = operator.buckets(origin, token).await?.into_iter().find(|bucket| bucket.rows > 0).context("rows are held")?;
        let compared = operator.bucket_rows(origin, bucket.bucket, token).await?;
        let hash = &compared.first().context("it counts rows")?.key_hash;
        let named = reader.row_of_hash(origin, hash, token).await?;
        let refused = operator.row_of_hash(origin, hash, token).await.map(drop);
        ensure!(is_forbidden(&refused), "{refused:?}");

        let (site, node) = place(DISTRICT, 1);
        let log = stage.tree.process(site, node).context("it runs")?.log();
        let audit: Vec<&str> = log.lines().filter(|line| line.contains("kho_audit")).collect();
        let count = |parts: &[&str]| audit.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count();
        for key in [people.key(READ), not_held] {
            let hash = audit_hash(stage, "person", &key).await?;
            ensure!(count(&["a row was read", &hash, "/client/"]) == 1, "who read {key}: {audit:#?}");
        }
        let hash = audit_hash(stage, &named.table, &named.key).await?;
        ensure!(count(&["a row was named", &hash, "/client/"]) == 1, "who had {} named: {audit:#?}", named.key);
        ensure!(count(&["refused", "ReadRows", "/operator/"]) == 2, "who was refused: {audit:#?}");
        for number in 0..=ROWS {
            ensure!(!log.contains(&people.key(number)), "the log names person {}", people.key(number));
        }
        Ok(())
    })
    .await;
}

fn is_forbidden(answer: &Result<(), CallError>) -> bool {
    matches!(answer, Err(CallError::Refused { status: 403, problem, .. }) if problem.code == "forbidden")
}

/// The hash by which the audit log of the district's node names a row.
async fn audit_hash(stage: &Stage, table: &str, key: &str) -> anyhow::Result<String> {
    let (site, node) = place(DISTRICT, 1);
    let data = stage.tree.node_dir(site, node).join("data");
    let hash = stage.run_kho("operator", &["audit", "hash", data.to_str().context("text")?, table, key], &[]).await?;
    Ok(hash.trim().to_owned())
}
