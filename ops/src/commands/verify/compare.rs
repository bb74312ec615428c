//! Decides what sites agree on. Pure: status and answers in, verdicts out.

use std::collections::{BTreeMap, BTreeSet};

use kho_node::api::{RowHash, StoodAt};
use kho_storage::{
    ids::{OriginId, StreamSeq},
    warehouse::KeyBucket,
};
use serde::Serialize;

/// What one site holds of an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldStream {
    /// Place of the site in the order of the command line.
    pub site: usize,
    pub epoch: String,
    pub seq: StreamSeq,
    /// Being rebuilt: what is read is not what arrives.
    pub transferring: bool,
}

/// Where the sites that hold an origin can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommonPlace {
    /// One site alone holds it.
    Alone,
    /// The newest batch that all of these sites hold.
    At { seq: StreamSeq, sites: Vec<usize> },
    /// The sites stand in different epochs.
    OtherEpochs,
}

/// Finds the place at which an origin's holders can be compared; sites that are being rebuilt are left out.
pub fn common_place(held: &[HeldStream]) -> CommonPlace {
    let settled: Vec<&HeldStream> = held.iter().filter(|held| !held.transferring).collect();
    let [first, others @ ..] = settled.as_slice() else { return CommonPlace::Alone };
    if others.is_empty() {
        return CommonPlace::Alone;
    }
    if others.iter().any(|other| other.epoch != first.epoch) {
        return CommonPlace::OtherEpochs;
    }
    let seq = settled.iter().map(|held| held.seq).min().unwrap_or_default();
    CommonPlace::At { seq, sites: settled.iter().map(|held| held.site).collect() }
}

/// The sites that differ from the first one in what stood after a batch.
pub fn differing(stood: &[(usize, StoodAt)]) -> Vec<usize> {
    let Some((_, first)) = stood.first() else { return Vec::new() };
    let same = |other: &StoodAt| {
        (&other.epoch, other.seq, &other.chain, &other.digest, other.rows)
            == (&first.epoch, first.seq, &first.chain, &first.digest, first.rows)
    };
    stood.iter().filter(|(_, other)| !same(other)).map(|(site, _)| *site).collect()
}

/// Buckets in which sites differ, in order.
pub fn differing_buckets(sites: &[Vec<KeyBucket>]) -> Vec<u8> {
    let mut found: BTreeMap<u8, BTreeSet<(u64, String)>> = BTreeMap::new();
    let mut given: BTreeMap<u8, usize> = BTreeMap::new();
    for bucket in sites.iter().flatten() {
        found.entry(bucket.bucket).or_default().insert((bucket.rows, bucket.digest.to_hex()));
        *given.entry(bucket.bucket).or_default() += 1;
    }
    let differs = |bucket: &u8| found[bucket].len() > 1 || given[bucket] != sites.len();
    found.keys().copied().filter(differs).collect()
}

/// A row that sites hold differently. Whose it is, nobody sees who may not read rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowDifference {
    pub origin: OriginId,
    pub table: String,
    /// The hash of its key in this comparison.
    pub key_hash: String,
    /// By site, in the order of the command line: the hash it holds, or none.
    pub hashes: Vec<SiteHash>,
}

/// What one site holds of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SiteHash {
    pub site: String,
    pub hash: Option<String>,
}

/// The rows of one bucket that sites hold differently, by table and hash of their key.
pub fn differing_rows(origin: OriginId, sites: &[(String, Vec<RowHash>)]) -> Vec<RowDifference> {
    let mut rows: BTreeMap<(&str, &str), BTreeMap<usize, &str>> = BTreeMap::new();
    for (place, (_, held)) in sites.iter().enumerate() {
        for row in held {
            rows.entry((&row.table, &row.key_hash)).or_default().insert(place, &row.hash);
        }
    }
    let differs = |hashes: &BTreeMap<usize, &str>| hashes.len() != sites.len() || hashes.values().collect::<BTreeSet<_>>().len() > 1;
    let hash_at = |hashes: &BTreeMap<usize, &str>, place: usize| hashes.get(&place).map(|hash| (*hash).to_owned());
    rows.into_iter()
        .filter(|(_, hashes)| differs(hashes))
        .map(|((table, key_hash), hashes)| {
            let hashes =
                sites.iter().enumerate().map(|(place, (site, _))| SiteHash { site: site.clone(), hash: hash_at(&hashes, place) }).collect();
            RowDifference { origin, table: table.to_owned(), key_hash: key_hash.to_owned(), hashes }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::Hash32;

    use super::*;

    fn held(site: usize, epoch: &str, seq: u64) -> HeldStream {
        HeldStream { site, epoch: epoch.into(), seq: StreamSeq(seq), transferring: false }
    }

    #[test]
    fn sites_are_compared_at_the_newest_batch_that_all_of_them_hold() {
        assert_eq!(common_place(&[held(0, "1", 9), held(1, "1", 7)]), CommonPlace::At { seq: StreamSeq(7), sites: vec![0, 1] });
        assert_eq!(common_place(&[held(0, "1", 9), held(1, "2", 9)]), CommonPlace::OtherEpochs);
        assert_eq!(common_place(&[held(0, "1", 9)]), CommonPlace::Alone);
        assert_eq!(common_place(&[]), CommonPlace::Alone);
        let rebuilt = HeldStream { transferring: true, ..held(1, "0", 1) };
        assert_eq!(common_place(&[held(0, "1", 9), rebuilt]), CommonPlace::Alone);
    }

    #[test]
    fn promise_5_a_difference_in_chain_digest_or_rows_is_seen() {
        let stood = StoodAt { origin: 7, epoch: "1".into(), seq: 5, chain: "c".into(), digest: "d".into(), rows: 3 };
        assert!(differing(&[(0, stood.clone()), (1, stood.clone())]).is_empty());
        let others = [
            StoodAt { chain: "x".into(), ..stood.clone() },
            StoodAt { digest: "x".into(), ..stood.clone() },
            StoodAt { rows: 4, ..stood.clone() },
            StoodAt { epoch: "2".into(), ..stood.clone() },
        ];
        for other in others {
            assert_eq!(differing(&[(0, stood.clone()), (1, stood.clone()), (2, other)]), [2]);
        }
    }

    #[test]
    fn a_difference_is_followed_through_its_bucket_to_the_row() {
        let bucket = |bucket: u8, text: &str| KeyBucket { bucket, rows: 1, digest: Hash32::of(text.as_bytes()) };
        let sites = [vec![bucket(0, "a"), bucket(1, "b"), bucket(2, "c")], vec![bucket(0, "a"), bucket(1, "x")]];
        assert_eq!(differing_buckets(&sites), [1, 2]);

        let row = |key: &str, hash: &str| RowHash { table: "person".into(), key_hash: key.into(), hash: hash.into() };
        let sites =
            [("A".to_owned(), vec![row("p", "1"), row("q", "1"), row("r", "1")]), ("B".to_owned(), vec![row("p", "1"), row("q", "2")])];
        let found = differing_rows(OriginId(7), &sites);
        let listed: Vec<_> =
            found.iter().map(|row| (row.key_hash.as_str(), row.hashes[0].hash.as_deref(), row.hashes[1].hash.as_deref())).collect();
        assert_eq!(listed, [("q", Some("1"), Some("2")), ("r", Some("1"), None)]);
    }
}
