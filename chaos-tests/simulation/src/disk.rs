//! A site's disk: the log that it agreed on, the warehouse that the log leads to, and older images of both.

use std::{collections::VecDeque, sync::Arc};

use kho_storage::{
    codec::{self, Blob},
    command::{Command, Outcome},
    db::MemoryImage,
    error::StorageError,
    ids::{OriginId, SiteId},
    warehouse::{AppliedMark, OriginState, Warehouse, WarehouseEvent},
};
use parking_lot::Mutex;

use crate::tree;

/// Images kept of one disk.
const IMAGES_MAX: usize = 12;

/// A disk as it stood after so many entries.
#[derive(Clone)]
pub struct Image {
    pub entries: usize,
    state: MemoryImage,
}

pub struct Disk {
    site: SiteId,
    log: Vec<Vec<u8>>,
    applied: usize,
    pub warehouse: Warehouse,
    /// What the warehouse reported to its listener since the last [`Self::take_applied_events`].
    events: Arc<Mutex<Vec<WarehouseEvent>>>,
    images: VecDeque<Image>,
}

impl Disk {
    pub fn new(site: SiteId) -> Self {
        let (warehouse, events) = open(site, MemoryImage::default()).expect("an empty image belongs to nobody");
        Self { site, log: Vec::new(), applied: 0, warehouse, events, images: VecDeque::new() }
    }

    pub fn entries(&self) -> usize {
        self.log.len()
    }

    /// Appends an entry to the log: from here on it is never lost with a majority of the disks alive.
    pub fn append(&mut self, entry: Vec<u8>) {
        self.log.push(entry);
    }

    /// The first entry that is not applied yet.
    pub fn next_entry(&self) -> Option<&[u8]> {
        self.log.get(self.applied).map(Vec::as_slice)
    }

    /// Applies the next entry, if there is one.
    ///
    /// # Errors
    /// [`StorageError`]: a real node would stop.
    pub fn apply_next(&mut self) -> Result<Option<Outcome>, StorageError> {
        let Some(entry) = self.log.get(self.applied) else { return Ok(None) };
        let command: Command = codec::decode(entry)?;
        self.applied += 1;
        let mark = AppliedMark { applied: Blob((self.applied as u64).to_be_bytes().to_vec()), membership: Blob::default() };
        self.warehouse.apply(&mark, Some(&command))
    }

    /// What a node would make of the next entry, of whose disk `damage` altered something.
    ///
    /// # Errors
    /// [`StorageError`]: that node would stop.
    pub fn apply_next_damaged(&self, damage: impl FnOnce(&Warehouse)) -> Result<Option<Outcome>, StorageError> {
        let Some(entry) = self.log.get(self.applied) else { return Ok(None) };
        let warehouse = self.warehouse.copy_in_memory().expect("a warehouse in memory");
        damage(&warehouse);
        warehouse.apply(&AppliedMark::default(), Some(&codec::decode(entry)?))
    }

    /// What the warehouse reported since the last call.
    pub fn take_applied_events(&self) -> Vec<WarehouseEvent> {
        std::mem::take(&mut self.events.lock())
    }

    pub fn origin(&self, origin: OriginId) -> Option<OriginState> {
        self.warehouse.origin(origin).expect("a memory does not fail")
    }

    /// Puts what was applied on the disk, and keeps an image.
    pub fn flush(&mut self) {
        self.warehouse.flush().expect("a memory does not fail");
        self.images.push_back(Image { entries: self.applied, state: self.newest() });
        if self.images.len() > IMAGES_MAX {
            self.images.pop_front();
        }
    }

    /// All processes of the site end and start again: what was not flushed is applied again from the log.
    ///
    /// # Errors
    /// When that leads to other bytes than before.
    pub fn restart(&mut self) -> Result<(), String> {
        let before = self.newest();
        let applied = self.applied;
        let flushed = self.warehouse.flushed_image().expect("a warehouse in memory");
        self.start_from(flushed)?;
        while self.applied < applied {
            self.apply_next().map_err(|error| error.to_string())?;
        }
        if self.newest() == before { Ok(()) } else { Err("a restarted node reached other bytes than before from the same log".into()) }
    }

    pub fn images(&self) -> impl DoubleEndedIterator<Item = &Image> {
        self.images.iter()
    }

    /// A majority of the site's disks comes back with an older image. The entries of the log since then are gone.
    pub fn roll_back(&mut self, image: &Image) -> Result<(), String> {
        self.log.truncate(image.entries);
        self.images.retain(|kept| kept.entries <= image.entries);
        self.start_from(image.state.clone())
    }

    fn start_from(&mut self, image: MemoryImage) -> Result<(), String> {
        (self.warehouse, self.events) = open(self.site, image).map_err(|error| error.to_string())?;
        let mark = self.warehouse.applied().map_err(|error| error.to_string())?;
        self.applied = mark.and_then(|mark| mark.applied.0.try_into().ok()).map_or(0, |bytes| u64::from_be_bytes(bytes) as usize);
        Ok(())
    }

    fn newest(&self) -> MemoryImage {
        self.warehouse.image().expect("a warehouse in memory")
    }
}

type Opened = (Warehouse, Arc<Mutex<Vec<WarehouseEvent>>>);

fn open(site: SiteId, image: MemoryImage) -> Result<Opened, StorageError> {
    let warehouse = Warehouse::in_memory(image, tree::warehouse_config(site))?;
    let events = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&events);
    warehouse.listen(move |applied| listener.lock().push(applied));
    Ok((warehouse, events))
}
