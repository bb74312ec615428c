//! People and events by a counter, so that tables can be counted by hand beside the cubes.

use std::collections::BTreeMap;

use kho_storage::stream::Change;

use super::world::put;

/// A person as the test knows it.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: String,
    /// `None`: the date of birth is unknown; month 0: only the year is known.
    pub birth: Option<(u16, u8)>,
    pub sex: &'static str,
    pub marital: &'static str,
    pub residence: &'static str,
    pub catalogue: &'static str,
    pub commune: &'static str,
}

impl Person {
    pub fn change(&self) -> Change {
        let birth = match self.birth {
            None => String::new(),
            Some((year, 0)) => format!("{year:04}"),
            Some((year, month)) => format!("{year:04}-{month:02}"),
        };
        put(
            "person",
            &[
                ("person_id", self.id.clone()),
                ("household_id", "H1".into()),
                ("seq", "1".into()),
                ("full_name", "Người Thử".into()),
                ("birth_date", birth),
                ("sex", self.sex.into()),
                ("marital", self.marital.into()),
                ("residence_status", self.residence.into()),
                ("commune_code", self.commune.into()),
                ("catalogue_version", self.catalogue.into()),
            ],
        )
    }

    /// The age group on 1 April 2019, counted the slow way.
    pub fn age_group(&self) -> String {
        let Some((year, month)) = self.birth else { return "unknown".into() };
        let month = if month == 0 { 7 } else { month };
        let months = i32::from(2019 * 12 + 4u16) - (i32::from(year) * 12 + i32::from(month));
        match months {
            ..0 => "born_later".into(),
            1200.. => "100+".into(),
            months => {
                let group = months / 60 * 5;
                format!("{group}-{}", group + 4)
            }
        }
    }
}

/// `count` people spread over communes of the legacy catalogue.
pub fn people(prefix: &str, communes: &[&'static str], count: u64) -> Vec<Person> {
    let mut state = prefix.bytes().fold(7u64, |state, byte| state * 31 + u64::from(byte));
    // A linear congruential generator (Knuth's MMIX constants): the same people at every run.
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let person = |number: u64| {
        let year = 1912 + u16::try_from(draw(109)).expect("small");
        let month = u8::try_from(draw(13)).expect("small");
        Person {
            id: format!("{prefix}{number}"),
            birth: (draw(20) > 0).then_some((year, month)),
            sex: ["male", "female"][draw(2) as usize],
            marital: ["", "single", "married", "widowed"][draw(4) as usize],
            residence: ["permanent", "temporary", "absent"][draw(3) as usize],
            catalogue: "legacy-63",
            commune: communes[draw(communes.len() as u64) as usize],
        }
    };
    (0..count).map(person).collect()
}

/// An event of a type in a month, with further cells.
pub fn event(id: &str, kind: &str, date: &str, commune: &str, more: &[(&'static str, &str)]) -> Change {
    let mut cells = vec![
        ("event_id", id.to_string()),
        ("type", kind.into()),
        ("event_date", date.into()),
        ("commune_code", commune.into()),
        ("catalogue_version", "legacy-63".into()),
    ];
    cells.extend(more.iter().map(|(name, value)| (*name, (*value).to_string())));
    put("event", &cells)
}

/// How many people fall into each group.
pub fn count_by<'p>(people: impl IntoIterator<Item = &'p Person>, group: impl Fn(&Person) -> Vec<String>) -> BTreeMap<Vec<String>, f64> {
    let mut counts = BTreeMap::new();
    for person in people {
        *counts.entry(group(person)).or_default() += 1.0;
    }
    counts
}
