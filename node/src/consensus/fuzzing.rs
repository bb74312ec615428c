//! For the fuzz targets alone (`chaos-tests/fuzz`): what peers of the site and this node's own log may hold, read as this node
//! reads it. Nothing else uses this module; it costs nothing that runs.

use std::num::NonZeroU64;

use kho_storage::{
    build::Build,
    codec,
    command::Command,
    ids::{Hash32, NodeId, SiteId},
    level::SUPPORTED,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::PeerRefusal,
    founding::Incarnation,
    peers::wire::{Envelope, HelloReply, Subject, Verdict},
    snapshot::wire::{HeldPart, Offer, OfferedFile, Piece, Reply},
    types::{
        AppendRequest, AppendResponse, CommandBytes, DiskId, Entry, GroupId, LogId, NodeAddress, SnapshotMeta, StoredMembership, Vote,
        VoteRequest, VoteResponse,
    },
};

/// One kind of value that is decoded from bytes of a peer, or of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteValue {
    Envelope,
    Verdict,
    HelloReply,
    AppendRequest,
    AppendResponse,
    VoteRequest,
    VoteResponse,
    SnapshotOffer,
    SnapshotReply,
    SnapshotPiece,
    Entry,
    Command,
    Vote,
    Position,
    Membership,
    SnapshotMeta,
    Announcement,
}

impl SiteValue {
    pub const ALL: [Self; 17] = [
        Self::Envelope,
        Self::Verdict,
        Self::HelloReply,
        Self::AppendRequest,
        Self::AppendResponse,
        Self::VoteRequest,
        Self::VoteResponse,
        Self::SnapshotOffer,
        Self::SnapshotReply,
        Self::SnapshotPiece,
        Self::Entry,
        Self::Command,
        Self::Vote,
        Self::Position,
        Self::Membership,
        Self::SnapshotMeta,
        Self::Announcement,
    ];

    /// Reads `bytes` as this kind and writes the value again; `None` when they are refused.
    pub fn rewritten(self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Envelope => rewritten::<Envelope>(bytes),
            Self::Verdict => rewritten::<Verdict>(bytes),
            Self::HelloReply => rewritten::<HelloReply>(bytes),
            Self::Announcement => rewritten::<Option<NodeAddress>>(bytes),
            Self::AppendRequest => rewritten::<AppendRequest>(bytes),
            Self::AppendResponse => rewritten::<AppendResponse>(bytes),
            Self::VoteRequest => rewritten::<VoteRequest>(bytes),
            Self::VoteResponse => rewritten::<VoteResponse>(bytes),
            Self::SnapshotOffer => rewritten::<Offer>(bytes),
            Self::SnapshotReply => rewritten::<Reply>(bytes),
            Self::SnapshotPiece => rewritten::<Piece>(bytes),
            Self::Entry => rewritten::<Entry>(bytes),
            Self::Command => {
                let command = CommandBytes::from_wire(bytes.to_vec()).decode().ok()?;
                CommandBytes::encode(&command).ok().map(|bytes| bytes.as_bytes().to_vec())
            }
            Self::Vote => rewritten::<Vote>(bytes),
            Self::Position => rewritten::<Option<LogId>>(bytes),
            Self::Membership => rewritten::<StoredMembership>(bytes),
            Self::SnapshotMeta => rewritten::<SnapshotMeta>(bytes),
        }
    }
}

/// What nodes of a site send about these commands, and keep of them: seeds, each with what it is.
pub fn seeds(commands: &[Command]) -> Vec<(SiteValue, Vec<u8>)> {
    let group = GroupId { tree: "seed".into(), site: SiteId(3) };
    let incarnation = Some(Incarnation::numbered(NonZeroU64::MIN));
    let envelope = Envelope {
        group,
        incarnation,
        from: NodeId(2),
        from_disk: DiskId(22),
        to: NodeId(1),
        to_disk: Some(DiskId(11)),
        levels: SUPPORTED,
        subject: Subject::AppendEntries,
        body_bytes: 900,
    };
    let (vote, log_id) = (Vote::new(3, 1), |index| LogId::new(openraft::CommittedLeaderId::new(3, 1), index));
    let payloads = commands.iter().filter_map(|command| CommandBytes::encode(command).ok()).map(openraft::EntryPayload::Normal);
    let entries: Vec<Entry> = payloads.zip(1..).map(|(payload, index)| Entry { log_id: log_id(index), payload }).collect();
    let mut seeds: Vec<(SiteValue, _)> = commands.iter().map(|command| (SiteValue::Command, codec::encode(command))).collect();
    seeds.extend(entries.iter().map(|entry| (SiteValue::Entry, codec::encode(entry))));
    let append = AppendRequest { vote, prev_log_id: Some(log_id(1)), entries, leader_commit: Some(log_id(2)) };
    let meta = SnapshotMeta { last_log_id: Some(log_id(9)), last_membership: StoredMembership::default(), snapshot_id: "9".into() };
    let files = vec![OfferedFile { name: "000012.sst".into(), bytes: 5_000 }, OfferedFile { name: "MANIFEST-000005".into(), bytes: 300 }];
    seeds.extend([
        (SiteValue::Envelope, codec::encode(&envelope)),
        (SiteValue::Verdict, codec::encode(&Verdict { refused: Some(PeerRefusal::OtherNode(NodeId(1))), body_bytes: 0 })),
        (
            SiteValue::HelloReply,
            codec::encode(&HelloReply { disk: DiskId(11), fresh: true, incarnation, levels: SUPPORTED, build: Build::THIS }),
        ),
        (SiteValue::Announcement, codec::encode(&Some(NodeAddress { quic: "10.2.0.11:7444".into(), https: "10.2.0.11:7443".into() }))),
        (SiteValue::AppendRequest, codec::encode(&append)),
        (SiteValue::AppendResponse, codec::encode(&AppendResponse::HigherVote(vote))),
        (SiteValue::VoteRequest, codec::encode(&VoteRequest { vote, last_log_id: Some(log_id(3)) })),
        (SiteValue::VoteResponse, codec::encode(&VoteResponse { vote, vote_granted: true, last_log_id: None })),
        (SiteValue::SnapshotOffer, codec::encode(&Offer { vote, meta: meta.clone(), files })),
        (SiteValue::SnapshotReply, codec::encode(&Reply::Holding(vec![HeldPart { bytes: 5, hash: Hash32::of(b"held") }]))),
        (SiteValue::SnapshotReply, codec::encode(&Reply::Installed { vote })),
        (SiteValue::SnapshotPiece, codec::encode(&Piece::Start { file: 1, offset: 7 })),
        (SiteValue::SnapshotPiece, codec::encode(&Piece::Bytes(b"bytes of a file".to_vec().into()))),
        (SiteValue::SnapshotPiece, codec::encode(&Piece::End { hash: Hash32::of(b"file") })),
        (SiteValue::Vote, codec::encode(&vote)),
        (SiteValue::Position, codec::encode(&Some(log_id(4)))),
        (SiteValue::Membership, codec::encode(&StoredMembership::default())),
        (SiteValue::SnapshotMeta, codec::encode(&meta)),
    ]);
    seeds.into_iter().filter_map(|(what, bytes)| Some((what, bytes.ok()?))).collect()
}

fn rewritten<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<Vec<u8>> {
    codec::encode(&codec::decode::<T>(bytes).ok()?).ok()
}
