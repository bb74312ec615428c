//! At the end, at every site: rows and cubes are those of the history, replayed here by other code than the warehouse's, and
//! every batch kept is the author's.

use std::collections::BTreeMap;

use kho_storage::{
    ids::{ColumnId, Hash32, OriginId, TableId},
    row::{RowBuilder, RowCells},
    stream::{BatchBody, Change, RowChange},
    warehouse::OriginState,
};

use crate::{
    client,
    ledger::{Ledger, start},
    site::Site,
    world::World,
};

/// Rows by key: sequence and cells of the batch that wrote them last.
pub type Rows = BTreeMap<(TableId, Vec<u8>), (u64, Vec<u8>)>;

pub fn judge(world: &World) -> Result<(), String> {
    let mut replayed: BTreeMap<_, Rows> = BTreeMap::new();
    for site in world.sites() {
        for origin in site.origins() {
            let Some(state) = site.disk.origin(origin) else { continue };
            let rows = replayed.entry((origin, state.chain)).or_insert_with(|| replay(&world.ledger, origin, state.chain));
            let named = |why: String| format!("{}: origin {origin}: {why}", crate::tree::name(site.id));
            is_whole(site, origin).map_err(named)?;
            are_sound(rows).map_err(named)?;
            holds_rows(site, origin, &state, rows).map_err(named)?;
            keeps_batches(site, origin, &state, &world.ledger).map_err(named)?;
            is_complete(origin, &state, world).map_err(named)?;
        }
    }
    Ok(())
}

/// Promise 5: digest, row count and cubes follow from the rows.
fn is_whole(site: &Site, origin: OriginId) -> Result<(), String> {
    let proof = site.disk.warehouse.recompute(origin, &mut |_, _| {}).map_err(|error| error.to_string())?;
    match proof {
        Some(proof) if !proof.holds() => Err(format!(
            "promise 5: rows, digest and cubes disagree: {} of {} rows, {} cells",
            proof.rows,
            proof.stored_rows,
            proof.cube_differences.len()
        )),
        _ => Ok(()),
    }
}

/// A history applied in the plainest way.
pub fn replay(ledger: &Ledger, origin: OriginId, chain: Hash32) -> Rows {
    let mut batches: Vec<_> = ledger.history(origin, chain).map(|(_, chain_link)| chain_link).collect();
    batches.reverse();
    let mut rows = Rows::new();
    for chain_link in batches {
        let BatchBody::Rows { changes, .. } = &chain_link.batch.body else { continue };
        for Change { table, key, row } in changes {
            let (place, seq) = ((*table, key.to_vec()), chain_link.seq.0);
            match row {
                RowChange::Whole(cells) => drop(rows.insert(place, (seq, cells.to_vec()))),
                RowChange::Columns { cells, cleared } => {
                    let held = rows.remove(&place).unwrap_or_default().1;
                    rows.insert(place, (seq, with_columns(&held, cells, cleared)));
                }
                RowChange::Removed => drop(rows.remove(&place)),
            }
        }
    }
    rows
}

/// A row in which some columns are set and some cleared.
fn with_columns(held: &[u8], set: &[u8], cleared: &[ColumnId]) -> Vec<u8> {
    let mut cells: BTreeMap<_, _> = RowCells::trusted(held).iter().collect();
    cells.retain(|column, _| !cleared.contains(column));
    cells.extend(RowCells::trusted(set).iter());
    let mut row = RowBuilder::default();
    cells.iter().for_each(|(column, value)| row.push(*column, value));
    row.finish()
}

/// Promise 10: no change of some columns leaves a row that lacks what every row has, or that contradicts itself.
fn are_sound(rows: &Rows) -> Result<(), String> {
    let flaw = rows.iter().find_map(|((_, key), (seq, cells))| Some((key, seq, client::flaw(cells)?)));
    match flaw {
        Some((key, seq, why)) => Err(format!("promise 10: row {} stands since batch {seq}, but {why}", String::from_utf8_lossy(key))),
        None => Ok(()),
    }
}

fn holds_rows(site: &Site, origin: OriginId, state: &OriginState, expected: &Rows) -> Result<(), String> {
    let tables: std::collections::BTreeSet<TableId> = expected.keys().map(|(table, _)| *table).collect();
    let mut found = Rows::new();
    let read = site.disk.warehouse.read(|reading| {
        for table in tables {
            reading.rows(origin, state, table, &[], |key, row| {
                found.insert((table, key.to_vec()), (row.seq.0, row.cells.to_vec()));
                Ok(true)
            })?;
        }
        Ok(())
    });
    read.map_err(|error| error.to_string())?;
    if found == *expected && found.len() as u64 == state.rows {
        Ok(())
    } else {
        Err(format!("promise 3: {} rows are held, the history leads to {} others", found.len(), expected.len()))
    }
}

/// Batches from the oldest kept to the newest, without a gap, each the author's.
fn keeps_batches(site: &Site, origin: OriginId, state: &OriginState, ledger: &Ledger) -> Result<(), String> {
    let mut bytes = 0;
    for (chain, chain_link) in ledger.history(origin, state.chain) {
        if chain_link.seq < state.oldest_kept {
            break;
        }
        let kept = site
            .disk
            .warehouse
            .read(|reading| reading.batch(origin, state.epoch.number, chain_link.seq))
            .map_err(|error| error.to_string())?;
        let kept = kept.ok_or_else(|| format!("batch {} is gone", chain_link.seq))?;
        if kept.chain != chain || chain_link.batch.encode().is_ok_and(|batch| batch.0 != kept.batch) {
            return Err(format!("batch {} is another than its author wrote", chain_link.seq));
        }
        bytes += kept.batch.len() as u64;
    }
    let before = ledger.ancestor(origin, state.chain, state.oldest_kept.previous());
    if before.unwrap_or(start(origin)) != state.before_oldest_chain {
        return Err("the chain before the oldest batch kept is another".into());
    }
    if bytes == state.kept_bytes { Ok(()) } else { Err(format!("{bytes} bytes are kept, {} are counted", state.kept_bytes)) }
}

/// Promise 9: what the history goes on with is not older than the time up to which the site says that it is complete.
pub fn is_complete(origin: OriginId, state: &OriginState, world: &World) -> Result<(), String> {
    let author = &world.sites()[origin.0 as usize - 1];
    // Disks that came back older do not know what was signed since.
    if world.ledger.rolled_back.contains(&author.id) {
        return Ok(());
    }
    let Some(newest) = author.disk.origin(origin) else { return Ok(()) };
    let following = world.ledger.ancestor(origin, newest.chain, state.next).and_then(|chain| world.ledger.chain_link(origin, chain));
    match following {
        Some(chain_link) if world.ledger.goes_on(origin, state.chain, newest.chain) && chain_link.time() < state.watermark => Err(format!(
            "promise 9: it is called complete up to {}, but batch {} of {} is missing",
            state.watermark,
            chain_link.seq,
            chain_link.time()
        )),
        _ => Ok(()),
    }
}
