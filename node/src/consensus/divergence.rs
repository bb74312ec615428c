//! A node that computed something else than a majority of its site: it is noted in the site's state, leads no more and takes part no more.
//!
//! ```text
//! a leader that is outvoted ──► notes itself in the log ─┐
//! a member that differs ──► the leader notes it ─────────┼─► `NoteDiverged` applied ──► that node stops, and never starts on this disk again
//! a node that can't apply an entry ──► tells the site ────┘                         └─► a finding at every node, until the node is removed
//! ```
//! Nothing of the site's data changes by it: the note names a node and a disk. The way out is `kho node remove`, and a fresh node under a new
//! id; the orders stand in the audit log.
//!
//! Invariant: a damaged node stops itself and no other (tests `promise_5_a_leader_whose_rows_are_damaged_stops_and_the_others_go_on`,
//! `promise_5_a_follower_whose_rows_are_damaged_stops_alone_and_is_named`).

use std::{sync::Arc, time::Duration};

use kho_storage::{
    command::{Command, DivergedPlace},
    ids::{NodeId, SiteTime},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Consensus,
    peers::{LocalNode, PeerTarget, Peers, wire::Subject},
    propose::AtLeader,
    types::{CommandBytes, Raft},
};

/// How long a node that diverged tries to tell its site before it stops.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts.
const REPORT_PAUSE: Duration = Duration::from_millis(200);

/// Where this node diverged; nothing as long as it did not.
#[derive(Debug, Clone)]
pub(super) struct OwnDivergence(Arc<watch::Sender<Option<DivergedPlace>>>);

impl Default for OwnDivergence {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl OwnDivergence {
    pub fn note(&self, place: DivergedPlace) {
        self.0.send_if_modified(|known| {
            let is_new = known.is_none();
            known.get_or_insert(place);
            is_new
        });
    }

    pub fn place(&self) -> Option<DivergedPlace> {
        *self.0.borrow()
    }
}

/// What is told of a node that diverged, to its log and its operator.
pub(super) fn told(node: NodeId, place: DivergedPlace) -> String {
    let what = match place {
        DivergedPlace::Stream { origin, seq } => format!("origin {origin} after batch {seq}"),
        DivergedPlace::State { position } => format!("the state after entry {position} of the site's log"),
    };
    format!(
        "the data on this node's disk are not those that a majority of its site computed ({what}). It takes part no more. Keep the disk as evidence; at another node run `kho node remove {node}`, then add a fresh node under a new id with `kho node add`"
    )
}

impl Consensus {
    /// Has the site note members that computed something else.
    pub(super) fn report_differing(&self, differing: &[NodeId], place: DivergedPlace) {
        for node in differing {
            tracing::error!(%node, ?place, "a node computed something else than a majority of its site");
            if let Some(target) = self.member(*node) {
                self.turned_back.note_diverged(&target, place);
            }
        }
    }

    /// Stops leading, notes itself in the site's log and then takes part no more.
    pub(super) fn leave_as_diverged(&self, place: DivergedPlace) {
        if !self.peers.leading().set_diverged() {
            return;
        }
        tracing::error!(?place, "a majority of the site computed something else than this leader: it stops leading");
        let (raft, peers, own) = (self.raft.clone(), Arc::clone(&self.peers), self.own_divergence.clone());
        let now = (self.believed_time)();
        self.tasks.job("leaves as diverged", async move {
            note_in_own_log(&raft, peers.local(), place, now).await;
            peers.leading().keep_silent();
            own.note(place);
        });
    }
}

fn note_of(local: &LocalNode, place: DivergedPlace, now: SiteTime) -> Option<CommandBytes> {
    let note = Command::NoteDiverged { site_time: now, node: local.node, disk: local.disk.0, place };
    CommandBytes::encode(&note).ok()
}

async fn note_in_own_log(raft: &Raft, local: &LocalNode, place: DivergedPlace, now: SiteTime) {
    let Some(note) = note_of(local, place, now) else { return };
    if !matches!(timeout_at(Instant::now() + REPORT_TIMEOUT, raft.client_write(note)).await, Ok(Ok(_))) {
        tracing::warn!("the site could not be told that this node diverged; the next leader finds out");
    }
}

/// Tells the site that this node can't apply what it committed: whichever of the other members leads takes the note. The node has stopped
/// taking part by then.
pub(super) async fn report_to_site(peers: &Peers, others: &[PeerTarget], place: DivergedPlace, now: SiteTime) {
    let Some(note) = note_of(peers.local(), place, now) else { return };
    let deadline = Instant::now() + REPORT_TIMEOUT;
    while Instant::now() < deadline {
        for other in others {
            let reply = timeout_at(deadline, peers.call(other, Subject::Propose, note.as_bytes())).await;
            if let Ok(Ok(reply)) = reply
                && matches!(reply.read(), Ok(AtLeader::Outcome(_)))
            {
                return;
            }
        }
        sleep(REPORT_PAUSE).await;
    }
    tracing::warn!("the site could not be told that this node diverged; its next comparison finds out");
}
