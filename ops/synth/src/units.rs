//! The real administrative units, from the files in `config-examples/catalogues/`, built into the program or read from
//! a folder.
//!
//! A bare commune code is ambiguous: most codes of 2025 existed before with another extent. A unit is therefore
//! identified by `(catalogue, code)`, and one [`Units`] holds the communes of one catalogue only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::draws::number_of;
use crate::error::SynthError;

const LEGACY_FILE: &str = "units_legacy_63.csv";
const UNITS_2025_FILE: &str = "units_2025_34.csv";
const MAP_2025_FILE: &str = "map_2025-07-01.csv";

const LEGACY_CSV: &str = include_str!("../../../config-examples/catalogues/units_legacy_63.csv");
const UNITS_2025_CSV: &str = include_str!("../../../config-examples/catalogues/units_2025_34.csv");
const MAP_2025_CSV: &str = include_str!("../../../config-examples/catalogues/map_2025-07-01.csv");

/// A commune and the units above it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unit {
    pub province_code: String,
    pub province: String,
    /// Code and name; `None` where the catalogue has no districts.
    pub district: Option<(String, String)>,
    pub commune_code: String,
    pub commune: String,
    /// Ward, township or special zone: it decides the wording of addresses.
    pub is_urban: bool,
    /// Legacy code of the province where its people's births were registered; decides its census region. For a
    /// commune of 2025 made of parts of two old provinces it is the one that gave the larger default part.
    pub home_province: String,
    /// Share of the home province's persons, relative to its other communes.
    pub(super) weight: u64,
}

/// All communes of one catalogue, by province, district and commune code.
#[derive(Debug, Clone)]
pub struct Units {
    catalogue: Catalogue,
    communes: Vec<Unit>,
}

impl Units {
    /// The units built into the program.
    pub fn embedded(catalogue: Catalogue) -> Result<Self, SynthError> {
        Self::parse(catalogue, LEGACY_CSV, UNITS_2025_CSV, MAP_2025_CSV)
    }

    /// The units of a folder with the files of `config-examples/catalogues/`.
    pub fn from_dir(catalogue: Catalogue, dir: &Path) -> Result<Self, SynthError> {
        let text = |file: &str| {
            let path = dir.join(file);
            std::fs::read_to_string(&path)
                .map_err(|error| SynthError::UnreadableUnits { file: path.display().to_string(), reason: error.to_string() })
        };
        match catalogue {
            Catalogue::Legacy63 => Self::parse(catalogue, &text(LEGACY_FILE)?, "", ""),
            Catalogue::Units2025 => Self::parse(catalogue, &text(LEGACY_FILE)?, &text(UNITS_2025_FILE)?, &text(MAP_2025_FILE)?),
        }
    }

    pub fn catalogue(&self) -> Catalogue {
        self.catalogue
    }

    pub fn communes(&self) -> &[Unit] {
        &self.communes
    }

    fn parse(catalogue: Catalogue, legacy: &str, units: &str, map: &str) -> Result<Self, SynthError> {
        let legacy = rows::<LegacyRow>(LEGACY_FILE, legacy)?;
        let mut communes = match catalogue {
            Catalogue::Legacy63 => legacy_units(legacy),
            Catalogue::Units2025 => units_2025(&legacy, rows(UNITS_2025_FILE, units)?, rows(MAP_2025_FILE, map)?)?,
        };
        communes.sort_by(|a, b| {
            let key = |unit: &Unit| (unit.province_code.clone(), unit.district.clone(), unit.commune_code.clone());
            key(a).cmp(&key(b))
        });
        let codes: BTreeSet<&str> = communes.iter().map(|unit| unit.commune_code.as_str()).collect();
        if communes.is_empty() || codes.len() != communes.len() {
            return Err(SynthError::UnreadableUnits {
                file: catalogue.version().to_owned(),
                reason: "it has no commune, or a commune code twice".to_owned(),
            });
        }
        Ok(Self { catalogue, communes })
    }
}

#[derive(Debug, Deserialize)]
struct LegacyRow {
    province_code: String,
    province: String,
    district_code: String,
    district: String,
    district_type: String,
    commune_code: String,
    commune: String,
    commune_type: String,
}

#[derive(Debug, Deserialize)]
struct Row2025 {
    province_code: String,
    province: String,
    commune_code: String,
    commune: String,
    commune_type: String,
}

#[derive(Debug, Deserialize)]
struct MapRow {
    old_province: String,
    old_district: String,
    old_commune: String,
    new_commune: String,
    is_default: u8,
}

/// Reads a file's rows by its column names.
fn rows<R: DeserializeOwned>(file: &str, text: &str) -> Result<Vec<R>, SynthError> {
    csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .collect::<Result<Vec<R>, csv::Error>>()
        .map_err(|error| SynthError::UnreadableUnits { file: file.to_owned(), reason: error.to_string() })
}

fn legacy_units(rows: Vec<LegacyRow>) -> Vec<Unit> {
    let has_commune = |row: &LegacyRow| !row.commune_code.is_empty();
    let unit = |row: LegacyRow| Unit {
        weight: legacy_weight(&row),
        is_urban: row.commune_type != "Xã",
        home_province: row.province_code.clone(),
        province_code: row.province_code,
        province: row.province,
        district: Some((row.district_code, row.district)),
        commune_code: row.commune_code,
        commune: row.commune,
    };
    rows.into_iter().filter(has_commune).map(unit).collect()
}

/// Relative size of an old commune. The census publishes no commune figures; wards of municipal districts hold about
/// two and a half times a rural commune's persons, other towns lie between. The spread by code makes neighbours differ.
fn legacy_weight(row: &LegacyRow) -> u64 {
    let tenths = match (row.district_type.as_str(), row.commune_type.as_str()) {
        ("Quận", _) => 26,
        (_, "Phường") => 16,
        (_, "Thị trấn") => 13,
        ("Thành phố", "Xã") => 12,
        (_, "Xã") => 10,
        // Island districts without communes, which appear only as parts of 2025: about 22,000 persons on Lý Sơn,
        // 8,000 on Côn Đảo, some hundreds on two others, none counted on Hoàng Sa.
        _ => match row.district_code.as_str() {
            "536" => 30,
            "755" => 7,
            "318" | "471" => 1,
            _ => 0,
        },
    };
    tenths * (700 + number_of(0, &["commune size", &row.commune_code, &row.district_code]) % 601)
}

/// A new commune's weight is the sum of its old parts' weights; an old commune that was split counts in equal parts.
fn units_2025(legacy: &[LegacyRow], rows: Vec<Row2025>, map: Vec<MapRow>) -> Result<Vec<Unit>, SynthError> {
    let old_key = |district: &str, commune: &str| format!("{district}/{commune}");
    let weights: BTreeMap<String, u64> =
        legacy.iter().map(|row| (old_key(&row.district_code, &row.commune_code), legacy_weight(row))).collect();
    let mut pieces: BTreeMap<String, u64> = BTreeMap::new();
    for row in &map {
        *pieces.entry(old_key(&row.old_district, &row.old_commune)).or_default() += 1;
    }
    // new commune → old province → (weight of default parts, weight of all parts)
    let mut parts: BTreeMap<&str, BTreeMap<&str, (u64, u64)>> = BTreeMap::new();
    for row in &map {
        let key = old_key(&row.old_district, &row.old_commune);
        let unit_weight = weights.get(&key).ok_or_else(|| SynthError::UnreadableUnits {
            file: MAP_2025_FILE.to_owned(),
            reason: format!("old unit {key} is not in {LEGACY_FILE}"),
        })?;
        let weight = unit_weight / pieces.get(&key).copied().unwrap_or(1);
        let part = parts.entry(&row.new_commune).or_default().entry(&row.old_province).or_default();
        part.0 += if row.is_default == 1 { weight } else { 0 };
        part.1 += weight;
    }
    let unit = |row: Row2025| {
        let of_provinces = parts.get(row.commune_code.as_str()).ok_or_else(|| SynthError::UnreadableUnits {
            file: MAP_2025_FILE.to_owned(),
            reason: format!("no old unit leads to commune {}", row.commune_code),
        })?;
        let home = of_provinces.iter().rev().max_by_key(|(_, part)| **part).map_or("", |(code, _)| *code);
        Ok(Unit {
            weight: of_provinces.values().map(|part| part.1).sum(),
            is_urban: row.commune_type != "Xã",
            home_province: home.to_owned(),
            province_code: row.province_code,
            province: row.province,
            district: None,
            commune_code: row.commune_code,
            commune: row.commune,
        })
    };
    rows.into_iter().map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_catalogues_hold_every_commune_and_every_home_province() {
        for (catalogue, communes, provinces) in [(Catalogue::Legacy63, 10_035, 63), (Catalogue::Units2025, 3_321, 34)] {
            let units = Units::embedded(catalogue).expect("the embedded files are well formed");
            let count = |code: fn(&Unit) -> &str| units.communes().iter().map(code).collect::<BTreeSet<_>>().len();
            assert_eq!(units.communes().len(), communes);
            assert_eq!(count(|unit| &unit.province_code), provinces);
            assert_eq!(count(|unit| &unit.home_province), 63);
        }
    }

    #[test]
    fn a_folder_gives_the_same_units_as_the_program() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config-examples/catalogues");
        for catalogue in [Catalogue::Legacy63, Catalogue::Units2025] {
            let folder = Units::from_dir(catalogue, &dir).expect("the folder is in the project");
            assert_eq!(folder.communes(), Units::embedded(catalogue).expect("well formed").communes());
        }
        let missing = Units::from_dir(Catalogue::Legacy63, Path::new("no-such-folder"));
        assert!(matches!(missing, Err(SynthError::UnreadableUnits { .. })));
    }
}
