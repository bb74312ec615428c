//! Every bound of the transport, in one place.

use std::{sync::Arc, time::Duration};

use quinn::{IdleTimeout, TransportConfig, VarInt};

use super::error::BindError;

/// Streams in one direction are used only for the accepting end's one word of welcome.
const UNI_STREAMS_MAX: u32 = 2;

/// The transport's bounds. A connection's memory is bounded by the receive window plus the send window, and by
/// `frame_bytes_max` for each stream that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportLimits {
    /// Largest frame sent or accepted.
    pub frame_bytes_max: u32,
    /// Bytes a peer may send on one connection before they are read here.
    pub receive_window_bytes_max: u32,
    /// The same for one stream. Smaller than the connection's, so that one unread stream doesn't stop the others.
    pub stream_window_bytes_max: u32,
    /// Bytes sent and not yet acknowledged on one connection.
    pub send_window_bytes_max: u32,
    /// Streams a peer may have open at once on one connection; further ones wait at the peer.
    pub bidi_streams_max: u32,
    /// Handshakes under way at once; beyond it newcomers are refused and try again.
    pub handshakes_max: usize,
    /// Connections of one certificate at a time. An honest node has one or two, and some that it left and that are not known to be lost yet.
    pub connections_each_max: usize,
    /// Admitted connections that wait to be accepted.
    pub accept_queue_max: usize,
    /// Time for dialling and for being admitted.
    pub handshake_timeout: Duration,
    /// A silent connection is probed this often.
    pub keep_alive_interval: Duration,
    /// A peer that says nothing for this long is lost. The smaller of both ends' values counts.
    pub idle_timeout: Duration,
    /// Wanted size of each of the socket's buffers; the system may give less.
    pub socket_buffer_bytes_wanted: usize,
}

impl Default for TransportLimits {
    fn default() -> Self {
        const MIB: u32 = 1024 * 1024;
        Self {
            frame_bytes_max: 16 * MIB,
            receive_window_bytes_max: 16 * MIB,
            stream_window_bytes_max: 8 * MIB,
            send_window_bytes_max: 16 * MIB,
            bidi_streams_max: 256,
            handshakes_max: 256,
            connections_each_max: 16,
            accept_queue_max: 64,
            handshake_timeout: Duration::from_secs(10),
            keep_alive_interval: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(20),
            socket_buffer_bytes_wanted: 4 * 1024 * 1024,
        }
    }
}

impl TransportLimits {
    /// CUBIC is the transport's default congestion control; datagrams are off.
    ///
    /// `first_rtt` is taken for the round-trip time until it is measured: three times as long after a first packet was lost it is
    /// sent again, then after twice that, and so on.
    pub(super) fn transport_config(&self, first_rtt: Duration) -> Result<Arc<TransportConfig>, BindError> {
        let idle = IdleTimeout::try_from(self.idle_timeout).map_err(|_| BindError::Limits("idle_timeout is too long"))?;
        if self.keep_alive_interval >= self.idle_timeout {
            return Err(BindError::Limits("keep_alive_interval must be shorter than idle_timeout"));
        }
        if [self.handshakes_max, self.connections_each_max, self.accept_queue_max, self.bidi_streams_max as usize].contains(&0) {
            return Err(BindError::Limits(
                "handshakes_max, connections_each_max, accept_queue_max and bidi_streams_max must be at least 1",
            ));
        }
        let mut config = TransportConfig::default();
        config
            .initial_rtt(first_rtt)
            .receive_window(VarInt::from_u32(self.receive_window_bytes_max))
            .stream_receive_window(VarInt::from_u32(self.stream_window_bytes_max))
            .send_window(u64::from(self.send_window_bytes_max))
            .max_concurrent_bidi_streams(VarInt::from_u32(self.bidi_streams_max))
            .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS_MAX))
            .keep_alive_interval(Some(self.keep_alive_interval))
            .max_idle_timeout(Some(idle))
            .datagram_receive_buffer_size(None)
            .datagram_send_buffer_size(0);
        Ok(Arc::new(config))
    }
}
