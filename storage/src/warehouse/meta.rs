//! Reading and writing values of the space `meta`.

use serde::{Serialize, de::DeserializeOwned};

use super::OriginState;
use crate::{
    codec,
    command::ParentCursor,
    db::{Db, DbValue, WriteSet},
    error::StorageError,
    ids::OriginId,
    keys::{Meta, Space},
};

pub(super) fn decode_meta<T: DeserializeOwned>(meta: &Meta, bytes: &[u8]) -> Result<T, StorageError> {
    codec::decode(bytes).map_err(|e| StorageError::unreadable(format!("{meta:?}"), e))
}

pub(super) fn read_meta<T: DeserializeOwned>(db: &Db, meta: &Meta) -> Result<Option<T>, StorageError> {
    db.value(Space::Meta, &meta.encode())?.map(|bytes| decode_meta(meta, &bytes)).transpose()
}

/// Values of many keys, in their order, read at once.
pub(super) fn read_metas<T: DeserializeOwned>(db: &Db, metas: impl Iterator<Item = Meta>) -> Result<Vec<Option<T>>, StorageError> {
    let metas: Vec<(Meta, Vec<u8>)> = metas.map(|meta| (meta.encode(), meta)).map(|(key, meta)| (meta, key)).collect();
    let values = db.values(Space::Meta, metas.iter().map(|(_, key)| key.as_slice()))?;
    let decode = |((meta, _), value): (&(Meta, Vec<u8>), Option<DbValue<'_>>)| value.map(|bytes| decode_meta(meta, &bytes)).transpose();
    metas.iter().zip(values).map(decode).collect()
}

pub(super) fn put_meta<T: Serialize>(set: &mut WriteSet, meta: &Meta, value: &T) -> Result<(), StorageError> {
    set.put(Space::Meta, meta.encode(), codec::encode(value)?);
    Ok(())
}

/// Where an origin stands, for a command that may change it.
pub(super) fn read_origin(db: &Db, origin: OriginId) -> Result<Option<OriginState>, StorageError> {
    let state: Option<OriginState> = read_meta(db, &Meta::Origin(origin))?;
    if let Some(broken) = state.as_ref().and_then(OriginState::broken_invariant) {
        return Err(StorageError::damaged(format!("{:?}", Meta::Origin(origin)), broken));
    }
    Ok(state)
}

/// Writes where an origin stands. `before` is the cursor that the command found.
///
/// # Panics
/// When the state breaks an invariant. What was read from the disk was checked by [`read_origin`], so the fault is in this program.
pub(super) fn put_origin(set: &mut WriteSet, before: &ParentCursor, state: &OriginState) -> Result<(), StorageError> {
    let origin = before.origin;
    if let Some(broken) = state.broken_invariant() {
        panic!("origin {origin}: {broken}");
    }
    assert!(
        state.epoch != before.epoch || state.next >= before.next,
        "the cursor of origin {origin} goes back from {} to {} within epoch {}",
        before.next,
        state.next,
        state.epoch
    );
    put_meta(set, &Meta::Origin(origin), state)
}
