//! The six socio-economic regions of the 2019 census and the 63 provinces in them, with their census populations.
//!
//! Source: Population and Housing Census of 1 April 2019, General Statistics Office of Viet Nam, population by province.
//!
//! Invariant: the provinces of a region add up to the region's census total
//! (test: `census_provinces_add_up_to_their_regions`).

use serde::Serialize;

/// A socio-economic region as the 2019 census counted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CensusRegion {
    NorthernMidlands,
    RedRiverDelta,
    Coast,
    CentralHighlands,
    Southeast,
    Mekong,
}

impl CensusRegion {
    pub const ALL: [Self; 6] =
        [Self::NorthernMidlands, Self::RedRiverDelta, Self::Coast, Self::CentralHighlands, Self::Southeast, Self::Mekong];

    /// Persons counted on 1 April 2019.
    pub const fn census_persons(self) -> u64 {
        match self {
            Self::NorthernMidlands => 12_532_866,
            Self::RedRiverDelta => 22_543_607,
            Self::Coast => 20_187_293,
            Self::CentralHighlands => 5_842_681,
            Self::Southeast => 17_828_907,
            Self::Mekong => 17_273_630,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::NorthernMidlands => "Northern Midlands",
            Self::RedRiverDelta => "Red River Delta",
            Self::Coast => "North and South Central Coast",
            Self::CentralHighlands => "Central Highlands",
            Self::Southeast => "Southeast",
            Self::Mekong => "Mekong River Delta",
        }
    }

    /// Whether southern spellings of surnames and southern names of hamlets are usual.
    pub(super) const fn is_southern(self) -> bool {
        matches!(self, Self::Southeast | Self::Mekong)
    }

    /// Adults born in another province, per thousand. Order of magnitude of the census' lifetime migration.
    pub(super) const fn newcomers_per_mille(self) -> u32 {
        match self {
            Self::Southeast => 240,
            Self::CentralHighlands => 160,
            _ => 50,
        }
    }
}

/// A province before 1 July 2025, as the census counted it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CensusProvince {
    pub(super) code: &'static str,
    pub(super) region: CensusRegion,
    pub(super) persons: u64,
}

const fn province(code: &'static str, region: CensusRegion, persons: u64) -> CensusProvince {
    CensusProvince { code, region, persons }
}

use CensusRegion::{CentralHighlands, Coast, Mekong, NorthernMidlands, RedRiverDelta, Southeast};

/// All 63, by code.
pub(super) const PROVINCES: [CensusProvince; 63] = [
    province("01", RedRiverDelta, 8_053_663),
    province("02", NorthernMidlands, 854_679),
    province("04", NorthernMidlands, 530_341),
    province("06", NorthernMidlands, 313_905),
    province("08", NorthernMidlands, 784_811),
    province("10", NorthernMidlands, 730_420),
    province("11", NorthernMidlands, 598_856),
    province("12", NorthernMidlands, 460_196),
    province("14", NorthernMidlands, 1_248_415),
    province("15", NorthernMidlands, 821_030),
    province("17", NorthernMidlands, 854_131),
    province("19", NorthernMidlands, 1_286_751),
    province("20", NorthernMidlands, 781_655),
    province("22", RedRiverDelta, 1_320_324),
    province("24", NorthernMidlands, 1_803_950),
    province("25", NorthernMidlands, 1_463_726),
    province("26", RedRiverDelta, 1_151_154),
    province("27", RedRiverDelta, 1_368_840),
    province("30", RedRiverDelta, 1_892_254),
    province("31", RedRiverDelta, 2_028_514),
    province("33", RedRiverDelta, 1_252_731),
    province("34", RedRiverDelta, 1_860_447),
    province("35", RedRiverDelta, 852_800),
    province("36", RedRiverDelta, 1_780_393),
    province("37", RedRiverDelta, 982_487),
    province("38", Coast, 3_640_128),
    province("40", Coast, 3_327_791),
    province("42", Coast, 1_288_866),
    province("44", Coast, 895_430),
    province("45", Coast, 632_375),
    province("46", Coast, 1_128_620),
    province("48", Coast, 1_134_310),
    province("49", Coast, 1_495_812),
    province("51", Coast, 1_231_697),
    province("52", Coast, 1_486_918),
    province("54", Coast, 872_964),
    province("56", Coast, 1_231_107),
    province("58", Coast, 590_467),
    province("60", Coast, 1_230_808),
    province("62", CentralHighlands, 540_438),
    province("64", CentralHighlands, 1_513_847),
    province("66", CentralHighlands, 1_869_322),
    province("67", CentralHighlands, 622_168),
    province("68", CentralHighlands, 1_296_906),
    province("70", Southeast, 994_679),
    province("72", Southeast, 1_169_165),
    province("74", Southeast, 2_426_561),
    province("75", Southeast, 3_097_107),
    province("77", Southeast, 1_148_313),
    province("79", Southeast, 8_993_082),
    province("80", Mekong, 1_688_547),
    province("82", Mekong, 1_764_185),
    province("83", Mekong, 1_288_463),
    province("84", Mekong, 1_009_168),
    province("86", Mekong, 1_022_791),
    province("87", Mekong, 1_599_504),
    province("89", Mekong, 1_908_352),
    province("91", Mekong, 1_723_067),
    province("92", Mekong, 1_235_171),
    province("93", Mekong, 733_017),
    province("94", Mekong, 1_199_653),
    province("95", Mekong, 907_236),
    province("96", Mekong, 1_194_476),
];

/// The province with this legacy code.
pub(super) fn census_province(code: &str) -> Option<CensusProvince> {
    let at = PROVINCES.binary_search_by(|province| province.code.cmp(code)).ok()?;
    Some(PROVINCES[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn census_provinces_add_up_to_their_regions() {
        for region in CensusRegion::ALL {
            let sum: u64 = PROVINCES.iter().filter(|p| p.region == region).map(|p| p.persons).sum();
            assert_eq!(sum, region.census_persons(), "{}", region.name());
        }
        assert_eq!(PROVINCES.iter().map(|p| p.persons).sum::<u64>(), 96_208_984);
        assert!(PROVINCES.windows(2).all(|pair| pair[0].code < pair[1].code));
    }
}
