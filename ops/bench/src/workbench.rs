//! What a run stands on: what is wanted, where it lies, and which peers there are.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::{
    measure::Measure,
    peers::{Etcd, Postgres},
    persons::Persons,
};

/// What is wanted, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub measures: BTreeSet<Measure>,
    /// Of one measurement that takes a given time.
    pub length: Duration,
    /// Rows of `tree-rows`.
    pub persons: u64,
    /// How often what has a goal is measured.
    pub runs: usize,
    pub with_peers: bool,
    /// Rows of the site of `start` and `join`.
    pub rows_held: u64,
    /// Rows at the end of `growth`.
    pub rows_max: u64,
    /// Persons of a district of `backlog`.
    pub district_persons: u64,
    /// Children of `idle-children`.
    pub children: u32,
}

/// See the module. Everything it made on the disk goes with it.
pub struct Workbench {
    pub wanted: Wanted,
    /// Or why there is none.
    pub etcd: Result<Etcd, String>,
    /// Or why there is none.
    pub postgres: Result<Postgres, String>,
    dir: TempDir,
    /// Where the measurement that is under way lies.
    place: PathBuf,
    /// Of what has a goal, from 1.
    run: usize,
}

impl Workbench {
    /// Makes a folder in `dir` for everything that is started.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn new(wanted: Wanted, dir: &Path) -> anyhow::Result<Self> {
        let made = TempDir::with_prefix_in("kho-bench-", dir).with_context(|| format!("no folder can be made in {}", dir.display()))?;
        open_to_all(made.path())?;
        let unwanted = || "--no-peers was given, so Kho is measured alone".to_string();
        let etcd = if wanted.with_peers { Etcd::find() } else { Err(unwanted()) };
        let postgres = if wanted.with_peers { Postgres::find() } else { Err(unwanted()) };
        let place = made.path().into();
        Ok(Self { wanted, etcd, postgres, dir: made, place, run: 1 })
    }

    pub fn wants(&self, measure: Measure) -> bool {
        self.wanted.measures.contains(&measure)
    }

    /// The folder in which everything lies.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Begins the run of this number, from 1, of what has a goal.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn begin_run(&mut self, run: usize) -> anyhow::Result<()> {
        self.run = run;
        self.begin(&format!("run-{run}"))
    }

    /// Whether the peer is measured before Kho in this run: whoever comes second finds a disk that was just written to.
    pub fn peer_goes_first(&self) -> bool {
        self.run.is_multiple_of(2)
    }

    /// Waits until the disk has taken what the last system left behind, so that the next one does not have to.
    ///
    /// # Errors
    /// When the task that waits failed.
    pub async fn settle(&self) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(rustix::fs::sync).await.context("waiting for the disk failed")
    }

    /// A folder for one of the systems; it is not made yet.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Makes so many synthetic persons.
    ///
    /// # Errors
    /// When the disk fails, or there are too many.
    pub async fn persons(&self, count: u64) -> anyhow::Result<Persons> {
        let dir = self.folder("population");
        tokio::task::spawn_blocking(move || Persons::synthesise(&dir, count)).await.context("making persons failed")?
    }

    /// Makes an empty folder for the measurement that begins, in this run.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn begin(&mut self, name: &str) -> anyhow::Result<()> {
        self.place = self.dir.path().join(name);
        fs::create_dir(&self.place)?;
        open_to_all(&self.place)
    }

    /// Gives the disk back: the next measurement wants it as empty as this one did.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn end(&mut self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.place)?;
        self.place = self.dir.path().into();
        Ok(())
    }
}

/// A peer may run as another user, who has to come through to its own folder.
fn open_to_all(dir: &Path) -> anyhow::Result<()> {
    Ok(fs::set_permissions(dir, fs::Permissions::from_mode(0o711))?)
}
