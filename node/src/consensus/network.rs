//! openraft's network: its questions go over the lines of [`Peers`].

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use kho_storage::{codec, ids::NodeId};
use openraft::{
    AnyError, OptionalSend, RaftNetwork, RaftNetworkFactory,
    error::{Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
};

use super::{
    acknowledged::Acknowledged,
    append_pipeline::AppendPipeline,
    commit_notices::{Asked, CommitNotices},
    error::{PeerError, PeerRefusal},
    log_tail::LogTail,
    peers::{PeerTarget, Peers},
    snapshot_send,
    snapshot_store::SnapshotStore,
    types::{AppendRequest, AppendResponse, SiteNode, SiteRaft, Snapshot, SnapshotResponse, Vote, VoteRequest, VoteResponse},
    wire::Subject,
};

type RpcResult<T> = Result<T, RPCError<u64, SiteNode, RaftError<u64>>>;

/// How long a follower that can't be reached is left alone.
const UNREACHABLE_BACKOFF: Duration = Duration::from_millis(200);

/// Makes a line for each task of openraft that talks to a peer.
pub(super) struct Network {
    pub peers: Arc<Peers>,
    pub log_tail: Arc<LogTail>,
    pub snapshot_store: Arc<SnapshotStore>,
    pub acknowledged: Arc<Acknowledged>,
}

/// One task's line to one peer.
pub(super) struct PeerNetwork {
    peers: Arc<Peers>,
    log_tail: Arc<LogTail>,
    snapshot_store: Arc<SnapshotStore>,
    acknowledged: Arc<Acknowledged>,
    target: PeerTarget,
    lane: AppendPipeline,
    notices: CommitNotices,
}

/// The peer that a member's record names.
pub(super) fn target_of(node: u64, member: &SiteNode) -> PeerTarget {
    PeerTarget { node: NodeId(node), address: member.quic_address.clone(), disk: Some(member.disk) }
}

impl RaftNetworkFactory<SiteRaft> for Network {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: u64, node: &SiteNode) -> PeerNetwork {
        let target = target_of(target, node);
        let lane = AppendPipeline::new(Arc::clone(&self.peers), Arc::clone(&self.log_tail), target.clone());
        PeerNetwork {
            peers: Arc::clone(&self.peers),
            log_tail: Arc::clone(&self.log_tail),
            snapshot_store: Arc::clone(&self.snapshot_store),
            acknowledged: Arc::clone(&self.acknowledged),
            target,
            lane,
            notices: CommitNotices::default(),
        }
    }
}

/// What can't be reached, or refuses us, is left alone for a while; what was lost is asked again at once.
fn sorted(error: PeerError) -> RPCError<u64, SiteNode, RaftError<u64>> {
    match &error {
        PeerError::Unreachable(_)
        | PeerError::Refused(_)
        | PeerError::Malformed(_)
        | PeerError::OwnLog(_)
        | PeerError::OwnDiskHangs { .. } => RPCError::Unreachable(Unreachable::new(&error)),
        PeerError::Lost(_) => RPCError::Network(NetworkError::new(&error)),
    }
}

impl RaftNetwork<SiteRaft> for PeerNetwork {
    async fn append_entries(&mut self, rpc: AppendRequest, _option: RPCOption) -> RpcResult<AppendResponse> {
        if self.notices.may_wait(&rpc, Instant::now()) {
            self.notices.defer(rpc, &self.peers, &self.log_tail, &self.target);
            return Ok(AppendResponse::Success);
        }
        self.notices.sending();
        let asked = Asked::of(&rpc);
        let response = self.lane.append(rpc).await.map_err(sorted)?;
        if self.acknowledged.is_consistent(self.target.node, asked.vote, asked.previous, asked.end, &response) {
            self.notices.heard(asked, &response, Instant::now());
            return Ok(response);
        }
        tracing::error!(node = %self.target.node, "{}", PeerRefusal::LogTurnedBack);
        Err(sorted(PeerError::Refused(PeerRefusal::LogTurnedBack)))
    }

    async fn vote(&mut self, rpc: VoteRequest, _option: RPCOption) -> RpcResult<VoteResponse> {
        let body = codec::encode(&rpc).map_err(|e| sorted(e.into()))?;
        let answer = self.peers.ask(&self.target, Subject::Vote, &body).await.map_err(sorted)?;
        codec::decode(&answer).map_err(|e| sorted(e.into()))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError<SiteRaft, Fatal<u64>>> {
        let sending = self.snapshot_store.begin_sending(snapshot.meta.last_log_id.map_or(0, |id| id.index));
        let sent = tokio::select! {
            closed = cancel => return Err(closed.into()),
            sent = snapshot_send::send(&self.peers, &self.target, vote, &snapshot) => sent,
        };
        drop(sending);
        sent.map_err(|error| {
            tracing::warn!(node = %self.target.node, %error, "a log snapshot did not arrive; it goes on where it stopped");
            StreamingError::Unreachable(Unreachable::from(AnyError::new(&error)))
        })
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(UNREACHABLE_BACKOFF))
    }
}
