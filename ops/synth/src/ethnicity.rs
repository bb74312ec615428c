//! The 54 recognised ethnic groups and who lives where.
//!
//! Shares are per thousand of a province's persons, rounded after the 2019 census of the 54 groups; groups without a
//! figure share a small remainder, everybody else is Kinh.

use crate::draws::Draws;

/// Codes in the official order, then `foreign`.
pub(super) const CODES: [&str; 55] = [
    "kinh",
    "tay",
    "thai",
    "muong",
    "khmer",
    "hoa",
    "nung",
    "hmong",
    "dao",
    "gia_rai",
    "ngai",
    "e_de",
    "ba_na",
    "xo_dang",
    "san_chay",
    "co_ho",
    "cham",
    "san_diu",
    "hre",
    "mnong",
    "ra_glai",
    "xtieng",
    "bru_van_kieu",
    "tho",
    "giay",
    "co_tu",
    "gie_trieng",
    "ma",
    "kho_mu",
    "co",
    "ta_oi",
    "cho_ro",
    "khang",
    "xinh_mun",
    "ha_nhi",
    "chu_ru",
    "lao",
    "la_chi",
    "la_ha",
    "phu_la",
    "la_hu",
    "lu",
    "lo_lo",
    "chut",
    "mang",
    "pa_then",
    "co_lao",
    "cong",
    "bo_y",
    "si_la",
    "pu_peo",
    "brau",
    "o_du",
    "ro_mam",
    "foreign",
];

/// Of any group at all, per thousand: people move.
const ANYWHERE_PER_MILLE: u32 = 2;
/// Spouses whose ethnicity is drawn anew, per thousand.
const MIXED_PER_MILLE: u32 = 150;

/// A place in [`CODES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ethnicity(u8);

impl Ethnicity {
    pub(super) const KINH: Self = Self(0);

    pub(super) fn code(self) -> &'static str {
        CODES[usize::from(self.0)]
    }
}

type Share = (&'static str, u32);

#[rustfmt::skip]
const SHARES: [(&str, &[Share]); 54] = [
    ("01", &[("muong", 8), ("tay", 2)]),
    ("02", &[("hmong", 342), ("tay", 225), ("dao", 149), ("nung", 97), ("giay", 20), ("la_chi", 15), ("pa_then", 8), ("co_lao", 3), ("hoa", 8), ("lo_lo", 2), ("bo_y", 1), ("pu_peo", 1)]),
    ("04", &[("tay", 408), ("nung", 298), ("hmong", 117), ("dao", 104), ("san_chay", 14), ("lo_lo", 5)]),
    ("06", &[("tay", 527), ("dao", 178), ("nung", 93), ("hmong", 72)]),
    ("08", &[("tay", 262), ("dao", 137), ("san_chay", 90), ("hmong", 28), ("nung", 19), ("san_diu", 18), ("pa_then", 2)]),
    ("10", &[("hmong", 250), ("tay", 147), ("dao", 142), ("giay", 46), ("nung", 41), ("phu_la", 14), ("ha_nhi", 7), ("bo_y", 3)]),
    ("11", &[("hmong", 382), ("thai", 357), ("kho_mu", 33), ("dao", 11), ("ha_nhi", 9), ("khang", 8), ("lao", 8), ("xinh_mun", 4), ("cong", 2), ("si_la", 1)]),
    ("12", &[("thai", 310), ("hmong", 240), ("dao", 130), ("ha_nhi", 33), ("giay", 27), ("la_hu", 26), ("kho_mu", 16), ("lao", 13), ("lu", 14), ("mang", 10), ("cong", 3), ("si_la", 1)]),
    ("14", &[("thai", 537), ("hmong", 161), ("muong", 68), ("xinh_mun", 22), ("dao", 17), ("kho_mu", 12), ("khang", 8), ("la_ha", 8), ("lao", 3)]),
    ("15", &[("tay", 184), ("hmong", 131), ("dao", 124), ("thai", 75), ("muong", 21), ("nung", 19), ("giay", 3)]),
    ("17", &[("muong", 642), ("thai", 40), ("tay", 29), ("dao", 21), ("hmong", 8)]),
    ("19", &[("tay", 125), ("nung", 64), ("san_diu", 44), ("san_chay", 33), ("dao", 25), ("hmong", 8)]),
    ("20", &[("nung", 429), ("tay", 359), ("dao", 35), ("hoa", 2)]),
    ("22", &[("dao", 53), ("tay", 31), ("san_diu", 15), ("san_chay", 11), ("hoa", 4)]),
    ("24", &[("nung", 53), ("tay", 33), ("san_diu", 18), ("san_chay", 17), ("hoa", 11), ("dao", 6)]),
    ("25", &[("muong", 150), ("dao", 11), ("san_chay", 3)]),
    ("26", &[("san_diu", 40)]),
    ("37", &[("muong", 27)]),
    ("38", &[("muong", 103), ("thai", 62), ("hmong", 5), ("tho", 4), ("dao", 2)]),
    ("40", &[("thai", 102), ("tho", 21), ("kho_mu", 13), ("hmong", 10), ("o_du", 1)]),
    ("42", &[("lao", 1), ("chut", 1)]),
    ("44", &[("bru_van_kieu", 21), ("chut", 7)]),
    ("45", &[("bru_van_kieu", 109), ("ta_oi", 27)]),
    ("46", &[("ta_oi", 30), ("co_tu", 15)]),
    ("48", &[("co_tu", 1), ("hoa", 1)]),
    ("49", &[("co_tu", 37), ("xo_dang", 31), ("gie_trieng", 16), ("co", 4)]),
    ("51", &[("hre", 108), ("co", 24), ("xo_dang", 16)]),
    ("52", &[("ba_na", 14), ("hre", 7), ("cham", 4)]),
    ("54", &[("e_de", 29), ("cham", 26), ("ba_na", 5)]),
    ("56", &[("ra_glai", 45), ("co_ho", 4), ("e_de", 3), ("tay", 2)]),
    ("58", &[("ra_glai", 119), ("cham", 114)]),
    ("60", &[("cham", 32), ("ra_glai", 14), ("co_ho", 10), ("hoa", 8)]),
    ("62", &[("xo_dang", 247), ("ba_na", 125), ("gie_trieng", 73), ("gia_rai", 47), ("brau", 1), ("ro_mam", 1)]),
    ("64", &[("gia_rai", 304), ("ba_na", 125), ("nung", 8), ("tay", 7)]),
    ("66", &[("e_de", 188), ("nung", 41), ("tay", 28), ("mnong", 26), ("hmong", 21), ("gia_rai", 11)]),
    ("67", &[("mnong", 81), ("hmong", 56), ("nung", 44), ("tay", 33), ("dao", 21), ("ma", 12)]),
    ("68", &[("co_ho", 135), ("ma", 27), ("nung", 19), ("chu_ru", 17), ("tay", 16), ("hoa", 10)]),
    ("70", &[("xtieng", 97), ("tay", 27), ("nung", 26), ("khmer", 19), ("mnong", 10), ("hoa", 7)]),
    ("72", &[("khmer", 7), ("cham", 3)]),
    ("74", &[("khmer", 27), ("hoa", 7)]),
    ("75", &[("hoa", 28), ("khmer", 8), ("tay", 6), ("nung", 6), ("cho_ro", 5), ("dao", 3)]),
    ("77", &[("cho_ro", 8), ("hoa", 7)]),
    ("79", &[("hoa", 42), ("khmer", 6), ("cham", 1)]),
    ("80", &[("khmer", 2)]),
    ("83", &[("hoa", 2)]),
    ("84", &[("khmer", 315), ("hoa", 7)]),
    ("86", &[("khmer", 22), ("hoa", 3)]),
    ("89", &[("khmer", 40), ("cham", 6), ("hoa", 3)]),
    ("91", &[("khmer", 126), ("hoa", 13)]),
    ("92", &[("khmer", 17), ("hoa", 9)]),
    ("93", &[("khmer", 33), ("hoa", 8)]),
    ("94", &[("khmer", 302), ("hoa", 52)]),
    ("95", &[("khmer", 75), ("hoa", 17)]),
    ("96", &[("khmer", 22), ("hoa", 6)]),
];

/// The groups of one legacy province.
pub(super) struct EthnicMix {
    shares: Vec<(Ethnicity, u32)>,
}

impl EthnicMix {
    pub(super) fn of_province(code: &str) -> Self {
        let shares = SHARES.iter().find(|(province, _)| *province == code).map_or(&[][..], |(_, shares)| shares);
        let numbered = |(code, share): &Share| {
            let place = CODES.iter().position(|known| known == code)?;
            Some((Ethnicity(place as u8), *share))
        };
        Self { shares: shares.iter().filter_map(numbered).collect() }
    }

    pub(super) fn draw(&self, draws: &mut Draws) -> Ethnicity {
        if draws.chance(ANYWHERE_PER_MILLE) {
            return Ethnicity(draws.below(CODES.len() as u32) as u8);
        }
        let mut ticket = draws.below(1000);
        for (ethnicity, share) in &self.shares {
            if ticket < *share {
                return *ethnicity;
            }
            ticket -= share;
        }
        Ethnicity::KINH
    }

    /// For somebody who married into a family: mostly of its group.
    pub(super) fn draw_spouse(&self, of: Ethnicity, draws: &mut Draws) -> Ethnicity {
        if draws.chance(MIXED_PER_MILLE) { self.draw(draws) } else { of }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::census_province;

    #[test]
    fn every_share_names_a_real_province_and_group_and_none_exceeds_the_whole() {
        for (province, shares) in SHARES {
            assert!(census_province(province).is_some(), "{province}");
            assert_eq!(EthnicMix::of_province(province).shares.len(), shares.len(), "{province}");
            assert!(shares.iter().map(|(_, share)| share).sum::<u32>() < 1000, "{province}");
        }
    }
}
