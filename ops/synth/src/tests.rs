//! Promises about what is written, checked on the files themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use crate::*;

mod people;

type Row = BTreeMap<String, String>;

fn plan(provinces: &[&str], persons: Option<u64>) -> SynthPlan {
    let provinces = provinces.iter().map(|code| (*code).to_owned()).collect();
    SynthPlan { provinces, persons, ..SynthPlan::nation(Catalogue::Legacy63, 20_190_401) }
}

fn written(plan: &SynthPlan) -> (tempfile::TempDir, SynthSummary) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut last = (0, 0);
    let summary = write(plan, dir.path(), Layout::usual(plan.catalogue), &mut |done, total| {
        assert!(last.0 <= done && done <= total);
        last = (done, total);
    })
    .expect("the plan is valid");
    assert_eq!(last, (summary.persons, summary.persons));
    (dir, summary)
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("below it").to_owned();
                found.insert(name, fs::read(path).expect("readable"));
            }
        }
    }
    found
}

fn rows(dir: &Path, name: &str) -> Vec<Row> {
    let mut all = Vec::new();
    for (path, bytes) in files(dir) {
        if path.ends_with(name) {
            let rows = csv::Reader::from_reader(&bytes[..]).into_deserialize::<Row>().collect::<Result<Vec<_>, _>>();
            all.extend(rows.expect("every row has every column"));
        }
    }
    all
}

#[test]
fn the_same_seed_writes_the_same_bytes() {
    let plan = plan(&["58"], Some(12_000));
    let (first, summary) = written(&plan);
    let (second, _) = written(&plan);
    assert!(files(first.path()) == files(second.path()), "seed {}", plan.seed);
    let (other, _) = written(&SynthPlan { seed: plan.seed + 1, ..plan });
    assert!(files(first.path()) != files(other.path()));
    assert_eq!((summary.persons, summary.areas.len()), (12_000, 7));
    let json = fs::read_to_string(first.path().join("summary.json")).expect("written last");
    assert_eq!(json.trim_end(), serde_json::to_string_pretty(&summary).expect("plain data"));
}

#[test]
fn a_province_alone_equals_its_part_of_a_larger_run() {
    let nested: [(Catalogue, [&str; 2]); 2] = [(Catalogue::Legacy63, ["06", "58"]), (Catalogue::Units2025, ["12", "46"])];
    for (catalogue, both) in nested {
        let both_plan = SynthPlan { catalogue, ..plan(&both, Some(30_000)) };
        let communes = plan_communes(&both_plan).expect("valid");
        let of_second = communes.iter().filter(|commune| commune.unit.province_code == both[1]);
        let persons = of_second.map(|commune| commune.persons).sum();
        let (larger, _) = written(&both_plan);
        let (alone, _) = written(&SynthPlan { catalogue, ..plan(&both[1..], Some(persons)) });
        let part = |dir: &Path| {
            let all = files(dir).into_iter();
            all.filter(|(path, _)| path.starts_with(both[1])).collect::<BTreeMap<_, _>>()
        };
        assert!(part(alone.path()).len() >= 3 && part(alone.path()) == part(larger.path()), "{catalogue}");
    }
}

#[test]
fn every_row_belongs_to_a_real_commune_of_its_folder_and_rows_stand_in_key_order() {
    for catalogue in [Catalogue::Legacy63, Catalogue::Units2025] {
        let (dir, summary) = written(&SynthPlan { catalogue, ..plan(&["12"], Some(20_000)) });
        let units = Units::embedded(catalogue).expect("well formed");
        let mut counts = BTreeMap::new();
        for (path, bytes) in files(dir.path()) {
            let Some(key) = key_of(&path) else { continue };
            let mut last = String::new();
            for row in csv::Reader::from_reader(&bytes[..]).into_deserialize::<Row>() {
                let row = row.expect("every row has every column");
                let unit = units.communes().iter().find(|unit| unit.commune_code == row["commune_code"]);
                let unit = unit.expect("a real commune");
                let district = unit.district.as_ref().map(|(code, _)| format!("/{code}")).unwrap_or_default();
                assert_eq!(path.parent(), Some(Path::new(&format!("{}{district}", unit.province_code))));
                assert!(row[key].starts_with(&unit.commune_code) && row[key].is_ascii());
                assert_eq!(row["catalogue_version"], catalogue.version());
                assert!(row[key] > last, "{key} {} after {last}", row[key]);
                last.clone_from(&row[key]);
                *counts.entry(key).or_insert(0) += 1;
            }
        }
        let expected = [("event_id", summary.events), ("household_id", summary.households), ("person_id", summary.persons)];
        assert_eq!(counts, BTreeMap::from(expected));
    }
}

fn key_of(path: &Path) -> Option<&'static str> {
    match path.file_name()?.to_str()? {
        "household.csv" => Some("household_id"),
        "person.csv" => Some("person_id"),
        "event.csv" => Some("event_id"),
        _ => None,
    }
}

#[test]
fn an_output_folder_with_something_in_it_is_refused_untouched() {
    let plan = plan(&["58"], Some(500));
    let (dir, _) = written(&plan);
    let before = files(dir.path());
    let again = write(&plan, dir.path(), Layout::PerDistrict, &mut |_, _| {});
    assert!(matches!(again, Err(SynthError::OutputNotEmpty { .. })));
    assert!(files(dir.path()) == before);
    let without_districts = SynthPlan { catalogue: Catalogue::Units2025, ..SynthPlan::nation(Catalogue::Units2025, 1) };
    let empty = tempfile::tempdir().expect("a temporary folder");
    let refused = write(&without_districts, empty.path(), Layout::PerDistrict, &mut |_, _| {});
    assert!(matches!(refused, Err(SynthError::BadPlan { .. })));
}

#[test]
fn the_smallest_populations_and_other_days_are_written_too() {
    for (persons, as_of) in [(1, census_day()), (97, Date::constant(2024, 2, 29)), (1_003, Date::constant(2025, 7, 1))] {
        let small = SynthPlan { catalogue: Catalogue::Units2025, as_of, ..plan(&["96"], Some(persons)) };
        let (dir, summary) = written(&small);
        assert_eq!(summary.persons, persons);
        let day = as_of.to_string();
        assert!(rows(dir.path(), "person.csv").iter().all(|person| person["birth_date"] <= day));
    }
}
