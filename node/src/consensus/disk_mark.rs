//! The mark by which a disk is known: which group and node wrote it, a random id of its own, and the founding of the site.
//!
//! A vote that was forgotten can be given twice. So a node whose disk was lost, swapped or cleared must not return under
//! its old id: members know each other's disk id (it stands in the membership and in every frame), and a disk that holds the
//! mark but no log, or a log but no mark, is refused at start. A disk without either is refused too, unless somebody has said that
//! this is the node's first start: an empty folder looks the same when a volume is not mounted.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kho_storage::{
    ids::NodeId,
    log_db::{LogDb, LogDbError, LogMeta},
};
use serde::{Deserialize, Serialize};

use super::{
    error::StartError,
    founding::Incarnation,
    types::{DiskId, GroupId},
};
use crate::kept_file::{self, Unreadable};

const MARK_FILE: &str = "disk.json";
const LOG_DIR: &str = "log";
/// The format of the mark that this build writes.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskMark {
    format: u32,
    group: GroupId,
    node: NodeId,
    disk: DiskId,
    /// The founding of the site; none before the node was founded or added.
    incarnation: Option<Incarnation>,
}

/// A directory that belongs to this node.
#[derive(Debug, Clone)]
pub(super) struct OwnDirectory {
    pub disk: DiskId,
    pub incarnation: Option<Incarnation>,
    pub log_dir: PathBuf,
}

/// What a first start came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstStart {
    /// The directory was empty, and is this node's from now on.
    Taken,
    /// It was this node's already; nothing was changed.
    TakenBefore,
}

/// Marks an empty `dir` as this node's. Somebody says by it that the node never ran before.
///
/// # Errors
/// [`StartError`] when the directory is another's, lost a part, or can't be used.
pub fn first_start(dir: &Path, group: &GroupId, node: NodeId) -> Result<FirstStart, StartError> {
    let failed = |e: std::io::Error| StartError::Directory { path: dir.display().to_string(), reason: e.to_string() };
    fs::create_dir_all(dir).map_err(failed)?;
    if read_mark(dir)?.is_some() {
        return own_directory(dir, group, node).map(|_| FirstStart::TakenBefore);
    }
    // The log is made BEFORE the mark: so a mark without a log is a loss, and a log without a mark is a first start that was cut short
    // exactly when the log was never used.
    if !is_unused(&LogDb::open(&dir.join(LOG_DIR))?)? {
        return Err(part_lost(dir, "a log", "the disk's mark"));
    }
    let mark = DiskMark { format: FORMAT, group: group.clone(), node, disk: DiskId(rand::random()), incarnation: None };
    write_mark(dir, &mark).map_err(failed)?;
    Ok(FirstStart::Taken)
}

/// Refuses a `dir` that no first start has marked.
///
/// # Errors
/// [`StartError`]; nothing was made.
pub fn require_first_start(dir: &Path) -> Result<(), StartError> {
    match read_mark(dir)? {
        Some(_) => Ok(()),
        None if log_exists(dir) => Err(part_lost(dir, "a log", "the disk's mark")),
        None => Err(StartError::NeverStarted { path: dir.display().to_string() }),
    }
}

/// Checks that `dir` is this node's and whole.
///
/// # Errors
/// [`StartError`] when nobody marked the directory, or it is another's, lost a part, or can't be used.
pub(super) fn own_directory(dir: &Path, group: &GroupId, node: NodeId) -> Result<OwnDirectory, StartError> {
    require_first_start(dir)?;
    let Some(mark) = read_mark(dir)? else { return Err(StartError::NeverStarted { path: dir.display().to_string() }) };
    if (&mark.group, mark.node) != (group, node) {
        let name = |group: &GroupId, node| format!("node {node} of group {group}");
        return Err(StartError::ForeignDirectory {
            path: dir.display().to_string(),
            found: name(&mark.group, mark.node),
            wanted: name(group, node),
        });
    }
    if !log_exists(dir) {
        return Err(part_lost(dir, "the disk's mark", "the log"));
    }
    Ok(OwnDirectory { disk: mark.disk, incarnation: mark.incarnation, log_dir: dir.join(LOG_DIR) })
}

/// Writes the founding into the mark, which is there.
pub(super) fn note_founding(dir: &Path, incarnation: Incarnation) -> Result<(), StartError> {
    let failed = |e: std::io::Error| StartError::Directory { path: dir.display().to_string(), reason: e.to_string() };
    let mark = read_mark(dir)?.ok_or_else(|| part_lost(dir, "the log", "the disk's mark"))?;
    write_mark(dir, &DiskMark { incarnation: Some(incarnation), ..mark }).map_err(failed)
}

fn part_lost(dir: &Path, found: &'static str, missing: &'static str) -> StartError {
    StartError::PartLost { path: dir.display().to_string(), found, missing }
}

/// RocksDB makes this file first and keeps it for ever.
fn log_exists(dir: &Path) -> bool {
    dir.join(LOG_DIR).join("CURRENT").exists()
}

fn is_unused(log: &LogDb) -> Result<bool, LogDbError> {
    log.sync()?;
    Ok(log.extent().is_empty() && log.purged()?.is_none() && log.meta(LogMeta::Vote)?.is_none())
}

fn read_mark(dir: &Path) -> Result<Option<DiskMark>, StartError> {
    let path = dir.join(MARK_FILE);
    let failed = |reason: String| StartError::Directory { path: path.display().to_string(), reason };
    match fs::read(&path) {
        Ok(bytes) => parse_mark(&bytes).map(Some).map_err(failed),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(e.to_string())),
    }
}

fn parse_mark(bytes: &[u8]) -> Result<DiskMark, String> {
    kept_file::parse(bytes, FORMAT).map_err(|unreadable| match unreadable {
        Unreadable::Malformed(error) => format!("it is not a disk mark ({error})"),
        newer @ Unreadable::OtherFormat { .. } => newer.to_string(),
    })
}

fn write_mark(dir: &Path, mark: &DiskMark) -> std::io::Result<()> {
    kept_file::replace(dir, MARK_FILE, mark)
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::SiteId;

    use super::*;

    fn group(site: u32) -> GroupId {
        GroupId { tree: "vn".into(), site: SiteId(site) }
    }

    fn started(dir: &Path) -> OwnDirectory {
        assert_eq!(first_start(dir, &group(7), NodeId(1)).expect("empty"), FirstStart::Taken);
        own_directory(dir, &group(7), NodeId(1)).expect("just taken")
    }

    #[test]
    fn an_empty_directory_is_taken_only_by_a_first_start() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(own_directory(dir.path(), &group(7), NodeId(1)), Err(StartError::NeverStarted { .. })));
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0, "nothing was made");
        let first = started(dir.path());
        assert_eq!(first_start(dir.path(), &group(7), NodeId(1)).expect("own"), FirstStart::TakenBefore);
        assert_eq!(own_directory(dir.path(), &group(7), NodeId(1)).expect("own").disk, first.disk);
    }

    #[test]
    fn a_directory_keeps_its_disk_id_and_its_founding_and_serves_one_node_of_one_group() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = started(dir.path());
        assert_eq!(first.incarnation, None);
        let founding = Incarnation::draw();
        note_founding(dir.path(), founding).expect("writable");
        let again = own_directory(dir.path(), &group(7), NodeId(1)).expect("own");
        assert_eq!((again.disk, again.incarnation), (first.disk, Some(founding)));
        assert!(matches!(own_directory(dir.path(), &group(7), NodeId(2)), Err(StartError::ForeignDirectory { .. })));
        assert!(matches!(own_directory(dir.path(), &group(8), NodeId(1)), Err(StartError::ForeignDirectory { .. })));
    }

    #[test]
    fn a_mark_of_a_newer_build_is_refused_as_such() {
        let dir = tempfile::tempdir().expect("a directory");
        started(dir.path());
        let path = dir.path().join(MARK_FILE);
        let newer = fs::read_to_string(&path).expect("there").replace("\"format\": 1", "\"format\": 2, \"more\": 1");
        fs::write(&path, newer).expect("writable");
        let error = own_directory(dir.path(), &group(7), NodeId(1)).expect_err("another format");
        assert!(error.to_string().contains("a newer Kho wrote it"), "{error}");
    }

    #[test]
    fn a_disk_that_lost_its_log_or_its_mark_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let own = started(dir.path());
        LogDb::open(&own.log_dir).expect("own log").put_meta(LogMeta::Vote, b"two", true).expect("writable");
        fs::rename(&own.log_dir, dir.path().join("elsewhere")).expect("movable");
        assert!(matches!(own_directory(dir.path(), &group(7), NodeId(1)), Err(StartError::PartLost { missing: "the log", .. })));
        fs::rename(dir.path().join("elsewhere"), &own.log_dir).expect("movable");
        fs::remove_file(dir.path().join(MARK_FILE)).expect("removable");
        for refused in [own_directory(dir.path(), &group(7), NodeId(1)).map(drop), first_start(dir.path(), &group(7), NodeId(1)).map(drop)]
        {
            assert!(matches!(refused, Err(StartError::PartLost { found: "a log", .. })));
        }
    }

    #[test]
    fn a_first_start_that_was_cut_short_before_the_mark_is_made_up_for() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(LogDb::open(&dir.path().join(LOG_DIR)).expect("empty"));
        assert!(first_start(dir.path(), &group(7), NodeId(1)).is_ok());
    }
}
