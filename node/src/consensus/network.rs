//! openraft's network: its requests go over the connections of [`Peers`].

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use kho_storage::codec;
use openraft::{
    AnyError, OptionalSend, RaftNetwork, RaftNetworkFactory,
    error::{Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
};

use super::{
    error::{PeerError, PeerRefusal},
    log::LogTail,
    peers::{
        PeerTarget, Peers,
        acknowledged::Acknowledged,
        append_pipeline::AppendPipeline,
        commit_notices::{CommitNotices, SentRequest},
        wire::Subject,
    },
    snapshot::{self, SnapshotStore},
    turned_back::TurnedBack,
    types::{AppendRequest, AppendResponse, SiteNode, SiteRaft, Snapshot, SnapshotResponse, Vote, VoteRequest, VoteResponse},
};
use crate::task_watch::TaskWatch;

type RpcResult<T> = Result<T, RPCError<u64, SiteNode, RaftError<u64>>>;

/// How long a follower that can't be reached is left alone.
const UNREACHABLE_BACKOFF: Duration = Duration::from_millis(200);

/// Makes a client for each task of openraft that talks to a peer.
pub(super) struct Network {
    pub peers: Arc<Peers>,
    pub log_tail: Arc<LogTail>,
    pub snapshot_store: Arc<SnapshotStore>,
    pub acknowledged: Arc<Acknowledged>,
    pub turned_back: TurnedBack,
    pub tasks: TaskWatch,
}

/// One task's client for one peer.
pub(super) struct PeerNetwork {
    peers: Arc<Peers>,
    log_tail: Arc<LogTail>,
    snapshot_store: Arc<SnapshotStore>,
    acknowledged: Arc<Acknowledged>,
    turned_back: TurnedBack,
    tasks: TaskWatch,
    target: PeerTarget,
    pipeline: AppendPipeline,
    notices: CommitNotices,
}

impl RaftNetworkFactory<SiteRaft> for Network {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: u64, node: &SiteNode) -> PeerNetwork {
        let target = PeerTarget::of_member(target, node);
        let pipeline = AppendPipeline::new(Arc::clone(&self.peers), Arc::clone(&self.log_tail), target.clone());
        PeerNetwork {
            peers: Arc::clone(&self.peers),
            log_tail: Arc::clone(&self.log_tail),
            snapshot_store: Arc::clone(&self.snapshot_store),
            acknowledged: Arc::clone(&self.acknowledged),
            turned_back: self.turned_back.clone(),
            tasks: self.tasks.clone(),
            target,
            pipeline,
            notices: CommitNotices::default(),
        }
    }
}

impl PeerNetwork {
    /// A node whose disk was turned back is left alone, by every leader: its acknowledgements and votes count for nothing.
    fn refuse_turned_back(&self) -> Result<(), PeerError> {
        if self.turned_back.holds(&self.target) { Err(PeerError::Refused(PeerRefusal::LogTurnedBack)) } else { Ok(()) }
    }

    async fn append(&mut self, rpc: AppendRequest) -> RpcResult<AppendResponse> {
        self.refuse_turned_back().map_err(sorted)?;
        if self.notices.may_wait(&rpc, Instant::now()) {
            self.notices.defer(rpc, &self.peers, &self.log_tail, &self.target, &self.tasks);
            return Ok(AppendResponse::Success);
        }
        self.notices.clear_deferred();
        let sent = SentRequest::of(&rpc);
        let response = self.pipeline.append(rpc).await.map_err(|error| {
            if let PeerError::Refused(PeerRefusal::FurtherHere { heads }) = &error {
                self.turned_back.note_further(&self.target, heads);
            }
            sorted(error)
        })?;
        if self.acknowledged.is_consistent(self.target.node, sent.vote, sent.previous, sent.end, &response) {
            self.notices.note_response(sent, &response, Instant::now());
            return Ok(response);
        }
        tracing::error!(node = %self.target.node, "{}", PeerRefusal::LogTurnedBack);
        self.turned_back.note(&self.target);
        Err(sorted(PeerError::Refused(PeerRefusal::LogTurnedBack)))
    }
}

/// What can't be reached, or refuses us, is left alone for a while; a request that was lost is sent again at once.
fn sorted(error: PeerError) -> RPCError<u64, SiteNode, RaftError<u64>> {
    match &error {
        PeerError::Unreachable(_)
        | PeerError::Refused(_)
        | PeerError::Malformed(_)
        | PeerError::LocalLog(_)
        | PeerError::LocalDiskStalled { .. }
        | PeerError::HandsOver => RPCError::Unreachable(Unreachable::new(&error)),
        PeerError::Lost(_) => RPCError::Network(NetworkError::new(&error)),
    }
}

impl RaftNetwork<SiteRaft> for PeerNetwork {
    async fn append_entries(&mut self, rpc: AppendRequest, _option: RPCOption) -> RpcResult<AppendResponse> {
        // openraft waits for none of its tasks that send: a follower would get nothing more.
        let tasks = self.tasks.clone();
        tasks.within("sends entries to a member", self.append(rpc)).await
    }

    async fn vote(&mut self, rpc: VoteRequest, _option: RPCOption) -> RpcResult<VoteResponse> {
        // A vote that was forgotten can be given twice.
        self.refuse_turned_back().map_err(sorted)?;
        let body = codec::encode(&rpc).map_err(|e| sorted(e.into()))?;
        let reply = self.peers.call(&self.target, Subject::Vote, &body).await.map_err(sorted)?;
        reply.read().map_err(|e| sorted(e.into()))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError<SiteRaft, Fatal<u64>>> {
        self.refuse_turned_back().map_err(|error| StreamingError::Unreachable(Unreachable::new(&error)))?;
        let sending = self.snapshot_store.begin_sending(snapshot.meta.last_log_id.map_or(0, |id| id.index));
        let sent = tokio::select! {
            closed = cancel => return Err(closed.into()),
            sent = self.tasks.within("sends a log snapshot", snapshot::send(&self.peers, &self.target, vote, &snapshot)) => sent,
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
