//! The time by which certificates are judged.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use kho_storage::ids::SiteTime;
use rustls::{
    pki_types::UnixTime,
    time_provider::{DefaultTimeProvider, TimeProvider},
};

/// The later of the local clock and a floor that the node raises to its last committed site time.
///
/// Old machines lose their clocks: one that wakes up in 1970 would take every certificate for one of the future. What
/// its site has committed proves that time has passed, so the floor carries it over until the clock is set. A clock
/// that runs ahead is not corrected by this.
///
/// Invariant: the floor never goes back (`the_floor_only_rises`).
#[derive(Debug)]
pub struct CertificateClock {
    local: Arc<dyn TimeProvider>,
    /// Milliseconds since 1970.
    floor_ms: AtomicI64,
}

impl CertificateClock {
    /// Over the machine's clock.
    pub fn system() -> Arc<Self> {
        Self::over(Arc::new(DefaultTimeProvider))
    }

    /// Over any other clock.
    pub fn over(local: Arc<dyn TimeProvider>) -> Arc<Self> {
        Arc::new(Self { local, floor_ms: AtomicI64::new(0) })
    }

    /// Raises the floor to a committed site time; an earlier one changes nothing.
    pub fn raise_to(&self, committed: SiteTime) {
        self.floor_ms.fetch_max(committed.0, Ordering::Relaxed);
    }

    pub fn now(&self) -> SiteTime {
        let floor_ms = self.floor_ms.load(Ordering::Relaxed);
        let local_ms = self.local.current_time().map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000));
        SiteTime(local_ms.max(floor_ms))
    }
}

impl TimeProvider for CertificateClock {
    fn current_time(&self) -> Option<UnixTime> {
        // `now` is at least the floor, which starts at 0, so it is never negative.
        let seconds = u64::try_from(self.now().0 / 1000).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Debug)]
    struct Stopped(u64);

    impl TimeProvider for Stopped {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
        }
    }

    #[test]
    fn a_lost_clock_is_carried_by_committed_site_time() {
        let clock = CertificateClock::over(Arc::new(Stopped(0)));
        clock.raise_to(SiteTime(1_700_000_000_000));
        assert_eq!(clock.current_time().map(|t| t.as_secs()), Some(1_700_000_000));
    }

    #[test]
    fn the_floor_only_rises() {
        let clock = CertificateClock::over(Arc::new(Stopped(100)));
        clock.raise_to(SiteTime(500_000));
        clock.raise_to(SiteTime(200_000));
        clock.raise_to(SiteTime(-1));
        assert_eq!(clock.now(), SiteTime(500_000));
    }

    #[test]
    fn a_clock_ahead_of_the_floor_is_followed() {
        let clock = CertificateClock::over(Arc::new(Stopped(900)));
        clock.raise_to(SiteTime(500_000));
        assert_eq!(clock.now(), SiteTime(900_000));
    }
}
