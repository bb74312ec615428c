//! At the end: every request that was acknowledged to a client is in its author's stream, once, and in the batch that was named.

use std::collections::BTreeMap;

use kho_storage::stream::BatchBody;

use crate::{tree, world::World};

pub fn judge(world: &World) -> Result<(), String> {
    for origin in tree::origins() {
        let author = &world.sites()[origin.0 as usize - 1];
        let mut found: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let tip = author.disk.origin(origin).map(|state| state.chain);
        for (_, chain_link) in tip.into_iter().flat_map(|tip| world.ledger.history(origin, tip)) {
            if let BatchBody::Rows { requests, .. } = &chain_link.batch.body {
                requests.iter().for_each(|mark| found.entry(mark.key.as_str()).or_default().push(chain_link.seq.0));
            }
        }
        if let Some((key, places)) = found.iter().find(|(_, places)| places.len() > 1) {
            return Err(format!("promise 3: request {key} of origin {origin} was applied in batches {places:?}"));
        }
        for (key, place) in world.ledger.acknowledged(origin) {
            if found.get(key).is_none_or(|places| *places != [place.seq.0]) {
                return Err(format!(
                    "promise 1: request {key} was acknowledged as batch {} of origin {origin} and is not there",
                    place.seq
                ));
            }
        }
    }
    Ok(())
}
