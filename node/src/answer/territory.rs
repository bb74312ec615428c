//! Areas in questions: a unit of a catalogue, and the level to which communes are rolled up.

use std::collections::BTreeSet;

use kho_storage::{
    catalogue::{AreaLevel, Catalogue, catalogues, legacy_region},
    ids::SiteId,
    register::{AreaScope, VerifiedRegister},
};

use super::{BadQuestion, cut};

const LEVELS: [AreaLevel; 5] = [AreaLevel::Commune, AreaLevel::District, AreaLevel::Province, AreaLevel::Region, AreaLevel::Country];

/// A unit of a catalogue below the whole country.
#[derive(Debug, Clone, Copy)]
pub struct Territory {
    pub catalogue: &'static Catalogue,
    pub level: AreaLevel,
    pub code: u32,
}

impl Territory {
    /// Reads an area: `01` (province), `001` (district), `00001` (commune), `R2` (region); `None` for `VN` or `*`, the country.
    ///
    /// # Errors
    /// [`BadQuestion::WrongArea`] or [`BadQuestion::UnknownArea`].
    pub fn parse(catalogue: &'static Catalogue, text: &str) -> Result<Option<Self>, BadQuestion> {
        if matches!(text, "VN" | "*") {
            return Ok(None);
        }
        let unit = match (text.strip_prefix('R'), text.len()) {
            (Some(region), 2) => Some((AreaLevel::Region, region)),
            (None, 2) => Some((AreaLevel::Province, text)),
            (None, 3) => Some((AreaLevel::District, text)),
            (None, 5) => Some((AreaLevel::Commune, text)),
            _ => None,
        };
        let unit = unit
            .filter(|(_, digits)| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|(level, digits)| Some((level, digits.parse().ok()?)));
        let Some((level, code)) = unit else {
            return Err(BadQuestion::WrongArea { given: cut(text) });
        };
        let known = has_level(catalogue, level) && catalogue.unit_name(level, code).is_some();
        known.then_some(Some(Self { catalogue, level, code })).ok_or_else(|| {
            let others: Vec<_> = catalogues()
                .iter()
                .filter(|other| other.version != catalogue.version)
                .map(|other| format!("catalogue={}", other.version))
                .collect();
            let (levels, version) = (level_words(catalogue), catalogue.version.clone());
            BadQuestion::UnknownArea { given: cut(text), catalogue: version, levels, others: others.join(", ") }
        })
    }

    /// Whether a commune lies in it. `(catalogue, commune)` identifies a commune, a bare code does not.
    pub fn holds(&self, catalogue: u32, commune: u32) -> bool {
        catalogue == self.catalogue.number && self.catalogue.roll_up(commune, self.level) == Some(self.code)
    }

    /// Whether a site's scope and this area have a commune in common. Units nest, so one of the two holds the other or they
    /// differ at some level.
    pub fn meets(&self, scope: &AreaScope) -> bool {
        if scope.catalogue != self.catalogue.version {
            return false;
        }
        if scope.code == "*" {
            return true;
        }
        let level = match scope.code.len() {
            2 => AreaLevel::Province,
            3 => AreaLevel::District,
            5 => AreaLevel::Commune,
            _ => return false,
        };
        let Ok(code) = scope.code.parse() else { return false };
        let (ours, theirs) = (lineage(self.catalogue, self.level, self.code), lineage(self.catalogue, level, code));
        ours.iter().zip(theirs).all(|(ours, theirs)| ours.is_none() || theirs.is_none() || *ours == theirs)
    }
}

/// Commune, district, province and region of a unit, as far as they are above it.
fn lineage(catalogue: &Catalogue, level: AreaLevel, code: u32) -> [Option<u32>; 4] {
    let region = |province: Option<u32>| province.filter(|_| has_level(catalogue, AreaLevel::Region)).and_then(legacy_region);
    match level {
        AreaLevel::Commune => {
            let unit = catalogue.communes.get(&code);
            let province = unit.map(|unit| unit.province);
            [Some(code), unit.and_then(|unit| unit.district), province, region(province)]
        }
        AreaLevel::District => {
            let province = catalogue.districts.get(&code).map(|(_, province)| *province);
            [None, Some(code), province, region(province)]
        }
        AreaLevel::Province => [None, None, Some(code), region(Some(code))],
        AreaLevel::Region => [None, None, None, Some(code)],
        AreaLevel::Country => [None; 4],
    }
}

/// Whether the catalogue has units of that level.
pub(super) fn has_level(catalogue: &Catalogue, level: AreaLevel) -> bool {
    match level {
        AreaLevel::District => !catalogue.districts.is_empty(),
        AreaLevel::Region => {
            catalogue.communes.first_key_value().is_some_and(|(code, _)| catalogue.roll_up(*code, AreaLevel::Region).is_some())
        }
        AreaLevel::Commune | AreaLevel::Province | AreaLevel::Country => true,
    }
}

/// The level's word, as in parameters.
fn level_word(level: AreaLevel) -> &'static str {
    match level {
        AreaLevel::Commune => "commune",
        AreaLevel::District => "district",
        AreaLevel::Province => "province",
        AreaLevel::Region => "region",
        AreaLevel::Country => "country",
    }
}

fn level_words(catalogue: &Catalogue) -> String {
    LEVELS.iter().filter(|level| has_level(catalogue, **level)).map(|level| level_word(*level)).collect::<Vec<_>>().join(", ")
}

/// Reads the parameter `level`.
pub(super) fn parse_level(text: &str) -> Result<AreaLevel, BadQuestion> {
    LEVELS.into_iter().find(|level| level_word(*level) == text).ok_or_else(|| {
        let words: Vec<_> = LEVELS.iter().map(|level| level_word(*level)).collect();
        BadQuestion::UnknownLevel { given: cut(text), levels: words.join(", ") }
    })
}

/// Refuses a level that the catalogue lacks, or that is coarser than the area asked for.
pub(super) fn check_level(catalogue: &Catalogue, level: AreaLevel, territory: Option<&Territory>) -> Result<(), BadQuestion> {
    if !has_level(catalogue, level) {
        let (level, levels) = (level_word(level), level_words(catalogue));
        return Err(BadQuestion::LevelMissing { level, catalogue: catalogue.version.clone(), levels });
    }
    match territory {
        Some(territory) if territory.level < level => {
            Err(BadQuestion::LevelTooCoarse { level: level_word(level), area_level: level_word(territory.level) })
        }
        _ => Ok(()),
    }
}

/// Reads the parameter `catalogue`.
pub(super) fn parse_catalogue(text: &str) -> Result<&'static Catalogue, BadQuestion> {
    Catalogue::named(text).ok_or_else(|| {
        let versions: Vec<_> = catalogues().iter().map(|catalogue| catalogue.version.as_str()).collect();
        BadQuestion::UnknownCatalogue { given: cut(text), catalogues: versions.join(", ") }
    })
}

/// The catalogue that a question means when it names none: the only one in which the sites below `site` have areas, otherwise
/// `legacy-63`, the one with all levels.
pub fn catalogue_in_use(register: Option<&VerifiedRegister>, site: SiteId) -> &'static Catalogue {
    let mut used = BTreeSet::new();
    if let Some(register) = register {
        let subtree = register.subtree(site);
        let entries = register.register().sites.iter().filter(|entry| subtree.contains(&entry.site));
        used.extend(entries.flat_map(|entry| &entry.areas).map(|area| area.catalogue.as_str()));
    }
    let only = used.pop_first().filter(|_| used.is_empty()).and_then(Catalogue::named);
    only.unwrap_or_else(|| Catalogue::named("legacy-63").expect("the catalogue is built in"))
}

#[cfg(test)]
mod tests {
    use kho_messages::Reportable as _;

    use super::*;

    fn legacy() -> &'static Catalogue {
        Catalogue::named("legacy-63").expect("built in")
    }

    #[test]
    fn an_area_meets_what_holds_it_and_what_it_holds() {
        let scope = |code: &str| AreaScope { catalogue: "legacy-63".into(), code: code.into() };
        for (area, meeting, apart) in [
            ("01", vec!["001", "00001", "01", "*"], vec!["75", "731"]),
            ("001", vec!["01", "00001"], vec!["002", "75"]),
            ("00001", vec!["001", "01"], vec!["00004", "002"]),
            ("R2", vec!["01", "001"], vec!["75", "731"]),
        ] {
            let territory = Territory::parse(legacy(), area).expect("known").expect("below the country");
            assert!(meeting.iter().all(|code| territory.meets(&scope(code))), "{area}");
            assert!(!apart.iter().any(|code| territory.meets(&scope(code))), "{area}");
            assert!(!territory.meets(&AreaScope { catalogue: "2025-34".into(), code: "*".into() }));
        }
    }

    #[test]
    fn a_catalogue_has_only_its_own_levels() {
        let new = Catalogue::named("2025-34").expect("built in");
        assert!(LEVELS.iter().all(|level| has_level(legacy(), *level)));
        assert_eq!(level_words(new), "commune, province, country");
        for (area, code) in [
            ("001", "unknown_area"),
            ("R2", "unknown_area"),
            ("99", "unknown_area"),
            ("x1", "wrong_area"),
            ("1", "wrong_area"),
            ("R", "wrong_area"),
            ("+1", "wrong_area"),
        ] {
            assert_eq!(Territory::parse(new, area).map(|_| ()).map_err(|bad| bad.code()), Err(code), "{area}");
        }
    }
}
