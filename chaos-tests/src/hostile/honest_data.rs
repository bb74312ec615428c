//! The real data of a stopped node, read from a copy of its state. Every forgery is made from it.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, ensure};
use kho_node::config::NodeConfig;
use kho_replication::frames::{Cursor, StreamHeld};
use kho_storage::{
    command::{RowPlace, TransferPiece, TransferStart},
    db::DbLimits,
    ids::{Hash32, OriginId, StreamSeq},
    level::SUPPORTED,
    register::VerifiedRegister,
    schema::population,
    stream::{Segment, chain_next},
    warehouse::{OriginState, Warehouse, WarehouseConfig, state_place},
};
use tempfile::TempDir;

/// What is read of a stream at a time; more than any test puts in.
const SEGMENT_BYTES_WANTED: usize = 8 << 20;
const PIECE_BYTES_WANTED: usize = 1 << 20;

/// The streams and rows of a stopped node. See the module.
pub struct HonestData {
    warehouse: Warehouse,
    register: Arc<VerifiedRegister>,
    /// Holds the copy; goes with it.
    _copy: TempDir,
}

impl HonestData {
    /// Copies the state that the node of `config` had when it stopped, and opens the copy.
    ///
    /// # Errors
    /// When the node runs, never held a register, or its disk can't be read.
    pub fn copied_from(config: &NodeConfig) -> anyhow::Result<Self> {
        let place = state_place(&config.data_dir.join("warehouse"))?;
        let copy = TempDir::with_prefix("kho-hostile-")?;
        copy_files(&place, &copy.path().join("state-1")).with_context(|| format!("{} can't be copied", place.display()))?;
        let settings = WarehouseConfig {
            tree: config.tree.clone(),
            site: config.site,
            register_key: config.register_key().map_err(anyhow::Error::msg)?,
            schema: Arc::new(population().clone()),
            limits: DbLimits::default(),
            levels: SUPPORTED,
        };
        let warehouse = Warehouse::open(copy.path(), settings)
            .with_context(|| format!("the copy of {} can't be opened; stop the node first", place.display()))?;
        let register = warehouse.register().context("the node never had a register")?;
        Ok(Self { warehouse, register, _copy: copy })
    }

    pub fn register(&self) -> &VerifiedRegister {
        &self.register
    }

    /// Every stream held, as a Hello names it.
    ///
    /// # Errors
    /// When the copy can't be read.
    pub fn streams(&self) -> anyhow::Result<Vec<StreamHeld>> {
        let origins = self.warehouse.origins()?;
        Ok(origins
            .into_iter()
            .map(|(origin, state)| StreamHeld { origin, epoch: state.epoch, next: state.next, oldest_kept: state.oldest_kept })
            .collect())
    }

    /// Where a stream stands.
    ///
    /// # Errors
    /// When nothing of it is held.
    pub fn origin(&self, origin: OriginId) -> anyhow::Result<OriginState> {
        self.warehouse.origin(origin)?.with_context(|| format!("nothing of origin {origin} is held"))
    }

    /// The honest batches from `from` on, up to the newest head that fits `bytes_max` (or the next head).
    ///
    /// # Errors
    /// When there are none.
    pub fn segment_within(&self, origin: OriginId, from: StreamSeq, bytes_max: usize) -> anyhow::Result<Segment> {
        self.warehouse.segment(origin, from, bytes_max)?.with_context(|| format!("no batches of origin {origin} from {from} on are kept"))
    }

    /// All honest batches that a parent at `cursor` lacks: at least three, of which something can be left out in the middle.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn segment(&self, origin: OriginId, cursor: Cursor) -> anyhow::Result<Segment> {
        let segment = self.segment_within(origin, cursor.next, SEGMENT_BYTES_WANTED)?;
        ensure!(
            segment.batches.len() >= 3,
            "the parent lacks {} batches of origin {origin}; three are needed for this attack",
            segment.batches.len()
        );
        Ok(segment)
    }

    /// How a whole-origin transfer would start that leaves some batches to replay: behind the first batch that a parent at
    /// `cursor` lacks.
    ///
    /// # Errors
    /// When too few batches are held.
    pub fn transfer_start(&self, origin: OriginId, cursor: Cursor) -> anyhow::Result<TransferStart> {
        let state = self.origin(origin)?;
        let first = &self.segment(origin, cursor)?.batches[0];
        let before = self.chain_before(origin, cursor.next)?;
        Ok(TransferStart { origin, epoch: state.epoch, kept_after: cursor.next, kept_after_chain: chain_next(before, first) })
    }

    /// The honest rows from `from` on.
    ///
    /// # Errors
    /// When nothing of the origin is held.
    pub fn piece(&self, origin: OriginId, from: &RowPlace) -> anyhow::Result<TransferPiece> {
        self.warehouse
            .read(|reading| reading.piece(origin, from, PIECE_BYTES_WANTED))?
            .with_context(|| format!("nothing of origin {origin} is held"))
    }

    /// The chain hash on which batch `seq` builds.
    ///
    /// # Errors
    /// When it is no longer known.
    pub fn chain_before(&self, origin: OriginId, seq: StreamSeq) -> anyhow::Result<Hash32> {
        let state = self.origin(origin)?;
        if seq == state.oldest_kept {
            return Ok(state.before_oldest_chain);
        }
        let record = self.warehouse.read(|reading| reading.batch(origin, state.epoch.number, seq.previous()))?;
        Ok(record.with_context(|| format!("batch {} of origin {origin} is no longer kept", seq.previous()))?.chain)
    }
}

/// Copies the files directly in `from`.
fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
