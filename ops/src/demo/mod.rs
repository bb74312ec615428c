//! The demonstration: a whole local tree, entered, replicated, broken on the way, proven equal and queried.
//!
//! ```text
//!   centre 1 ── region 2 ── province 3 (three nodes) ── districts 4, 5, …
//! ```
//! Every step is what an operator would do: `kho synth`, `kho import`, `kho verify`, `kho query` run as processes of their own.

mod step;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use kho_storage::{
    catalogue::Catalogue,
    ids::{SiteId, Tier},
};

use crate::{
    failure::{Failure, Verdict},
    local_tree::{LocalTree, PlannedSite, TreePlan, khod_beside},
};
use step::{Steps, run_kho};

const CENTRE: SiteId = SiteId(1);
const PROVINCE: SiteId = SiteId(3);
const FIRST_DISTRICT: u32 = 4;
/// How long the centre may take to hold everything that was entered.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(600);
/// How long nodes may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// The demonstration: a local tree that is entered, replicated, broken on the way, proven and queried.
#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Found a tree, enter a province, kill a leader on the way, prove all replicas equal, query the centre.
    #[command(
        after_help = "Example:\n  kho demo run --dir local-tree\n  kho demo run --dir local-tree --province 75 --persons 200000 --districts 3 --leave-running"
    )]
    Run(RunArgs),
    /// Start a tree again that a demonstration left stopped.
    #[command(after_help = "Example:\n  kho demo start --dir local-tree")]
    Start(DirArgs),
    /// Stop a tree that a demonstration left running.
    #[command(after_help = "Example:\n  kho demo stop --dir local-tree")]
    Stop(DirArgs),
}

/// Which tree.
#[derive(Debug, Args)]
pub struct DirArgs {
    /// Folder of the tree.
    #[arg(long, default_value = "local-tree", value_name = "DIR")]
    dir: PathBuf,
}

/// What is demonstrated.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Folder of the tree; must not exist.
    #[arg(long, default_value = "local-tree", value_name = "DIR")]
    dir: PathBuf,
    /// Province (2 digits) whose real units are used.
    #[arg(long, default_value = "75", value_name = "CODE")]
    province: String,
    /// Persons of the province, spread over its districts as in the census.
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    persons: u64,
    /// How many of its districts get a site of their own; the rest are entered by the last of these.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=50))]
    districts: u32,
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// First port on 127.0.0.1; each node takes two.
    #[arg(long, default_value_t = 7400, value_name = "PORT")]
    first_port: u16,
    /// Leave the tree running afterwards.
    #[arg(long)]
    leave_running: bool,
}

/// Runs the command.
///
/// # Errors
/// The step that failed.
pub async fn run(command: DemoCommand) -> Result<Verdict, Failure> {
    let done = match command {
        DemoCommand::Run(args) => demonstrate(args).await,
        DemoCommand::Start(args) => start(&args.dir).await,
        DemoCommand::Stop(args) => stop(&args.dir),
    };
    done.map(|()| Verdict::Good).map_err(Failure::from)
}

async fn demonstrate(args: RunArgs) -> anyhow::Result<()> {
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
    let mut tree = LocalTree::found(&args.dir, &khod_beside()?, plan, Some(args.first_port))?;
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
    steps.tell(&format!("{rows} rows entered; the centre held all of them {:.1} s after the last was acknowledged", arrived.as_secs_f64()));

    steps.begin("Verifying every replica from the rows on disk");
    let urls = one_url_a_site(&tree);
    run_kho(&as_strs(&with_nodes(vec!["verify".into()], &urls)), &[("KHO_IDENTITY", path_text(&tree.identity_dir("operator"))?)])?;
    steps.begin("Population by sex and age group, asked at the centre");
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

/// The tree, and for each district site the folders of records that it enters.
fn plan(args: &RunArgs) -> anyhow::Result<(TreePlan, Vec<(SiteId, Vec<String>)>)> {
    let catalogue = Catalogue::named("legacy-63").context("the legacy catalogue is built in")?;
    let province: u32 = args.province.parse().with_context(|| format!("`{}` is no province code", args.province))?;
    let Some(name) = catalogue.provinces.get(&province) else { bail!("there is no province {} in the legacy catalogue", args.province) };
    let districts: Vec<(u32, &String)> = catalogue
        .districts
        .iter()
        .filter(|(code, (_, of))| *of == province && catalogue.communes.values().any(|c| c.district == Some(**code)))
        .map(|(code, (name, _))| (*code, name))
        .collect();
    let sites = usize::try_from(args.districts)?.min(districts.len());
    let mut plan = TreePlan {
        tree: "demo".into(),
        sites: vec![
            PlannedSite::new(CENTRE.0, "Trung ương", Tier::Central, &[], 1),
            PlannedSite::new(2, "Vùng", Tier::Region, &[1], 1),
            PlannedSite::new(PROVINCE.0, name, Tier::Province, &[2, 1], 3),
        ],
    };
    let mut folders: Vec<(SiteId, Vec<String>)> = Vec::new();
    for (place, (code, name)) in districts.into_iter().enumerate() {
        let text = format!("{code:03}");
        if place < sites {
            let id = FIRST_DISTRICT + u32::try_from(place)?;
            plan.sites.push(PlannedSite::new(id, name, Tier::District, &[PROVINCE.0, 2], 1).with_area(&text));
            folders.push((SiteId(id), vec![text]));
        } else if let (Some(site), Some((_, entered))) = (plan.sites.last_mut(), folders.last_mut()) {
            *site = site.clone().with_area(&text);
            entered.push(text);
        }
    }
    Ok((plan, folders))
}

/// Imports every district's folders at its site, one process a district, and kills the province's leader meanwhile.
async fn enter(tree: &mut LocalTree, data: &Path, folders: &[(SiteId, Vec<String>)]) -> anyhow::Result<u64> {
    let leader = tree.leader(PROVINCE).await?;
    let mut imports = Vec::new();
    for (site, codes) in folders {
        let url = tree.url(*site, tree.nodes(*site)[0]);
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
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
async fn kill_after_progress(tree: &mut LocalTree, leader: kho_storage::ids::NodeId) -> anyhow::Result<()> {
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

fn path_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is no UTF-8 path", path.display()))
}

fn print_addresses(tree: &LocalTree) -> anyhow::Result<()> {
    println!("\nWhere the nodes answer (HTTPS):");
    for site in &tree.plan().sites {
        println!("  {:<10} {:<28} {}", site.tier.to_string(), site.name, tree.urls(site.site).join(" "));
    }
    let operator = tree.identity_dir("operator");
    println!("\nTo explore while it runs:");
    println!("  export KHO_IDENTITY={}", path_text(&operator)?);
    println!("  kho status --node {}", tree.url(CENTRE, tree.nodes(CENTRE)[0]));
    println!("  kho query births --by sex --from 2019-01 --to 2019-03 --level district --node {}", tree.url(CENTRE, tree.nodes(CENTRE)[0]));
    println!("  kho query list --node {}", tree.url(PROVINCE, tree.nodes(PROVINCE)[0]));
    Ok(())
}

async fn start(dir: &Path) -> anyhow::Result<()> {
    let mut tree = LocalTree::open(dir, &khod_beside()?)?;
    tree.start().await?;
    print_addresses(&tree)?;
    tree.leave_running()
}

fn stop(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join("running.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("no tree runs from {}", dir.display()))?;
    let ids: Vec<u32> = serde_json::from_str(&text).with_context(|| format!("{} can't be read", path.display()))?;
    let running: Vec<u32> = ids.into_iter().filter(|id| step::is_khod(*id) && crate::local_tree::ask_to_stop(*id).is_ok()).collect();
    let deadline = Instant::now() + STOP_TIMEOUT;
    while running.iter().any(|id| step::is_khod(*id)) {
        if Instant::now() > deadline {
            bail!("some nodes did not stop in {} s; see khod.log in the folders below {}", STOP_TIMEOUT.as_secs(), dir.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::remove_file(&path)?;
    println!("{} nodes have stopped", running.len());
    Ok(())
}
