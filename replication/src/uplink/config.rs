//! The uplink's limits and timeouts.

use kho_storage::level::LevelOffer;

/// How much an uplink has under way, and how long it waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UplinkConfig {
    /// What a load asks for, in bytes of batches. A longer segment is taken when two heads lie further apart.
    pub segment_bytes_max: usize,
    /// What a load of a transfer's piece asks for, in bytes of rows.
    pub piece_bytes_max: usize,
    /// Plain bytes loaded or unanswered over all streams; one segment may pass it.
    pub in_flight_bytes_max: usize,
    /// Unanswered segments of one stream.
    pub in_flight_segments_max: usize,
    /// From dialling until the connection stands.
    pub dial_timeout_ms: u64,
    /// From Hello to Welcome, or since bytes moved last: a Hello of many streams takes its time on a slow link.
    pub welcome_timeout_ms: u64,
    /// With something unanswered: time without a frame from the parent, and without bytes that move, after which the link counts as lost.
    pub idle_timeout_ms: u64,
    /// How long any one frame may stay unanswered, from when it has left.
    pub answer_timeout_ms: u64,
    /// The lowest rate at which a link carries plain bytes of segments; they shrink to about a quarter on the way. By it is judged when a
    /// frame has left.
    pub link_bytes_per_second_min: u64,
    /// First pause after a failure; doubles up to `backoff_ms_max`, less up to a half at random.
    pub backoff_ms_min: u64,
    pub backoff_ms_max: u64,
    /// Failures in a row after which the next parent in the register's order is tried.
    pub failures_max: u32,
    /// Redirections in a row before they count as a failure.
    pub redirects_max: u32,
    /// A link that stood so long, or on which anything was acknowledged, ends a row of failures.
    pub stable_ms: u64,
    /// How often the active parent is probed while a stand-in serves; doubles up to eight times while it does not answer.
    pub probe_interval_ms: u64,
    /// How long a refused stream rests.
    pub parked_retry_ms: u64,
    /// The same when its head moved on.
    pub parked_retry_moved_ms: u64,
    /// The same when the parent holds another history: only an operator changes that.
    pub forked_retry_ms: u64,
    /// How often sending of a stream may start at another cursor without an acknowledgement before the stream is parked.
    pub fruitless_restarts_max: u32,
    /// Acknowledged cursors are recorded in this site this often.
    pub record_interval_ms: u64,
    /// After so long a register is offered to this site again, which did not take it, or fetched again from the parent.
    pub register_retry_ms: u64,
    /// What this site says of its level.
    pub levels: LevelOffer,
}

impl Default for UplinkConfig {
    fn default() -> Self {
        Self {
            segment_bytes_max: 4 << 20,
            piece_bytes_max: crate::frames::PIECE_BYTES_MAX,
            in_flight_bytes_max: 32 << 20,
            in_flight_segments_max: 4,
            dial_timeout_ms: 10_000,
            welcome_timeout_ms: 15_000,
            idle_timeout_ms: 180_000,
            answer_timeout_ms: 600_000,
            link_bytes_per_second_min: 4_000,
            backoff_ms_min: 500,
            backoff_ms_max: 60_000,
            failures_max: 3,
            redirects_max: 5,
            stable_ms: 30_000,
            probe_interval_ms: 60_000,
            parked_retry_ms: 120_000,
            parked_retry_moved_ms: 15_000,
            forked_retry_ms: 3_600_000,
            fruitless_restarts_max: 5,
            record_interval_ms: 1_000,
            register_retry_ms: 2_000,
            levels: LevelOffer::default(),
        }
    }
}
