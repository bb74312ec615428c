//! One `khod` process of a local tree.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// How long a process may take to stop after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A running node. Dropping it kills the process, so that no test leaves one behind; [`NodeProcess::leave`] does not.
pub struct NodeProcess {
    child: Option<Child>,
    log: PathBuf,
}

impl NodeProcess {
    /// Starts `khod` with the configuration in `dir` and `environment` beside what is inherited; its log is appended to
    /// `dir/khod.log`.
    ///
    /// # Errors
    /// When the process can't be started.
    pub fn start(khod: &Path, dir: &Path, environment: &[(OsString, OsString)]) -> anyhow::Result<Self> {
        let log = dir.join("khod.log");
        let out = File::options().create(true).append(true).open(&log).with_context(|| format!("{} can't be written", log.display()))?;
        let child = Command::new(khod)
            .arg("--config")
            .arg(dir.join("khod.toml"))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("{} could not be started; build it with `cargo build --release`", khod.display()))?;
        Ok(Self { child: Some(child), log })
    }

    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// How it ended, if it ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Stops its clock, so to speak: it does nothing until [`Self::resume`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        signal(self.id().context("the node was never started")?, rustix::process::Signal::STOP)
    }

    /// Lets a paused process go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        signal(self.id().context("the node was never started")?, rustix::process::Signal::CONT)
    }

    /// kill -9: no chance to write anything.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks the process to stop and waits for it.
    ///
    /// # Errors
    /// When it does not stop in time; it is killed then.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        ask_to_stop(child.id())?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill()?;
        child.wait()?;
        bail!("khod did not stop in {} s; see {}", STOP_TIMEOUT.as_secs(), self.log.display())
    }

    /// Lets the process run on by itself; returns its id.
    pub fn leave(mut self) -> Option<u32> {
        self.child.take().map(|child| child.id())
    }

    /// Everything it logged, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<_> = text.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Nothing more can be done about a process that can't be killed.
        let _ = self.kill();
    }
}

/// Has `khod` take the empty data folder of the node in `dir`.
///
/// # Errors
/// When it refuses, or can't be started.
pub fn first_start(khod: &Path, dir: &Path) -> anyhow::Result<()> {
    let output = Command::new(khod)
        .arg("--config")
        .arg(dir.join("khod.toml"))
        .arg("--first-start")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} could not be started; build it with `cargo build --release`", khod.display()))?;
    if !output.status.success() {
        bail!("`khod --first-start` in {}: {}", dir.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// `khod` beside this program.
///
/// # Errors
/// When it is not there.
pub fn khod_beside() -> anyhow::Result<PathBuf> {
    kho_ops::program::beside("khod")
}

/// Sends SIGTERM.
pub fn ask_to_stop(id: u32) -> anyhow::Result<()> {
    signal(id, rustix::process::Signal::TERM)
}

fn signal(id: u32, signal: rustix::process::Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw).context("the process id is not valid")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}
