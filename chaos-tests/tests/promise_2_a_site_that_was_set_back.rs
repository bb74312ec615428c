//! Promise 2: a machine that is set back to an older image acknowledges nothing that cannot go up, from the moment its parent has shown what
//! it holds. A bundle of the parent brings back what was lost; where the site had written past it, entry stays closed.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use kho_chaos_tests::{People, Stage, place::Place, play, until};
use kho_node::api::{AlarmKind, Finding, Health, SiteSetBack};
use kho_ops::client::CallError;

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, centre, district, id, nodes, plan};

/// In this time an idle site of these trees signs two heads.
const IDLE_HEADS: Duration = Duration::from_secs(11);

/// Enters one batch of one person at the district; `Err` with the code of the refusal.
pub async fn enter(stage: &Stage, people: &People, number: u64) -> Result<(), String> {
    enter_at(stage, &stage.tree.urls(id(DISTRICT)), people, number).await
}

/// The same through these nodes of the district alone.
pub async fn enter_at(stage: &Stage, urls: &[String], people: &People, number: u64) -> Result<(), String> {
    let client = stage.tree.client(urls, &format!("client-{DISTRICT}")).map_err(|error| error.to_string())?;
    match client.enter(people.batch(number..number + 1)).await {
        Ok(_) => Ok(()),
        Err(CallError::Refused { status, problem, .. }) => Err(format!("{status} {}", problem.code)),
        Err(error) => Err(error.to_string()),
    }
}

/// Copies a stopped node's data folder, or puts such a copy in its place: what a machine image does.
fn image(stage: &Stage, at: Place) -> PathBuf {
    stage.folder(&format!("image-{}-{}", at.0, at.1))
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(copied.success(), "{} can't be copied", from.display());
    Ok(())
}

pub fn take_image(stage: &mut Stage, at: Place) -> anyhow::Result<()> {
    stage.kill(at)?;
    copy(&stage.tree.node_dir(at.0, at.1).join("data"), &image(stage, at))?;
    stage.tree.start_node(at.0, at.1)
}

pub fn set_back(stage: &mut Stage, at: Place) -> anyhow::Result<()> {
    stage.kill(at)?;
    put_image(stage, at)?;
    stage.tree.start_node(at.0, at.1)
}

/// Puts the image in the place of a killed node's data folder.
pub fn put_image(stage: &mut Stage, at: Place) -> anyhow::Result<()> {
    stage.lose_disk(at)?;
    copy(&image(stage, at), &stage.tree.node_dir(at.0, at.1).join("data"))
}

/// Starts the tree and enters two persons, until all of `places` hold them.
pub async fn start_with_two_persons(stage: &mut Stage, places: &[Place]) -> anyhow::Result<People> {
    stage.tree.start().await?;
    let people = People::new("person", BIEN_HOA.commune);
    for number in 0..2 {
        enter(stage, &people, number).await.map_err(anyhow::Error::msg)?;
    }
    stage.until_equal(DISTRICT, 2, places).await?;
    Ok(people)
}

/// Waits until the node says that its site was set back.
async fn until_told(stage: &Stage, at: Place) -> anyhow::Result<SiteSetBack> {
    let told = until("the site has been told that it was set back", async || {
        let Ok(status) = stage.status(at).await else { return Ok(None) };
        Ok(status.findings.iter().any(|finding| matches!(finding, Finding::SiteSetBack { origin: DISTRICT, .. })).then_some(status.health))
    })
    .await?;
    ensure!(matches!(told, Health::FindingStands { finding: Finding::SiteSetBack { .. } }), "{told:?}");
    stage.tree.operator(id(DISTRICT))?.set_backs().await?.into_iter().next().context("what was found is listed")
}

/// `kho fork list`, to which the alarm sends, says what was shown and which command brings it back.
async fn ensure_told_what_to_do(stage: &Stage, told: &SiteSetBack) -> anyhow::Result<()> {
    let output = stage.kho("operator", ["fork", "list"], &stage.tree.urls(id(DISTRICT))).output().await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(1), "it ended with {}: {said}", output.status);
    let export = format!("kho bundle export --for {DISTRICT} --origin {DISTRICT} --from {DISTRICT}:{}", told.agreed + 1);
    for part in
        ["was set back", "entry is closed", "nothing was acknowledged here that the shown history lacks", &export, "kho bundle import"]
    {
        ensure!(said.contains(part), "`kho fork list` does not say {part:?}: {said}");
    }
    ensure!(!said.contains("nothing was refused"), "{said}");
    Ok(())
}

/// Who imports a file is told in words, and the command ends with 1.
async fn ensure_import_refused(stage: &Stage, people: &People) -> anyhow::Result<()> {
    let file = people.write_csv(&stage.folder("after"), 30..32)?;
    let arguments = ["import", file.to_str().context("text")?];
    let output = stage.kho(&format!("client-{DISTRICT}"), arguments, &stage.tree.urls(id(DISTRICT))).output().await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && said.contains("set back"), "it ended with {}: {said}", output.status);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_a_site_that_was_set_back_takes_nothing_until_it_has_caught_up_with_its_parent() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let (parent, child) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0]);
        let people = start_with_two_persons(stage, &[parent, child]).await?;
        until("the child has recorded what its parent holds", async || {
            Ok((stage.stream(child, DISTRICT).await?.lag_batches == Some(0)).then_some(()))
        })
        .await?;
        take_image(stage, child)?;
        stage.until_ready(child).await?;
        for number in 2..4 {
            enter(stage, &people, number).await.map_err(anyhow::Error::msg)?;
        }
        stage.until_equal(DISTRICT, 4, &[parent, child]).await?;

        set_back(stage, child)?;
        stage.until_ready(child).await?;
        let told = until_told(stage, child).await?;
        let told_at = Instant::now();
        ensure!(told.acknowledged_from.is_none() && told.shown_seq > told.seq, "nothing was entered before the word came: {told:?}");
        ensure_told_what_to_do(stage, &told).await?;
        ensure_import_refused(stage, &people).await?;
        ensure!(enter(stage, &people, 9).await == Err("409 site_set_back".into()), "entry is closed");
        // It survives a restart.
        stage.kill(child)?;
        stage.tree.start_node(child.0, child.1)?;
        stage.until_ready(child).await?;
        until_told(stage, child).await?;
        ensure!(enter(stage, &people, 9).await == Err("409 site_set_back".into()), "entry is closed after a restart");
        let is_told = |kind: &AlarmKind| matches!(kind, AlarmKind::ChildSetBack { child: DISTRICT, .. });
        until("the parent says so too", async || {
            Ok(stage.status(parent).await?.alarms.iter().any(|alarm| is_told(&alarm.kind)).then_some(()))
        })
        .await?;

        // It lacks what it wrote: it signs no head that says that nothing followed.
        tokio::time::sleep(IDLE_HEADS.saturating_sub(told_at.elapsed())).await;
        let age_seconds = stage.stream(child, DISTRICT).await?.watermark_age_seconds;
        ensure!(age_seconds + 2 >= IDLE_HEADS.as_secs(), "it says that it is complete as of {age_seconds} s ago");

        let file = stage.folder("back.kho");
        let (path, from) = (file.to_str().context("text")?, format!("{DISTRICT}:{}", told.agreed + 1));
        stage
            .run_kho(
                "operator",
                &["bundle", "export", "--for", &DISTRICT.to_string(), "--origin", &DISTRICT.to_string(), "--from", &from, "--out", path],
                &stage.tree.urls(id(CENTRE)),
            )
            .await?;
        stage.run_kho("operator", &["bundle", "import", path], &stage.tree.urls(id(DISTRICT))).await?;
        until("entry is open again", async || Ok(enter(stage, &people, 9).await.ok())).await?;
        // A client that never got its answer sends again what was lost and came back: it is not entered twice.
        enter(stage, &people, 3).await.map_err(anyhow::Error::msg)?;
        stage.until_equal(DISTRICT, 5, &[parent, child]).await?;
        until("the parent's alarm is over", async || {
            Ok((!stage.status(parent).await?.alarms.iter().any(|alarm| is_told(&alarm.kind))).then_some(()))
        })
        .await?;
        stage.verify(&[parent, child]).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_6_a_site_that_wrote_past_its_parent_while_the_link_was_down_is_told_and_stays_closed() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let (parent, child) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0]);
        stage.tree.start().await?;
        let people = People::new("person", BIEN_HOA.commune);
        enter(stage, &people, 0).await.map_err(anyhow::Error::msg)?;
        stage.until_equal(DISTRICT, 1, &[parent, child]).await?;
        take_image(stage, child)?;
        stage.until_ready(child).await?;
        for number in 1..3 {
            enter(stage, &people, number).await.map_err(anyhow::Error::msg)?;
        }
        stage.until_equal(DISTRICT, 3, &[parent, child]).await?;

        // The link is down: the parent can't say anything.
        stage.kill(parent)?;
        set_back(stage, child)?;
        stage.until_ready(child).await?;
        for number in 10..16 {
            enter(stage, &people, number).await.map_err(anyhow::Error::msg)?;
        }
        stage.tree.start_node(parent.0, parent.1)?;
        let told = until_told(stage, child).await?;
        ensure!(told.shown_seq < told.seq, "it had written past what the parent holds: {told:?}");
        ensure!(told.acknowledged_to == Some(told.seq), "what was acknowledged meanwhile is listed: {told:?}");
        ensure!(enter(stage, &people, 20).await == Err("409 site_set_back".into()), "entry is closed");
        let listed =
            stage.run_kho(&format!("client-{DISTRICT}"), &["fork", "rows", &DISTRICT.to_string()], &stage.tree.urls(id(DISTRICT))).await?;
        for number in 10..16 {
            ensure!(listed.contains(&people.key(number)), "{listed}");
        }
        // Who had them named is told, by hashes under a key of the node's own.
        let data = stage.tree.node_dir(child.0, child.1).join("data");
        let log = stage.tree.process(child.0, child.1).context("it runs")?.log();
        for number in 10..16 {
            let key = people.key(number);
            let hash = stage.run_kho("operator", &["audit", "hash", data.to_str().context("text")?, "person", &key], &[]).await?;
            let told = |line: &str| line.contains("kho_audit") && line.contains("a row was named") && line.contains(hash.trim());
            ensure!(log.lines().any(told) && !log.contains(&key), "nobody is told who had {key} named, or the log names it");
        }

        // The parent goes on saying so, whatever an operator takes away there.
        let is_told = |kind: &AlarmKind| matches!(kind, AlarmKind::ChildSetBack { child: DISTRICT, .. });
        let alarmed = async || Ok(stage.status(parent).await?.alarms.iter().any(|alarm| is_told(&alarm.kind)).then_some(()));
        until("the parent says so too", &alarmed).await?;
        stage.run_kho("operator", &["origin", "resume", &DISTRICT.to_string()], &stage.tree.urls(id(CENTRE))).await?;
        until("the parent says so again", &alarmed).await?;

        // The bundle of the parent shows where the two part, and merges nothing.
        let file = stage.folder("back.kho");
        let path = file.to_str().context("text")?;
        let from = format!("{DISTRICT}:{}", told.agreed + 1);
        stage
            .run_kho(
                "operator",
                &["bundle", "export", "--for", &DISTRICT.to_string(), "--origin", &DISTRICT.to_string(), "--from", &from, "--out", path],
                &stage.tree.urls(id(CENTRE)),
            )
            .await?;
        let imported = stage.kho("operator", ["bundle", "import", path], &stage.tree.urls(id(DISTRICT))).output().await?;
        ensure!(!imported.status.success(), "the other history is not taken");
        let compared = until_told(stage, child).await?;
        ensure!(compared.compared && compared.acknowledged_to == Some(told.seq), "{compared:?}");
        ensure!(enter(stage, &people, 20).await == Err("409 site_set_back".into()), "entry stays closed");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_a_site_whose_parent_is_silent_is_founded_by_an_operators_word_alone() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let (parent, child) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0]);
        stage.tree.start_node(child.0, child.1)?;
        stage.tree.wait_for_answer(child.0, child.1).await?;
        let urls = stage.tree.urls(id(DISTRICT));
        let place = stage.tree.node_place(child.0, child.1);
        let member = format!("{}={},{}", place.node, place.quic_address, place.https_address);
        let register = stage.tree.register_path().display().to_string();
        let init = ["site", "init", "--register", register.as_str(), "--member", member.as_str()];
        // Neither alone nor with the word that its own data are lost: the parent may hold what the site wrote.
        for given in [&init[..], &[&init[..], &["--again"]].concat()] {
            let refused = stage.kho("operator", given, &urls).output().await?;
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            ensure!(!refused.status.success() && said.contains("could not be asked") && said.contains("--parent-unreachable"), "{said}");
            ensure!(stage.status(child).await?.consensus.nodes.is_empty(), "nothing was founded");
        }

        let founded = stage.run_kho("operator", &[&init[..], &["--parent-unreachable"]].concat(), &urls).await?;
        ensure!(founded.contains("is not known yet"), "{founded}");
        let log = stage.tree.process(child.0, child.1).context("it was started")?.log();
        ensure!(log.lines().any(|line| line.contains("kho_audit") && line.contains("by an operator's word")), "{log}");

        stage.tree.start_node(parent.0, parent.1)?;
        stage.tree.bootstrap_site(parent.0).await?;
        let people = People::new("person", BIEN_HOA.commune);
        until("entry is open", async || Ok(enter(stage, &people, 0).await.ok())).await?;
        stage.until_equal(DISTRICT, 1, &[parent, child]).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_a_site_is_founded_once_and_an_empty_folder_is_no_first_start() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let (parent, child) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0]);
        let people = start_with_two_persons(stage, &[parent, child]).await?;
        let urls = stage.tree.urls(id(DISTRICT));
        let place = stage.tree.node_place(child.0, child.1);
        let member = format!("{}={},{}", place.node, place.quic_address, place.https_address);
        let register = stage.tree.register_path().display().to_string();
        let init = ["site", "init", "--register", register.as_str(), "--member", member.as_str()];
        let again = stage.kho("operator", init, &urls).output().await?;
        ensure!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("belongs to a site already"), "{again:?}");

        stage.kill(child)?;
        stage.lose_disk(child)?;
        stage.tree.start_node(child.0, child.1)?;
        until("a node on an empty folder ends", async || Ok((!stage.runs(child)).then_some(()))).await?;
        let log = stage.tree.process(child.0, child.1).context("it was started")?.log();
        ensure!(log.contains("--first-start") && log.contains("is mounted"), "{log}");

        // Somebody says all the same that it is the first start: the parent knows better.
        stage.tree.take_data_folder(child.0, child.1)?;
        stage.tree.start_node(child.0, child.1)?;
        stage.tree.wait_for_answer(child.0, child.1).await?;
        let refused = stage.kho("operator", init, &urls).output().await?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success() && said.contains("was founded before") && said.contains("--again"), "{said}");

        // Its data are lost for good: it is founded with closed entry, and gets back what its parent holds.
        stage.run_kho("operator", &[&init[..], &["--again"]].concat(), &urls).await?;
        until_told(stage, child).await?;
        ensure!(enter(stage, &people, 5).await == Err("409 site_set_back".into()), "entry is closed from the beginning");
        let file = stage.folder("back.kho");
        let path = file.to_str().context("text")?;
        let from = format!("{DISTRICT}:1");
        stage
            .run_kho(
                "operator",
                &["bundle", "export", "--for", &DISTRICT.to_string(), "--origin", &DISTRICT.to_string(), "--from", &from, "--out", path],
                &stage.tree.urls(id(CENTRE)),
            )
            .await?;
        stage.run_kho("operator", &["bundle", "import", path], &urls).await?;
        until("entry is open again", async || Ok(enter(stage, &people, 5).await.ok())).await?;
        stage.until_equal(DISTRICT, 3, &[parent, child]).await
    })
    .await;
}
