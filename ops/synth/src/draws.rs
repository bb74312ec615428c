//! Random choices that replay: every commune has its own ChaCha8 stream per stage, so neither the order in which
//! communes are written nor what a stage draws for one commune changes another commune's bytes.
//!
//! Only integers are drawn, by our own reduction, so that a new version of `rand` cannot change the bytes.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a stream of draws is for. A stage may be changed without disturbing the others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    Families,
    People,
    Events,
}

impl Stage {
    fn label(self) -> &'static str {
        match self {
            Self::Families => "families",
            Self::People => "people",
            Self::Events => "events",
        }
    }
}

/// A seed for one purpose: 32 bytes that depend on every part.
pub(super) fn seed_of(seed: u64, parts: &[&str]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"kho synth v1");
    hasher.update(&seed.to_le_bytes());
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The first eight bytes of [`seed_of`], where a number is all that is needed.
pub(super) fn number_of(seed: u64, parts: &[&str]) -> u64 {
    let bytes = seed_of(seed, parts);
    bytes[..8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// One replayable stream of choices.
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    pub(super) fn new(seed: u64, catalogue: &str, commune_code: &str, stage: Stage) -> Self {
        Self(ChaCha8Rng::from_seed(seed_of(seed, &[catalogue, commune_code, stage.label()])))
    }

    /// A number in `0..end`; 0 when `end` is 0. The bias is below `end / 2^32`, of no account for a population.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(end)) >> 32) as u32
    }

    /// A number in `first..=last`.
    pub(super) fn between(&mut self, first: u32, last: u32) -> u32 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    pub(super) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille
    }

    /// One entry, or `None` of an empty slice.
    pub(super) fn one_of<T: Copy>(&mut self, entries: &[T]) -> Option<T> {
        entries.get(self.below(entries.len() as u32) as usize).copied()
    }

    pub(super) fn shuffle<T>(&mut self, entries: &mut [T]) {
        for last in (1..entries.len()).rev() {
            entries.swap(last, self.below(last as u32 + 1) as usize);
        }
    }
}

/// A weighted choice whose total is known when the program is compiled.
pub(super) struct Lottery<T: 'static> {
    entries: &'static [(T, u32)],
    total: u32,
}

impl<T: Copy> Lottery<T> {
    pub(super) const fn new(entries: &'static [(T, u32)]) -> Self {
        let mut total = 0;
        let mut at = 0;
        while at < entries.len() {
            total += entries[at].1;
            at += 1;
        }
        assert!(total > 0, "a lottery needs a ticket");
        Self { entries, total }
    }

    pub(super) fn draw(&self, draws: &mut Draws) -> T {
        let mut ticket = draws.below(self.total);
        for (entry, weight) in self.entries {
            if ticket < *weight {
                return *entry;
            }
            ticket -= weight;
        }
        self.entries[self.entries.len() - 1].0
    }
}
