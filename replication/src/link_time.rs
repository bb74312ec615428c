//! The clock by which the state machines between tiers wait: it only moves forward, starts anywhere, and is passed in.

use std::fmt;

/// Milliseconds of a monotonic clock. Only differences mean anything; certificates and watermarks use
/// [`kho_storage::ids::SiteTime`] instead.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkTime(pub u64);

impl LinkTime {
    /// The moment `ms` milliseconds later.
    pub fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`, never below zero.
    pub fn ms_since(self, earlier: LinkTime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for LinkTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}
