//! Writing past the system's cache: files of a database that are not read again soon need no copy in it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::fs::OFlags;

/// Memory, place and length of a direct write are multiples of this many bytes; no disk in use has larger sectors.
const PAGE_BYTES: usize = 4096;

/// Whether files in `dir`, which may not exist yet, can be written past the system's cache; some file systems can't.
pub(crate) fn takes_direct_writes(dir: &Path) -> bool {
    let probe = dir.join("direct-write-probe");
    let written = fs::create_dir_all(dir).and_then(|()| write_page(&probe));
    // Left behind, it does no harm: RocksDB does not know the name.
    let _ = fs::remove_file(&probe);
    written.is_ok()
}

fn write_page(probe: &Path) -> io::Result<()> {
    let flags = OFlags::DIRECT.bits().cast_signed();
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(probe)?;
    let memory = [0; 2 * PAGE_BYTES];
    let start = memory.as_ptr().align_offset(PAGE_BYTES);
    file.write_all(&memory[start..start + PAGE_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_nothing_behind_and_a_place_that_takes_no_file_takes_no_direct_write() {
        let dir = tempfile::tempdir().expect("a directory");
        takes_direct_writes(dir.path());
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
        assert!(!takes_direct_writes(Path::new("/proc/self")));
    }
}
