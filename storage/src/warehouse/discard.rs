//! Taking out an origin that has no place at this site: rows, cubes, batches, heads, evidence. An operator ordered it.
//!
//! Invariant: nothing is taken out of an origin that the register leads through this site
//! (test `only_an_origin_that_the_register_leads_elsewhere_is_taken_out_and_nothing_of_it_is_left`).
//!
//! What the site's log and its snapshots hold of it goes when they are purged, and what lies in the files of the database when these are
//! compacted.

use super::{
    Decided, Warehouse,
    meta::{read_meta, read_origin},
    origin::Transfer,
};
use crate::{
    command::{Outcome, Refusal},
    db::{Db, WriteSet},
    error::StorageError,
    ids::OriginId,
    keys::{self, Meta, MetaKind, Space},
};

impl Warehouse {
    pub(super) fn discard_origin(&self, db: &Db, origin: OriginId, set: &mut WriteSet) -> Decided {
        let Some(register) = self.register() else { return Ok(Err(Refusal::NoRegister)) };
        if register.leads_through(origin, self.site()) {
            return Ok(Err(Refusal::OnPath { origin, site: self.site() }));
        }
        if let Some(transfer) = read_meta::<Transfer>(db, &Meta::Transfer(origin))? {
            self.remove_generation(origin, transfer.generation, set);
        }
        if let Some(state) = read_origin(db, origin)? {
            self.remove_generation(origin, state.generation, set);
        }
        let streams = keys::stream_prefix(origin);
        let end = keys::successor(&streams);
        set.delete_range(Space::Streams, streams, end);
        for kind in [MetaKind::Head, MetaKind::Request, MetaKind::Evidence] {
            let prefix = keys::meta_prefix(kind, origin);
            let end = keys::successor(&prefix);
            set.delete_range(Space::Meta, prefix, end);
        }
        let by_other_keys = metas_of(db, MetaKind::Parent, |meta| matches!(meta, Meta::Parent(_, of) if *of == origin))?
            .into_iter()
            .chain(metas_of(db, MetaKind::RequestAge, |meta| matches!(meta, Meta::RequestAge(_, of, _) if *of == origin))?);
        for meta in by_other_keys.chain([Meta::Transfer(origin), Meta::SetBack(origin), Meta::EvidenceReview(origin), Meta::Origin(origin)])
        {
            set.delete(Space::Meta, meta.encode());
        }
        Ok(Ok(Outcome::Recorded))
    }
}

/// Keys of a kind that do not begin with the origin: what parents acknowledged of it, and how old the names of its requests are.
fn metas_of(db: &Db, kind: MetaKind, is_wanted: impl Fn(&Meta) -> bool) -> Result<Vec<Meta>, StorageError> {
    let (from, to) = kind.range();
    let mut found = Vec::new();
    db.view().scan(Space::Meta, &from, &to, |key, _| {
        found.extend(Meta::decode(key).filter(&is_wanted));
        Ok(true)
    })?;
    Ok(found)
}
