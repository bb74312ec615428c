//! What is proposed to this site and not decided yet: bounded in bytes and in number.
//!
//! Invariant: `bytes` is the sum of what is queued; an empty queue takes none (checked when a proposal is decided).

use std::collections::BTreeMap;

use kho_storage::ids::OriginId;

use super::config::IntakeConfig;
use crate::frames::{Cursor, FrameId};

/// Proposed and not decided.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    by_id: BTreeMap<FrameId, Proposal>,
    bytes: usize,
}

#[derive(Debug)]
struct Proposal {
    origin: OriginId,
    bytes: usize,
    /// Where the segment ends; none for a step of a transfer.
    end: Option<Cursor>,
}

impl Proposals {
    /// Plain bytes of all proposals.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a frame of `plain_bytes` may be proposed too.
    pub fn has_room(&self, plain_bytes: usize, config: &IntakeConfig) -> bool {
        self.bytes.saturating_add(plain_bytes) <= config.queued_bytes_max && self.by_id.len() < config.queued_frames_max
    }

    pub fn insert(&mut self, id: FrameId, origin: OriginId, bytes: usize, end: Option<Cursor>) {
        self.bytes += bytes;
        let before = self.by_id.insert(id, Proposal { origin, bytes, end });
        assert!(before.is_none(), "a frame with a number that did not rise is not proposed");
    }

    /// Takes out a proposal that was decided on, and returns its origin and where its segment ends.
    pub fn remove(&mut self, id: FrameId) -> Option<(OriginId, Option<Cursor>)> {
        let proposal = self.by_id.remove(&id)?;
        self.bytes -= proposal.bytes;
        assert!(self.bytes == 0 || !self.by_id.is_empty(), "an empty queue takes no bytes");
        Some((proposal.origin, proposal.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_in_bytes_and_in_number() {
        let config = IntakeConfig { queued_bytes_max: 100, queued_frames_max: 2, ..IntakeConfig::default() };
        let mut proposals = Proposals::default();
        assert!(proposals.has_room(100, &config) && !proposals.has_room(101, &config));
        proposals.insert(FrameId(1), OriginId(3), 60, None);
        assert!(proposals.has_room(40, &config) && !proposals.has_room(41, &config));
        proposals.insert(FrameId(2), OriginId(6), 0, None);
        assert!(!proposals.has_room(0, &config), "two frames are the most");
        assert_eq!(proposals.remove(FrameId(1)), Some((OriginId(3), None)));
        assert_eq!((proposals.bytes(), proposals.remove(FrameId(1))), (0, None));
    }
}
