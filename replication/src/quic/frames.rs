//! Frames on a stream: a length (u32, little endian), then so many bytes.
//!
//! The length is checked before anything is allocated for it, and memory follows the bytes that really arrived: a peer
//! that announces much and sends little costs little.

use std::time::Duration;

use bytes::Bytes;
use quinn::{RecvStream, SendStream};
use tokio::time::timeout;

use super::{
    connection::InUse,
    error::{CloseCode, FrameIoError, LocalFault, Misbehaviour},
};

const HEADER_BYTES: usize = 4;
/// Other streams have 0.
const PRIORITY_BEHIND_OTHERS: i32 = -1;
/// Frames up to this size are copied into one buffer and written at once.
const COALESCED_BYTES_MAX: usize = 4096;
/// A long frame is handed over in pieces of so many bytes, to see whether the peer takes any.
const PIECE_BYTES: usize = 16 * 1024;
/// First allocation for a frame; afterwards it at most doubles with what arrived.
const FIRST_ALLOCATION_BYTES_MAX: usize = 64 * 1024;

/// The sending half of a stream.
///
/// Dropped after whole frames, it ends the stream in good order; dropped inside one, it signals to the peer that the frame
/// was abandoned.
#[derive(Debug)]
pub struct FrameSender {
    stream: SendStream,
    frame_bytes_max: u32,
    inside_frame: bool,
    _in_use: InUse,
}

impl FrameSender {
    pub(super) fn new(stream: SendStream, frame_bytes_max: u32, in_use: InUse) -> Self {
        Self { stream, frame_bytes_max, inside_frame: false, _in_use: in_use }
    }

    /// Sends one frame; returns when the transport has taken it over, not when it has arrived. A cancelled send leaves
    /// the stream unusable.
    ///
    /// # Errors
    /// [`FrameIoError`]; after one the stream is of no further use.
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), FrameIoError> {
        self.send_parts(&[frame]).await
    }

    /// Sends one frame that is put together of `parts`, without copying large ones first.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_parts(&mut self, parts: &[&[u8]]) -> Result<(), FrameIoError> {
        let bytes = parts.iter().map(|part| part.len()).sum::<usize>();
        let header = self.begin_frame(bytes)?;
        if bytes <= COALESCED_BYTES_MAX {
            let mut whole = Vec::with_capacity(HEADER_BYTES + bytes);
            whole.extend_from_slice(&header);
            parts.iter().for_each(|part| whole.extend_from_slice(part));
            self.stream.write_all(&whole).await?;
        } else {
            self.stream.write_all(&header).await?;
            for part in parts {
                self.stream.write_all(part).await?;
            }
        }
        self.inside_frame = false;
        Ok(())
    }

    /// As [`Self::send`], but gives up once the transport takes no byte of it for `silence_max`: the peer's process lives, or the
    /// connection would be lost, and reads nothing. A slow link that takes a little now and then is waited for.
    ///
    /// # Errors
    /// As [`Self::send`], and [`FrameIoError::PeerSilent`].
    pub async fn send_unless_silent(&mut self, frame: &[u8], silence_max: Duration) -> Result<(), FrameIoError> {
        let header = self.begin_frame(frame.len())?;
        for mut rest in [&header[..], frame] {
            while !rest.is_empty() {
                let written = timeout(silence_max, self.stream.write(rest)).await;
                let written = written.map_err(|_| FrameIoError::PeerSilent { silence_max })??;
                rest = &rest[written..];
            }
        }
        self.inside_frame = false;
        Ok(())
    }

    /// Sends one long frame without copying it, after all that waits on other streams of the connection. It takes as long as the link
    /// needs; a peer that wants it no more cancels the stream.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_behind_others(&mut self, mut frame: Bytes) -> Result<(), FrameIoError> {
        let mut piece = Bytes::copy_from_slice(&self.begin_frame(frame.len())?);
        self.stream.set_priority(PRIORITY_BEHIND_OTHERS).map_err(|_| FrameIoError::Local(LocalFault::StreamClosed))?;
        while !piece.is_empty() {
            self.stream.write_chunk(piece).await?;
            piece = frame.split_to(frame.len().min(PIECE_BYTES));
        }
        self.inside_frame = false;
        Ok(())
    }

    /// Notes that a frame of `bytes` is under way, and returns its header.
    fn begin_frame(&mut self, bytes: usize) -> Result<[u8; HEADER_BYTES], FrameIoError> {
        let length = u32::try_from(bytes).ok().filter(|length| *length <= self.frame_bytes_max);
        let Some(length) = length else {
            return Err(FrameIoError::Local(LocalFault::FrameTooLong { bytes, max_bytes: self.frame_bytes_max }));
        };
        if self.inside_frame {
            return Err(FrameIoError::Local(LocalFault::StreamClosed));
        }
        self.inside_frame = true;
        Ok(length.to_le_bytes())
    }

    /// Sends one frame in pieces with pauses, and only the first `pieces` of them.
    #[cfg(test)]
    pub(super) async fn drip(&mut self, frame: &[u8], piece_bytes: usize, pause: Duration, pieces: usize) -> Result<(), FrameIoError> {
        self.inside_frame = true;
        self.stream.write_all(&u32::try_from(frame.len()).expect("short").to_le_bytes()).await?;
        for piece in frame.chunks(piece_bytes).take(pieces) {
            tokio::time::sleep(pause).await;
            self.stream.write_all(piece).await?;
        }
        self.inside_frame = frame.len() > piece_bytes * pieces;
        Ok(())
    }

    /// Ends the stream: the peer's `recv` yields `None` after the frames sent so far.
    ///
    /// # Errors
    /// [`LocalFault::StreamClosed`] when it is finished already or was abandoned.
    pub fn finish(&mut self) -> Result<(), FrameIoError> {
        if self.inside_frame {
            return Err(FrameIoError::Local(LocalFault::StreamClosed));
        }
        self.stream.finish().map_err(|_| FrameIoError::Local(LocalFault::StreamClosed))
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        if self.inside_frame {
            // Without it the transport would end the stream in good order and the peer would see a frame cut short.
            // An error means that the stream is gone already.
            let _ = self.stream.reset(CloseCode::CANCELLED.to_wire());
        }
    }
}

/// The receiving half of a stream. Dropped early, it asks the peer to stop sending.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: RecvStream,
    assembly: FrameAssembly,
    _in_use: InUse,
}

impl FrameReceiver {
    pub(super) fn new(stream: RecvStream, frame_bytes_max: u32, in_use: InUse) -> Self {
        Self { stream, assembly: FrameAssembly::new(frame_bytes_max), _in_use: in_use }
    }

    /// The next frame, or `None` when the peer has ended the stream after a whole one. Cancel-safe: what has arrived of a
    /// frame is kept for the next call.
    ///
    /// # Errors
    /// [`FrameIoError`]; after one the stream is of no further use.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, FrameIoError> {
        loop {
            if let Some(received) = self.recv_some().await? {
                return Ok(received.frame());
            }
        }
    }

    /// As [`Self::recv`]: however long a frame takes, it is given up only when not a byte arrives for `silence_max`.
    ///
    /// # Errors
    /// As [`Self::recv`], and [`FrameIoError::PeerSilent`].
    pub async fn recv_unless_silent(&mut self, silence_max: Duration) -> Result<Option<Bytes>, FrameIoError> {
        loop {
            let some = timeout(silence_max, self.recv_some()).await;
            if let Some(received) = some.map_err(|_| FrameIoError::PeerSilent { silence_max })?? {
                return Ok(received.frame());
            }
        }
    }

    /// Takes what has arrived, or waits for it; `None` while a frame is not whole. Cancel-safe.
    async fn recv_some(&mut self) -> Result<Option<Received>, FrameIoError> {
        match self.stream.read_chunk(self.assembly.wanted_bytes(), true).await? {
            Some(chunk) => match self.assembly.push(&chunk.bytes) {
                Ok(frame) => Ok(frame.map(Received::Frame)),
                Err(misbehaviour) => {
                    // An error means that the stream is gone already.
                    let _ = self.stream.stop(CloseCode::MISBEHAVED.to_wire());
                    Err(FrameIoError::PeerMisbehaved(misbehaviour))
                }
            },
            None if self.assembly.is_between_frames() => Ok(Some(Received::End)),
            None => Err(FrameIoError::PeerMisbehaved(Misbehaviour::Truncated)),
        }
    }
}

/// What a stream brings.
enum Received {
    Frame(Bytes),
    End,
}

impl Received {
    fn frame(self) -> Option<Bytes> {
        match self {
            Self::Frame(bytes) => Some(bytes),
            Self::End => None,
        }
    }
}

/// A frame as far as it has arrived.
#[derive(Debug)]
struct FrameAssembly {
    frame_bytes_max: u32,
    header: [u8; HEADER_BYTES],
    header_len: usize,
    /// Set once the header is whole and its length was accepted.
    body_len: Option<usize>,
    body: Vec<u8>,
}

impl FrameAssembly {
    fn new(frame_bytes_max: u32) -> Self {
        Self { frame_bytes_max, header: [0; HEADER_BYTES], header_len: 0, body_len: None, body: Vec::new() }
    }

    /// How many bytes may be pushed next; never more than belong to this frame, never zero.
    fn wanted_bytes(&self) -> usize {
        match self.body_len {
            None => HEADER_BYTES - self.header_len,
            Some(len) => len - self.body.len(),
        }
    }

    fn is_between_frames(&self) -> bool {
        self.header_len == 0
    }

    /// Takes at most [`Self::wanted_bytes`] bytes; gives the frame when they complete it.
    fn push(&mut self, bytes: &[u8]) -> Result<Option<Bytes>, Misbehaviour> {
        debug_assert!(bytes.len() <= self.wanted_bytes());
        match self.body_len {
            None => {
                self.header[self.header_len..self.header_len + bytes.len()].copy_from_slice(bytes);
                self.header_len += bytes.len();
                if self.header_len == HEADER_BYTES {
                    self.open_body()?;
                }
            }
            Some(len) => {
                self.make_room(bytes.len(), len);
                self.body.extend_from_slice(bytes);
            }
        }
        Ok(if self.body_len == Some(self.body.len()) { Some(self.take()) } else { None })
    }

    fn open_body(&mut self) -> Result<(), Misbehaviour> {
        let announced_bytes = u32::from_le_bytes(self.header);
        let len = usize::try_from(announced_bytes).ok().filter(|_| announced_bytes <= self.frame_bytes_max);
        let len = len.ok_or(Misbehaviour::FrameTooLong { announced_bytes, max_bytes: self.frame_bytes_max })?;
        self.body_len = Some(len);
        Ok(())
    }

    /// Grows to the frame's length in steps that at most double what has arrived.
    fn make_room(&mut self, more: usize, len: usize) {
        let needed = self.body.len() + more;
        if needed > self.body.capacity() {
            let target = needed.max(self.body.len() * 2).max(FIRST_ALLOCATION_BYTES_MAX).min(len);
            self.body.reserve_exact(target - self.body.len());
        }
    }

    fn take(&mut self) -> Bytes {
        self.header_len = 0;
        self.body_len = None;
        Bytes::from(std::mem::take(&mut self.body))
    }
}

/// The frames in `wire`, as they come out when it arrives in chunks of at most `step` bytes; for the fuzz targets.
///
/// # Errors
/// [`Misbehaviour`] when a frame is too long.
#[doc(hidden)]
pub fn assembled(mut wire: &[u8], step: usize, frame_bytes_max: u32) -> Result<(Vec<Bytes>, usize), Misbehaviour> {
    let mut assembly = FrameAssembly::new(frame_bytes_max);
    let (mut frames, mut memory_max) = (Vec::new(), 0);
    while !wire.is_empty() {
        let (now, later) = wire.split_at(step.clamp(1, assembly.wanted_bytes().max(1)).min(wire.len()));
        frames.extend(assembly.push(now)?);
        memory_max = memory_max.max(assembly.body.capacity());
        wire = later;
    }
    Ok((frames, memory_max))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feed(assembly: &mut FrameAssembly, mut bytes: &[u8], step: usize) -> Result<Vec<Bytes>, Misbehaviour> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(step.min(assembly.wanted_bytes()).min(bytes.len()));
            frames.extend(assembly.push(now)?);
            bytes = later;
        }
        Ok(frames)
    }

    proptest! {
        #[test]
        fn frames_come_out_whole_however_their_bytes_are_cut(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
            step in 1usize..300,
        ) {
            let mut wire = Vec::new();
            for frame in &frames {
                wire.extend_from_slice(&u32::try_from(frame.len()).expect("short").to_le_bytes());
                wire.extend_from_slice(frame);
            }
            let mut assembly = FrameAssembly::new(200);
            let out = feed(&mut assembly, &wire, step).expect("within bounds");
            prop_assert_eq!(out.iter().map(|f| f.to_vec()).collect::<Vec<_>>(), frames);
            prop_assert!(assembly.is_between_frames());
        }
    }

    #[test]
    fn a_frame_too_long_is_refused_before_anything_is_allocated() {
        let mut assembly = FrameAssembly::new(1000);
        let refused = assembly.push(&1001u32.to_le_bytes());
        assert_eq!(refused, Err(Misbehaviour::FrameTooLong { announced_bytes: 1001, max_bytes: 1000 }));
        assert_eq!(assembly.body.capacity(), 0);
    }

    #[test]
    fn memory_follows_the_bytes_that_arrived_not_the_length_announced() {
        let mut assembly = FrameAssembly::new(u32::MAX);
        assert_eq!(assembly.push(&(1u32 << 30).to_le_bytes()), Ok(None));
        assert_eq!(assembly.push(&[0; 1200]), Ok(None));
        assert_eq!(assembly.body.capacity(), FIRST_ALLOCATION_BYTES_MAX);
        let block = vec![0; 100_000];
        for _ in 0..10 {
            assert_eq!(assembly.push(&block), Ok(None));
        }
        assert!(assembly.body.capacity() <= 2 * assembly.body.len());
    }
}
