//! A small library that a node's process loads before libc, to change what the system returns to it.

use std::path::{Path, PathBuf};

use crate::mounting::run;

/// Builds `source`, C, into `dir` and gives the library's path, for the variable `LD_PRELOAD`.
///
/// # Errors
/// When there is no C compiler, or the disk fails.
pub fn build_library(name: &str, source: &str, dir: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let (file, library) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.so")));
    std::fs::write(&file, source)?;
    run("cc", ["-shared".as_ref(), "-fPIC".as_ref(), "-O1".as_ref(), "-o".as_ref(), library.as_os_str(), file.as_os_str()])?;
    Ok(library)
}

/// Whether this machine has a C compiler; else why not.
///
/// # Errors
/// The system's reason.
pub fn may_build() -> Result<(), String> {
    run("cc", ["--version".as_ref()]).map(drop).map_err(|error| format!("{error:#}"))
}
