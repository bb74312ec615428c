//! What is asserted of every value that bytes decode to.

use std::fmt::Debug;

use kho_storage::codec;
use serde::{Serialize, de::DeserializeOwned};

/// Reads `bytes`; what they decode to must survive its own bytes, and these must have one form.
pub fn decoded<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value: T = codec::decode(bytes).ok()?;
    let written = codec::encode(&value).expect("what was read can be written");
    assert!(written.len() <= bytes.len(), "the shortest form is written: {} bytes became {}", bytes.len(), written.len());
    let again: T = codec::decode(&written).expect("what was written can be read");
    assert_eq!(again, value, "a value survives its bytes");
    assert_eq!(codec::encode(&again).expect("again"), written, "one value has one form");
    Some(value)
}

/// The same in JSON.
pub fn decoded_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, value, "a value survives its text");
    Some(value)
}
