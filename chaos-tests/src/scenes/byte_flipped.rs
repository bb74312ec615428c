//! A bit flips in a database file of a stopped node. The node must not spread it: it refuses to start, or stops, or
//! `kho verify` finds it, and the file or its folder is named; or the bit lay where it hurts nothing. Where the node works on, its status
//! names the damage. The site goes on meanwhile.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use kho_node::api::Finding;
use kho_storage::ids::SiteId;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::SOURCES;
use crate::{
    mounting::run,
    place::Place,
    recorder::{Recorded, Recorder},
    stage::Stage,
    trees::{CENTRE, DISTRICT},
    wait::until,
};

/// How long a damaged node may take until it takes part, or ends.
const JUDGED_WITHIN: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// In a node's data folder: what a read found damaged. An operator takes it away once the disk was examined.
const DAMAGE_FILE: &str = "damage-found.json";

/// Which file is hit. The first four in turn, and then any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FlipTarget {
    /// The newest part of the log: what was acknowledged last stands only there.
    LogEnd,
    LogManifest,
    StateTable,
    StateManifest,
    AnyFile,
}

const IN_TURN: [FlipTarget; 4] = [FlipTarget::LogEnd, FlipTarget::StateTable, FlipTarget::LogManifest, FlipTarget::StateManifest];

/// The result of a flipped bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FlipOutcome {
    /// The node ended by itself before it took part.
    Refused,
    /// The node ended by itself, or `kho verify` found it.
    Found,
    /// The node works, and its rows are whole.
    Harmless,
}

/// A byte of a file as it was.
struct Flipped {
    file: PathBuf,
    offset: u64,
    was: u8,
}

/// Flips so many bits, one after the other, each in another state of the node.
///
/// # Errors
/// Whatever is broken; the seed is printed.
pub async fn play(stage: &mut Stage, seed: u64, flips: usize) -> anyhow::Result<Recorded> {
    eprintln!("bits flipped with seed {seed}");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let nodes: Vec<Place> = stage.places().into_iter().filter(|at| at.0 == SiteId(DISTRICT)).collect();
    for at in &nodes {
        stage.configure(*at, "write_buffer_mib = 64", "write_buffer_mib = 2")?;
    }
    stage.tree.start().await?;
    let recorder = Recorder::start(stage, &SOURCES)?;
    recorder.until_more(600).await?;
    let mut met: BTreeMap<(FlipTarget, FlipOutcome), usize> = BTreeMap::new();
    for flip in 0..flips {
        let target = IN_TURN.get(flip).copied().unwrap_or(FlipTarget::AnyFile);
        // Now and then the leader.
        let victim = nodes[chance.random_range(0..nodes.len())];
        let outcome = hit(stage, victim, target, &mut chance).await.with_context(|| format!("{target:?} of node {}", victim.1))?;
        *met.entry((target, outcome)).or_default() += 1;
        recorder.until_more(100).await?;
    }
    eprintln!("{met:?}");
    for target in [FlipTarget::LogEnd, FlipTarget::LogManifest, FlipTarget::StateTable, FlipTarget::StateManifest] {
        ensure!(!met.contains_key(&(target, FlipOutcome::Harmless)), "damage to {target:?} was not detected");
    }
    recorder.conclude(stage, &stage.places()).await
}

/// Stops the node, flips a bit, starts it, sees what comes of it, and puts the bit back.
async fn hit(stage: &mut Stage, victim: Place, target: FlipTarget, chance: &mut ChaCha8Rng) -> anyhow::Result<FlipOutcome> {
    let data = stage.tree.node_dir(victim.0, victim.1).join("data");
    let process = stage.tree.process(victim.0, victim.1).context("it was started")?;
    // A stop in order flushes the state; a kill leaves it behind the log.
    if target == FlipTarget::StateTable || chance.random_bool(0.5) {
        process.stop()?;
    } else {
        process.kill()?;
    }
    let whole = stage.folder("whole");
    run("cp", ["-a".as_ref(), data.as_os_str(), whole.as_os_str()])?;
    let flipped = flip(&target.file(&data, chance)?, target, chance)?;
    eprintln!("{target:?}: bit at {} of {}", flipped.offset, flipped.file.display());
    let (outcome, log) = judged(stage, victim).await?;
    ensure!(!log.contains("panicked"), "bytes from a disk made the node panic:\n{log}");
    if outcome != FlipOutcome::Harmless {
        let file_name = flipped.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let folder = flipped.file.parent().unwrap_or(Path::new("/"));
        ensure!(
            log.contains(file_name) || log.contains(&*folder.to_string_lossy()) || log.contains(&*data.to_string_lossy()),
            "nobody named {}: {log}",
            flipped.file.display()
        );
    }
    if stage.runs(victim) {
        stage.kill(victim)?;
    }
    match outcome {
        // It never took part, so its disk may be put back as it was: it has promised nothing since.
        FlipOutcome::Refused => {
            std::fs::remove_dir_all(&data)?;
            std::fs::rename(&whole, &data)?;
        }
        // It may have acknowledged entries since: only the bit is put back, if its file is still there.
        FlipOutcome::Found | FlipOutcome::Harmless => {
            std::fs::remove_dir_all(&whole)?;
            flipped.put_back()?;
            let damage = data.join(DAMAGE_FILE);
            if damage.exists() {
                std::fs::remove_file(damage)?;
            }
        }
    }
    stage.tree.start_node(victim.0, victim.1)?;
    stage.until_takes_part(victim).await?;
    Ok(outcome)
}

/// Starts the node and gives what came of it, with everything that it logged.
async fn judged(stage: &mut Stage, victim: Place) -> anyhow::Result<(FlipOutcome, String)> {
    let log_before = stage.tree.process(victim.0, victim.1).map_or(0, |process| process.log().len());
    stage.tree.start_node(victim.0, victim.1)?;
    let log_since = |stage: &mut Stage| {
        stage
            .tree
            .process(victim.0, victim.1)
            .map(|process| process.log().get(log_before..).unwrap_or_default().to_string())
            .unwrap_or_default()
    };
    let deadline = Instant::now() + JUDGED_WITHIN;
    loop {
        if !stage.runs(victim) {
            let log = log_since(stage);
            let outcome = if took_part(&log) { FlipOutcome::Found } else { FlipOutcome::Refused };
            return Ok((outcome, log));
        }
        let answers = matches!(stage.status(victim).await, Ok(status) if status.consensus.leader.is_some());
        if answers {
            break;
        }
        if Instant::now() > deadline {
            bail!("the node neither takes part nor ends; its log:\n{}", log_since(stage));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let urls: Vec<String> = [(SiteId(CENTRE), 1), (victim.0, victim.1.0)]
        .iter()
        .map(|(site, node)| stage.tree.url(*site, kho_storage::ids::NodeId(*node)))
        .collect();
    match stage.run_kho("operator", &["verify"], &urls).await {
        Ok(_) if stage.runs(victim) => Ok((FlipOutcome::Harmless, log_since(stage))),
        Ok(_) => Ok((FlipOutcome::Found, log_since(stage))),
        Err(error) => {
            until_named(stage, victim).await.with_context(|| format!("{error:#}"))?;
            Ok((FlipOutcome::Found, format!("{}\n{error:#}", log_since(stage))))
        }
    }
}

/// Waits until a node on whose disk `kho verify` met damage has ended, or says so in its status.
async fn until_named(stage: &mut Stage, victim: Place) -> anyhow::Result<()> {
    until("the damaged node ends, or its status names the damage", async || {
        if !stage.runs(victim) {
            return Ok(Some(()));
        }
        let status = stage.status(victim).await?;
        let is_damage = |finding: &Finding| matches!(finding, Finding::DamageFound { .. } | Finding::ProofFailed { .. });
        Ok((status.findings.iter().any(is_damage) && !status.health.is_healthy()).then_some(()))
    })
    .await
}

/// Whether the node had opened its disk and joined its site.
fn took_part(log: &str) -> bool {
    log.contains("\"message\":\"running\"")
}

impl FlipTarget {
    fn file(self, data: &Path, chance: &mut ChaCha8Rng) -> anyhow::Result<PathBuf> {
        let (folder, fits): (&str, fn(&str) -> bool) = match self {
            Self::LogEnd => ("consensus/log", |name| name.ends_with(".log")),
            Self::LogManifest => ("consensus/log", |name| name.starts_with("MANIFEST")),
            Self::StateTable => ("warehouse", |name| name.ends_with(".sst")),
            Self::StateManifest => ("warehouse", |name| name.starts_with("MANIFEST")),
            // RocksDB's own log is no data.
            Self::AnyFile => ("", |name| !name.starts_with("LOG") && name != "LOCK"),
        };
        let mut found = Vec::new();
        files_under(&data.join(folder), &mut found)?;
        found.retain(|(path, bytes)| *bytes > 0 && path.file_name().and_then(|name| name.to_str()).is_some_and(fits));
        found.sort();
        ensure!(!found.is_empty(), "{} holds no file of the kind {self:?}", data.join(folder).display());
        let file = match self {
            Self::LogEnd => found.iter().max_by_key(|(path, _)| path.clone()),
            Self::StateTable => found.iter().max_by_key(|(_, bytes)| *bytes),
            _ => found.get(chance.random_range(0..found.len())),
        };
        file.map(|(path, _)| path.clone()).context("there is one")
    }
}

fn files_under(folder: &Path, found: &mut Vec<(PathBuf, u64)>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let (path, data) = {
            let entry = entry?;
            (entry.path(), entry.metadata()?)
        };
        if data.is_dir() { files_under(&path, found)? } else { found.push((path, data.len())) }
    }
    Ok(())
}

fn flip(file: &Path, target: FlipTarget, chance: &mut ChaCha8Rng) -> anyhow::Result<Flipped> {
    let open = File::options().read(true).write(true).open(file)?;
    let bytes = open.metadata()?.len();
    // The last record of a log may never have been synced, and parts behind a table's data are never read.
    let end = if target == FlipTarget::AnyFile { bytes } else { bytes.div_ceil(2) };
    let offset = chance.random_range(0..end);
    let mut byte = [0];
    open.read_exact_at(&mut byte, offset)?;
    open.write_all_at(&[byte[0] ^ 1 << chance.random_range(0..8)], offset)?;
    Ok(Flipped { file: file.into(), offset, was: byte[0] })
}

impl Flipped {
    fn put_back(&self) -> anyhow::Result<()> {
        match File::options().write(true).open(&self.file) {
            Ok(file) => Ok(file.write_all_at(&[self.was], self.offset)?),
            // A compaction replaced it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
