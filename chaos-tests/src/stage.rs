//! Where a scene plays: a tree of real processes in a folder of its own, gone when the scene is over.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use kho_local_tree::{LocalTree, NodeProcess, TreePlan};
use kho_messages::{Lang, report};
use kho_node::api::{StatusReport, StreamReport};
use kho_storage::ids::SiteId;
use tempfile::TempDir;
use tokio::{process::Command, sync::Mutex};

use crate::{entry::Import, people::People, place::Place, proxy::Link, wait::until};

/// A scene that is not over after this time counts as one that never ends.
const SCENE_TIMEOUT: Duration = Duration::from_secs(600);
/// The timeout of one poll whether a node is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// Scenes share the machine, one at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A tree and the programs of this build. See the module.
pub struct Stage {
    pub tree: LocalTree,
    kho: PathBuf,
    dir: TempDir,
}

/// Plays one scene on a tree that is created and not yet started.
///
/// # Panics
/// When the scene fails or takes too long; the ends of the nodes' logs are printed then.
pub async fn play(plan: TreePlan, scene: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>) {
    let _alone = ALONE.lock().await;
    let mut stage = Stage::create(plan).expect("the tree can be created");
    let started = Instant::now();
    let ended = tokio::time::timeout(SCENE_TIMEOUT, scene(&mut stage)).await;
    let took = started.elapsed().as_secs_f64();
    match ended {
        Ok(Ok(())) => println!("the scene took {took:.1} s"),
        Ok(Err(error)) => panic!("after {took:.1} s: {error:#}"),
        Err(_) => panic!("the scene was not over after {took:.0} s"),
    }
}

impl Stage {
    /// Creates a tree in a temporary folder, on free ports. Nothing is started.
    ///
    /// # Errors
    /// When the programs are not built, or the disk fails.
    pub fn create(plan: TreePlan) -> anyhow::Result<Self> {
        let (khod, kho) = (program("khod")?, program("kho")?);
        let dir = TempDir::with_prefix("kho-scene-")?;
        let tree = LocalTree::create(&dir.path().join("tree"), &khod, plan, None)?;
        Ok(Self { tree, kho, dir })
    }

    /// A folder for the scene's own files.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Every node of the plan, in order.
    pub fn places(&self) -> Vec<Place> {
        let sites: Vec<SiteId> = self.tree.plan().sites.iter().map(|site| site.site).collect();
        sites.into_iter().flat_map(|site| self.tree.nodes(site).into_iter().map(move |node| (site, node))).collect()
    }

    /// The command line, as `identity` gives it.
    pub fn kho(&self, identity: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>, urls: &[String]) -> Command {
        let mut command = Command::new(&self.kho);
        command.args(arguments).env("KHO_IDENTITY", self.tree.identity_dir(identity)).env_remove("KHO_NODE").kill_on_drop(true);
        for url in urls {
            command.arg("--node").arg(url);
        }
        command
    }

    /// Runs the command line to its end; succeeds only with exit code 0.
    ///
    /// # Errors
    /// Any other end, with the output of the command.
    pub async fn run_kho(&self, identity: &str, arguments: &[&str], urls: &[String]) -> anyhow::Result<String> {
        let Output { status, stdout, stderr } = self.kho(identity, arguments, urls).output().await?;
        let (out, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        ensure!(status.success(), "`kho {}` ended with {status}:\n{out}\n{errors}", arguments.join(" "));
        Ok(out.into_owned())
    }

    /// Begins to import these persons at a site, through all of its nodes: `jobs` batches of `batch_rows` at a time.
    ///
    /// # Errors
    /// When the file can't be written or the command not be started.
    pub fn import(&self, site: u32, people: &People, rows: u64, batch_rows: u64, jobs: u16) -> anyhow::Result<Import> {
        let file = people.write_csv(&self.folder(&format!("records-{}", people.key(0))), 0..rows)?;
        let (batch_rows, jobs) = (batch_rows.to_string(), jobs.to_string());
        let arguments = [
            OsStr::new("import"),
            file.as_os_str(),
            "--batch-rows".as_ref(),
            batch_rows.as_ref(),
            "--jobs".as_ref(),
            jobs.as_ref(),
            "--json".as_ref(),
        ];
        Import::start(self.kho(&format!("client-{site}"), arguments, &self.tree.urls(SiteId(site))))
    }

    /// kill -9.
    ///
    /// # Errors
    /// When the node was not running.
    pub fn kill(&mut self, (site, node): Place) -> anyhow::Result<()> {
        let process = self.tree.process(site, node).with_context(|| format!("node {node} of site {site} was never started"))?;
        ensure!(process.runs(), "node {node} of site {site} ended by itself:\n{}", process.log_tail());
        process.kill()
    }

    /// Pauses a node until [`Self::resume`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&mut self, (site, node): Place) -> anyhow::Result<()> {
        self.tree.process(site, node).with_context(|| format!("node {node} of site {site} was never started"))?.pause()
    }

    /// Resumes a paused node.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&mut self, (site, node): Place) -> anyhow::Result<()> {
        self.tree.process(site, node).with_context(|| format!("node {node} of site {site} was never started"))?.resume()
    }

    /// Whether a node's process runs.
    pub fn runs(&mut self, (site, node): Place) -> bool {
        self.tree.process(site, node).is_some_and(NodeProcess::runs)
    }

    /// Puts a link before every node of a site: for its children and for the other nodes of the site. To be called before the tree is started.
    ///
    /// # Errors
    /// When no port is free, or the register can't be issued.
    pub fn links_before(&mut self, site: SiteId, seed: u64) -> anyhow::Result<Vec<(Place, Link)>> {
        let mut links = Vec::new();
        for node in self.tree.nodes(site) {
            let link = Link::with_seed(self.tree.quic_address(site, node), seed ^ u64::from(site.0) << 32 ^ node.0)?;
            self.tree.reach_at(site, node, link.address())?;
            links.push(((site, node), link));
        }
        Ok(links)
    }

    /// Waits until a node that was started takes part again, which means that it knows a leader.
    ///
    /// # Errors
    /// When it never does.
    pub async fn until_takes_part(&self, at: Place) -> anyhow::Result<()> {
        until(&format!("node {} of site {} takes part", at.1, at.0), async || Ok(self.status(at).await?.consensus.leader)).await?;
        Ok(())
    }

    /// Waits until a node has applied everything that its site ever acknowledged.
    ///
    /// # Errors
    /// When it never has.
    pub async fn until_ready(&self, (site, node): Place) -> anyhow::Result<()> {
        let client = self.tree.client(&[self.tree.url(site, node)], "operator")?;
        until(&format!("node {node} of site {site} is ready"), async || Ok(tokio::time::timeout(READY_TIMEOUT, client.ready()).await?.ok()))
            .await
    }

    /// Removes everything that a killed node had on its disk but its keys and configuration.
    ///
    /// # Errors
    /// When the node runs, or the disk fails.
    pub fn lose_disk(&mut self, (site, node): Place) -> anyhow::Result<()> {
        ensure!(!self.tree.process(site, node).is_some_and(NodeProcess::runs), "node {node} of site {site} still runs");
        Ok(std::fs::remove_dir_all(self.tree.node_dir(site, node).join("data"))?)
    }

    /// Changes the text of a node's configuration. It counts from the node's next start.
    ///
    /// # Errors
    /// When the configuration does not hold `old`.
    pub fn configure(&self, (site, node): Place, old: &str, new: &str) -> anyhow::Result<()> {
        let path = self.tree.node_dir(site, node).join("khod.toml");
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.contains(old), "{} does not hold {old:?}", path.display());
        Ok(std::fs::write(&path, text.replacen(old, new, 1))?)
    }

    /// The status of one node.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self, (site, node): Place) -> anyhow::Result<StatusReport> {
        self.tree.status(site, node).await
    }

    /// A stream as one node holds it.
    ///
    /// # Errors
    /// When the node does not answer, or holds none of it.
    pub async fn stream(&self, at: Place, origin: u32) -> anyhow::Result<StreamReport> {
        let streams = self.status(at).await?.streams;
        streams
            .into_iter()
            .find(|stream| stream.origin == origin)
            .with_context(|| format!("node {} of site {} holds nothing of origin {origin}", at.1, at.0))
    }

    /// Waits until a node holds at least so many rows of an origin.
    ///
    /// # Errors
    /// When it never does.
    pub async fn until_rows(&self, at: Place, origin: u32, rows: u64) -> anyhow::Result<StreamReport> {
        until(&format!("site {} holds {rows} rows of origin {origin}", at.0), async || {
            let stream = self.stream(at, origin).await?;
            Ok((stream.rows >= rows).then_some(stream))
        })
        .await
    }

    /// Waits until all these nodes hold exactly `rows` rows of the origin, at the same place of its stream; then their digests
    /// must be the same.
    ///
    /// # Errors
    /// When they never agree on the place, or their digests differ there.
    pub async fn until_equal(&self, origin: u32, rows: u64, at: &[Place]) -> anyhow::Result<()> {
        let mut last = String::new();
        let met = until(&format!("{} nodes hold {rows} rows of origin {origin} at the same place", at.len()), async || {
            let mut streams = Vec::new();
            for place in at {
                streams.push(self.stream(*place, origin).await?);
            }
            let stand = |stream: &StreamReport| (stream.epoch.clone(), stream.seq, stream.rows);
            last = streams
                .iter()
                .zip(at)
                .map(|(s, at)| {
                    format!("site {} node {}: {} seq {} rows {} {}", at.0, at.1, report(Lang::En, &s.state), s.seq, s.rows, &s.digest)
                })
                .collect::<Vec<_>>()
                .join("\n");
            let equal =
                streams.iter().all(|stream| stand(stream) == stand(&streams[0]) && stream.rows == rows && !stream.state.is_transferring());
            // More rows than were ever entered never go away: there is no use in waiting.
            let too_many = streams.iter().any(|stream| stream.rows > rows);
            Ok((equal || too_many).then_some(streams))
        })
        .await;
        let streams = met.with_context(|| last.clone())?;
        ensure!(streams.iter().all(|stream| stream.rows == rows), "only {rows} rows were ever entered:\n{last}");
        ensure!(streams.iter().all(|stream| stream.digest == streams[0].digest), "the digests differ at the same place:\n{last}");
        Ok(())
    }

    /// `kho verify` over these nodes: recomputed from the rows on disk, compared along the tree.
    ///
    /// # Errors
    /// When it ends with anything but 0.
    pub async fn verify(&self, at: &[Place]) -> anyhow::Result<()> {
        let urls: Vec<String> = at.iter().map(|(site, node)| self.tree.url(*site, *node)).collect();
        self.run_kho("operator", &["verify"], &urls).await.map(drop)
    }

    /// Reads person `number` at a site, as the site's client, and compares it with what was entered.
    ///
    /// # Errors
    /// When it is not there exactly once, or differs.
    pub async fn ensure_person(&self, site: u32, people: &People, number: u64) -> anyhow::Result<()> {
        let client = self.tree.client(&self.tree.urls(SiteId(site)), &format!("client-{site}"))?;
        let key = people.key(number);
        let answer = client.row("person", &key, None).await?;
        ensure!(answer.found.len() == 1, "person {key} was acknowledged and is held {} times", answer.found.len());
        let name = answer.found[0].columns.get("full_name").cloned().unwrap_or_default();
        ensure!(name == people.full_name(number), "person {key} was entered as {}, and is held as {name}", people.full_name(number));
        Ok(())
    }

    /// The ends of all nodes' logs.
    pub fn logs(&mut self) -> String {
        let mut text = String::new();
        for (site, node) in self.places() {
            let tail = self.tree.process(site, node).map(|process| process.log_tail()).unwrap_or_default();
            text.push_str(&format!("\n--- site {site} node {node}, end of its log ---\n{tail}\n"));
        }
        text
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

/// A program of this build: beside this one, or above the folder of test programs.
///
/// # Errors
/// When it is not built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe()?;
    let beside = me.parent().context("this program lies in no folder")?;
    let folder = if beside.file_name() == Some(OsStr::new("deps")) { beside.parent().unwrap_or(Path::new("/")) } else { beside };
    let found = folder.join(name);
    if !found.is_file() {
        bail!("{} is missing; build it with `cargo build --release`", found.display());
    }
    Ok(found)
}
