//! Mounting file systems for a scene, where this machine allows it, and taking every one down again.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context as _, bail};

/// A mounted file system; dropping it unmounts it.
#[derive(Debug)]
pub struct Mounted {
    at: PathBuf,
}

impl Mounted {
    /// A file system in memory of `bytes` at `at`, which must be an empty folder or not exist.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn memory(at: &Path, bytes: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        run(
            "mount",
            [
                "-t".as_ref(),
                "tmpfs".as_ref(),
                "-o".as_ref(),
                format!("size={bytes},mode=0700").as_ref(),
                "kho-scene".as_ref(),
                at.as_os_str(),
            ],
        )?;
        Ok(Self { at: at.into() })
    }

    /// The file system on `device` at `at`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn device(device: &Path, at: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        run("mount", [device.as_os_str(), at.as_os_str()])?;
        Ok(Self { at: at.into() })
    }

    pub fn at(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A process that was killed a moment ago may still hold it: then it goes with the last file that is open on it.
        if run("umount", [self.at.as_os_str()]).is_err() {
            let _ = run("umount", ["--lazy".as_ref(), self.at.as_os_str()]);
        }
    }
}

/// Whether this process may mount file systems here; else why not.
///
/// # Errors
/// The system's reason.
pub fn may_mount() -> Result<(), String> {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    let tried = || -> anyhow::Result<()> {
        let dir = tempfile::TempDir::with_prefix("kho-mount-")?;
        Mounted::memory(&dir.path().join("tried"), 1 << 20).map(drop)
    };
    TRIED.get_or_init(|| tried().map_err(|error| format!("{error:#}"))).clone()
}

/// Reports that a scene was not played. The report goes past the test program's capture: what was not run must never seem to have run.
pub fn not_run(scene: &str, why: &str) {
    // Without an output there is nobody to read it.
    let _ = writeln!(std::io::stdout(), "not run: {scene}: {why}");
}

/// Runs a command of the system to its end and gives its output.
///
/// # Errors
/// When it is missing or fails, with its error output.
pub(crate) fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a std::ffi::OsStr>) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("`{program}` can't be run"))?;
    if !output.status.success() {
        bail!("`{program}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}
