//! The UDP socket, with buffers large enough for bursts.

use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::error::BindError;

/// Binds `addr` and asks for buffers of `buffer_bytes_wanted` each. Linux caps them at `net.core.rmem_max` and
/// `wmem_max` and reports twice what it gives; a smaller buffer costs speed under load, not correctness.
pub(super) fn bind_udp(addr: SocketAddr, buffer_bytes_wanted: usize) -> Result<UdpSocket, BindError> {
    let failed = |source| BindError::Socket { addr, source };
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
    if addr.is_ipv6() {
        // One socket for both families where the address leaves it open.
        socket.set_only_v6(false).map_err(failed)?;
    }
    let requested = socket.set_recv_buffer_size(buffer_bytes_wanted).and(socket.set_send_buffer_size(buffer_bytes_wanted));
    socket.bind(&addr.into()).map_err(failed)?;
    let receive_bytes = socket.recv_buffer_size().unwrap_or(0);
    let send_bytes = socket.send_buffer_size().unwrap_or(0);
    if requested.is_err() || receive_bytes.min(send_bytes) < buffer_bytes_wanted {
        tracing::info!(
            %addr, wanted_bytes = buffer_bytes_wanted, receive_bytes, send_bytes,
            "the system gave smaller UDP buffers than wanted; raise net.core.rmem_max and net.core.wmem_max for busy sites"
        );
    } else {
        tracing::info!(%addr, receive_bytes, send_bytes, "UDP socket bound");
    }
    Ok(socket.into())
}
