//! What happens to a packet on a link: it is lost, duplicated, delayed or reordered, and all packets share a bandwidth.
//!
//! This code is pure: the time and the size of a packet go in, and the times at which copies of it arrive come out. Chance comes from
//! a seed, so the same packets at the same times have the same result.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

/// A slow link queues packets for this long and loses further ones, as a router's queue does.
const QUEUE_MAX: Duration = Duration::from_secs(1);

/// How good a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    /// Of each direction.
    pub delay: Duration,
    /// Up to so much is added at random to each packet's delay: packets overtake each other.
    pub jitter: Duration,
    /// Of a thousand packets so many are lost.
    pub lost_permille: u16,
    /// Of a thousand packets so many arrive twice.
    pub duplicated_permille: u16,
    /// Of each direction. None: as many as the machine carries.
    pub bytes_per_second: Option<u64>,
}

impl Quality {
    /// A link that passes every packet at once and once.
    pub const WHOLE: Self =
        Self { delay: Duration::ZERO, jitter: Duration::ZERO, lost_permille: 0, duplicated_permille: 0, bytes_per_second: None };

    /// A bad link: some of every fault, drawn from `seed`.
    pub fn bad(seed: u64) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        Self {
            delay: Duration::from_millis(chance.random_range(0..40)),
            jitter: Duration::from_millis(chance.random_range(0..30)),
            lost_permille: chance.random_range(0..80),
            duplicated_permille: chance.random_range(0..80),
            bytes_per_second: chance.random_bool(0.5).then(|| chance.random_range(50_000..2_000_000)),
        }
    }
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    ToParent,
    ToChild,
}

/// The chance that a link is subject to, and how long it is busy in each direction.
#[derive(Debug)]
pub(crate) struct NetworkConditions {
    chance: ChaCha8Rng,
    busy_until: [Option<Instant>; 2],
}

impl NetworkConditions {
    pub fn new(seed: u64) -> Self {
        Self { chance: ChaCha8Rng::seed_from_u64(seed), busy_until: [None; 2] }
    }

    /// When the copies of a packet arrive: none, one or two of them.
    pub fn arrivals(&mut self, quality: &Quality, direction: Direction, bytes: usize, now: Instant) -> Vec<Instant> {
        if self.happens(quality.lost_permille) {
            return vec![];
        }
        let sent_at = match quality.bytes_per_second {
            None => now,
            Some(rate) => {
                let busy_until = &mut self.busy_until[direction as usize];
                let begun = busy_until.map_or(now, |busy| busy.max(now));
                if begun.duration_since(now) > QUEUE_MAX {
                    return vec![];
                }
                let done = begun + Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate.max(1));
                *busy_until = Some(done);
                done
            }
        };
        let copies = if self.happens(quality.duplicated_permille) { 2 } else { 1 };
        (0..copies).map(|_| sent_at + quality.delay + self.up_to(quality.jitter)).collect()
    }

    fn happens(&mut self, permille: u16) -> bool {
        permille > 0 && self.chance.random_range(0..1_000) < permille
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        if most.is_zero() {
            Duration::ZERO
        } else {
            Duration::from_micros(self.chance.random_range(0..=u64::try_from(most.as_micros()).unwrap_or(u64::MAX)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(quality: Quality, seed: u64, packets: usize) -> Vec<Vec<Duration>> {
        let (mut network_conditions, now) = (NetworkConditions::new(seed), Instant::now());
        (0..packets)
            .map(|_| network_conditions.arrivals(&quality, Direction::ToParent, 1_000, now).into_iter().map(|at| at - now).collect())
            .collect()
    }

    #[test]
    fn a_whole_link_passes_everything_once_and_at_once() {
        assert!(arrivals(Quality::WHOLE, 1, 100).iter().all(|copies| copies == &[Duration::ZERO]));
    }

    #[test]
    fn packets_are_lost_and_duplicated_as_often_as_configured_and_the_same_seed_does_the_same() {
        let quality = Quality { lost_permille: 100, duplicated_permille: 200, ..Quality::WHOLE };
        let met = arrivals(quality, 7, 10_000);
        assert_eq!(met, arrivals(quality, 7, 10_000));
        assert_ne!(met, arrivals(quality, 8, 10_000));
        let of = |copies: usize| met.iter().filter(|met| met.len() == copies).count();
        assert!((800..1_200).contains(&of(0)) && (1_600..2_000).contains(&of(2)), "{} lost, {} duplicated", of(0), of(2));
    }

    #[test]
    fn jitter_lets_packets_overtake_each_other_and_delay_alone_does_not() {
        let in_order = |quality| arrivals(quality, 3, 100).concat().is_sorted();
        let delayed = Quality { delay: Duration::from_millis(20), ..Quality::WHOLE };
        assert!(in_order(delayed));
        assert!(!in_order(Quality { jitter: Duration::from_millis(20), ..delayed }));
    }

    #[test]
    fn a_slow_link_takes_its_time_and_loses_what_its_queue_can_t_hold() {
        let met = arrivals(Quality { bytes_per_second: Some(100_000), ..Quality::WHOLE }, 1, 300);
        assert_eq!(met[9], [Duration::from_millis(100)], "ten packets of 1,000 bytes");
        assert_eq!(met.iter().filter(|copies| copies.is_empty()).count(), 300 - 101, "the queue holds a second");
    }
}
