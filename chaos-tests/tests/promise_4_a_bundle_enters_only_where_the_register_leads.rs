//! Promise 4: a bundle in hostile hands. Who carries it reads nothing of it and alters nothing; who may read it brings its streams into no
//! site through which the register does not lead them.

use std::path::Path;

use anyhow::{Context as _, ensure};
use kho_chaos_tests::{People, Stage, hostile, play, until};
use kho_storage::ids::OriginId;

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, LONG_KHANH, REGION, centre, district, id, nodes, plan, region};

/// Another child of the centre, which has nothing to do with the first.
const OTHER: u32 = 4;
const ROWS: u64 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn promise_4_a_bundle_enters_only_where_the_register_leads_its_streams() {
    let sites = vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1), district(OTHER, &LONG_KHANH, &[CENTRE], 1)];
    play(plan(sites), async |stage| {
        let (top, child) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0]);
        stage.tree.start().await?;
        let people = People::new("person", BIEN_HOA.commune);
        let client = stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?;
        client.enter(people.batch(0..ROWS)).await?;
        stage.until_equal(DISTRICT, ROWS, &[top, child]).await?;

        // Honest sites make no bundle for a site that may not read it, and none that another than its reader can open.
        let origin = DISTRICT.to_string();
        let for_other = stage.folder("for-other.kho");
        let asked = ["bundle", "export", "--out", text(&for_other), "--for", &OTHER.to_string(), "--origin", &origin];
        refused(stage, CENTRE, &asked, "bundle_off_path").await?;
        ensure!(!for_other.exists(), "a refused export leaves no file");
        let for_centre = stage.folder("for-centre.kho");
        stage
            .run_kho(
                "operator",
                &["bundle", "export", "--out", text(&for_centre), "--from", &format!("{origin}:1")],
                &stage.tree.urls(id(DISTRICT)),
            )
            .await?;
        refused(stage, OTHER, &["bundle", "import", text(&for_centre)], "bundle_for_other_site").await?;

        // A carrier alters it: at its start, in the middle, at its end.
        let bytes = std::fs::read(&for_centre)?;
        let altered = stage.folder("altered.kho");
        for place in [0, 9, 40, bytes.len() / 2, bytes.len() - 1] {
            let mut copy = bytes.clone();
            copy[place] ^= 0x04;
            std::fs::write(&altered, copy)?;
            let code = if !(15..=60).contains(&place) { "bundle_refused" } else { "" };
            refused(stage, CENTRE, &["bundle", "import", text(&altered)], code).await?;
        }

        // A bundle for the author itself, and one for a site above it, are taken.
        let for_author = stage.folder("for-author.kho");
        let asked = ["bundle", "export", "--out", text(&for_author), "--for", &origin, "--from", &format!("{origin}:1")];
        stage.run_kho("operator", &asked, &stage.tree.urls(id(CENTRE))).await?;
        stage.run_kho("operator", &["bundle", "import", text(&for_author)], &stage.tree.urls(id(DISTRICT))).await?;
        stage.run_kho("operator", &["bundle", "import", text(&for_centre)], &stage.tree.urls(id(CENTRE))).await?;

        // Who brought what is told.
        let log = stage.tree.process(top.0, top.1).context("it runs")?.log();
        let told = |what: &str| log.lines().any(|line| line.contains("kho_audit") && line.contains(what) && line.contains("/operator/"));
        for what in ["a bundle was exported", "a bundle was imported", "an order was given"] {
            ensure!(told(what), "the audit log does not tell that {what}");
        }

        // The centre itself turns hostile: with its keys it makes a bundle that no honest node would make.
        stage.tree.process(top.0, top.1).context("it runs")?.stop()?;
        let forged = hostile::bundle_for(&stage.tree.node_dir(top.0, top.1), OriginId(DISTRICT), id(OTHER))?;
        std::fs::write(&for_other, forged)?;
        refused(stage, OTHER, &["bundle", "import", text(&for_other)], "bundle_off_path").await?;
        let held = stage.status(nodes(OTHER, 1)[0]).await?.streams;
        ensure!(held.iter().all(|stream| stream.origin != DISTRICT), "nothing of another district came in: {held:?}");
        Ok(())
    })
    .await;
}

/// What a bundle or a former register brought to a site has no place there once the register leads it elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn promise_4_an_origin_that_the_register_leads_elsewhere_is_taken_out_by_an_order_that_the_audit_log_tells() {
    play(plan(vec![centre(1), region(), district(DISTRICT, &BIEN_HOA, &[REGION], 1)]), async |stage| {
        let (top, former, child) = (nodes(CENTRE, 1)[0], nodes(REGION, 1)[0], nodes(DISTRICT, 1)[0]);
        stage.tree.start().await?;
        let people = People::new("person", BIEN_HOA.commune);
        let client = stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?;
        client.enter(people.batch(0..ROWS)).await?;
        stage.until_equal(DISTRICT, ROWS, &[top, former, child]).await?;
        let origin = DISTRICT.to_string();
        let order = ["origin", "discard", &origin, "--reason", "the-district-changed-its-parent"];
        refused(stage, REGION, &order, "origin_led").await?;

        stage.tree.change_register(|register| {
            register.sites.iter_mut().filter(|entry| entry.site == id(DISTRICT)).for_each(|entry| entry.parents = vec![id(CENTRE)]);
        })?;
        for site in [CENTRE, REGION, DISTRICT] {
            stage.tree.operator(id(site))?.apply_register(&stage.tree.register()?).await?;
        }
        client.enter(people.batch(ROWS..ROWS + 1)).await?;
        stage.until_equal(DISTRICT, ROWS + 1, &[top, child]).await?;

        let urls = stage.tree.urls(id(REGION));
        let shown = stage.run_kho("operator", &[&order[..], &["--dry-run"]].concat(), &urls).await?;
        ensure!(shown.contains(&format!("{ROWS} rows")) && shown.contains("would be taken out"), "{shown}");
        ensure!(stage.stream(former, DISTRICT).await?.rows == ROWS, "a dry run takes nothing out");
        let done = stage.run_kho("operator", &order, &urls).await?;
        ensure!(done.contains(&format!("{ROWS} rows")) && done.contains("were taken out"), "{done}");
        until("nothing of it is left", async || {
            let gone = stage.status(former).await?.streams.iter().all(|stream| stream.origin != DISTRICT);
            Ok(gone.then_some(()))
        })
        .await?;
        refused(stage, REGION, &order, "unknown_origin").await?;
        let log = stage.tree.process(former.0, former.1).context("it runs")?.log();
        let told = |dry_run: bool| {
            let parts = [
                "kho_audit",
                "an origin was taken out",
                "/operator/",
                "the-district-changed-its-parent",
                &format!("\"dry_run\":{dry_run}"),
            ];
            log.lines().any(|line| parts.iter().all(|part| line.contains(part)))
        };
        ensure!(told(true) && told(false), "the audit log tells who ordered it and why");

        client.enter(people.batch(ROWS + 1..ROWS + 2)).await?;
        stage.until_equal(DISTRICT, ROWS + 2, &[top, child]).await?;
        stage.verify(&[top, child]).await
    })
    .await;
}

/// Runs the command line at a site; it must be refused with this code, or with any when that is empty.
async fn refused(stage: &Stage, site: u32, arguments: &[&str], code: &str) -> anyhow::Result<()> {
    let output = stage.kho("operator", arguments, &stage.tree.urls(id(site))).output().await?;
    let printed = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(1), "`kho {}` ended with {}: {printed}", arguments.join(" "), output.status);
    ensure!(printed.contains(code), "`kho {}` was refused, but not with {code}: {printed}", arguments.join(" "));
    Ok(())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the scene's folder has a UTF-8 name")
}
