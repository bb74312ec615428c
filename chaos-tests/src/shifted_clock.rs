//! A node's clock, set forward and back while the node runs: a small library (`preload/shifted_clock.c`) that the node's process loads
//! before libc, and a file that says by how much.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use kho_local_tree::LocalTree;

use crate::{place::Place, preload::build_library};

const SOURCE: &str = include_str!("../preload/shifted_clock.c");

/// The library, built once for a scene.
#[derive(Debug)]
pub struct ClockLibrary {
    dir: PathBuf,
    library: PathBuf,
}

/// One node's clock.
#[derive(Debug)]
pub struct ShiftedClock {
    file: File,
}

impl ClockLibrary {
    /// Builds it into `dir`.
    ///
    /// # Errors
    /// When there is no C compiler, or the disk fails.
    pub fn build(dir: &Path) -> anyhow::Result<Self> {
        let library = build_library("shifted_clock", SOURCE, dir)?;
        Ok(Self { dir: dir.into(), library })
    }

    /// Gives a node a clock that can be set. It counts from the node's next start; until it is set it shows the machine's time.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn give(&self, tree: &mut LocalTree, at: Place) -> anyhow::Result<ShiftedClock> {
        let path = self.dir.join(format!("site-{}-node-{}", at.0, at.1));
        let file = File::options().create(true).truncate(true).write(true).open(&path)?;
        let clock = ShiftedClock { file };
        clock.set(0)?;
        tree.set_variable(at.0, at.1, "LD_PRELOAD", self.library.clone());
        tree.set_variable(at.0, at.1, "KHO_SHIFTED_CLOCK", path);
        Ok(clock)
    }
}

impl ShiftedClock {
    /// From now on it shows the machine's time and `seconds` more.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn set(&self, seconds: i64) -> anyhow::Result<()> {
        Ok(self.file.write_all_at(&(seconds * 1_000).to_ne_bytes(), 0)?)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_sees_the_time_that_its_clock_was_set_to() {
        let dir = tempfile::tempdir().expect("a folder");
        let library = match ClockLibrary::build(dir.path()) {
            Ok(library) => library,
            Err(error) => return crate::mounting::not_run("a clock that can be set", &format!("{error:#}")),
        };
        let path = dir.path().join("clock");
        let file = File::options().create(true).truncate(true).write(true).open(&path).expect("writable");
        let clock = ShiftedClock { file };
        for hours in [0, 5, -7] {
            clock.set(hours * 3_600).expect("writable");
            let output = Command::new("date")
                .arg("+%s")
                .env("LD_PRELOAD", &library.library)
                .env("KHO_SHIFTED_CLOCK", &path)
                .output()
                .expect("date runs");
            let shown: i64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("seconds");
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() as i64;
            assert!((shown - now - hours * 3_600).abs() <= 2, "{shown} at {now}, {hours} hours on");
        }
    }
}
