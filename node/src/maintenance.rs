//! What a node does by itself from time to time: trim what the parent holds, watch the disk, the clock and the other nodes.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use kho_replication::site_clock::{ClockStanding, Neighbour};
use kho_storage::{command::Command, ids::NodeId};

use crate::{api::AlarmKind, audit::AUDIT, disk_room::DiskRoom, node::Node};

/// How often.
pub const INTERVAL_MS: u64 = 5_000;

/// While the clock is plausible, the other nodes are asked for theirs once in so many rounds: once a minute.
const CLOCKS_ASKED_ONE_IN: u64 = 12;
/// A node of the site that lacks entries and took none for so long is not there.
const SILENT_NODE: Duration = Duration::from_secs(20);
/// A head that waits for so long until a majority says what it computed is reported.
const UNANSWERED_HEAD: Duration = Duration::from_secs(60);

/// Runs until the node stops.
pub async fn run_maintenance(node: Arc<Node>) {
    let mut due = tokio::time::interval(Duration::from_millis(INTERVAL_MS));
    let mut progress = BTreeMap::new();
    let mut clock_polls = 0;
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = node.stopping.cancelled() => return,
        }
        watch_disk(&node);
        watch_clock(&node, &mut clock_polls).await;
        watch_members(&node, &mut progress, Instant::now());
        watch_reachability(&node);
        record_moves(&node).await;
        watch_unconfirmed(&node);
        watch_contradiction(&node);
        watch_disputes(&node);
        if node.leads() && node.warehouse.register().is_some() {
            let keep_bytes = node.config.limits.stream_keep_mib << 20;
            match something_to_trim(&node, keep_bytes) {
                Ok(true) => {
                    if let Err(error) = node.consensus.propose(&Command::Trim { keep_bytes }).await {
                        tracing::debug!(%error, "streams were not trimmed now");
                    }
                }
                Ok(false) => {}
                Err(error) => node.alarms.raise(AlarmKind::StorageFailed { error: error.to_string() }, node.clock.now()),
            }
        }
    }
}

/// Asks the site's other nodes what their clocks show, and raises an alarm while this machine's clock is not plausible.
async fn watch_clock(node: &Node, polls: &mut u64) {
    node.settle_clock();
    let is_plausible = node.clock.read().standing == ClockStanding::Plausible;
    if !is_plausible || polls.is_multiple_of(CLOCKS_ASKED_ONE_IN) {
        for theirs in node.consensus.peer_clocks().await {
            node.clock.hear(Neighbour::Other, theirs);
        }
    }
    *polls += 1;
    let reading = node.clock.read();
    node.certificate_clock.vouch(reading.vouched);
    let machine = reading.machine.to_rfc3339();
    let alarm = match reading.standing {
        ClockStanding::Plausible => None,
        ClockStanding::Ahead { expected } => Some(AlarmKind::MachineClockAhead { machine, expected: expected.to_rfc3339() }),
        ClockStanding::Behind { expected } => Some(AlarmKind::MachineClockBehind { machine, expected: expected.to_rfc3339() }),
    };
    node.alarms.end(|kind| match kind {
        AlarmKind::MachineClockAhead { .. } => !matches!(alarm, Some(AlarmKind::MachineClockAhead { .. })),
        AlarmKind::MachineClockBehind { .. } => !matches!(alarm, Some(AlarmKind::MachineClockBehind { .. })),
        _ => false,
    });
    if let Some(alarm) = alarm {
        node.alarms.raise(alarm, reading.time);
    }
}

/// On the leader: raises an alarm about every node of the site that takes no entries, and ends it when it does again.
fn watch_members(node: &Node, progress: &mut BTreeMap<NodeId, (u64, Instant)>, now: Instant) {
    let status = node.consensus.status();
    progress.retain(|member, _| {
        // A node that no longer leads, or a member that is gone, is not watched: an alarm about it is over.
        let watched = status.lag_entries.contains_key(member);
        if !watched {
            end_silent(node, *member);
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
        // That it does not answer at all is an alarm of its own.
        if now.duration_since(*since) >= SILENT_NODE && !status.unreachable.contains_key(member) {
            node.alarms.raise(AlarmKind::MemberSilent { node: member.0 }, node.clock.now());
        } else {
            end_silent(node, *member);
        }
    }
}

/// Raises an alarm about every node of the site that does not answer this one, and ends it when it does again.
fn watch_reachability(node: &Node) {
    let status = node.consensus.status();
    let is_over = |node: &u64| !status.unreachable.contains_key(&NodeId(*node));
    node.alarms.end(|kind| matches!(kind, AlarmKind::MemberUnreachable { node, .. } if is_over(node)));
    for member in &status.members {
        let Some(unreachable) = status.unreachable.get(&member.node) else { continue };
        let (address, error) = (member.quic_address.clone(), unreachable.why.clone());
        let kind = AlarmKind::MemberUnreachable { node: member.node.0, address, silent_seconds: unreachable.seconds, error };
        node.alarms.raise(kind, node.clock.now());
    }
}

/// On the leader: has the site's record say where its nodes are now.
async fn record_moves(node: &Node) {
    match node.consensus.record_moves().await {
        Ok(moved) => {
            for (member, address) in moved {
                let (quic, https) = (address.quic, address.https);
                tracing::info!(target: AUDIT, node = %member, quic, https, "the site's record follows a node that announced another address");
            }
        }
        Err(error) => tracing::debug!(%error, "the record of where the nodes are was not changed now"),
    }
}

/// Reports a node that acts as a member without being confirmed as one.
fn watch_unconfirmed(node: &Node) {
    let unconfirmed = node.consensus.status().unconfirmed.map(|unconfirmed| unconfirmed.0);
    node.alarms.end(|kind| matches!(kind, AlarmKind::NodeUnconfirmed { node } if Some(*node) != unconfirmed));
    if let Some(unconfirmed) = unconfirmed {
        node.alarms.raise(AlarmKind::NodeUnconfirmed { node: unconfirmed }, node.clock.now());
    }
}

/// Raises an alarm while a leader contradicts what is committed here, and ends it when none does any more.
fn watch_contradiction(node: &Node) {
    match node.consensus.contradicted_by() {
        Some(leader) => node.alarms.raise(AlarmKind::MembersSetBack { leader: leader.0 }, node.clock.now()),
        None => node.alarms.end(|kind| matches!(kind, AlarmKind::MembersSetBack { .. })),
    }
}

/// Raises alarms while nodes of the site computed something else than this leader and no majority decides, and while no majority answers
/// for a head.
fn watch_disputes(node: &Node) {
    let differing: Vec<String> = node.consensus.disputed_with().iter().map(ToString::to_string).collect();
    if differing.is_empty() {
        node.alarms.end(|kind| matches!(kind, AlarmKind::NodesDisagree { .. }));
    } else {
        node.alarms.raise(AlarmKind::NodesDisagree { nodes: differing.join(", ") }, node.clock.now());
    }
    let unanswered = node.consensus.unanswered_heads(UNANSWERED_HEAD);
    let is_answered = |of: u32| unanswered.iter().all(|(origin, _)| origin.0 != of);
    node.alarms.end(|kind| matches!(kind, AlarmKind::HeadUnanswered { origin, .. } if is_answered(*origin)));
    for (origin, waited) in &unanswered {
        let kind = AlarmKind::HeadUnanswered { origin: origin.0, seconds: waited.as_secs() };
        node.alarms.raise(kind, node.clock.now());
    }
}

fn end_silent(node: &Node, member: NodeId) {
    node.alarms.end(|kind| *kind == AlarmKind::MemberSilent { node: member.0 });
}

/// Whether a stream is longer than what is to be kept and its parent holds the start of it: an idle site writes no entries.
fn something_to_trim(node: &Node, keep_bytes: u64) -> Result<bool, kho_storage::error::StorageError> {
    let parent = node.warehouse.register().and_then(|register| register.active_parent(node.site()));
    let Some(parent) = parent else { return Ok(false) };
    let acknowledged = node.warehouse.read(|reading| reading.parent_cursors(parent))?;
    let held = |origin, oldest_kept| acknowledged.iter().any(|cursor| cursor.origin == origin && cursor.next > oldest_kept);
    Ok(node.warehouse.origins()?.iter().any(|(origin, state)| state.kept_bytes > keep_bytes && held(*origin, state.oldest_kept)))
}

/// Refuses intake first and entry last when space runs out; both come back by themselves.
fn watch_disk(node: &Node) {
    let reserve = node.config.limits.disk_reserve_mib << 20;
    let folder = node.config.data_dir.display().to_string();
    let (room, alarm) = match disk_space(&node.config.data_dir) {
        Ok((free, _)) => {
            let room = DiskRoom::of(free, reserve);
            let (free_mib, reserve_mib) = (free >> 20, reserve >> 20);
            let alarm = match room {
                DiskRoom::Ample => None,
                DiskRoom::NoIntake => Some(AlarmKind::DiskLow { folder, free_mib, reserve_mib }),
                DiskRoom::NoEntry => Some(AlarmKind::DiskFull { folder, free_mib, reserve_mib }),
            };
            (room, alarm)
        }
        // What can't be measured may be full: entry still finds out by itself when it writes.
        Err(error) => (DiskRoom::NoIntake, Some(AlarmKind::DiskUnreadable { folder, error: error.to_string() })),
    };
    node.disk.measured(room);
    // One failure is one alarm: whatever was said of the disk before is over.
    let of_disk =
        |kind: &AlarmKind| matches!(kind, AlarmKind::DiskLow { .. } | AlarmKind::DiskFull { .. } | AlarmKind::DiskUnreadable { .. });
    let same = |kind: &AlarmKind| alarm.as_ref().is_some_and(|alarm| std::mem::discriminant(alarm) == std::mem::discriminant(kind));
    node.alarms.end(|kind| of_disk(kind) && !same(kind));
    if let Some(alarm) = alarm {
        node.alarms.raise(alarm, node.clock.now());
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
