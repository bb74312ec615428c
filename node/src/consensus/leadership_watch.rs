//! Watches openraft and the disk: who leads, whether that leader may act, and why this node can't go on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kho_storage::{command::DivergedPlace, warehouse::Warehouse};
use tokio::sync::watch;

use super::{
    config::BelievedTime,
    divergence::{self, OwnDivergence},
    log::LogTail,
    peers::{PeerTarget, Peers},
    status::{self, Leadership},
    types::Raft,
};

/// How often a leader that is ready is checked for the acknowledgement of a majority.
const READINESS_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Reports who leads, and why this node can't go on once that is so.
pub(super) struct LeadershipWatch {
    pub raft: Raft,
    pub log_tail: Arc<LogTail>,
    pub peers: Arc<Peers>,
    pub warehouse: Arc<Warehouse>,
    pub own_divergence: OwnDivergence,
    pub believed_time: BelievedTime,
    pub leadership: watch::Sender<Leadership>,
    pub failure: watch::Sender<Option<String>>,
}

impl LeadershipWatch {
    /// Runs until this node can't go on.
    pub async fn run(self) {
        // All metrics change with every entry; those of the server only when a leader, a term or the members change.
        let (mut all, mut server) = (self.raft.metrics(), self.raft.server_metrics());
        let (mut stalls, mut ended) = (false, false);
        loop {
            server.mark_unchanged();
            stalls = report_stall(stalls, self.log_tail.stalled_for(Instant::now()));
            let (mut leadership, failure) = {
                let metrics = all.borrow_and_update();
                (status::leadership(&metrics), status::failure(&metrics))
            };
            let noted = self.noted_divergence();
            if let Some(place) = self.own_divergence.place().or(noted) {
                self.peers.leading().keep_silent();
                self.leadership.send_replace(Leadership::default());
                if noted.is_none() {
                    divergence::report_to_site(&self.peers, &self.other_members(), place, (self.believed_time)()).await;
                }
                let why = divergence::told(self.peers.local().node, place);
                tracing::error!("{why}");
                return drop(self.failure.send_replace(Some(why)));
            }
            if failure.is_some() || ended {
                // When openraft has ended it said why.
                return drop(self.failure.send_replace(failure));
            }
            // openraft waits for the disk too, and goes on calling itself the leader meanwhile.
            leadership.ready &= !stalls && self.peers.leading().may_lead();
            self.leadership.send_if_modified(|sent| std::mem::replace(sent, leadership) != leadership);
            let not_ready_yet = leadership.is_self && !leadership.ready;
            let runs = tokio::select! {
                changed = all.changed(), if not_ready_yet => changed.is_ok(),
                changed = server.changed() => changed.is_ok(),
                () = tokio::time::sleep(READINESS_POLL_INTERVAL) => true,
                failed = self.log_tail.until_write_failed() => {
                    // Nothing is sent to the followers any more either, so that they elect one that can write.
                    self.leadership.send_replace(Leadership::default());
                    return drop(self.failure.send_replace(Some(failed.to_string())));
                }
            };
            ended = !runs;
        }
    }

    /// What the site has noted of this node. A disk that can't be read says so elsewhere.
    fn noted_divergence(&self) -> Option<DivergedPlace> {
        let local = self.peers.local();
        self.warehouse.divergence_of(local.node, local.disk.0).ok().flatten()
    }

    /// The other members, the leader as this node knew it last in front.
    fn other_members(&self) -> Vec<PeerTarget> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let others = metrics.membership_config.nodes().filter(|(id, _)| **id != metrics.id);
        let mut others: Vec<PeerTarget> = others.map(|(id, record)| PeerTarget::of_member(*id, record)).collect();
        others.sort_by_key(|other| metrics.current_leader != Some(other.node.0));
        others
    }
}

/// Logs for the operator when the disk begins to stall and when that is over. Whether it is stalled.
fn report_stall(stalled_before: bool, stalled_for: Option<Duration>) -> bool {
    match (stalled_before, stalled_for) {
        (false, Some(stalled)) => tracing::error!(
            ?stalled,
            "the disk takes no write to the log; this node leads and agrees to nothing until it does: check the disk"
        ),
        (true, None) => tracing::info!("the disk takes writes to the log again"),
        _ => {}
    }
    stalled_for.is_some()
}
