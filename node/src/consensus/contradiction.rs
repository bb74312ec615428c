//! A leader whose log contradicts what this node knows to be committed: a majority of the site's disks came back older.
//!
//! Raft promises that it never happens, as long as disks keep what they acknowledged. openraft would cut the log below what is applied and
//! end in a panic. So such a request is refused before openraft sees it, nothing here is changed, and the leader is shown the newest
//! heads of this site's own: its site then knows that it was set back, and entry is closed.

use std::time::{Duration, Instant};

use kho_storage::{codec, ids::NodeId, stream::SignedHead};

use super::{
    Consensus,
    error::PeerRefusal,
    types::{AppendRequest, Entry, LogId},
};

/// Heads shown at most: a refusal has to fit into one small frame.
const SHOWN_MAX: usize = 8;
/// A leader that contradicts this node tries again all the time. After so long without it the report is over.
const REPORT_AGE_MAX: Duration = Duration::from_secs(10);

impl Consensus {
    /// The leader that contradicted what this node holds as committed, as long as it goes on doing so.
    pub fn contradicted_by(&self) -> Option<NodeId> {
        self.contradicted.lock().filter(|(_, at)| at.elapsed() <= REPORT_AGE_MAX).map(|(leader, _)| leader)
    }

    /// Refuses a request that would replace an entry which is applied here.
    ///
    /// # Errors
    /// [`PeerRefusal::FurtherHere`] with what this site's own streams came to.
    pub(super) fn refuse_contradiction(&self, leader: NodeId, request: &AppendRequest) -> Result<(), PeerRefusal> {
        let (vote, applied) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            (metrics.vote, metrics.last_applied)
        };
        let Some(applied) = applied else { return Ok(()) };
        // A leader of the past is refused by openraft.
        if request.vote < vote {
            return Ok(());
        }
        // Where the newest one agrees, all before it do.
        let mut named =
            request.prev_log_id.into_iter().chain(request.entries.iter().map(|entry| entry.log_id)).filter(|id| id.index <= applied.index);
        let Some(newest) = named.next_back() else { return Ok(()) };
        if self.log_id_at(newest.index, applied).is_none_or(|ours| ours == newest) {
            return Ok(());
        }
        Err(self.further_here(leader))
    }

    /// Refuses a log snapshot that ends before what is applied here, from a leader that does not know of it.
    ///
    /// # Errors
    /// [`PeerRefusal::FurtherHere`].
    pub(super) fn further_here(&self, leader: NodeId) -> PeerRefusal {
        *self.contradicted.lock() = Some((leader, Instant::now()));
        let heads = self.own_heads().unwrap_or_default();
        let refusal = PeerRefusal::FurtherHere { heads };
        tracing::error!(%leader, "the leader's log contradicts entries that are committed and applied here: the other nodes were set back");
        refusal
    }

    pub(super) fn log_id_at(&self, index: u64, applied: LogId) -> Option<LogId> {
        if index == applied.index {
            return Some(applied);
        }
        let record = self.log.read(index..index + 1, usize::MAX).ok()?.pop()?;
        codec::decode::<Entry>(&record.bytes).ok().map(|entry| entry.log_id)
    }

    fn own_heads(&self) -> Result<Vec<SignedHead>, kho_storage::error::StorageError> {
        let Some(register) = self.warehouse.register() else { return Ok(vec![]) };
        let mut heads = Vec::new();
        for origin in register.origins_of(self.group().site).take(SHOWN_MAX) {
            let newest = self.warehouse.read(|reading| match reading.origin(origin)? {
                Some(state) => reading.newest_head(origin, &state),
                None => Ok(None),
            })?;
            heads.extend(newest);
        }
        Ok(heads)
    }
}
