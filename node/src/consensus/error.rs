//! What can go wrong, as plain values for the callers: whose fault it is decides between retry, refusal, alarm and stop.

use std::time::Duration;

use kho_storage::{
    codec::CodecError,
    command_check::CommandFault,
    error::StorageError,
    ids::NodeId,
    level::{Level, LevelRange},
    log_db::LogDbError,
    stream::SignedHead,
};
use serde::{Deserialize, Serialize};

use super::{
    founding::Incarnation,
    log::LogWriteFailed,
    types::{DiskId, GroupId},
};

/// Why the consensus could not be started. The operator has to fix it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the node's data directory {path} could not be used: {reason}; check its owner and free space")]
    Directory { path: String, reason: String },
    #[error("{path} was written for {found}, but the configuration says {wanted}; check `data_dir`, or take the node's own directory")]
    ForeignDirectory { path: String, found: String, wanted: String },
    #[error(
        "{path} holds {found} but not {missing}: this disk lost a part of its data. Remove the node with `kho node remove` and add it under a new id"
    )]
    PartLost { path: String, found: &'static str, missing: &'static str },
    #[error(
        "{path} holds no data of this node. Is this its very first start? Then give `khod --config FILE --first-start` once. If the node ran before, its data are gone: look whether its disk is mounted and `data_dir` is right, and don't start it on an empty folder; remove it with `kho node remove` and add a fresh node under a new id"
    )]
    NeverStarted { path: String },
    #[error(transparent)]
    Log(#[from] LogDbError),
    #[error(transparent)]
    State(#[from] StorageError),
    #[error("{0}")]
    Diverged(String),
    #[error("the consensus could not be started: {0}")]
    Consensus(String),
}

/// Why a command has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ProposeError {
    /// Nothing was changed. Try again.
    #[error("the site has no leader at the moment; try again in {retry_after_ms} ms, see `kho status`")]
    NoLeader { retry_after_ms: u64 },
    /// Nothing was changed. The leader reaches this node, and this node does not reach it.
    #[error(
        "node {leader} leads the site, but this node can't reach it: {why}; use another node of the site, and correct the addresses, see `addresses` in khod.toml"
    )]
    LeaderUnreachable { leader: NodeId, why: String, retry_after_ms: u64 },
    /// Nothing was changed. Try again.
    #[error("too many writes are under way; try again in {retry_after_ms} ms")]
    Busy { retry_after_ms: u64 },
    /// Nothing was changed, and never will be.
    #[error("the command has {bytes} bytes, at most {bytes_max} are taken; split it")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// Nothing was changed, and will not be before the site's level is raised.
    #[error(
        "the command exists from level {command} on and the site works at level {site}; see `kho upgrade status`, raise the level with `kho upgrade raise`"
    )]
    AboveLevel { command: Level, site: Level },
    /// Nothing was changed, and never will be: the leader lets nothing into the log that would stop who applies it.
    #[error("the leader refused the command before it entered the site's log: {0}")]
    Refused(CommandFault),
    /// Nothing was changed. No majority of the voters computed what the head says.
    #[error(
        "no majority of the site's voters agrees on the head; nodes {differing:?} computed something else: run `kho verify` at each node of the site"
    )]
    Disputed { differing: Vec<NodeId> },
    /// It may or may not have been committed; a retry with the same request key is safe.
    #[error("whether the write was committed is unknown ({why}); send it again with the same request key")]
    Unknown { why: String },
    /// This node stops.
    #[error("this node has stopped taking part: {why}; see its log and `kho status`")]
    Fatal { why: String },
}

/// Why a read could not be made linearizable. Nothing was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ReadError {
    #[error("no leader could confirm that it still leads ({why}); try again in {retry_after_ms} ms, or read locally")]
    NoLeader { why: String, retry_after_ms: u64 },
    /// The leader reaches this node, and this node does not reach it.
    #[error(
        "node {leader} leads the site, but this node can't reach it: {why}; use another node of the site, and correct the addresses, see `addresses` in khod.toml"
    )]
    LeaderUnreachable { leader: NodeId, why: String, retry_after_ms: u64 },
    #[error("this node has stopped taking part: {why}; see its log and `kho status`")]
    Fatal { why: String },
}

/// Why the members were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum MembersError {
    #[error("whether the site works at level {to} now is not known: {why}; see `kho upgrade status`, and roll no node back before")]
    LevelUnknown { to: Level, why: String },
    #[error("this node belongs to a site already; see `kho status`")]
    AlreadyInitialised,
    #[error("node {0} was a member of this site before or is one on another disk; node ids are never used twice: give the node a new id")]
    IdUsed(NodeId),
    #[error(
        "node {0} holds data of this site, or of another founding of it, so it is no fresh node; if it serves the site now, leave it as it is and see `kho status` there. Add a fresh node under a new id on an empty data folder"
    )]
    NotFresh(NodeId),
    #[error("node {0} is not a member of the site; see `kho status`, add it with `kho node add`")]
    NotAMember(NodeId),
    #[error("the site would be left without a voter; add another node first with `kho node add`")]
    NoVoterLeft,
    #[error("node {node} can't be reached: {why}; check that khod runs there and the address")]
    Unreachable { node: NodeId, why: String },
    #[error("node {node} supports level {supported} and not level {level}; install a newer Kho there, see `kho upgrade status`")]
    LevelNotSupported { node: NodeId, level: Level, supported: LevelRange },
    #[error("which levels node {node} supports is not known ({why}); start it, or remove it with `kho node remove`")]
    LevelsUnknown { node: NodeId, why: String },
    #[error("the site works at level {held} already, and a level is never lowered to {to}")]
    LevelHigher { held: Level, to: Level },
    #[error("the parent works at level {parent}; raise it to level {to} first, see `kho upgrade status` there")]
    ParentLower { parent: Level, to: Level },
    #[error("at which level the parent works is not known: no link to it stands; see `kho status`")]
    ParentLevelUnknown,
    #[error(
        "the site has no register that names it, so it is not known whether it has a parent that is raised first; give it one with `kho register apply`"
    )]
    ParentUnknown,
    #[error("another change of the members is under way; wait for it, see `kho status`")]
    InProgress,
    #[error("node {node} was added but has not caught up: it holds entry {matched} of {wanted}; it goes on by itself, see `kho status`")]
    NotCaughtUp { node: NodeId, matched: u64, wanted: u64 },
    #[error("the site has no leader at the moment ({why}); try again in {retry_after_ms} ms")]
    NoLeader { why: String, retry_after_ms: u64 },
    #[error("this node has stopped taking part: {why}; see its log and `kho status`")]
    Fatal { why: String },
}

fn other_founding(theirs: &Option<Incarnation>) -> String {
    match theirs {
        Some(incarnation) => {
            format!("it belongs to founding {incarnation} of the site, which is another: one of the two was founded by mistake")
        }
        None => "it belongs to no founding of the site yet; add it with `kho node add`".into(),
    }
}

/// Why a peer did nothing with a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PeerRefusal {
    #[error("it belongs to group {0}; check the addresses of the members with `kho status`")]
    OtherGroup(GroupId),
    #[error("{}", other_founding(.0))]
    OtherFounding(Option<Incarnation>),
    #[error("it is node {0}, check the addresses of the members with `kho status`")]
    OtherNode(NodeId),
    #[error("its disk is {0}: the node lost its data; remove it with `kho node remove` and add a fresh one under a new id")]
    OtherDisk(DiskId),
    #[error("it knows this node on disk {0}: this node lost its data and must return under a new id")]
    KnownOnOtherDisk(DiskId),
    #[error("the certificate is not that of the sender")]
    CertificateMismatch,
    #[error("it has too much to do")]
    Busy,
    #[error("it does not lead the site, node {0:?} does")]
    NotLeader(Option<NodeId>),
    #[error("it could not read the frame: {0}")]
    Malformed(String),
    #[error("it has stopped: {0}")]
    NodeStopped(String),
    #[error(
        "it no longer holds entries it had acknowledged: its disk was turned back. Remove it with `kho node remove` and add a fresh node under a new id"
    )]
    LogTurnedBack,
    #[error(
        "node {node} is not a member of the site by entry {position} of its log: it was removed or never added. Stop it; a fresh node joins under a new id with `kho node add`"
    )]
    NotAMember { node: NodeId, position: u64 },
    #[error(
        "it knows no member {0} and asks the members that it knows; if this goes on and node {0} was added while it was away, run `kho node confirm {0}` at it"
    )]
    NotConfirmed(NodeId),
    #[error("it is fresh, and the node that greeted it named no member {0}; start it again, or add it with `kho node add`")]
    NotInvited(NodeId),
    #[error(
        "the site has noted that this node's disk no longer holds what it had acknowledged: it takes part no more. Remove it with `kho node remove` and add a fresh node under a new id"
    )]
    SenderTurnedBack,
    #[error(
        "the two have no level in common: it supports level {here}, the sender level {sender}; install the same Kho on both, see `kho upgrade status`"
    )]
    NoCommonLevel { here: LevelRange, sender: LevelRange },
    /// With the newest heads of this site's own that it holds.
    #[error("it holds entries that were committed and that this node's log contradicts: the nodes that agree now were set back")]
    FurtherHere { heads: Vec<SignedHead> },
}

/// Why a request to a peer got no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The peer surely did not act on it.
    #[error("the peer can't be reached: {0}")]
    Unreachable(String),
    /// The peer may have acted on it.
    #[error("the reply did not arrive: {0}")]
    Lost(String),
    /// The peer surely did not act on it.
    #[error("the peer refused: {0}")]
    Refused(PeerRefusal),
    #[error("the peer's reply could not be read: {0}")]
    Malformed(#[from] CodecError),
    /// The peer acted on it, but this node must not build on that.
    #[error(transparent)]
    LocalLog(#[from] LogWriteFailed),
    /// Nothing was sent.
    #[error("this node's disk has not taken a write to the log for {stalled:?}; it does not lead on until it does")]
    LocalDiskStalled { stalled: Duration },
    /// Nothing was sent.
    #[error("this node may not lead and waits for the others to elect another leader")]
    HandsOver,
}
