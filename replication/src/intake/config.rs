//! The intake's limits and timeouts.

use kho_storage::{level::LevelOffer, stream::SEGMENT_BYTES_MAX};

/// What one connection from a child may cost its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeConfig {
    /// From the open connection to the Hello, or since bytes moved last.
    pub hello_timeout_ms: u64,
    /// Plain bytes proposed and not yet committed. At least twice a segment's maximum.
    pub queued_bytes_max: usize,
    /// Frames proposed and not yet committed.
    pub queued_frames_max: usize,
    /// How long a child is to wait when the queue is full or an outcome is not known.
    pub busy_retry_ms: u32,
    /// Refused segments that are kept as evidence, per connection.
    pub evidence_max: usize,
    /// A child that answers and stays behind what is held of its own stream for so long is reported. A leader of it that was replaced,
    /// and doesn't know it yet, is gone by then.
    pub set_back_report_ms: u64,
    /// What this site says of its level.
    pub levels: LevelOffer,
    /// A carrier whose whole-origin transfer came no further for so long, in site time, gives way to another one. Longer than a piece, or
    /// a segment, takes over the slowest link.
    pub transfer_silent_ms: u64,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self {
            hello_timeout_ms: 15_000,
            queued_bytes_max: 64 << 20,
            queued_frames_max: 1024,
            busy_retry_ms: 500,
            evidence_max: 16,
            set_back_report_ms: 10_000,
            levels: LevelOffer::default(),
            transfer_silent_ms: 600_000,
        }
    }
}

impl IntakeConfig {
    /// How long a carrier waits before it asks again for its turn to transfer an origin.
    pub(super) fn transfer_retry_ms(&self) -> u32 {
        u32::try_from(self.transfer_silent_ms / 20).unwrap_or(u32::MAX)
    }

    /// What a child may have unanswered: an honest one never finds the queue full.
    pub(super) fn in_flight_bytes_max(&self) -> u32 {
        let spare = self.queued_bytes_max.saturating_sub(SEGMENT_BYTES_MAX).max(1);
        u32::try_from(spare).unwrap_or(u32::MAX)
    }
}
