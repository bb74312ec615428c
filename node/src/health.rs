//! The status report, and what makes a node healthy.
//!
//! Invariant (promise 9): status never reads healthy while a checkpoint is not moving: an own stream without a head, a stream
//! that the parent has not acknowledged for long, a stopped origin or a site without a leader each have a word
//! (test `promise_9_health_names_the_first_thing_that_does_not_move`).

use std::collections::BTreeMap;

use kho_replication::uplink::{LinkStatus, StreamState, UplinkStatus};
use kho_storage::{
    error::StorageError,
    ids::{OriginId, SiteTime},
    keys::Space,
    register::VerifiedRegister,
    warehouse::{OriginState, ReadView},
};

use crate::{
    api::{Alarm, ChildStatus, ConsensusStatus, DiskStatus, NodeStatus, StatusReport, StreamStatus, UplinkReport},
    consensus::{NodeRole, QUORUM_ACK_AGE_MS_MAX},
    node::Node,
};

/// An unacknowledged or headless stream that does not move for so long is not healthy.
const STILL_SECONDS_MAX: u64 = 120;

/// Reads everything that status tells.
///
/// # Errors
/// A fault of the local disk.
pub fn report(node: &Node) -> Result<StatusReport, StorageError> {
    let register = node.warehouse.register();
    let register = register.as_ref().as_ref();
    let site = register.and_then(|register| register.site(node.site()));
    let now = node.clock.now();
    let consensus = consensus(node);
    let streams = node.warehouse.read(|reading| streams(node, reading, now))?;
    let uplink = uplink(node, register);
    let alarms = node.alarms.list();
    let health = verdict(register.is_some(), &consensus, &streams, &uplink, &alarms);
    Ok(StatusReport {
        tree: node.config.tree.clone(),
        site: node.site().0,
        site_name: site.map(|site| site.name.clone()).unwrap_or_default(),
        tier: site.map(|site| site.tier.to_string()).unwrap_or_default(),
        node: node.config.node.0,
        version: env!("CARGO_PKG_VERSION").into(),
        health,
        alarms,
        now: now.to_rfc3339(),
        register_version: register.map_or(0, VerifiedRegister::version),
        consensus,
        streams,
        uplink,
        children: children(node, register),
        disk: disk(node),
    })
}

/// `healthy`, or the first thing that is wrong.
fn verdict(has_register: bool, consensus: &ConsensusStatus, streams: &[StreamStatus], uplink: &UplinkReport, alarms: &[Alarm]) -> String {
    if !has_register {
        return "no register: give the site one with `kho register apply`".into();
    }
    if consensus.leader.is_none() {
        return "no leader: a majority of the site's nodes must run and reach each other".into();
    }
    if let Some(silence_ms) = consensus.since_quorum_ms.filter(|silence_ms| *silence_ms > QUORUM_ACK_AGE_MS_MAX) {
        return format!("no majority: no majority of the site's nodes has answered for {} seconds", silence_ms / 1_000);
    }
    if let Some(stream) = streams.iter().find(|stream| stream.state.starts_with("stopped")) {
        return format!("origin {} is {}", stream.origin, stream.state);
    }
    if let Some(stream) = streams.iter().find(|stream| stream.state == "own" && stream.watermark_age_seconds > STILL_SECONDS_MAX) {
        return format!("the heads of origin {} do not move: the newest is {} seconds old", stream.origin, stream.watermark_age_seconds);
    }
    if let Some(stream) = streams.iter().find(|stream| stream.lag_seconds.is_some_and(|lag| lag > STILL_SECONDS_MAX)) {
        return format!(
            "the parent's cursor of origin {} does not move: {} batches wait for {} seconds",
            stream.origin,
            stream.lag_batches.unwrap_or(0),
            stream.lag_seconds.unwrap_or(0)
        );
    }
    if let Some(down) = uplink.state.strip_prefix("down") {
        return format!("the line to the parent is down{down}");
    }
    match alarms.first() {
        Some(alarm) => format!("alarm {}: {}", alarm.code, alarm.message),
        None => "healthy".into(),
    }
}

fn consensus(node: &Node) -> ConsensusStatus {
    let status = node.consensus.status();
    let role = match status.role {
        NodeRole::Leader => "leader",
        NodeRole::Follower => "follower",
        NodeRole::Candidate => "candidate",
        NodeRole::Learner => "learner",
        NodeRole::Stopped => "stopped",
    };
    ConsensusStatus {
        role: role.into(),
        leader: status.leader.map(|leader| leader.0),
        term: status.term,
        last_log: status.last_log.unwrap_or(0),
        applied: status.applied.unwrap_or(0),
        snapshot: status.snapshot.unwrap_or(0),
        since_quorum_ms: status.since_quorum_ms,
        nodes: status
            .members
            .iter()
            .map(|member| NodeStatus {
                node: member.node.0,
                voter: member.voter,
                quic_address: member.quic_address.clone(),
                https_address: member.https_address.clone(),
                lag_entries: status.lag_entries.get(&member.node).copied().flatten(),
            })
            .collect(),
    }
}

fn streams(node: &Node, reading: &ReadView<'_>, now: SiteTime) -> Result<Vec<StreamStatus>, StorageError> {
    let Some(register) = reading.register() else { return Ok(vec![]) };
    let parent = register.active_parent(node.site());
    let acknowledged: BTreeMap<OriginId, _> = match parent {
        Some(parent) => reading.parent_cursors(parent)?.into_iter().map(|cursor| (cursor.origin, cursor)).collect(),
        None => BTreeMap::new(),
    };
    let transferring: Vec<OriginId> = reading.transfers()?.iter().map(|transfer| transfer.start.origin).collect();
    let mut found = Vec::new();
    for (origin, state) in reading.origins()? {
        let author = register.author(origin);
        let name = author.and_then(|author| register.site(author)).map(|site| site.name.clone()).unwrap_or_default();
        let lag = match parent {
            None => None,
            Some(_) => Some(lag(
                reading,
                origin,
                &state,
                acknowledged.get(&origin).filter(|c| c.epoch == state.epoch).map_or(1, |c| c.next.0),
                now,
            )?),
        };
        found.push(StreamStatus {
            origin: origin.0,
            author: author.map_or(0, |author| author.0),
            author_name: name,
            state: match &state.stopped {
                Some(stopped) => format!("stopped: {} at batch {}", stopped.why, stopped.seq),
                None if transferring.contains(&origin) => "transferring".into(),
                None if author == Some(node.site()) => "own".into(),
                None => "following".into(),
            },
            epoch: state.epoch.to_string(),
            seq: state.last().0,
            rows: state.rows,
            digest: state.sum.digest().to_hex(),
            watermark: state.watermark.to_rfc3339(),
            watermark_age_seconds: now.seconds_since(state.watermark),
            lag_batches: lag.map(|(batches, _)| batches),
            lag_seconds: lag.and_then(|(_, seconds)| seconds),
            kept_batches: state.next.0 - state.oldest_kept.0,
            kept_bytes: state.kept_bytes,
        });
    }
    for origin in register.origins_of(node.site()).filter(|origin| found.iter().all(|stream| stream.origin != origin.0)).collect::<Vec<_>>()
    {
        found.push(never_headed(node, register, origin, now));
    }
    Ok(found)
}

/// An own origin of which nothing stands yet, not even an idle head.
fn never_headed(node: &Node, register: &VerifiedRegister, origin: OriginId, now: SiteTime) -> StreamStatus {
    StreamStatus {
        origin: origin.0,
        author: node.site().0,
        author_name: register.site(node.site()).map(|site| site.name.clone()).unwrap_or_default(),
        state: "own".into(),
        epoch: register.first_epoch(origin).to_string(),
        seq: 0,
        rows: 0,
        digest: String::new(),
        watermark: SiteTime(0).to_rfc3339(),
        watermark_age_seconds: now.seconds_since(SiteTime(0)),
        lag_batches: None,
        lag_seconds: None,
        kept_batches: 0,
        kept_bytes: 0,
    }
}

/// Batches that the parent has not acknowledged, and how long the oldest of them has waited.
fn lag(
    reading: &ReadView<'_>,
    origin: OriginId,
    state: &OriginState,
    acknowledged: u64,
    now: SiteTime,
) -> Result<(u64, Option<u64>), StorageError> {
    let batches = state.next.0.saturating_sub(acknowledged);
    if batches == 0 {
        return Ok((0, None));
    }
    let oldest = reading.batch(origin, state.epoch.number, kho_storage::ids::StreamSeq(acknowledged))?;
    let written =
        oldest.and_then(|record| kho_storage::stream::Batch::decode(&record.batch).ok()).map_or(state.batch_time, |batch| batch.site_time);
    Ok((batches, Some(now.seconds_since(written))))
}

fn uplink(node: &Node, register: Option<&VerifiedRegister>) -> UplinkReport {
    let status = node.uplink.lock().clone();
    let is_root = register.and_then(|register| register.site(node.site())).is_some_and(|site| site.parents.is_empty());
    let state = match &status {
        _ if is_root => "root".to_string(),
        None => "starting".into(),
        Some(_) if !node.leads() => "follower".into(),
        Some(UplinkStatus { link: LinkStatus::Open { .. }, .. }) => "connected".into(),
        Some(UplinkStatus { last_failure: Some(why), .. }) => format!("down: {why}"),
        Some(_) => "connecting".into(),
    };
    let parked = status
        .iter()
        .flat_map(|status| &status.streams)
        .filter_map(|stream| match &stream.state {
            StreamState::Parked { reason, .. } => Some(format!("origin {}: {reason:?}", stream.origin)),
            StreamState::ParentAhead { cursor } => Some(format!("origin {}: the parent stands further, at {cursor}", stream.origin)),
            _ => None,
        })
        .collect();
    UplinkReport {
        state,
        parent: status.as_ref().and_then(|status| status.parent).map(|parent| parent.0),
        stand_in: status.is_some_and(|status| status.stand_in),
        parked,
    }
}

fn children(node: &Node, register: Option<&VerifiedRegister>) -> Vec<ChildStatus> {
    let seen = node.children.lock();
    seen.iter()
        .map(|(site, child)| ChildStatus {
            site: site.0,
            name: register.and_then(|register| register.site(*site)).map(|site| site.name.clone()).unwrap_or_default(),
            node: child.node.0,
            connected: child.connections > 0,
            last_heard: child.last_heard.to_rfc3339(),
        })
        .collect()
}

fn disk(node: &Node) -> DiskStatus {
    let (free_bytes, total_bytes) = crate::maintenance::disk_space(&node.config.data_dir).unwrap_or((0, 0));
    let spaces = Space::ALL.into_iter().map(|space| (space.name().to_string(), node.warehouse.size(space).0)).collect();
    DiskStatus {
        free_bytes,
        total_bytes,
        spaces,
        log_bytes: crate::maintenance::folder_bytes(&node.config.data_dir.join("consensus").join("log")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_9_health_names_the_first_thing_that_does_not_move() {
        let consensus = ConsensusStatus {
            role: "leader".into(),
            leader: Some(1),
            term: 1,
            last_log: 1,
            applied: 1,
            snapshot: 0,
            since_quorum_ms: Some(20),
            nodes: vec![],
        };
        let uplink = UplinkReport { state: "connected".into(), parent: Some(1), stand_in: false, parked: vec![] };
        let stream = StreamStatus {
            origin: 3,
            author: 3,
            author_name: "d".into(),
            state: "own".into(),
            epoch: "1".into(),
            seq: 9,
            rows: 1,
            digest: String::new(),
            watermark: String::new(),
            watermark_age_seconds: 1,
            lag_batches: Some(0),
            lag_seconds: None,
            kept_batches: 0,
            kept_bytes: 0,
        };
        let judge = |streams: &[StreamStatus]| verdict(true, &consensus, streams, &uplink, &[]);
        assert_eq!(judge(&[stream.clone()]), "healthy");
        assert!(judge(&[StreamStatus { watermark_age_seconds: 500, ..stream.clone() }]).contains("heads of origin 3 do not move"));
        assert!(
            judge(&[StreamStatus { lag_batches: Some(4), lag_seconds: Some(500), ..stream.clone() }])
                .contains("cursor of origin 3 does not move")
        );
        assert!(judge(&[StreamStatus { state: "stopped: digest mismatch".into(), ..stream.clone() }]).contains("stopped"));
        assert!(verdict(false, &consensus, &[], &uplink, &[]).contains("no register"));
        assert!(verdict(true, &ConsensusStatus { leader: None, ..consensus.clone() }, &[], &uplink, &[]).contains("no leader"));
        let cut_off = ConsensusStatus { since_quorum_ms: Some(QUORUM_ACK_AGE_MS_MAX + 1), ..consensus.clone() };
        assert!(verdict(true, &cut_off, &[], &uplink, &[]).contains("no majority"));
        let down = UplinkReport { state: "down: no route".into(), ..uplink.clone() };
        assert!(verdict(true, &consensus, &[stream], &down, &[]).contains("down"));
    }
}
