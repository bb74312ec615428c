//! The status report, and what makes a node healthy.
//!
//! Invariant (promise 9): status never reads healthy while a checkpoint is not moving: an own stream without a head, a stream
//! that the parent has not acknowledged for long, a stopped origin or a site without a leader each have a [`Health`] of their own
//! (test `promise_9_health_names_the_first_thing_that_does_not_move`).

use std::collections::BTreeMap;

use kho_replication::uplink::{LinkStatus, StreamState as UplinkStreamState, UplinkStatus};
use kho_storage::{
    error::StorageError,
    ids::{OriginId, SiteTime},
    keys::Space,
    register::VerifiedRegister,
    warehouse::{OriginState, ReadView},
};

use crate::{
    api::{
        Alarm, ChildStatus, ConsensusReport, DiskStatus, Finding, Health, NodeStatus, ParkedReason, ParkedStream, Role, Severity,
        StatusReport, StreamReport, StreamState, UplinkReport, UplinkState,
    },
    consensus::{NodeRole, QUORUM_ACK_AGE_MS_MAX, RaftStatus},
    findings::{findings, pinned_key, still_children, two_voters},
    node::Node,
    reasons,
};

/// An unacknowledged or headless stream that does not move for so long is not healthy.
const STILL_SECONDS_MAX: u64 = 120;

/// Reads everything that status shows.
///
/// # Errors
/// A fault of the local disk.
pub fn report(node: &Node) -> Result<StatusReport, StorageError> {
    let register = node.warehouse.register();
    let register = register.as_deref();
    let site = register.and_then(|register| register.site(node.site()));
    let now = node.clock.now();
    let status = node.consensus.status();
    let consensus = consensus(&status);
    let members = status.members.iter().map(|member| (member.node, member.disk.0)).collect();
    let (streams, mut findings) = node.warehouse.read(|reading| {
        let mut findings = findings(reading, &members, &node.failed_proofs, &node.config.data_dir, now)?;
        let last_heard = |child| node.children.lock().get(&child).map(|seen| seen.last_heard);
        findings.extend(still_children(reading, node.site(), last_heard, node.config.limits.child_silent_seconds, now)?);
        findings.extend(two_voters(&status.members));
        findings.extend(pinned_key(&node.warehouse));
        Ok::<_, StorageError>((streams(node, reading, now)?, findings))
    })?;
    findings.extend(node.damage_found.finding());
    let uplink = uplink(node, register);
    let alarms = node.alarms.list();
    let standing = Standing {
        has_register: register.is_some(),
        removed_by: status.removed_by.map(|by| by.0),
        may_lead: status.may_lead,
        consensus: &consensus,
        streams: &streams,
        uplink: &uplink,
        findings: &findings,
        alarms: &alarms,
    };
    let health = standing.health();
    Ok(StatusReport {
        tree: node.config.tree.clone(),
        site: node.site().0,
        site_name: site.map(|site| site.name.clone()).unwrap_or_default(),
        tier: site.map(|site| site.tier.to_string()).unwrap_or_default(),
        node: node.config.node.0,
        version: env!("CARGO_PKG_VERSION").into(),
        health,
        findings,
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

/// What health is decided by.
#[derive(Clone, Copy)]
struct Standing<'a> {
    has_register: bool,
    removed_by: Option<u64>,
    may_lead: bool,
    consensus: &'a ConsensusReport,
    streams: &'a [StreamReport],
    uplink: &'a UplinkReport,
    findings: &'a [Finding],
    alarms: &'a [Alarm],
}

impl Standing<'_> {
    /// Healthy, or the first thing that is wrong.
    fn health(&self) -> Health {
        if let Some(by) = self.removed_by {
            return Health::Removed { by };
        }
        if !self.has_register {
            return Health::NoRegister;
        }
        if !self.may_lead {
            return Health::KeyNotInRegister;
        }
        if self.consensus.leader.is_none() {
            return Health::NoLeader;
        }
        if let Some(unreachable) = self.leader_unreachable() {
            return unreachable;
        }
        if let Some(silent_ms) = self.consensus.since_quorum_ms.filter(|silent_ms| *silent_ms > QUORUM_ACK_AGE_MS_MAX) {
            return Health::NoMajority { silent_ms };
        }
        if let Some(finding) = self.findings.iter().find(|finding| finding.severity() == Severity::Critical) {
            return Health::FindingStands { finding: finding.clone() };
        }
        if let Some(still) = self.streams.iter().find_map(still) {
            return still;
        }
        if let UplinkState::Down { failure } = &self.uplink.state {
            return Health::UplinkDown { failure: failure.clone() };
        }
        let finding = self.findings.iter().find(|finding| finding.severity() > Severity::Notice);
        match (self.alarms.first(), finding) {
            (Some(alarm), _) => Health::AlarmRaised { alarm: alarm.kind.clone() },
            (None, Some(finding)) => Health::FindingStands { finding: finding.clone() },
            (None, None) => Health::Healthy,
        }
    }

    /// A leader that does not answer this node, though its heartbeats come.
    fn leader_unreachable(&self) -> Option<Health> {
        let leader = self.consensus.nodes.iter().find(|node| Some(node.node) == self.consensus.leader)?;
        let silent_seconds = leader.silent_seconds?;
        Some(Health::LeaderUnreachable { leader: leader.node, address: leader.quic_address.clone(), silent_seconds })
    }
}

/// A stream of which a checkpoint does not move.
fn still(stream: &StreamReport) -> Option<Health> {
    if stream.state == StreamState::Own && stream.watermark_age_seconds > STILL_SECONDS_MAX {
        return Some(Health::HeadsStill { origin: stream.origin, age_seconds: stream.watermark_age_seconds });
    }
    let lag_seconds = stream.lag_seconds.filter(|lag| *lag > STILL_SECONDS_MAX)?;
    Some(Health::ParentCursorStill { origin: stream.origin, lag_batches: stream.lag_batches.unwrap_or(0), lag_seconds })
}

fn consensus(status: &RaftStatus) -> ConsensusReport {
    let role = match status.role {
        NodeRole::Leader => Role::Leader,
        NodeRole::Follower => Role::Follower,
        NodeRole::Candidate => Role::Candidate,
        NodeRole::Learner => Role::Learner,
        NodeRole::Stopped => Role::Stopped,
    };
    ConsensusReport {
        role,
        leader: status.leader.map(|leader| leader.0),
        term: status.term,
        last_log: status.last_log.unwrap_or(0),
        applied: status.applied.unwrap_or(0),
        snapshot: status.snapshot.unwrap_or(0),
        since_quorum_ms: status.since_quorum_ms,
        nodes: status
            .members
            .iter()
            .map(|member| {
                let silent_seconds = status.unreachable.get(&member.node).map(|unreachable| unreachable.seconds);
                // What it held when it answered last says nothing of now.
                let lag = status.lag_entries.get(&member.node).copied().flatten();
                NodeStatus {
                    node: member.node.0,
                    voter: member.voter,
                    quic_address: member.quic_address.clone(),
                    https_address: member.https_address.clone(),
                    lag_entries: lag.filter(|_| silent_seconds.is_none()),
                    silent_seconds,
                }
            })
            .collect(),
    }
}

fn streams(node: &Node, reading: &ReadView<'_>, now: SiteTime) -> Result<Vec<StreamReport>, StorageError> {
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
        let lag = match parent.filter(|parent| register.leads_through(origin, *parent)) {
            None => None,
            Some(_) => Some(lag(
                reading,
                origin,
                &state,
                acknowledged.get(&origin).filter(|c| c.epoch == state.epoch).map_or(1, |c| c.next.0),
                now,
            )?),
        };
        found.push(StreamReport {
            origin: origin.0,
            author: author.map_or(0, |author| author.0),
            author_name: name,
            state: match &state.stopped {
                Some(stopped) => StreamState::Stopped { seq: stopped.seq.0, reason: reasons::stopped(stopped) },
                None if transferring.contains(&origin) => StreamState::Transferring,
                None if author == Some(node.site()) => StreamState::Own,
                None => StreamState::Following,
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
fn never_headed(node: &Node, register: &VerifiedRegister, origin: OriginId, now: SiteTime) -> StreamReport {
    StreamReport {
        origin: origin.0,
        author: node.site().0,
        author_name: register.site(node.site()).map(|site| site.name.clone()).unwrap_or_default(),
        state: StreamState::Own,
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
        _ if is_root => UplinkState::Root,
        None => UplinkState::Starting,
        Some(_) if !node.leads() => UplinkState::Follower,
        Some(UplinkStatus { link: LinkStatus::Open { .. }, .. }) => UplinkState::Connected,
        Some(UplinkStatus { last_failure: Some(failure), .. }) => UplinkState::Down { failure: reasons::link_failure(failure) },
        Some(_) => UplinkState::Connecting,
    };
    let parked = status
        .iter()
        .flat_map(|status| &status.streams)
        .filter_map(|stream| {
            let reason = match &stream.state {
                UplinkStreamState::Parked { reason, .. } => ParkedReason::Parked { reason: reasons::park(reason) },
                UplinkStreamState::ParentAhead { cursor } => ParkedReason::ParentAhead { cursor: cursor.to_string() },
                _ => return None,
            };
            Some(ParkedStream { origin: stream.origin.0, reason })
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
    use crate::api::{AlarmKind, Reason};

    fn consensus() -> ConsensusReport {
        ConsensusReport {
            role: Role::Leader,
            leader: Some(1),
            term: 1,
            last_log: 1,
            applied: 1,
            snapshot: 0,
            since_quorum_ms: Some(20),
            nodes: vec![],
        }
    }

    fn stream() -> StreamReport {
        StreamReport {
            origin: 3,
            author: 3,
            author_name: "d".into(),
            state: StreamState::Own,
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
        }
    }

    #[test]
    fn promise_9_health_names_the_first_thing_that_does_not_move() {
        let (consensus, stream) = (consensus(), stream());
        let uplink = UplinkReport { state: UplinkState::Connected, parent: Some(1), stand_in: false, parked: vec![] };
        let good = Standing {
            has_register: true,
            removed_by: None,
            may_lead: true,
            consensus: &consensus,
            streams: std::slice::from_ref(&stream),
            uplink: &uplink,
            findings: &[],
            alarms: &[],
        };
        assert_eq!(good.health(), Health::Healthy);

        let of = |stream: StreamReport| Standing { streams: &[stream], ..good }.health();
        assert_eq!(of(StreamReport { watermark_age_seconds: 500, ..stream.clone() }), Health::HeadsStill { origin: 3, age_seconds: 500 });
        let waiting = StreamReport { lag_batches: Some(4), lag_seconds: Some(500), ..stream.clone() };
        assert_eq!(of(waiting), Health::ParentCursorStill { origin: 3, lag_batches: 4, lag_seconds: 500 });

        let reason = Reason::new("stop", "digest_mismatch", vec![], "digest mismatch");
        let stopped = [Finding::OriginStopped { origin: 3, seq: 9, reason: reason.clone() }];
        assert_eq!(Standing { findings: &stopped, ..good }.health(), Health::FindingStands { finding: stopped[0].clone() });
        let evidence = [Finding::EvidenceKept { origin: 3, pieces: 1, first_seq: 9 }];
        assert_eq!(Standing { findings: &evidence, ..good }.health(), Health::FindingStands { finding: evidence[0].clone() });
        let (by, reviewed_at) = ("kho://vn/operator/lan".into(), "2019-04-01T00:00:00Z".into());
        let reviewed = [Finding::EvidenceReviewed { origin: 3, pieces: 1, by, reviewed_at }];
        assert_eq!(Standing { findings: &reviewed, ..good }.health(), Health::Healthy, "an operator has seen it");
        let newer = [reviewed[0].clone(), evidence[0].clone()];
        assert_eq!(Standing { findings: &newer, ..good }.health(), Health::FindingStands { finding: evidence[0].clone() });
        let kind = AlarmKind::MemberSilent { node: 2 };
        let alarms = [Alarm { severity: kind.severity(), subject: kind.about(), kind: kind.clone(), since: String::new() }];
        assert_eq!(Standing { alarms: &alarms, ..good }.health(), Health::AlarmRaised { alarm: kind });

        assert_eq!(Standing { has_register: false, ..good }.health(), Health::NoRegister);
        assert_eq!(Standing { removed_by: Some(1), has_register: false, ..good }.health(), Health::Removed { by: 1 });
        assert_eq!(Standing { may_lead: false, ..good }.health(), Health::KeyNotInRegister);
        let leaderless = ConsensusReport { leader: None, ..consensus.clone() };
        assert_eq!(Standing { consensus: &leaderless, ..good }.health(), Health::NoLeader);
        let member = NodeStatus {
            node: 1,
            voter: true,
            quic_address: "10.0.0.5:7444".into(),
            https_address: String::new(),
            lag_entries: None,
            silent_seconds: Some(12),
        };
        let other = NodeStatus { node: 2, ..member.clone() };
        let unreached = ConsensusReport { role: Role::Follower, nodes: vec![member], ..consensus.clone() };
        let named = Health::LeaderUnreachable { leader: 1, address: "10.0.0.5:7444".into(), silent_seconds: 12 };
        assert_eq!(Standing { consensus: &unreached, ..good }.health(), named);
        let reached = ConsensusReport { nodes: vec![other], ..unreached };
        assert_eq!(Standing { consensus: &reached, ..good }.health(), Health::Healthy, "that another one is silent is an alarm");
        let silent_ms = QUORUM_ACK_AGE_MS_MAX + 1;
        let cut_off = ConsensusReport { since_quorum_ms: Some(silent_ms), ..consensus.clone() };
        assert_eq!(Standing { consensus: &cut_off, ..good }.health(), Health::NoMajority { silent_ms });
        let down = UplinkReport { state: UplinkState::Down { failure: reason.clone() }, ..uplink.clone() };
        assert_eq!(Standing { uplink: &down, ..good }.health(), Health::UplinkDown { failure: reason });
    }
}
