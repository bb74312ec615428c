//! Days counted back from the day a population is described, and what they are called.

use jiff::Span;
use jiff::civil::Date;

use crate::draws::Draws;
use crate::error::SynthError;
use crate::resident::DaysBack;
use crate::structure::AGES;

/// A table of all days a person alive may have been born on: looking a day up is far cheaper than computing it.
pub(super) struct Calendar {
    days: Vec<Date>,
    /// First day back of each completed year of age; one more than there are ages.
    age_first: Vec<u16>,
    /// Events happen on days back `1..=window_days`.
    window_days: u16,
}

impl Calendar {
    pub(super) fn new(as_of: Date, event_months: u32) -> Result<Self, SynthError> {
        let outside = |_| SynthError::bad_plan(format!("the years before {as_of} cannot be counted"));
        let days_to = |earlier: Date| (earlier.duration_until(as_of).as_secs() / 86_400) as u16;
        let mut age_first = Vec::with_capacity(AGES + 1);
        for age in 0..=AGES as i64 {
            age_first.push(days_to(as_of.checked_sub(Span::new().years(age)).map_err(outside)?));
        }
        let window_days = days_to(as_of.checked_sub(Span::new().months(event_months)).map_err(outside)?);
        let mut days = vec![as_of];
        let mut day = as_of;
        for _ in 0..age_first[AGES] {
            day = day.yesterday().map_err(outside)?;
            days.push(day);
        }
        Ok(Self { days, age_first, window_days })
    }

    pub(super) fn as_of(&self) -> Date {
        self.days[0]
    }

    pub(super) fn date(&self, back: DaysBack) -> Date {
        self.days[usize::from(back.0).min(self.days.len() - 1)]
    }

    pub(super) fn window_days(&self) -> u16 {
        self.window_days
    }

    pub(super) fn is_in_window(&self, back: DaysBack) -> bool {
        (1..=self.window_days).contains(&back.0)
    }

    /// A birthday of somebody who has completed exactly `age` years.
    pub(super) fn birthday(&self, age: u8, draws: &mut Draws) -> DaysBack {
        let age = usize::from(age).min(AGES - 1);
        let first = self.age_first[age];
        DaysBack(first + draws.below(u32::from(self.age_first[age + 1] - first)) as u16)
    }

    /// A day of the event window; the described day itself when the window is empty.
    pub(super) fn event_day(&self, draws: &mut Draws) -> DaysBack {
        match self.window_days {
            0 => DaysBack(0),
            days => DaysBack(draws.between(1, u32::from(days)) as u16),
        }
    }

    /// When a collaborator wrote it down: within a week, and not after the described day.
    pub(super) fn recorded(&self, event: DaysBack, draws: &mut Draws) -> DaysBack {
        DaysBack(event.0.saturating_sub(draws.below(7) as u16))
    }
}
