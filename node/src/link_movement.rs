//! Whether bytes move over a connection between tiers: what is long may take its time on a slow link, and only silence ends it.
//!
//! Invariant: what keeps an idle connection alive does not count as movement, nor does what is sent to a peer from which nothing comes
//! (test `only_more_than_an_idle_link_carries_counts_and_only_when_the_peer_lives`).

use std::time::Duration;

use kho_replication::quic::Connection;

/// Between two looks at a connection. Shorter than any timeout that movement puts off.
pub const MOVEMENT_INTERVAL: Duration = Duration::from_secs(10);
/// What moves in one interval at least, with all headers: 2.4 kbit/s. Clocks, probes and their acknowledgements come to a third of it.
const MOVED_BYTES_MIN: u64 = 3_000;

/// What a connection had carried when it was last looked at.
#[derive(Debug, Default, Clone, Copy)]
pub struct LinkMovement {
    sent_bytes: u64,
    received_bytes: u64,
    received_datagrams: u64,
}

impl LinkMovement {
    /// Whether bytes moved since the last call.
    pub fn moved(&mut self, connection: &Connection) -> bool {
        let (sent_bytes, received_bytes) = (connection.wire_bytes_sent(), connection.wire_bytes_received());
        let now = Self { sent_bytes, received_bytes, received_datagrams: connection.datagrams_received() };
        std::mem::replace(self, now).has_moved_until(&now)
    }

    fn has_moved_until(&self, now: &Self) -> bool {
        let more = |before: u64, now: u64| now.saturating_sub(before) >= MOVED_BYTES_MIN;
        let is_answered = now.received_datagrams > self.received_datagrams;
        is_answered && (more(self.sent_bytes, now.sent_bytes) || more(self.received_bytes, now.received_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_than_an_idle_link_carries_counts_and_only_when_the_peer_lives() {
        let before = LinkMovement { sent_bytes: 50_000, received_bytes: 9_000, received_datagrams: 70 };
        let after = |sent: u64, received: u64, datagrams: u64| LinkMovement {
            sent_bytes: before.sent_bytes + sent,
            received_bytes: before.received_bytes + received,
            received_datagrams: before.received_datagrams + datagrams,
        };
        assert!(!before.has_moved_until(&after(900, 900, 9)), "an idle link");
        assert!(before.has_moved_until(&after(20_000, 900, 9)), "a segment goes up");
        assert!(before.has_moved_until(&after(900, 20_000, 20)), "a welcome comes down");
        assert!(!before.has_moved_until(&after(20_000, 0, 0)), "nobody acknowledges it");
    }
}
