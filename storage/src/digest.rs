//! The digest of a replica: an order-independent hash over all its rows, kept with every change.
//!
//! Each row is expanded by BLAKE3's extendable output to 4096 bits and added modulo 2^4096; taking a row away subtracts.
//! Finding other rows with the same sum is a generalised-birthday problem of about 2^128 steps. Only the BLAKE3 of the sum
//! is ever published, so that nobody can take sums apart to guess a person's row.
//!
//! Invariant: the digest depends on the set of rows alone, not on the order or the path by which they came
//! (test `the_order_of_rows_does_not_matter_and_every_field_does`).

use serde::{Deserialize, Serialize};

use crate::{
    codec::Blob,
    ids::{Hash32, OriginId, SiteTime, StreamSeq, TableId},
};

const LIMBS: usize = 64;

/// The canonical logical row that is hashed: never its storage format, its generation or defaults.
#[derive(Debug, Clone, Copy)]
pub struct LogicalRow<'a> {
    pub origin: OriginId,
    pub table: TableId,
    pub key: &'a [u8],
    /// Canonical cells, see [`crate::row`].
    pub cells: &'a [u8],
    /// Batch that wrote the row last, and that batch's site time.
    pub seq: StreamSeq,
    pub time: SiteTime,
}

/// The running sum over rows; 512 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestSum([u64; LIMBS]);

impl Default for DigestSum {
    fn default() -> Self {
        Self([0; LIMBS])
    }
}

impl std::fmt::Debug for DigestSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DigestSum({})", self.digest())
    }
}

impl DigestSum {
    pub fn add(&mut self, row: &LogicalRow<'_>) {
        self.add_sum(&Self(expand(row)));
    }

    pub fn subtract(&mut self, row: &LogicalRow<'_>) {
        let mut borrow = false;
        for (limb, part) in self.0.iter_mut().zip(expand(row)) {
            let (low, first) = limb.overflowing_sub(part);
            let (low, second) = low.overflowing_sub(u64::from(borrow));
            *limb = low;
            borrow = first | second;
        }
    }

    /// Adds another sum, as when parts of a replica were summed apart.
    pub fn add_sum(&mut self, other: &DigestSum) {
        let mut carry = false;
        for (limb, part) in self.0.iter_mut().zip(&other.0) {
            let (low, first) = limb.overflowing_add(*part);
            let (low, second) = low.overflowing_add(u64::from(carry));
            *limb = low;
            carry = first | second;
        }
    }

    /// What is published: the BLAKE3 of the sum.
    pub fn digest(&self) -> Hash32 {
        Hash32::of(&self.to_bytes())
    }

    fn to_bytes(&self) -> [u8; LIMBS * 8] {
        let mut bytes = [0; LIMBS * 8];
        for (place, limb) in bytes.chunks_exact_mut(8).zip(&self.0) {
            place.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }
}

fn expand(row: &LogicalRow<'_>) -> [u64; LIMBS] {
    let mut fixed = [0u8; 40];
    fixed[..9].copy_from_slice(b"kho row 1");
    fixed[9..13].copy_from_slice(&row.origin.0.to_le_bytes());
    fixed[13] = row.table.0;
    fixed[14..22].copy_from_slice(&row.seq.0.to_le_bytes());
    fixed[22..30].copy_from_slice(&row.time.0.to_le_bytes());
    fixed[30..34].copy_from_slice(&(row.key.len() as u32).to_le_bytes());
    fixed[34..38].copy_from_slice(&(row.cells.len() as u32).to_le_bytes());
    let mut hasher = blake3::Hasher::new();
    hasher.update(&fixed).update(row.key).update(row.cells);
    let mut bytes = [0; LIMBS * 8];
    hasher.finalize_xof().fill(&mut bytes);
    let mut limbs = [0; LIMBS];
    for (limb, part) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_le_bytes(part.try_into().expect("chunks of 8"));
    }
    limbs
}

impl Serialize for DigestSum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Blob(self.to_bytes().to_vec()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DigestSum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Blob::deserialize(deserializer)?;
        if bytes.len() != LIMBS * 8 {
            return Err(serde::de::Error::custom("a digest sum has 512 bytes"));
        }
        let mut sum = Self::default();
        for (limb, part) in sum.0.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = u64::from_le_bytes(part.try_into().expect("chunks of 8"));
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(key: &'a [u8], cells: &'a [u8]) -> LogicalRow<'a> {
        LogicalRow { origin: OriginId(1), table: TableId(2), key, cells, seq: StreamSeq(3), time: SiteTime(4) }
    }

    fn sum(rows: &[LogicalRow<'_>]) -> DigestSum {
        let mut sum = DigestSum::default();
        rows.iter().for_each(|row| sum.add(row));
        sum
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_every_field_does() {
        let (a, b) = (row(b"a", b"1"), row(b"b", b"2"));
        assert_eq!(sum(&[a, b]), sum(&[b, a]));
        let others = [
            LogicalRow { origin: OriginId(9), ..a },
            LogicalRow { table: TableId(9), ..a },
            LogicalRow { key: b"x", ..a },
            LogicalRow { cells: b"x", ..a },
            LogicalRow { seq: StreamSeq(9), ..a },
            LogicalRow { time: SiteTime(9), ..a },
            row(b"a1", b""),
        ];
        for other in others {
            assert_ne!(sum(&[other, b]).digest(), sum(&[a, b]).digest(), "{other:?}");
        }
    }

    #[test]
    fn what_is_subtracted_leaves_no_trace() {
        let rows: Vec<_> = (0u8..50).map(|n| [n]).collect();
        let mut all = DigestSum::default();
        rows.iter().for_each(|key| all.add(&row(key, b"c")));
        rows.iter().rev().for_each(|key| all.subtract(&row(key, b"c")));
        assert_eq!(all, DigestSum::default());
    }

    #[test]
    fn parts_summed_apart_equal_the_whole() {
        let (a, b) = (row(b"a", b"1"), row(b"b", b"2"));
        let mut parts = sum(&[a]);
        parts.add_sum(&sum(&[b]));
        assert_eq!(parts, sum(&[a, b]));
    }

    /// Golden value: a change of the canonical row would make every replica in the country unequal.
    #[test]
    fn the_digest_of_a_known_row_never_changes() {
        assert_eq!(sum(&[row(b"key", b"cells")]).digest().to_hex(), "3d0968aba3509fe9a8c53d0bd2a4436b0c15b860f0135fe5e225afacf85f0b3f");
    }
}
