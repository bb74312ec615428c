//! Whether a commune belongs to the site: catalogues and the register's scopes, judged once per commune and request.

use std::collections::HashMap;

use kho_storage::{catalogue::Catalogue, register::AreaScope};

/// Units whose records the site may author, from the register. Empty: none.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct EntryScope {
    pub areas: Vec<AreaScope>,
}

/// What is known of a commune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AreaVerdict {
    Inside,
    /// In the catalogue, but not the site's.
    Foreign,
    /// Not in the catalogue.
    Unknown,
}

/// Judges communes and remembers: a batch is mostly about a few of them.
#[derive(Debug)]
pub(super) struct AreaJudge {
    scope: EntryScope,
    /// At most one entry a row. Keyed by catalogue number and commune.
    judged: HashMap<(u32, u32), AreaVerdict>,
    last: Option<((u32, u32), AreaVerdict)>,
}

impl AreaJudge {
    pub fn new(scope: EntryScope) -> Self {
        Self { scope, judged: HashMap::new(), last: None }
    }

    pub fn judge(&mut self, catalogue: &Catalogue, commune: u32) -> AreaVerdict {
        let unit = (catalogue.number, commune);
        if let Some((_, verdict)) = self.last.filter(|(last, _)| *last == unit) {
            return verdict;
        }
        let areas = &self.scope.areas;
        let verdict = *self.judged.entry(unit).or_insert_with(|| {
            if !catalogue.communes.contains_key(&commune) {
                AreaVerdict::Unknown
            } else if areas.iter().any(|area| catalogue.lies_in(commune, area)) {
                AreaVerdict::Inside
            } else {
                AreaVerdict::Foreign
            }
        });
        self.last = Some((unit, verdict));
        verdict
    }

    /// The site's areas, for a message; the first few of them. `None` when the register gives it none.
    pub fn areas(&self) -> Option<String> {
        const SHOWN_MAX: usize = 5;
        let mut shown: Vec<_> = self.scope.areas.iter().take(SHOWN_MAX).map(|area| format!("{} ({})", area.code, area.catalogue)).collect();
        if self.scope.areas.len() > SHOWN_MAX {
            shown.push("…".into());
        }
        (!shown.is_empty()).then(|| shown.join(", "))
    }
}
