//! What may be asked of an indicator, read from parameters as texts.

use std::collections::BTreeMap;

use kho_storage::{
    catalogue::{AreaLevel, Catalogue},
    ids::SiteTime,
    schema::PartialDate,
};

use super::{Grouping, Indicator, Month, Period, indicators, registry::PeriodUse};
use crate::answer::{BadQuestion, cut, territory};

/// The population authority's day starts at midnight of UTC+7.
const DAY_STARTS_EARLIER_MS: i64 = 7 * 3600 * 1000;

/// The parameters that are known; `read` is the caller's affair.
const PARAMETERS: [&str; 8] = ["area", "catalogue", "level", "by", "at", "from", "to", "read"];

/// One question.
#[derive(Debug, Clone)]
pub struct IndicatorQuery {
    pub(super) indicator: &'static Indicator,
    /// As given; what it means depends on the catalogue.
    pub(super) area: Option<String>,
    /// How areas are read; the catalogue in use when not given. Whatever it is, the country holds the rows of every catalogue.
    pub(super) catalogue: Option<&'static Catalogue>,
    /// Adds the columns `area` and `area_name`.
    pub(super) level: Option<AreaLevel>,
    pub(super) by: Vec<Grouping>,
    /// Reference date of ages.
    pub(super) at: PartialDate,
    pub(super) period: Period,
}

impl IndicatorQuery {
    /// Reads a question. An empty parameter counts as not given. `now` gives today's date for ages and for the period of rates.
    ///
    /// # Errors
    /// [`BadQuestion`] says what is wrong and names the valid choices.
    pub fn parse(name: &str, parameters: &BTreeMap<String, String>, now: SiteTime) -> Result<Self, BadQuestion> {
        let indicator = Indicator::named(name).ok_or_else(|| {
            let names: Vec<_> = indicators().iter().map(|indicator| indicator.name).collect();
            BadQuestion::UnknownIndicator { given: cut(name), indicators: names.join(", ") }
        })?;
        let given = Given(parameters);
        given.check_names()?;
        let today = day_of(now)?;
        Ok(Self {
            indicator,
            area: given.text("area").map(Into::into),
            catalogue: given.text("catalogue").map(territory::parse_catalogue).transpose()?,
            level: given.text("level").map(territory::parse_level).transpose()?,
            by: given.groupings(indicator)?,
            at: given.reference_date(indicator)?.unwrap_or(today),
            period: given.period(indicator, today)?,
        })
    }

    /// The indicator asked for.
    pub fn indicator(&self) -> &'static Indicator {
        self.indicator
    }
}

/// The parameters as given.
struct Given<'p>(&'p BTreeMap<String, String>);

impl<'p> Given<'p> {
    fn text(&self, name: &str) -> Option<&'p str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    fn check_names(&self) -> Result<(), BadQuestion> {
        match self.0.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
            Some(unknown) => Err(BadQuestion::UnknownParameter { given: cut(unknown), parameters: PARAMETERS.join(", ") }),
            None => Ok(()),
        }
    }

    fn groupings(&self, indicator: &Indicator) -> Result<Vec<Grouping>, BadQuestion> {
        let mut by = Vec::new();
        for name in self.text("by").unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let Some(grouping) = Grouping::named(name).filter(|grouping| indicator.groupings.contains(grouping)) else {
                let names: Vec<_> = indicator.groupings.iter().map(|grouping| grouping.name()).collect();
                let (indicator, given) = (indicator.name.into(), cut(name));
                return Err(if names.is_empty() {
                    BadQuestion::NoDimensions { indicator, given }
                } else {
                    BadQuestion::UnknownDimension { indicator, given, dimensions: names.join(", ") }
                });
            };
            if by.contains(&grouping) {
                return Err(BadQuestion::RepeatedDimension { given: cut(name) });
            }
            by.push(grouping);
        }
        Ok(by)
    }

    fn reference_date(&self, indicator: &Indicator) -> Result<Option<PartialDate>, BadQuestion> {
        let Some(text) = self.text("at") else { return Ok(None) };
        if !indicator.takes_reference_date() {
            return Err(BadQuestion::AgesNotCounted { indicator: indicator.name.into() });
        }
        PartialDate::parse(text).map(Some).ok_or_else(|| BadQuestion::WrongDate { given: cut(text) })
    }

    fn period(&self, indicator: &Indicator, today: PartialDate) -> Result<Period, BadQuestion> {
        let period = Period { first: self.month("from", 1)?, last: self.month("to", 12)? };
        if period == Period::default() {
            return Ok(if indicator.period == PeriodUse::Closed { Period::year_before(today) } else { period });
        }
        if indicator.period == PeriodUse::Never {
            return Err(BadQuestion::PeriodNotApplicable { indicator: indicator.name.into() });
        }
        if indicator.period == PeriodUse::Closed && (period.first.is_none() || period.last.is_none()) {
            return Err(BadQuestion::OpenPeriod { indicator: indicator.name.into() });
        }
        if let (Some(first), Some(last)) = (period.first, period.last)
            && first > last
        {
            return Err(BadQuestion::EmptyPeriod { first: first.to_string(), last: last.to_string() });
        }
        Ok(period)
    }

    /// Reads a month; a year alone stands for its first or last month.
    fn month(&self, name: &str, month_of_year: u8) -> Result<Option<Month>, BadQuestion> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let date = PartialDate::parse(text).filter(|date| date.day == 0);
        let date = date.ok_or_else(|| BadQuestion::WrongMonth { given: cut(text), parameter: name.into() })?;
        let month = if date.month == 0 { month_of_year } else { date.month };
        Ok(Some(Month::of(PartialDate { month, ..date })))
    }
}

/// The day on which `now` falls.
fn day_of(now: SiteTime) -> Result<PartialDate, BadQuestion> {
    let text = SiteTime(now.0.saturating_add(DAY_STARTS_EARLIER_MS)).to_rfc3339();
    text.get(..10).and_then(PartialDate::parse).ok_or(BadQuestion::WrongClock { time: text })
}
