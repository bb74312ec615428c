//! Age and sex: which person of a province is how old and of which sex.
//!
//! Person number `i` of a province takes the quantile `frac(offset + i·φ)` of the published structure. The golden-ratio
//! sequence is so even that any run of consecutive persons, thus every commune, has its quota of every age to within a
//! few persons, the total is exact, and no table of what was given out is needed.
//!
//! Invariant: a province follows the published structure within 1 % (test:
//! `age_and_sex_follow_the_published_structure_within_one_percent`).

use crate::resident::Sex;

/// Single years of age 0 to 104.
pub(super) const AGES: usize = 105;

/// Viet Nam 2020, males and females by five-year group, the last one 100 and over.
/// Source: United Nations, World Population Prospects 2019, CC BY 3.0 IGO.
pub(super) const POPULATION_2020: [[u32; 2]; 21] = [
    [4_164_842, 3_727_629],
    [4_004_759, 3_581_342],
    [3_734_036, 3_364_138],
    [3_364_847, 3_136_022],
    [3_500_183, 3_320_020],
    [4_363_621, 4_205_672],
    [4_278_909, 4_158_118],
    [3_915_663, 3_848_234],
    [3_525_539, 3_508_287],
    [3_266_831, 3_272_305],
    [2_907_946, 2_960_411],
    [2_530_100, 2_711_511],
    [2_012_144, 2_318_810],
    [1_339_456, 1_672_277],
    [664_802, 987_156],
    [422_995, 703_519],
    [298_067, 562_519],
    [193_013, 416_160],
    [79_054, 195_571],
    [25_681, 72_544],
    [5_766, 18_084],
];

/// How the persons of 100 and over spread over 100 … 104, in hundredths: each year about half survive.
const CENTENARIANS: [u64; 5] = [45, 26, 15, 9, 5];

/// 2^64 / golden ratio, odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The cumulative structure, by age then sex.
pub(super) struct AgeSexStructure {
    /// Exclusive upper quantile of cell `age * 2 + sex`, of 2^64.
    upper: Vec<u64>,
}

impl AgeSexStructure {
    pub(super) fn published() -> Self {
        // Hundredths of a fifth keep the split of the last group whole.
        let cell = |age: usize, sex: usize| {
            let group = u64::from(POPULATION_2020[(age / 5).min(20)][sex]);
            group * if age < 100 { 20 } else { CENTENARIANS[age - 100] }
        };
        let total: u64 = POPULATION_2020.iter().flatten().map(|persons| u64::from(*persons) * 100).sum();
        let mut before = 0u64;
        let mut upper = Vec::with_capacity(AGES * 2);
        for at in 0..AGES * 2 {
            before += cell(at / 2, at % 2);
            let bound = (u128::from(before) << 64) / u128::from(total);
            upper.push(u64::try_from(bound).unwrap_or(u64::MAX));
        }
        Self { upper }
    }

    /// Sex and age in completed years of a province's person number `person`.
    pub(super) fn person(&self, offset: u64, person: u64) -> (Sex, u8) {
        let quantile = person.wrapping_mul(GOLDEN).wrapping_add(offset);
        let cell = self.upper.partition_point(|upper| *upper <= quantile).min(AGES * 2 - 1);
        let sex = if cell % 2 == 0 { Sex::Male } else { Sex::Female };
        (sex, (cell / 2) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_of_persons_has_its_quota_of_every_cell() {
        let structure = AgeSexStructure::published();
        let total: f64 = POPULATION_2020.iter().flatten().map(|persons| f64::from(*persons)).sum();
        for (first, len) in [(0, 5_000u64), (123_456, 10_000), (9_000_000, 1_000)] {
            let mut counts = [[0u32; 2]; 21];
            for person in first..first + len {
                let (sex, age) = structure.person(42, person);
                counts[usize::from(age / 5).min(20)][usize::from(sex.digit())] += 1;
            }
            for (group, sexes) in counts.iter().enumerate() {
                for (sex, count) in sexes.iter().enumerate() {
                    let quota = f64::from(POPULATION_2020[group][sex]) / total * len as f64;
                    // Each group is five intervals of the sequence, each with a discrepancy of a person or two.
                    assert!((f64::from(*count) - quota).abs() < 12.0, "group {group} sex {sex}: {count} of {quota}");
                }
            }
        }
    }
}
