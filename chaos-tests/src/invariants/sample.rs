//! A small recording in which nothing is wrong, for tests that break it.

use std::time::Duration;

use kho_storage::ids::SiteTime;

use crate::{
    place::place,
    recording::{EntryOutcome, EntryRecord, HeldBatch, HeldStream, Recording, Sighting},
};

const ORIGIN: u32 = 3;
const EPOCH: &str = "1";

/// Three acknowledged requests in two batches, one of unknown outcome that is held, one that is not; a district of one node and
/// its parent.
pub(super) fn good() -> Recording {
    let acknowledged = |request: &str, seq| EntryRecord {
        origin: ORIGIN,
        request_key: request.into(),
        rows: vec![format!("row of {request}")],
        outcome: EntryOutcome::Acknowledged { epoch: EPOCH.into(), seq },
    };
    let unknown = |request: &str| EntryRecord { outcome: EntryOutcome::Unknown { why: "no answer".into() }, ..acknowledged(request, 0) };
    Recording {
        entries: vec![acknowledged("a", 1), acknowledged("b", 1), acknowledged("c", 2), unknown("held"), unknown("lost")],
        sightings: vec![sighting(3, 1, 1, 0), sighting(1, 1, 2, 1), sighting(3, 2, 3, 1), sighting(1, 3, 5, 3), sighting(3, 3, 6, 3)],
        held: [3, 1].map(held).into(),
    }
}

/// `site` shows batch `seq` at second `second`.
pub(super) fn sighting(site: u32, seq: u64, second: u64, acknowledged: u64) -> Sighting {
    let at = Duration::from_secs(second);
    Sighting {
        at: place(site, 1),
        requested_at: at,
        answered_at: at + Duration::from_millis(5),
        ready: true,
        origin: ORIGIN,
        epoch: EPOCH.into(),
        seq,
        rows: [0, 2, 3, 4][usize::try_from(seq).expect("small")],
        digest: Some(format!("digest {seq}")),
        acknowledged: Some(acknowledged),
    }
}

fn held(site: u32) -> HeldStream {
    let batch = |seq, requests: &[&str]| HeldBatch {
        epoch: EPOCH.into(),
        seq,
        site_time: SiteTime(seq as i64),
        requests: requests.iter().map(ToString::to_string).collect(),
        rows: requests.iter().map(|request| format!("row of {request}")).collect(),
    };
    HeldStream {
        at: place(site, 1),
        origin: ORIGIN,
        epoch: EPOCH.into(),
        seq: 3,
        rows: 4,
        digest: "digest 3".into(),
        batches: vec![batch(1, &["a", "b"]), batch(2, &["c"]), batch(3, &["held"])],
    }
}
