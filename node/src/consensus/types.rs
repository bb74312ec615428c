//! The types that openraft is instantiated with, and what a group of nodes is known by.

use std::fmt;

use bytes::Bytes;
use kho_storage::{
    codec::{self, CodecError},
    command::{Command, Outcome},
    ids::{NodeId, SiteId},
};
use serde::{Deserialize, Serialize};

use super::snapshot_dir::SnapshotDir;

openraft::declare_raft_types!(
    /// One site's Raft.
    pub SiteRaft:
        D = CommandBytes,
        R = EntryResponse,
        NodeId = u64,
        Node = SiteNode,
        Entry = openraft::Entry<SiteRaft>,
        SnapshotData = SnapshotDir,
        AsyncRuntime = openraft::TokioRuntime,
        Responder = openraft::impls::OneshotResponder<SiteRaft>,
);

pub type Raft = openraft::Raft<SiteRaft>;
pub type Entry = openraft::Entry<SiteRaft>;
pub type LogId = openraft::LogId<u64>;
pub type Vote = openraft::Vote<u64>;
pub type Membership = openraft::Membership<u64, SiteNode>;
pub type StoredMembership = openraft::StoredMembership<u64, SiteNode>;
pub type SnapshotMeta = openraft::SnapshotMeta<u64, SiteNode>;
pub type Snapshot = openraft::Snapshot<SiteRaft>;
pub type RaftMetrics = openraft::RaftMetrics<u64, SiteNode>;
pub type StoreError = openraft::StorageError<u64>;
pub type StoreIoError = openraft::StorageIOError<u64>;
pub type AppendRequest = openraft::raft::AppendEntriesRequest<SiteRaft>;
pub type AppendResponse = openraft::raft::AppendEntriesResponse<u64>;
pub type VoteRequest = openraft::raft::VoteRequest<u64>;
pub type VoteResponse = openraft::raft::VoteResponse<u64>;
pub type SnapshotResponse = openraft::raft::SnapshotResponse<u64>;

/// Which site's nodes a frame belongs to. Another tree or another site is another group, and refused; so is another founding of the same
/// site ([`super::founding::Incarnation`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupId {
    pub tree: String,
    pub site: SiteId,
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tree, self.site)
    }
}

/// A node's disk, drawn at random when it is first used. A node id that comes with another disk is another node.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiskId(pub u64);

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A member of the site as the membership records it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteNode {
    /// `host:port` of the node's QUIC endpoint.
    pub quic_address: String,
    /// `host:port` of its HTTPS listener.
    pub https_address: String,
    pub disk: DiskId,
    /// Every node id up to this one that is not a member was one once, and is never taken again. The largest over all members counts.
    pub retired_up_to: NodeId,
}

/// Where a node listens, `host:port` each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAddress {
    pub quic: String,
    pub https: String,
}

/// What the entry's command takes, in bytes.
pub fn command_bytes(entry: &Entry) -> usize {
    if let openraft::EntryPayload::Normal(command) = &entry.payload { command.as_bytes().len() } else { 0 }
}

/// Roughly what an entry takes when it is encoded, in bytes.
pub fn entry_bytes(entry: &Entry) -> usize {
    const OTHER: usize = 64;
    OTHER + command_bytes(entry)
}

/// An encoded [`Command`]: encoded once by its proposer, decoded by each node that applies it.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandBytes(Bytes);

impl CommandBytes {
    pub fn encode(command: &Command) -> Result<Self, CodecError> {
        codec::encode_sized(command, command.bytes()).map(|bytes| Self(bytes.into()))
    }

    /// Takes bytes of a peer. Whether they are a command shows when they are decoded.
    pub fn from_wire(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    pub fn decode(&self) -> Result<Command, CodecError> {
        codec::decode(&self.0)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for CommandBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

impl fmt::Debug for CommandBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for CommandBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for CommandBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = CommandBytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an encoded command")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<CommandBytes, E> {
                Ok(CommandBytes(Bytes::copy_from_slice(bytes)))
            }
            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<CommandBytes, E> {
                Ok(CommandBytes(bytes.into()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// The outcome of applying an entry, as openraft responds to its proposer; nothing for entries that carry no command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryResponse(pub Option<Outcome>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_its_bytes_and_a_command_is_not_encoded_twice() {
        let command = CommandBytes::encode(&Command::Trim { keep_bytes: 5 }).expect("encodes");
        let entry = Entry {
            log_id: LogId::new(openraft::CommittedLeaderId::new(2, 7), 9),
            payload: openraft::EntryPayload::Normal(command.clone()),
        };
        let bytes = codec::encode(&entry).expect("encodes");
        assert!(bytes.len() < command.as_bytes().len() + 16);
        let read: Entry = codec::decode(&bytes).expect("own bytes");
        assert!(matches!(read.payload, openraft::EntryPayload::Normal(ref read) if *read == command));
        assert_eq!(read.log_id, entry.log_id);
    }
}
