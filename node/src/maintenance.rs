//! What a node does by itself from time to time: forget what the parent holds, watch the disk, end alarms that are over.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use kho_storage::{command::Command, ids::NodeId};

use crate::node::Node;

/// How often.
pub const INTERVAL_MS: u64 = 5_000;

/// Alarm that the disk has less room than half of the reserve: entry is refused.
pub const DISK_FULL: &str = "disk_full";

/// A node of the site that lacks entries and took none for so long is not there.
const SILENT_NODE: Duration = Duration::from_secs(20);

/// Runs until the node stops.
pub async fn run_maintenance(node: Arc<Node>) {
    let mut due = tokio::time::interval(Duration::from_millis(INTERVAL_MS));
    let mut progress = BTreeMap::new();
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = node.stopping.cancelled() => return,
        }
        watch_disk(&node);
        watch_members(&node, &mut progress, Instant::now());
        if node.leads() && node.warehouse.register().is_some() {
            let keep_bytes = node.config.limits.stream_keep_mib << 20;
            match something_to_trim(&node, keep_bytes) {
                Ok(true) => {
                    if let Err(error) = node.consensus.propose(&Command::Trim { keep_bytes }).await {
                        tracing::debug!(%error, "streams were not trimmed now");
                    }
                }
                Ok(false) => {}
                Err(error) => node.alarms.raise("storage", error.to_string(), node.clock.now()),
            }
        }
    }
}

/// On the leader: raises an alarm about every node of the site that takes no entries, and ends it when it does again.
fn watch_members(node: &Node, progress: &mut BTreeMap<NodeId, (u64, Instant)>, now: Instant) {
    let status = node.consensus.status();
    progress.retain(|member, _| {
        // A node that no longer leads, or a member that is gone, is not watched: what was said of it is over.
        let watched = status.lag_entries.contains_key(member);
        if !watched {
            node.alarms.clear(&format!("node {member}"));
        }
        watched
    });
    for (member, lag) in &status.lag_entries {
        let last = status.last_log.unwrap_or(0);
        let matched = lag.map_or(0, |lag| last.saturating_sub(lag));
        let (held, since) = progress.entry(*member).or_insert((matched, now));
        if *held != matched || matched == last {
            (*held, *since) = (matched, now);
        }
        let subject = format!("node {member}");
        if now.duration_since(*since) >= SILENT_NODE {
            node.alarms.raise(
                subject,
                format!("node {member} of the site takes no entries; look at it, or replace it with `kho node remove` and `kho node add`"),
                node.clock.now(),
            );
        } else {
            node.alarms.clear(&subject);
        }
    }
}

/// Whether a stream is longer than what is to be kept and its parent holds the start of it: an idle site writes no entries.
fn something_to_trim(node: &Node, keep_bytes: u64) -> Result<bool, kho_storage::error::StorageError> {
    let register = node.warehouse.register();
    let parent = register.as_ref().as_ref().and_then(|register| register.active_parent(node.site()));
    let Some(parent) = parent else { return Ok(false) };
    let acknowledged = node.warehouse.read(|reading| reading.parent_cursors(parent))?;
    let held = |origin, oldest_kept| acknowledged.iter().any(|cursor| cursor.origin == origin && cursor.next > oldest_kept);
    Ok(node.warehouse.origins()?.iter().any(|(origin, state)| state.kept_bytes > keep_bytes && held(*origin, state.oldest_kept)))
}

/// Refuses intake first and entry last when space runs out; both come back by themselves.
fn watch_disk(node: &Node) {
    let reserve = node.config.limits.disk_reserve_mib << 20;
    let now = node.clock.now();
    match disk_space(&node.config.data_dir) {
        Ok((free, _)) => {
            let said = |what: &str| {
                format!(
                    "{} MiB are free on the disk of {}: {what} until {} MiB are free again",
                    free >> 20,
                    node.config.data_dir.display(),
                    reserve >> 20
                )
            };
            if free < reserve {
                node.alarms.raise("disk", said("segments of children are refused"), now)
            } else {
                node.alarms.clear("disk")
            }
            if free < reserve / 2 { node.alarms.raise(DISK_FULL, said("entry is refused too"), now) } else { node.alarms.clear(DISK_FULL) }
        }
        Err(error) => {
            node.alarms.raise("disk", format!("the free space of {} can't be read: {error}", node.config.data_dir.display()), now)
        }
    }
}

/// Free and total bytes of the file system that holds `path`.
pub fn disk_space(path: &Path) -> io::Result<(u64, u64)> {
    let space = rustix::fs::statvfs(path)?;
    Ok((space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize))
}

/// Bytes of the files directly in `folder`.
pub fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.filter_map(Result::ok).filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file).map(|data| data.len()).sum()
}
