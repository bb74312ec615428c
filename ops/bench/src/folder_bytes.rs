//! What a folder takes on its disk.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// `st_blocks` counts in these, see stat(2).
const BLOCK_BYTES: u64 = 512;

/// Bytes of the blocks that a folder's files take. A file under several names counts once, as log snapshots share files with the
/// state; files that vanish meanwhile do not count.
///
/// # Errors
/// When the folder can't be read.
pub fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    let mut folders: Vec<PathBuf> = vec![folder.into()];
    while let Some(folder) = folders.pop() {
        for entry in unless_gone(fs::read_dir(&folder))?.into_iter().flatten() {
            let entry = entry?;
            let Some(metadata) = unless_gone(entry.metadata())? else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if seen.insert((metadata.dev(), metadata.ino())) {
                bytes += metadata.blocks() * BLOCK_BYTES;
            }
        }
    }
    Ok(bytes)
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_with_its_blocks_and_once_under_two_names() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("deep")).expect("made");
        fs::write(dir.path().join("deep").join("file"), vec![1; 100_000]).expect("written");
        let once = folder_bytes(dir.path()).expect("readable");
        assert!((100_000..200_000).contains(&once), "{once}");
        fs::hard_link(dir.path().join("deep").join("file"), dir.path().join("other")).expect("linked");
        assert_eq!(folder_bytes(dir.path()).expect("readable"), once);
        assert_eq!(folder_bytes(&dir.path().join("nothing")).expect("nothing there takes nothing"), 0);
    }
}
