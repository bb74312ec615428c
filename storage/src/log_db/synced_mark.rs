//! How far the log was synced, in a file of its own, so that a log that lost its tail is detected.
//!
//! After a crash RocksDB takes its write-ahead log up to the first record that is not whole, because what was never synced may be
//! there in part. A record that *was* synced and is damaged later would end the log in the same way, silently: acknowledged
//! entries and a vote would be forgotten. So the number of the last synced write is noted here. A log that opens before it
//! has lost something that this node had promised to keep.
//!
//! The file is written after each sync and never synced itself, so it costs no second wait. Invariant: whatever a power failure
//! leaves of it names no write that was not durable before; it may lag, it never runs ahead (test
//! `a_log_that_was_never_synced_may_lose_its_tail`).

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

/// Beside RocksDB's own files, which it leaves alone.
const MARK_FILE: &str = "SYNCED";
/// The format that this build writes.
const FORMAT: u8 = 1;
const MARK_BYTES: usize = 17;

/// The number of a write, as RocksDB counts them: it outlasts restarts and never goes back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WriteNumber(pub u64);

/// The open file and what stands in it.
#[derive(Debug)]
pub(super) struct SyncedMark {
    file: File,
    noted: Mutex<WriteNumber>,
}

impl SyncedMark {
    /// Opens the mark of the log in `dir`, or makes one that names nothing.
    ///
    /// # Errors
    /// The system's; and when a newer build wrote the mark, for what it says is not known then.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(mark_path(dir))?;
        let mut bytes = [0; MARK_BYTES];
        let noted = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(&bytes).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        // A damaged mark proves nothing about the log: the next sync writes it anew.
        Ok(Self { file, noted: Mutex::new(noted.unwrap_or_default()) })
    }

    /// The last write known to be durable.
    pub fn noted(&self) -> WriteNumber {
        *self.noted.lock()
    }

    /// Notes that everything up to `write` is durable. Call it AFTER the sync.
    ///
    /// # Errors
    /// The system's.
    pub fn note(&self, write: WriteNumber) -> io::Result<()> {
        let mut noted = self.noted.lock();
        if write > *noted {
            self.file.write_all_at(&encode(write), 0)?;
            *noted = write;
        }
        Ok(())
    }
}

pub(super) fn mark_path(dir: &Path) -> PathBuf {
    dir.join(MARK_FILE)
}

/// The format, the number, and a hash over both: a torn or damaged mark counts as none.
fn encode(number: WriteNumber) -> [u8; MARK_BYTES] {
    in_format(FORMAT, number)
}

fn in_format(format: u8, WriteNumber(number): WriteNumber) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    bytes[0] = format;
    bytes[1..9].copy_from_slice(&number.to_le_bytes());
    let hash = blake3::hash(&bytes[..9]);
    bytes[9..].copy_from_slice(&hash.as_bytes()[..8]);
    bytes
}

/// `None` for a damaged mark.
fn decode(bytes: &[u8; MARK_BYTES]) -> Result<Option<WriteNumber>, String> {
    let (format, number) = (bytes[0], &bytes[1..9]);
    let number = WriteNumber(u64::from_le_bytes(number.try_into().expect("8 bytes")));
    if in_format(format, number) != *bytes {
        return Ok(None);
    }
    if format == FORMAT {
        Ok(Some(number))
    } else {
        Err(format!(
            "{MARK_FILE} has format {format}, and this build reads format {FORMAT}: a newer Kho wrote it; install that on this node again"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_again_and_never_goes_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let mark = SyncedMark::open(dir.path()).expect("fresh");
        assert_eq!(mark.noted(), WriteNumber(0));
        mark.note(WriteNumber(9)).expect("writable");
        mark.note(WriteNumber(7)).expect("writable");
        assert_eq!(SyncedMark::open(dir.path()).expect("own").noted(), WriteNumber(9));
    }

    #[test]
    fn a_mark_of_a_newer_build_is_refused_and_not_taken_for_a_damaged_one() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(mark_path(dir.path()), in_format(FORMAT + 1, WriteNumber(9))).expect("writable");
        let error = SyncedMark::open(dir.path()).expect_err("another format");
        assert!(error.to_string().contains("a newer Kho wrote it"), "{error}");
    }

    #[test]
    fn a_damaged_mark_claims_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        SyncedMark::open(dir.path()).expect("fresh").note(WriteNumber(300)).expect("writable");
        let whole = std::fs::read(mark_path(dir.path())).expect("there");
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            std::fs::write(mark_path(dir.path()), &damaged).expect("writable");
            assert_eq!(SyncedMark::open(dir.path()).expect("own").noted(), WriteNumber(0), "byte {place}");
            std::fs::write(mark_path(dir.path()), &damaged[..place]).expect("writable");
            assert_eq!(SyncedMark::open(dir.path()).expect("own").noted(), WriteNumber(0), "{place} bytes");
        }
    }
}
