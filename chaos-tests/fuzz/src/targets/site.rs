//! What nodes of a site send to each other, and what is in their log.

use kho_node::consensus::fuzzing::SiteValue;
use kho_storage::fuzzing::{log_content, log_value as framed};

use super::choice;

/// Everything that is decoded of a peer's bytes: what it is comes first.
pub fn site_wire(bytes: &[u8]) {
    let Some((what, rest)) = choice(bytes) else { return };
    survives(SiteValue::ALL[usize::from(what) % SiteValue::ALL.len()], rest);
}

/// A value of the log as it lies on disk; and the bytes as the content of a good one, read as everything that stands there.
pub fn log_value(bytes: &[u8]) {
    let Some((key_bytes, rest)) = choice(bytes) else { return };
    let (key, value) = rest.split_at(usize::from(key_bytes).min(rest.len()));
    if let Some(content) = log_content(key, value) {
        assert_eq!(framed(key, content), value, "one content under one key has one form");
    }
    let good = framed(key, value);
    assert_eq!(log_content(key, &good), Some(value));
    let mut other_key = key.to_vec();
    other_key.push(0);
    assert_eq!(log_content(&other_key, &good), None, "a value under another's key is damage");
    for kind in [SiteValue::Entry, SiteValue::Vote, SiteValue::Position, SiteValue::Command] {
        survives(kind, value);
    }
}

fn survives(kind: SiteValue, bytes: &[u8]) {
    let Some(written) = kind.rewritten(bytes) else { return };
    assert_eq!(kind.rewritten(&written), Some(written.clone()), "{kind:?} survives its bytes");
}
