//! Proof by recomputation: digests from the rows on disk, cubes from the rows, and buckets of rows in which two sites can
//! find where they differ.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{OriginState, ReadView, Warehouse, rows::logical, value::decode_row_value};
use crate::{
    db::Db,
    digest::DigestSum,
    error::StorageError,
    ids::{CubeId, Epoch, Hash32, OriginId, StreamSeq, TableId},
    keys::{self, Space},
    row::RowCells,
};

/// Rows are spread over so many buckets by the hash of their keys.
pub const BUCKETS: usize = 256;

/// What recomputing one origin found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginProof {
    pub origin: OriginId,
    pub epoch: Epoch,
    /// State that was recomputed.
    pub seq: StreamSeq,
    pub chain: Hash32,
    /// Kept with every change.
    pub stored_digest: Hash32,
    /// Recomputed from the rows on disk.
    pub digest: Hash32,
    pub stored_rows: u64,
    pub rows: u64,
    /// Rows by table number.
    pub rows_by_table: BTreeMap<u8, u64>,
    /// Cells that differ from what the rows give; at most [`DIFFERENCES_MAX`].
    pub cube_differences: Vec<CubeDifference>,
}

impl OriginProof {
    /// Whether rows, digest and cubes agree.
    pub fn holds(&self) -> bool {
        self.digest == self.stored_digest && self.rows == self.stored_rows && self.cube_differences.is_empty()
    }
}

/// Differences are counted on, but no more than these are listed.
pub const DIFFERENCES_MAX: usize = 100;

/// A cube's cell that does not follow from the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CubeDifference {
    pub cube: CubeId,
    /// The cell's key in hexadecimal, as `kho inspect` prints it.
    pub cell: String,
    pub stored: i64,
    pub recomputed: i64,
}

/// A secret under which the rows of one comparison are hashed: equal rows have equal hashes, and who lacks the secret can't try keys.
#[derive(Debug, Clone, Copy)]
pub struct ComparisonKey<'a>(pub &'a [u8; 32]);

/// A row as a comparison shows it: what its key and its content hash to under the comparison's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedRow {
    pub table: TableId,
    pub key: Hash32,
    pub content: Hash32,
}

/// The keyed digest of the rows whose keys fall into one bucket, and how many they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBucket {
    pub bucket: u8,
    pub rows: u64,
    pub digest: Hash32,
}

/// Called with rows done and rows expected.
pub type RecomputeProgress<'a> = &'a mut dyn FnMut(u64, u64);

impl Warehouse {
    /// Recomputes one origin from its rows on disk. `None` when it is not held.
    pub fn recompute(&self, origin: OriginId, progress: RecomputeProgress<'_>) -> Result<Option<OriginProof>, StorageError> {
        self.read(|view| {
            let Some(state) = view.origin(origin)? else { return Ok(None) };
            let mut sum = DigestSum::default();
            let mut by_table = BTreeMap::new();
            let mut cells: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
            let mut rows = 0;
            for table in 0..=u8::MAX {
                let table = TableId(table);
                let cubes = self.compiled.cubes(table);
                view.rows(origin, &state, table, &[], |key, row| {
                    sum.add(&logical(origin, table, key, &row));
                    rows += 1;
                    *by_table.entry(table.0).or_default() += 1;
                    for cube in cubes {
                        let mut cell = keys::cube_prefix(cube.id, origin, state.generation).to_vec();
                        if let Some(amount) = cube.cell(&RowCells::trusted(row.cells), &mut cell) {
                            *cells.entry(cell).or_default() += amount;
                        }
                    }
                    if rows % 10_000 == 0 {
                        progress(rows, state.rows);
                    }
                    Ok(true)
                })?;
            }
            progress(rows, state.rows);
            let cube_differences = self.compare_cubes(view, origin, &state, cells)?;
            Ok(Some(OriginProof {
                origin,
                epoch: state.epoch,
                seq: state.last(),
                chain: state.chain,
                stored_digest: state.sum.digest(),
                digest: sum.digest(),
                stored_rows: state.rows,
                rows,
                rows_by_table: by_table,
                cube_differences,
            }))
        })
    }

    fn compare_cubes(
        &self,
        view: &ReadView<'_>,
        origin: OriginId,
        state: &OriginState,
        mut recomputed: BTreeMap<Vec<u8>, i64>,
    ) -> Result<Vec<CubeDifference>, StorageError> {
        let mut differences = Vec::new();
        let mut note = |cube, cell: &[u8], stored, recomputed| {
            if stored != recomputed && differences.len() < DIFFERENCES_MAX {
                differences.push(CubeDifference { cube, cell: data_encoding::HEXLOWER.encode(cell), stored, recomputed });
            }
        };
        for cube in &self.schema().cubes {
            view.cube_cells(cube.id, origin, state, |cell| {
                let mut key = keys::cube_prefix(cube.id, origin, state.generation).to_vec();
                key.extend((cell.catalogue << 24 | cell.area).to_be_bytes());
                cell.dimensions.iter().for_each(|number| key.extend(number.to_be_bytes()));
                note(cube.id, &key, cell.amount, recomputed.remove(&key).unwrap_or(0));
            })?;
        }
        for (cell, amount) in recomputed {
            let cube = keys::decode_cube(&cell).map_or(CubeId(0), |(cube, ..)| cube);
            note(cube, &cell, 0, amount);
        }
        Ok(differences)
    }

    /// Digests of the rows of `origin` by bucket of their keys' hashes, in bucket order: where two sites differ, the rows that
    /// differ lie in the buckets that differ.
    pub fn key_buckets(&self, origin: OriginId, secret: ComparisonKey<'_>) -> Result<Vec<KeyBucket>, StorageError> {
        let mut sums = vec![(DigestSum::default(), 0u64); BUCKETS];
        self.visit_rows(origin, |table, key, row| {
            let (sum, rows) = &mut sums[usize::from(secret.of_key(origin, table, key).0[0])];
            sum.add(&logical(origin, table, key, &row));
            *rows += 1;
        })?;
        let bucket = |(bucket, (sum, rows)): (u8, &(DigestSum, u64))| KeyBucket { bucket, rows: *rows, digest: secret.of_digest(sum) };
        Ok((0..=u8::MAX).zip(&sums).map(bucket).collect())
    }

    /// Every row in one bucket.
    pub fn bucket_rows(&self, origin: OriginId, bucket: u8, secret: ComparisonKey<'_>) -> Result<Vec<ComparedRow>, StorageError> {
        let mut found = Vec::new();
        self.visit_rows(origin, |table, key, row| {
            let hash = secret.of_key(origin, table, key);
            if hash.0[0] == bucket {
                let mut sum = DigestSum::default();
                sum.add(&logical(origin, table, key, &row));
                found.push(ComparedRow { table, key: hash, content: secret.of_digest(&sum) });
            }
        })?;
        Ok(found)
    }

    /// The row whose key has this hash, for who may read rows.
    pub fn row_of_hash(
        &self,
        origin: OriginId,
        hash: Hash32,
        secret: ComparisonKey<'_>,
    ) -> Result<Option<(TableId, Vec<u8>)>, StorageError> {
        let mut found = None;
        self.visit_rows(origin, |table, key, _| {
            if secret.of_key(origin, table, key) == hash {
                found = Some((table, key.to_vec()));
            }
        })?;
        Ok(found)
    }

    fn visit_rows(&self, origin: OriginId, mut visit: impl FnMut(TableId, &[u8], super::StoredRow<'_>)) -> Result<(), StorageError> {
        self.read(|view| {
            let Some(state) = view.origin(origin)? else { return Ok(()) };
            for table in 0..=u8::MAX {
                view.rows(origin, &state, TableId(table), &[], |key, row| {
                    visit(TableId(table), key, row);
                    Ok(true)
                })?;
            }
            Ok(())
        })
    }
}

/// Digest sum and number of the rows of an origin as they lie on the disk.
pub(super) fn sum_of_rows(db: &Db, origin: OriginId, state: &OriginState) -> Result<(DigestSum, u64), StorageError> {
    let (mut sum, mut rows) = (DigestSum::default(), 0);
    let view = db.view();
    for table in (0..=u8::MAX).map(TableId) {
        let prefix = keys::row_prefix(table, origin, state.generation);
        view.scan(Space::Rows, &prefix, &keys::successor(&prefix), |key, value| {
            sum.add(&logical(origin, table, &key[keys::ROW_PREFIX_BYTES..], &decode_row_value(key, value)?));
            rows += 1;
            Ok(true)
        })?;
    }
    Ok((sum, rows))
}

impl ComparisonKey<'_> {
    fn of_key(self, origin: OriginId, table: TableId, key: &[u8]) -> Hash32 {
        let mut hasher = blake3::Hasher::new_keyed(self.0);
        hasher.update(b"key").update(&origin.0.to_le_bytes()).update(&[table.0]).update(key);
        Hash32(*hasher.finalize().as_bytes())
    }

    fn of_digest(self, sum: &DigestSum) -> Hash32 {
        let mut hasher = blake3::Hasher::new_keyed(self.0);
        hasher.update(b"rows").update(&sum.digest().0);
        Hash32(*hasher.finalize().as_bytes())
    }
}
