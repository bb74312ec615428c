//! Promises about the people and what happens to them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::structure::POPULATION_2020;
use super::super::{SynthPlan, census_day, ethnicity, region};
use super::{Row, plan, rows, written};

#[test]
fn age_and_sex_follow_the_published_structure_within_one_percent() {
    let (dir, _) = written(&plan(&["75"], Some(200_000)));
    let as_of = census_day();
    let mut counts = [[0u32; 2]; 21];
    let persons = rows(dir.path(), "person.csv");
    assert_eq!(persons.len(), 200_000);
    for person in &persons {
        let mut parts = person["birth_date"].split('-').map(|part| part.parse::<i16>().expect("a number"));
        let (year, month, day) = (parts.next().unwrap_or(0), parts.next().unwrap_or(1), parts.next().unwrap_or(1));
        let before_birthday = (as_of.month().into(), as_of.day().into()) < (month, day);
        let age = as_of.year() - year - i16::from(before_birthday);
        counts[(age as usize / 5).min(20)][usize::from(person["sex"] == "female")] += 1;
    }
    let total: f64 = POPULATION_2020.iter().flatten().map(|persons| f64::from(*persons)).sum();
    for (group, sexes) in counts.iter().enumerate() {
        for (sex, count) in sexes.iter().enumerate() {
            let quota = f64::from(POPULATION_2020[group][sex]) / total * 200_000.0;
            // Of the old some give only the year of birth, which can move them by a group; below that, 12 persons.
            let allowed = if group >= 12 { 0.02 * quota + 12.0 } else { (0.01 * quota).max(12.0) };
            assert!((f64::from(*count) - quota).abs() <= allowed, "group {group} sex {sex}: {count} of {quota}");
        }
    }
}

#[test]
fn pins_obey_the_rules_and_are_unique_in_a_province() {
    let (dir, _) = written(&plan(&["75", "79"], Some(200_000)));
    let mut seen = BTreeSet::new();
    let (mut without, mut newcomers) = (0, 0);
    for person in rows(dir.path(), "person.csv") {
        let pin = person["pin"].clone();
        if pin.is_empty() {
            without += 1;
            continue;
        }
        assert!(pin.len() == 12 && pin.bytes().all(|byte| byte.is_ascii_digit()), "{pin}");
        let birth_year: u32 = person["birth_date"][..4].parse().expect("a year");
        let century_and_sex = (birth_year / 100 - 19) * 2 + u32::from(person["sex"] == "female");
        assert_eq!(pin[3..6], format!("{century_and_sex}{:02}", birth_year % 100), "{person:?}");
        let known = pin.starts_with('1') || region::census_province(&pin[1..3]).is_some();
        assert!(known, "{pin}");
        newcomers += u32::from(!pin.starts_with("075") && !pin.starts_with("079"));
        assert!(seen.insert(pin), "given twice: {person:?}");
    }
    assert!((500..4_000).contains(&without), "{without} without PIN");
    assert!((10_000..45_000).contains(&newcomers), "{newcomers} from elsewhere");
}

#[test]
fn every_household_has_exactly_one_head_and_plausible_names() {
    let (dir, summary) = written(&plan(&["34"], Some(60_000)));
    let mut heads: BTreeMap<String, u32> = BTreeMap::new();
    let mut nguyen = 0;
    let mut collectives = 0;
    for household in rows(dir.path(), "household.csv") {
        collectives += u32::from(household["household_type"] == "collective");
        heads.insert(household["household_id"].clone(), 0);
    }
    for person in rows(dir.path(), "person.csv") {
        let count = heads.get_mut(&person["household_id"]).expect("an existing household");
        *count += u32::from(person["relation"] == "head");
        assert!(person["person_id"].starts_with(&person["household_id"]));
        let name = &person["full_name"];
        assert_eq!(name.split(' ').count(), 3);
        // NFC of Vietnamese leaves no combining mark.
        assert!(!name.chars().any(|letter| ('\u{300}'..='\u{36f}').contains(&letter)), "{name}");
        nguyen += u32::from(name.starts_with("Nguyễn "));
        assert!(ethnicity::CODES.contains(&person["ethnicity"].as_str()));
    }
    assert!(heads.values().all(|count| *count == 1));
    let mean = 60_000.0 / summary.households as f64;
    assert!((3.4..3.8).contains(&mean), "{mean} persons a household");
    // 34 is all Kinh; with the other groups' surnames the country comes to 39 %.
    assert!((0.41..0.46).contains(&(f64::from(nguyen) / 60_000.0)), "{nguyen} Nguyễn");
    assert!(collectives > 0);
}

#[test]
fn events_agree_with_the_people_and_the_national_rates() {
    let yearly = SynthPlan { event_months: 12, ..plan(&["34"], Some(100_000)) };
    let (dir, _) = written(&yearly);
    let persons: BTreeMap<String, Row> = rows(dir.path(), "person.csv").into_iter().map(|row| (row["person_id"].clone(), row)).collect();
    let households: BTreeSet<String> = rows(dir.path(), "household.csv").into_iter().map(|row| row["household_id"].clone()).collect();
    let mut by_type: BTreeMap<String, u32> = BTreeMap::new();
    let mut former = BTreeSet::new();
    for event in rows(dir.path(), "event.csv") {
        *by_type.entry(event["type"].clone()).or_default() += 1;
        assert!(households.contains(&event["household_id"]));
        assert!(("2018-04-01".."2019-04-01").contains(&event["event_date"].as_str()), "{event:?}");
        assert!(event["recorded_at"] >= event["event_date"] && event["recorded_at"].as_str() <= "2019-04-01");
        let person = persons.get(&event["person_id"]);
        let gone = matches!(event["type"].as_str(), "death" | "out_migration");
        assert_eq!(person.is_none(), gone, "{event:?}");
        assert!(!gone || former.insert(event["person_id"].clone()), "left twice: {event:?}");
        if event["type"] == "birth" {
            let child = person.expect("a birth's person is in the list");
            assert_eq!((&child["birth_date"], &child["sex"]), (&event["event_date"], &event["sex"]));
        }
        assert_only_fields_of_its_type(&event);
    }
    for (code, per_100_000) in [("birth", 1_620), ("death", 610), ("marriage", 720), ("in_migration", 1_100)] {
        let count = by_type[code];
        assert!(count.abs_diff(per_100_000) < per_100_000 / 12, "{count} of {code}");
    }
    assert_eq!(by_type.len(), 13, "{by_type:?}");
}

fn assert_only_fields_of_its_type(event: &Row) {
    let filled = ["sex", "birth_order", "place", "method", "outcome", "field", "old_value", "new_value"]
        .into_iter()
        .filter(|column| !event[*column].is_empty())
        .collect::<Vec<_>>();
    let expected: &[&str] = match event["type"].as_str() {
        "birth" => &["sex", "birth_order", "place"],
        "contraception_start" => &["method"],
        "pregnancy" => &["outcome"],
        "attribute_change" => &["field", "old_value", "new_value"],
        _ => &[],
    };
    assert_eq!(filled, expected, "{event:?}");
}
