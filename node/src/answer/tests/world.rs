//! A small tree of real warehouses: districts write and sign, the centre adopts their segments.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use kho_storage::{
    codec::Blob,
    command::{Command, Outcome, WriteOutcome, WriteRequest},
    db::DbLimits,
    encryption::EncryptionKey,
    ids::{Epoch, Hash32, NodeId, OriginId, SiteId, SiteTime, StreamSeq, Tier},
    level::SUPPORTED,
    register::{AreaScope, NodeEntry, OriginEntry, Register, SignedRegister, SiteEntry},
    row::RowBuilder,
    schema::{Value, population},
    signature::{PublicKey, SignatureAlgorithm, SigningKey},
    stream::{Change, Head, RowChange, SEGMENT_BYTES_MAX, Segment, SignedHead},
    warehouse::{AppliedMark, OriginState, Warehouse, WarehouseConfig},
};

use crate::{
    answer::{AnswerContext, BadQuestion, IndicatorQuery, ReadMode, answer_indicator, find_row},
    api::{IndicatorAnswer, RowAnswer},
};

pub const CENTRE: u32 = 1;
/// 2019-04-01T00:00:00Z.
pub const NOW: SiteTime = SiteTime(1_554_076_800_000);

/// One site: a warehouse and the key of its only node.
struct Site {
    warehouse: Warehouse,
    key: SigningKey,
    dir: tempfile::TempDir,
}

/// A centre and districts; every district authors the origin that bears its number.
pub struct World {
    sites: BTreeMap<u32, Site>,
    register_key: PublicKey,
    requests: u64,
}

impl World {
    /// A tree of a centre and districts with their areas, each `(catalogue, code)`.
    pub fn new(districts: &[(u32, (&str, &str))]) -> Self {
        let fresh = || SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        let register_key = fresh();
        let ids: Vec<u32> = std::iter::once(CENTRE).chain(districts.iter().map(|(id, _)| *id)).collect();
        let keys: BTreeMap<u32, SigningKey> = ids.iter().map(|id| (*id, fresh())).collect();
        let entry = |id: u32| {
            let area = districts
                .iter()
                .find(|(district, _)| *district == id)
                .map(|(_, (catalogue, code))| AreaScope { catalogue: (*catalogue).into(), code: (*code).into() });
            SiteEntry {
                site: SiteId(id),
                name: if id == CENTRE { "centre".into() } else { format!("district {id}") },
                tier: if id == CENTRE { Tier::Central } else { Tier::District },
                parents: if id == CENTRE { vec![] } else { vec![SiteId(CENTRE)] },
                areas: area.into_iter().collect(),
                addresses: vec![],
                nodes: vec![NodeEntry {
                    node: NodeId(1),
                    signing_key: keys[&id].public_key(),
                    encryption_key: EncryptionKey::from_bytes([1; 32]),
                    revoked: vec![],
                }],
            }
        };
        let origins = ids.iter().map(|id| OriginEntry { origin: OriginId(*id), author: SiteId(*id) }).collect();
        let register = Register {
            tree: "test".into(),
            version: 1,
            requires: vec![],
            roots: vec![],
            sites: ids.iter().map(|id| entry(*id)).collect(),
            origins,
            revoked_identities: vec![],
        };
        let signed = SignedRegister::issue(&register, &register_key).expect("the register is whole");
        let open = |id: u32, key: SigningKey| {
            let dir = tempfile::tempdir().expect("a directory");
            let warehouse = open_warehouse(dir.path(), id, register_key.public_key());
            apply(&warehouse, &Command::AdoptRegister { site_time: NOW, pinned: register_key.public_key(), signed: signed.clone() });
            (id, Site { warehouse, key, dir })
        };
        let sites = keys.into_iter().map(|(id, key)| open(id, key)).collect();
        Self { sites, register_key: register_key.public_key(), requests: 0 }
    }

    /// Closes a site's warehouse and opens it again from its disk.
    pub fn restart(&mut self, site: u32) {
        let Site { warehouse, key, dir } = self.sites.remove(&site).expect("a site");
        drop(warehouse);
        let warehouse = open_warehouse(dir.path(), site, self.register_key.clone());
        self.sites.insert(site, Site { warehouse, key, dir });
    }

    pub fn warehouse(&self, site: u32) -> &Warehouse {
        &self.sites[&site].warehouse
    }

    /// Commits changes at a district.
    pub fn write(&mut self, site: u32, time: SiteTime, changes: Vec<Change>) {
        self.requests += 1;
        let requests = vec![WriteRequest { key: self.requests.to_string(), body_hash: Hash32::ZERO, changes, needs: vec![] }];
        let outcome = apply(&self.sites[&site].warehouse, &Command::Write { site_time: time, origin: OriginId(site), requests });
        assert!(matches!(&outcome, Outcome::Written(written) if matches!(written[..], [WriteOutcome::Committed { .. }])), "{outcome:?}");
    }

    /// A district signs its head at `time` and the centre adopts everything up to it.
    pub fn carry(&self, site: u32, time: SiteTime) {
        let outcome = self.carry_altered(site, time, |_| {});
        assert!(matches!(outcome, Outcome::Adopted(_)), "{outcome:?}");
    }

    /// As [`Self::carry`], but the head that reaches the centre claims something else, signed all the same.
    pub fn carry_altered(&self, site: u32, time: SiteTime, alter: impl FnOnce(&mut Head)) -> Outcome {
        let mut head = self.commit_head(site, time);
        let held = self.sites[&CENTRE].warehouse.origin(head.origin).expect("readable").map_or(StreamSeq(1), |state| state.next);
        let mut segment =
            self.sites[&site].warehouse.segment(head.origin, held, SEGMENT_BYTES_MAX).expect("readable").expect("a head ends it");
        alter(&mut head);
        segment.head = self.sign(site, head);
        apply(&self.sites[&CENTRE].warehouse, &Command::AdoptSegment { site_time: NOW, carrier: None, segment })
    }

    /// A district signs its head at `time` and commits it.
    pub fn commit_head(&self, site: u32, time: SiteTime) -> Head {
        let (origin, warehouse) = (OriginId(site), &self.sites[&site].warehouse);
        let state = warehouse.origin(origin).expect("readable").expect("something was written");
        let head = state.head(origin, time);
        assert_eq!(apply(warehouse, &Command::CommitHead { signed: self.sign(site, head.clone()) }), Outcome::HeadCommitted);
        head
    }

    pub fn sign(&self, site: u32, head: Head) -> SignedHead {
        SignedHead::sign(head, SiteId(site), NodeId(1), &self.sites[&site].key).expect("signs")
    }

    /// A head over nothing: the district vouches that it has no rows up to `time`.
    pub fn carry_nothing(&self, site: u32, time: SiteTime) {
        let origin = OriginId(site);
        let state = OriginState::empty(origin, Epoch::first("test", origin));
        let head = state.head(origin, time);
        let segment = Segment { first: StreamSeq(1), batches: vec![], head: self.sign(site, head) };
        let outcome = apply(&self.sites[&CENTRE].warehouse, &Command::AdoptSegment { site_time: NOW, carrier: None, segment });
        assert!(matches!(outcome, Outcome::Adopted(_)), "{outcome:?}");
    }

    /// The district forgot its batches, because an earlier centre had acknowledged them; the centre of now must take the whole
    /// origin and has begun to.
    pub fn begin_transfer(&self, site: u32) {
        let (origin, warehouse) = (OriginId(site), &self.sites[&site].warehouse);
        self.commit_head(site, NOW);
        let cursor = warehouse.origin(origin).expect("readable").expect("something was written").cursor(origin);
        apply(warehouse, &Command::RecordParent { parent: SiteId(CENTRE), cursors: vec![cursor] });
        assert_eq!(apply(warehouse, &Command::Trim { keep_bytes: 0 }), Outcome::Trimmed { batches: 1 });
        let start = warehouse.read(|reading| reading.transfer_start(origin)).expect("readable").expect("something was written");
        let outcome = apply(
            &self.sites[&CENTRE].warehouse,
            &Command::BeginTransfer { site_time: NOW, carrier: SiteId(site), silent_ms: 60_000, start },
        );
        assert!(matches!(outcome, Outcome::Transfer(_)), "{outcome:?}");
    }

    /// Asks a site.
    pub fn ask(&self, site: u32, name: &str, parameters: &[(&str, &str)]) -> Result<IndicatorAnswer, BadQuestion> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let query = IndicatorQuery::parse(name, &parameters, NOW)?;
        let answered = self.sites[&site].warehouse.read(|reading| answer_indicator(reading, population(), &query, &context(site)));
        answered.expect("the disk is well")
    }

    /// A table as the centre answers it: groups and the first value of each.
    pub fn table(&self, name: &str, parameters: &[(&str, &str)]) -> Vec<(Vec<String>, f64)> {
        let answer = self.ask(CENTRE, name, parameters).expect("a good question");
        answer.rows.into_iter().map(|row| (row.group, row.values[0].expect("a number"))).collect()
    }

    pub fn row(&self, site: u32, table: &str, key: &str) -> Result<RowAnswer, BadQuestion> {
        self.sites[&site].warehouse.read(|reading| find_row(reading, population(), table, key, &context(site))).expect("the disk is well")
    }
}

fn open_warehouse(dir: &Path, site: u32, register_key: PublicKey) -> Warehouse {
    let limits = DbLimits { cache_bytes_max: 4 << 20, write_buffer_bytes_max: 8 << 20 };
    let schema = Arc::new(population().clone());
    let config = WarehouseConfig { tree: "test".into(), site: SiteId(site), register_key, schema, limits, levels: SUPPORTED };
    Warehouse::open(dir, config).expect("a warehouse of this site")
}

fn context(site: u32) -> AnswerContext {
    AnswerContext { site: SiteId(site), now: NOW, read: ReadMode::Local, applied: 7, answered_by: format!("node 1 of site {site}") }
}

pub fn apply(warehouse: &Warehouse, command: &Command) -> Outcome {
    warehouse.apply(&AppliedMark::default(), Some(command)).expect("the disk is well").expect("a command has an outcome")
}

/// `days` before [`NOW`].
pub fn ago(days: i64) -> SiteTime {
    SiteTime(NOW.0 - days * 24 * 3600 * 1000)
}

/// Puts a row; cells by column name, empty ones left out.
pub fn put(table: &str, cells: &[(&str, String)]) -> Change {
    let schema = population();
    let table = schema.table_named(table).expect("a table");
    let mut given: Vec<_> =
        cells.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (table.column_named(name).expect("a column"), text)).collect();
    given.sort_by_key(|(column, _)| column.id);
    let mut row = RowBuilder::default();
    for (column, text) in given {
        row.push(column.id, &Value::parse(schema, column, text).expect("a value"));
    }
    let key = cells.iter().find(|(name, _)| *name == table.key).map(|(_, text)| text.clone().into_bytes()).expect("a key");
    Change { table: table.id, key: Blob(key), row: RowChange::Whole(Blob(row.finish())) }
}

/// Takes a row away.
pub fn take(table: &str, key: &str) -> Change {
    Change { table: population().table_named(table).expect("a table").id, key: Blob(key.as_bytes().into()), row: RowChange::Removed }
}
