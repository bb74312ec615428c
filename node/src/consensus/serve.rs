//! The requests of peers, as this node serves them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kho_replication::quic::{CloseCode, Connection, FrameReceiver, FrameSender};
use kho_storage::{build::Build, codec, ids::NodeId};
use openraft::ServerState;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    Consensus,
    config::LEASE,
    election::{PreVoteReply, PreVoteRequest, draw},
    error::PeerRefusal,
    founding::{Incarnation, JoinError},
    peers::{
        admission::{Admission, KnownMembers, admit},
        append_pipeline::{end_of, held_by},
        wire::{self, Envelope, Expectation, HelloReply, Subject, Verdict, WireError},
    },
    read::NotConfirmed,
    snapshot::wire::Reply,
    types::{AppendRequest, AppendResponse, CommandBytes, DiskId, Vote, VoteRequest},
};
use crate::clock::machine_time;

/// Larger bodies take their share of what all peers together may have under way here. Smaller ones, heartbeats and votes
/// among them, never wait for it.
const LARGE_BODY_BYTES: u32 = 64 << 10;
/// A request's envelope comes with the stream.
const ENVELOPE_TIMEOUT: Duration = Duration::from_secs(10);
/// A request's body comes within this, or its link is too slow to be of use.
const BODY_TIMEOUT: Duration = Duration::from_secs(120);

impl Consensus {
    /// Serves the requests of an accepted connection until it ends or this node stops.
    pub async fn serve(self: Arc<Self>, connection: Connection) {
        let (site, node) = connection.peer_node();
        if site != self.group().site {
            connection.close(CloseCode::NOT_ADMITTED, "this is another site; the in-site protocol is for its own nodes");
            return;
        }
        let slots = Arc::new(Semaphore::new(self.limits.calls_per_peer_max));
        loop {
            let next = async {
                let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
                connection.accept_bi().await.ok().map(|stream| (slot, stream))
            };
            let Some(Some((slot, (mut sender, mut receiver)))) = self.stopping.run_until_cancelled(next).await else { break };
            let this = Arc::clone(&self);
            self.tasks.job("serves a request of a peer", async move {
                let _slot = slot;
                let stopping = this.stopping.clone();
                // A request that breaks off is sent again; there is nothing to be done about it here.
                if let Some(Err(error)) = stopping.run_until_cancelled(this.reply_stream((site, node), &mut sender, &mut receiver)).await {
                    tracing::debug!(%node, %error, "a request of a peer broke off");
                }
            });
        }
        connection.close(CloseCode::SHUTDOWN, "stopping");
    }

    async fn reply_stream(
        self: &Arc<Self>,
        peer: (kho_storage::ids::SiteId, NodeId),
        sender: &mut FrameSender,
        receiver: &mut FrameReceiver,
    ) -> Result<(), WireError> {
        let too_slow = |timeout| move |_| WireError::TooSlow { timeout };
        let envelope: Envelope = timeout(ENVELOPE_TIMEOUT, wire::receive_head(receiver)).await.map_err(too_slow(ENVELOPE_TIMEOUT))??;
        let local = self.peers.local();
        let here = Expectation {
            group: &local.group,
            incarnation: local.founding.incarnation(),
            node: local.node,
            disk: local.disk,
            peer,
            sender_disk: self.known_disk(envelope.from),
            levels: local.levels,
        };
        let admitted = wire::judge(&envelope, &here)
            .and_then(|()| self.admit(envelope.subject, peer.1))
            .and_then(|()| self.refuse_turned_back(&envelope));
        if let Err(refusal) = admitted {
            if self.refusal_log.is_due(peer.1, &refusal, Instant::now()) {
                tracing::warn!(node = %peer.1, %refusal, subject = ?envelope.subject, "a peer's request was refused; said once a minute");
            }
            return match envelope.subject {
                Subject::Snapshot => wire::send_head(sender, &Reply::Refused(refusal)).await,
                _ => refuse(sender, refusal).await,
            };
        }
        if envelope.subject == Subject::Snapshot {
            if let Err(error) = self.snapshots.receive(sender, receiver).await {
                tracing::warn!(node = %peer.1, %error, "a log snapshot could not be received; it goes on where it stopped");
            }
            return Ok(());
        }
        let _share = match envelope.body_bytes {
            small if small <= LARGE_BODY_BYTES => None,
            large => Some(self.received_bytes.take(large as usize).await),
        };
        let body = timeout(BODY_TIMEOUT, wire::receive_body(receiver, envelope.body_bytes)).await.map_err(too_slow(BODY_TIMEOUT))??;
        match self.reply(peer.1, envelope.subject, body).await {
            Ok(reply) => wire::send_message(sender, &Verdict { refused: None, body_bytes: wire::announced(&reply)? }, &reply).await,
            Err(refusal) => refuse(sender, refusal).await,
        }
    }

    async fn reply(&self, peer: NodeId, subject: Subject, body: Vec<u8>) -> Result<Vec<u8>, PeerRefusal> {
        let malformed = |e: codec::CodecError| PeerRefusal::Malformed(e.to_string());
        let reply = match subject {
            Subject::AppendEntries => self.append(peer, wire::decode_body(&body).map_err(malformed)?).await?,
            Subject::Vote => self.vote(peer, wire::decode_body(&body).map_err(malformed)?).await?,
            Subject::PreVoteRequest => codec::encode(&self.pre_vote(peer.0, wire::decode_body(&body).map_err(malformed)?)),
            Subject::Clock => codec::encode(&machine_time()),
            Subject::Hello => {
                if let Some(greeting) = wire::decode_body(&body).map_err(malformed)? {
                    self.peers.newcomers().greeted(greeting)?;
                }
                let local = self.peers.local();
                let (incarnation, levels) = (local.founding.incarnation(), local.levels);
                codec::encode(&HelloReply { disk: self.disk(), fresh: self.is_fresh(), incarnation, levels, build: Build::THIS })
            }
            Subject::Join => {
                let founding = wire::decode_body(&body).map_err(malformed)?;
                codec::encode(&self.join(founding)?)
            }
            Subject::Announce => {
                self.peers.addresses().note(peer, wire::decode_body(&body).map_err(malformed)?)?;
                codec::encode(&())
            }
            Subject::Confirm => codec::encode(&self.confirm_reply(wire::decode_body(&body).map_err(malformed)?)),
            Subject::Propose => codec::encode(&self.write_for_peer(peer, CommandBytes::from_wire(body)).await),
            Subject::Compare => codec::encode(&self.computed_here(&wire::decode_body(&body).map_err(malformed)?).await),
            Subject::ChangeMembers => codec::encode(&self.change_here(wire::decode_body(&body).map_err(malformed)?).await),
            Subject::ReadIndex => match self.confirm_here().await {
                Ok(position) => codec::encode(&position),
                Err(NotConfirmed::NotLeader(leader)) => return Err(PeerRefusal::NotLeader(leader.map(NodeId))),
                Err(NotConfirmed::NoMajority(_)) => return Err(PeerRefusal::NotLeader(None)),
                Err(NotConfirmed::Fatal(why)) => return Err(PeerRefusal::NodeStopped(why)),
            },
            Subject::Snapshot => return Err(PeerRefusal::Malformed("a snapshot is not a single request".into())),
        };
        reply.map_err(malformed)
    }

    async fn append(&self, leader: NodeId, request: AppendRequest) -> Result<Result<Vec<u8>, codec::CodecError>, PeerRefusal> {
        speaks_for_itself(&request.vote, leader)?;
        self.refuse_contradiction(leader, &request)?;
        let end = end_of(&request);
        let response = self.raft.append_entries(request).await.map_err(|e| PeerRefusal::NodeStopped(e.to_string()))?;
        if !matches!(response, AppendResponse::HigherVote(_)) {
            self.election_timer.note_heartbeat(Instant::now(), draw);
        }
        self.log_tail.until_written(held_by(&response, end)).await.map_err(|e| PeerRefusal::NodeStopped(e.to_string()))?;
        Ok(codec::encode(&response))
    }

    async fn vote(&self, candidate: NodeId, request: VoteRequest) -> Result<Result<Vec<u8>, codec::CodecError>, PeerRefusal> {
        speaks_for_itself(&request.vote, candidate)?;
        let response = self.raft.vote(request).await.map_err(|e| PeerRefusal::NodeStopped(e.to_string()))?;
        Ok(codec::encode(&response))
    }

    /// Whether this node would vote for `candidate`.
    fn pre_vote(&self, candidate: u64, request: PreVoteRequest) -> PreVoteReply {
        let own_log = self.raft.data_metrics().borrow().last_log.cmp(&request.last_log);
        let leads = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            let has_quorum = metrics.millis_since_quorum_ack.is_some_and(|age| u128::from(age) < LEASE.as_millis());
            metrics.state == ServerState::Leader && has_quorum
        };
        let goes_first = self.node().0 < candidate;
        match self.election_timer.grant_pre_vote(Instant::now(), leads, own_log, goes_first) {
            // It would not stand in the candidate's place: whether the others are enough for a majority is for them to say.
            PreVoteReply::LongerLog if !self.peers.leading().may_lead() => PreVoteReply::No,
            reply => reply,
        }
    }

    /// A member takes this node into its founding of the site. Only a node that never took part goes.
    fn join(&self, incarnation: Incarnation) -> Result<(), PeerRefusal> {
        let founding = &self.peers.local().founding;
        if !self.is_fresh() && founding.incarnation() != Some(incarnation) {
            return Err(PeerRefusal::OtherFounding(founding.incarnation()));
        }
        founding.join(incarnation).map_err(|error| match error {
            JoinError::OtherFounding(held) => PeerRefusal::OtherFounding(Some(held)),
            JoinError::Disk(why) => PeerRefusal::NodeStopped(why),
        })
    }

    /// Whether this node never took part: nothing voted, logged or applied.
    pub fn is_fresh(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics.last_log_index.is_none() && metrics.last_applied.is_none() && metrics.vote == super::types::Vote::default()
    }

    /// Whether a peer may ask for `subject`. A node that this one does not know is asked about, so that its next request finds the reply.
    fn admit(self: &Arc<Self>, subject: Subject, sender: NodeId) -> Result<(), PeerRefusal> {
        let membership = self.membership();
        // Of both sets while members change: the nodes of a membership are those of all its sets.
        let members = membership.nodes().map(|(id, _)| NodeId(*id)).collect();
        let retired_up_to = membership.nodes().map(|(_, record)| record.retired_up_to).max().unwrap_or_default();
        let position = membership.log_id().map_or(0, |id| id.index);
        let admission = self.peers.newcomers().with(|invitation, confirmed| {
            admit(subject, sender, &KnownMembers { members: &members, retired_up_to, position, invitation, confirmed })
        });
        match admission {
            Admission::Admitted => Ok(()),
            Admission::Refused(refusal) => Err(refusal),
            Admission::Unconfirmed => {
                self.ask_about(sender);
                Err(PeerRefusal::NotConfirmed(sender))
            }
        }
    }

    /// Refuses a node whose disk no longer holds what it had acknowledged, as the site has noted.
    fn refuse_turned_back(&self, envelope: &Envelope) -> Result<(), PeerRefusal> {
        if self.turned_back.knows(envelope.from, envelope.from_disk) { Err(PeerRefusal::SenderTurnedBack) } else { Ok(()) }
    }

    fn known_disk(&self, node: NodeId) -> Option<DiskId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics.membership_config.nodes().find(|(id, _)| **id == node.0).map(|(_, record)| record.disk)
    }
}

/// A leader appends, and a candidate asks for votes, in its own name alone.
fn speaks_for_itself(vote: &Vote, sender: NodeId) -> Result<(), PeerRefusal> {
    if vote.leader_id.node_id == sender.0 { Ok(()) } else { Err(PeerRefusal::CertificateMismatch) }
}

async fn refuse(sender: &mut FrameSender, refusal: PeerRefusal) -> Result<(), WireError> {
    wire::send_message(sender, &Verdict { refused: Some(refusal), body_bytes: 0 }, &[]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_appends_and_asks_for_votes_in_its_own_name_alone() {
        for vote in [Vote::new(4, 2), Vote::new_committed(4, 2)] {
            assert_eq!(speaks_for_itself(&vote, NodeId(2)), Ok(()));
            assert_eq!(speaks_for_itself(&vote, NodeId(3)), Err(PeerRefusal::CertificateMismatch));
        }
    }
}
