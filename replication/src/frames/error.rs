//! Why a value is not written as a frame, or bytes are not read as one.

use kho_storage::{codec::CodecError, ids::Hash32};

/// Why a value is not written as a frame, or bytes are not read as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameCodecError {
    #[error("the frame is {bytes} bytes long, at most {bytes_max} are read")]
    TooLong { bytes: usize, bytes_max: usize },
    #[error("the frame unfolds to {bytes} bytes, at most {bytes_max} are taken")]
    PlainTooLong { bytes: u64, bytes_max: usize },
    #[error("the frame declares {declared} plain bytes but holds {}", if *found_longer { "more" } else { "fewer" })]
    PlainLength { declared: u32, found_longer: bool },
    #[error("the frame's compressed part can't be read: {0}")]
    Compression(String),
    #[error("the frame names {given} {what}, at most {given_max} are read")]
    TooMany { what: &'static str, given: usize, given_max: usize },
    #[error("the register {requested} was requested, and {given} came")]
    OtherRegister { requested: Hash32, given: Hash32 },
    #[error("the frame can't be read: {0}")]
    Codec(#[from] CodecError),
}
