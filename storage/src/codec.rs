//! The one place that turns values into bytes and back: bincode with a size limit, behind a version byte.
//!
//! Invariants: bytes from a disk or a network never panic (test `any_bytes_decode_or_are_refused_without_a_panic`), and bytes from a
//! network never take more memory than such a value may (test `promise_4_a_list_of_next_to_nothing_is_refused_before_it_fills_the_memory`).

mod counted;

use bincode::{
    config::{Configuration, Limit, LittleEndian, Varint},
    error::DecodeError,
};
use serde::{Serialize, de::DeserializeOwned};

use self::counted::{Room, Within};

/// The largest value that is ever encoded or decoded. 64 MiB: four times the largest segment.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// The format that this build writes. A reader accepts this one and, one day, those before it.
pub const FORMAT: u8 = 1;

/// Bytes as one piece: written and read in one copy, not byte by byte. Hexadecimal in text formats.
#[derive(Default, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(pub Vec<u8>);

impl std::ops::Deref for Blob {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&data_encoding::HEXLOWER.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> serde::Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Blob;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Blob, E> {
                data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map(Blob).map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() { deserializer.deserialize_str(Visitor) } else { deserializer.deserialize_byte_buf(Visitor) }
    }
}

/// Why bytes could not be read, or a value not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("the value is empty: not even a format byte")]
    Empty,
    #[error("the value has format {0}, but this build reads format {FORMAT}; a newer Kho wrote it: upgrade this node")]
    Format(u8),
    #[error("the value can't be read: {0}")]
    Malformed(String),
    #[error("the value has {0} bytes too many behind it")]
    Trailing(usize),
    #[error("the value can't be written: {0}")]
    Unwritable(String),
}

fn configuration() -> Configuration<LittleEndian, Varint, Limit<VALUE_BYTES_MAX>> {
    bincode::config::standard().with_limit::<VALUE_BYTES_MAX>()
}

/// Encodes `value` behind the format byte.
///
/// # Errors
/// [`CodecError::Unwritable`] when the value can't be expressed.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_sized(value, 128)
}

/// As [`encode`], for a value of about so many bytes: a large one is then not moved again and again while it grows.
pub fn encode_sized<T: Serialize + ?Sized>(value: &T, bytes_about: usize) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(bytes_about);
    encode_into(value, &mut bytes)?;
    Ok(bytes)
}

/// As [`encode`], appended to `bytes`.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    bytes.push(FORMAT);
    bincode::serde::encode_into_std_write(value, bytes, configuration()).map_err(|e| CodecError::Unwritable(e.to_string()))?;
    Ok(())
}

/// What stands behind the format byte.
///
/// # Errors
/// [`CodecError::Empty`] or [`CodecError::Format`].
pub fn behind_format(bytes: &[u8]) -> Result<&[u8], CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&FORMAT, body)) => Ok(body),
        Some((&other, _)) => Err(CodecError::Format(other)),
    }
}

/// Decodes what [`encode`] wrote; every byte must belong to the value.
///
/// # Errors
/// Any [`CodecError`] but `Unwritable`; the bytes' author is at fault.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let body = behind_format(bytes)?;
    let decoded = bincode::serde::decode_from_slice(body, configuration());
    whole(body, decoded)
}

/// As [`decode`], for bytes that others sent, before anything is decided by them: what is counted depends on the build, so no command is
/// applied or refused by it. The value may take `memory_bytes_max` bytes of memory, what its lists reserve left out.
///
/// # Errors
/// Any [`CodecError`] but `Unwritable`; the bytes' author is at fault.
pub fn decode_within<T: DeserializeOwned>(bytes: &[u8], memory_bytes_max: usize) -> Result<T, CodecError> {
    let body = behind_format(bytes)?;
    let room = Room::of(memory_bytes_max);
    let decoded = bincode::serde::seed_decode_from_slice(Within::<T>::new(&room), body, configuration());
    whole(body, decoded)
}

fn whole<T>(body: &[u8], decoded: Result<(T, usize), DecodeError>) -> Result<T, CodecError> {
    let (value, read) = decoded.map_err(|e| CodecError::Malformed(e.to_string()))?;
    match body.len() - read {
        0 => Ok(value),
        trailing => Err(CodecError::Trailing(trailing)),
    }
}

/// Appends `value` as an LEB128 variable-length integer: 7 bits a byte, lowest first.
pub fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value as u8) | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Takes what [`put_varint`] wrote off the front of `bytes`; `None` when it is cut short, too long, or not minimal.
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (place, &byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        if place == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * place);
        if byte & 0x80 == 0 {
            if byte == 0 && place > 0 {
                return None;
            }
            *bytes = &bytes[place + 1..];
            return Some(value);
        }
    }
    None
}

/// Maps a signed number to an unsigned one, small magnitudes first.
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Undoes [`zigzag`].
pub fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Vec<(String, u64, Option<Vec<u8>>)>>(&bytes);
            let _ = take_varint(&mut &bytes[..]);
        }

        #[test]
        fn a_value_survives_its_bytes(value in any::<Vec<(String, u64, Option<i32>)>>()) {
            let bytes = encode(&value).unwrap();
            let within = decode_within::<Vec<(String, u64, Option<i32>)>>(&bytes, VALUE_BYTES_MAX);
            prop_assert_eq!(within.as_ref(), Ok(&value));
            prop_assert_eq!(decode::<Vec<(String, u64, Option<i32>)>>(&bytes), Ok(value));
        }

        #[test]
        fn a_varint_survives_its_bytes_and_has_one_form(value in any::<u64>(), signed in any::<i64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut rest = &bytes[..];
            prop_assert_eq!(take_varint(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_it_is_allocated() {
        let mut bytes = vec![FORMAT, 253];
        bytes.extend(u64::MAX.to_le_bytes());
        assert!(matches!(decode::<Vec<u8>>(&bytes), Err(CodecError::Malformed(_))));
    }

    #[test]
    fn promise_4_a_list_of_next_to_nothing_is_refused_before_it_fills_the_memory() {
        let elements = 1 << 20;
        let bytes = encode(&vec![Blob::default(); elements]).expect("encodes");
        assert!(bytes.len() < elements + 16, "one byte each");
        let memory_bytes = elements * size_of::<Blob>();
        assert!(decode_within::<Vec<Blob>>(&bytes, memory_bytes).is_ok());
        assert!(matches!(decode_within::<Vec<Blob>>(&bytes, memory_bytes - 1), Err(CodecError::Malformed(_))));

        // Wherever the list stands, whatever it holds.
        type Nested = Option<(u8, Result<Vec<(u16, String)>, Vec<u32>>)>;
        let nested: Nested = Some((1, Ok(vec![(7, "abc".into()); 10])));
        let (bytes, memory_bytes) = (encode(&nested).expect("encodes"), 10 * (size_of::<(u16, String)>() + 3));
        assert_eq!(decode_within(&bytes, memory_bytes), Ok(nested));
        assert!(decode_within::<Nested>(&bytes, memory_bytes - 1).is_err());
        let map: std::collections::BTreeMap<u8, u64> = (0..100).map(|key| (key, 1)).collect();
        let bytes = encode(&map).expect("encodes");
        assert_eq!(decode_within(&bytes, 900), Ok(map));
        assert!(decode_within::<std::collections::BTreeMap<u8, u64>>(&bytes, 899).is_err());
    }

    #[test]
    fn another_format_or_a_trailing_byte_is_refused() {
        assert_eq!(decode::<u8>(&[9, 1]), Err(CodecError::Format(9)));
        assert_eq!(decode::<u8>(&[FORMAT, 1, 2]), Err(CodecError::Trailing(1)));
        assert_eq!(decode::<u8>(&[]), Err(CodecError::Empty));
    }
}
