//! What nodes of a site compare with each other, and what the site notes of a node that computed something else.
//!
//! Heads cover the rows of the site's own origins. A *summary* covers the rest at one entry of the log: where every origin stands, with its
//! digest, the space `meta`, and in each round the cells of another cube of another origin.
//!
//! Invariant: nodes that applied the same entries have the same summaries, and one that holds something else has not (tests
//! `nodes_that_applied_the_same_have_equal_summaries`, `a_summary_shows_another_cube_cell_origin_or_record`).
//! Not compared here: heads and request keys (batches bear them, and the chain covers batches), and evidence.

use std::sync::atomic::Ordering;

use super::{Warehouse, maintenance, meta::read_meta, origin::OriginState, read::ReadView, recompute::sum_of_rows};
use crate::{
    codec,
    command::DivergedPlace,
    db::{Db, amount},
    error::StorageError,
    ids::{Epoch, Hash32, NodeId, OriginId, SiteTime, StreamSeq},
    keys::{self, Meta, MetaKind, Space},
};

/// Cells of a cube that one round compares at most: some ten milliseconds.
const COMPARED_CELLS_MAX: usize = 50_000;

impl Warehouse {
    /// What is known of an origin after batch `seq`, as one hash: chain, digest and number of rows. `None` when it is not held, or not
    /// known any more.
    ///
    /// # Errors
    /// A fault of the local disk.
    pub fn digest_at(&self, origin: OriginId, epoch: Epoch, seq: StreamSeq) -> Result<Option<Hash32>, StorageError> {
        self.read(|view| {
            let empty = || Some(OriginState::empty(origin, view.register()?.first_epoch(origin)));
            let Some(state) = view.origin(origin)?.or_else(empty).filter(|state| state.epoch == epoch && seq < state.next) else {
                return Ok(None);
            };
            Ok(view.stood_at(origin, &state, seq)?.map(|(chain, digest, rows)| place_hash(chain, digest, rows)))
        })
    }

    /// What heads do not cover, as one hash. Each `round` takes another cube of another origin, so that in the end all are compared.
    ///
    /// # Errors
    /// A fault of the local disk.
    pub fn summary(&self, round: u64) -> Result<Hash32, StorageError> {
        self.told_of_damage(self.summarise(round))
    }

    fn summarise(&self, round: u64) -> Result<Hash32, StorageError> {
        let db = self.db.load_full();
        let view = db.view();
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"kho summary 1");
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        for kind in MetaKind::ALL {
            match kind {
                // Each node's own, or covered otherwise.
                MetaKind::Applied | MetaKind::Identity | MetaKind::Cubes => continue,
                MetaKind::Head | MetaKind::Request | MetaKind::RequestAge => continue,
                // Many MiB, of which the state names the hash where it decides something.
                MetaKind::Evidence => continue,
                _ => {}
            }
            let (from, to) = kind.range();
            view.scan(Space::Meta, &from, &to, |key, value| {
                part(key);
                part(value);
                Ok(true)
            })?;
        }
        if let Some(prefix) = self.compared_cube(&db, round)? {
            let mut cells = 0;
            view.scan(Space::Cubes, &prefix, &keys::successor(&prefix), |key, value| {
                let cell = || format!("cell {}", data_encoding::HEXLOWER.encode(key));
                let amount = amount(value).ok_or_else(|| StorageError::damaged(cell(), "not an amount"))?;
                // A cell of nothing may stand or not.
                if amount != 0 {
                    part(key);
                    part(&amount.to_le_bytes());
                }
                cells += 1;
                Ok(cells < COMPARED_CELLS_MAX)
            })?;
        }
        Ok(Hash32(*hasher.finalize().as_bytes()))
    }

    /// The cells that are compared in a round, by what their keys start with.
    fn compared_cube(&self, db: &Db, round: u64) -> Result<Option<Vec<u8>>, StorageError> {
        // In the order of their numbers: in which order a node's schema file lists them is its own matter.
        let (origins, mut cubes) = (maintenance::origins(db)?, self.schema().cubes.iter().map(|cube| cube.id).collect::<Vec<_>>());
        cubes.sort_unstable();
        let pairs = origins.len() * cubes.len();
        if pairs == 0 {
            return Ok(None);
        }
        let place = usize::try_from(round % pairs as u64).unwrap_or(0);
        let ((origin, state), cube) = (&origins[place / cubes.len()], cubes[place % cubes.len()]);
        Ok(Some(keys::cube_prefix(cube, *origin, state.generation).to_vec()))
    }

    /// What the site has noted of a node's disk: that it holds something else than a majority computed.
    ///
    /// # Errors
    /// A fault of the local disk.
    pub fn divergence_of(&self, node: NodeId, disk: u64) -> Result<Option<DivergedPlace>, StorageError> {
        Ok(self.noted_divergence(node, disk)?.map(|(_, place)| place))
    }

    /// When that was noted, by the time that the node which noted it believed.
    ///
    /// # Errors
    /// A fault of the local disk.
    pub fn diverged_since(&self, node: NodeId, disk: u64) -> Result<Option<SiteTime>, StorageError> {
        Ok(self.noted_divergence(node, disk)?.map(|(since, _)| since))
    }

    fn noted_divergence(&self, node: NodeId, disk: u64) -> Result<Option<(SiteTime, DivergedPlace)>, StorageError> {
        read_meta(&self.db.load(), &Meta::Diverged(node, disk))
    }

    /// Whether the rows of an origin are those that stand in its digest. Where they are not, this node's disk lost or altered some.
    /// Reads all of them.
    pub(super) fn rows_agree(&self, db: &Db, origin: OriginId, state: &OriginState) -> Result<bool, StorageError> {
        let (sum, rows) = sum_of_rows(db, origin, state)?;
        Ok(sum.digest() == state.sum.digest() && rows == state.rows)
    }

    /// For tests alone: the warehouse of another node, in memory, that holds what this one does; `None` when this one lies on a disk. What
    /// this one has read and verified is not read again.
    #[doc(hidden)]
    pub fn copy_in_memory(&self) -> Option<Self> {
        let copy = Self::unread(Db::in_memory(self.image()?), &self.dir, self.config.clone());
        copy.level.store(self.level().0, Ordering::Release);
        copy.held_register.store(self.held_register.load_full());
        Some(copy)
    }

    /// For tests of what nodes compare alone: adds to a cell of a cube, as no command does.
    #[doc(hidden)]
    pub fn tamper_with_cell(&self, origin: OriginId, amount: i64) -> Result<(), StorageError> {
        let db = self.db.load_full();
        let (Some((_, state)), Some(cube)) =
            (maintenance::origins(&db)?.into_iter().find(|(held, _)| *held == origin), self.schema().cubes.first())
        else {
            return Err(StorageError::damaged(origin, "no such origin"));
        };
        let mut set = crate::db::WriteSet::default();
        let mut cell = keys::cube_prefix(cube.id, origin, state.generation).to_vec();
        cell.extend(0x0100_0001_u32.to_be_bytes());
        set.add(cell, amount);
        db.write(set)
    }
}

impl ReadView<'_> {
    /// Nodes of this site that computed something else than a majority, each with its disk and where.
    ///
    /// # Errors
    /// A fault of the local disk.
    pub fn diverged(&self) -> Result<Vec<(NodeId, u64, DivergedPlace)>, StorageError> {
        let (from, to) = MetaKind::Diverged.range();
        let mut found = Vec::new();
        self.scan_meta::<(SiteTime, DivergedPlace)>(&from, &to, |meta, (_, place)| {
            if let Meta::Diverged(node, disk) = meta {
                found.push((*node, *disk, place));
            }
        })?;
        Ok(found)
    }
}

/// What a head says, in the form of [`Warehouse::digest_at`].
pub fn place_hash(chain: Hash32, digest: Hash32, rows: u64) -> Hash32 {
    let bytes = codec::encode(&(chain, digest, rows)).expect("hashes and a number always encode");
    Hash32::of(&bytes)
}
