//! Damage that a read of this node's disk found: kept beside the data until an operator has examined the disk.
//!
//! A block whose checksum does not fit, or a value that can't be decoded, may be met once and not again for weeks. A log line about it is
//! soon forgotten, and the node reads healthy. So the first one is kept as a file, and status names it as a finding.
//!
//! An operator ends it by an order, which is taken only once every origin was proved since (`kho verify`): that reads all rows and cubes
//! again. What else lies on the disk no proof reads, so the order is the operator's word.
//!
//! Invariants: damage that was found survives a restart (test `damage_that_a_read_found_stands_after_a_restart`), and ends only after proofs
//! that are newer than it (test `damage_ends_by_an_order_once_everything_was_proved_since`).

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use kho_storage::{
    ids::{OriginId, SiteTime},
    warehouse::OriginProof,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{api::Finding, kept_file};

/// The file in the node's data folder.
pub const FILE: &str = "damage-found.json";
/// What the file is called once an operator has examined the disk.
const EXAMINED_FILE: &str = "damage-examined.json";
/// The format of the file that this build writes.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Damage {
    /// When it was found first (RFC 3339).
    found_at: String,
    what: String,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    #[serde(flatten)]
    damage: Damage,
}

/// When a proof was begun, beside the damage that was met.
#[derive(Debug, Clone, Copy)]
pub struct ProofBegun(u64);

/// What reads of this node's disk found damaged.
#[derive(Debug)]
pub struct DamageFound {
    folder: PathBuf,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    first: Option<Damage>,
    /// How often damage was met.
    met: u64,
    /// Origins of which a proof held that was begun after damage was met last.
    proved: BTreeSet<OriginId>,
}

impl Found {
    fn unproved(&self, held: impl Iterator<Item = OriginId>) -> Vec<OriginId> {
        held.filter(|origin| !self.proved.contains(origin)).collect()
    }
}

impl DamageFound {
    /// Reads what is kept in the node's data folder.
    ///
    /// # Errors
    /// When the file can't be read, or holds something else.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let first = match fs::read(folder.join(FILE)) {
            Ok(bytes) => Some(kept_file::parse::<Kept>(&bytes, FORMAT).map_err(io::Error::other)?.damage),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { folder: folder.to_owned(), found: Mutex::new(Found { first, met: 0, proved: BTreeSet::new() }) })
    }

    /// Keeps the first damage that is found. What can't be written is known until the node stops.
    pub fn note(&self, what: &impl std::fmt::Display, now: SiteTime) {
        let mut found = self.found.lock();
        found.proved.clear();
        found.met += 1;
        if found.first.is_some() {
            return;
        }
        let damage = Damage { found_at: now.to_rfc3339(), what: what.to_string() };
        tracing::error!(?damage, "a read found this node's disk damaged; status says so from now on");
        let kept = Kept { format: FORMAT, damage: damage.clone() };
        if let Err(error) = kept_file::replace(&self.folder, FILE, &kept) {
            tracing::error!(%error, "the damage that was found could not be kept; it is known until this node stops");
        }
        found.first = Some(damage);
    }

    /// To be taken before a proof begins, and given to [`Self::note_proof`].
    pub fn proof_begins(&self) -> ProofBegun {
        ProofBegun(self.found.lock().met)
    }

    /// Notes what a proof of an origin came to. `None`: nothing of the origin is held. One that was under way when damage was met says
    /// nothing of it.
    pub fn note_proof(&self, begun: ProofBegun, origin: OriginId, proof: Option<&OriginProof>) {
        let mut found = self.found.lock();
        if !proof.is_none_or(OriginProof::holds) {
            found.proved.remove(&origin);
        } else if found.first.is_some() && found.met == begun.0 {
            found.proved.insert(origin);
        }
    }

    /// Which of the origins that are `held` were not proved since damage was met last.
    pub fn unproved(&self, held: impl Iterator<Item = OriginId>) -> Vec<OriginId> {
        self.found.lock().unproved(held)
    }

    /// An operator has examined the disk: the finding ends, unless some of the origins that are `held` are [unproved](Self::unproved),
    /// which are returned. What was found is kept under another name.
    ///
    /// # Errors
    /// When the file can't be renamed; the finding stands.
    pub fn end(&self, held: impl Iterator<Item = OriginId>) -> io::Result<Vec<OriginId>> {
        // Under one lock: damage that is met meanwhile is not taken for examined.
        let mut found = self.found.lock();
        let unproved = found.unproved(held);
        if !unproved.is_empty() {
            return Ok(unproved);
        }
        match fs::rename(self.folder.join(FILE), self.folder.join(EXAMINED_FILE)) {
            Ok(()) => {}
            // It could not be written then.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        *found = Found { met: found.met, ..Found::default() };
        // A rename that a crash takes back lets the finding stand again.
        File::open(&self.folder)?.sync_all()?;
        Ok(vec![])
    }

    /// What status says of it.
    pub fn finding(&self) -> Option<Finding> {
        self.found.lock().first.clone().map(|Damage { found_at, what }| Finding::DamageFound { found_at, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_kept_by_a_newer_build_is_refused_as_such() {
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join(FILE), br#"{"format": 2, "damages": []}"#).expect("writable");
        let error = DamageFound::open(folder.path()).expect_err("another format");
        assert!(error.to_string().contains("it has format 2") && error.to_string().contains("a newer Kho wrote it"), "{error}");
        let own = br#"{"format": 1, "found_at": "1970-01-01T00:00:01Z", "what": "block checksum mismatch"}"#;
        fs::write(folder.path().join(FILE), own).expect("writable");
        assert!(DamageFound::open(folder.path()).expect("its own").finding().is_some());
    }

    #[test]
    fn damage_that_a_read_found_stands_after_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let found = DamageFound::open(dir.path()).expect("nothing yet");
        assert_eq!(found.finding(), None);
        found.note(&"block checksum mismatch", SiteTime(1_000));
        found.note(&"another one", SiteTime(9_000));
        let first = Finding::DamageFound { found_at: "1970-01-01T00:00:01Z".into(), what: "block checksum mismatch".into() };
        assert_eq!(found.finding().as_ref(), Some(&first), "the first one is told");
        assert_eq!(first.severity(), crate::api::Severity::Critical, "and the node does not read healthy");
        assert_eq!(DamageFound::open(dir.path()).expect("readable").finding(), Some(first));
        let file = fs::read(dir.path().join(FILE)).expect("written");
        assert_eq!(serde_json::from_slice::<Kept>(&file).expect("its own").format, FORMAT, "a later build knows how to read it");
    }

    #[test]
    fn damage_ends_by_an_order_once_everything_was_proved_since() {
        let dir = tempfile::tempdir().expect("a directory");
        let held = [OriginId(3), OriginId(4)];
        let found = DamageFound::open(dir.path()).expect("nothing yet");
        let unproved = || found.unproved(held.into_iter());
        let prove = |origin| found.note_proof(found.proof_begins(), origin, None);
        let end = || found.end(held.into_iter()).expect("renamed");
        prove(OriginId(3));
        let under_way = found.proof_begins();
        found.note(&"block checksum mismatch", SiteTime(1_000));
        assert_eq!(unproved(), held, "what was proved before says nothing");
        found.note_proof(under_way, OriginId(3), None);
        assert_eq!(unproved(), held, "nor does a proof that had passed the place when the damage was met");
        prove(OriginId(3));
        assert_eq!(unproved(), [OriginId(4)]);
        found.note(&"another one", SiteTime(2_000));
        assert_eq!(unproved(), held, "damage was met again");
        assert_eq!(end(), held, "the order is refused");
        held.into_iter().for_each(prove);
        assert_eq!((unproved(), end()), (vec![], vec![]));
        assert_eq!(found.finding(), None);
        assert_eq!(DamageFound::open(dir.path()).expect("readable").finding(), None, "after a restart too");
        assert!(dir.path().join(EXAMINED_FILE).exists(), "what was found is kept");
        found.note(&"a third one", SiteTime(3_000));
        assert!(found.finding().is_some(), "newer damage is told again");
    }
}
