//! How measured times are spread.

use std::time::Duration;

use serde::Serialize;

/// Times that occurred, by nearest rank: so many of a hundred took no longer. In seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    pub count: usize,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Percentiles {
    /// `None` when nothing was measured.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<Duration> = times.into_iter().collect();
        sorted.sort_unstable();
        let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100) - 1].as_secs_f64();
        (!sorted.is_empty()).then(|| Self { count: sorted.len(), p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_occurred() {
        let spread = Percentiles::of((1..=200).rev().map(Duration::from_secs)).expect("measured");
        assert_eq!(spread, Percentiles { count: 200, p50: 100.0, p90: 180.0, p99: 198.0, max: 200.0 });
        let single = Percentiles::of([Duration::from_secs(5)]).expect("measured");
        assert_eq!((single.p50, single.p99), (5.0, 5.0));
        assert_eq!(Percentiles::of([]), None);
    }
}
