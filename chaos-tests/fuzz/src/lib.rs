//! Everything that reads bytes from outside, each as one function of bytes. This crate keeps one sentence true: *whatever the
//! bytes, the answer is a value or a refusal, and a value survives being written and read again.*
//!
//! ```text
//! fuzz_targets/NAME.rs ──► targets::NAME(bytes)      one line each; libFuzzer finds the bytes
//! bin/seeds.rs         ──► a corpus from real traffic: two sites' machines that replicate, real entries, certificates, bundles
//! ops/scripts/fuzz     ──► builds, makes the corpus, runs all targets in turn, prints a table
//! ```
//!
//! | file | what is read there |
//! |---|---|
//! | `targets/frames.rs` | frames between tiers, compressed segments, the frames of the transport |
//! | `targets/streams.rs` | segments, heads, batches, rows |
//! | `targets/adoption.rs` | what a site applies: hostile batches and pieces that bear good signatures |
//! | `targets/registers.rs` | registers, requests as JSON |
//! | `targets/identities.rs` | certificates' names, requests to sign |
//! | `targets/bundles.rs` | bundles, also around any body |
//! | `targets/entry.rs` | batches as NDJSON and CSV, plain and with gzip |
//! | `targets/site.rs` | what nodes of a site send each other, and their log |
//! | `targets/stored.rs` | keys and values of the state, as `kho inspect` shows them |
//!
//! Where a signature or a checksum stands before a decoder, the target puts a good one around the bytes, so that it gets further
//! than the first check. Memory is bounded from outside: `-malloc_limit_mb`, `-rss_limit_mb`.
//!
//! A crash is fixed in the product, and its bytes become a test of the crate that they broke.

pub mod seeds;
pub mod survives;
pub mod targets;
pub mod world;

/// A libFuzzer target that runs the function of its name. Registers nothing else.
#[macro_export]
macro_rules! fuzz {
    ($name:ident) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::targets::$name(bytes));
    };
}
