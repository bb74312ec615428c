//! How many persons each commune gets: decided before anything is written, from the plan and the units alone.
//!
//! Totals go down by largest remainder: wanted persons → census regions → home provinces (by their census counts) →
//! communes (by weight). Without a wanted total every home province gets exactly its census count.
//!
//! Invariant: the communes add up to the wanted total, and of a whole nation each region to its census total
//! (test: `a_nation_has_exactly_the_census_total_in_every_region`).

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::catalogue::Catalogue;
use crate::error::SynthError;
use crate::pin::{GUEST_NUMBERS, NATIVE_NUMBERS, PinAllotment, native_slots};
use crate::region::{CensusRegion, census_province};
use crate::units::{Unit, Units};

/// Household numbers have six digits; this many persons stay far below.
const COMMUNE_PERSONS_MAX: u64 = 1_500_000;
/// Events are drawn for at most three years back: further back, those concerned were too young or lived elsewhere.
const EVENT_MONTHS_MAX: u32 = 36;
/// Births before 1900 have no PIN digit, and the oldest person is 104.
const AS_OF_YEARS: std::ops::RangeInclusive<i16> = 2006..=2199;

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynthPlan {
    pub catalogue: Catalogue,
    /// Province codes of that catalogue; empty means the nation.
    pub provinces: Vec<String>,
    /// Persons wanted over all chosen provinces; `None` means the 2019 census count.
    pub persons: Option<u64>,
    pub seed: u64,
    /// The day the population is described: everybody in it was born on or before it.
    pub as_of: Date,
    /// Calendar months of events before `as_of`, which itself is not included.
    pub event_months: u32,
}

/// What shares one folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One folder per district, in its province's folder. Only a catalogue with districts can be laid out so.
    PerDistrict,
    /// One folder per province.
    PerProvince,
}

impl Layout {
    /// The finest that the catalogue allows.
    pub const fn usual(catalogue: Catalogue) -> Self {
        match catalogue {
            Catalogue::Legacy63 => Self::PerDistrict,
            Catalogue::Units2025 => Self::PerProvince,
        }
    }

    /// The folder of a unit, relative to the output folder.
    pub(crate) fn folder(self, unit: &Unit) -> Result<String, SynthError> {
        match (self, &unit.district) {
            (Self::PerProvince, _) => Ok(unit.province_code.clone()),
            (Self::PerDistrict, Some((district, _))) => Ok(format!("{}/{district}", unit.province_code)),
            (Self::PerDistrict, None) => Err(SynthError::bad_plan("this catalogue has no districts to lay out by")),
        }
    }
}

impl SynthPlan {
    /// The nation at the census, with three months of events.
    pub fn nation(catalogue: Catalogue, seed: u64) -> Self {
        Self { catalogue, provinces: Vec::new(), persons: None, seed, as_of: census_day(), event_months: 3 }
    }

    fn check(&self) -> Result<(), SynthError> {
        if self.persons == Some(0) {
            return Err(SynthError::bad_plan("it wants 0 persons"));
        }
        if self.event_months > EVENT_MONTHS_MAX {
            return Err(SynthError::bad_plan(format!(
                "it wants {} months of events, and {EVENT_MONTHS_MAX} is the most",
                self.event_months
            )));
        }
        if !AS_OF_YEARS.contains(&self.as_of.year()) {
            return Err(SynthError::bad_plan(format!("its day {} lies outside 2006 to 2199", self.as_of)));
        }
        Ok(())
    }
}

/// The census counted as of this day.
pub const fn census_day() -> Date {
    Date::constant(2019, 4, 1)
}

/// A commune and the persons it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommunePlan {
    pub unit: Unit,
    pub region: CensusRegion,
    pub persons: u64,
    /// Persons of the same home province in earlier communes: the commune's place in the age and sex sequence.
    pub(super) first_person: u64,
    pub(super) pins: PinAllotment,
}

/// Persons per commune, from the units built into the program, in catalogue order.
pub fn plan_communes(plan: &SynthPlan) -> Result<Vec<CommunePlan>, SynthError> {
    plan_communes_of(&Units::embedded(plan.catalogue)?, plan)
}

/// Persons per commune of these units, in catalogue order.
pub fn plan_communes_of(units: &Units, plan: &SynthPlan) -> Result<Vec<CommunePlan>, SynthError> {
    plan.check()?;
    let chosen = chosen_communes(units, &plan.provinces)?;
    let mut homes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for at in &chosen {
        homes.entry(&units.communes()[*at].home_province).or_default().push(*at);
    }
    let home_persons = persons_of_homes(homes.keys().copied(), plan.persons)?;
    let guest_slots = GUEST_NUMBERS / units.communes().len() as u32;
    let mut planned: BTreeMap<usize, CommunePlan> = BTreeMap::new();
    for (home, communes) in &homes {
        let (region, total) = home_persons[home];
        let weights: Vec<u64> = communes.iter().map(|at| units.communes()[*at].weight).collect();
        let mut first_person = 0;
        let mut native_first = 0;
        for (at, persons) in communes.iter().zip(largest_remainder(total, &weights)) {
            let unit = &units.communes()[*at];
            if persons > COMMUNE_PERSONS_MAX {
                return Err(SynthError::bad_plan(format!(
                    "commune {} would get {persons} persons, and {COMMUNE_PERSONS_MAX} is the most",
                    unit.commune_code
                )));
            }
            let native_len = native_slots(persons);
            let guest_first = NATIVE_NUMBERS + *at as u32 * guest_slots;
            let pins = PinAllotment { native_first, native_len, guest_first, guest_len: guest_slots };
            planned.insert(*at, CommunePlan { unit: unit.clone(), region, persons, first_person, pins });
            first_person += persons;
            native_first += native_len;
        }
        if native_first > NATIVE_NUMBERS {
            return Err(SynthError::bad_plan(format!("province {home} would get {total} persons, too many for its PINs")));
        }
    }
    Ok(planned.into_values().collect())
}

fn chosen_communes(units: &Units, provinces: &[String]) -> Result<Vec<usize>, SynthError> {
    let known: BTreeMap<&str, ()> = units.communes().iter().map(|unit| (unit.province_code.as_str(), ())).collect();
    if let Some(code) = provinces.iter().find(|code| !known.contains_key(code.as_str())) {
        return Err(SynthError::UnknownProvince {
            code: code.clone(),
            catalogue: units.catalogue(),
            known: known.into_keys().collect::<Vec<_>>().join(" "),
        });
    }
    let is_chosen = |unit: &Unit| provinces.is_empty() || provinces.contains(&unit.province_code);
    Ok(units.communes().iter().enumerate().filter(|(_, unit)| is_chosen(unit)).map(|(at, _)| at).collect())
}

/// Region and persons of each home province.
fn persons_of_homes<'a>(
    homes: impl Iterator<Item = &'a str>,
    wanted: Option<u64>,
) -> Result<BTreeMap<&'a str, (CensusRegion, u64)>, SynthError> {
    let mut regions: BTreeMap<CensusRegion, Vec<(&str, u64)>> = BTreeMap::new();
    for home in homes {
        let province = census_province(home).ok_or_else(|| SynthError::UnreadableUnits {
            file: "units".to_owned(),
            reason: format!("province {home} was not counted by the 2019 census"),
        })?;
        regions.entry(province.region).or_default().push((home, province.persons));
    }
    let census: Vec<u64> = regions.values().map(|homes| homes.iter().map(|(_, persons)| persons).sum()).collect();
    let totals = match wanted {
        Some(wanted) => largest_remainder(wanted, &census),
        None => census,
    };
    let mut shares = BTreeMap::new();
    for ((region, homes), total) in regions.into_iter().zip(totals) {
        let weights: Vec<u64> = homes.iter().map(|(_, persons)| *persons).collect();
        for ((home, _), persons) in homes.into_iter().zip(largest_remainder(total, &weights)) {
            shares.insert(home, (region, persons));
        }
    }
    Ok(shares)
}

/// Splits `total` in proportion to the weights, without losing one: floors first, then one each to the largest
/// remainders, the earlier first among equals. All zero when no weight is above zero.
pub(super) fn largest_remainder(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: &u64| u128::from(total) * u128::from(*weight);
    // A share is at most `total`, so it fits.
    let mut shares: Vec<u64> = weights.iter().map(|weight| (exact(weight) / sum) as u64).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(exact(&weights[*at]) % sum), *at));
    let missing = total - shares.iter().sum::<u64>();
    for at in order.into_iter().take(missing as usize) {
        shares[at] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_region(plan: &SynthPlan) -> BTreeMap<CensusRegion, u64> {
        let mut totals = BTreeMap::new();
        for commune in plan_communes(plan).expect("the plan is valid") {
            *totals.entry(commune.region).or_default() += commune.persons;
        }
        totals
    }

    #[test]
    fn a_nation_has_exactly_the_census_total_in_every_region() {
        for catalogue in [Catalogue::Legacy63, Catalogue::Units2025] {
            let totals = by_region(&SynthPlan::nation(catalogue, 7));
            for region in CensusRegion::ALL {
                assert_eq!(totals[&region], region.census_persons(), "{catalogue} {}", region.name());
            }
        }
    }

    #[test]
    fn a_scaled_nation_keeps_the_total_exact_and_the_regions_within_one_person() {
        for catalogue in [Catalogue::Legacy63, Catalogue::Units2025] {
            let plan = SynthPlan { persons: Some(1_000_003), ..SynthPlan::nation(catalogue, 7) };
            let totals = by_region(&plan);
            assert_eq!(totals.values().sum::<u64>(), 1_000_003);
            for region in CensusRegion::ALL {
                let exact = region.census_persons() as f64 * 1_000_003.0 / 96_208_984.0;
                assert!((totals[&region] as f64 - exact).abs() <= 1.0, "{catalogue} {}", region.name());
            }
        }
    }

    #[test]
    fn every_commune_of_the_nation_is_inhabited_except_the_one_island_without_civilians() {
        for (catalogue, empty) in [(Catalogue::Legacy63, 0), (Catalogue::Units2025, 1)] {
            let communes = plan_communes(&SynthPlan::nation(catalogue, 7)).expect("the plan is valid");
            let without: Vec<_> = communes.iter().filter(|commune| commune.persons == 0).collect();
            assert_eq!(without.len(), empty, "{without:?}");
            assert!(communes.iter().all(|commune| commune.persons < 300_000));
        }
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_is_refused_with_its_reason() {
        let nation = SynthPlan::nation(Catalogue::Units2025, 7);
        let unknown = SynthPlan { provinces: vec!["74".to_owned()], ..nation.clone() };
        let message = plan_communes(&unknown).expect_err("74 was merged into 79").to_string();
        assert!(message.contains("`74`") && message.contains("01 04 08"), "{message}");
        for plan in [
            SynthPlan { persons: Some(0), ..nation.clone() },
            SynthPlan { persons: Some(u64::MAX), ..nation.clone() },
            SynthPlan { event_months: 37, ..nation.clone() },
            SynthPlan { as_of: Date::constant(1999, 1, 1), ..nation },
        ] {
            assert!(matches!(plan_communes(&plan), Err(SynthError::BadPlan { .. })), "{plan:?}");
        }
    }

    #[test]
    fn largest_remainder_loses_nobody() {
        assert_eq!(largest_remainder(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(largest_remainder(7, &[0, 0]), [0, 0]);
        assert_eq!(largest_remainder(5, &[2, 0, 3]), [2, 0, 3]);
    }
}
