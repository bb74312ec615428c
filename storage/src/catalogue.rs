//! Catalogues of administrative units. A unit is identified by `(catalogue, code)`: 3,316 commune codes of 2025 also existed
//! before with another extent, so a bare code is ambiguous.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Serialize;

use crate::{register::AreaScope, schema::population};

const LEGACY_63: &str = include_str!("../../config-examples/catalogues/units_legacy_63.csv");
const UNITS_2025: &str = include_str!("../../config-examples/catalogues/units_2025_34.csv");

/// One version of the national list of units.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// As in the code list `catalogue_version`.
    pub version: String,
    /// The version's number in that code list; part of every cube cell's key.
    pub number: u32,
    pub communes: BTreeMap<u32, Commune>,
    /// Code (3 digits) → name and province. Empty where the level does not exist.
    pub districts: BTreeMap<u32, (String, u32)>,
    /// Code (2 digits) → name.
    pub provinces: BTreeMap<u32, String>,
}

/// A commune, ward or township.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Commune {
    pub name: String,
    pub district: Option<u32>,
    pub province: u32,
}

/// A level to which a cube's communes are rolled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AreaLevel {
    Commune,
    District,
    Province,
    Region,
    Country,
}

/// The six regions of the 2019 census, by legacy province. Legacy regions do not nest in provinces of 2025.
/// Source: General Statistics Office, Population and Housing Census of 1 April 2019, list of regions.
const REGIONS: [(&str, &[u32]); 6] = [
    ("Northern Midlands and Mountains", &[2, 4, 6, 8, 10, 11, 12, 14, 15, 17, 19, 20, 24, 25]),
    ("Red River Delta", &[1, 22, 26, 27, 30, 31, 33, 34, 35, 36, 37]),
    ("North and South Central Coast", &[38, 40, 42, 44, 45, 46, 48, 49, 51, 52, 54, 56, 58, 60]),
    ("Central Highlands", &[62, 64, 66, 67, 68]),
    ("Southeast", &[70, 72, 74, 75, 77, 79]),
    ("Mekong River Delta", &[80, 82, 83, 84, 86, 87, 89, 91, 92, 93, 94, 95, 96]),
];

/// The region (1 to 6) of a province of the legacy catalogue.
pub fn legacy_region(province: u32) -> Option<u32> {
    REGIONS.iter().position(|(_, provinces)| provinces.contains(&province)).and_then(|place| u32::try_from(place + 1).ok())
}

/// The English name of a region.
pub fn region_name(region: u32) -> Option<&'static str> {
    REGIONS.get(usize::try_from(region).ok()?.checked_sub(1)?).map(|(name, _)| *name)
}

static CATALOGUES: LazyLock<Vec<Catalogue>> = LazyLock::new(|| {
    vec![
        Catalogue::read("legacy-63", LEGACY_63, ["province_code", "province", "district_code", "district", "commune_code", "commune"]),
        Catalogue::read("2025-34", UNITS_2025, ["province_code", "province", "", "", "commune_code", "commune"]),
    ]
});

/// The built-in catalogues, in the order of the code list.
pub fn catalogues() -> &'static [Catalogue] {
    &CATALOGUES
}

impl Catalogue {
    /// The catalogue with that number in the code list `catalogue_version`.
    pub fn numbered(number: u32) -> Option<&'static Catalogue> {
        catalogues().iter().find(|catalogue| catalogue.number == number)
    }

    pub fn named(version: &str) -> Option<&'static Catalogue> {
        catalogues().iter().find(|catalogue| catalogue.version == version)
    }

    /// The unit at `level` in which `commune` lies. District and region exist only where the catalogue has them.
    pub fn roll_up(&self, commune: u32, level: AreaLevel) -> Option<u32> {
        let unit = self.communes.get(&commune)?;
        match level {
            AreaLevel::Commune => Some(commune),
            AreaLevel::District => unit.district,
            AreaLevel::Province => Some(unit.province),
            AreaLevel::Region => (self.version == "legacy-63").then(|| legacy_region(unit.province)).flatten(),
            AreaLevel::Country => Some(0),
        }
    }

    /// The unit's code as people write it.
    pub fn code_text(&self, level: AreaLevel, code: u32) -> String {
        match level {
            AreaLevel::Commune => format!("{code:05}"),
            AreaLevel::District => format!("{code:03}"),
            AreaLevel::Province => format!("{code:02}"),
            AreaLevel::Region => format!("R{code}"),
            AreaLevel::Country => "VN".into(),
        }
    }

    /// The unit's name.
    pub fn unit_name(&self, level: AreaLevel, code: u32) -> Option<&str> {
        match level {
            AreaLevel::Commune => self.communes.get(&code).map(|c| c.name.as_str()),
            AreaLevel::District => self.districts.get(&code).map(|(name, _)| name.as_str()),
            AreaLevel::Province => self.provinces.get(&code).map(String::as_str),
            AreaLevel::Region => region_name(code),
            AreaLevel::Country => Some("Việt Nam"),
        }
    }

    /// Whether `commune` lies in `scope`. The number of digits tells the scope's level.
    pub fn lies_in(&self, commune: u32, scope: &AreaScope) -> bool {
        let Some(unit) = self.communes.get(&commune).filter(|_| scope.catalogue == self.version) else { return false };
        match (scope.code.len(), scope.code.parse::<u32>()) {
            (1, _) => scope.code == "*",
            (2, Ok(code)) => unit.province == code,
            (3, Ok(code)) => unit.district == Some(code),
            (5, Ok(code)) => commune == code,
            _ => false,
        }
    }

    /// Reads a built-in file. `columns`: names of the six columns wanted, empty where the level does not exist.
    fn read(version: &str, text: &str, columns: [&str; 6]) -> Self {
        const WHOLE: &str = "the built-in catalogues are checked by a test";
        let number = population().code_list("catalogue_version").and_then(|list| list.number(version)).expect(WHOLE);
        let mut catalogue =
            Self { version: version.into(), number, communes: BTreeMap::new(), districts: BTreeMap::new(), provinces: BTreeMap::new() };
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let headers = reader.headers().expect(WHOLE).clone();
        let places = columns.map(|name| headers.iter().position(|header| header == name));
        for record in reader.records() {
            let record = record.expect(WHOLE);
            let field = |place: usize| places[place].and_then(|at| record.get(at)).filter(|text| !text.is_empty());
            let code = |place: usize| field(place).and_then(|text| text.parse::<u32>().ok());
            let province = code(0).expect(WHOLE);
            catalogue.provinces.entry(province).or_insert_with(|| field(1).unwrap_or_default().into());
            if let (Some(district), Some(name)) = (code(2), field(3)) {
                catalogue.districts.entry(district).or_insert_with(|| (name.into(), province));
            }
            // Island districts without communes appear as a row without a commune.
            if let (Some(commune), Some(name)) = (code(4), field(5)) {
                catalogue.communes.insert(commune, Commune { name: name.into(), district: code(2), province });
            }
        }
        catalogue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogues_are_whole() {
        let legacy = Catalogue::named("legacy-63").expect("built in");
        assert_eq!((legacy.provinces.len(), legacy.districts.len()), (63, 696));
        assert_eq!(legacy.communes.len(), 10_035);
        assert!(legacy.provinces.keys().all(|province| legacy_region(*province).is_some()));
        let new = Catalogue::named("2025-34").expect("built in");
        assert_eq!((new.provinces.len(), new.districts.len(), new.communes.len()), (34, 0, 3_321));
    }

    #[test]
    fn a_scope_reaches_its_own_catalogue_and_its_own_communes_only() {
        let legacy = Catalogue::named("legacy-63").expect("built in");
        let scope = |code: &str| AreaScope { catalogue: "legacy-63".into(), code: code.into() };
        assert!(
            legacy.lies_in(1, &scope("001"))
                && legacy.lies_in(1, &scope("01"))
                && legacy.lies_in(1, &scope("00001"))
                && legacy.lies_in(1, &scope("*"))
        );
        assert!(!legacy.lies_in(1, &scope("002")) && !legacy.lies_in(1, &scope("75")) && !legacy.lies_in(1, &scope("")));
        assert!(!legacy.lies_in(1, &AreaScope { catalogue: "2025-34".into(), code: "*".into() }));
    }
}
