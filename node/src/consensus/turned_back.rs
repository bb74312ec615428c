//! Nodes whose disks were turned back: noted in the site's state, so that a change of leader forgets none of them.
//!
//! A follower that denies what it acknowledged is detected by the leader to which it did (`peers/acknowledged.rs`). That leader notes
//! node and disk in the site's log. From then on no leader sends the node anything or counts its votes, every node's status names it, and
//! a majority is formed without it. It ends when the node is removed: its id never returns, nor does its disk.
//!
//! The other way round, a member that holds more than the leader's log (`contradiction.rs`) shows its newest heads of the site's own, and the
//! leader's site notes that it was set back.

use std::sync::Arc;

use kho_storage::{
    command::{Command, DivergedPlace, ShownBy},
    error::StorageError,
    ids::{NodeId, SiteTime},
    stream::SignedHead,
    warehouse::{HeadPosition, Warehouse},
};
use tokio::sync::mpsc;

use super::{
    config::BelievedTime,
    peers::PeerTarget,
    types::{CommandBytes, DiskId, Raft},
};

/// Reports that wait for the site's log; a node is detected again with the next entry.
const REPORTS_MAX: usize = 16;

/// What is known of nodes whose disks were turned back.
#[derive(Clone)]
pub(super) struct TurnedBack {
    warehouse: Arc<Warehouse>,
    reports: mpsc::Sender<Report>,
}

/// What a leader found out about a member.
#[derive(Debug)]
pub(super) enum Report {
    /// The disk no longer holds what it had acknowledged.
    TurnedBack(NodeId, DiskId),
    /// The member holds what this log contradicts, with the newest heads of the site's own.
    Further(NodeId, Vec<SignedHead>),
    /// The member computed something else than a majority.
    Diverged(NodeId, DiskId, DivergedPlace),
}

impl TurnedBack {
    /// What the state of `warehouse` says, and where to report more.
    pub fn of(warehouse: Arc<Warehouse>) -> (Self, mpsc::Receiver<Report>) {
        let (reports, received) = mpsc::channel(REPORTS_MAX);
        (Self { warehouse, reports }, received)
    }

    /// Whether the site has noted it. A disk that can't be read says so elsewhere.
    pub fn holds(&self, target: &PeerTarget) -> bool {
        target.disk.is_some_and(|disk| self.knows(target.node, disk))
    }

    pub fn knows(&self, node: NodeId, disk: DiskId) -> bool {
        self.warehouse.is_turned_back(node, disk.0).unwrap_or(false)
    }

    /// Reports a node, to be noted. A full channel loses nothing: the node is detected again.
    pub fn note(&self, target: &PeerTarget) {
        if let Some(disk) = target.disk {
            let _ = self.reports.try_send(Report::TurnedBack(target.node, disk));
        }
    }

    /// Reports a node that computed something else than a majority, to be noted.
    pub fn note_diverged(&self, target: &PeerTarget, place: DivergedPlace) {
        if let Some(disk) = target.disk {
            let _ = self.reports.try_send(Report::Diverged(target.node, disk, place));
        }
    }

    /// Reports that a member holds more than this log, to be noted.
    pub fn note_further(&self, target: &PeerTarget, heads: &[SignedHead]) {
        let _ = self.reports.try_send(Report::Further(target.node, heads.to_vec()));
    }

    /// What is to be noted of a report, and is not yet.
    fn commands(&self, report: Report, site_time: SiteTime) -> Result<Vec<Command>, StorageError> {
        match report {
            Report::TurnedBack(node, disk) if self.knows(node, disk) => Ok(vec![]),
            Report::TurnedBack(node, disk) => Ok(vec![Command::NoteTurnedBack { site_time, node, disk: disk.0 }]),
            Report::Diverged(node, disk, place) => Ok(match self.warehouse.divergence_of(node, disk.0)? {
                Some(_) => vec![],
                None => vec![Command::NoteDiverged { site_time, node, disk: disk.0, place }],
            }),
            Report::Further(node, heads) => {
                let mut commands = Vec::new();
                for signed in heads {
                    let known = self.warehouse.set_back(signed.head.origin)?;
                    let is_known = known.is_some_and(|known| known.furthest.head.seq >= signed.head.seq);
                    let position = self.warehouse.head_position(&signed)?;
                    if !is_known && matches!(position, HeadPosition::Further | HeadPosition::Elsewhere) {
                        commands.push(Command::NoteSetBack { site_time, shown_by: ShownBy::Node(node), signed });
                    }
                }
                Ok(commands)
            }
        }
    }
}

/// Notes in the site's log what was reported, as long as this node leads.
pub(super) async fn note_reports(raft: Raft, turned_back: TurnedBack, mut reports: mpsc::Receiver<Report>, believed_time: BelievedTime) {
    while let Some(report) = reports.recv().await {
        let site_time = believed_time();
        let commands = match turned_back.commands(report, site_time) {
            Ok(commands) => commands,
            Err(error) => {
                tracing::error!(%error, "what a member reported could not be compared; it is detected again");
                continue;
            }
        };
        for command in commands {
            match CommandBytes::encode(&command) {
                Ok(command) => {
                    if let Err(error) = raft.client_write(command).await {
                        tracing::warn!(%error, "what a member reported could not be noted; it is detected again");
                    }
                }
                Err(error) => tracing::error!(%error, "what a member reported can't be encoded; report this defect"),
            }
        }
    }
}
