//! Registers on their way down. A register may be long and a link slow, so a parent only *offers* one, by its hash, among its other
//! frames. The child fetches it on a stream of its own.
//!
//! ```text
//!   child                                    parent
//!                                     ←      Welcome or Registers: offers, in the order in which they have to be adopted
//!   RegisterRequest (on a new stream) →
//!                                     ←      RegisterReply: the register, packed          then the stream ends
//! ```
//! Each is one frame of the transport: `format byte | bincode`.
//!
//! Invariant: a reply that would unfold beyond the longest register is refused, and so is another register than the one that was requested
//! (tests `promise_4_a_register_that_unfolds_beyond_its_bound_is_refused`, `promise_4_another_register_than_the_offered_one_is_refused`).

use kho_storage::{
    codec,
    ids::Hash32,
    register::{REGISTER_BYTES_MAX, SignedRegister},
};
use serde::{Deserialize, Serialize};

use super::{Compressed, bounded, check_length, error::FrameCodecError};

/// An encoded register: its text, its signatures, and what encoding adds to them.
pub const REGISTER_PLAIN_BYTES_MAX: usize = REGISTER_BYTES_MAX + (64 << 10);
/// The longest reply: a register that did not compress at all.
pub const REGISTER_REPLY_BYTES_MAX: usize = REGISTER_PLAIN_BYTES_MAX + (256 << 10);
/// The longest request.
pub const REGISTER_REQUEST_BYTES_MAX: usize = 64;

/// A register that a parent has for a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterOffer {
    pub version: u64,
    /// The hash of its text.
    pub hash: Hash32,
}

/// What a child opens a stream for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterRequest {
    /// Of an offer.
    pub hash: Hash32,
}

/// The answer to a [`RegisterRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegisterReply {
    Register(Compressed<SignedRegister>),
    /// The parent's site has a newer one by now, which it offers.
    NotHeld,
}

impl RegisterRequest {
    /// The request as bytes.
    ///
    /// # Errors
    /// None that an honest request meets.
    pub fn encode(&self) -> Result<Vec<u8>, FrameCodecError> {
        bounded(codec::encode(self)?, REGISTER_REQUEST_BYTES_MAX)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`FrameCodecError`]; the child is at fault.
    pub fn decode(body: &[u8]) -> Result<Self, FrameCodecError> {
        check_length(body.len(), REGISTER_REQUEST_BYTES_MAX)?;
        Ok(codec::decode(body)?)
    }
}

impl RegisterReply {
    /// Packs a register. That takes a while for a long one: not for a thread that must not wait.
    ///
    /// # Errors
    /// When it is longer than any register may be.
    pub fn pack(signed: &SignedRegister) -> Result<Self, FrameCodecError> {
        Compressed::pack(signed, REGISTER_PLAIN_BYTES_MAX).map(Self::Register)
    }

    /// The reply as bytes.
    ///
    /// # Errors
    /// [`FrameCodecError`] when it is longer than [`REGISTER_REPLY_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameCodecError> {
        bounded(codec::encode(self)?, REGISTER_REPLY_BYTES_MAX)
    }

    /// Reads a reply. What was packed stays packed.
    ///
    /// # Errors
    /// [`FrameCodecError`]; the parent is at fault.
    pub fn decode(body: &[u8]) -> Result<Self, FrameCodecError> {
        check_length(body.len(), REGISTER_REPLY_BYTES_MAX)?;
        // Its bytes as they came are all that it holds.
        Ok(codec::decode_within(body, body.len() + (64 << 10))?)
    }

    /// Unpacks the register of that hash. Its signatures are not judged. Takes a while for a long one, as [`Self::pack`]. `None`: the
    /// parent does not hold it.
    ///
    /// # Errors
    /// [`FrameCodecError`]; the parent is at fault.
    pub fn unpack(&self, hash: Hash32) -> Result<Option<SignedRegister>, FrameCodecError> {
        let Self::Register(packed) = self else { return Ok(None) };
        let signed = packed.unpack(REGISTER_PLAIN_BYTES_MAX)?;
        if signed.hash() == hash { Ok(Some(signed)) } else { Err(FrameCodecError::OtherRegister { requested: hash, given: signed.hash() }) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use kho_storage::codec::Blob;

    use super::*;

    fn register() -> SignedRegister {
        SignedRegister { text: "# The tree.\nversion = 7\n".repeat(10_000), signatures: vec![] }
    }

    #[test]
    fn a_register_survives_the_wire_and_shrinks_on_it() {
        let body = RegisterReply::pack(&register()).expect("short enough").encode().expect("short enough");
        assert!(body.len() < register().text.len() / 4, "{} bytes", body.len());
        let reply = RegisterReply::decode(&body).expect("own form");
        assert_eq!(reply.unpack(register().hash()), Ok(Some(register())));
        let gone = RegisterReply::decode(&RegisterReply::NotHeld.encode().expect("short")).expect("own form");
        assert_eq!(gone.unpack(register().hash()), Ok(None));
        let request = RegisterRequest { hash: register().hash() };
        assert_eq!(RegisterRequest::decode(&request.encode().expect("short")), Ok(request));
        assert!(RegisterRequest::decode(&[0; REGISTER_REQUEST_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn promise_4_a_register_that_unfolds_beyond_its_bound_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("in memory");
        for _ in 0..16 {
            encoder.write_all(&vec![b'#'; REGISTER_PLAIN_BYTES_MAX]).expect("in memory");
        }
        let zeroes = Blob(encoder.finish().expect("in memory"));
        assert!(zeroes.len() < 256 << 10, "a bomb is small");
        let bomb = |declared: usize| {
            let packed = Compressed::received(u32::try_from(declared).expect("it fits"), zeroes.clone());
            let body = RegisterReply::Register(packed).encode().expect("short");
            RegisterReply::decode(&body).expect("not unpacked yet").unpack(register().hash())
        };
        assert!(matches!(bomb(16 * REGISTER_PLAIN_BYTES_MAX), Err(FrameCodecError::PlainTooLong { .. })));
        assert!(matches!(bomb(1000), Err(FrameCodecError::PlainLength { declared: 1000, found_longer: true })));
        assert!(RegisterReply::decode(&vec![0; REGISTER_REPLY_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn promise_4_another_register_than_the_offered_one_is_refused() {
        let reply = RegisterReply::pack(&register()).expect("short enough");
        let requested = Hash32::of(b"another");
        assert_eq!(reply.unpack(requested), Err(FrameCodecError::OtherRegister { requested, given: register().hash() }));
    }
}
