//! Personal identification numbers, `PPP G YY RRRRRR`, unique nationwide without a table of those given out.
//!
//! The million numbers RRRRRR of one (province of birth, sex, year of birth) are divided before anything is drawn:
//!
//! ```text
//!   0                                   900,000           1,000,000
//!   | natives of the province, by commune | guests elsewhere, by commune of the catalogue |
//! ```
//!
//! A commune counts up inside its own two ranges, so no two communes can meet whatever the order they are written in,
//! and a province written alone has the numbers it has in a national run. A keyed permutation of the million then
//! hides the counting.
//!
//! Invariant: no number is given twice (test: `pins_obey_the_rules_and_are_unique_in_a_province`).

use std::collections::BTreeMap;

use crate::resident::Sex;

/// Numbers for persons who live in their province of birth.
pub(super) const NATIVE_NUMBERS: u32 = 900_000;
/// Numbers for persons who live elsewhere, shared equally by all communes of a catalogue.
pub(super) const GUEST_NUMBERS: u32 = 100_000;
const BIRTH_YEARS_MAX: usize = 128;

/// A commune's ranges of RRRRRR, before permutation; the same for every (sex, year of birth).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PinAllotment {
    pub(super) native_first: u32,
    pub(super) native_len: u32,
    pub(super) guest_first: u32,
    pub(super) guest_len: u32,
}

/// Numbers set aside for a commune's natives of one sex and year of birth. The largest such cohort is 0.9 % of the
/// persons; twice that and 64 more is beyond any chance deviation. Runs over 45 million per province are refused.
pub(super) fn native_slots(persons: u64) -> u32 {
    (persons / 50).min(u64::from(NATIVE_NUMBERS)) as u32 + 64
}

/// Gives out one commune's PINs.
pub(super) struct PinDesk {
    key: u64,
    allotment: PinAllotment,
    home_province: u16,
    latest_year: i16,
    natives: Vec<[u32; 2]>,
    guests: BTreeMap<(u16, i16, Sex), u32>,
}

impl PinDesk {
    /// `key` is the same for the whole country; `latest_year` is the year of the youngest.
    pub(super) fn new(key: u64, allotment: PinAllotment, home_province: u16, latest_year: i16) -> Self {
        let natives = vec![[0; 2]; BIRTH_YEARS_MAX];
        Self { key, allotment, home_province, latest_year, natives, guests: BTreeMap::new() }
    }

    /// The next PIN of somebody born there and then, or `None` where the commune's range is used up: such a person is
    /// then recorded without a PIN, as some are.
    pub(super) fn issue(&mut self, birth_province: u16, sex: Sex, birth_year: i16) -> Option<Pin> {
        let number = if birth_province == self.home_province {
            let years_back = usize::try_from(self.latest_year - birth_year).ok()?;
            let given = &mut self.natives.get_mut(years_back)?[usize::from(sex.digit())];
            take(given, self.allotment.native_first, self.allotment.native_len)?
        } else {
            let given = self.guests.entry((birth_province, birth_year, sex)).or_default();
            take(given, self.allotment.guest_first, self.allotment.guest_len)?
        };
        let century = u8::try_from(birth_year / 100 - 19).ok().filter(|century| *century < 5)?;
        let year = (birth_year % 100) as u8;
        let cohort =
            self.key ^ (u64::from(birth_province) << 32 | u64::from(century) << 16 | u64::from(year) << 8 | u64::from(sex.digit()));
        Some(Pin::new(birth_province, century * 2 + sex.digit(), year, permute(cohort, number)))
    }
}

fn take(given: &mut u32, first: u32, len: u32) -> Option<u32> {
    let number = (*given < len).then_some(first + *given)?;
    *given += 1;
    Some(number)
}

/// A bijection of `0..1_000_000`: four Feistel rounds over two halves of three digits.
fn permute(key: u64, number: u32) -> u32 {
    let (mut left, mut right) = (number / 1000, number % 1000);
    for round in 1..=4u64 {
        let mixed = mix(key ^ round.wrapping_mul(0xA24B_AED4_963E_E407) ^ u64::from(right) << 40);
        (left, right) = (right, (left + (mixed >> 32) as u32 % 1000) % 1000);
    }
    left * 1000 + right
}

/// Stafford's 13th variant of the 64-bit finaliser.
fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

/// Twelve ASCII digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pin([u8; 12]);

impl Pin {
    fn new(province: u16, century_and_sex: u8, year: u8, number: u32) -> Self {
        let mut rest = u64::from(province) * 1_000_000_000
            + u64::from(century_and_sex) * 100_000_000
            + u64::from(year) * 1_000_000
            + u64::from(number);
        let mut digits = [b'0'; 12];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Self(digits)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_permutation_reaches_every_number_once() {
        let mut seen = vec![false; 1_000_000];
        for number in 0..1_000_000 {
            let image = permute(0x0123_4567_89AB_CDEF, number) as usize;
            assert!(!std::mem::replace(&mut seen[image], true), "{number}");
        }
    }

    #[test]
    fn a_range_that_is_used_up_gives_no_pin_and_never_a_neighbours() {
        let allotment = PinAllotment { native_first: 10, native_len: 2, guest_first: 900_000, guest_len: 1 };
        let mut desk = PinDesk::new(1, allotment, 75, 2019);
        assert!(desk.issue(75, Sex::Female, 1990).is_some());
        assert!(desk.issue(75, Sex::Female, 1990).is_some());
        assert_eq!(desk.issue(75, Sex::Female, 1990), None);
        assert!(desk.issue(1, Sex::Male, 2001).is_some());
        assert_eq!(desk.issue(1, Sex::Male, 2001), None);
        let pin = desk.issue(75, Sex::Male, 2001).expect("an unused range");
        assert_eq!(&pin.as_bytes()[..6], b"075201");
    }
}
