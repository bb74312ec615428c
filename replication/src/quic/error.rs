//! What can go wrong, sorted by whose fault it is: a peer that misbehaves raises an alarm, one that can't be reached is
//! tried again, a local fault is for the operator.

use std::{fmt, io, net::SocketAddr, time::Duration};

use quinn::VarInt;

use crate::tls::CredentialsError;

/// Longest text of a peer that is passed on into a message.
const PEER_TEXT_CHARS_MAX: usize = 200;

/// Why a connection or stream was closed, as a number the peer reads. Below 16 the transport's, from 16 on its users'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u32);

impl CloseCode {
    /// The process stops in good order.
    pub const SHUTDOWN: Self = Self(0);
    /// The certificate was genuine, but its bearer has no business here.
    pub const NOT_ADMITTED: Self = Self(1);
    /// The stream's work is no longer wanted.
    pub const CANCELLED: Self = Self(2);
    /// What was received broke the protocol.
    pub const MISBEHAVED: Self = Self(3);
    /// The certificate has as many connections here as one may have.
    pub const TOO_MANY_CONNECTIONS: Self = Self(4);
    /// First code free for the protocols above.
    pub const FIRST_OF_USERS: Self = Self(16);

    pub(super) fn to_wire(self) -> VarInt {
        VarInt::from_u32(self.0)
    }

    /// Codes beyond 32 bits are nobody's; they read as the largest one.
    pub(super) fn from_wire(code: VarInt) -> Self {
        Self(u32::try_from(code.into_inner()).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why the endpoint could not be set up. Always local.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("UDP port {addr} could not be bound ({source}); is another khod running? see `ss -ulpn`")]
    Socket { addr: SocketAddr, source: io::Error },
    #[error("the transport's limits are refused: {0}; run `khod --check-config`")]
    Limits(&'static str),
    #[error("these credentials are {0}'s; only a node may open an endpoint, see `kho pki request`")]
    NotANode(String),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("QUIC could not be set up: {0}")]
    Setup(String),
}

/// Why dialling failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Alarm: somebody who is not the wanted peer answers, or it breaks the protocol.
    #[error("{addr} is not who it should be: {reason}")]
    PeerMisbehaved { addr: SocketAddr, reason: String },
    /// Retry.
    #[error("{addr} can't be reached: {reason}; check the link, the address and that khod runs there")]
    PeerUnreachable { addr: SocketAddr, reason: String },
    /// The peer does not accept us: mostly our certificate, or a clock at one end.
    #[error("{addr} refused this node: {reason}; check this node's certificate with `kho pki show` and at both clocks")]
    RefusedByPeer { addr: SocketAddr, reason: String },
    #[error("dialling {addr} failed here: {reason}")]
    Local { addr: SocketAddr, reason: String },
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionLost {
    #[error("the peer closed the connection: {reason} (code {code})")]
    ClosedByPeer { code: CloseCode, reason: String },
    /// The peer's transport gave up on us; `reason` is its own word.
    #[error("the peer refused to go on: {reason}")]
    RefusedByPeer { reason: String },
    #[error("the peer has been silent too long")]
    TimedOut,
    #[error("the peer has restarted")]
    PeerRestarted,
    #[error("the peer broke the protocol: {reason}")]
    PeerMisbehaved { reason: String },
    #[error("the connection was closed here")]
    ClosedHere,
}

/// Why a frame could not be sent or received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameIoError {
    #[error("the peer misbehaved: {0}")]
    PeerMisbehaved(Misbehaviour),
    #[error("the peer can't be reached: {0}")]
    PeerUnreachable(ConnectionLost),
    /// Retry. Not a byte of the awaited frame arrived, or was taken, for so long.
    #[error("the peer was silent on this stream for {} ms: it neither sent nor took anything", .silence_max.as_millis())]
    PeerSilent { silence_max: Duration },
    /// The peer no longer wants this stream's work.
    #[error("the peer cancelled this stream (code {code})")]
    CancelledByPeer { code: CloseCode },
    #[error(transparent)]
    Local(LocalFault),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    #[error("it announced a frame of {announced_bytes} bytes, at most {max_bytes} are accepted")]
    FrameTooLong { announced_bytes: u32, max_bytes: u32 },
    #[error("its stream ended inside a frame")]
    Truncated,
    #[error("it ended a call without an answer")]
    NoAnswer,
    #[error("it broke the protocol: {0}")]
    Protocol(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalFault {
    #[error("a frame of {bytes} bytes was to be sent, at most {max_bytes} are allowed")]
    FrameTooLong { bytes: usize, max_bytes: u32 },
    #[error("this stream is already finished or was abandoned inside a frame")]
    StreamClosed,
    #[error("the connection was closed here")]
    ConnectionClosed,
}

impl From<quinn::ConnectionError> for ConnectionLost {
    fn from(error: quinn::ConnectionError) -> Self {
        use quinn::ConnectionError as E;
        match error {
            E::ApplicationClosed(close) => {
                Self::ClosedByPeer { code: CloseCode::from_wire(close.error_code), reason: peer_text(&close.reason) }
            }
            E::ConnectionClosed(close) => Self::RefusedByPeer { reason: refusal(u64::from(close.error_code), &close.reason) },
            E::TransportError(error) => Self::PeerMisbehaved { reason: error.to_string() },
            E::VersionMismatch => Self::PeerMisbehaved { reason: E::VersionMismatch.to_string() },
            E::Reset => Self::PeerRestarted,
            E::TimedOut => Self::TimedOut,
            E::LocallyClosed | E::CidsExhausted => Self::ClosedHere,
        }
    }
}

impl From<ConnectionLost> for FrameIoError {
    fn from(lost: ConnectionLost) -> Self {
        match lost {
            ConnectionLost::PeerMisbehaved { reason } => Self::PeerMisbehaved(Misbehaviour::Protocol(reason)),
            ConnectionLost::ClosedHere => Self::Local(LocalFault::ConnectionClosed),
            other => Self::PeerUnreachable(other),
        }
    }
}

impl From<quinn::ReadError> for FrameIoError {
    fn from(error: quinn::ReadError) -> Self {
        use quinn::ReadError as E;
        match error {
            E::Reset(code) => Self::CancelledByPeer { code: CloseCode::from_wire(code) },
            E::ConnectionLost(lost) => ConnectionLost::from(lost).into(),
            E::ClosedStream | E::IllegalOrderedRead | E::ZeroRttRejected => Self::Local(LocalFault::StreamClosed),
        }
    }
}

impl From<quinn::WriteError> for FrameIoError {
    fn from(error: quinn::WriteError) -> Self {
        use quinn::WriteError as E;
        match error {
            E::Stopped(code) => Self::CancelledByPeer { code: CloseCode::from_wire(code) },
            E::ConnectionLost(lost) => ConnectionLost::from(lost).into(),
            E::ClosedStream | E::ZeroRttRejected => Self::Local(LocalFault::StreamClosed),
        }
    }
}

impl ConnectError {
    /// Sorts the end of a connection that was still being set up. `clock` is the time by which certificates are judged here.
    pub(super) fn during_handshake(addr: SocketAddr, lost: ConnectionLost, clock: &str) -> Self {
        match lost {
            ConnectionLost::PeerMisbehaved { reason } => {
                Self::PeerMisbehaved { addr, reason: format!("{reason} (certificates are judged here at {clock})") }
            }
            ConnectionLost::RefusedByPeer { reason } if reason == BUSY => Self::PeerUnreachable { addr, reason },
            ConnectionLost::ClosedByPeer { code: CloseCode::TOO_MANY_CONNECTIONS, reason } => Self::PeerUnreachable { addr, reason },
            ConnectionLost::ClosedByPeer { reason, .. } | ConnectionLost::RefusedByPeer { reason } => Self::RefusedByPeer { addr, reason },
            ConnectionLost::TimedOut | ConnectionLost::PeerRestarted => Self::PeerUnreachable { addr, reason: lost.to_string() },
            ConnectionLost::ClosedHere => Self::Local { addr, reason: lost.to_string() },
        }
    }
}

const BUSY: &str = "it has too many handshakes under way";

/// The peer's transport code as a sentence. 0x100 to 0x1ff carry a TLS alert (RFC 9001, 4.8; numbers of RFC 8446, 6).
fn refusal(code: u64, reason: &[u8]) -> String {
    let meaning = match code {
        0x2 => return BUSY.to_owned(),
        0x12a..=0x12c => "it does not accept this certificate",
        0x12d => "this certificate is not in its time by the peer's clock",
        0x12e | 0x131 => "it does not accept this certificate",
        0x130 => "it does not know the root that signed this certificate",
        0x174 => "it demands a certificate",
        0x178 => "it does not speak this protocol",
        0x100..=0x1ff => "the TLS handshake failed",
        _ => "transport error",
    };
    format!("{meaning} (code {code:#x}: {})", peer_text(reason))
}

/// A peer's text as far as it may enter a message: bounded, without control characters.
pub(super) fn peer_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * PEER_TEXT_CHARS_MAX)]);
    text.chars().take(PEER_TEXT_CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
