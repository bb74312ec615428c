//! One function a target. Each takes any bytes, and panics only when a promise is broken.

mod adoption;
mod bundles;
mod entry;
mod frames;
mod identities;
mod registers;
mod site;
mod stored;
mod streams;

pub use adoption::{adoption, transfer};
pub use bundles::bundle;
pub use entry::{entry_csv, entry_gzip, entry_ndjson};
pub use frames::{child_frame, compressed_segment, parent_frame, register_reply, wire_frames};
pub use identities::{certificate, certificate_request};
pub use registers::{register, request_json};
pub use site::{log_value, site_wire};
pub use stored::stored;
pub use streams::{batch, head, segment};

/// Every target by its name, as `fuzz_targets/` builds them.
pub const ALL: [(&str, fn(&[u8])); 21] = [
    ("child_frame", child_frame),
    ("parent_frame", parent_frame),
    ("register_reply", register_reply),
    ("compressed_segment", compressed_segment),
    ("wire_frames", wire_frames),
    ("segment", segment),
    ("head", head),
    ("batch", batch),
    ("adoption", adoption),
    ("transfer", transfer),
    ("register", register),
    ("certificate", certificate),
    ("certificate_request", certificate_request),
    ("bundle", bundle),
    ("entry_ndjson", entry_ndjson),
    ("entry_csv", entry_csv),
    ("entry_gzip", entry_gzip),
    ("site_wire", site_wire),
    ("log_value", log_value),
    ("stored", stored),
    ("request_json", request_json),
];

/// The first byte as a choice, and the rest.
fn choice(bytes: &[u8]) -> Option<(u8, &[u8])> {
    bytes.split_first().map(|(first, rest)| (*first, rest))
}
