//! The mark by which a disk is known: which group and node wrote it, and a random id of its own.
//!
//! A vote that was forgotten can be given twice. So a node whose disk was lost, swapped or cleared must not return under
//! its old id: members know each other's disk id (it stands in the membership and in every frame), and a disk that holds the
//! mark but no log, or a log but no mark, is refused at start.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use kho_storage::{
    ids::NodeId,
    log_db::{LogDb, LogDbError, LogMeta},
};
use serde::{Deserialize, Serialize};

use super::{
    error::StartError,
    types::{DiskId, GroupId},
};

const MARK_FILE: &str = "disk.json";
const LOG_DIR: &str = "log";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskMark {
    group: GroupId,
    node: NodeId,
    disk: DiskId,
}

/// A directory that belongs to this node.
#[derive(Debug, Clone)]
pub(super) struct OwnDirectory {
    pub disk: DiskId,
    pub log_dir: PathBuf,
}

/// Takes `dir` as this node's own: checks its mark, or marks it when it is empty.
///
/// # Errors
/// [`StartError`] when the directory is another's, lost a part, or can't be used.
pub(super) fn own_directory(dir: &Path, group: &GroupId, node: NodeId) -> Result<OwnDirectory, StartError> {
    let failed = |e: std::io::Error| StartError::Directory { path: dir.display().to_string(), reason: e.to_string() };
    fs::create_dir_all(dir).map_err(failed)?;
    let (mark_path, log_dir) = (dir.join(MARK_FILE), dir.join(LOG_DIR));
    // RocksDB makes this file first and keeps it for ever.
    let has_log = log_dir.join("CURRENT").exists();
    let part_lost = |found, missing| StartError::PartLost { path: dir.display().to_string(), found, missing };
    let text = match fs::read_to_string(&mark_path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let mark = DiskMark { group: group.clone(), node, disk: DiskId(rand::random()) };
            // The log is made BEFORE the mark: so a mark without a log is a loss, and a log without a mark is a first
            // start that was cut short exactly when the log was never used.
            if !is_unused(&LogDb::open(&log_dir)?)? {
                return Err(part_lost("a log", "the disk's mark"));
            }
            write_mark(&mark_path, &mark).map_err(failed)?;
            return Ok(OwnDirectory { disk: mark.disk, log_dir });
        }
        Err(e) => return Err(failed(e)),
    };
    let mark: DiskMark = serde_json::from_str(&text)
        .map_err(|e| StartError::Directory { path: mark_path.display().to_string(), reason: format!("it is not a disk mark ({e})") })?;
    if (&mark.group, mark.node) != (group, node) {
        let name = |group: &GroupId, node| format!("node {node} of group {group}");
        return Err(StartError::ForeignDirectory {
            path: dir.display().to_string(),
            found: name(&mark.group, mark.node),
            wanted: name(group, node),
        });
    }
    if has_log { Ok(OwnDirectory { disk: mark.disk, log_dir }) } else { Err(part_lost("the disk's mark", "the log")) }
}

fn is_unused(log: &LogDb) -> Result<bool, LogDbError> {
    log.sync()?;
    Ok(log.extent().is_empty() && log.purged()?.is_none() && log.meta(LogMeta::Vote)?.is_none())
}

fn write_mark(path: &Path, mark: &DiskMark) -> std::io::Result<()> {
    let text = serde_json::to_string_pretty(mark)?;
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::SiteId;

    use super::*;

    fn group(incarnation: u64) -> GroupId {
        GroupId { tree: "vn".into(), site: SiteId(7), incarnation }
    }

    #[test]
    fn a_directory_keeps_its_disk_id_and_serves_one_node_of_one_group() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = own_directory(dir.path(), &group(1), NodeId(1)).expect("empty");
        assert_eq!(own_directory(dir.path(), &group(1), NodeId(1)).expect("own").disk, first.disk);
        assert!(matches!(own_directory(dir.path(), &group(1), NodeId(2)), Err(StartError::ForeignDirectory { .. })));
        assert!(matches!(own_directory(dir.path(), &group(2), NodeId(1)), Err(StartError::ForeignDirectory { .. })));
    }

    #[test]
    fn a_disk_that_lost_its_log_or_its_mark_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let own = own_directory(dir.path(), &group(1), NodeId(1)).expect("empty");
        LogDb::open(&own.log_dir).expect("own log").put_meta(LogMeta::Vote, b"two", true).expect("writable");
        fs::rename(&own.log_dir, dir.path().join("elsewhere")).expect("movable");
        assert!(matches!(own_directory(dir.path(), &group(1), NodeId(1)), Err(StartError::PartLost { missing: "the log", .. })));
        fs::rename(dir.path().join("elsewhere"), &own.log_dir).expect("movable");
        fs::remove_file(dir.path().join(MARK_FILE)).expect("removable");
        assert!(matches!(own_directory(dir.path(), &group(1), NodeId(1)), Err(StartError::PartLost { found: "a log", .. })));
    }

    #[test]
    fn a_first_start_that_was_cut_short_before_the_mark_is_made_up_for() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(LogDb::open(&dir.path().join(LOG_DIR)).expect("empty"));
        assert!(own_directory(dir.path(), &group(1), NodeId(1)).is_ok());
    }
}
