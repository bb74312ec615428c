//! A disk that can lose power: an ext4 file system in an image file, behind a loop device.
//!
//! ```text
//! khod ─► files ─► ext4, its dirty pages ─► loop device ─► image file        what is in the image survives,
//!                  └────── lost at a cut ─────┘                               what is above it does not
//! ```
//! At a cut the writers are stopped already; the image is copied as it is, and the copy takes its place. Whatever ext4 had not
//! yet written to its device is gone then, as after a power failure: a `write` without a sync is not in it.
//!
//! Invariant: the copy is the image of one instant. A copy during which the device was written to is thrown away and made
//! again, for parts of two instants together are no state that a power failure leaves.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::mounting::{Mounted, run};

const COPY_TRIES_MAX: u32 = 50;

/// Its file system is at one folder all the time. Dropping it unmounts and detaches it.
#[derive(Debug)]
pub struct LoopDisk {
    image: PathBuf,
    at: PathBuf,
    attached: Option<Attached>,
    cuts: u32,
}

/// Fields are dropped in order: unmounted BEFORE it is detached.
#[derive(Debug)]
struct Attached {
    _mounted: Mounted,
    device: LoopDevice,
}

impl LoopDisk {
    /// Makes an image of `bytes` with an empty file system, and mounts it at `at`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn at(at: &Path, image: &Path, bytes: u64) -> anyhow::Result<Self> {
        std::fs::File::create(image)?.set_len(bytes)?;
        run(
            "mkfs.ext4",
            ["-q".as_ref(), "-F".as_ref(), "-E".as_ref(), "lazy_itable_init=0,lazy_journal_init=0".as_ref(), image.as_os_str()],
        )?;
        let mut disk = Self { image: image.into(), at: at.into(), attached: None, cuts: 0 };
        disk.attach()?;
        Ok(disk)
    }

    /// Keeps a copy of the image as it is now. Whoever writes to the disk must be stopped, and stay so until [`Self::lose_power`].
    ///
    /// # Errors
    /// When the device is never left alone, or a file can't be written.
    pub fn copy_as_it_is(&mut self) -> anyhow::Result<()> {
        let device = &self.attached.as_ref().context("the disk is not attached")?.device;
        self.cuts += 1;
        let copy = self.image.with_extension(format!("cut-{}", self.cuts));
        for _ in 0..COPY_TRIES_MAX {
            let before = device.sectors_written()?;
            run("cp", ["--sparse=always".as_ref(), self.image.as_os_str(), copy.as_os_str()])?;
            if device.sectors_written()? == before {
                return Ok(());
            }
        }
        bail!("{} was written to during every one of {COPY_TRIES_MAX} copies", device.path.display())
    }

    /// Puts the last copy in the disk's place. Nobody may have a file open on it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn lose_power(&mut self) -> anyhow::Result<()> {
        self.attached = None;
        let copy = self.image.with_extension(format!("cut-{}", self.cuts));
        std::fs::rename(&copy, &self.image)?;
        self.attach()
    }

    fn attach(&mut self) -> anyhow::Result<()> {
        let device = LoopDevice::of(&self.image)?;
        self.attached = Some(Attached { _mounted: Mounted::device(&device.path, &self.at)?, device });
        Ok(())
    }
}

/// A loop device; dropping it detaches it.
#[derive(Debug)]
struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    fn of(image: &Path) -> anyhow::Result<Self> {
        let path = run("losetup", ["--find".as_ref(), "--show".as_ref(), image.as_os_str()])?;
        Ok(Self { path: path.into() })
    }

    /// Since the device was attached; what ext4 handed down, whether the image's own file system wrote it out or not.
    fn sectors_written(&self) -> anyhow::Result<u64> {
        let name = self.path.file_name().context("a device has a name")?;
        let stat = std::fs::read_to_string(Path::new("/sys/block").join(name).join("stat"))?;
        // The seventh number, by the kernel's Documentation/block/stat.rst.
        stat.split_whitespace().nth(6).and_then(|number| number.parse().ok()).context("the device's statistics can't be read")
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // It goes by itself with the last mount of it, should one still be held.
        let _ = run("losetup", ["--detach".as_ref(), self.path.as_os_str()]);
    }
}

/// Whether this machine has loop devices and can make file systems on them; else why not.
///
/// # Errors
/// The system's reason.
pub fn may_attach() -> Result<(), String> {
    let tried = || -> anyhow::Result<()> {
        let dir = tempfile::TempDir::with_prefix("kho-loop-")?;
        LoopDisk::at(&dir.path().join("tried"), &dir.path().join("image"), 8 << 20).map(drop)
    };
    tried().map_err(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write as _};

    use super::*;
    use crate::mounting::not_run;

    #[test]
    fn a_cut_keeps_what_was_synced_and_loses_what_was_not() {
        if let Err(why) = may_attach() {
            return not_run("a disk that loses power", &why);
        }
        let dir = tempfile::tempdir().expect("a folder");
        let at = dir.path().join("disk");
        let mut disk = LoopDisk::at(&at, &dir.path().join("image"), 16 << 20).expect("attachable");
        for (name, synced) in [("synced", true), ("unsynced", false)] {
            let mut file = File::create(at.join(name)).expect("writable");
            file.write_all(&[7; 10_000]).expect("writable");
            if synced {
                file.sync_all().expect("syncable");
                File::open(&at).and_then(|dir| dir.sync_all()).expect("syncable");
            }
        }
        disk.copy_as_it_is().expect("copied");
        disk.lose_power().expect("attached again");
        assert_eq!(std::fs::read(at.join("synced")).expect("kept"), [7; 10_000]);
        assert!(!std::fs::read(at.join("unsynced")).is_ok_and(|bytes| bytes == [7; 10_000]), "a disk that keeps everything shows nothing");
    }
}
