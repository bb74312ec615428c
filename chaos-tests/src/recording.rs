//! What a scene recorded: what was entered and what came of it, what nodes showed meanwhile, what they hold in the end. Plain
//! values; the checks over them are in [`crate::invariants`].

use std::time::Duration;

use kho_storage::ids::SiteTime;

use crate::place::Place;

/// All that a scene recorded.
#[derive(Debug, Default, Clone)]
pub struct Recording {
    /// In no particular order.
    pub entries: Vec<EntryRecord>,
    pub sightings: Vec<Sighting>,
    /// Of every node at the end, once links are whole and nobody enters any more.
    pub held: Vec<HeldStream>,
}

/// One request of a client, over all its retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRecord {
    pub origin: u32,
    pub request_key: String,
    /// The rows that it put, as CSV: key and contents.
    pub rows: Vec<String>,
    pub outcome: EntryOutcome,
}

/// What a client knows of its request in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryOutcome {
    /// Promised for ever.
    Acknowledged { epoch: String, seq: u64 },
    /// No answer, or one that promises nothing: it may be held, or not.
    Unknown { why: String },
}

/// A stream as one node showed it while things broke. Times count from the scene's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub at: Place,
    pub requested_at: Duration,
    pub answered_at: Duration,
    /// The node had applied, when its status was requested, everything that its site ever acknowledged.
    pub ready: bool,
    pub origin: u32,
    pub epoch: String,
    /// Last batch held.
    pub seq: u64,
    pub rows: u64,
    /// None while the origin is being transferred: it stands for no state then.
    pub digest: Option<String>,
    /// The last batch that the site recorded as acknowledged by its parent.
    pub acknowledged: Option<u64>,
}

/// A whole stream as one node holds it, batch by batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldStream {
    pub at: Place,
    pub origin: u32,
    pub epoch: String,
    /// As the node's status says.
    pub seq: u64,
    pub rows: u64,
    pub digest: String,
    /// In the order in which they came out of the node.
    pub batches: Vec<HeldBatch>,
}

/// One batch of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBatch {
    pub epoch: String,
    pub seq: u64,
    pub site_time: SiteTime,
    pub requests: Vec<String>,
    /// The rows that it put, as CSV: key and contents.
    pub rows: Vec<String>,
}

impl Recording {
    /// Requests that were acknowledged.
    pub fn acknowledged(&self) -> impl Iterator<Item = &EntryRecord> {
        self.entries.iter().filter(|entry| matches!(entry.outcome, EntryOutcome::Acknowledged { .. }))
    }

    /// Adds what another part of the scene recorded.
    pub fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.sightings.extend(other.sightings);
        self.held.extend(other.held);
    }
}
