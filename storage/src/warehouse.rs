//! The warehouse: one node's copy of what its site holds, changed by commands alone.
//!
//! ```text
//!   site's log ──► Warehouse::apply(mark, command)
//!                     ├─ write.rs     clients' requests → own batch
//!                     ├─ adopt.rs     a verified segment of another origin
//!                     ├─ transfer.rs  a whole origin, piece by piece, beside the replica that is read
//!                     ├─ registers.rs the register, and whom the site believes about the next
//!                     ├─ set_back.rs  the site's own stream stood further before its disks came back older
//!                     ├─ level.rs     the level at which the site works
//!                     ├─ maintenance.rs    heads, parents' cursors, trimming
//!                     └─ divergence.rs     nodes that computed something else; what nodes compare
//!                  ──► one atomic write: rows, cubes, digest, cursor, batch, applied mark
//! ```
//! Invariants: applying is deterministic, with no clock, randomness or map order (test
//! `promise_3_two_nodes_that_apply_the_same_commands_hold_the_same_bytes`); a second history is never merged (test
//! `promise_6_another_history_is_refused_and_kept_as_evidence`).
//! Not here: when to sign, what to send, whom to trust beyond the register.

mod adopt;
mod discard;
mod divergence;
mod emptied;
mod event;
mod evidence;
mod level;
mod maintenance;
mod meta;
mod needs;
mod origin;
mod read;
mod recompute;
mod registers;
mod rows;
mod set_back;
mod state_dir;
mod transfer;
pub(crate) mod value;
mod write;

pub use divergence::place_hash;
pub use event::WarehouseEvent;
pub(crate) use evidence::EVIDENCE_MAX;
pub use evidence::{EvidenceReason, StoredEvidence};
pub use origin::{OriginState, RequestRecord, StoppedOrigin, StreamRecord, Transfer};
pub use read::{CubeCell, ReadView, Row};
pub use recompute::{ComparedRow, ComparisonKey, CubeDifference, KeyBucket, OriginProof, RecomputeProgress};
pub use registers::{JudgedRegister, ROOT_CHANGES_BYTES_MAX, ROOT_CHANGES_MAX, TrustedRoots};
pub use set_back::{BranchRow, HeadPosition, SetBack};
pub use state_dir::state_place;
pub use value::StoredRow;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU16, AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::{Deserialize, Serialize};

use self::{
    event::{DamageListener, Listener},
    meta::{decode_meta, put_meta, read_meta},
    registers::HeldRegister,
    rows::CompiledSchema,
    state_dir::{current_state, next_state, point_to, remove_other_states, sync_dir},
};
use crate::{
    codec::Blob,
    command::{Command, Outcome, Refusal},
    db::{Db, DbLimits, MemoryImage, WriteSet},
    error::StorageError,
    ids::{Hash32, SiteId},
    keys::{Meta, Space},
    level::{Level, LevelRange},
    schema::{Schema, population},
    signature::PublicKey,
};

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
    /// The key that signs the first register of a site without one, as this node's configuration pins it. What a command comes to does not
    /// depend on it.
    pub register_key: PublicKey,
    pub schema: Arc<Schema>,
    pub limits: DbLimits,
    /// Levels that this node supports: those of its build, save in tests.
    pub levels: LevelRange,
}

/// One node's copy of what its site holds.
pub struct Warehouse {
    config: WarehouseConfig,
    compiled: CompiledSchema,
    dir: PathBuf,
    db: ArcSwap<Db>,
    /// The level in the state.
    level: AtomicU16,
    /// A level that the site works at and this build does not support.
    unsupported_level: OnceLock<Level>,
    held_register: ArcSwapOption<HeldRegister>,
    /// One command at a time.
    applying: parking_lot::Mutex<()>,
    /// A lower bound of the site times of all request keys, in milliseconds: while it is young enough no write looks for old keys.
    /// No result depends on how close it is.
    oldest_request: AtomicI64,
    written_bytes: AtomicU64,
    listeners: parking_lot::RwLock<Vec<Listener>>,
    damage_listeners: parking_lot::RwLock<Vec<DamageListener>>,
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
        let warehouse = Self::unread(db, dir, config);
        // BEFORE anything else is read: a newer build may have written it in another form.
        let level = warehouse.check_level(&warehouse.db.load())?;
        warehouse.level.store(level.0, Ordering::Release);
        warehouse.check_cubes(&warehouse.db.load())?;
        warehouse.check_identity(&warehouse.db.load())?;
        warehouse.load_register()?;
        Ok(warehouse)
    }

    /// A warehouse that has read nothing of its database yet.
    fn unread(db: Db, dir: &Path, config: WarehouseConfig) -> Self {
        Self {
            compiled: CompiledSchema::new(&config.schema),
            dir: dir.into(),
            db: ArcSwap::from_pointee(db),
            level: AtomicU16::new(Level::FOUNDING.0),
            unsupported_level: OnceLock::new(),
            held_register: ArcSwapOption::empty(),
            applying: parking_lot::Mutex::new(()),
            oldest_request: AtomicI64::new(i64::MIN),
            written_bytes: AtomicU64::new(0),
            listeners: parking_lot::RwLock::new(Vec::new()),
            damage_listeners: parking_lot::RwLock::new(Vec::new()),
            config,
        }
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

    /// The key that this node's configuration pins. Whom the site believes is [`Self::trusted_roots`].
    pub fn register_key(&self) -> &PublicKey {
        &self.config.register_key
    }

    /// How far the log is applied, in memory.
    pub fn applied(&self) -> Result<Option<AppliedMark>, StorageError> {
        read_meta(&self.db.load(), &Meta::Applied)
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
        self.told_of_damage(self.apply_one(mark, command))
    }

    fn apply_one(&self, mark: &AppliedMark, command: Option<&Command>) -> Result<Option<Outcome>, StorageError> {
        let _one = self.applying.lock();
        let db = self.db.load_full();
        let mut set = WriteSet::default();
        let outcome = command.map(|command| self.decide(&db, command, &mut set)).transpose()?;
        put_meta(&mut set, &Meta::Applied, mark)?;
        self.written_bytes.fetch_add(set.bytes() as u64, Ordering::Relaxed);
        db.write(set)?;
        match outcome {
            Some(Outcome::RegisterAdopted { version }) if !self.holds_register(version) => self.load_register()?,
            Some(Outcome::LevelStands { level }) => self.level.store(level.0, Ordering::Release),
            _ => {}
        }
        if let (Some(command), Some(outcome)) = (command, &outcome)
            && let Some(event) = WarehouseEvent::of(command, outcome)
        {
            self.notify_listeners(event);
        }
        Ok(outcome)
    }

    /// Calls `listener` after every [`WarehouseEvent`], on the thread that applied the command: it must not block.
    pub fn listen(&self, listener: impl Fn(WarehouseEvent) + Send + Sync + 'static) {
        self.listeners.write().push(Box::new(listener));
    }

    /// Calls `listener` whenever something that was read turns out to be damaged, on the thread that read it.
    pub fn listen_for_damage(&self, listener: impl Fn(&StorageError) + Send + Sync + 'static) {
        self.damage_listeners.write().push(Box::new(listener));
    }

    /// Passes on what came of work on the disk; tells the listeners when it found damage.
    fn told_of_damage<T>(&self, worked: Result<T, StorageError>) -> Result<T, StorageError> {
        if let Err(error) = &worked
            && error.is_damage()
        {
            self.damage_listeners.read().iter().for_each(|listener| listener(error));
        }
        worked
    }

    fn notify_listeners(&self, event: WarehouseEvent) {
        self.listeners.read().iter().for_each(|listener| listener(event));
    }

    fn decide(&self, db: &Db, command: &Command, set: &mut WriteSet) -> Result<Outcome, StorageError> {
        if let Some(refusal) = self.above_level(command) {
            return Ok(Outcome::Refused(refusal));
        }
        let decided = match command {
            Command::Write { site_time, origin, requests } => {
                return self.write_requests(db, *site_time, *origin, requests, set).map(Outcome::Written);
            }
            Command::CommitHead { signed } => self.commit_head(db, signed, set)?,
            Command::AdoptSegment { site_time, carrier, segment } => self.adopt_segment(db, *site_time, *carrier, segment, set)?,
            Command::AdoptRegister { pinned, signed, .. } => self.adopt_register(pinned, signed, set)?,
            Command::RecordParent { parent, cursors } => self.record_parent(*parent, cursors, set)?,
            Command::Trim { keep_bytes } => self.trim(db, *keep_bytes, set)?,
            Command::BeginTransfer { site_time, carrier, silent_ms, start } => {
                self.begin_transfer(db, *site_time, *carrier, *silent_ms, start, set)?
            }
            Command::AdoptPiece { site_time, carrier, generation, piece } => {
                self.adopt_piece(db, *site_time, *carrier, *generation, piece, set)?
            }
            Command::AbandonTransfer { origin } => self.abandon_transfer(db, *origin, set)?,
            Command::ResumeOrigin { origin } => self.resume_origin(db, *origin, set)?,
            Command::DiscardOrigin { origin } => self.discard_origin(db, *origin, set)?,
            Command::ConfirmTime { site_time } => self.confirm_time(db, *site_time, set)?,
            Command::NoteTurnedBack { site_time, node, disk } => {
                put_meta(set, &Meta::TurnedBack(*node, *disk), site_time)?;
                Ok(Outcome::Recorded)
            }
            Command::RaiseLevel { to } => self.raise_level(*to, set)?,
            Command::NoteTest { note } => {
                put_meta(set, &Meta::TestNote, note)?;
                Ok(Outcome::Recorded)
            }
            Command::NoteDiverged { site_time, node, disk, place } => {
                put_meta(set, &Meta::Diverged(*node, *disk), &(*site_time, *place))?;
                Ok(Outcome::Recorded)
            }
            Command::ReviewEvidence { origin, review } => evidence::review_evidence(*origin, review, set)?,
            Command::NoteSetBack { site_time, shown_by, signed } => self.note_set_back(db, *site_time, *shown_by, signed, set)?,
        };
        Ok(decided.unwrap_or_else(Outcome::Refused))
    }

    /// How far the log is applied in the state database at `place`, which nobody has opened.
    ///
    /// # Errors
    /// [`StorageError`] when it can't be read.
    pub fn mark_at(place: &Path) -> Result<AppliedMark, StorageError> {
        Ok(read_meta(&Db::open_read_only(place)?, &Meta::Applied)?.unwrap_or_default())
    }

    /// Flushes, then copies the state database by hard links to `target`, which must not exist.
    pub fn checkpoint(&self, target: &Path) -> Result<AppliedMark, StorageError> {
        self.told_of_damage(self.db.load().checkpoint(target))?;
        Self::mark_at(target)
    }

    /// Makes a received checkpoint the state database. `source` is moved away. A crash at any point leaves either the old or
    /// the new state.
    pub fn replace_with(&self, source: &Path) -> Result<(), StorageError> {
        let _one = self.applying.lock();
        let place = next_state(&self.dir)?;
        fs::rename(source, &place).map_err(|e| StorageError::file(source, e))?;
        sync_dir(&self.dir)?;
        let db = Db::open(&place, self.config.limits)?;
        let level = self.check_level(&db)?;
        self.check_cubes(&db)?;
        self.check_identity(&db)?;
        point_to(&self.dir, &place)?;
        let old = self.db.swap(Arc::new(db));
        self.level.store(level.0, Ordering::Release);
        self.oldest_request.store(i64::MIN, Ordering::Relaxed);
        // A reader may still hold the old database: then its files stay until the next start.
        if let Ok(old) = Arc::try_unwrap(old) {
            let old_place = old.place().to_path_buf();
            drop(old);
            if let Err(error) = fs::remove_dir_all(&old_place) {
                tracing::warn!(place = %old_place.display(), %error, "the replaced state could not be removed yet");
            }
        }
        self.load_register()?;
        self.notify_listeners(WarehouseEvent::EverythingChanged);
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
        self.told_of_damage(self.db.load().flush())
    }

    fn check_identity(&self, db: &Db) -> Result<(), StorageError> {
        if let Some((tree, site)) = read_meta::<(String, SiteId)>(db, &Meta::Identity)? {
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
}

/// What a decision by state alone comes to; an error around it stops the node.
type Decided = Result<Result<Outcome, Refusal>, StorageError>;

#[cfg(test)]
mod tests;
