//! The audit log: who saw personal data, and who gave which order. It goes to the node's log, under the target `kho_audit`.
//!
//! Keys of rows stand in it as hashes under a key that this node made at random and keeps beside its data: a plain hash of a number of
//! twelve digits is found again by trying them all. Who may read the node's disk can compute the hash of a key that is asked about
//! (`kho audit hash`), and so find who read that row.
//!
//! Invariant: the log tells nobody without the node's disk whose row was read
//! (test `the_hash_of_a_key_depends_on_the_node_that_tells_it`).

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use kho_storage::encryption::{ContentKey, random_content_key};

/// The target of every line of the audit log.
pub const AUDIT: &str = "kho_audit";
const FILE: &str = "audit.key";
/// Digits of a hash: enough that no two keys of a site meet.
const HASH_DIGITS: usize = 32;

/// Makes the hashes of this node's audit log.
pub struct AuditKey(ContentKey);

impl AuditKey {
    /// The key in the node's data folder. The first start makes it, with mode 0600.
    ///
    /// # Errors
    /// When it can't be read or made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        match Self::read(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        let key = random_content_key().map_err(io::Error::other)?;
        let temporary = folder.join(format!("{FILE}.tmp"));
        let _ = fs::remove_file(&temporary);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&*key)?;
        file.sync_all()?;
        fs::rename(&temporary, folder.join(FILE))?;
        File::open(folder)?.sync_all()?;
        Ok(Self(key))
    }

    /// The key that a node made in its data folder.
    ///
    /// # Errors
    /// When there is none, or it is not one.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let mut key = ContentKey::default();
        let mut file = File::open(folder.join(FILE))?;
        file.read_exact(&mut *key)?;
        Ok(Self(key))
    }

    /// The hash of a row's key, as lines of the audit log name the row.
    pub fn hash(&self, table: &str, key: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(table.as_bytes()).update(&[0]).update(key.as_bytes());
        hasher.finalize().to_hex().chars().take(HASH_DIGITS).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_hash_of_a_key_depends_on_the_node_that_tells_it() {
        let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let hash = |folder: &Path| AuditKey::open(folder).expect("made").hash("person", "039205001234");
        assert_eq!(hash(one.path()), hash(one.path()), "a restart changes nothing");
        assert_ne!(hash(one.path()), hash(two.path()));
        assert_ne!(hash(one.path()), AuditKey::read(one.path()).expect("made").hash("household", "039205001234"));
        let plain = blake3::hash(b"039205001234").to_hex();
        assert!(!plain.starts_with(&hash(one.path())), "nobody finds the key by hashing all keys");
        assert_eq!(fs::metadata(one.path().join(FILE)).expect("made").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_not_replaced_in_silence() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "short").expect("written");
        assert!(AuditKey::open(folder.path()).is_err());
    }
}
