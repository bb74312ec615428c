//! Counts what the connection to the parent carries, for the metrics.

use std::{convert::Infallible, time::Duration};

use kho_replication::quic::Connection;

/// The count is never older than this.
const INTERVAL: Duration = Duration::from_secs(1);

/// Counts one connection as long as it lives; what it carried last is counted when the meter is dropped.
pub struct ConnectionMeter<'a> {
    connection: &'a Connection,
    sent_bytes: u64,
    received_bytes: u64,
}

impl<'a> ConnectionMeter<'a> {
    /// Counts from the connection's first byte on.
    pub fn new(connection: &'a Connection) -> Self {
        Self { connection, sent_bytes: 0, received_bytes: 0 }
    }

    /// Counts until it is dropped.
    pub async fn run(mut self) -> Infallible {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            self.count();
        }
    }

    fn count(&mut self) {
        let (sent, received) = (self.connection.wire_bytes_sent(), self.connection.wire_bytes_received());
        metrics::counter!("kho_uplink_sent_bytes_total").increment(sent.saturating_sub(self.sent_bytes));
        metrics::counter!("kho_uplink_received_bytes_total").increment(received.saturating_sub(self.received_bytes));
        (self.sent_bytes, self.received_bytes) = (sent, received);
    }
}

impl Drop for ConnectionMeter<'_> {
    fn drop(&mut self) {
        self.count();
    }
}
