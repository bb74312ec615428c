//! Counts that a node gives on `/metrics`.

use std::time::Duration;

/// A node's counts of what it sent to its parent and received from it.
pub const SENT_BYTES: &str = "kho_uplink_sent_bytes_total";
pub const RECEIVED_BYTES: &str = "kho_uplink_received_bytes_total";
/// How far those counts may be behind, and more.
pub const SENT_BYTES_AGE: Duration = Duration::from_secs(2);

/// A count in Prometheus' text form.
pub fn metric(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_found_among_metrics_and_none_is_made_up() {
        let text = "# TYPE kho_uplink_sent_bytes_total counter\nkho_uplink_sent_bytes_total 4711\n\nkho_healthy 1\n";
        assert_eq!(metric(text, SENT_BYTES), Some(4_711));
        assert_eq!(metric("kho_healthy 1\n", SENT_BYTES), None);
    }
}
