//! Tests of the warehouse on real databases, and the small tree that they share: a district that authors and a province that
//! adopts.

mod carriers;
mod cubes;
mod damage;
mod divergence;
mod levels;
mod named_columns;
mod promises;
mod registers;
mod request_keys;
mod set_back;
mod transfers;

use std::sync::Arc;

use super::*;
use crate::{
    codec,
    command::{TransferPiece, WriteOutcome, WriteRequest},
    db::DbLimits,
    encryption::EncryptionKey,
    ids::{ColumnId, Epoch, Generation, Hash32, NodeId, OriginId, SiteTime, StreamSeq, TableId, Tier},
    level::SUPPORTED,
    register::{NodeEntry, OriginEntry, Register, SignedRegister, SiteEntry},
    row::RowBuilder,
    schema::{PartialDate, Value, population},
    signature::{SignatureAlgorithm, SigningKey},
    stream::{Change, Head, RowChange, Segment, SignedHead},
};

const DISTRICT: OriginId = OriginId(3);
const PERSON: TableId = TableId(2);

/// A small tree: centre 1, province 2, district 3.
struct Tree {
    dir: tempfile::TempDir,
    centre: SigningKey,
    district: SigningKey,
}

/// One node's warehouse with its own count of applied entries.
struct Node {
    warehouse: Warehouse,
    applied: u64,
}

impl Tree {
    fn new() -> Self {
        let key = || SigningKey::generate(SignatureAlgorithm::Ed25519).expect("system randomness");
        Self { dir: tempfile::tempdir().expect("a directory"), centre: key(), district: key() }
    }

    fn config(&self, site: u32) -> WarehouseConfig {
        let limits = DbLimits { cache_bytes_max: 4 << 20, write_buffer_bytes_max: 8 << 20 };
        WarehouseConfig {
            tree: "test".into(),
            site: SiteId(site),
            register_key: self.centre.public_key(),
            schema: Arc::new(population().clone()),
            limits,
            levels: SUPPORTED,
        }
    }

    fn register(&self) -> Command {
        self.register_of(&[DISTRICT])
    }

    /// A register by which the district writes `origins`.
    fn register_of(&self, origins: &[OriginId]) -> Command {
        self.register_version(1, origins, 2)
    }

    /// A register by which the district writes `origins` and sends them to `parent`.
    fn register_version(&self, version: u64, origins: &[OriginId], parent: u32) -> Command {
        self.register_written_by(3, version, origins, parent)
    }

    /// The same, but another site writes `origins`.
    fn register_written_by(&self, author: u32, version: u64, origins: &[OriginId], parent: u32) -> Command {
        let site = |id: u32, tier, parents: &[u32]| SiteEntry {
            site: SiteId(id),
            name: format!("site {id}"),
            tier,
            parents: parents.iter().map(|p| SiteId(*p)).collect(),
            areas: vec![],
            addresses: vec![],
            nodes: vec![NodeEntry {
                node: NodeId(1),
                signing_key: self.district.public_key(),
                encryption_key: EncryptionKey::from_bytes([1; 32]),
                revoked: vec![],
            }],
        };
        let register = Register {
            tree: "test".into(),
            version,
            requires: vec![],
            roots: vec![],
            sites: vec![site(1, Tier::Central, &[]), site(2, Tier::Province, &[1]), site(3, Tier::District, &[parent])],
            origins: origins.iter().map(|origin| OriginEntry { origin: *origin, author: SiteId(author) }).collect(),
            revoked_identities: vec![],
        };
        let signed = SignedRegister::issue(&register, &self.centre).expect("whole");
        Command::AdoptRegister { site_time: SiteTime(1), pinned: self.centre.public_key(), signed }
    }

    fn node(&self, name: &str, site: u32) -> Node {
        self.node_under(&self.register(), name, site)
    }

    fn node_under(&self, register: &Command, name: &str, site: u32) -> Node {
        let warehouse = Warehouse::open(&self.dir.path().join(name), self.config(site)).expect("a fresh directory");
        let mut node = Node { warehouse, applied: 0 };
        node.apply(register);
        node
    }

    /// Signs and commits a head over everything the district holds.
    fn head(&self, district: &mut Node, time: i64) -> SignedHead {
        let head = district.state().head(DISTRICT, SiteTime(time));
        let signed = SignedHead::sign(head, SiteId(3), NodeId(1), &self.district).expect("signs");
        assert_eq!(district.apply(&Command::CommitHead { signed: signed.clone() }), Outcome::HeadCommitted);
        signed
    }

    fn adopt(&self, segment: Segment) -> Command {
        Command::AdoptSegment { site_time: SiteTime(1_000_000), carrier: Some(SiteId(3)), segment }
    }
}

impl Node {
    fn apply(&mut self, command: &Command) -> Outcome {
        self.applied += 1;
        let mark = AppliedMark { applied: self.applied.to_be_bytes().to_vec().into(), membership: Blob::default() };
        self.warehouse.apply(&mark, Some(command)).expect("a sound disk").expect("an outcome")
    }

    /// Takes a piece that the district's own site sends for the transfer under way.
    fn take_piece(&mut self, piece: TransferPiece) -> Outcome {
        let under_way = self.warehouse.transfers().expect("reads").into_iter().find(|transfer| transfer.start.origin == piece.origin);
        let generation = under_way.map_or(Generation(0), |transfer| transfer.generation);
        self.apply(&Command::AdoptPiece { site_time: SiteTime(1), carrier: SiteId(3), generation, piece })
    }

    fn state(&self) -> OriginState {
        self.warehouse.origin(DISTRICT).expect("reads").unwrap_or_else(|| OriginState::empty(DISTRICT, Epoch::first("test", DISTRICT)))
    }

    fn write(&mut self, time: i64, requests: Vec<WriteRequest>) -> Vec<WriteOutcome> {
        match self.apply(&Command::Write { site_time: SiteTime(time), origin: DISTRICT, requests }) {
            Outcome::Written(outcomes) => outcomes,
            other => panic!("{other:?}"),
        }
    }

    fn segment(&self, from: u64) -> Segment {
        self.warehouse.segment(DISTRICT, StreamSeq(from), usize::MAX).expect("reads").expect("a head ends it")
    }

    fn prove(&self) -> OriginProof {
        let proof = self.warehouse.recompute(DISTRICT, &mut |_, _| {}).expect("reads").expect("held");
        assert!(proof.holds(), "{proof:?}");
        proof
    }

    fn evidence(&self) -> usize {
        let mut kept = 0;
        self.warehouse.read(|view| view.evidence(|_| kept += 1)).expect("reads");
        kept
    }

    /// Everything stored that replicas must agree on.
    fn replica(&self) -> (StreamSeq, Hash32, Hash32, u64) {
        let state = self.state();
        (state.next, state.chain, state.sum.digest(), state.rows)
    }
}

fn person(id: &str, commune: u32, sex: u32, birth: &str) -> Change {
    let mut row = RowBuilder::default();
    row.push(ColumnId(1), &Value::Text(id.into()));
    row.push(ColumnId(7), &Value::Date(PartialDate::parse(birth).expect("a date")));
    row.push(ColumnId(8), &Value::Code(sex));
    row.push(ColumnId(13), &Value::Code(0));
    row.push(ColumnId(14), &Value::Area(commune));
    row.push(ColumnId(15), &Value::Code(0));
    Change { table: PERSON, key: id.as_bytes().to_vec().into(), row: RowChange::Whole(row.finish().into()) }
}

fn gone(id: &str) -> Change {
    Change { table: PERSON, key: id.as_bytes().to_vec().into(), row: RowChange::Removed }
}

fn request(key: &str, changes: Vec<Change>) -> WriteRequest {
    WriteRequest { key: key.into(), body_hash: Hash32::of(&codec::encode(&changes).expect("encodes")), changes, needs: vec![] }
}
