//! When a log snapshot is due and which part of the log may go. An idle node is flushed on the same occasion ([`IdleFlush`]).
//!
//! Invariant: an entry is purged only when a log snapshot holds it, when the state on disk has applied it, and when no
//! member that is being sent a log snapshot, or is a little behind, still needs it. Test:
//! `the_log_a_member_needs_next_is_not_purged`.

use std::sync::Arc;

use kho_storage::{
    log_db::{LogDb, LogDbError, LogExtent},
    warehouse::Warehouse,
};
use tokio_util::sync::CancellationToken;

use super::{
    config::ConsensusLimits,
    log::IdleFlush,
    snapshot::SnapshotStore,
    state_position::position_of,
    types::{Raft, RaftMetrics},
};

/// What is known when deciding. Positions are log indexes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct LogView {
    extent: LogExtent,
    applied: Option<u64>,
    /// Applied after a crash now.
    persisted: Option<u64>,
    snapshot: Option<u64>,
    bytes_since_snapshot: u64,
    /// The first entry kept for followers a little behind.
    kept_from: u64,
    /// The last entry of the oldest log snapshot being sent.
    sending: Option<u64>,
    /// The first entry that a follower within reach needs next.
    needed_from: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeeperAction {
    MakeSnapshot,
    /// Inclusive.
    PurgeTo(u64),
}

fn decide(view: &LogView, limits: &ConsensusLimits) -> Option<KeeperAction> {
    let first_new = view.snapshot.map_or(view.extent.first, |snapshot| snapshot + 1);
    let entries_since = view.applied.map_or(0, |applied| (applied + 1).saturating_sub(first_new));
    if entries_since > 0 && (entries_since >= limits.snapshot_log_entries || view.bytes_since_snapshot >= limits.snapshot_log_bytes) {
        return Some(KeeperAction::MakeSnapshot);
    }
    let covered = view.snapshot?.min(view.persisted?);
    let bounds = [
        view.kept_from.checked_sub(1)?,
        view.sending.unwrap_or(u64::MAX),
        view.needed_from.map_or(Some(u64::MAX), |needed| needed.checked_sub(1))?,
    ];
    let upto = bounds.into_iter().fold(covered, u64::min);
    assert!(
        view.persisted.is_some_and(|persisted| upto <= persisted),
        "the log is purged up to {upto}, beyond what the state on disk applied"
    );
    (!view.extent.is_empty() && upto >= view.extent.first).then_some(KeeperAction::PurgeTo(upto))
}

/// Checks the log from time to time and does what is due.
pub(super) struct LogKeeper {
    pub raft: Raft,
    pub log: Arc<LogDb>,
    pub warehouse: Arc<Warehouse>,
    pub snapshot_store: Arc<SnapshotStore>,
    pub limits: ConsensusLimits,
}

impl LogKeeper {
    /// Runs until `stopping`, and then ends only once it works on the disk no more.
    pub async fn run(self, stopping: CancellationToken) {
        let this = Arc::new(self);
        let mut idle_flush = IdleFlush::new(Arc::clone(&this.log), Arc::clone(&this.warehouse));
        while stopping.run_until_cancelled(tokio::time::sleep(this.limits.log_check_interval)).await.is_some() {
            let metrics = this.raft.metrics().borrow().clone();
            if metrics.running_state.is_err() {
                return;
            }
            let observed = tokio::task::spawn_blocking({
                let this = Arc::clone(&this);
                move || {
                    idle_flush.check();
                    (this.observe(&metrics), idle_flush)
                }
            });
            let Ok((view, flush)) = observed.await else { return };
            idle_flush = flush;
            match view {
                Ok(Some(view)) => {
                    if !matches!(stopping.run_until_cancelled(this.act(&view)).await, Some(Ok(()))) {
                        return;
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the log's size could not be judged; no log snapshot is made"),
            }
        }
    }

    async fn act(&self, view: &LogView) -> Result<(), openraft::error::Fatal<u64>> {
        match decide(view, &self.limits) {
            None => Ok(()),
            Some(KeeperAction::MakeSnapshot) => self.raft.trigger().snapshot().await,
            Some(KeeperAction::PurgeTo(upto)) => self.raft.trigger().purge_log(upto).await,
        }
    }

    /// `None` when the state's mark can't be read: the state machine meets the same fault and stops the node.
    fn observe(&self, metrics: &RaftMetrics) -> Result<Option<LogView>, LogDbError> {
        let extent = self.log.extent();
        let snapshot = metrics.snapshot.map(|id| id.index);
        let Ok(mark) = self.warehouse.persisted_applied() else { return Ok(None) };
        let Ok((persisted, _)) = position_of(&mark.unwrap_or_default()) else { return Ok(None) };
        Ok(Some(LogView {
            extent,
            applied: metrics.last_applied.map(|id| id.index),
            persisted: persisted.map(|id| id.index),
            snapshot,
            bytes_since_snapshot: self.log.bytes_from(snapshot.map_or(extent.first, |snapshot| snapshot + 1))?,
            kept_from: snapshot.map_or(Ok(extent.first), |snapshot| self.kept_from(extent, snapshot))?,
            sending: self.snapshot_store.oldest_sending(),
            needed_from: self.needed_from(extent, metrics)?,
        }))
    }

    /// The first of the entries up to `snapshot` that number and weigh no more than is kept.
    fn kept_from(&self, extent: LogExtent, snapshot: u64) -> Result<u64, LogDbError> {
        let end = (snapshot + 1).min(extent.next);
        let behind = self.log.bytes_from(end)?;
        let (mut low, mut high) = (extent.first.max((snapshot + 1).saturating_sub(self.limits.kept_log_entries)), end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.log.bytes_from(middle)?.saturating_sub(behind) <= self.limits.kept_log_bytes {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    /// Followers that lag by more than the limit, or were never reached, don't count: they get a log snapshot.
    fn needed_from(&self, extent: LogExtent, metrics: &RaftMetrics) -> Result<Option<u64>, LogDbError> {
        let mut needed = None;
        for (_, matched) in metrics.replication.iter().flatten() {
            let Some(next) = matched.map(|id| id.index + 1).filter(|next| *next >= extent.first) else { continue };
            if self.log.bytes_from(next)? <= self.limits.lagging_log_bytes_max {
                needed = Some(needed.map_or(next, |least: u64| least.min(next)));
            }
        }
        Ok(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ConsensusLimits {
        ConsensusLimits { snapshot_log_entries: 100, snapshot_log_bytes: 1_000, ..ConsensusLimits::default() }
    }

    fn view() -> LogView {
        LogView {
            extent: LogExtent { first: 0, next: 95 },
            applied: Some(94),
            persisted: Some(60),
            snapshot: Some(50),
            bytes_since_snapshot: 10,
            kept_from: 41,
            sending: None,
            needed_from: None,
        }
    }

    #[test]
    fn a_snapshot_is_due_by_entries_or_by_bytes_but_only_over_applied_entries() {
        assert_ne!(decide(&view(), &limits()), Some(KeeperAction::MakeSnapshot));
        assert_eq!(decide(&LogView { applied: Some(150), ..view() }, &limits()), Some(KeeperAction::MakeSnapshot));
        assert_eq!(decide(&LogView { bytes_since_snapshot: 1_000, ..view() }, &limits()), Some(KeeperAction::MakeSnapshot));
        assert_ne!(
            decide(&LogView { bytes_since_snapshot: 1_000, applied: Some(50), ..view() }, &limits()),
            Some(KeeperAction::MakeSnapshot)
        );
        assert_eq!(decide(&LogView { snapshot: None, applied: Some(99), ..view() }, &limits()), Some(KeeperAction::MakeSnapshot));
    }

    #[test]
    fn the_log_is_purged_only_below_the_snapshot_the_persisted_state_and_what_is_kept() {
        assert_eq!(decide(&view(), &limits()), Some(KeeperAction::PurgeTo(40)));
        assert_eq!(decide(&LogView { kept_from: 80, ..view() }, &limits()), Some(KeeperAction::PurgeTo(50)));
        assert_eq!(decide(&LogView { persisted: Some(30), ..view() }, &limits()), Some(KeeperAction::PurgeTo(30)));
        assert_eq!(decide(&LogView { persisted: None, ..view() }, &limits()), None);
        assert_eq!(decide(&LogView { snapshot: None, ..view() }, &limits()), None);
        assert_eq!(decide(&LogView { kept_from: 0, ..view() }, &limits()), None);
        assert_eq!(decide(&LogView { extent: LogExtent { first: 41, next: 95 }, ..view() }, &limits()), None);
    }

    #[test]
    fn the_log_a_member_needs_next_is_not_purged() {
        assert_eq!(decide(&LogView { sending: Some(20), ..view() }, &limits()), Some(KeeperAction::PurgeTo(20)));
        assert_eq!(decide(&LogView { needed_from: Some(11), ..view() }, &limits()), Some(KeeperAction::PurgeTo(10)));
        assert_eq!(decide(&LogView { needed_from: Some(0), ..view() }, &limits()), None);
    }
}
