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

use super::Validity;
use crate::site_clock::certificate_time;

/// The machine's clock; and for a node that knows what time is vouched for ([`crate::site_clock`]) that time instead, when by the
/// machine's clock the node's own certificate is not in its time, but is by what is vouched for.
///
/// Old machines lose their clocks: one that wakes up in 1970 would take every certificate for one of the future, and one that wakes up in
/// 2039 for one of the past. Nothing else makes this clock differ from the machine's: what a wrong clock once committed keeps nobody out
/// when the clock is right again (test `a_vouched_time_of_the_future_is_not_used_while_the_own_certificate_is_in_its_time`).
#[derive(Debug)]
pub struct CertificateClock {
    local: Arc<dyn TimeProvider>,
    /// Of the node's own certificate.
    own: Option<Validity>,
    /// Milliseconds since 1970.
    vouched_ms: AtomicI64,
}

impl CertificateClock {
    /// The machine's clock alone, as for a client.
    pub fn system() -> Arc<Self> {
        Self::over(Arc::new(DefaultTimeProvider), None)
    }

    /// The clock of a node whose certificate is good as `own` says.
    pub fn of_node(own: Validity) -> Arc<Self> {
        Self::over(Arc::new(DefaultTimeProvider), Some(own))
    }

    /// Over any other clock.
    pub fn over(local: Arc<dyn TimeProvider>, own: Option<Validity>) -> Arc<Self> {
        Arc::new(Self { local, own, vouched_ms: AtomicI64::new(0) })
    }

    /// What is vouched for now, whatever it was before.
    pub fn vouch(&self, time: SiteTime) {
        self.vouched_ms.store(time.0, Ordering::Relaxed);
    }

    pub fn now(&self) -> SiteTime {
        let local_ms = self.local.current_time().map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000));
        let (local, vouched) = (SiteTime(local_ms), SiteTime(self.vouched_ms.load(Ordering::Relaxed)));
        self.own.map_or(local, |own| certificate_time(local, vouched, own))
    }
}

impl TimeProvider for CertificateClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().0 / 1000).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OWN: Validity = Validity { not_before: SiteTime(1_790_000_000_000), not_after: SiteTime(1_860_000_000_000) };

    #[derive(Debug)]
    struct Stopped(u64);

    impl TimeProvider for Stopped {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
        }
    }

    /// What is judged by when the machine's clock shows `local` and `vouched` is vouched for, in seconds.
    fn judged_at(local: u64, vouched: i64) -> Option<u64> {
        let clock = CertificateClock::over(Arc::new(Stopped(local)), Some(OWN));
        clock.vouch(SiteTime(vouched * 1_000));
        clock.current_time().map(|time| time.as_secs())
    }

    #[test]
    fn a_clock_that_is_lost_or_of_the_future_is_carried_by_what_is_vouched_for() {
        assert_eq!(judged_at(0, 1_800_000_000), Some(1_800_000_000));
        assert_eq!(judged_at(1_900_000_000, 1_800_000_000), Some(1_800_000_000));
    }

    #[test]
    fn a_vouched_time_of_the_future_is_not_used_while_the_own_certificate_is_in_its_time() {
        for vouched in [1_850_000_000, 1_900_000_000, 4_000_000_000] {
            assert_eq!(judged_at(1_800_000_000, vouched), Some(1_800_000_000));
        }
    }

    #[test]
    fn a_time_at_which_the_own_certificate_is_not_good_is_never_taken_from_others() {
        assert_eq!(judged_at(0, 1_900_000_000), Some(0));
        assert_eq!(judged_at(1_900_000_000, 0), Some(1_900_000_000));
    }

    #[test]
    fn a_client_goes_by_its_machine() {
        let clock = CertificateClock::over(Arc::new(Stopped(900)), None);
        clock.vouch(SiteTime(1_800_000_000_000));
        assert_eq!(clock.now(), SiteTime(900_000));
    }
}
