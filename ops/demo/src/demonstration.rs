//! What is shown: a tree is created, a province is entered while its leader is killed, replicas are proven equal, the centre answers.

use std::{
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use kho_local_tree::{LocalTree, khod_beside};
use kho_ops::program::beside;
use kho_storage::ids::{NodeId, SiteId};

use crate::{
    addresses::{path_text, print_addresses},
    plan::{CENTRE, PROVINCE, RunArgs, plan},
    step::{Steps, run_kho},
};

/// How long the centre may take to hold everything that was entered.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(600);

/// Shows all of it, step by step.
///
/// # Errors
/// The step that failed.
pub async fn demonstrate(args: RunArgs) -> anyhow::Result<()> {
    if args.dir.exists() {
        bail!(
            "{} exists; stop its tree with `kho demo stop --dir {}`, remove it, or give another --dir",
            args.dir.display(),
            args.dir.display()
        );
    }
    let mut steps = Steps::start();
    let (plan, folders) = plan(&args)?;
    steps.begin("Making keys, certificates and the register");
    let mut tree = LocalTree::create(&args.dir, &khod_beside()?, plan, Some(args.first_port))?;
    steps.begin("Writing a synthetic population of real units");
    let data = tree.dir().join("population");
    let (persons, seed) = (args.persons.to_string(), args.seed.to_string());
    run_kho(&["synth", "--province", &args.province, "--persons", &persons, "--seed", &seed, "--out", path_text(&data)?], &[])?;
    steps.begin("Starting the tree: centre, region, a province of three nodes, districts");
    tree.start().await?;

    steps.begin("Entering the records at the districts; the province's leader is killed on the way");
    let rows = enter(&mut tree, &data.join(&args.province), &folders).await?;
    steps.begin("Waiting until the centre holds everything");
    let arrived = wait_for_arrival(&tree).await?;
    steps.note(&format!("{rows} rows entered; the centre held all of them {:.1} s after the last was acknowledged", arrived.as_secs_f64()));

    steps.begin("Verifying every replica from the rows on disk");
    let urls = one_url_a_site(&tree);
    run_kho(&as_strs(&with_nodes(vec!["verify".into()], &urls)), &[("KHO_IDENTITY", path_text(&tree.identity_dir("operator"))?)])?;
    steps.begin("Population by sex and age group, queried at the centre");
    run_kho(
        &["query", "population", "--by", "age_group,sex", "--at", "2019-04-01", "--node", &urls[0]],
        &[("KHO_IDENTITY", path_text(&tree.identity_dir("operator"))?)],
    )?;
    steps.end();
    print_addresses(&tree)?;
    if args.leave_running {
        tree.leave_running()?;
        println!("\nThe tree is left running. Stop it with:\n  kho demo stop --dir {}", args.dir.display());
    } else {
        tree.stop()?;
        println!("\nThe tree is stopped. Start it again with:\n  kho demo start --dir {}", args.dir.display());
    }
    Ok(())
}

/// Imports every district's folders at its site, one process a district, and kills the province's leader meanwhile.
async fn enter(tree: &mut LocalTree, data: &Path, folders: &[(SiteId, Vec<String>)]) -> anyhow::Result<u64> {
    let leader = tree.leader(PROVINCE).await?;
    let mut imports = Vec::new();
    for (site, codes) in folders {
        let url = tree.url(*site, tree.nodes(*site)[0]);
        let mut command = tokio::process::Command::new(beside("kho")?);
        command.arg("import").args(codes.iter().map(|code| data.join(code))).arg("--json").arg("--node").arg(url);
        command
            .env("KHO_IDENTITY", tree.identity_dir(&format!("client-{site}")))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        imports.push((*site, command.spawn()?));
    }
    let outputs: Vec<_> =
        imports.into_iter().map(|(site, child)| tokio::spawn(async move { (site, child.wait_with_output().await) })).collect();
    kill_after_progress(tree, leader).await?;
    let mut rows = 0;
    for output in outputs {
        let (site, output) = output.await?;
        let output = output?;
        if !output.status.success() {
            bail!(
                "the import at site {site} failed:\n{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).context("an import's summary can't be read")?;
        let entered = summary["total"]["rows"].as_u64().unwrap_or(0);
        println!("    site {site}: {entered} rows, {:.0} rows/s", summary["rows_per_second"].as_f64().unwrap_or(0.0));
        rows += entered;
    }
    Ok(rows)
}

/// Lets the province adopt something, kills its leader, and starts that node again.
async fn kill_after_progress(tree: &mut LocalTree, leader: NodeId) -> anyhow::Result<()> {
    for _ in 0..600 {
        let status = tree.status(PROVINCE, leader).await?;
        if status.streams.iter().any(|stream| stream.rows > 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let killed_at = Instant::now();
    if let Some(process) = tree.process(PROVINCE, leader) {
        process.kill()?;
    }
    let next = tree.leader(PROVINCE).await?;
    println!(
        "    node {leader} of the province, its leader, was killed; node {next} leads {:.1} s later",
        killed_at.elapsed().as_secs_f64()
    );
    tree.start_node(PROVINCE, leader)?;
    Ok(())
}

/// Waits until the centre stands where every district stands.
async fn wait_for_arrival(tree: &LocalTree) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let bar = Arc::new(indicatif::ProgressBar::new(1));
    loop {
        let mut wanted = 0;
        let mut missing = Vec::new();
        let centre = tree.status(CENTRE, tree.nodes(CENTRE)[0]).await?;
        for site in tree.plan().sites.iter().filter(|site| !site.areas.is_empty()) {
            let own = tree.status(site.site, tree.nodes(site.site)[0]).await?;
            let Some(stream) = own.streams.iter().find(|stream| stream.origin == site.site.0) else { continue };
            let held = centre.streams.iter().find(|held| held.origin == stream.origin).map_or(0, |held| held.seq);
            wanted += stream.seq;
            if held < stream.seq {
                missing.push(stream.seq - held);
            }
        }
        bar.set_length(wanted);
        bar.set_position(wanted - missing.iter().sum::<u64>());
        if missing.is_empty() {
            bar.finish_and_clear();
            return Ok(started.elapsed());
        }
        if started.elapsed() > ARRIVAL_TIMEOUT {
            bail!(
                "the centre still lacks {} batches; see `kho status --node {}`",
                missing.iter().sum::<u64>(),
                tree.url(CENTRE, tree.nodes(CENTRE)[0])
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn one_url_a_site(tree: &LocalTree) -> Vec<String> {
    tree.plan()
        .sites
        .iter()
        .flat_map(|site| if site.site == PROVINCE { tree.urls(site.site) } else { vec![tree.url(site.site, tree.nodes(site.site)[0])] })
        .collect()
}

fn with_nodes(mut arguments: Vec<String>, urls: &[String]) -> Vec<String> {
    for url in urls {
        arguments.extend(["--node".to_string(), url.clone()]);
    }
    arguments
}

fn as_strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}
