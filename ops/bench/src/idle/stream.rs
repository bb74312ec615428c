//! The stream of a simulated child: one batch, and signed heads over it whose time moves on.

use kho_replication::{
    frames::Cursor,
    uplink::{LoadFailure, StreamPosition},
};
use kho_storage::{
    codec::Blob,
    digest::{DigestSum, LogicalRow},
    ids::{Epoch, Hash32, NodeId, OriginId, SiteId, SiteTime, StreamSeq},
    row::RowBuilder,
    schema::{Value, population},
    signature::SigningKey,
    stream::{Batch, BatchBody, Change, Head, RowChange, Segment, SignedHead, chain_next, chain_start},
};

const FIRST: StreamSeq = StreamSeq(1);
const TABLE: &str = "person";
/// A person's required columns, in the order of their numbers.
const CELLS: [(&str, &str); 8] = [
    ("person_id", "1"),
    ("household_id", "1"),
    ("seq", "1"),
    ("full_name", "Nguyễn Văn Thử"),
    ("sex", "male"),
    ("residence_status", "permanent"),
    ("commune_code", "00001"),
    ("catalogue_version", "legacy-63"),
];

/// See the module.
pub struct IdleStream {
    origin: OriginId,
    epoch: Epoch,
    site: SiteId,
    node: NodeId,
    key: SigningKey,
    batch: Blob,
    chain: Hash32,
    digest: Hash32,
    head_time: SiteTime,
}

impl IdleStream {
    /// The stream of the origin that bears its site's number, with one person entered at `now`.
    ///
    /// # Errors
    /// When the schema has no such person.
    pub fn begin(tree: &str, site: SiteId, node: NodeId, key: SigningKey, now: SiteTime) -> anyhow::Result<Self> {
        let origin = OriginId(site.0);
        let epoch = Epoch::first(tree, origin);
        let change = person()?;
        let mut sum = DigestSum::default();
        let cells = change.cells().cloned().unwrap_or_default();
        sum.add(&LogicalRow { origin, table: change.table, key: &change.key, cells: &cells, seq: FIRST, time: now });
        let batch = Batch { origin, epoch, seq: FIRST, site_time: now, body: BatchBody::Rows { requests: vec![], changes: vec![change] } }
            .encode()?;
        let chain = chain_next(chain_start(origin, epoch), &batch);
        Ok(Self { origin, epoch, site, node, key, batch, chain, digest: sum.digest(), head_time: now })
    }

    /// A head says that there is nothing new up to `now`.
    pub fn idle_until(&mut self, now: SiteTime) {
        self.head_time = now.max(self.head_time);
    }

    pub fn position(&self) -> StreamPosition {
        StreamPosition { origin: self.origin, epoch: self.epoch, next: FIRST.next(), oldest_kept: FIRST, head_time: self.head_time }
    }

    /// What the parent lacks, up to the newest head.
    ///
    /// # Errors
    /// [`LoadFailure`] for a place that the stream does not have, or a head that can't be signed.
    pub fn segment(&self, from: Cursor) -> Result<Segment, LoadFailure> {
        let batches = match from.next {
            first if first == FIRST => vec![self.batch.clone()],
            next if next == FIRST.next() => vec![],
            _ => return Err(LoadFailure::NoSuchPlace),
        };
        if from.epoch != self.epoch {
            return Err(LoadFailure::NoSuchPlace);
        }
        let head = Head {
            origin: self.origin,
            epoch: self.epoch,
            seq: FIRST,
            chain: self.chain,
            digest: self.digest,
            rows: 1,
            site_time: self.head_time,
        };
        let head = SignedHead::sign(head, self.site, self.node, &self.key).map_err(|error| LoadFailure::LocalStorage(error.to_string()))?;
        Ok(Segment { first: from.next, batches, head })
    }
}

/// Puts one person.
fn person() -> anyhow::Result<Change> {
    let schema = population();
    let table = schema.table_named(TABLE).ok_or_else(|| anyhow::anyhow!("the schema has no table {TABLE}"))?;
    let mut row = RowBuilder::default();
    for (name, text) in CELLS {
        let column = table.column_named(name).ok_or_else(|| anyhow::anyhow!("the table {TABLE} has no column {name}"))?;
        row.push(column.id, &Value::parse(schema, column, text).map_err(|error| anyhow::anyhow!("{name}: {error:?}"))?);
    }
    Ok(Change { table: table.id, key: Blob(CELLS[0].1.as_bytes().to_vec()), row: RowChange::Whole(Blob(row.finish())) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kho_storage::{
        command::{Command, Outcome},
        db::DbLimits,
        encryption::EncryptionKey,
        ids::Tier,
        level::SUPPORTED,
        register::{NodeEntry, OriginEntry, Register, SignedRegister, SiteEntry},
        signature::SignatureAlgorithm,
        warehouse::{AppliedMark, Warehouse, WarehouseConfig},
    };

    use super::*;

    const SITE: SiteId = SiteId(7);
    const NODE: NodeId = NodeId(1);

    fn parent(dir: &std::path::Path, child: &SigningKey) -> Warehouse {
        let centre = SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        let site = |site: u32, tier, parents: &[u32], nodes| SiteEntry {
            site: SiteId(site),
            name: "site".into(),
            tier,
            parents: parents.iter().copied().map(SiteId).collect(),
            areas: vec![],
            addresses: vec![],
            nodes,
        };
        let register = Register {
            tree: "bench".into(),
            version: 1,
            requires: vec![],
            roots: vec![],
            sites: vec![
                site(1, Tier::Central, &[], vec![]),
                site(
                    SITE.0,
                    Tier::District,
                    &[1],
                    vec![NodeEntry {
                        node: NODE,
                        signing_key: child.public_key(),
                        encryption_key: EncryptionKey::from_bytes([1; 32]),
                        revoked: vec![],
                    }],
                ),
            ],
            origins: vec![OriginEntry { origin: OriginId(SITE.0), author: SITE }],
            revoked_identities: vec![],
        };
        let limits = DbLimits { cache_bytes_max: 1 << 20, write_buffer_bytes_max: 1 << 20 };
        let config = WarehouseConfig {
            tree: "bench".into(),
            site: SiteId(1),
            register_key: centre.public_key(),
            schema: Arc::new(population().clone()),
            limits,
            levels: SUPPORTED,
        };
        let warehouse = Warehouse::open(dir, config).expect("a fresh folder");
        let signed = SignedRegister::issue(&register, &centre).expect("whole");
        let adopted = warehouse
            .apply(&AppliedMark::default(), Some(&Command::AdoptRegister { site_time: SiteTime(1), pinned: centre.public_key(), signed }))
            .expect("a sound disk");
        assert!(matches!(adopted, Some(Outcome::RegisterAdopted { .. })), "{adopted:?}");
        warehouse
    }

    #[test]
    fn a_real_parent_adopts_the_batch_and_then_heads_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let key = SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        let warehouse = parent(dir.path(), &key);
        let mut stream = IdleStream::begin("bench", SITE, NODE, key, SiteTime(1_000)).expect("begins");
        let adopt = |segment: Segment| {
            warehouse
                .apply(&AppliedMark::default(), Some(&Command::AdoptSegment { site_time: SiteTime(9_000), carrier: None, segment }))
                .expect("a sound disk")
        };
        for (next, batches, time) in [(FIRST, 1, 1_000), (FIRST.next(), 0, 2_000), (FIRST.next(), 0, 3_000)] {
            stream.idle_until(SiteTime(time));
            let segment = stream.segment(Cursor { epoch: stream.epoch, next }).expect("it has the place");
            assert_eq!(segment.batches.len(), batches);
            let adopted = adopt(segment);
            assert!(matches!(adopted, Some(Outcome::Adopted(_))), "{adopted:?}");
        }
        let state = warehouse.origin(OriginId(SITE.0)).expect("reads").expect("held");
        assert_eq!((state.rows, state.watermark), (1, SiteTime(3_000)));
        assert!(stream.segment(Cursor { epoch: stream.epoch, next: StreamSeq(9) }).is_err());
    }
}
