//! The warehouse: one node's copy of what its site holds, changed by commands alone.
//!
//! ```text
//!   site's log ──► Warehouse::apply(mark, command)
//!                     ├─ write.rs     clients' requests → own batch
//!                     ├─ adopt.rs     a verified segment of another origin
//!                     ├─ transfer.rs  a whole origin, piece by piece, beside the replica that is read
//!                     └─ maintenance.rs    heads, register, parents' cursors, trimming
//!                  ──► one atomic write: rows, cubes, digest, cursor, batch, applied mark
//! ```
//! Invariants: applying is deterministic, with no clock, randomness or map order (test
//! `promise_3_two_nodes_that_apply_the_same_commands_hold_the_same_bytes`); a second history is never merged (test
//! `promise_6_another_history_is_refused_and_kept_as_evidence`).
//! Not here: when to sign, what to send, whom to trust beyond the register.

mod adopt;
#[cfg(test)]
mod carrier_tests;
mod maintenance;
mod origin;
mod read;
mod recompute;
#[cfg(test)]
mod request_tests;
mod rows;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
mod transfer;
#[cfg(test)]
mod transfer_tests;
pub(crate) mod value;
mod write;

pub use origin::{Evidence, OriginState, RequestRecord, Stopped, StreamRecord, Transfer};
pub use read::{CubeCell, ReadView, Row};
pub use recompute::{CubeDifference, KeyBucket, OriginProof, RecomputeProgress};
pub use value::StoredRow;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, Blob},
    command::{Command, Outcome, Refusal},
    db::{Db, DbLimits, MemoryImage, WriteSet},
    error::StorageError,
    ids::{Hash32, OriginId, SiteId},
    keys::{Meta, Space},
    register::{SignedRegister, VerifiedRegister},
    schema::{Schema, population},
    signature::PublicKey,
};
use rows::CompiledSchema;

/// Request keys are remembered for so long, in milliseconds of site time: 30 days.
pub const REQUEST_KEPT_MS: i64 = 30 * 24 * 3600 * 1000;

/// How far the site's log is applied; both parts are the consensus's own bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedMark {
    pub applied: Blob,
    pub membership: Blob,
}

/// Who this warehouse belongs to and whom it trusts.
#[derive(Debug, Clone)]
pub struct WarehouseConfig {
    pub tree: String,
    pub site: SiteId,
    /// The centre's key, under which registers are signed.
    pub register_key: PublicKey,
    pub schema: Arc<Schema>,
    pub limits: DbLimits,
}

/// What has just been applied, for those who wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// A batch of this site's own origin, not yet under a head.
    OwnBatch(OriginId),
    /// A stream's newest head, or what is kept of it, moved.
    StreamMoved(OriginId),
    /// A newer register was adopted.
    Register,
    /// Anything may have changed: the state was replaced, or streams were trimmed.
    Everything,
}

type Listener = Box<dyn Fn(Applied) + Send + Sync>;

/// One node's copy of what its site holds.
pub struct Warehouse {
    config: WarehouseConfig,
    compiled: CompiledSchema,
    dir: PathBuf,
    db: ArcSwap<Db>,
    register: ArcSwap<Option<VerifiedRegister>>,
    /// One command at a time.
    applying: parking_lot::Mutex<()>,
    /// A lower bound of the site times of all request keys, in milliseconds: while it is young enough no write looks for old keys.
    /// No result depends on how close it is.
    oldest_request: AtomicI64,
    written_bytes: AtomicU64,
    listeners: parking_lot::RwLock<Vec<Listener>>,
}

impl Warehouse {
    /// Opens, or makes, the warehouse under `dir`.
    ///
    /// # Errors
    /// [`StorageError`] when the disk fails or the data belong to another site.
    pub fn open(dir: &Path, config: WarehouseConfig) -> Result<Self, StorageError> {
        fs::create_dir_all(dir).map_err(|e| StorageError::file(dir, e))?;
        let place = current_state(dir)?;
        remove_other_states(dir, &place)?;
        Self::over(Db::open(&place, config.limits)?, dir, config)
    }

    /// A warehouse without files whose simulated disk holds `image`; an empty image makes a new one.
    ///
    /// # Errors
    /// [`StorageError`] when the image is damaged or belongs to another site.
    pub fn in_memory(image: MemoryImage, config: WarehouseConfig) -> Result<Self, StorageError> {
        let db = Db::in_memory(image);
        let dir = db.place().to_path_buf();
        Self::over(db, &dir, config)
    }

    /// Everything that a warehouse in memory holds; `None` for one on disk.
    pub fn image(&self) -> Option<MemoryImage> {
        self.db.load().image()
    }

    /// What of a warehouse in memory would survive a crash now; `None` for one on disk.
    pub fn flushed_image(&self) -> Option<MemoryImage> {
        self.db.load().flushed_image()
    }

    fn over(db: Db, dir: &Path, config: WarehouseConfig) -> Result<Self, StorageError> {
        let warehouse = Self {
            compiled: CompiledSchema::new(&config.schema),
            dir: dir.into(),
            db: ArcSwap::from_pointee(db),
            register: ArcSwap::from_pointee(None),
            applying: parking_lot::Mutex::new(()),
            oldest_request: AtomicI64::new(i64::MIN),
            written_bytes: AtomicU64::new(0),
            listeners: parking_lot::RwLock::new(Vec::new()),
            config,
        };
        warehouse.check_cubes(&warehouse.db.load())?;
        warehouse.check_identity()?;
        warehouse.load_register()?;
        Ok(warehouse)
    }

    pub fn site(&self) -> SiteId {
        self.config.site
    }

    pub fn schema(&self) -> &Arc<Schema> {
        &self.config.schema
    }

    pub fn tree(&self) -> &str {
        &self.config.tree
    }

    pub fn register_key(&self) -> &PublicKey {
        &self.config.register_key
    }

    /// The adopted register, if the site has one.
    pub fn register(&self) -> Arc<Option<VerifiedRegister>> {
        self.register.load_full()
    }

    /// How far the log is applied, in memory.
    pub fn applied(&self) -> Result<Option<AppliedMark>, StorageError> {
        self.db.load().value(Space::Meta, &Meta::Applied.encode())?.map(|bytes| decode_meta(&Meta::Applied, &bytes)).transpose()
    }

    /// How far the log would be applied after a crash now.
    pub fn persisted_applied(&self) -> Result<Option<AppliedMark>, StorageError> {
        self.db.load().persisted_value(Space::Meta, &Meta::Applied.encode())?.map(|bytes| decode_meta(&Meta::Applied, &bytes)).transpose()
    }

    /// Applies one command and its mark in one atomic write. Without a command only the mark moves.
    ///
    /// # Errors
    /// [`StorageError`]: the node must stop. What depends on state alone is an [`Outcome`].
    pub fn apply(&self, mark: &AppliedMark, command: Option<&Command>) -> Result<Option<Outcome>, StorageError> {
        let _one = self.applying.lock();
        let db = self.db.load_full();
        let mut set = WriteSet::default();
        let outcome = command.map(|command| self.decide(&db, command, &mut set)).transpose()?;
        put_meta(&mut set, &Meta::Applied, mark)?;
        self.written_bytes.fetch_add(set.bytes() as u64, Ordering::Relaxed);
        db.write(set)?;
        if let Some(Outcome::RegisterAdopted { .. }) = outcome {
            self.load_register()?;
        }
        if let (Some(command), Some(outcome)) = (command, &outcome)
            && let Some(applied) = noticed(command, outcome)
        {
            self.tell(applied);
        }
        Ok(outcome)
    }

    /// Calls `listener` after every change, on the thread that applied it: it must not block.
    pub fn listen(&self, listener: impl Fn(Applied) + Send + Sync + 'static) {
        self.listeners.write().push(Box::new(listener));
    }

    fn tell(&self, applied: Applied) {
        self.listeners.read().iter().for_each(|listener| listener(applied));
    }

    fn decide(&self, db: &Db, command: &Command, set: &mut WriteSet) -> Result<Outcome, StorageError> {
        let decided = match command {
            Command::Write { site_time, origin, requests } => {
                return self.write_requests(db, *site_time, *origin, requests, set).map(Outcome::Written);
            }
            Command::CommitHead { signed } => self.commit_head(db, signed, set)?,
            Command::AdoptSegment { site_time, segment } => self.adopt_segment(db, *site_time, segment, set)?,
            Command::AdoptRegister { site_time, signed } => self.adopt_register(*site_time, signed, set)?,
            Command::RecordParent { parent, cursors } => self.record_parent(*parent, cursors, set)?,
            Command::Trim { keep_bytes } => self.trim(db, *keep_bytes, set)?,
            Command::BeginTransfer { start, .. } => self.begin_transfer(db, start, set)?,
            Command::AdoptPiece { piece } => self.adopt_piece(db, piece, set)?,
            Command::AbandonTransfer { origin } => self.abandon_transfer(db, *origin, set)?,
            Command::ResumeOrigin { origin } => self.resume_origin(db, *origin, set)?,
        };
        Ok(decided.unwrap_or_else(Outcome::Refused))
    }

    /// Flushes, then copies the state database by hard links to `target`, which must not exist.
    pub fn checkpoint(&self, target: &Path) -> Result<AppliedMark, StorageError> {
        self.db.load().checkpoint(target)?;
        let copy = Db::open_read_only(target)?;
        let mark = copy.value(Space::Meta, &Meta::Applied.encode())?.map(|bytes| decode_meta(&Meta::Applied, &bytes)).transpose()?;
        Ok(mark.unwrap_or_default())
    }

    /// Makes a received checkpoint the state database. `source` is moved away. A crash at any point leaves either the old or
    /// the new state.
    pub fn replace_with(&self, source: &Path) -> Result<(), StorageError> {
        let _one = self.applying.lock();
        let place = next_state(&self.dir)?;
        fs::rename(source, &place).map_err(|e| StorageError::file(source, e))?;
        sync_dir(&self.dir)?;
        let db = Db::open(&place, self.config.limits)?;
        self.check_cubes(&db)?;
        point_to(&self.dir, &place)?;
        let old = self.db.swap(Arc::new(db));
        self.oldest_request.store(i64::MIN, Ordering::Relaxed);
        // A reader may still hold the old database: then its files stay until the next start.
        if let Ok(old) = Arc::try_unwrap(old) {
            let old_place = old.place().to_path_buf();
            drop(old);
            if let Err(error) = fs::remove_dir_all(&old_place) {
                tracing::warn!(place = %old_place.display(), %error, "the replaced state could not be removed yet");
            }
        }
        self.check_identity()?;
        self.load_register()?;
        self.tell(Applied::Everything);
        Ok(())
    }

    /// Bytes on disk and keys of a space, roughly.
    pub fn size(&self, space: Space) -> (u64, u64) {
        self.db.load().size(space)
    }

    /// Bytes written since this was opened, roughly.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// Puts everything applied on disk, as before a stop, so that the next start has little to apply again.
    pub fn flush(&self) -> Result<(), StorageError> {
        self.db.load().flush()
    }

    fn check_identity(&self) -> Result<(), StorageError> {
        let db = self.db.load();
        let key = Meta::Identity.encode();
        if let Some(bytes) = db.value(Space::Meta, &key)? {
            let (tree, site): (String, SiteId) = decode_meta(&Meta::Identity, &bytes)?;
            if site != self.config.site || tree != self.config.tree {
                return Err(StorageError::OtherSite { place: self.dir.display().to_string(), found: site, configured: self.config.site });
            }
            return Ok(());
        }
        let mut set = WriteSet::default();
        put_meta(&mut set, &Meta::Identity, &(&self.config.tree, self.config.site))?;
        db.write(set)
    }

    /// Cubes are state: one that was counted by other definitions would give wrong numbers without a word.
    fn check_cubes(&self, db: &Db) -> Result<(), StorageError> {
        let declared = self.config.schema.cubes_fingerprint();
        let stored: Option<Hash32> = read_meta(db, &Meta::Cubes)?;
        // Before fingerprints were kept there was one schema only.
        let is_older = stored.is_none() && db.value(Space::Meta, &Meta::Identity.encode())?.is_some();
        let found = if is_older { population().cubes_fingerprint() } else { stored.unwrap_or(declared) };
        if found != declared {
            return Err(StorageError::OtherCubes { place: db.place().display().to_string(), found, declared });
        }
        if stored.is_some() {
            return Ok(());
        }
        let mut set = WriteSet::default();
        put_meta(&mut set, &Meta::Cubes, &declared)?;
        db.write(set)
    }

    fn load_register(&self) -> Result<(), StorageError> {
        let stored = self
            .db
            .load()
            .value(Space::Meta, &Meta::Register.encode())?
            .map(|bytes| decode_meta::<SignedRegister>(&Meta::Register, &bytes))
            .transpose()?;
        let verified = stored
            .map(|signed| signed.verify(&self.config.register_key, &self.config.tree).map_err(|e| StorageError::damaged("register", e)))
            .transpose()?;
        self.register.store(Arc::new(verified));
        Ok(())
    }
}

/// What of a command others wait for.
fn noticed(command: &Command, outcome: &Outcome) -> Option<Applied> {
    match (command, outcome) {
        (Command::Write { origin, .. }, Outcome::Written(_)) => Some(Applied::OwnBatch(*origin)),
        (Command::CommitHead { signed }, Outcome::HeadCommitted) => Some(Applied::StreamMoved(signed.head.origin)),
        (Command::AdoptSegment { segment, .. }, Outcome::Adopted(_)) => Some(Applied::StreamMoved(segment.origin())),
        (Command::AdoptRegister { .. }, Outcome::RegisterAdopted { .. }) => Some(Applied::Register),
        (Command::Trim { .. }, Outcome::Trimmed { batches: 1.. }) => Some(Applied::Everything),
        _ => None,
    }
}

/// What a decision by state alone comes to; an error around it stops the node.
type Decided = Result<Result<Outcome, Refusal>, StorageError>;

fn decode_meta<T: serde::de::DeserializeOwned>(meta: &Meta, bytes: &[u8]) -> Result<T, StorageError> {
    codec::decode(bytes).map_err(|e| StorageError::damaged(format!("{meta:?}"), e))
}

fn read_meta<T: serde::de::DeserializeOwned>(db: &Db, meta: &Meta) -> Result<Option<T>, StorageError> {
    db.value(Space::Meta, &meta.encode())?.map(|bytes| decode_meta(meta, &bytes)).transpose()
}

fn put_meta<T: Serialize>(set: &mut WriteSet, meta: &Meta, value: &T) -> Result<(), StorageError> {
    set.put(Space::Meta, meta.encode(), codec::encode(value)?);
    Ok(())
}

fn read_origin(db: &Db, origin: OriginId) -> Result<Option<OriginState>, StorageError> {
    read_meta(db, &Meta::Origin(origin))
}

const POINTER: &str = "CURRENT-STATE";

/// The state directory that the pointer file names, `state-1` before there is one.
fn current_state(dir: &Path) -> Result<PathBuf, StorageError> {
    let pointer = dir.join(POINTER);
    match fs::read_to_string(&pointer) {
        Ok(name) if name.trim().strip_prefix("state-").is_some_and(|n| n.parse::<u64>().is_ok()) => Ok(dir.join(name.trim())),
        Ok(name) => Err(StorageError::damaged(pointer.display(), format!("`{}` names no state directory", name.trim()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(dir.join("state-1")),
        Err(error) => Err(StorageError::file(&pointer, error)),
    }
}

/// Where the newest state lies, for tools that open a stopped node's data.
pub fn state_place(dir: &Path) -> Result<PathBuf, StorageError> {
    current_state(dir)
}

fn state_number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("state-")?.parse().ok()
}

fn states(dir: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let entries = fs::read_dir(dir).map_err(|e| StorageError::file(dir, e))?;
    Ok(entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| state_number(path).is_some()).collect())
}

fn next_state(dir: &Path) -> Result<PathBuf, StorageError> {
    let newest = states(dir)?.iter().filter_map(|path| state_number(path)).max().unwrap_or(0);
    Ok(dir.join(format!("state-{}", newest + 1)))
}

/// Removes what a replaced or half-done replacement left behind.
fn remove_other_states(dir: &Path, current: &Path) -> Result<(), StorageError> {
    for place in states(dir)? {
        if place != current {
            fs::remove_dir_all(&place).map_err(|e| StorageError::file(&place, e))?;
        }
    }
    Ok(())
}

fn point_to(dir: &Path, place: &Path) -> Result<(), StorageError> {
    let name = place.file_name().and_then(|name| name.to_str()).expect("a state directory has a name");
    let (pointer, fresh) = (dir.join(POINTER), dir.join("CURRENT-STATE.new"));
    fs::write(&fresh, name).and_then(|()| fs::File::open(&fresh)?.sync_all()).map_err(|e| StorageError::file(&fresh, e))?;
    fs::rename(&fresh, &pointer).map_err(|e| StorageError::file(&pointer, e))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| StorageError::file(dir, e))
}
