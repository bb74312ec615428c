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

use super::{
    measure::Measure,
    outcome::Outcome,
    peers::{Etcd, Postgres},
    persons::Persons,
    site::measure_site,
    tree::measure_tree,
};

/// See the module. Everything it made on the disk goes with it.
pub struct Workbench {
    pub measures: BTreeSet<Measure>,
    /// Of one measurement.
    pub length: Duration,
    /// Rows of `tree-rows`.
    pub persons: u64,
    /// Or why there is none.
    pub etcd: Result<Etcd, String>,
    /// Or why there is none.
    pub postgres: Result<Postgres, String>,
    dir: TempDir,
}

impl Workbench {
    /// Makes a folder in `dir` for everything that is started.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn new(measures: BTreeSet<Measure>, length: Duration, persons: u64, with_peers: bool, dir: &Path) -> anyhow::Result<Self> {
        let made = TempDir::with_prefix_in("kho-bench-", dir).with_context(|| format!("no folder can be made in {}", dir.display()))?;
        // A peer may run as another user, who has to come through to its own folder.
        fs::set_permissions(made.path(), fs::Permissions::from_mode(0o711))?;
        let unwanted = || "--no-peers was given, so Kho is measured alone".to_string();
        let etcd = if with_peers { Etcd::find() } else { Err(unwanted()) };
        let postgres = if with_peers { Postgres::find() } else { Err(unwanted()) };
        Ok(Self { measures, length, persons, etcd, postgres, dir: made })
    }

    pub fn wants(&self, measure: Measure) -> bool {
        self.measures.contains(&measure)
    }

    /// The folder in which everything lies.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A folder for one of the systems; it is not made yet.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes so many synthetic persons.
    ///
    /// # Errors
    /// When the disk fails, or there are too many.
    pub async fn persons(&self, count: u64) -> anyhow::Result<Persons> {
        let dir = self.folder("population");
        tokio::task::spawn_blocking(move || Persons::synthesise(&dir, count)).await.context("making persons failed")?
    }

    /// Runs everything that is wanted, one system after another.
    ///
    /// # Errors
    /// The first that could not be run.
    pub async fn measure(&self) -> anyhow::Result<Vec<Outcome>> {
        let mut outcomes = measure_site(self).await?;
        outcomes.extend(measure_tree(self).await?);
        Ok(outcomes)
    }
}
