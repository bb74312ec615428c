//! Runs a question over one consistent picture of every origin that counts.

use kho_storage::{
    catalogue::{AreaLevel, Catalogue},
    error::StorageError,
    schema::Schema,
    warehouse::{CubeCell, ReadView},
};

use super::{
    Indicator, IndicatorQuery,
    plan::{Plan, code_list},
    tally::{GROUPS_MAX, GroupKey, Slots, Tally},
};
use crate::{
    answer::{AnswerContext, BadQuestion, Basis, Territory, catalogue_in_use, territory::check_level},
    api::{IndicatorAnswer, IndicatorRow},
};

/// Area code of cells that the asked catalogue does not place: of another catalogue, or of no known unit. Last in order.
const ELSEWHERE: u32 = u32::MAX;

/// Answers `query` from the cubes of every origin below the site that stands.
///
/// # Errors
/// [`StorageError`] when the disk fails; a [`BadQuestion`] for a question that can't be answered.
pub fn answer_indicator(
    reading: &ReadView<'_>,
    schema: &Schema,
    query: &IndicatorQuery,
    context: &AnswerContext,
) -> Result<Result<IndicatorAnswer, BadQuestion>, StorageError> {
    let area = match AreaQuestion::resolve(reading, query, context) {
        Ok(area) => area,
        Err(problem) => return Ok(Err(problem)),
    };
    let plan = match Plan::compile(query, schema) {
        Ok(plan) => plan,
        Err(problem) => return Ok(Err(problem)),
    };
    let basis = Basis::of(reading, context.site, area.territory.as_ref())?;
    let mut tally = Tally::new(GROUPS_MAX);
    for scan in &plan.scans {
        for (origin, state) in basis.origins() {
            if tally.overflowed() {
                break;
            }
            let mut placed = Placed::default();
            reading.cube_cells(scan.cube, *origin, state, |cell| {
                if let Some(code) = placed.area(&area, &cell) {
                    scan.add(&cell, code, &mut tally);
                }
            })?;
        }
    }
    let Some((groups, total)) = tally.finish() else {
        return Ok(Err(BadQuestion::TooManyGroups { groups_max: GROUPS_MAX }));
    };
    let table = Table { schema, query, area: &area };
    Ok(Ok(IndicatorAnswer {
        indicator: query.indicator.name.into(),
        label: table.label(),
        by: table.columns(),
        values: query.indicator.figures.iter().map(|figure| figure.name.into()).collect(),
        rows: table.rows(groups, total),
        at: table.ages_matter().then(|| query.at.to_string()),
        completeness: basis.completeness(context),
    }))
}

/// Where cells must lie and to which level they are rolled up.
struct AreaQuestion {
    catalogue: &'static Catalogue,
    /// `None`: the whole country, whatever the catalogue.
    territory: Option<Territory>,
    level: Option<AreaLevel>,
}

impl AreaQuestion {
    fn resolve(reading: &ReadView<'_>, query: &IndicatorQuery, context: &AnswerContext) -> Result<Self, BadQuestion> {
        let catalogue = query.catalogue.unwrap_or_else(|| catalogue_in_use(reading.register(), context.site));
        let territory = match &query.area {
            Some(text) => Territory::parse(catalogue, text)?,
            None => None,
        };
        if let Some(level) = query.level {
            check_level(catalogue, level, territory.as_ref())?;
        }
        Ok(Self { catalogue, territory, level: query.level })
    }

    /// The area in which a commune counts; `None` when it lies outside the question.
    fn place(&self, catalogue: u32, commune: u32) -> Option<u32> {
        if self.territory.as_ref().is_some_and(|territory| !territory.holds(catalogue, commune)) {
            return None;
        }
        match self.level {
            None | Some(AreaLevel::Country) => Some(0),
            Some(level) if catalogue == self.catalogue.number => Some(self.catalogue.roll_up(commune, level).unwrap_or(ELSEWHERE)),
            Some(_) => Some(ELSEWHERE),
        }
    }
}

/// The commune placed last: cells come commune by commune.
#[derive(Default)]
struct Placed(Option<((u32, u32), Option<u32>)>);

impl Placed {
    fn area(&mut self, question: &AreaQuestion, cell: &CubeCell) -> Option<u32> {
        let unit = (cell.catalogue, cell.area);
        match self.0 {
            Some((last, area)) if last == unit => area,
            _ => {
                let area = question.place(cell.catalogue, cell.area);
                self.0 = Some((unit, area));
                area
            }
        }
    }
}

/// Sums become a table of texts and numbers.
struct Table<'q> {
    schema: &'q Schema,
    query: &'q IndicatorQuery,
    area: &'q AreaQuestion,
}

impl Table<'_> {
    /// What is counted, where and when: a table must be readable by itself.
    fn label(&self) -> String {
        let mut label = self.query.indicator.label();
        if let Some(Territory { catalogue, level, code }) = &self.area.territory {
            let name = catalogue.unit_name(*level, *code).unwrap_or_default();
            label.push_str(&format!("; {name} ({}, {})", catalogue.code_text(*level, *code), catalogue.version));
        }
        let period = self.query.period.to_string();
        if !period.is_empty() {
            label.push_str(&format!("; {period}"));
        }
        label
    }

    fn ages_matter(&self) -> bool {
        self.query.indicator.needs_ages() || self.query.by.contains(&super::Grouping::AgeGroup)
    }

    fn columns(&self) -> Vec<String> {
        let area = if self.area.level.is_some() { &["area", "area_name"][..] } else { &[] };
        area.iter().copied().chain(self.query.by.iter().map(|grouping| grouping.name())).map(Into::into).collect()
    }

    /// Groups in natural order, then the total. Without grouping columns the total is the only row.
    fn rows(&self, groups: Vec<(GroupKey, Slots)>, total: Slots) -> Vec<IndicatorRow> {
        let columns = self.columns().len();
        let lists = self.code_lists();
        let mut rows = Vec::with_capacity(groups.len() + 1);
        if columns > 0 {
            rows.extend(groups.iter().map(|(key, slots)| IndicatorRow { group: self.group(key, &lists), values: self.values(slots) }));
        }
        let mut group = vec![String::new(); columns];
        if let Some(first) = group.first_mut() {
            *first = "total".into();
        }
        rows.push(IndicatorRow { group, values: self.values(&total) });
        rows
    }

    fn values(&self, slots: &Slots) -> Vec<Option<f64>> {
        let months = self.query.period.months();
        self.query.indicator.figures.iter().map(|figure| figure.formula.value(slots, months)).collect()
    }

    fn group(&self, key: &GroupKey, lists: &[Option<&str>]) -> Vec<String> {
        let mut texts = Vec::with_capacity(lists.len() + 2);
        if let Some(level) = self.area.level {
            let catalogue = self.area.catalogue;
            texts.extend(match key.area {
                ELSEWHERE => ["elsewhere".into(), format!("not in the catalogue {}", catalogue.version)],
                code => [catalogue.code_text(level, code), catalogue.unit_name(level, code).unwrap_or_default().into()],
            });
        }
        let named = self.query.by.iter().zip(key.numbers).zip(lists);
        texts.extend(named.map(|((grouping, number), list)| grouping.text(number, self.schema, *list)));
        texts
    }

    /// The code list of every grouping; the cubes of one indicator agree on it.
    fn code_lists(&self) -> Vec<Option<&str>> {
        let indicator: &Indicator = self.query.indicator;
        let cube = indicator.counts.iter().flat_map(|counts| counts.iter()).find_map(|count| self.schema.cube_named(count.cube));
        self.query.by.iter().map(|grouping| code_list(cube?, self.schema, grouping.dimension())).collect()
    }
}
