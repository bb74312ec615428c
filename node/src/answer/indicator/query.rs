//! What may be asked of an indicator, read from parameters as texts.

use std::collections::BTreeMap;

use kho_storage::{
    catalogue::{AreaLevel, Catalogue},
    ids::SiteTime,
    schema::PartialDate,
};

use super::{Grouping, Indicator, Month, Period, indicators, registry::PeriodUse};
use crate::{
    answer::{refusal, shown, territory},
    api::Problem,
};

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
    /// [`Problem`] says what is wrong and names the valid choices.
    pub fn parse(name: &str, parameters: &BTreeMap<String, String>, now: SiteTime) -> Result<Self, Problem> {
        let indicator = Indicator::named(name).ok_or_else(|| {
            let names: Vec<_> = indicators().iter().map(|indicator| indicator.name).collect();
            refusal("unknown_indicator", format!("there is no indicator {}", shown(name)), format!("use one of: {}", names.join(", ")))
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

    fn check_names(&self) -> Result<(), Problem> {
        match self.0.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
            Some(unknown) => Err(refusal(
                "unknown_parameter",
                format!("there is no parameter {}", shown(unknown)),
                format!("use: {}", PARAMETERS.join(", ")),
            )),
            None => Ok(()),
        }
    }

    fn groupings(&self, indicator: &Indicator) -> Result<Vec<Grouping>, Problem> {
        let mut by = Vec::new();
        for name in self.text("by").unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let Some(grouping) = Grouping::named(name).filter(|grouping| indicator.groupings.contains(grouping)) else {
                let names: Vec<_> = indicator.groupings.iter().map(|grouping| grouping.name()).collect();
                let hint = if names.is_empty() {
                    "leave `by` out; use `level` for areas".into()
                } else {
                    format!("use: {}; for areas use `level`", names.join(", "))
                };
                return Err(refusal("unknown_dimension", format!("`{}` can't be grouped by {}", indicator.name, shown(name)), hint));
            };
            if by.contains(&grouping) {
                return Err(refusal("repeated_dimension", format!("`{name}` stands twice in `by`"), "name every dimension once"));
            }
            by.push(grouping);
        }
        Ok(by)
    }

    fn reference_date(&self, indicator: &Indicator) -> Result<Option<PartialDate>, Problem> {
        let Some(text) = self.text("at") else { return Ok(None) };
        if !indicator.takes_reference_date() {
            return Err(refusal(
                "not_applicable",
                format!("`{}` does not count ages, so `at` means nothing to it", indicator.name),
                "leave `at` out",
            ));
        }
        let wrong = || {
            refusal(
                "wrong_date",
                format!("{} is no date", shown(text)),
                "give at=YYYY-MM-DD, YYYY-MM or YYYY; ages count at the precision of months",
            )
        };
        PartialDate::parse(text).map(Some).ok_or_else(wrong)
    }

    fn period(&self, indicator: &Indicator, today: PartialDate) -> Result<Period, Problem> {
        let period = Period { first: self.month("from", 1)?, last: self.month("to", 12)? };
        if period == Period::default() {
            return Ok(if indicator.period == PeriodUse::Closed { Period::year_before(today) } else { period });
        }
        if indicator.period == PeriodUse::Never {
            let message = format!("`{}` counts what is registered now, so `from` and `to` mean nothing to it", indicator.name);
            return Err(refusal("not_applicable", message, "leave them out; `at` moves the reference date of ages"));
        }
        if indicator.period == PeriodUse::Closed && (period.first.is_none() || period.last.is_none()) {
            return Err(refusal(
                "open_period",
                format!("`{}` is a rate and needs both ends of its period", indicator.name),
                "give from=YYYY-MM and to=YYYY-MM, both included",
            ));
        }
        if let (Some(first), Some(last)) = (period.first, period.last)
            && first > last
        {
            return Err(refusal(
                "empty_period",
                format!("the period starts in {first}, after it ends in {last}"),
                "exchange `from` and `to`; both months are included",
            ));
        }
        Ok(period)
    }

    /// Reads a month; a year alone stands for its first or last month.
    fn month(&self, name: &str, month_of_year: u8) -> Result<Option<Month>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let date = PartialDate::parse(text).filter(|date| date.day == 0);
        let date = date.ok_or_else(|| {
            refusal(
                "wrong_month",
                format!("{} is no month", shown(text)),
                format!("give {name}=YYYY-MM, or YYYY; events are counted by month"),
            )
        })?;
        let month = if date.month == 0 { month_of_year } else { date.month };
        Ok(Some(Month::of(PartialDate { month, ..date })))
    }
}

/// The day on which `now` falls.
fn day_of(now: SiteTime) -> Result<PartialDate, Problem> {
    let text = SiteTime(now.0.saturating_add(DAY_STARTS_EARLIER_MS)).to_rfc3339();
    let day = text.get(..10).and_then(PartialDate::parse);
    day.ok_or_else(|| refusal("wrong_clock", format!("this node's clock says {text}"), "set the node's clock, then ask again"))
}
