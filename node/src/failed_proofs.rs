//! Proofs that failed: kept beside the data of this node until a later proof of the same origin holds.
//!
//! Each node keeps its own, for each has its own disk: they are no part of what replicas agree on.
//! Invariant: a failed proof survives a restart (test `what_stands_is_in_status_after_a_restart_and_no_honest_head_clears_it`).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use kho_storage::{
    ids::{OriginId, SiteTime},
    warehouse::OriginProof,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{api::Finding, kept_file};

const FILE: &str = "failed-proofs.json";
/// The format of the file that this build writes.
const FORMAT: u32 = 1;

/// A proof that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FailedProof {
    seq: u64,
    /// When the proof was made (RFC 3339).
    found_at: String,
    rows: u64,
    stored_rows: u64,
    cube_differences: u64,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    /// By origin.
    proofs: BTreeMap<u32, FailedProof>,
}

/// The failed proofs of this node, by origin.
#[derive(Debug)]
pub struct FailedProofs {
    folder: PathBuf,
    kept: Mutex<BTreeMap<u32, FailedProof>>,
}

impl FailedProofs {
    /// Reads what is kept in the node's data folder.
    ///
    /// # Errors
    /// When the file can't be read, or holds something else.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let kept = match fs::read(folder.join(FILE)) {
            Ok(bytes) => kept_file::parse::<Kept>(&bytes, FORMAT).map_err(io::Error::other)?.proofs,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { folder: folder.to_owned(), kept: Mutex::new(kept) })
    }

    /// Keeps what a proof found: a failed one, or the end of one that failed before. `None`: nothing of the origin is held any more.
    ///
    /// # Errors
    /// When it can't be written; it is known until the node stops.
    pub fn note(&self, origin: OriginId, proof: Option<&OriginProof>, now: SiteTime) -> io::Result<()> {
        let mut kept = self.kept.lock();
        match proof.filter(|proof| !proof.holds()) {
            None => {
                if kept.remove(&origin.0).is_none() {
                    return Ok(());
                }
            }
            Some(proof) => {
                let failed = FailedProof {
                    seq: proof.seq.0,
                    found_at: now.to_rfc3339(),
                    rows: proof.rows,
                    stored_rows: proof.stored_rows,
                    cube_differences: proof.cube_differences.len() as u64,
                };
                tracing::error!(%origin, ?failed, "a proof failed: the rows on disk do not agree with what stands beside them");
                kept.insert(origin.0, failed);
            }
        }
        kept_file::replace(&self.folder, FILE, &Kept { format: FORMAT, proofs: kept.clone() })
    }

    /// The failed proofs as findings, by origin.
    pub fn findings(&self) -> Vec<Finding> {
        let kept = self.kept.lock();
        let finding = |(origin, failed): (&u32, &FailedProof)| Finding::ProofFailed {
            origin: *origin,
            seq: failed.seq,
            found_at: failed.found_at.clone(),
            rows: failed.rows,
            stored_rows: failed.stored_rows,
            cube_differences: failed.cube_differences,
        };
        kept.iter().map(finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_newer_build_is_refused_as_such() {
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join(FILE), br#"{"format": 2, "proofs": []}"#).expect("writable");
        let error = FailedProofs::open(folder.path()).expect_err("another format");
        assert!(error.to_string().contains("a newer Kho wrote it"), "{error}");
        fs::write(folder.path().join(FILE), br#"{"format": 1, "proofs": {}}"#).expect("writable");
        assert_eq!(FailedProofs::open(folder.path()).expect("its own").findings(), vec![]);
    }
}
