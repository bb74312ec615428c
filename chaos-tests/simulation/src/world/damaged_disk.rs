//! One node of a site, perhaps its leader, whose disk is damaged: it meets the same entry as its peers. It may stop. It must not decide
//! otherwise than they do, for what a leader decides is what the child is told.

use kho_storage::{
    command::{Command, Outcome},
    error::StorageError,
    ids::{OriginId, SiteId, TableId},
    stream::{Batch, BatchBody, Segment},
    warehouse::Warehouse,
};

use super::World;
use crate::{
    counts::{Fault, Step},
    tree,
};

/// Of so many entries one meets a damaged disk. Not by chance, so that no seed plays otherwise for it.
const DAMAGED_ONE_IN: usize = 7;

/// What a node with a damaged disk makes of an entry.
pub(super) type DecidedDamaged = Option<Result<Option<Outcome>, StorageError>>;

impl World {
    /// Has a copy of the site's disk apply the next entry, with a row damaged that the entry changes; `None` when this is none of those
    /// entries.
    pub(super) fn decided_on_a_damaged_disk(&mut self, id: SiteId, command: &Command) -> DecidedDamaged {
        let Command::AdoptSegment { segment, .. } = command else { return None };
        let disk = &self.site(id).disk;
        if !disk.entries().is_multiple_of(DAMAGED_ONE_IN) {
            return None;
        }
        let (table, key) = changed_row(&disk.warehouse, segment)?;
        let decided = disk.apply_next_damaged(|warehouse| {
            warehouse.tamper_with_row(segment.origin(), table, &key, &[]).expect("a memory does not fail");
        });
        self.counts.fault(Fault::DiskDamaged);
        Some(decided)
    }

    /// A damaged node stops, or decides as the others do.
    pub(super) fn judge_damaged(&mut self, id: SiteId, decided: DecidedDamaged, outcome: &Outcome) {
        match decided {
            None => {}
            Some(Err(StorageError::Diverged { .. })) => self.counts.step(Step::DamagedStopped),
            Some(Ok(Some(other))) if other == *outcome => {}
            Some(other) => self
                .violated(format!("{}: a node whose disk is damaged decides {other:?} where its site decides {outcome:?}", tree::name(id))),
        }
    }
}

/// A row that stands and that a batch of the segment changes which is not held yet.
fn changed_row(warehouse: &Warehouse, segment: &Segment) -> Option<(TableId, Vec<u8>)> {
    let origin: OriginId = segment.origin();
    let state = warehouse.origin(origin).expect("a memory does not fail")?;
    let held = usize::try_from(state.next.0.saturating_sub(segment.first.0)).unwrap_or(usize::MAX);
    for bytes in segment.batches.iter().skip(held) {
        let BatchBody::Rows { changes, .. } = Batch::decode(bytes).ok()?.body else { continue };
        for change in changes {
            let mut stands = false;
            warehouse
                .read(|view| {
                    view.rows(origin, &state, change.table, &change.key, |key, _| {
                        stands = *key == *change.key;
                        Ok(false)
                    })
                })
                .expect("a memory does not fail");
            if stands {
                return Some((change.table, change.key.0));
            }
        }
    }
    None
}
