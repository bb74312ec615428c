//! Builds of two levels side by side: in a site of three and across tiers, upgraded node by node under load, rolled back, and raised.
//!
//! One binary plays both builds: `KHO_TEST_LEVEL=2` has it offer the level of tests too.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail, ensure};
use kho_chaos_tests::{
    People, Stage, SteadyEntry,
    entry::EntryRate,
    place::{Place, place},
    play, until,
};
use kho_node::{
    api::{HeldBack, RowAnswer, UpgradeReport},
    entry::UnnamedColumns,
};
use kho_ops::client::{BatchUpload, CallError};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, LONG_KHANH, REGION, centre, district, id, nodes, plan, region};

/// A child of the centre that is never upgraded.
const OLDER: u32 = 4;
/// Persons whose column of the test level is filled.
const NOTED: u64 = 40;
const PAUSE: Duration = Duration::from_millis(20);
/// How khod ends when it does not support the level of its site.
const LEVEL_NOT_SUPPORTED: i32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Build {
    /// Supports level 1.
    Older,
    /// Supports levels 1 and 2.
    Newer,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_upgraded_node_by_node_under_load_rolled_back_then_raised_and_an_older_build_never_starts_again() {
    let sites = vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 3), district(OLDER, &LONG_KHANH, &[CENTRE], 1)];
    play(plan(sites), async |stage| {
        stage.tree.start().await?;
        let entry = [steady(stage, DISTRICT, BIEN_HOA.commune)?, steady(stage, OLDER, LONG_KHANH.commune)?];
        until("nobody holds the tree back", async || Ok(status(stage, CENTRE).await?.1.held_back.is_empty().then_some(()))).await?;

        until("every build is named", async || every_build_is_named(stage).await.map(Some)).await?;

        // In a site of three, the leader last.
        install(stage, place(CENTRE, 1), Build::Newer).await?;
        let leader = stage.tree.leader(id(DISTRICT)).await?;
        let (mut followers, last): (Vec<Place>, Vec<Place>) = nodes(DISTRICT, 3).into_iter().partition(|(_, node)| *node != leader);
        followers.extend(last);
        for (done, at) in followers.iter().enumerate() {
            ensure_held_back_by(stage, &followers[done..]).await?;
            refused(stage, DISTRICT, &["upgrade", "raise", "--to", "2"], "").await?;
            refuses_the_new_command(stage, DISTRICT).await?;
            install(stage, *at, Build::Newer).await?;
        }

        // Rolled back before anything was raised, and upgraded again: nothing is lost by it.
        install(stage, followers[0], Build::Older).await?;
        ensure_held_back_by(stage, &followers[..1]).await?;
        install(stage, followers[0], Build::Newer).await?;

        // From the root down: a site is not raised above its parent.
        let too_high = &["upgrade", "raise"];
        until("the raise is refused", async || {
            Ok(refused(stage, DISTRICT, too_high, "a site is never raised above its parent").await.ok())
        })
        .await?;
        let said = run(stage, CENTRE, &["upgrade", "raise", "--dry-run"]).await?;
        ensure!(said.contains("nothing was changed") && said.contains("never lowered"), "{said}");
        ensure!(status(stage, CENTRE).await?.1.level == 1, "a dry run raised the level");
        run(stage, CENTRE, &["upgrade", "raise"]).await?;
        // An older child goes on below a parent that was raised, and is named there.
        until("the centre names its older child", async || {
            let (code, report) = status(stage, CENTRE).await?;
            let older = report.held_back.iter().any(|held| matches!(held, HeldBack::ChildOlder { site: OLDER, .. }));
            Ok((older && code == 1).then_some(()))
        })
        .await?;
        let before = stage.stream(place(CENTRE, 1), OLDER).await?.rows;
        stage.until_rows(place(CENTRE, 1), OLDER, before + 20).await?;
        until("the district is raised", async || Ok(run(stage, DISTRICT, &["upgrade", "raise"]).await.ok())).await?;
        takes_the_new_command(stage, DISTRICT).await?;
        takes_the_new_command(stage, CENTRE).await?;
        refuses_the_new_command(stage, OLDER).await?;
        let before = stage.stream(place(CENTRE, 1), DISTRICT).await?.rows;
        stage.until_rows(place(CENTRE, 1), DISTRICT, before + 20).await?;

        // Now there is no way back.
        let old = followers[0];
        set_build(stage, old, Build::Older)?;
        stage.tree.start_node(old.0, old.1)?;
        let ended = until("the older build ends", async || Ok(stage.tree.process(old.0, old.1).context("it was started")?.ended())).await?;
        assert_eq!(ended.code(), Some(LEVEL_NOT_SUPPORTED));
        let log = stage.tree.process(old.0, old.1).context("it was started")?.log_tail();
        ensure!(log.contains("works at level 2") && log.contains("supports 1:"), "{log}");
        install(stage, old, Build::Newer).await?;

        for (entry, site) in entry.into_iter().zip([DISTRICT, OLDER]) {
            let (_, rows) = entry.end().await?;
            let own = stage.places().into_iter().filter(|(at, _)| at.0 == site);
            let everywhere: Vec<Place> = own.chain([place(CENTRE, 1)]).collect();
            stage.until_equal(site, rows, &everywhere).await?;
        }
        stage.verify(&stage.places()).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_a_later_level_is_refused_until_the_tree_was_raised_and_is_then_the_same_at_every_tier() {
    play(plan(vec![centre(1), region(), district(DISTRICT, &BIEN_HOA, &[REGION], 3)]), async |stage| {
        stage.tree.start().await?;
        let entry = steady(stage, DISTRICT, BIEN_HOA.commune)?;
        let leader = stage.tree.leader(id(DISTRICT)).await?;
        let (mut order, last): (Vec<Place>, Vec<Place>) = nodes(DISTRICT, 3).into_iter().partition(|(_, node)| *node != leader);
        order.extend(last);

        // The lowest site first and its leader last; all of it rolled back before anything is raised; then once more, and the sites above.
        for build in [Build::Newer, Build::Older, Build::Newer] {
            for at in &order {
                install(stage, *at, build).await?;
                refuses_the_new_column(stage, *at).await?;
            }
        }
        for site in [REGION, CENTRE] {
            install(stage, place(site, 1), Build::Newer).await?;
        }
        let noted = People::new("noted", BIEN_HOA.commune);
        let file = noted_file(stage, &noted)?;
        let file = file.to_str().context("a path of ours")?;
        let early = import(stage, file).await.map(|said| format!("it was imported: {said}")).map_err(|error| error.to_string());
        ensure!(early.as_ref().is_err_and(|why| why.contains("exists from level 2 on")), "{early:?}");
        stage.tree.change_register(|register| register.requires.push("test_feature".into()))?;
        let register = stage.tree.register()?;
        let early = stage.tree.operator(id(CENTRE))?.apply_register(&register).await;
        ensure!(early.as_ref().is_err_and(|error| error.to_string().contains("exists from level 2 on")), "{early:?}");

        // From the root down. Whatever the sites above can do, the district's column waits for the district.
        for site in [CENTRE, REGION, DISTRICT] {
            refuses_the_new_column(stage, order[0]).await?;
            until(&format!("site {site} is raised"), async || Ok(run(stage, site, &["upgrade", "raise"]).await.ok())).await?;
        }
        until("the column is taken", async || Ok(import(stage, file).await.ok())).await?;
        stage.tree.operator(id(CENTRE))?.apply_register(&register).await?;

        let (_, rows) = entry.end().await?;
        let everywhere = stage.places();
        stage.until_equal(DISTRICT, rows + NOTED, &everywhere).await?;
        for number in [0, NOTED - 1] {
            ensure_note(stage, &noted.key(number), Some(&note(number))).await?;
        }
        clear_note(stage, &noted.key(0)).await?;
        stage.until_equal(DISTRICT, rows + NOTED, &everywhere).await?;
        ensure_note(stage, &noted.key(0), None).await?;
        ensure_note(stage, &noted.key(1), Some(&note(1))).await?;
        let version = stage.status(place(CENTRE, 1)).await?.register_version;
        for at in &everywhere {
            let what = format!("node {} of site {} has the register that requires the test feature", at.1, at.0);
            until(&what, async || Ok((stage.status(*at).await?.register_version == version).then_some(()))).await?;
        }
        stage.verify(&everywhere).await
    })
    .await;
}

fn note(number: u64) -> String {
    format!("ghi chú {number}")
}

/// A file of persons whose column of the test level is filled, as `kho import` takes it.
fn noted_file(stage: &Stage, people: &People) -> anyhow::Result<PathBuf> {
    let csv = people.csv(0..NOTED);
    let (header, rows) = csv.split_once('\n').context("people have a header")?;
    let rows = rows.lines().zip(0..).map(|(row, number)| format!("{row},{}\n", note(number)));
    let path = stage.folder("noted").join("person.csv");
    std::fs::create_dir_all(stage.folder("noted"))?;
    std::fs::write(&path, format!("{header},test_note\n{}", rows.collect::<String>()))?;
    Ok(path)
}

async fn import(stage: &Stage, file: &str) -> anyhow::Result<String> {
    stage.run_kho(&format!("client-{DISTRICT}"), &["import", file, "--json"], &stage.tree.urls(id(DISTRICT))).await
}

/// A batch that sets, or clears, the column of the test level of one person.
fn note_batch(request_key: &str, person: &str, text: &str) -> BatchUpload {
    BatchUpload {
        request_key: request_key.into(),
        table: Some("person".into()),
        content_type: "text/csv",
        unnamed: UnnamedColumns::Stay,
        body: format!("person_id,test_note\n{person},{text}\n").into(),
    }
}

/// A node of a site that was not raised says why, whatever its own build supports.
async fn refuses_the_new_column(stage: &Stage, (site, node): Place) -> anyhow::Result<()> {
    let client = stage.tree.client(&[stage.tree.url(site, node)], &format!("client-{site}"))?;
    match client.enter(note_batch("too-early", "anybody", "too early")).await {
        Err(CallError::Refused { problem, .. }) if problem.errors.iter().any(|error| error.code == "column_above_level") => Ok(()),
        other => bail!("node {node} of site {site} was asked too early: {other:?}"),
    }
}

async fn clear_note(stage: &Stage, person: &str) -> anyhow::Result<()> {
    let client = stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?;
    client.enter(note_batch("cleared", person, "")).await?;
    Ok(())
}

/// Every tier reads this note of a person, by `kho query`.
async fn ensure_note(stage: &Stage, person: &str, wanted: Option<&str>) -> anyhow::Result<()> {
    for site in [DISTRICT, REGION, CENTRE] {
        let question = ["query", "row", "person", person, "--json"];
        let answer = stage.run_kho(&format!("client-{site}"), &question, &stage.tree.urls(id(site))).await?;
        let answer: RowAnswer = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        let found: Vec<Option<&str>> = answer.found.iter().map(|row| row.columns.get("test_note").map(String::as_str)).collect();
        ensure!(found == [wanted], "site {site} reads {found:?} of {person}, not {wanted:?}");
    }
    Ok(())
}

/// Enters rows at a site all the time, through whichever node answers.
fn steady(stage: &Stage, site: u32, commune: &'static str) -> anyhow::Result<SteadyEntry> {
    let client = stage.tree.client(&stage.tree.urls(id(site)), &format!("client-{site}"))?;
    Ok(SteadyEntry::start(client, site, People::new(format!("steady-{site}"), commune), EntryRate::until_acknowledged(PAUSE)))
}

/// Stops a node and has it start with this build.
fn set_build(stage: &mut Stage, (site, node): Place, build: Build) -> anyhow::Result<()> {
    let process = stage.tree.process(site, node).context("the node was never started")?;
    if process.runs() {
        process.stop()?;
    }
    stage.tree.set_variable(site, node, "KHO_TEST_LEVEL", if build == Build::Newer { "2" } else { "" });
    Ok(())
}

async fn install(stage: &mut Stage, at: Place, build: Build) -> anyhow::Result<()> {
    set_build(stage, at, build)?;
    stage.tree.start_node(at.0, at.1)?;
    stage.until_ready(at).await
}

/// The exit code of `kho upgrade status --json`, and what it says.
async fn status(stage: &Stage, site: u32) -> anyhow::Result<(i32, UpgradeReport)> {
    let output = stage.kho("operator", ["upgrade", "status", "--json"], &stage.tree.urls(id(site))).output().await?;
    let report = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} {}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code().context("it was killed")?, report))
}

/// Members, parent and children are shown with the version of their builds.
async fn every_build_is_named(stage: &Stage) -> anyhow::Result<()> {
    let this = kho_storage::build::Build::THIS.to_string();
    let (above, below) = (status(stage, CENTRE).await?.1, status(stage, DISTRICT).await?.1);
    let of_members = above.members.iter().chain(&below.members).map(|member| member.build.clone());
    let mut builds: Vec<_> = of_members.chain(above.children.iter().map(|child| child.build.clone())).collect();
    builds.push(below.parent.map(|parent| parent.build));
    ensure!(builds.len() == 7 && builds.iter().all(|build| build.as_ref() == Some(&this)), "{builds:?}");
    Ok(())
}

async fn run(stage: &Stage, site: u32, arguments: &[&str]) -> anyhow::Result<String> {
    stage.run_kho("operator", arguments, &stage.tree.urls(id(site))).await
}

async fn refused(stage: &Stage, site: u32, arguments: &[&str], why: &str) -> anyhow::Result<()> {
    match run(stage, site, arguments).await {
        Ok(said) => bail!("`kho {}` was not refused: {said}", arguments.join(" ")),
        Err(error) => {
            ensure!(error.to_string().contains(why), "{error}");
            Ok(())
        }
    }
}

/// The district is held back by these nodes, whose builds are older, and the command says so by its exit code.
async fn ensure_held_back_by(stage: &Stage, older: &[Place]) -> anyhow::Result<()> {
    let mut wanted: Vec<u64> = older.iter().map(|(_, node)| node.0).collect();
    wanted.sort_unstable();
    let mut last = None;
    until("the older nodes are named", async || {
        let (code, report) = status(stage, DISTRICT).await?;
        let named = |held: &HeldBack| if let HeldBack::NodeOlder { node, .. } = held { Some(*node) } else { None };
        let named: Vec<u64> = report.held_back.iter().filter_map(named).collect();
        let is_right = code == 1 && named == wanted;
        last = Some(report);
        Ok(is_right.then_some(()))
    })
    .await
    .with_context(|| format!("{wanted:?} are older: {last:?}"))
}

async fn refuses_the_new_command(stage: &Stage, site: u32) -> anyhow::Result<()> {
    match stage.tree.operator(id(site))?.note_test("too early").await {
        Ok(done) => bail!("a command above the level of site {site} was taken: {done:?}"),
        Err(error) => {
            ensure!(error.to_string().contains("above_level"), "{error}");
            Ok(())
        }
    }
}

/// The new command reaches every node of the site.
async fn takes_the_new_command(stage: &Stage, site: u32) -> anyhow::Result<()> {
    let operator = stage.tree.operator(id(site))?;
    until("the new command is taken", async || Ok(operator.note_test("raised").await.ok())).await?;
    for node in stage.tree.nodes(id(site)) {
        let client = stage.tree.client(&[stage.tree.url(id(site), node)], "operator")?;
        until(&format!("node {node} of site {site} applied it"), async || {
            Ok((client.upgrade_status().await?.test_note.as_deref() == Some("raised")).then_some(()))
        })
        .await?;
    }
    Ok(())
}
