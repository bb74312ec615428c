//! The trees that scenes play on.

pub use kho_chaos_tests::trees::*;
